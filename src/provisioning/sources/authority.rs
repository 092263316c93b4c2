//! An authority: which sources may speak of which values of a resource type, and whose word counts before whose. Reads the
//! document of one and says with its place what is wrong with it.

use scim::schema::{Definition, Registry};
use serde_json::{Map, Value};

use super::site::Site;
use super::{Combine, URN};

/// An authority, checked.
#[derive(Clone, Debug)]
pub struct Authority {
    /// What it is called.
    pub name: String,
    /// The resource type.
    pub kind: String,
    /// The places.
    pub sites: Vec<Site>,
    /// The ids of the clients, the one whose word counts most first.
    pub sources: Vec<String>,
    /// What several say.
    pub combine: Combine,
}

impl Authority {
    /// Reads the document of an authority. Fails with 400 invalidValue that names the place.
    pub fn read(document: &Map<String, Value>, registry: &Registry) -> Result<Self, scim::Error> {
        let text = |name: &str| document.get(name).and_then(Value::as_str).unwrap_or_default();
        let list = |name: &str| document.get(name).and_then(Value::as_array).into_iter().flatten();
        let definition = registry.definition(text("resourceType"));
        let definition: &Definition = definition.ok_or_else(|| {
            refuse(&format!("resourceType: there is none that is called {:?}.", text("resourceType")))
        })?;
        if definition.extension(URN).is_none() {
            return Err(refuse(&format!(
                "What sources say is kept in the extension {URN}, which {} does not have here. Install it first: matrikel \
                 schema install sources.",
                definition.name()
            )));
        }
        let mut sites: Vec<Site> = Vec::new();
        for path in list("paths").filter_map(Value::as_str) {
            let site = Site::parse(definition, path)?;
            if let Some(known) = sites.iter().find(|known| known.overlaps(&site)) {
                return Err(refuse(&format!("paths: {} and {} are about the same values.", known.path(), site.path())));
            }
            sites.push(site);
        }
        if sites.is_empty() {
            return Err(refuse("paths: at least one path is needed."));
        }
        let mut sources: Vec<String> = Vec::new();
        for source in list("sources").filter_map(|source| source.get("value")?.as_str()) {
            if sources.iter().any(|known| known.eq_ignore_ascii_case(source)) {
                return Err(refuse(&format!("sources: {source} is there twice.")));
            }
            sources.push(source.to_owned());
        }
        if sources.is_empty() {
            return Err(refuse("sources: at least one client is needed."));
        }
        let combine = match document.get("combine").and_then(Value::as_str) {
            None | Some("highest") => Combine::Highest,
            Some("all") => Combine::All,
            Some(other) => return Err(refuse(&format!("combine: {other:?} is neither highest nor all."))),
        };
        Ok(Authority { name: text("name").to_owned(), kind: definition.name().to_owned(), sites, sources, combine })
    }

    /// A place of this one and one of another that are about the same values.
    pub fn overlap<'a>(&'a self, other: &'a Authority) -> Option<&'a Site> {
        if self.kind != other.kind {
            return None;
        }
        self.sites.iter().find(|site| other.sites.iter().any(|known| known.overlaps(site)))
    }
}

fn refuse(detail: &str) -> scim::Error {
    scim::Error::invalid_value(detail.to_owned())
}

//! `GET /Users/{id}/sources`: for each place that several sources may speak of, whose value shows, since when, what is pinned
//! and what the others say. For who may read authorities; of what the caller's view hides nothing is told.

use scim::schema::Definition;
use serde_json::{Map, Value, json};
use store::work::document_of;
use store::{Reader, ResourceId, Work};

use provisioning::calendar::instant;
use provisioning::sources::{Authority, Combine, Site, Statement};

use super::settle::Book;
use super::settle::USER;
use super::settle::sources::{pin, said};
use super::settle::wished::PLACES;
use super::shape::id_of;
use super::{Ctx, Directory, Error, clients};

/// The schema of the answer.
const SOURCES_URN: &str = "urn:matrikel:scim:api:messages:1.0:Sources";

impl Directory {
    /// The answer, JSON; with a path of that place alone. Fails with 404 for a resource that the caller does not see, 400
    /// invalidPath for a path that no authority is about.
    pub async fn sources(
        &self,
        ctx: &Ctx,
        definition: &Definition,
        id: &str,
        path: Option<String>,
    ) -> Result<Value, Error> {
        let id = id_of(definition.name(), id)?;
        let known = self.registry_of(ctx.tenant).definition(definition.name()).cloned();
        let definition = known.ok_or_else(|| scim::Error::not_found(definition.name(), &id.to_string()))?;
        let path = path.map(|path| Site::parse(&definition, &path)).transpose()?;
        let (directory, caller, origin) = (self.clone(), ctx.clone(), ctx.origin());
        let answer = move |reader: &mut Reader| {
            directory.state_of(&caller, &definition, id, reader)?;
            reader.simulate(caller.tenant, origin, |work| {
                let record = work.record(id)?.ok_or(store::Error::NotFound)?;
                let document = document_of(&record)?;
                let book = Book::of(work)?;
                let view = caller.view(&definition);
                let mut values = Vec::new();
                for (authority, site) in book.sites(definition.name()) {
                    let is_asked = path.as_ref().is_none_or(|path| path.path() == site.path());
                    if is_asked && view.sees_all(&site.attribute()) {
                        values.push(tell(id, authority, site, &document, work)?);
                    }
                }
                for place in PLACES.iter().filter(|_| definition.name() == USER) {
                    let site = Site::parse(&definition, place)?;
                    let is_asked = path.as_ref().is_none_or(|path| path.path() == site.path());
                    if is_asked && view.sees_all(&site.attribute()) {
                        values.extend(tell_wished(id, &site, &document, work)?);
                    }
                }
                match (&path, values.is_empty()) {
                    (Some(path), true) => {
                        let detail = format!("No authority is about {}.", path.path());
                        Err(Error::Scim(scim::Error::invalid_path(detail)))
                    }
                    _ => Ok(json!({
                        "schemas": [SOURCES_URN], "resource": id.to_string(), "at": instant(caller.now), "values": values,
                    })),
                }
            })
        };
        self.store().read_for(ctx.tenant, answer).await
    }
}

fn tell(
    id: ResourceId,
    authority: &Authority,
    site: &Site,
    document: &Map<String, Value>,
    work: &mut Work<'_>,
) -> Result<Value, Error> {
    let said = said(document).remove(site.path()).unwrap_or_default();
    let pin = pin(document, site);
    let mut counts = pin.is_none();
    let mut says = Vec::new();
    for source in &authority.sources {
        let Some(statement) = said.iter().find(|one| one.source == *source) else { continue };
        says.push(word(id, statement, counts, work)?);
        counts &= authority.combine == Combine::All;
    }
    let shown = site.values(document);
    let from = match (&pin, says.is_empty(), shown.is_empty()) {
        (Some(_), ..) => Some("pin"),
        (None, false, _) => Some("source"),
        // It was there before the authority was, and no source has spoken of it.
        (None, true, false) => Some("nobody"),
        (None, true, true) => None,
    };
    let mut told = json!({ "path": site.path(), "authority": authority.name, "values": shown, "says": says });
    if let Some(told) = told.as_object_mut() {
        told.extend(from.map(|from| ("from".to_owned(), from.into())));
        told.extend(pin.map(|pin| ("pin".to_owned(), pin)));
    }
    Ok(told)
}

/// What sources say of names that are a policy's to make: it is kept, and nothing of it counts. `None`: an authority is about
/// them, or nobody has said anything.
fn tell_wished(
    id: ResourceId,
    site: &Site,
    document: &Map<String, Value>,
    work: &mut Work<'_>,
) -> Result<Option<Value>, Error> {
    if Book::of(work)?.sites(USER).any(|(_, known)| known.overlaps(site)) {
        return Ok(None);
    }
    let said = said(document).remove(site.path()).unwrap_or_default();
    let says: Vec<Value> = said.iter().map(|one| word(id, one, false, work)).collect::<Result<_, _>>()?;
    Ok((!says.is_empty())
        .then(|| json!({ "path": site.path(), "values": site.values(document), "says": says, "from": "policy" })))
}

/// What one source says, and by which key it knows the resource.
fn word(id: ResourceId, statement: &Statement, counts: bool, work: &mut Work<'_>) -> Result<Value, Error> {
    let mut told = json!({
        "source": statement.source, "values": statement.values, "since": statement.since, "counts": counts,
    });
    if let Ok(client) = statement.source.parse::<ResourceId>()
        && let Some(record) = work.record(client)?
    {
        let document = document_of(&record)?;
        let key = work.external_of(id, clients::domain_of(client, &document))?;
        let name = document.get("name").cloned();
        if let Some(told) = told.as_object_mut() {
            told.extend(name.map(|name| ("display".to_owned(), name)));
            told.extend(key.map(|key| ("key".to_owned(), key.into())));
        }
    }
    Ok(told)
}

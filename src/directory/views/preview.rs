//! What the clients of a view see: how many resources of each type, and some of them. Nothing is stored for it.

use scim::query::SearchRequest;
use serde_json::{Value, json};
use store::work::document_of;

use super::super::{Ctx, Directory, Error};
use super::{Outlook, VIEW, Veil, rules};

/// The schema of the answer.
const PREVIEW_URN: &str = "urn:matrikel:scim:api:messages:1.0:ViewPreview";

/// What the clients of a view see.
#[derive(Clone, Debug)]
pub struct Preview {
    /// Name of the view.
    pub name: String,
    /// Each resource type that it names, in its order.
    pub types: Vec<Previewed>,
}

/// What they see of one resource type.
#[derive(Clone, Debug)]
pub struct Previewed {
    /// Its name.
    pub kind: String,
    /// How many resources.
    pub total: u64,
    /// The first of them by id, as they are answered.
    pub sample: Vec<Value>,
}

impl Preview {
    /// The answer, JSON.
    pub fn to_json(&self) -> Value {
        let of_type =
            |seen: &Previewed| json!({ "type": seen.kind, "totalResults": seen.total, "Resources": seen.sample });
        json!({
            "schemas": [PREVIEW_URN], "name": self.name, "types": self.types.iter().map(of_type).collect::<Vec<_>>(),
        })
    }
}

impl Directory {
    /// What the clients of a view see of the register now, with at most `count` resources of each type. Fails with 404
    /// when there is no such view.
    pub async fn preview(&self, ctx: &Ctx, id: &str, count: u64) -> Result<Preview, Error> {
        let absent = || scim::Error::not_found(VIEW, id);
        let (tenant, number) = (ctx.tenant, id.parse().map_err(|()| absent())?);
        let record = self.store.read_for(tenant, move |reader| reader.record(tenant, number)).await?;
        let record = record.filter(|record| record.kind == VIEW).ok_or_else(absent)?;
        let document = document_of(&record)?;
        let catalog = self.catalog(tenant, ctx.now).await?;
        // Whoever has a view is somebody who pulls.
        let veil = if self.has_policies(tenant) { Veil::Consumer } else { Veil::None };
        let kinds: Vec<String> = rules(&document, number).map(|rule| rule.kind.to_owned()).collect();
        let views = Outlook::through(number, document).views(catalog.registry(), veil);
        let through = Ctx { views, ..ctx.clone() };
        let mut types = Vec::with_capacity(kinds.len());
        for kind in kinds {
            let Some(definition) = catalog.registry().definition(&kind) else { continue };
            let request = SearchRequest { count: Some(count), ..SearchRequest::from_pairs([])? };
            let found = self.search(&through, std::slice::from_ref(definition), &request).await?;
            let corrupt = |error: serde_json::Error| store::Error::Corrupt(error.to_string());
            let mut answer: Value = serde_json::from_str(&found.body).map_err(corrupt)?;
            let total = answer.get("totalResults").and_then(Value::as_u64).unwrap_or_default();
            let sample = match answer.get_mut("Resources").map(Value::take) {
                Some(Value::Array(sample)) => sample,
                _ => Vec::new(),
            };
            types.push(Previewed { kind, total, sample });
        }
        Ok(Preview { name: record.label, types })
    }
}

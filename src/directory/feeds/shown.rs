//! What goes with a run, as its reader's view shows it: of whom the view hides nothing is said, of whom it masks no more than
//! that something would change, and of others what is released. Protected people who are told of unmasked are remembered
//! before the answer is given. What a client's own file says is its own to read.

use std::collections::HashMap;
use std::sync::Arc;

use provisioning::person::{URN, USER};
use scim::view::View;
use serde_json::{Map, Value};
use store::work::document_of;
use store::{Eyes, Reading, Record, ResourceId};

use super::super::{Ctx, Directory, Error};
use super::OBJECTS;

/// What of an item says nothing of a person.
const BARE: [&str; 4] = ["row", "kind", "op", "id"];

/// What an item would tell of a resource that there is.
fn id_of(item: &Value) -> Option<ResourceId> {
    item.get("id")?.as_str()?.parse().ok()
}

fn keep(item: &mut Value, wanted: impl Fn(&str) -> bool) {
    if let Some(item) = item.as_object_mut() {
        item.retain(|name, _| wanted(name));
    }
}

/// Narrows an item to what a view shows of the resource.
fn narrow(view: &View, document: &Map<String, Value>, mut item: Value, is_own: bool) -> Value {
    if view.is_masked(document) {
        keep(&mut item, |name| BARE.contains(&name));
        return item;
    }
    if let Some(Value::Array(changes)) = item.get_mut("changes") {
        let is_shown = |path: &str| view.sees_all(path) && !view.maps(path);
        changes.retain(|change| change.get("path").and_then(Value::as_str).is_some_and(is_shown));
    }
    keep(&mut item, |name| name != "key" || is_own || view.sees_alike("externalId"));
    item
}

impl Directory {
    /// The items of a list of a run that the caller sees, as far as it does. `is_own`: it is the client whose file it was.
    pub async fn shown_items(
        &self,
        ctx: &Ctx,
        (list, is_own): (&str, bool),
        mut items: Vec<(i64, Value)>,
    ) -> Result<Vec<(i64, Value)>, Error> {
        let is_open = ctx.views.are_everything();
        if list != OBJECTS {
            if !is_open && !is_own {
                items.iter_mut().for_each(|(_, item)| keep(item, |name| BARE.contains(&name)));
            }
            return Ok(items);
        }
        let ids: Vec<ResourceId> = items.iter().filter_map(|(_, item)| id_of(item)).collect();
        if is_open {
            self.remember_told(ctx, ids).await?;
            return Ok(items);
        }
        let (caller, tenant, asked) = (ctx.clone(), ctx.tenant, ids.clone());
        let known = self.store.read_for(tenant, move |reader| {
            let seen = caller.look(&mut Reading(reader, tenant), &asked)?;
            let records = Reading(reader, tenant).records(&asked)?;
            Ok::<_, Error>(records.into_iter().filter(|record| seen.has(record.id)).collect::<Vec<Record>>())
        });
        let known: HashMap<ResourceId, Record> = known.await?.into_iter().map(|record| (record.id, record)).collect();
        let mut shown = Vec::with_capacity(items.len());
        for (place, mut item) in items {
            let Some(id) = id_of(&item) else {
                // Of what would only come to be nobody can say whether the view shows it.
                keep(&mut item, |name| BARE.contains(&name) || (is_own && name == "key"));
                shown.push((place, item));
                continue;
            };
            let Some(record) = known.get(&id) else { continue };
            shown.push((place, narrow(ctx.views.of(&record.kind), &document_of(record)?, item, is_own)));
        }
        self.remember_told(ctx, known.into_keys().collect()).await?;
        Ok(shown)
    }

    /// Remembers which of these are protected people that the caller is told of unmasked. What it is told is told once this has
    /// returned.
    pub(in crate::directory) async fn remember_told(&self, ctx: &Ctx, ids: Vec<ResourceId>) -> Result<(), Error> {
        let registry = self.registry_of(ctx.tenant);
        let user = registry.definition(USER).filter(|user| user.extension(URN).is_some());
        let Some(user) = user.filter(|_| !ids.is_empty()) else { return Ok(()) };
        let (tenant, ids) = (ctx.tenant, Arc::new(ids));
        for record in self.store.read_for(tenant, move |reader| Reading(reader, tenant).records(&ids)).await? {
            if record.kind == USER {
                ctx.note_released(user, &record)?;
            }
        }
        self.remember_released(ctx, "read").await
    }
}

#[cfg(test)]
mod tests {
    use scim::filter::Filter;
    use scim::schema::Registry;
    use serde_json::json;

    use super::*;

    #[test]
    fn an_item_tells_what_the_view_shows() {
        let registry = Registry::builtin().expect("documents");
        let user = registry.definition(USER).expect("a type");
        let marked = Filter::parse("userType pr").and_then(|filter| filter.check(user)).expect("a filter");
        let released = ["title", "userName"].map(str::to_owned);
        let view = View::new(None, Some(released.into())).masking(user, marked, ["userName".to_owned()].into());
        let item = json!({
            "id": "1", "kind": "User", "op": "updated", "key": "19121212", "row": 3,
            "changes": [{ "path": "userName", "after": "x" }, { "path": "title", "after": "y" }, { "path": "name", "after": {} }],
        });
        let of = |document: Value| narrow(&view, document.as_object().expect("one"), item.clone(), false);
        assert_eq!(of(json!({ "userType": "x" })), json!({ "id": "1", "kind": "User", "op": "updated", "row": 3 }));
        let open = of(json!({}));
        assert_eq!(open["changes"], json!([{ "path": "userName", "after": "x" }, { "path": "title", "after": "y" }]));
        assert_eq!(open.get("key"), None);
    }
}

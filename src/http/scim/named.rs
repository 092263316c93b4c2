//! Answers and requests for clients that know resources by names of their own (profile `egil`, SS 12000:2018): a name is
//! understood wherever an id is, in the path, a body, a filter or a PATCH, and stands wherever one is answered: `id`,
//! `meta.location` and every reference. What is not there is told by the name that was asked for. All that translates is
//! here; everything behind it is as for any client.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use scim::alias::{Ids, Rename};
use scim::filter::Filter;
use scim::query::SearchRequest;
use scim::schema::Definition;
use serde_json::{Map, Value};
use store::ResourceId;

use crate::directory::addressed::is_name;
use crate::directory::{Ctx, Fetched, Found, Written};
use crate::http::State;
use crate::http::error::Failure;

const EXTERNAL_ID: &str = "externalId";
const NOT_FOUND: u16 = 404;

/// What a path names.
pub(super) struct Named {
    /// The id of the resource; the name itself where it leads nowhere.
    pub(super) id: String,
    asked: String,
    kind: String,
}

impl Named {
    /// What the last part of a path names.
    pub(super) async fn find(
        state: &State,
        ctx: &Ctx,
        definition: &Arc<Definition>,
        asked: &str,
    ) -> Result<Self, Failure> {
        let found = state.directory.addressed(ctx, definition, asked).await?;
        let id = found.map_or_else(|| asked.to_owned(), |id| id.to_string());
        Ok(Named { id, asked: asked.to_owned(), kind: definition.name().to_owned() })
    }

    /// The same failure, which says nothing of an id that the client does not know.
    pub(super) fn told(&self, failure: impl Into<Failure>) -> Failure {
        let failure = failure.into();
        if self.id != self.asked && failure.told().status == NOT_FOUND {
            return scim::Error::not_found(&self.kind, &self.asked).into();
        }
        failure
    }

    /// Sees to it that the body of a PUT by name keeps the name. Fails with 400 invalidValue for a body of another name.
    pub(super) fn keep(&self, body: &mut Value) -> Result<(), Failure> {
        let Some(members) = body.as_object_mut().filter(|_| self.id != self.asked) else { return Ok(()) };
        let said = members.iter().find(|(name, _)| name.eq_ignore_ascii_case(EXTERNAL_ID)).map(|(_, value)| value);
        match said {
            Some(Value::String(name)) if *name != self.asked => {
                Err(scim::Error::invalid_value("externalId is another than the one in the path.").into())
            }
            Some(Value::String(_)) => Ok(()),
            _ => {
                members.retain(|name, _| !name.eq_ignore_ascii_case(EXTERNAL_ID));
                members.insert(EXTERNAL_ID.to_owned(), self.asked.as_str().into());
                Ok(())
            }
        }
    }
}

/// The name in a body that is put to a collection: `id`, or else `externalId`.
pub(super) fn name_in(body: &Value) -> Option<&str> {
    let member = |wanted: &str| {
        let found = body.as_object()?.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.and_then(|(_, value)| value.as_str()).filter(|name| is_name(name))
    };
    member("id").or_else(|| member(EXTERNAL_ID))
}

/// What of a request was said by the client's own names: the ids that stand there now, and the names.
#[derive(Debug, Default)]
pub(super) struct Meant(HashMap<String, String>);

impl Meant {
    /// Puts ids in the place of names in the body of a POST or PUT.
    pub(super) async fn document(
        state: &State,
        ctx: &Ctx,
        definition: &Definition,
        body: &mut Value,
    ) -> Result<Self, Failure> {
        let Some(document) = body.as_object_mut() else { return Ok(Meant::default()) };
        Meant::of(state, ctx, |rename| Ids(definition).of_document(document, rename)).await
    }

    /// The same in the body of a PATCH.
    pub(super) async fn patch(
        state: &State,
        ctx: &Ctx,
        definition: &Definition,
        body: &mut Value,
    ) -> Result<Self, Failure> {
        Meant::of(state, ctx, |rename| Ids(definition).of_patch(body, rename)).await
    }

    /// The same in the filter of a search.
    pub(super) async fn search(
        state: &State,
        ctx: &Ctx,
        definitions: &[Arc<Definition>],
        search: &mut SearchRequest,
    ) -> Result<Self, Failure> {
        let Some(text) = search.filter.as_deref().filter(|_| ctx.caller.profile.has_names()) else {
            return Ok(Meant::default());
        };
        // One that cannot be read is refused where it is read.
        let Ok(mut filter) = Filter::parse(text) else { return Ok(Meant::default()) };
        let mut is_other = false;
        let rename_all = |rename: &mut Rename<'_>| {
            for definition in definitions {
                is_other |= Ids(definition).of_filter(&mut filter, rename);
            }
        };
        let meant = Meant::of(state, ctx, rename_all).await?;
        if is_other {
            search.filter = Some(filter.to_string());
        }
        Ok(meant)
    }

    /// Goes through all places twice: what is asked for is looked up at once.
    async fn of(state: &State, ctx: &Ctx, mut rename_all: impl FnMut(&mut Rename<'_>)) -> Result<Self, Failure> {
        let mut meant = Meant::default();
        if !ctx.caller.profile.has_names() {
            return Ok(meant);
        }
        let mut asked: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        rename_all(&mut |kinds, name| {
            for kind in kinds.iter().filter(|_| is_name(name)) {
                asked.entry(kind.clone()).or_default().insert(name.to_owned());
            }
            None
        });
        let holders = state.directory.all_addressed(ctx, asked).await?;
        if !holders.is_empty() {
            rename_all(&mut |kinds, name| {
                let holder = |kind: &String| holders.get(&(kind.clone(), name.to_owned()));
                let id = kinds.iter().find_map(holder)?.to_string();
                meant.0.insert(id.clone(), name.to_owned());
                Some(id)
            });
        }
        Ok(meant)
    }

    /// The same failure, which speaks of what the client has named by the names that it has said.
    pub(super) fn told(&self, failure: impl Into<Failure>) -> Failure {
        let named = |text: String| self.0.iter().fold(text, |text, (id, name)| text.replace(id, name));
        match failure.into() {
            Failure::Scim(error) => Failure::Scim(scim::Error { detail: named(error.detail), ..error }),
            Failure::Denied(reason) => Failure::Denied(named(reason)),
            failure => failure,
        }
    }
}

/// What was written, as the client names it.
pub(super) async fn written(
    state: &State,
    ctx: &Ctx,
    definition: &Arc<Definition>,
    mut written: Written,
) -> Result<Written, Failure> {
    if let Some((body, location)) = renamed(state, ctx, definition, &written.body).await? {
        written.body = body;
        written.location = location.unwrap_or(written.location);
    }
    Ok(written)
}

/// What was fetched, as the client names it.
pub(super) async fn fetched(
    state: &State,
    ctx: &Ctx,
    definition: &Arc<Definition>,
    fetched: Fetched,
) -> Result<Fetched, Failure> {
    Ok(match fetched {
        Fetched::Found { etag, location, body } => match renamed(state, ctx, definition, &body).await? {
            Some((body, theirs)) => Fetched::Found { etag, location: theirs.unwrap_or(location), body },
            None => Fetched::Found { etag, location, body },
        },
        fetched => fetched,
    })
}

/// What a search of these types has found, as the client names it.
pub(super) async fn found(
    state: &State,
    ctx: &Ctx,
    definitions: &[Arc<Definition>],
    mut found: Found,
) -> Result<Found, Failure> {
    if ctx.caller.profile.has_names()
        && let Ok(mut list) = serde_json::from_str::<Value>(&found.body)
        && let Some(Value::Array(resources)) = list.get_mut("Resources")
    {
        let mut resources: Vec<_> = resources.iter_mut().filter_map(Value::as_object_mut).collect();
        rename_all(state, ctx, definitions, &mut resources).await?;
        found.body = list.to_string();
    }
    Ok(found)
}

/// The text of a resource with the client's names in the place of ids, and its location by its own; `None`: the client has no
/// such names.
async fn renamed(
    state: &State,
    ctx: &Ctx,
    definition: &Arc<Definition>,
    body: &str,
) -> Result<Option<(String, Option<String>)>, Failure> {
    if !ctx.caller.profile.has_names() {
        return Ok(None);
    }
    let Ok(mut resource) = serde_json::from_str::<Map<String, Value>>(body) else { return Ok(None) };
    Box::pin(rename_all(state, ctx, std::slice::from_ref(definition), &mut [&mut resource])).await?;
    let location = resource.get("meta").and_then(|meta| meta.get("location")?.as_str().map(str::to_owned));
    Ok(Some((Value::Object(resource).to_string(), location)))
}

/// Puts the client's names in the place of ids in all of these, which are of these types.
async fn rename_all(
    state: &State,
    ctx: &Ctx,
    definitions: &[Arc<Definition>],
    resources: &mut [&mut Map<String, Value>],
) -> Result<(), Failure> {
    let mut ids: BTreeSet<ResourceId> = BTreeSet::new();
    let mut note = |id: &str| ids.extend(id.parse::<ResourceId>().ok());
    for resource in resources.iter_mut() {
        resource.get("id").and_then(Value::as_str).into_iter().for_each(&mut note);
        for definition in definitions {
            Ids(definition).of_document(resource, &mut |_, id| {
                note(id);
                None
            });
        }
    }
    let names = state.directory.names_of(ctx, ids).await?;
    let mut rename = |_: &[String], id: &str| names.get(&id.parse().ok()?).cloned();
    for resource in resources {
        for definition in definitions {
            Ids(definition).of_document(resource, &mut rename);
        }
        // What is not written yet, as a simulation shows it, has the name that it is to get.
        let own = resource.get("id").and_then(Value::as_str).and_then(|id| rename(&[], id));
        let said = || resource.get(EXTERNAL_ID)?.as_str().filter(|name| is_name(name)).map(str::to_owned);
        if let Some(name) = own.or_else(said) {
            call(resource, &name);
        }
    }
    Ok(())
}

/// Has a resource go by a name.
fn call(resource: &mut Map<String, Value>, name: &str) {
    if let Some(location) = resource.get_mut("meta").and_then(|meta| meta.get_mut("location"))
        && let Some((base, _)) = location.as_str().and_then(|location| location.rsplit_once('/'))
    {
        *location = format!("{base}/{name}").into();
    }
    if let Some(id) = resource.get_mut("id") {
        *id = name.into();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NAME: &str = "0f9c3a5e-8a9f-4a55-9d43-0a5f7c1e2b11";

    #[test]
    fn a_resource_goes_by_a_name() {
        let location = "https://id.example.se/t/a/scim/v2/Users/1";
        let mut body = json!({ "id": "1", "meta": { "location": location } });
        call(body.as_object_mut().expect("one"), NAME);
        let theirs = format!("https://id.example.se/t/a/scim/v2/Users/{NAME}");
        assert_eq!(body, json!({ "id": NAME, "meta": { "location": theirs } }));
    }

    #[test]
    fn a_failure_speaks_by_the_names_that_were_said() {
        let meant = Meant([("7".to_owned(), NAME.to_owned())].into());
        let told = |failure: Failure| meant.told(failure).told().detail;
        assert_eq!(told(scim::Error::invalid_value("7 is none.").into()), format!("{NAME} is none."));
        assert_eq!(meant.told(Failure::Method("GET")).told(), Failure::Method("GET").told());
    }

    #[test]
    fn a_body_is_put_under_its_id_or_its_name() {
        assert_eq!(name_in(&json!({ "id": NAME, "externalId": "x" })), Some(NAME));
        assert_eq!(name_in(&json!({ "ID": "7", "ExternalId": NAME })), Some(NAME));
        assert_eq!(name_in(&json!({ "externalId": "x" })), None);
        let named = Named { id: "1".into(), asked: NAME.into(), kind: "User".into() };
        let mut body = json!({ "externalid": null, "userName": "ada" });
        named.keep(&mut body).expect("kept");
        assert_eq!(body, json!({ "userName": "ada", "externalId": NAME }));
        assert!(named.keep(&mut json!({ "externalId": "other" })).is_err());
    }
}

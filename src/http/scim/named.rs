//! Answers and paths for clients that know resources by names of their own (profile `egil`, SS 12000:2018): a name in the
//! path is looked up, `id` and `meta.location` of what is answered are the client's, and what is not there is told by the
//! name that was asked for. Everything else is as for any client.

use std::sync::Arc;

use scim::schema::Definition;
use serde_json::{Map, Value};

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

/// What was written, as the client names it.
pub(super) fn written(ctx: &Ctx, mut written: Written) -> Written {
    if ctx.caller.profile.has_names()
        && let Some((body, location)) = renamed(&written.body)
    {
        written.body = body;
        written.location = location.unwrap_or(written.location);
    }
    written
}

/// What was fetched, as the client names it. A group that is written while it is sent keeps its id.
pub(super) fn fetched(ctx: &Ctx, fetched: Fetched) -> Fetched {
    match fetched {
        Fetched::Found { etag, location, body } if ctx.caller.profile.has_names() => match renamed(&body) {
            Some((body, theirs)) => Fetched::Found { etag, location: theirs.unwrap_or(location), body },
            None => Fetched::Found { etag, location, body },
        },
        fetched => fetched,
    }
}

/// What a search has found, as the client names it.
pub(super) fn found(ctx: &Ctx, mut found: Found) -> Found {
    if ctx.caller.profile.has_names()
        && let Ok(mut list) = serde_json::from_str::<Value>(&found.body)
        && let Some(Value::Array(resources)) = list.get_mut("Resources")
    {
        resources.iter_mut().filter_map(Value::as_object_mut).for_each(|resource| drop(rename(resource)));
        found.body = list.to_string();
    }
    found
}

/// The text of a resource with the client's name in the place of its id, and its location; `None`: it has no such name.
fn renamed(body: &str) -> Option<(String, Option<String>)> {
    let mut resource = serde_json::from_str::<Map<String, Value>>(body).ok()?;
    let location = rename(&mut resource)?;
    Some((Value::Object(resource).to_string(), location))
}

fn rename(resource: &mut Map<String, Value>) -> Option<Option<String>> {
    let name = resource.get(EXTERNAL_ID)?.as_str().filter(|name| is_name(name))?.to_owned();
    let location = resource.get_mut("meta").and_then(|meta| meta.get_mut("location"));
    let location = location.and_then(|location| {
        let theirs = format!("{}/{name}", location.as_str()?.rsplit_once('/')?.0);
        *location = theirs.as_str().into();
        Some(theirs)
    });
    *resource.get_mut("id")? = name.into();
    Some(location)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NAME: &str = "0f9c3a5e-8a9f-4a55-9d43-0a5f7c1e2b11";

    #[test]
    fn a_resource_is_shown_by_its_name_and_one_without_as_it_is() {
        let location = "https://id.example.se/t/a/scim/v2/Users/1";
        let body = json!({ "id": "1", "externalId": NAME, "meta": { "location": location } }).to_string();
        let (body, location) = renamed(&body).expect("a name");
        let body: Value = serde_json::from_str(&body).expect("JSON");
        let theirs = format!("https://id.example.se/t/a/scim/v2/Users/{NAME}");
        assert_eq!((&body["id"], &body["meta"]["location"]), (&json!(NAME), &json!(theirs)));
        assert_eq!(location, Some(theirs));
        for body in [json!({ "id": "1" }), json!({ "id": "1", "externalId": "ada" }), json!([])] {
            assert_eq!(renamed(&body.to_string()), None, "{body}");
        }
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

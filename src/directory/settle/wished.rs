//! Names that a client says although it leaves names to a policy (`names: generated`, RFC 7643 section 4.1.1 asks for a
//! `userName` in every POST): they are kept as that client's word among what sources say ([`super::sources`]), so that nothing
//! that was said is lost, and never take the place of ours. Where an authority is about them its sources say them and nothing
//! is kept here. Only with the extension Sources on User, in which words lie.

use provisioning::calendar::instant;
use provisioning::person::USER;
use provisioning::sources::{Heard, Site, Statement, URN, Wish, hear as listen};
use scim::schema::Definition;
use serde_json::{Map, Value};

use super::super::Ctx;
use super::{Book, Voice, sources};

/// Where names lie.
pub(in crate::directory) const PLACES: [&str; 2] = ["userName", "emails"];
/// What of an address is kept.
const PARTS: [&str; 4] = ["value", "type", "display", "primary"];
/// Addresses of one client that are kept of a User.
const MANY: usize = 50;

/// The names in a body of a client that leaves them to a policy; what is no name is passed over. `None`: it does not.
pub(in crate::directory) fn of(ctx: &Ctx, kind: &str, body: &Value) -> Option<Map<String, Value>> {
    let members = body.as_object().filter(|_| kind == USER && ctx.caller.generates_names)?;
    let named = |members: &Map<String, Value>, name: &str| {
        members.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
    };
    let mut names = Map::new();
    if let Some(name @ Value::String(_)) = named(members, "userName") {
        names.insert("userName".to_owned(), name);
    }
    let kept = |element: &Value| {
        let object = element.as_object()?;
        let parts = PARTS.iter().filter_map(|part| {
            let value = named(object, part).filter(|value| value.is_boolean() == (*part == "primary"))?;
            (value.is_boolean() || value.is_string()).then(|| ((*part).to_owned(), value))
        });
        let parts = Map::from_iter(parts);
        parts.contains_key("value").then_some(Value::Object(parts))
    };
    if let Some(Value::Array(elements)) = named(members, "emails") {
        let elements: Vec<Value> = elements.iter().filter_map(kept).take(MANY).collect();
        if !elements.is_empty() {
            names.insert("emails".to_owned(), elements.into());
        }
    }
    Some(names)
}

/// Keeps what a write of a client that leaves names to a policy says of them: those of its body, else what the write would
/// have made of ours. What comes back as it was read says nothing.
pub(super) fn hear(
    ctx: &Ctx,
    book: &Book,
    definition: &Definition,
    before: Option<&Map<String, Value>>,
    after: &mut Map<String, Value>,
    voice: &Voice<'_>,
) {
    if !ctx.caller.generates_names || definition.extension(URN).is_none() {
        return;
    }
    let client = ctx.caller.id.to_string();
    let mut said = sources::said(after);
    for path in PLACES {
        let Ok(site) = Site::parse(definition, path) else { continue };
        if book.sites(definition.name()).any(|(_, known)| known.overlaps(&site)) {
            continue;
        }
        let shown = before.map(|before| site.values(before)).unwrap_or_default();
        let wanted = site.values(voice.wished.unwrap_or(&*after));
        let statements = said.entry(path.to_owned()).or_default();
        let own = statements.iter().find(|one| one.source == client).map(|one| one.values.clone()).unwrap_or_default();
        let wish = Wish { shown: &shown, wanted: &wanted, absence: voice.absence, is_named: before.is_none() };
        let Heard::Says(values) = listen(&site, &own, wish) else { continue };
        if site.is_same(&own, &values) {
            continue;
        }
        statements.retain(|one| one.source != client);
        if !values.is_empty() {
            statements.push(Statement { source: client.clone(), values, since: instant(ctx.now).unwrap_or_default() });
        }
    }
    sources::write(after, &said);
}

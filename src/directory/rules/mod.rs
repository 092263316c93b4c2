//! Rules as resources (`/Rules`): whether one can be saved, who may activate it, and who said what beside it by hand. What a
//! rule gives whom is worked out by [`provisioning::rules`]; that it becomes so is the business of `settle`.
//!
//! A rule on a restricted right has to be activated by another person than the one who wrote it. So it is not changed
//! while it is active, nor made unrestricted: it is proposed anew.

mod members;
mod reach;
pub(super) mod target;
mod why;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value};

use provisioning::calendar::instant;
use provisioning::rules::{Rule, Stage, check_together};
use scim::schema::Registry;
use store::work::document_of;
use store::{ResourceId, Work};

use super::particular::{Follow, Write};
use super::settle::RULE;
use super::{Ctx, Error, persons};

pub(super) use members::{attend_group, keep_ruled, note_source, said_by, source_of};
pub(super) use target::GROUP;
pub use why::Question;

/// The resource type that rules are about.
const USER: &str = "User";
/// The resource type of entitlements, where the tenant has it.
pub(super) const ENTITLEMENT: &str = "Entitlement";

/// What may change of an active restricted rule: what takes rights away, and words.
const UNRESTRICTED: [&str; 3] = ["description", "exclude", "lifecycle"];
/// What the server itself says of a rule.
const STAMPS: [&str; 3] = ["proposedBy", "activatedBy", "activatedAt"];

/// Checks a rule's document against the tenant's User. Errors are 400 invalidValue.
pub(super) fn check(registry: &Registry, document: &Map<String, Value>) -> Result<(), scim::Error> {
    if read("", 0, registry, document)?.is_of_person && !persons::are_there(registry) {
        return Err(scim::Error::invalid_value(
            "scope must be user: this register knows no persons. Install them first: matrikel schema install.",
        ));
    }
    Ok(())
}

/// The rule that a document says.
pub(super) fn read(
    id: &str,
    version: i64,
    registry: &Registry,
    document: &Map<String, Value>,
) -> Result<Rule, scim::Error> {
    let user = registry.definition(USER);
    let user = user.ok_or_else(|| scim::Error::invalid_value("There is no resource type User."))?;
    Rule::read(id, version, document, user)
}

/// Notes in a rule who wrote it, who activated it and who said what by hand; `before` is the rule as it was. Fails as denied
/// when the one who wrote a restricted rule activates it, or when one that is active would become another.
pub(super) fn stamp(
    ctx: &Ctx,
    before: Option<&Map<String, Value>>,
    after: &mut Map<String, Value>,
) -> Result<(), Error> {
    let nothing = Map::new();
    let before = before.unwrap_or(&nothing);
    let is_new = before.is_empty();
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let is_said = |name: &str| !STAMPS.contains(&name) && name != "schemas";
    let changed: Vec<String> =
        names.into_iter().filter(|name| is_said(name) && before.get(*name) != after.get(*name)).cloned().collect();
    let (was, is) = (stage(before), stage(after));
    let is_restricted = |document: &Map<String, Value>| document.get("restricted") == Some(&Value::Bool(true));
    if is_restricted(before) && !is_restricted(after) {
        return Err(Error::Denied("A restricted rule stays restricted. Write another one in its place.".into()));
    }
    for name in STAMPS {
        match before.get(name) {
            Some(value) => drop(after.insert(name.to_owned(), value.clone())),
            None => drop(after.shift_remove(name)),
        }
    }
    let other = changed.iter().find(|name| !UNRESTRICTED.contains(&name.as_str()));
    if let (Some(name), Stage::Active, Stage::Active, true) = (other, was, is, is_restricted(after)) {
        return Err(Error::Denied(format!(
            "This rule is restricted and active: its {name} cannot change. Set lifecycle to proposed first, so that another \
             person activates what you write."
        )));
    }
    let who = who(ctx);
    if is_new || other.is_some() {
        after.insert("proposedBy".to_owned(), who.clone().into());
    }
    if is == Stage::Active && (was != Stage::Active || is_new) {
        if is_restricted(after) && after.get("proposedBy").and_then(Value::as_str) == Some(&who) {
            return Err(Error::Denied(
                "This rule is restricted: another person than the one who wrote it has to activate it.".into(),
            ));
        }
        after.insert("activatedBy".to_owned(), who.clone().into());
        after.insert("activatedAt".to_owned(), instant(ctx.now).into());
    }
    for name in ["include", "exclude"] {
        sign(&who, ctx.now, before.get(name), after.get_mut(name));
    }
    Ok(())
}

/// Whoever asks: the User that a token names, else the client.
fn who(ctx: &Ctx) -> String {
    ctx.caller.user.unwrap_or(ctx.caller.id).to_string()
}

pub(super) fn stage(document: &Map<String, Value>) -> Stage {
    let name = document.get("lifecycle").and_then(Value::as_str);
    name.and_then(Stage::parse).unwrap_or(Stage::Proposed)
}

/// Notes by whom and when something was said by hand; what was said before keeps its own.
fn sign(who: &str, now: i64, before: Option<&Value>, after: Option<&mut Value>) {
    let said = |element: &Value| ["value", "reason", "until"].map(|name| element.get(name).cloned());
    let before = before.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for element in after.and_then(Value::as_array_mut).into_iter().flatten() {
        let known = before.iter().find(|known| said(known) == said(element)).cloned();
        let Some(object) = element.as_object_mut() else { continue };
        let stamps = match known {
            Some(known) => [known.get("by").cloned(), known.get("at").cloned()],
            None => [Some(who.into()), instant(now).map(Value::String)],
        };
        for (name, value) in ["by", "at"].into_iter().zip(stamps) {
            match value {
                Some(value) => drop(object.insert(name.to_owned(), value)),
                None => drop(object.shift_remove(name)),
            }
        }
    }
}

/// The rules that give, by name. One that the schemas of today do not fit gives nothing.
pub(super) fn read_active(work: &mut Work<'_>) -> Result<Vec<Arc<Rule>>, Error> {
    let registry = work.catalog().registry().clone();
    let mut rules = Vec::new();
    for record in work.records_of(RULE)? {
        match read(&record.id.to_string(), record.version, &registry, &document_of(&record)?) {
            Ok(rule) if rule.stage == Stage::Active => rules.push(Arc::new(rule)),
            Ok(_) => {}
            Err(error) => {
                let (rule, error) = (record.label, error.detail.to_string());
                tracing::warn!(rule, error, "a rule that does not fit the schemas any more gives nothing");
            }
        }
    }
    rules.sort_by(|one, other| (&one.name, &one.id).cmp(&(&other.name, &other.id)));
    Ok(rules)
}

/// Sees to a rule that is written or removed: whoever it may matter for is looked at again.
pub(super) fn attend(
    write: &Write<'_>,
    after: Option<&mut Map<String, Value>>,
    work: &mut Work<'_>,
) -> Result<Option<Follow>, Error> {
    let before = write.before.map(document_of).transpose()?;
    let after = after.cloned();
    if let Some(document) = &after {
        check_among(write.id, document, work)?;
    }
    Ok(Some(Box::new(move |write, _, work| {
        reach::note_change(write.ctx, work, before.as_ref(), after.as_ref());
        Ok(())
    })))
}

/// Checks a rule against the other rules and what it gives. Errors are 400 invalidValue.
pub(super) fn check_among(id: ResourceId, document: &Map<String, Value>, work: &mut Work<'_>) -> Result<(), Error> {
    if stage(document) != Stage::Active {
        return Ok(());
    }
    let registry = work.catalog().registry().clone();
    let rule = read(&id.to_string(), 0, &registry, document)?;
    let mut names = BTreeSet::new();
    for record in work.records_of(RULE)? {
        let Ok(other) = read(&record.id.to_string(), record.version, &registry, &document_of(&record)?) else {
            continue;
        };
        check_together(&rule, &other)?;
        names.extend([other.id, other.name.to_lowercase()]);
    }
    if let Some(name) = rule.not_with.iter().find(|name| !names.contains(&name.to_lowercase())) {
        return Err(scim::Error::invalid_value(format!("notWith: there is no rule {name}.")).into());
    }
    Ok(())
}

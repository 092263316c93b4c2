//! Whether a view can be saved: every type is there, every filter fits its type, every attribute exists. What is wrong
//! is 400 invalidValue that says where it stands.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use scim::schema::{Definition, Registry};
use store::ResourceId;

use super::{EXEMPT, Protected, Rule, Veil, filter, leaving, mappings, rules};

/// Attributes of which every client sees its own form, so that no view can go by them.
const OWN: [&str; 2] = ["meta.version", "meta.location"];

/// Checks the document of a view against the tenant's resource types.
pub(in crate::directory) fn check(registry: &Registry, document: &Map<String, Value>) -> Result<(), scim::Error> {
    if Protected::parse(document).is_none() {
        return Err(scim::Error::invalid_value(
            "protected must be mask, hide or include: of people who are protected the view shows what neither names nor \
             finds them, nothing, or as much as of others.",
        ));
    }
    let mut known = BTreeSet::new();
    for (index, rule) in rules(document, ResourceId::SYSTEM).enumerate() {
        let place = format!("types[{index}]");
        let definition = definition(registry, &rule, &place)?;
        if !known.insert(rule.kind) {
            let detail = format!("{place}.type: {} is named twice. Put all about it in one place.", rule.kind);
            return Err(scim::Error::invalid_value(detail));
        }
        check_filter(&rule, definition, &place)?;
        check_attributes(&rule, definition, &place)?;
        check_forms(&rule, definition)?;
    }
    if let Some((kind, form)) = mappings(document).find(|(kind, _)| !known.contains(kind)) {
        let detail = format!("mappings[{}].type: {kind} is not among the types of the view.", form.place);
        return Err(scim::Error::invalid_value(detail));
    }
    let elements = document.get("types").and_then(Value::as_array).into_iter().flatten();
    for (index, element) in elements.enumerate() {
        if element.get("membersOutside").and_then(Value::as_str).is_some_and(|outside| outside != "omit") {
            let detail = format!("types[{index}].membersOutside must be omit: what is not seen is left out.");
            return Err(scim::Error::invalid_value(detail));
        }
    }
    leaving::check(registry, document)
}

fn definition<'r>(registry: &'r Registry, rule: &Rule<'_>, place: &str) -> Result<&'r Definition, scim::Error> {
    let kind = rule.kind;
    if EXEMPT.contains(&kind) {
        return Err(scim::Error::invalid_value(format!(
            "{place}.type: {kind} cannot be part of a view. Memberships are seen where their group and their member are; \
             clients and views are for administrators alone."
        )));
    }
    let unknown = || scim::Error::invalid_value(format!("{place}.type: there is no resource type {kind}."));
    registry.definition(kind).map(AsRef::as_ref).ok_or_else(unknown)
}

fn check_filter(rule: &Rule<'_>, definition: &Definition, place: &str) -> Result<(), scim::Error> {
    let Some(text) = rule.filter else { return Ok(()) };
    let wrong = |detail: &str| scim::Error::invalid_value(format!("{place}.filter: {detail}"));
    let filter = filter(text, definition).map_err(|error| wrong(&error.detail))?;
    let paths = filter.attributes();
    if let Some(path) = paths.iter().find(|path| OWN.contains(path)) {
        return Err(wrong(&format!("{path} is another one for each client, and no view can go by it.")));
    }
    // What a document holds in its place moves with the keys.
    match definition.secrets().iter().find(|secret| paths.contains(&*secret.path)) {
        Some(secret) => Err(wrong(&format!("{} is secret, and no view can go by it.", secret.path))),
        None => Ok(()),
    }
}

fn check_forms(rule: &Rule<'_>, definition: &Definition) -> Result<(), scim::Error> {
    let mut known = BTreeSet::new();
    for form in &rule.forms {
        let wrong = |detail: &str| scim::Error::invalid_value(format!("mappings[{}]: {detail}", form.place));
        let mapping = rule.mapping(form, definition).map_err(|detail| wrong(&detail))?;
        let released = rule.view(definition, Veil::None);
        if !released.sees_all(mapping.path()) {
            return Err(wrong(&format!("{} is not released by the view.", mapping.path())));
        }
        if form.neutral.is_some() && rule.masking().neutral(rule.kind).is_none() {
            return Err(wrong("neutral is for users of a view that masks protected people."));
        }
        if !known.insert(mapping.path().to_owned()) {
            return Err(wrong(&format!("{} is mapped twice.", mapping.path())));
        }
    }
    Ok(())
}

fn check_attributes(rule: &Rule<'_>, definition: &Definition, place: &str) -> Result<(), scim::Error> {
    let paths = rule.released.as_deref().unwrap_or_default();
    let wrong =
        |index: usize, detail: String| scim::Error::invalid_value(format!("{place}.attributes[{index}]: {detail}"));
    let mut released = BTreeSet::new();
    for (index, path) in paths.iter().enumerate() {
        let missing = || wrong(index, format!("{} has no attribute {path}.", definition.name()));
        released.insert(definition.resolve(path).ok_or_else(missing)?.canonical());
    }
    // An element is known by its value: without it, nobody could tell what a change of the rest is about.
    for (index, path) in paths.iter().enumerate() {
        let Some(place) = definition.resolve(path) else { continue };
        let (Some(attribute), Some(sub)) = (place.attribute, place.sub) else { continue };
        if !attribute.multi_valued || attribute.sub("value").is_none() || sub.name == "value" {
            continue;
        }
        let canonical = place.canonical();
        let whole = canonical.strip_suffix(&format!(".{}", sub.name)).unwrap_or(&canonical).to_owned();
        if !released.contains(&whole) && !released.contains(&format!("{whole}.value")) {
            let detail = format!("{path} says nothing without the value it belongs to. Add {whole}.value.");
            return Err(wrong(index, detail));
        }
    }
    Ok(())
}

//! What real clients send besides the standard's forms, turned into them: capital letters, path-less values with flat
//! keys, removal by value. Each use is noted, and a strict profile refuses it.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::Verb;
use super::parse::{Goal, Planner};
use crate::Error;
use crate::filter::{Checked, Filter, Op};
use crate::resource::{Reader, Spot, Strictness};
use crate::schema::{Attribute, Definition, Schema};

/// The members of a message's object by name. Another case is a quirk; further members are ignored or refused.
pub(super) fn members<'b, const N: usize>(
    object: &'b Map<String, Value>,
    names: [&str; N],
    reader: &mut Reader<'_>,
) -> Result<[Option<&'b Value>; N], Error> {
    let mut found = [None; N];
    for (key, value) in object {
        let known = names.iter().zip(found.iter_mut()).find(|(name, _)| name.eq_ignore_ascii_case(key));
        let Some((name, place)) = known else {
            if reader.strictness == Strictness::Strict {
                return Err(Error::invalid_syntax(format!("{key} is not a member of a PATCH message.")));
            }
            continue;
        };
        if name != key && !reader.forgives("key-case") {
            return Err(Error::invalid_syntax(format!("{key} must be written {name}.")));
        }
        if place.replace(value).is_some() {
            return Err(Error::invalid_syntax(format!("{name} is given more than once.")));
        }
    }
    Ok(found)
}

/// The `op` of an operation, in any case.
pub(super) fn verb(op: Option<&Value>, reader: &mut Reader<'_>) -> Result<Verb, Error> {
    let unknown = || Error::invalid_syntax("op must be one of add, remove and replace.");
    let op = op.and_then(Value::as_str).ok_or_else(unknown)?;
    let verb = match op.to_ascii_lowercase().as_str() {
        "add" => Verb::Add,
        "remove" => Verb::Remove,
        "replace" => Verb::Replace,
        _ => return Err(unknown()),
    };
    let is_lower = !op.bytes().any(|byte| byte.is_ascii_uppercase());
    if is_lower || reader.forgives("op-case") { Ok(verb) } else { Err(unknown()) }
}

/// `schemas` follow from the document, so setting them has no effect; they are only checked.
pub(super) fn ignore_schemas(
    def: &Definition,
    verb: Verb,
    value: Option<&Value>,
    reader: &mut Reader<'_>,
) -> Result<(), Error> {
    if verb == Verb::Remove {
        return Err(Error::mutability("schemas is required and cannot be removed."));
    }
    let urns = match value {
        Some(Value::Array(urns)) => urns.as_slice(),
        Some(urn @ Value::String(_)) if reader.forgives("bare-array") => std::slice::from_ref(urn),
        _ => return Err(Error::invalid_value("schemas must be an array of schema URNs.")),
    };
    for urn in urns {
        let Some(urn) = urn.as_str() else {
            return Err(Error::invalid_value("schemas must be an array of schema URNs."));
        };
        let known = urn.eq_ignore_ascii_case(&def.core.id) || def.extension(urn).is_some();
        if !known && !reader.forgives("unknown-schema") {
            return Err(Error::invalid_syntax(format!("schemas holds one that is not a schema of {}.", def.name())));
        }
    }
    Ok(())
}

/// `{"members": […]}` where the elements themselves belong.
pub(super) fn unwrap<'v>(attribute: &Attribute, value: &'v Value, reader: &mut Reader<'_>) -> &'v Value {
    match value.as_object().and_then(|object| object.iter().next().filter(|_| object.len() == 1)) {
        Some((name, inner))
            if attribute.multi_valued
                && name.eq_ignore_ascii_case(&attribute.name)
                && attribute.sub(name).is_none()
                && reader.forgives("wrapped-value") =>
        {
            inner
        }
        _ => value,
    }
}

/// The ids that a filter of `value eq "…"`, or several with `or`, names; `None`: it says something else.
pub(super) fn named_values(filter: &Filter<Checked>) -> Option<Vec<String>> {
    match filter {
        Filter::Compare(target, Op::Eq, operand) if target.sub.as_deref() == Some("value") => {
            Some(vec![operand.raw.as_str()?.to_owned()])
        }
        Filter::Or(parts) => parts.iter().map(named_values).collect::<Option<Vec<_>>>().map(|ids| ids.concat()),
        _ => None,
    }
}

impl<'d> Planner<'d, '_> {
    /// An operation without path: its value holds the attributes.
    pub(super) fn pathless(&mut self, verb: Verb, value: Option<&Value>) -> Result<(), Error> {
        let tolerant = self.reader.strictness == Strictness::Tolerant;
        match (verb, value) {
            (Verb::Remove, Some(Value::Object(fields))) if tolerant && !fields.is_empty() => self.remove_fields(fields),
            (Verb::Remove, _) => Err(Error::no_target("remove needs a path.")),
            _ if !tolerant => Err(Error::invalid_syntax("path is required.")),
            (_, Some(Value::Object(fields))) => self.fields(verb, None, fields),
            (_, Some(_)) => Err(Error::invalid_value("value must be an object where there is no path.")),
            (_, None) => Err(Error::invalid_value("value is required.")),
        }
    }

    /// Attributes of an extension, or of the whole resource, each as an operation of its own.
    pub(super) fn fields(
        &mut self,
        verb: Verb,
        schema: Option<&'d Schema>,
        fields: &Map<String, Value>,
    ) -> Result<(), Error> {
        let mut seen: HashSet<String> = HashSet::with_capacity(fields.len());
        for (key, value) in fields {
            if !seen.insert(key.to_ascii_lowercase()) {
                return Err(Error::invalid_syntax(format!(
                    "{key} is given more than once; names are the same in any case."
                )));
            }
            self.field(verb, schema, key, value)?;
        }
        Ok(())
    }

    fn field(&mut self, verb: Verb, schema: Option<&'d Schema>, key: &str, value: &Value) -> Result<(), Error> {
        let def = self.def;
        if let Some(schema) = schema {
            return match schema.attribute(key) {
                Some(attribute) => {
                    self.plan(verb, Goal { schema: Some(schema), attribute, sub: None }, None, Some(value))
                }
                None => self.flat(verb, &format!("{}:{key}", schema.id), value),
            };
        }
        if key.eq_ignore_ascii_case("id") {
            let claimed = value.as_str().ok_or_else(|| Error::invalid_value("id must be a string."))?;
            if self.patch.claims_id.as_deref().is_some_and(|known| known != claimed) {
                return Err(Error::mutability("id is set by the server alone."));
            }
            self.patch.claims_id = Some(claimed.to_owned());
            return Ok(());
        }
        if key.eq_ignore_ascii_case("schemas") {
            return Ok(());
        }
        if let Some(attribute) = def.attribute(key) {
            return self.plan(verb, Goal { schema: None, attribute, sub: None }, None, Some(value));
        }
        if let Some(schema) = def.extension(key) {
            return self.extension(verb, schema, Some(value));
        }
        match value {
            Value::Object(fields) if key.eq_ignore_ascii_case(&def.core.id) => {
                self.reader.notes.note("dotted-key");
                self.fields(verb, None, fields)
            }
            _ => self.flat(verb, key, value),
        }
    }

    /// A key that is a path: `name.givenName`, `urn:…:User:department`, `emails[type eq "work"].value`.
    fn flat(&mut self, verb: Verb, key: &str, value: &Value) -> Result<(), Error> {
        let leads = crate::path::PatchPath::parse(key).is_ok_and(|path| self.def.resolve(&path.attr).is_some());
        if leads && self.reader.forgives("dotted-key") && self.at_path(verb, key, Some(value))? {
            return Ok(());
        }
        self.reader.skip_unknown(Spot::Key(key))
    }

    /// `remove` without path but with `{"members": […]}`: those elements, never all of them.
    fn remove_fields(&mut self, fields: &Map<String, Value>) -> Result<(), Error> {
        for (key, value) in fields {
            let attribute = self.def.attribute(key).filter(|attribute| attribute.multi_valued);
            let Some(attribute) = attribute.filter(|_| value.is_array() || value.is_object()) else {
                return Err(Error::no_target("remove needs a path."));
            };
            self.plan(Verb::Remove, Goal { schema: None, attribute, sub: None }, None, Some(value))?;
        }
        Ok(())
    }
}

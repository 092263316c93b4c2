//! A PatchOp message becomes operations (RFC 7644 section 3.5.2): the envelope, the path and its target, the value and
//! its type. Whatever cannot be right for any document of the type is refused here, naming the operation.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::{MAX_OPERATIONS, Operation, PATCH_OP_URN, Patch, RelationChange, Verb, quirks, strict, within};
use crate::Error;
use crate::filter::{Checked, Filter, Op, Parsed};
use crate::path::PatchPath;
use crate::resource::{MEMBERS, Notes, Reader, Spot, Strictness};
use crate::schema::{Attribute, Definition, Mutability, Schema, Type};

/// Reads a PatchOp message.
///
/// Errors: 400 invalidSyntax for a message that is none, invalidPath for a path that leads nowhere, noTarget for
/// `remove` without path, invalidValue for a value of the wrong kind, mutability for what may not be changed.
pub fn parse(def: &Definition, body: &Value, strictness: Strictness, notes: &mut Notes) -> Result<Patch, Error> {
    let mut reader = Reader { strictness, notes };
    let body = body.as_object().ok_or_else(|| Error::invalid_syntax("The body must be a JSON object."))?;
    let [schemas, operations] = quirks::members(body, ["schemas", "Operations"], &mut reader)?;
    let is_patch = |urn: &Value| urn.as_str().is_some_and(|urn| urn.eq_ignore_ascii_case(PATCH_OP_URN));
    let named = schemas.and_then(Value::as_array).is_some_and(|urns| urns.iter().any(is_patch));
    if !named && !reader.forgives("schemas-missing") {
        return Err(Error::invalid_syntax(format!("schemas must be given and contain {PATCH_OP_URN}.")));
    }
    let operations = operations
        .and_then(Value::as_array)
        .filter(|operations| !operations.is_empty())
        .ok_or_else(|| Error::invalid_syntax("Operations must be an array of at least one operation."))?;
    if operations.len() > MAX_OPERATIONS {
        return Err(Error::invalid_syntax(format!("Operations may have at most {MAX_OPERATIONS} operations.")));
    }
    let mut planner = Planner { def, reader, patch: Patch::default(), index: 0, seen: HashSet::new() };
    for (index, operation) in operations.iter().enumerate() {
        planner.index = index;
        planner.operation(operation).map_err(|error| within(index, &error))?;
    }
    Ok(planner.patch)
}

/// Where an operation leads.
#[derive(Clone, Copy)]
pub(super) struct Goal<'d> {
    pub(super) schema: Option<&'d Schema>,
    pub(super) attribute: &'d Attribute,
    pub(super) sub: Option<&'d Attribute>,
}

/// Collects the operations of a message.
pub(super) struct Planner<'d, 'n> {
    pub(super) def: &'d Definition,
    pub(super) reader: Reader<'n>,
    pub(super) patch: Patch,
    index: usize,
    /// The targets so far, which a strict profile lets be named once.
    pub(super) seen: HashSet<String>,
}

impl<'d> Planner<'d, '_> {
    fn operation(&mut self, operation: &Value) -> Result<(), Error> {
        let operation =
            operation.as_object().ok_or_else(|| Error::invalid_syntax("an operation must be an object."))?;
        let [op, path, value] = quirks::members(operation, ["op", "path", "value"], &mut self.reader)?;
        let verb = quirks::verb(op, &mut self.reader)?;
        match path {
            None | Some(Value::Null) => self.pathless(verb, value),
            Some(Value::String(path)) => {
                if self.at_path(verb, path, value)? {
                    return Ok(());
                }
                let detail = format!("{path} leads to no attribute of {}.", self.def.name());
                Err(match self.reader.strictness {
                    Strictness::Tolerant => Error::invalid_path(detail),
                    Strictness::Strict => Error::invalid_syntax(detail),
                })
            }
            Some(_) => Err(Error::invalid_syntax("path must be a string.")),
        }
    }

    /// Plans an operation on what a written path leads to; `false`: the type has no such place.
    pub(super) fn at_path(&mut self, verb: Verb, path: &str, value: Option<&Value>) -> Result<bool, Error> {
        let PatchPath { attr, filter, sub } = PatchPath::parse(path)?;
        let Some(place) = self.def.resolve(&attr) else { return Ok(false) };
        if self.reader.strictness == Strictness::Strict {
            strict::check_path(&mut self.seen, verb, &place, filter.as_ref(), sub.as_deref())?;
        }
        let Some(attribute) = place.attribute else {
            return match place.extension {
                Some(schema) if filter.is_none() => self.extension(verb, schema, value).map(|()| true),
                _ => Ok(false),
            };
        };
        let sub = match (place.sub, sub) {
            (Some(_), _) if filter.is_some() => return Ok(false),
            (known, None) => known,
            (_, Some(sub)) => match attribute.sub(&sub) {
                Some(sub) => Some(sub),
                None => return Ok(false),
            },
        };
        self.plan(verb, Goal { schema: place.extension, attribute, sub }, filter, value)?;
        Ok(true)
    }

    /// Plans an operation on one attribute.
    pub(super) fn plan(
        &mut self,
        verb: Verb,
        goal: Goal<'d>,
        filter: Option<Filter<Parsed>>,
        value: Option<&Value>,
    ) -> Result<(), Error> {
        let Goal { schema, attribute, sub } = goal;
        let top = Spot::of(schema, attribute);
        let spot = sub.map_or(top, |sub| Spot::Sub(&top, &sub.name));
        if schema.is_none() && attribute.name == "schemas" {
            return quirks::ignore_schemas(self.def, verb, value, &mut self.reader);
        }
        let read_only = |attribute: &Attribute| attribute.mutability == Mutability::ReadOnly;
        if read_only(attribute) || sub.is_some_and(read_only) {
            return Err(Error::mutability(format!("{spot} is set by the server alone.")));
        }
        let filter = match filter {
            Some(_) if !attribute.multi_valued => {
                return Err(Error::invalid_path(format!("{top} has one value, so it takes no value filter.")));
            }
            Some(filter) => Some(check_element(filter, attribute)?),
            None => None,
        };
        if schema.is_none() && is_relation(attribute) {
            return self.relation(verb, goal, filter, value);
        }
        if sub.is_some() && attribute.multi_valued && filter.is_none() {
            return Err(Error::invalid_path(format!(
                "{top} has several values. Choose with a value filter, as in {top}[value eq \"…\"].{}.",
                sub.map_or("value", |sub| &sub.name)
            )));
        }
        let value = match verb {
            Verb::Remove => match self.removed(goal, filter.is_some(), value, spot)? {
                Removal::Nothing => return Ok(()),
                Removal::All => None,
                Removal::Elements(elements) => Some(elements),
            },
            Verb::Add | Verb::Replace => match self.given(verb, goal, filter.is_some(), value, spot)? {
                Given::Nothing => return Ok(()),
                Given::Removal => return self.push_removal(goal, filter, spot),
                Given::Value(value) => Some(value),
            },
        };
        self.push(verb, schema, Some(attribute), filter, sub, value);
        Ok(())
    }

    fn push_removal(&mut self, goal: Goal<'d>, filter: Option<Filter<Checked>>, spot: Spot<'_>) -> Result<(), Error> {
        self.removed(goal, filter.is_some(), None, spot)?;
        self.push(Verb::Remove, goal.schema, Some(goal.attribute), filter, goal.sub, None);
        Ok(())
    }

    pub(super) fn push(
        &mut self,
        verb: Verb,
        schema: Option<&Schema>,
        attribute: Option<&Attribute>,
        filter: Option<Filter<Checked>>,
        sub: Option<&Attribute>,
        value: Option<Value>,
    ) {
        self.patch.document.push(Operation {
            index: self.index,
            verb,
            extension: schema.map(|schema| schema.id.clone()),
            attribute: attribute.map(|attribute| attribute.name.clone()),
            filter,
            sub: sub.map(|sub| sub.name.clone()),
            value,
            strictness: self.reader.strictness,
        });
    }

    /// What an `add` or `replace` sets, of the target's type.
    fn given(
        &mut self,
        verb: Verb,
        goal: Goal<'_>,
        filtered: bool,
        value: Option<&Value>,
        spot: Spot<'_>,
    ) -> Result<Given, Error> {
        let value = value.ok_or_else(|| Error::invalid_value("value is required."))?;
        let typed = match goal.sub {
            Some(sub) => self.reader.attribute(sub, value, spot)?,
            None if filtered => self.reader.single(goal.attribute, value, spot)?,
            None if goal.attribute.multi_valued => {
                let value = quirks::unwrap(goal.attribute, value, &mut self.reader);
                self.reader.attribute(goal.attribute, value, spot)?
            }
            None => self.reader.attribute(goal.attribute, value, spot)?,
        };
        if let Some(typed) = typed {
            return Ok(Given::Value(typed));
        }
        // An object without anything to write leaves the attribute as it is when it would be merged.
        let merges = value.is_object() && self.reader.strictness == Strictness::Tolerant;
        Ok(if verb == Verb::Replace && !merges { Given::Removal } else { Given::Nothing })
    }

    fn removed(
        &mut self,
        goal: Goal<'_>,
        filtered: bool,
        value: Option<&Value>,
        spot: Spot<'_>,
    ) -> Result<Removal, Error> {
        let target = goal.sub.unwrap_or(goal.attribute);
        let value = value.filter(|value| !value.is_null());
        if value.is_some() && self.reader.strictness == Strictness::Strict {
            return Err(Error::invalid_syntax("remove takes no value. Choose with a value filter in the path."));
        }
        if let Some(value) = value.filter(|_| goal.sub.is_none() && !filtered && goal.attribute.multi_valued) {
            self.reader.notes.note("remove-by-value");
            let value = quirks::unwrap(goal.attribute, value, &mut self.reader);
            let elements = self.reader.attribute(goal.attribute, value, spot)?;
            return Ok(elements.map_or(Removal::Nothing, Removal::Elements));
        }
        if target.required && (goal.sub.is_some() || !filtered) {
            return Err(Error::mutability(format!("{spot} is required and cannot be removed.")));
        }
        Ok(Removal::All)
    }

    fn relation(
        &mut self,
        verb: Verb,
        goal: Goal<'_>,
        filter: Option<Filter<Checked>>,
        value: Option<&Value>,
    ) -> Result<(), Error> {
        let Goal { schema, attribute, sub } = goal;
        let spot = Spot::of(schema, attribute);
        // A member is its `value`: without it there is none.
        let whole = sub.is_none_or(|sub| sub.name == "value" && filter.is_some() && verb == Verb::Remove);
        if !whole || (filter.is_some() && verb != Verb::Remove) {
            return Err(Error::mutability(format!("a value of {spot} cannot be changed. Remove it and add another.")));
        }
        let change = match (verb, filter) {
            (Verb::Remove, Some(filter)) => match quirks::named_values(&filter) {
                Some(values) => RelationChange::RemoveValues(values),
                None => RelationChange::RemoveWhere(filter),
            },
            (Verb::Remove, None) => match self.removed(goal, true, value, spot)? {
                Removal::All if value.is_none_or(Value::is_null) && attribute.required => {
                    return Err(Error::mutability(format!("{spot} is required and cannot be removed.")));
                }
                Removal::All if value.is_none_or(Value::is_null) => RelationChange::RemoveAll,
                _ => {
                    self.reader.notes.note("remove-by-value");
                    let given = value.unwrap_or(&Value::Null);
                    let given = quirks::unwrap(attribute, given, &mut self.reader);
                    let elements = self.elements(attribute, given, spot)?;
                    let ids = elements.iter().filter_map(|element| element.get("value")?.as_str().map(str::to_owned));
                    RelationChange::RemoveValues(ids.collect())
                }
            },
            (Verb::Add | Verb::Replace, _) => {
                let value = value.ok_or_else(|| Error::invalid_value("value is required."))?;
                let value = quirks::unwrap(attribute, value, &mut self.reader);
                let elements = self.elements(attribute, value, spot)?;
                match (verb, elements.is_empty()) {
                    (Verb::Add, true) => return Ok(()),
                    (Verb::Add, false) => RelationChange::Add(elements),
                    (_, true) if attribute.required => {
                        return Err(Error::mutability(format!("{spot} is required and cannot be removed.")));
                    }
                    (_, true) => RelationChange::RemoveAll,
                    (_, false) => RelationChange::Replace(elements),
                }
            }
        };
        self.patch.relation.push(change);
        Ok(())
    }

    /// Elements that each name another resource. One that does not is an error here, lest it be lost unnoticed.
    fn elements(&mut self, attribute: &Attribute, value: &Value, spot: Spot<'_>) -> Result<Vec<Value>, Error> {
        let given = match value {
            Value::Null => &[],
            Value::Array(elements) => elements.as_slice(),
            Value::Object(_) | Value::String(_) if self.reader.forgives("bare-array") => std::slice::from_ref(value),
            _ => return Err(Error::invalid_value(format!("{spot} must be an array."))),
        };
        let mut elements = Vec::with_capacity(given.len());
        for (index, element) in given.iter().enumerate() {
            let spot = Spot::Element(&spot, index);
            let element = self.reader.single(attribute, element, spot)?;
            let names = |element: &Value| element.get("value").and_then(Value::as_str).is_some_and(|id| !id.is_empty());
            match element.filter(names) {
                Some(element) => elements.push(element),
                None => return Err(Error::invalid_value(format!("{spot}.value is required."))),
            }
        }
        Ok(elements)
    }

    /// An extension's URN alone: its attributes one by one, or all of them away.
    pub(super) fn extension(&mut self, verb: Verb, schema: &'d Schema, value: Option<&Value>) -> Result<(), Error> {
        match (verb, value) {
            (Verb::Remove, _) | (Verb::Replace, Some(Value::Null)) => {
                self.push(Verb::Remove, Some(schema), None, None, None, None);
                Ok(())
            }
            (Verb::Add, Some(Value::Null)) => Ok(()),
            (_, Some(Value::Object(fields))) => self.fields(verb, Some(schema), fields),
            (_, Some(_)) => Err(Error::invalid_value(format!("{} must be an object.", schema.id))),
            (_, None) => Err(Error::invalid_value("value is required.")),
        }
    }
}

enum Given {
    Value(Value),
    /// The value says that there shall be none.
    Removal,
    Nothing,
}

enum Removal {
    All,
    Elements(Value),
    Nothing,
}

fn is_relation(attribute: &Attribute) -> bool {
    attribute.name == MEMBERS && attribute.multi_valued && attribute.sub("value").is_some()
}

/// Checks what stands between the brackets. Values that are not complex are compared as `value` (RFC 7644 erratum
/// 7122).
fn check_element(filter: Filter<Parsed>, attribute: &Attribute) -> Result<Filter<Checked>, Error> {
    if attribute.is_complex() {
        return filter.check_element(attribute);
    }
    let value = Attribute { name: "value".to_owned(), multi_valued: false, ..attribute.clone() };
    filter.check_element(&Attribute { kind: Type::Complex, sub_attributes: vec![value], ..attribute.clone() })
}

/// The names and values that a filter of nothing but `eq` and `and` describes; `None`: it says more, or two things.
pub(super) fn describe(filter: &Filter<Checked>) -> Option<Map<String, Value>> {
    let mut described = Map::new();
    collect(filter, &mut described)?;
    Some(described)
}

fn collect(filter: &Filter<Checked>, described: &mut Map<String, Value>) -> Option<()> {
    match filter {
        Filter::Compare(target, Op::Eq, operand) => {
            let before = described.insert(target.sub.as_deref()?.to_owned(), operand.raw.clone());
            before.is_none_or(|before| before == operand.raw).then_some(())
        }
        Filter::And(parts) => parts.iter().try_for_each(|part| collect(part, described)),
        _ => None,
    }
}

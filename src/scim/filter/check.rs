//! Ties a filter to a resource type (RFC 7644 section 3.4.2.2): every path must lead somewhere, every operator and
//! literal must fit what lies there. An attribute that is never returned cannot be asked about, or its value could be
//! found by asking often.
//!
//! A complex attribute in a comparison means its `value`. Texts `"true"` and `"False"` stand for booleans, because
//! clients send them.

use serde_json::{Number, Value};

use super::{Checked, Filter, Literal, Op, Operand, Parsed, Target, WrittenPath};
use crate::key;
use crate::schema::{Attribute, Definition, Returned, Type};
use crate::{Error, ScimType};

impl Filter<Parsed> {
    /// Checks against a resource type. Fails with 400 invalidFilter naming the attribute and its place in the text,
    /// or with 403 sensitive for an attribute that is never returned.
    pub fn check(self, definition: &Definition) -> Result<Filter<Checked>, Error> {
        check(self, &Scope::Resource(definition), false)
    }

    /// Like [`Filter::check`], but an attribute that the type lacks is one without a value (RFC 7644 section 3.4.2.1).
    pub fn check_lenient(self, definition: &Definition) -> Result<Filter<Checked>, Error> {
        check(self, &Scope::Resource(definition), true)
    }

    /// Checks for a query over several resource types: one filter for each, in their order. An attribute that a type
    /// lacks is one without a value there; one that all of them lack is 400 invalidFilter.
    pub fn check_any(&self, definitions: &[&Definition]) -> Result<Vec<Filter<Checked>>, Error> {
        known_somewhere(self, definitions)?;
        definitions.iter().map(|definition| self.clone().check_lenient(definition)).collect()
    }

    /// Checks what stands between the brackets behind a core attribute: paths are its sub-attributes. Fails as
    /// [`Filter::check`] does.
    pub fn check_element(self, attribute: &Attribute) -> Result<Filter<Checked>, Error> {
        let parent = Target::of(None, attribute);
        if !attribute.is_complex() {
            return Err(not_complex(1, &parent));
        }
        check(self, &Scope::Element { attribute, parent: &parent }, false)
    }
}

/// What paths are looked up in.
enum Scope<'d> {
    Resource(&'d Definition),
    Element { attribute: &'d Attribute, parent: &'d Target },
}

/// A path that was found, and the schema's word on it.
struct Found<'d> {
    target: Target,
    /// The top-level attribute.
    attribute: &'d Attribute,
    /// The sub-attribute, if the path leads to one.
    sub: Option<&'d Attribute>,
}

impl<'d> Scope<'d> {
    fn find(&self, path: &str) -> Option<Found<'d>> {
        match self {
            Scope::Resource(definition) => {
                let place = definition.resolve(path)?;
                Some(Found { target: Target::at(definition, &place)?, attribute: place.attribute?, sub: place.sub })
            }
            Scope::Element { attribute, parent } => {
                let sub = attribute.sub(path)?;
                let target = parent.subs.iter().find(|target| target.sub.as_deref() == Some(sub.name.as_str()))?;
                Some(Found { target: target.clone(), attribute, sub: Some(sub) })
            }
        }
    }

    /// The place of a path; `None` if there is none and that is allowed.
    fn place(&self, path: &WrittenPath, lenient: bool) -> Result<Option<Found<'d>>, Error> {
        let Some(found) = self.find(&path.text) else {
            return if lenient { Ok(None) } else { Err(self.unknown(path)) };
        };
        let hidden = |attribute: &Attribute| attribute.returned == Returned::Never;
        if hidden(found.attribute) || found.sub.is_some_and(hidden) {
            let detail = format!("{} cannot be asked about in a filter.", found.target.canonical);
            return Err(Error::new(ScimType::Sensitive, detail));
        }
        Ok(Some(found))
    }

    fn unknown(&self, path: &WrittenPath) -> Error {
        match self {
            Scope::Resource(definition) if definition.extension(&path.text).is_some() => fail(
                path.position,
                format!("{} is a schema; ask for one of its attributes, or for schemas eq \"{0}\"", path.text),
            ),
            Scope::Resource(definition) => {
                fail(path.position, format!("{} is not an attribute of {}", path.text, definition.name()))
            }
            Scope::Element { parent, .. } => {
                fail(path.position, format!("{} is not a sub-attribute of {}", path.text, parent.canonical))
            }
        }
    }
}

fn check(filter: Filter<Parsed>, scope: &Scope<'_>, lenient: bool) -> Result<Filter<Checked>, Error> {
    let each = |parts: Vec<Filter<Parsed>>| {
        parts.into_iter().map(|part| check(part, scope, lenient)).collect::<Result<Vec<_>, _>>()
    };
    match filter {
        Filter::And(parts) => each(parts).map(Filter::And),
        Filter::Or(parts) => each(parts).map(Filter::Or),
        Filter::Not(part) => Ok(Filter::Not(Box::new(check(*part, scope, lenient)?))),
        Filter::Present(path) => {
            Ok(scope.place(&path, lenient)?.map_or(Filter::Const(false), |found| Filter::Present(found.target)))
        }
        Filter::Compare(path, op, literal) => match scope.place(&path, lenient)? {
            Some(found) => compare(&path, &found.target, op, literal),
            None => Ok(Filter::Const((op == Op::Ne) != (literal == Literal::Null))),
        },
        Filter::Element(path, part) => match scope.place(&path, lenient)? {
            Some(found) if found.target.kind == Type::Complex && found.sub.is_none() => {
                let scope = Scope::Element { attribute: found.attribute, parent: &found.target };
                let part = check(*part, &scope, lenient)?;
                Ok(Filter::Element(found.target, Box::new(part)))
            }
            Some(found) => Err(not_complex(path.position, &found.target)),
            None => Ok(Filter::Const(false)),
        },
        Filter::Const(value) => Ok(Filter::Const(value)),
    }
}

fn compare(path: &WrittenPath, target: &Target, op: Op, literal: Literal) -> Result<Filter<Checked>, Error> {
    if literal == Literal::Null {
        let present = Filter::Present(target.clone());
        return match op {
            Op::Eq => Ok(Filter::Not(Box::new(present))),
            Op::Ne => Ok(present),
            _ => Err(fail(path.position, format!("null can be compared with eq and ne, not with {op}"))),
        };
    }
    let Some(target) = target.comparable() else {
        let subs: Vec<_> = target.subs.iter().map(|sub| &*sub.canonical).collect();
        let detail = format!("{} is complex; compare one of {}", target.canonical, subs.join(", "));
        return Err(fail(path.position, detail));
    };
    if !allows(target.kind, op) {
        let detail = format!("{} is of type {}, for which {op} has no meaning", target.canonical, target.kind.as_str());
        return Err(fail(path.position, detail));
    }
    let operand = operand(target, literal).ok_or_else(|| {
        fail(path.position, format!("{} must be compared with {}", target.canonical, describe(target.kind)))
    })?;
    Ok(Filter::Compare(target.clone(), op, operand))
}

fn allows(kind: Type, op: Op) -> bool {
    match op {
        Op::Eq | Op::Ne => true,
        Op::Co | Op::Sw | Op::Ew => matches!(kind, Type::String | Type::Reference),
        Op::Gt | Op::Ge | Op::Lt | Op::Le => !matches!(kind, Type::Boolean | Type::Binary),
    }
}

/// The literal as a value of that type with its key; `None` when it is not one.
fn operand(target: &Target, literal: Literal) -> Option<Operand> {
    let raw = match (target.kind, literal) {
        (Type::Boolean, Literal::Text(text)) if text.eq_ignore_ascii_case("true") => Value::Bool(true),
        (Type::Boolean, Literal::Text(text)) if text.eq_ignore_ascii_case("false") => Value::Bool(false),
        (_, Literal::Text(text)) => Value::String(text),
        (Type::Integer, Literal::Number(number)) => Value::Number(as_whole(number)),
        (_, Literal::Number(number)) => Value::Number(number),
        (_, Literal::Boolean(value)) => Value::Bool(value),
        (_, Literal::Null) => return None,
    };
    let key = key::of(&raw, target.kind, target.rule)?;
    Some(Operand { key, raw })
}

/// `5.0` and `5e0` are the integer 5.
fn as_whole(number: Number) -> Number {
    key::whole(&number).and_then(Number::from_i128).unwrap_or(number)
}

fn describe(kind: Type) -> &'static str {
    match kind {
        Type::String | Type::Reference | Type::Binary | Type::Complex => "a text in double quotes",
        Type::Boolean => "true or false",
        Type::Decimal => "a number",
        Type::Integer => "a whole number",
        Type::DateTime => "a date and time with zone, such as \"2011-05-13T04:42:34Z\"",
    }
}

fn not_complex(position: usize, target: &Target) -> Error {
    fail(position, format!("{} has no sub-attributes, so it cannot have a value filter in brackets", target.canonical))
}

fn fail(position: usize, detail: String) -> Error {
    Error::invalid_filter(super::Fault::new(position, detail).detail())
}

/// Fails for the first path that no definition knows.
fn known_somewhere(filter: &Filter<Parsed>, definitions: &[&Definition]) -> Result<(), Error> {
    let known = |path: &str| definitions.iter().any(|definition| Scope::Resource(definition).find(path).is_some());
    let require = |path: &WrittenPath, whole: &str| {
        if known(whole) {
            return Ok(());
        }
        let names: Vec<_> = definitions.iter().map(|definition| definition.name()).collect();
        Err(fail(path.position, format!("{whole} is not an attribute of {}", names.join(" or "))))
    };
    walk(filter, &mut |parent, path| match parent {
        Some(parent) => require(path, &format!("{}.{}", parent.text, path.text)),
        None => require(path, &path.text),
    })
}

/// Calls `visit` with every path, and with its attribute when it stands in a value filter.
fn walk<'f>(
    filter: &'f Filter<Parsed>,
    visit: &mut impl FnMut(Option<&'f WrittenPath>, &'f WrittenPath) -> Result<(), Error>,
) -> Result<(), Error> {
    match filter {
        Filter::And(parts) | Filter::Or(parts) => parts.iter().try_for_each(|part| walk(part, visit)),
        Filter::Not(part) => walk(part, visit),
        Filter::Present(path) | Filter::Compare(path, ..) => visit(None, path),
        Filter::Element(parent, part) => {
            visit(None, parent)?;
            walk_element(parent, part, visit)
        }
        Filter::Const(_) => Ok(()),
    }
}

fn walk_element<'f>(
    parent: &'f WrittenPath,
    filter: &'f Filter<Parsed>,
    visit: &mut impl FnMut(Option<&'f WrittenPath>, &'f WrittenPath) -> Result<(), Error>,
) -> Result<(), Error> {
    match filter {
        Filter::And(parts) | Filter::Or(parts) => parts.iter().try_for_each(|part| walk_element(parent, part, visit)),
        Filter::Not(part) => walk_element(parent, part, visit),
        Filter::Present(path) | Filter::Compare(path, ..) | Filter::Element(path, _) => visit(Some(parent), path),
        Filter::Const(_) => Ok(()),
    }
}

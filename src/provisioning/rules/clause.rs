//! A rule's filter as it is written: attributes of extensions by their short names, and what would match across two jobs
//! refused. `employments.taskCode eq "a" and employments.current eq true` is true for whoever has that task in one job
//! and any other job that is current (RFC 7644 section 3.4.2.2 compares each value by itself); a value path asks both of
//! one and the same element.

use scim::filter::{Checked, Filter, Parsed, WrittenPath};
use scim::schema::{Definition, Place};

/// Reads a rule's filter. Errors with 400 invalidFilter where it is none, names what User does not have, or asks several
/// things of one attribute with several values outside of one value path; then it says how to write it.
pub fn filter(text: &str, user: &Definition) -> Result<Filter<Checked>, scim::Error> {
    let parsed = in_full(Filter::parse(text)?, user);
    refuse_dotted(&parsed, user)?;
    parsed.check(user)
}

/// With the URN before attributes that one extension alone has.
fn in_full(filter: Filter<Parsed>, user: &Definition) -> Filter<Parsed> {
    let each = |parts: Vec<Filter<Parsed>>| parts.into_iter().map(|part| in_full(part, user)).collect();
    match filter {
        Filter::And(parts) => Filter::And(each(parts)),
        Filter::Or(parts) => Filter::Or(each(parts)),
        Filter::Not(part) => Filter::Not(Box::new(in_full(*part, user))),
        Filter::Present(path) => Filter::Present(full(path, user)),
        Filter::Compare(path, op, value) => Filter::Compare(full(path, user), op, value),
        Filter::Element(path, part) => Filter::Element(full(path, user), part),
        Filter::Const(value) => Filter::Const(value),
    }
}

fn full(path: WrittenPath, user: &Definition) -> WrittenPath {
    if user.resolve(&path.text).is_some() {
        return path;
    }
    let known = |urn: &str| Some(format!("{urn}:{}", path.text)).filter(|full| user.resolve(full).is_some());
    let mut found = user.extensions.iter().filter_map(|(schema, _)| known(&schema.id));
    match (found.next(), found.next()) {
        (Some(text), None) => WrittenPath { text, position: path.position },
        _ => path,
    }
}

/// What a part asks of one attribute with several values: the attribute, and whether by a dotted path.
fn asked<'d>(part: &Filter<Parsed>, user: &'d Definition) -> Option<(Place<'d>, bool)> {
    let (path, is_dotted) = match part {
        Filter::Present(path) | Filter::Compare(path, ..) => (path, true),
        Filter::Element(path, _) => (path, false),
        _ => return None,
    };
    let place = user.resolve(&path.text)?;
    let is_many = place.attribute.is_some_and(|attribute| attribute.multi_valued && attribute.is_complex());
    is_many.then_some((place, is_dotted))
}

fn refuse_dotted(filter: &Filter<Parsed>, user: &Definition) -> Result<(), scim::Error> {
    match filter {
        Filter::And(_) => {
            let parts = filter.conjuncts();
            for (index, part) in parts.iter().enumerate() {
                refuse_dotted(part, user)?;
                let Some((place, is_dotted)) = asked(part, user) else { continue };
                let whole = Place { sub: None, ..place }.canonical();
                let is_same = |other: &Filter<Parsed>| {
                    let found = asked(other, user);
                    found.is_some_and(|(place, dotted)| {
                        (dotted || is_dotted) && Place { sub: None, ..place }.canonical() == whole
                    })
                };
                let rest = parts.get(index + 1..).unwrap_or_default();
                if rest.iter().any(|other| is_same(other)) {
                    return Err(refusal(&parts, place, user));
                }
            }
            Ok(())
        }
        Filter::Or(parts) => parts.iter().try_for_each(|part| refuse_dotted(part, user)),
        Filter::Not(part) => refuse_dotted(part, user),
        _ => Ok(()),
    }
}

/// Says what is meant instead: everything that is asked of the attribute, of one element.
fn refusal(parts: &[&Filter<Parsed>], place: Place<'_>, user: &Definition) -> scim::Error {
    let whole = Place { sub: None, ..place };
    let name = place.attribute.map(|attribute| attribute.name.as_str()).unwrap_or_default();
    let path = |text: &str| WrittenPath { text: text.to_owned(), position: 1 };
    let mut inside = Vec::new();
    for part in parts {
        let Some((other, _)) = asked(part, user) else { continue };
        if (Place { sub: None, ..other }).canonical() != whole.canonical() {
            continue;
        }
        let sub = other.sub.map_or("value", |sub| sub.name.as_str());
        match part {
            Filter::Present(_) => inside.push(Filter::Present(path(sub))),
            Filter::Compare(_, op, value) => inside.push(Filter::Compare(path(sub), *op, value.clone())),
            Filter::Element(_, part) => inside.push((**part).clone()),
            _ => {}
        }
    }
    let instead = Filter::<Parsed>::Element(path(name), Box::new(Filter::all(inside)));
    scim::Error::invalid_filter(format!(
        "{name} has several values, and each of these conditions may be met by another one of them: somebody with two of \
         them could fit by one half each. Ask all of it of one and the same value: {instead}"
    ))
}

//! An account is given back what a run of its source had changed. As with any other write, what follows by rule follows; but
//! names that come back are no change of name, and what the source had said of the account itself, that it holds it, has
//! withdrawn or blocks it, is what it had said before.

use scim::resource::normalise;
use serde_json::{Map, Value};
use store::work::document_of;
use store::{Record, Work};

use super::super::{Ctx, Error};
use super::naming::{ALIASES, EARLIER, NAMES};
use super::{Book, USER, choose, concerns, conclude, depart, follow, standing};

/// What names are made of, and what they make.
const OF_NAMES: [&str; 4] = ["userName", "emails", "name", "displayName"];

/// Gives an account back `next`, which is its document with values of before. `before` and `after` are what it was before the
/// run and what the run has left, on behalf of whose source `ctx` is. Answers whether anything was written.
pub(in crate::directory) fn put_back(
    ctx: &Ctx,
    work: &mut Work<'_>,
    record: &Record,
    (before, after): (&Map<String, Value>, &Map<String, Value>),
    mut next: Map<String, Value>,
) -> Result<bool, Error> {
    let current = document_of(record)?;
    standing::restore(Some(&current), &mut next);
    let source = |document: &Map<String, Value>| standing::source(document, ctx.caller.id);
    let (was, left, is) = (source(before), source(after), source(&current));
    if !standing::Source::is_same(was.as_ref(), left.as_ref()) && standing::Source::is_same(left.as_ref(), is.as_ref())
    {
        standing::change_source(&mut next, ctx.caller.id, |source| source.become_as(was));
    }
    let registry = work.catalog().registry().clone();
    if let Some(user) = registry.definition(USER) {
        normalise(user, &mut next);
    }
    if next == current {
        return Ok(false);
    }
    if !concerns(USER, work) {
        depart::rewrite(ctx, work, record, next)?;
        return Ok(true);
    }
    let mut known = current.clone();
    for name in OF_NAMES {
        match next.get(name) {
            Some(value) => drop(known.insert(name.to_owned(), value.clone())),
            None => drop(known.shift_remove(name)),
        }
    }
    for part in [NAMES, EARLIER, ALIASES] {
        standing::put(&mut known, part, standing::part(&next, part).cloned());
    }
    let book = Book::of(work)?;
    let mut then = conclude(ctx, work, &book, (USER, record.id), Some(&known), &mut next)?;
    choose(ctx, work, record.id, &mut next, &mut then)?;
    let is_another = next != current;
    if is_another {
        depart::rewrite(ctx, work, record, next)?;
    }
    follow(ctx, work, record.id, then)?;
    Ok(is_another)
}

/// Whether the caller's source has withdrawn an account.
pub(in crate::directory) fn is_withdrawn(ctx: &Ctx, document: &Map<String, Value>) -> bool {
    standing::source(document, ctx.caller.id).is_some_and(|source| source.is_withdrawn())
}

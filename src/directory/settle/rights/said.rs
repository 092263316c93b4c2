//! Entitlements that a source writes into a User: its word is their ground from then on, until somebody takes the entitlement
//! out. Of limited ones the seat is what tells of it, so they are left alone here.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use provisioning::rules::Kind;
use store::Work;

use super::super::Book;
use super::{ENTITLEMENTS, Subject};
use crate::directory::rules::{ENTITLEMENT, said_by, source_of, target};
use crate::directory::{Ctx, Error};

/// Writes the rows of what a source gives by this write, and ends those of what is taken back. Whether any began.
pub(super) fn hear(ctx: &Ctx, work: &mut Work<'_>, book: &Book, subject: &Subject<'_>) -> Result<bool, Error> {
    let before = subject.before.map(values).unwrap_or_default();
    let after = values(subject.document);
    if before == after || work.count(ENTITLEMENT) == 0 {
        return Ok(false);
    }
    let mut began = false;
    for value in after.difference(&before) {
        let Some(source) = source_of(ctx) else { break };
        for id in target::called(ENTITLEMENT, "value", value, work)? {
            if !book.pools().contains_key(&id) {
                work.put_grant(said_by(source, subject.id, id, ctx.now));
                began = true;
            }
        }
    }
    let gone: Vec<&String> = before.difference(&after).collect();
    if gone.is_empty() {
        return Ok(began);
    }
    for grant in work.grants_of(subject.id)? {
        if grant.until.is_some() || Kind::parse(&grant.key.ground_kind) != Some(Kind::Source) {
            continue;
        }
        let document = work.document_of(grant.key.target)?;
        let value = document.as_deref().and_then(|document| document.get("value")?.as_str().map(str::to_lowercase));
        if value.is_some_and(|value| gone.contains(&&value)) {
            work.end_grant(grant, ctx.now);
        }
    }
    Ok(began)
}

/// The values of the entitlements of a document, in lower case.
fn values(document: &Map<String, Value>) -> BTreeSet<String> {
    let elements = document.get(ENTITLEMENTS).and_then(Value::as_array).into_iter().flatten();
    elements.filter_map(|element| Some(element.get("value")?.as_str()?.to_lowercase())).collect()
}

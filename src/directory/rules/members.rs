//! What clients do to groups that rules fill: a member that a rule has put there is not theirs to take out. What they say of
//! all members at once (PUT, or a PATCH that replaces them) is about their own members alone.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use provisioning::rules::Kind;
use scim::patch::RelationChange;
use store::change::Delta;
use store::{Due, Grant, GrantKey, ResourceId, Work};

use super::USER;
use crate::directory::particular::{Follow, Write};
use crate::directory::settle::{Book, RULE, tell_everybody_soon};
use crate::directory::{Ctx, Error, Role, persons};

/// Members that are looked at one by one; of more, all rights to the group are read at once.
const FEW: usize = 16;

/// Takes the members that rules have put into a group out of what a client removes; one whom it names is refused (403).
/// What was put there by hand, and goes by hand, is no right any more.
pub(in crate::directory) fn keep_ruled(
    ctx: &Ctx,
    group: ResourceId,
    changes: &[RelationChange],
    members: &mut Vec<Delta>,
    work: &mut Work<'_>,
) -> Result<(), Error> {
    if members.is_empty() || ctx.caller.id == ResourceId::SYSTEM || work.count(RULE) == 0 {
        return Ok(());
    }
    note_source(ctx, group, members, work);
    // What must not meet what is put there by hand, or no longer is, may be another right.
    if Book::of(work)?.rules().iter().any(|rule| !rule.not_with.is_empty()) {
        for delta in members.iter().filter(|delta| delta.kind == USER) {
            work.put_due(delta.member, Some(Due::at(ctx.now)));
            let document = work.document_of(delta.member)?.unwrap_or_default();
            for sibling in persons::siblings(work, delta.member, &document)? {
                work.put_due(sibling, Some(Due::at(ctx.now)));
            }
        }
    }
    let leaving: Vec<ResourceId> = members.iter().filter(|delta| !delta.joined).map(|delta| delta.member).collect();
    if leaving.is_empty() {
        return Ok(());
    }
    let mut held = Vec::new();
    match leaving.len() <= FEW {
        true => {
            for member in &leaving {
                held.extend(work.grants_of(*member)?.into_iter().filter(|grant| grant.key.target == group));
            }
        }
        false => held.extend(work.grants_on(group)?.into_iter().filter(|grant| leaving.contains(&grant.key.user))),
    }
    held.retain(|grant| grant.until.is_none());
    let (ruled, by_hand): (Vec<Grant>, Vec<Grant>) =
        held.into_iter().partition(|grant| !grant.key.ground_id.is_empty() && !is_said(&grant.key.ground_kind));
    let ruled: BTreeMap<ResourceId, Grant> = ruled.into_iter().map(|grant| (grant.key.user, grant)).collect();
    let names_them =
        |change: &RelationChange| matches!(change, RelationChange::RemoveValues(_) | RelationChange::RemoveWhere(_));
    if let Some(grant) = ruled.values().next().filter(|_| changes.iter().any(names_them)) {
        let id = grant.key.ground_id.split('/').next().unwrap_or_default();
        let name = match id.parse() {
            Ok(id) => work.record(id)?.map(|record| record.label),
            Err(()) => None,
        };
        return Err(Error::Denied(format!(
            "{} is a member because of the rule {}, and no client takes it out. Whoever may change rules can: add it to \
             exclude of /Rules/{id}, with a reason.",
            grant.key.user,
            name.unwrap_or_else(|| id.to_owned()),
        )));
    }
    members.retain(|delta| delta.joined || !ruled.contains_key(&delta.member));
    let gone: BTreeSet<ResourceId> = members.iter().filter(|delta| !delta.joined).map(|delta| delta.member).collect();
    for grant in by_hand.into_iter().filter(|grant| gone.contains(&grant.key.user)) {
        work.end_grant(grant, ctx.now);
    }
    Ok(())
}

/// Whether somebody's word is the ground, and no rule's.
fn is_said(kind: &str) -> bool {
    matches!(Kind::parse(kind), Some(Kind::Inherited | Kind::Source))
}

/// The client whose word is a ground by itself: a source, and no person by one.
pub(in crate::directory) fn source_of(ctx: &Ctx) -> Option<ResourceId> {
    let is_source = ctx.caller.role == Role::Source && ctx.caller.user.is_none() && ctx.caller.id != ResourceId::SYSTEM;
    is_source.then_some(ctx.caller.id)
}

/// The row of a right that a source gives from now on.
pub(in crate::directory) fn said_by(source: ResourceId, user: ResourceId, target: ResourceId, now: i64) -> Grant {
    let (ground_kind, ground_id) = (Kind::Source.as_str().to_owned(), source.to_string());
    Grant {
        key: GrantKey { user, target, ground_kind, ground_id, since: now },
        until: None,
        ground_from: None,
        ground_until: None,
        rule_version: 0,
        facts: "{}".to_owned(),
    }
}

/// Keeps whom a source has put into a group as its word, where there are rules.
pub(in crate::directory) fn note_source(ctx: &Ctx, group: ResourceId, members: &[Delta], work: &mut Work<'_>) {
    let Some(source) = source_of(ctx).filter(|_| work.count(RULE) > 0) else { return };
    for delta in members.iter().filter(|delta| delta.joined && delta.kind == USER) {
        work.put_grant(said_by(source, delta.member, group, ctx.now));
    }
}

/// Sees to a group that comes, goes or has another name: rights to one that is gone end, and where a rule may mean the group
/// by its name, everybody is looked at again.
pub(in crate::directory) fn attend_group(
    _: &Write<'_>,
    _: Option<&mut Map<String, Value>>,
    work: &mut Work<'_>,
) -> Result<Option<Follow>, Error> {
    if work.count(RULE) == 0 {
        return Ok(None);
    }
    Ok(Some(Box::new(|write, after, work| {
        let [before, after] = [write.before, after].map(|record| record.map(|record| record.label.as_str()));
        if before == after { Ok(()) } else { note_name(write.ctx, write.id, before, after, work) }
    })))
}

fn note_name(
    ctx: &Ctx,
    id: ResourceId,
    before: Option<&str>,
    after: Option<&str>,
    work: &mut Work<'_>,
) -> Result<(), Error> {
    if after.is_none() {
        for grant in work.grants_on(id)?.into_iter().filter(|grant| grant.until.is_none()) {
            work.end_grant(grant, ctx.now);
        }
    }
    let book = Book::of(work)?;
    let mut given = book.rules().iter().flat_map(|rule| rule.gives());
    let means =
        |name: &str, value: &str| name.eq_ignore_ascii_case(value) || name.to_lowercase() == value.to_lowercase();
    let is_meant = given.any(|gives| {
        gives.is_template() || [before, after].into_iter().flatten().any(|name| means(name, &gives.value))
    });
    if is_meant {
        tell_everybody_soon(ctx, work);
    }
    Ok(())
}

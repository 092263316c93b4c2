//! From what was judged to what is to follow: rows of rights that end, begin, are held again or have other dates, groups that
//! are left and joined, and what a person has to decide.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::civil::Date;
use serde_json::{Value, json};

use provisioning::calendar::Calendar;
use provisioning::rules::{Claim, Ground, Held, Kind, Rule, Standing, State};
use store::{Grant, GrantKey, ResourceId};

use super::gather::is_value;
use super::{ENDED, ENTITLEMENTS, Judgement, LAPSED, RESTS, Subject};
use crate::directory::Ctx;
use crate::directory::settle::Follow;
use crate::directory::work_items::{self, Item, Notice};

impl Judgement {
    /// Tells of rights that are withheld because they must not be combined with others, and that none is any more.
    pub(super) fn note_conflicts(&self, rules: &[Arc<Rule>], subject: &Subject<'_>, follow: &mut Follow) {
        let withheld = self.judged.iter().filter_map(|one| match &one.standing {
            Standing::Withheld(by) => Some(format!("{}: {by}", one.claim.rule.name)),
            _ => None,
        });
        let details: BTreeSet<String> = withheld.collect();
        if !details.is_empty() {
            let summary = "Rights that must not be combined: decide which of them this person is to have.";
            let mut item = Item::new(work_items::Kind::Conflict, subject.id, summary, "rule");
            item.details = details.into_iter().collect();
            follow.notices.push(Notice::Open(item));
        } else if !subject.is_new && rules.iter().any(|rule| !rule.not_with.is_empty()) {
            follow.notices.push(Notice::Close(work_items::Kind::Conflict, subject.id));
        }
    }

    /// What is held by hand, as far as a row tells of it.
    pub(super) fn by_hand(&self) -> BTreeSet<String> {
        let rows = self
            .held
            .iter()
            .zip(&self.rows)
            .filter(|(held, row)| held.kind == Kind::Hand && held.state == State::Held && row.is_some());
        rows.map(|(held, _)| held.target.clone()).collect()
    }

    /// The grounds that end, begin, are held again or have other dates.
    pub(super) fn write_grants(&self, ctx: &Ctx, subject: &Subject<'_>, follow: &mut Follow) {
        for (at, becomes) in &self.plan.end {
            let Some(held) = self.held.get(*at) else { continue };
            let grant = self.rows.get(*at).cloned().flatten().or_else(|| by_hand(ctx, subject, held));
            let Some(grant) = grant else { continue };
            let said = match becomes {
                Some(State::Rests) => Some(RESTS),
                Some(State::Lapsed) => Some(LAPSED),
                _ => None,
            };
            // What rests already ended when it began to rest.
            let until = grant.until.unwrap_or(ctx.now.max(grant.key.since));
            let facts = told(&grant.facts, said);
            let mut grant = Grant { until: Some(until), facts, ..grant };
            // An end that was told late stands beside the moment at which it was acted upon.
            if let Some((from, to)) = self.dates.get(*at).copied().flatten() {
                (grant.ground_from, grant.ground_until) = instants(subject.calendar, from, to);
            }
            follow.grants.push(grant);
        }
        for at in &self.plan.resume {
            let Some(Some(grant)) = self.rows.get(*at) else { continue };
            let key = GrantKey { since: ctx.now.max(grant.until.unwrap_or_default()), ..grant.key.clone() };
            follow.grants.push(Grant { key, until: None, facts: told(&grant.facts, None), ..grant.clone() });
        }
        for at in &self.plan.begin {
            let Some(one) = self.judged.get(*at) else { continue };
            follow.grants.extend(begun(ctx, subject, &one.claim));
        }
        self.note_hands(ctx, subject, follow);
        self.note_dates(subject, follow);
    }

    /// A member that was there before a rule gave the same is remembered, so that it stays when the rule ends.
    fn note_hands(&self, ctx: &Ctx, subject: &Subject<'_>, follow: &mut Follow) {
        for (at, held) in self.held.iter().enumerate() {
            let is_new = self.rows.get(at).is_some_and(Option::is_none);
            let is_given = self.plan.begin.iter().filter_map(|at| self.judged.get(*at));
            let is_given = is_given.into_iter().any(|one| one.claim.target.as_ref() == Ok(&held.target));
            let ends = self.plan.end.iter().any(|(end, _)| *end == at);
            if is_new && is_given && !ends {
                follow.grants.extend(by_hand(ctx, subject, held));
            }
        }
    }

    /// What is held on a ground whose dates are others by now says so.
    fn note_dates(&self, subject: &Subject<'_>, follow: &mut Follow) {
        for (at, row) in self.rows.iter().enumerate() {
            let (Some(row), Some(held)) = (row, self.held.get(at)) else { continue };
            if held.state != State::Held || self.plan.end.iter().any(|(end, _)| *end == at) {
                continue;
            }
            let Some(one) = self.judged.iter().find(|one| held.is_by(&one.claim)) else { continue };
            let (from, until) = dates(subject.calendar, &one.claim.ground);
            if (row.ground_from, row.ground_until) != (from, until) {
                let facts = one.claim.ground.facts.to_string();
                follow.grants.push(Grant { ground_from: from, ground_until: until, facts, ..row.clone() });
            }
        }
    }

    /// What the User leaves, then what it joins; and its entitlements as they shall be, if they change.
    pub(super) fn move_targets(&self, subject: &Subject<'_>, follow: &mut Follow) -> Option<Value> {
        let ends = |at: usize| self.plan.end.iter().any(|(end, _)| *end == at);
        let stays = self.held.iter().enumerate().filter(|(at, one)| one.state == State::Held && !ends(*at));
        let mut after: BTreeSet<&str> = stays.map(|(_, one)| one.target.as_str()).collect();
        after.extend(self.plan.give.iter().map(String::as_str));
        // One ground may take another's place before the User ever was there.
        let begun = self.plan.begin.iter().filter_map(|at| self.judged.get(*at));
        after.extend(begun.filter_map(|one| one.claim.target.as_deref().ok()));
        let mut entitlements =
            subject.document.get(ENTITLEMENTS).and_then(Value::as_array).cloned().unwrap_or_default();
        let before = entitlements.clone();
        let mut gone: BTreeSet<&str> = self.plan.take.iter().map(String::as_str).collect();
        after.retain(|target| !self.seats.without.contains(*target));
        gone.extend(self.seats.without.iter().map(String::as_str));
        gone.retain(|target| !after.contains(target) && !self.seats.kept.contains(*target));
        for target in gone {
            match (self.values.get(target), target.parse::<ResourceId>()) {
                (Some(value), _) => entitlements.retain(|element| !is_value(element, value)),
                (None, Ok(group)) if self.has.contains(target) => follow.leaving.push(group),
                _ => {}
            }
        }
        for target in after.into_iter().filter(|target| !self.has.contains(*target)) {
            match (self.values.get(target), target.parse::<ResourceId>()) {
                (Some(value), _) => entitlements.push(json!({ "value": value })),
                (None, Ok(group)) => follow.joining.push(group),
                _ => {}
            }
        }
        (entitlements != before).then_some(Value::Array(entitlements))
    }
}

/// The row of a ground that begins now.
fn begun(ctx: &Ctx, subject: &Subject<'_>, claim: &Claim) -> Option<Grant> {
    let target = claim.target.as_ref().ok()?.parse().ok()?;
    let (ground_kind, ground_id) = (claim.ground.kind.as_str().to_owned(), claim.ground.id.clone());
    let (ground_from, ground_until) = dates(subject.calendar, &claim.ground);
    Some(Grant {
        key: GrantKey { user: subject.id, target, ground_kind, ground_id, since: ctx.now },
        until: None,
        ground_from,
        ground_until,
        rule_version: claim.rule.version,
        facts: claim.ground.facts.to_string(),
    })
}

/// The row of a member that somebody put there before.
fn by_hand(ctx: &Ctx, subject: &Subject<'_>, held: &Held) -> Option<Grant> {
    let target = held.target.parse().ok()?;
    let (ground_kind, ground_id) = (Kind::Hand.as_str().to_owned(), held.ground.clone());
    let key = GrantKey { user: subject.id, target, ground_kind, ground_id, since: ctx.now };
    let facts = json!({ "note": "it was there before a rule gave it" }).to_string();
    Some(Grant { key, until: None, ground_from: None, ground_until: None, rule_version: 0, facts })
}

/// From when until when the dates behind a ground speak for it.
fn dates(calendar: &Calendar, ground: &Ground) -> (Option<i64>, Option<i64>) {
    instants(calendar, ground.from, ground.to)
}

fn instants(calendar: &Calendar, from: Option<Date>, to: Option<Date>) -> (Option<i64>, Option<i64>) {
    (from.map(|from| calendar.start_of(from)), to.map(|to| calendar.end_of(to)))
}

/// The facts with what became of the right.
fn told(facts: &str, said: Option<&str>) -> String {
    let Ok(Value::Object(mut facts)) = serde_json::from_str::<Value>(facts) else { return facts.to_owned() };
    facts.shift_remove(ENDED);
    if let Some(said) = said {
        facts.insert(ENDED.to_owned(), said.into());
    }
    Value::Object(facts).to_string()
}

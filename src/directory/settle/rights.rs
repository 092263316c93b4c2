//! What a User holds by rule: memberships of groups and entitlements, each with the grounds that it has. Judges with
//! `provisioning::rules` and says what is to follow; what is written, is written by [`follow`](super::follow). A member that
//! somebody put into a group stays when a rule ends: it is a ground of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::civil::Date;
use serde_json::{Map, Value, json};

use provisioning::calendar::Calendar;
use provisioning::lifecycle;
use provisioning::rules::{
    Account, Case, Claim, Ground, Held, Judged, Kind, Other, Plan, Rule, Sort, Standing, State, When, asks_for_others,
    claims, plan, told_others, weigh, weigh_alone,
};
use provisioning::units::Units;
use store::{Grant, GrantKey, ResourceId, Work};

use super::super::licences::{self, Decided};
use super::super::rules::{ENTITLEMENT, target};
use super::super::work_items::{self, Item, Notice};
use super::super::{Ctx, Error, persons};
use super::{Book, Follow};

/// Among the facts of a right that ended: what became of it.
const ENDED: &str = "ended";
const RESTS: &str = "rests";
const LAPSED: &str = "lapsed";
const ENTITLEMENTS: &str = "entitlements";

/// Whose rights are worked out, and on which day.
pub(in crate::directory) struct Subject<'s> {
    /// The User.
    pub(in crate::directory) id: ResourceId,
    /// Its document as it is stored.
    pub(in crate::directory) before: Option<&'s Map<String, Value>>,
    /// Its document as it shall be.
    pub(in crate::directory) document: &'s Map<String, Value>,
    /// Whether it is only now created.
    pub(in crate::directory) is_new: bool,
    /// Its state, where a policy covers it.
    pub(in crate::directory) state: Option<lifecycle::State>,
    /// The days of the tenant.
    pub(in crate::directory) calendar: &'s Calendar,
    /// The organisation's units.
    pub(in crate::directory) units: &'s Units,
}

impl Subject<'_> {
    /// What the account may hold: by its state; without a policy by `active`.
    pub(in crate::directory) fn account(&self) -> Account {
        match self.state {
            None if self.document.get("active") == Some(&Value::Bool(false)) => Account::Rests,
            None | Some(lifecycle::State::Active | lifecycle::State::Ending) => Account::Holds,
            Some(lifecycle::State::Planned | lifecycle::State::Staged) => Account::Reserves,
            Some(lifecycle::State::Suspended) => Account::Rests,
            Some(_) => Account::Gone,
        }
    }
}

/// What the rules say of one User.
pub(in crate::directory) struct Judgement {
    /// Every claim and how it ends.
    pub(in crate::directory) judged: Vec<Judged>,
    /// What is held, and what rests or is lost.
    pub(in crate::directory) held: Vec<Held>,
    /// The rows of that; `None`: a member that somebody put there, of whom no row tells.
    rows: Vec<Option<Grant>>,
    /// From when until when the dates behind each of them speak for it by now, where a document says so.
    dates: Vec<Option<(Option<Date>, Option<Date>)>>,
    /// What is to change.
    plan: Plan,
    /// When a rule may say something else by itself.
    next: Option<Date>,
    /// What of the targets the User has: as a member, or among its entitlements.
    has: BTreeSet<String>,
    /// The values of the targets that are entitlements.
    values: BTreeMap<String, Value>,
    /// What becomes of its seats of limited entitlements.
    seats: Decided,
}

/// Works out what the rules say of a User.
pub(in crate::directory) fn judge(
    ctx: &Ctx,
    work: &mut Work<'_>,
    book: &Book,
    subject: &Subject<'_>,
) -> Result<Judgement, Error> {
    let rules = book.rules();
    let day = subject.calendar.day_of(ctx.now);
    let case = Case::new(&subject.id.to_string(), subject.document, day);
    let Gathered { claims, mut held, rows, has, values } = gather(ctx, work, book, &case, subject, true)?;
    let mut by_hand = held_by_hand(work, rules, subject, &claims, &held)?;
    let kin = kin(ctx, work, book, subject, &claims)?;
    by_hand.extend(kin.by_hand);
    let account = subject.account();
    let mut judged = weigh(claims, &case, &held, &kin.others, &by_hand, account);
    let seats = licences::decide(ctx, work, book.pools(), subject, &case, &held, &mut judged)?;
    for (one, row) in held.iter_mut().zip(&rows) {
        // What stands in the document beside a seat, or without one, is nobody's ground.
        if row.is_none() && (seats.kept.contains(&one.target) || seats.without.contains(&one.target)) {
            one.state = State::Lapsed;
        }
    }
    let plan = plan(&judged, &held, account);
    let next = rules.iter().filter_map(|rule| rule.next_turn(&case)).chain(kin.next).min();
    let dates = held.iter().map(|one| rules.iter().find_map(|rule| rule.dates_of(&case, &one.ground))).collect();
    Ok(Judgement { judged, held, rows, dates, plan, next, has, values, seats })
}

/// What the rules claim for a User, and what it holds.
struct Gathered {
    claims: Vec<Claim>,
    held: Vec<Held>,
    rows: Vec<Option<Grant>>,
    has: BTreeSet<String>,
    values: BTreeMap<String, Value>,
}

/// `makes`: whether groups that are missing are made.
fn gather(
    ctx: &Ctx,
    work: &mut Work<'_>,
    book: &Book,
    case: &Case<'_>,
    subject: &Subject<'_>,
    makes: bool,
) -> Result<Gathered, Error> {
    let rules = book.rules();
    let claims = find_claims(ctx, work, rules, case, subject, makes)?;
    let stored = if subject.is_new { Vec::new() } else { work.grants_of(subject.id)? };
    let (mut held, mut rows) = remembered(stored, rules);
    let mut targets: BTreeSet<String> = claims.iter().filter_map(|claim| claim.target.clone().ok()).collect();
    targets.extend(held.iter().map(|one| one.target.clone()));
    let limited =
        book.pools().iter().filter(|(_, terms)| position(subject.document, &terms.value.clone().into()).is_some());
    targets.extend(limited.map(|(id, _)| id.to_string()));
    let (has, values) = possessions(work, subject, &targets)?;
    for target in &has {
        if !held.iter().any(|one| one.target == *target && one.state == State::Held) {
            let (target, ground) = (target.clone(), String::new());
            held.push(Held { target, kind: Kind::Hand, ground, since: 0, state: State::Held });
            rows.push(None);
        }
    }
    Ok(Gathered { claims, held, rows, has, values })
}

/// What the other accounts of the same person claim and have.
#[derive(Default)]
struct Kin {
    others: Vec<Other>,
    /// Rules of which they have by hand what they give, as far as the User's own claims must not be combined with it.
    by_hand: Vec<(Arc<Rule>, i64)>,
    /// When a rule may say something else of one of them.
    next: Option<Date>,
}

fn kin(ctx: &Ctx, work: &mut Work<'_>, book: &Book, subject: &Subject<'_>, claims: &[Claim]) -> Result<Kin, Error> {
    let mut kin = Kin::default();
    let rules = book.rules();
    if !asks_for_others(rules) {
        return Ok(kin);
    }
    for id in persons::siblings(work, subject.id, subject.document)? {
        let Some(document) = work.document_of(id)? else { continue };
        let calendar = book.calendar_of(&document);
        let state = super::held_state(&document);
        let (is_new, units) = (false, subject.units);
        let before = Some(&*document);
        let other = Subject { id, before, document: &document, is_new, state, calendar: &calendar, units };
        let user = id.to_string();
        let case = Case::new(&user, &document, calendar.day_of(ctx.now));
        let found = gather(ctx, work, book, &case, &other, false)?;
        kin.by_hand.extend(held_by_hand(work, rules, &other, claims, &found.held)?);
        let judged = weigh_alone(found.claims, &case, &found.held, other.account());
        kin.others.extend(told_others(&judged, &user, &found.held));
        kin.next = rules.iter().filter_map(|rule| rule.next_turn(&case)).chain(kin.next).min();
    }
    Ok(kin)
}

/// Every claim of the rules, with the resource that each means.
fn find_claims(
    ctx: &Ctx,
    work: &mut Work<'_>,
    rules: &[Arc<Rule>],
    case: &Case<'_>,
    subject: &Subject<'_>,
    makes: bool,
) -> Result<Vec<Claim>, Error> {
    let mut failed = None;
    let found = claims(rules, case, |gives, ground, when| {
        let name = gives.name(case.document(), ground, |key| unit(subject.units, key));
        let outcome = name.and_then(|name| {
            let found = target::find(gives, &name, work);
            let is_wanted = makes && *when == When::Holds && subject.account() == Account::Holds;
            let found = match found {
                Ok(Err(_)) if gives.is_made && is_wanted => target::make_group(ctx, work, &name),
                found => found,
            };
            found.unwrap_or_else(|error| {
                let told = error.to_string();
                failed = Some(error);
                Err(told)
            })
        });
        outcome.map(|id| id.to_string())
    });
    failed.map_or(Ok(found), Err)
}

/// What a template may ask of a unit: its key at the source, its code and where it lies. An unknown one gives nothing.
fn unit(units: &Units, key: &str) -> Result<Value, String> {
    match units.find(key) {
        Some(unit) => Ok(json!({ "key": key, "code": unit.code, "path": unit.path })),
        // Where the organisation keeps no units, a source's key says it all.
        None if units.is_empty() => Ok(json!({ "key": key, "code": key })),
        None => Err(format!("the unit {key} is not known")),
    }
}

/// What the rows say is held, rests or is lost: of each ground its newest row.
fn remembered(stored: Vec<Grant>, rules: &[Arc<Rule>]) -> (Vec<Held>, Vec<Option<Grant>>) {
    let mut newest: BTreeMap<(ResourceId, String, String), Grant> = BTreeMap::new();
    for grant in stored {
        let key = (grant.key.target, grant.key.ground_kind.clone(), grant.key.ground_id.clone());
        newest.insert(key, grant);
    }
    let mut held = Vec::new();
    let mut rows = Vec::new();
    for grant in newest.into_values() {
        let Some(kind) = Kind::parse(&grant.key.ground_kind) else { continue };
        let state = match (grant.until, ended(&grant).as_deref()) {
            (None, _) => State::Held,
            (Some(_), Some(RESTS)) => State::Rests,
            (Some(until), Some(LAPSED)) if !is_given_since(rules, &grant, until) => State::Lapsed,
            _ => continue,
        };
        let (target, ground, since) = (grant.key.target.to_string(), grant.key.ground_id.clone(), grant.key.since);
        held.push(Held { target, kind, ground, since, state });
        rows.push(Some(grant));
    }
    (held, rows)
}

fn ended(grant: &Grant) -> Option<String> {
    let facts: Value = serde_json::from_str(&grant.facts).ok()?;
    Some(facts.get(ENDED)?.as_str()?.to_owned())
}

/// Whether a right was given by hand once more after it was lost.
fn is_given_since(rules: &[Arc<Rule>], grant: &Grant, until: i64) -> bool {
    let user = grant.key.user.to_string();
    let rule = rules.iter().find(|rule| rule.id == grant.key.ground_id);
    let given = rule.and_then(|rule| rule.include.iter().find(|one| one.user == user));
    given.is_some_and(|given| given.at.is_some_and(|at| at >= until))
}

/// Which of the targets the User has, and the values of those that are entitlements.
fn possessions(
    work: &mut Work<'_>,
    subject: &Subject<'_>,
    targets: &BTreeSet<String>,
) -> Result<(BTreeSet<String>, BTreeMap<String, Value>), Error> {
    let (mut has, mut values) = (BTreeSet::new(), BTreeMap::new());
    for target in targets {
        let Ok(id) = target.parse::<ResourceId>() else { continue };
        let Some(record) = work.record(id)? else { continue };
        if record.kind == ENTITLEMENT {
            let document = work.document_of(id)?;
            let Some(value) = document.as_deref().and_then(|document| document.get("value")).cloned() else { continue };
            if position(subject.document, &value).is_some() {
                has.insert(target.clone());
            }
            values.insert(target.clone(), value);
        } else if !subject.is_new && work.member_since(id, subject.id)?.is_some() {
            has.insert(target.clone());
        }
    }
    Ok((has, values))
}

/// Where among a User's entitlements a value stands.
pub(in crate::directory) fn position(document: &Map<String, Value>, value: &Value) -> Option<usize> {
    document.get(ENTITLEMENTS)?.as_array()?.iter().position(|element| is_value(element, value))
}

/// Rules of which the User has by hand what they give, as far as something must not be combined with it.
fn held_by_hand(
    work: &mut Work<'_>,
    rules: &[Arc<Rule>],
    subject: &Subject<'_>,
    claims: &[Claim],
    held: &[Held],
) -> Result<Vec<(Arc<Rule>, i64)>, Error> {
    let mut found = Vec::new();
    let concerned = |rule: &Rule| claims.iter().any(|claim| claim.rule.id != rule.id && claim.rule.excludes(rule));
    for rule in rules.iter().filter(|rule| concerned(rule)) {
        for gives in rule.gives().filter(|gives| !gives.is_template()) {
            let Ok(id) = target::find(gives, &gives.value, work)? else { continue };
            let of_target = held.iter().filter(|one| one.target == id.to_string() && is_by_hand(one));
            let mut by_hand = of_target.map(|one| one.since);
            let is_known = held.iter().any(|one| one.target == id.to_string() && one.state == State::Held);
            let is_member = !is_known && gives.sort == Sort::Group && !subject.is_new;
            let since = match by_hand.next() {
                Some(since) => Some(since),
                None if is_member && work.member_since(id, subject.id)?.is_some() => Some(0),
                None => None,
            };
            found.extend(since.map(|since| (Arc::clone(rule), since)));
        }
    }
    Ok(found)
}

/// Whether somebody gave it, and it is held, or rests and is held again with the account: what it must not meet is not to come
/// before it. What is given beside a rule is that rule's, and weighed as such.
fn is_by_hand(held: &Held) -> bool {
    held.kind != Kind::Rule && held.rule().is_empty() && held.state != State::Lapsed
}

/// Says what follows from the rules for a User: its entitlements as they shall be, if they change, and what it holds by hand.
pub(super) fn settle(
    ctx: &Ctx,
    work: &mut Work<'_>,
    book: &Book,
    subject: &Subject<'_>,
    follow: &mut Follow,
) -> Result<(Option<Value>, BTreeSet<String>), Error> {
    let has_seats = !book.pools().is_empty() || work.count(licences::ASSIGNMENT) > 0;
    if book.rules().is_empty() && !has_seats && (subject.is_new || work.grants_of(subject.id)?.is_empty()) {
        return Ok((None, BTreeSet::new()));
    }
    let mut judgement = judge(ctx, work, book, subject)?;
    follow.seats = std::mem::take(&mut judgement.seats.moves);
    follow.look_again(judgement.seats.due);
    follow.look_again(judgement.next.map(|day| subject.calendar.start_of(day)));
    judgement.write_grants(ctx, subject, follow);
    judgement.note_conflicts(book.rules(), subject, follow);
    let by_hand = judgement.by_hand();
    Ok((judgement.move_targets(subject, follow), by_hand))
}

impl Judgement {
    /// Tells of rights that are withheld because they must not be combined with others, and that none is any more.
    fn note_conflicts(&self, rules: &[Arc<Rule>], subject: &Subject<'_>, follow: &mut Follow) {
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
    fn by_hand(&self) -> BTreeSet<String> {
        let rows = self
            .held
            .iter()
            .zip(&self.rows)
            .filter(|(held, row)| held.kind == Kind::Hand && held.state == State::Held && row.is_some());
        rows.map(|(held, _)| held.target.clone()).collect()
    }

    /// The grounds that end, begin, are held again or have other dates.
    fn write_grants(&self, ctx: &Ctx, subject: &Subject<'_>, follow: &mut Follow) {
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
    fn move_targets(&self, subject: &Subject<'_>, follow: &mut Follow) -> Option<Value> {
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

fn is_value(element: &Value, value: &Value) -> bool {
    match (element.get("value").and_then(Value::as_str), value.as_str()) {
        (Some(one), Some(other)) => one.eq_ignore_ascii_case(other),
        _ => false,
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

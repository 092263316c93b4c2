//! Between grounds that stand against each other: families in which the highest rank gives, duties that one person must
//! not have together, exclusions by hand, and what the state of the account leaves of it all. The older right stays; what
//! is withheld or superseded says by what.

use std::sync::Arc;

use jiff::civil::Date;

use super::plan::State;
use super::{Case, Gives, Ground, Held, Kind, Rule, When};

/// What an account may hold at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    /// Everything: active, or about to leave.
    Holds,
    /// Nothing yet; licences are reserved.
    Reserves,
    /// Nothing for now; what was made by hand comes back.
    Rests,
    /// Nothing; what was made by hand is lost.
    Gone,
}

/// A ground for one thing.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The rule.
    pub rule: Arc<Rule>,
    /// What of it.
    pub gives: Gives,
    /// The resource that it means; or why there is none.
    pub target: Result<String, String>,
    /// Because of what.
    pub ground: Ground,
    /// How that stands.
    pub when: When,
}

/// How a claim ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It gives.
    Held,
    /// It will, from a day on.
    Ahead(Option<Date>),
    /// It rests, and why.
    Rests(String),
    /// It will once the account is active: a licence is reserved meanwhile.
    Reserved,
    /// Somebody took the User out of the rule, and why.
    Excluded(String),
    /// Another rule of the family ranks higher: its name.
    Superseded(String),
    /// It must not be combined with what is held, and with what.
    Withheld(String),
    /// It was given by hand and lost when the account was closed.
    Lapsed,
    /// There is nothing that the rule could give, and why.
    Missing(String),
}

/// A claim, weighed.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The claim.
    pub claim: Claim,
    /// How it ends.
    pub standing: Standing,
}

/// What the other accounts of the same person hold by rule: rule id, resource, since when (µs since 1970).
pub type Others = [(String, String, i64)];

/// Every claim of every active rule on a User. `target` finds the resource that a rule means.
pub fn claims(
    rules: &[Arc<Rule>],
    case: &Case<'_>,
    mut target: impl FnMut(&Gives, &Ground, &When) -> Result<String, String>,
) -> Vec<Claim> {
    let mut claims = Vec::new();
    for rule in rules.iter().filter(|rule| rule.stage == super::Stage::Active) {
        for (ground, when) in rule.grounds(case) {
            for gives in rule.gives_on(&ground) {
                let target = target(gives, &ground, &when);
                let (rule, gives, ground, when) = (rule.clone(), gives.clone(), ground.clone(), when.clone());
                claims.push(Claim { rule, gives, target, ground, when });
            }
        }
    }
    claims
}

/// Decides every claim. `by_hand` are rules that give what the User has by hand, and since when: they count for what must
/// not be combined. The order of the claims does not matter.
pub fn weigh(
    claims: Vec<Claim>,
    case: &Case<'_>,
    held: &[Held],
    others: &Others,
    by_hand: &[(Arc<Rule>, i64)],
    account: Account,
) -> Vec<Judged> {
    let mut judged: Vec<Judged> =
        claims.into_iter().map(|claim| Judged { standing: alone(&claim, case, held, account), claim }).collect();
    rank(&mut judged, others);
    separate(&mut judged, held, others, by_hand);
    judged
}

/// How a claim ends as far as no other one matters.
fn alone(claim: &Claim, case: &Case<'_>, held: &[Held], account: Account) -> Standing {
    if let Err(reason) = &claim.target {
        return Standing::Missing(reason.clone());
    }
    if let Some(out) = claim.rule.exception(&claim.rule.exclude, case.user(), case.day()) {
        let until = out.until.map(|until| format!(" (until {until})")).unwrap_or_default();
        return Standing::Excluded(format!("{}{until}", out.reason));
    }
    if claim.ground.kind == Kind::Hand && held.iter().any(|held| held.state == State::Lapsed && held.is_by(claim)) {
        return Standing::Lapsed;
    }
    match (&claim.when, account) {
        (When::Ahead, _) => Standing::Ahead(claim.ground.from),
        (_, Account::Gone) => Standing::Rests("the account is closed".to_owned()),
        (_, Account::Rests) => Standing::Rests("the account rests".to_owned()),
        (When::Rests(reason), _) => Standing::Rests(reason.clone()),
        (When::Holds, Account::Reserves) => Standing::Reserved,
        (When::Holds, Account::Holds) => Standing::Held,
    }
}

fn is_on(standing: &Standing) -> bool {
    matches!(standing, Standing::Held | Standing::Reserved)
}

/// Within a family the highest rank gives.
fn rank(judged: &mut [Judged], others: &Others) {
    let rules: Vec<Arc<Rule>> =
        judged.iter().filter(|one| is_on(&one.standing)).map(|one| Arc::clone(&one.claim.rule)).collect();
    for one in judged.iter_mut().filter(|one| is_on(&one.standing)) {
        let Some((family, rank)) = &one.claim.rule.family else { continue };
        let is_higher = |rule: &&Arc<Rule>| {
            rule.family.as_ref().is_some_and(|(name, other)| name.eq_ignore_ascii_case(family) && other > rank)
        };
        let higher = rules.iter().filter(is_higher);
        if let Some(winner) = higher.max_by_key(|rule| rule.family.as_ref().map(|(_, rank)| *rank)) {
            one.standing = Standing::Superseded(winner.name.clone());
        }
    }
    fill_slots(judged);
    // One of a kind for each human being.
    for one in judged.iter_mut().filter(|one| is_on(&one.standing) && one.claim.rule.is_of_person) {
        let of_other = |(rule, target, _): &&(String, String, i64)| {
            *rule == one.claim.rule.id && one.claim.target.as_ref() == Ok(target)
        };
        if others.iter().any(|other| of_other(&other)) {
            one.standing = Standing::Withheld("another account of the same person has it".to_owned());
        }
    }
}

/// Of what bears one name only one is given: that of the highest priority, of one rule's own that with the earliest ground.
fn fill_slots(judged: &mut [Judged]) {
    let mut best: Vec<(String, i64, (Option<Date>, String), String, String)> = Vec::new();
    for one in judged.iter().filter(|one| is_on(&one.standing)) {
        let (Some(slot), Ok(target)) = (&one.claim.gives.slot, &one.claim.target) else { continue };
        let order = (one.claim.ground.from, one.claim.ground.id.clone());
        let (slot, priority) = (slot.to_lowercase(), one.claim.rule.priority);
        let candidate = (slot, priority, order, target.clone(), one.claim.rule.name.clone());
        match best.iter_mut().find(|known| known.0 == candidate.0) {
            Some(known) if (candidate.1, &known.2) > (known.1, &candidate.2) => *known = candidate,
            Some(_) => {}
            None => best.push(candidate),
        }
    }
    for one in judged.iter_mut().filter(|one| is_on(&one.standing)) {
        let Some(slot) = one.claim.gives.slot.as_ref().map(|slot| slot.to_lowercase()) else { continue };
        let Some((.., target, by)) = best.iter().find(|known| known.0 == slot) else { continue };
        if one.claim.target.as_ref() != Ok(target) {
            one.standing = Standing::Superseded(by.clone());
        }
    }
}

/// A rule with claims that are on, and since when the oldest of its rights is held.
struct Duty {
    rule: Arc<Rule>,
    since: i64,
    from: Option<Date>,
}

/// What must not be combined: the older right stays, the newer one is withheld; or both are.
fn separate(judged: &mut [Judged], held: &[Held], others: &Others, by_hand: &[(Arc<Rule>, i64)]) {
    let mut duties: Vec<Duty> = Vec::new();
    for one in judged.iter().filter(|one| is_on(&one.standing)) {
        let since = held
            .iter()
            .filter(|held| held.state != State::Lapsed && held.is_by(&one.claim))
            .map(|held| held.since)
            .min()
            .unwrap_or(i64::MAX);
        match duties.iter_mut().find(|duty| duty.rule.id == one.claim.rule.id) {
            Some(duty) => {
                duty.since = duty.since.min(since);
                duty.from = duty.from.min(one.claim.ground.from);
            }
            None => duties.push(Duty { rule: one.claim.rule.clone(), since, from: one.claim.ground.from }),
        }
    }
    // The older first; of what is new at once, the earlier ground, the higher priority, the name.
    duties.sort_by(|one, other| {
        let key = |duty: &Duty| (duty.since, duty.from, std::cmp::Reverse(duty.rule.priority));
        key(one)
            .cmp(&key(other))
            .then_with(|| one.rule.name.cmp(&other.rule.name))
            .then_with(|| one.rule.id.cmp(&other.rule.id))
    });
    let mut kept: Vec<&Duty> = Vec::new();
    let mut out: Vec<(String, String)> = Vec::new();
    for duty in &duties {
        let rule = &duty.rule;
        let denies = |other: &Rule| rule.denies_both || other.denies_both || rule.is_restricted || other.is_restricted;
        let hand = by_hand.iter().find(|(other, since)| {
            other.id != rule.id && rule.excludes(other) && (*since <= duty.since || denies(other))
        });
        let elsewhere = others.iter().find(|(other, _, since)| {
            rule.is_of_person && rule.not_with.iter().any(|name| name == other) && *since <= duty.since
        });
        let standing =
            kept.iter().filter(|other| rule.excludes(&other.rule)).map(|other| other.rule.clone()).collect::<Vec<_>>();
        if let Some((other, _)) = hand {
            out.push((
                rule.id.clone(),
                format!("it must not be combined with what the rule {} gives, which was given by hand", other.name),
            ));
        } else if let Some((other, ..)) = elsewhere {
            out.push((rule.id.clone(), format!("another account of the same person has what the rule {other} gives")));
        } else if let Some(other) = standing.first() {
            out.push((rule.id.clone(), format!("it must not be combined with the rule {}", other.name)));
            for other in standing.iter().filter(|other| denies(other)) {
                out.push((
                    other.id.clone(),
                    format!("it must not be combined with the rule {}, and neither is given", rule.name),
                ));
            }
        } else {
            kept.push(duty);
        }
    }
    for one in judged.iter_mut().filter(|one| is_on(&one.standing)) {
        if let Some((_, reason)) = out.iter().find(|(rule, _)| *rule == one.claim.rule.id) {
            one.standing = Standing::Withheld(reason.clone());
        }
    }
}

impl Held {
    /// Whether it is held by the ground of a claim.
    pub fn is_by(&self, claim: &Claim) -> bool {
        self.kind == claim.ground.kind && self.ground == claim.ground.id && claim.target.as_ref() == Ok(&self.target)
    }

    /// The rule behind it; empty for what no rule gave.
    pub fn rule(&self) -> &str {
        match self.kind {
            Kind::Rule | Kind::Hand => self.ground.split('/').next().unwrap_or_default(),
            Kind::Inherited | Kind::Source => "",
        }
    }
}

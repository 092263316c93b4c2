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
    /// It will once there is a seat: there is only so much of it, and others come before.
    Waiting,
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

/// What another account of the same person claims, and nothing of its own speaks against.
#[derive(Clone, Debug)]
pub struct Other {
    /// The account: the User's id.
    pub user: String,
    /// The rule.
    pub rule: Arc<Rule>,
    /// The resource.
    pub target: String,
    /// Since when it holds it by that (µs since 1970); `None`: it does not yet.
    pub since: Option<i64>,
    /// First day of the ground.
    pub from: Option<Date>,
    /// Whether it is only reserved: the account is not active yet.
    pub is_reserved: bool,
}

/// What the other accounts of the same person claim.
pub type Others = [Other];

/// What of an account's judged claims matters for the other accounts of the same person.
pub fn told_others(judged: &[Judged], user: &str, held: &[Held]) -> Vec<Other> {
    let on = judged.iter().filter(|one| is_on(&one.standing));
    let told = on.filter_map(|one| {
        let since =
            held.iter().filter(|held| held.state == State::Held && held.is_by(&one.claim)).map(|held| held.since);
        Some(Other {
            user: user.to_owned(),
            rule: Arc::clone(&one.claim.rule),
            target: one.claim.target.clone().ok()?,
            since: since.min(),
            from: one.claim.ground.from,
            is_reserved: one.standing == Standing::Reserved,
        })
    });
    told.collect()
}

/// Whether any of the rules asks about the other accounts of a person: what must not be combined is looked at for the
/// human being, and so is what a rule of the person gives.
pub fn asks_for_others(rules: &[Arc<Rule>]) -> bool {
    rules.iter().any(|rule| rule.is_of_person || !rule.not_with.is_empty())
}

/// The claims as far as the account alone matters: [`told_others`] says what of it the other accounts are to know.
pub fn weigh_alone(claims: Vec<Claim>, case: &Case<'_>, held: &[Held], account: Account) -> Vec<Judged> {
    let mut judged: Vec<Judged> =
        claims.into_iter().map(|claim| Judged { standing: alone(&claim, case, held, account), claim }).collect();
    rank(&mut judged);
    judged
}

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
    let mut judged = weigh_alone(claims, case, held, account);
    let lost = separate(&mut judged, case.user(), held, others, by_hand);
    give_one(&mut judged, case.user(), held, others, &lost);
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
fn rank(judged: &mut [Judged]) {
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
}

/// Of a rule of the person one account alone has what it gives: the one that has it longest; of those that do not yet, one
/// that is active before one that is not, the earlier ground, the older account. `lost` are other accounts' rules that give
/// nothing for what they must not be combined with.
fn give_one(judged: &mut [Judged], user: &str, held: &[Held], others: &Others, lost: &[(String, String)]) {
    if !judged.iter().any(|one| one.claim.rule.is_of_person) {
        return;
    }
    let own = told_others(judged, user, held);
    let order = |one: &Other| (one.since.unwrap_or(i64::MAX), one.is_reserved, one.from, one.user.clone());
    let is_lost = |other: &Other| lost.iter().any(|(user, rule)| *user == other.user && *rule == other.rule.id);
    for one in judged.iter_mut().filter(|one| is_on(&one.standing) && one.claim.rule.is_of_person) {
        let is_same =
            |other: &&Other| other.rule.id == one.claim.rule.id && one.claim.target.as_ref() == Ok(&other.target);
        let mine = own.iter().filter(is_same).map(order).min();
        let theirs = others.iter().filter(is_same).filter(|other| !is_lost(other)).min_by_key(|other| order(other));
        if let Some(theirs) = theirs.filter(|theirs| mine.is_none_or(|mine| order(theirs) < mine)) {
            let reason = format!("another account of the same person has it ({})", theirs.user);
            one.standing = Standing::Withheld(reason);
        }
    }
}

/// What fills a slot, and how early it comes.
struct Filling {
    slot: String,
    priority: i64,
    ground: (Option<Date>, String),
    target: String,
    rule: String,
}

/// Of what bears one name only one is given: that of the highest priority, of one rule's own that with the earliest ground.
fn fill_slots(judged: &mut [Judged]) {
    let mut best: Vec<Filling> = Vec::new();
    for one in judged.iter().filter(|one| is_on(&one.standing)) {
        let (Some(slot), Ok(target)) = (&one.claim.gives.slot, &one.claim.target) else { continue };
        let filling = Filling {
            slot: slot.to_lowercase(),
            priority: one.claim.rule.priority,
            ground: (one.claim.ground.from, one.claim.ground.id.clone()),
            target: target.clone(),
            rule: one.claim.rule.name.clone(),
        };
        match best.iter_mut().find(|known| known.slot == filling.slot) {
            Some(known) if (filling.priority, &known.ground) > (known.priority, &filling.ground) => *known = filling,
            Some(_) => {}
            None => best.push(filling),
        }
    }
    for one in judged.iter_mut().filter(|one| is_on(&one.standing)) {
        let Some(slot) = one.claim.gives.slot.as_ref().map(|slot| slot.to_lowercase()) else { continue };
        let Some(filling) = best.iter().find(|known| known.slot == slot) else { continue };
        if one.claim.target.as_ref() != Ok(&filling.target) {
            one.standing = Standing::Superseded(filling.rule.clone());
        }
    }
}

/// A rule with claims that are on, of one account, and since when the oldest of its rights is held.
struct Duty {
    user: String,
    rule: Arc<Rule>,
    since: i64,
    from: Option<Date>,
}

/// What a person's accounts claim, each rule of each account once, in the order in which it counts.
fn duties(judged: &[Judged], user: &str, held: &[Held], others: &Others) -> Vec<Duty> {
    let mut duties: Vec<Duty> = Vec::new();
    let mut put = |user: &str, rule: &Arc<Rule>, since: i64, from: Option<Date>| match duties
        .iter_mut()
        .find(|duty| duty.rule.id == rule.id && duty.user == user)
    {
        Some(duty) => {
            duty.since = duty.since.min(since);
            duty.from = duty.from.min(from);
        }
        None => duties.push(Duty { user: user.to_owned(), rule: Arc::clone(rule), since, from }),
    };
    for one in judged.iter().filter(|one| is_on(&one.standing)) {
        let by = held.iter().filter(|held| held.state != State::Lapsed && held.is_by(&one.claim));
        let since = by.map(|held| held.since).min().unwrap_or(i64::MAX);
        put(user, &one.claim.rule, since, one.claim.ground.from);
    }
    for other in others {
        put(&other.user, &other.rule, other.since.unwrap_or(i64::MAX), other.from);
    }
    // The older first; of what is new at once, the earlier ground, the higher priority, the name, the older account.
    duties.sort_by(|one, other| {
        let key = |duty: &Duty| (duty.since, duty.from, std::cmp::Reverse(duty.rule.priority));
        let names = |duty: &Duty| (duty.rule.name.clone(), duty.rule.id.clone(), duty.user.clone());
        key(one).cmp(&key(other)).then_with(|| names(one).cmp(&names(other)))
    });
    duties
}

/// What must not be combined in one human being: the older right stays, the newer one is withheld; or both are. Answers which
/// rules of which other accounts give nothing for that.
fn separate(
    judged: &mut [Judged],
    user: &str,
    held: &[Held],
    others: &Others,
    by_hand: &[(Arc<Rule>, i64)],
) -> Vec<(String, String)> {
    let duties = duties(judged, user, held, others);
    let whose = |duty: &Duty| if duty.user == user { "" } else { " that another account of the same person has" };
    let mut kept: Vec<&Duty> = Vec::new();
    let mut out: Vec<(&Duty, String)> = Vec::new();
    for duty in &duties {
        let rule = &duty.rule;
        let denies = |other: &Rule| rule.denies_both || other.denies_both || rule.is_restricted || other.is_restricted;
        let hand = by_hand.iter().find(|(other, since)| {
            other.id != rule.id && rule.excludes(other) && (*since <= duty.since || denies(other))
        });
        let standing: Vec<&Duty> = kept.iter().copied().filter(|other| rule.excludes(&other.rule)).collect();
        if let Some((other, _)) = hand {
            let reason =
                format!("it must not be combined with what the rule {} gives, which was given by hand", other.name);
            out.push((duty, reason));
        } else if let Some(other) = standing.first() {
            out.push((duty, format!("it must not be combined with the rule {}{}", other.rule.name, whose(other))));
            for other in standing.iter().filter(|other| denies(&other.rule)) {
                let reason =
                    format!("it must not be combined with the rule {}{}, and neither is given", rule.name, whose(duty));
                out.push((other, reason));
            }
        } else {
            kept.push(duty);
        }
    }
    let (own, theirs): (Vec<_>, Vec<_>) = out.into_iter().partition(|(duty, _)| duty.user == user);
    for one in judged.iter_mut().filter(|one| is_on(&one.standing)) {
        if let Some((_, reason)) = own.iter().find(|(duty, _)| duty.rule.id == one.claim.rule.id) {
            one.standing = Standing::Withheld(reason.clone());
        }
    }
    theirs.into_iter().map(|(duty, _)| (duty.user.clone(), duty.rule.id.clone())).collect()
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

//! What is to change: the rights that grounds give, against those that are held. A right that has a ground before and after
//! is neither taken nor given, whatever becomes of the single grounds; otherwise what goes, goes before what comes.

use std::collections::BTreeSet;

use super::{Account, Judged, Kind, Standing};

/// One right that is held, or rests, on one ground.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The resource: a group or an entitlement.
    pub target: String,
    /// What the ground is.
    pub kind: Kind,
    /// Its id; empty for a member that somebody put into a group without saying why.
    pub ground: String,
    /// Since when (µs since 1970).
    pub since: i64,
    /// What became of it.
    pub state: State,
}

/// What became of a right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is held.
    Held,
    /// It rests with the account: held before, and to be held again.
    Rests,
    /// It was given by hand and lost when the account was closed: it does not come back by itself.
    Lapsed,
}

/// What becomes of the rights of one User.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Grounds that end: places in the list of what is held, and what is remembered of them.
    pub end: Vec<(usize, Option<State>)>,
    /// Grounds that begin: places in the list of what was judged.
    pub begin: Vec<usize>,
    /// What rested and is held again: places in the list of what is held.
    pub resume: Vec<usize>,
    /// What the User loses.
    pub take: Vec<String>,
    /// What the User gets.
    pub give: Vec<String>,
}

impl Plan {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.end.is_empty() && self.begin.is_empty() && self.resume.is_empty()
    }
}

/// Compares what shall be held with what is.
pub fn plan(judged: &[Judged], held: &[Held], account: Account) -> Plan {
    let mut plan = Plan::default();
    let mut after: BTreeSet<&str> = BTreeSet::new();
    let before: BTreeSet<&str> =
        held.iter().filter(|held| held.state == State::Held).map(|held| held.target.as_str()).collect();
    for (index, right) in held.iter().enumerate() {
        let is_ruled = right.kind == Kind::Rule || (right.kind == Kind::Hand && !right.ground.is_empty());
        // What was there before the register is explained once a rule gives the same.
        let is_confirmed = right.kind == Kind::Inherited
            && judged
                .iter()
                .any(|one| one.standing == Standing::Held && one.claim.target.as_ref() == Ok(&right.target));
        let stays = match (is_ruled, account) {
            _ if is_confirmed => false,
            (true, _) => judged.iter().any(|one| one.standing == Standing::Held && right.is_by(&one.claim)),
            (false, Account::Holds | Account::Reserves) => true,
            (false, Account::Rests | Account::Gone) => false,
        };
        match (stays, right.state) {
            (_, State::Lapsed) => {}
            (true, State::Held) => drop(after.insert(&right.target)),
            (true, State::Rests) => {
                plan.resume.push(index);
                after.insert(&right.target);
            }
            (false, State::Held) => {
                let becomes = match account {
                    _ if is_confirmed => None,
                    Account::Rests if right.kind != Kind::Rule => Some(State::Rests),
                    Account::Gone if right.kind == Kind::Hand => Some(State::Lapsed),
                    _ => None,
                };
                plan.end.push((index, becomes));
            }
            // What was made by hand does not outlive the account.
            (false, State::Rests) if account == Account::Gone => plan.end.push((index, Some(State::Lapsed))),
            (false, State::Rests) => {}
        }
    }
    for (index, one) in judged.iter().enumerate().filter(|(_, one)| one.standing == Standing::Held) {
        let Ok(target) = &one.claim.target else { continue };
        after.insert(target);
        let is_known = held.iter().any(|right| right.is_by(&one.claim));
        let is_double = plan.begin.iter().filter_map(|at| judged.get(*at)).any(|other| {
            other.claim.target == one.claim.target
                && other.claim.ground.id == one.claim.ground.id
                && other.claim.ground.kind == one.claim.ground.kind
        });
        if !is_known && !is_double {
            plan.begin.push(index);
        }
    }
    plan.take = before.difference(&after).map(|target| (*target).to_owned()).collect();
    plan.give = after.difference(&before).map(|target| (*target).to_owned()).collect();
    plan
}

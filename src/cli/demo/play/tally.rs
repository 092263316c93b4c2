//! What a month came to, told from the change rows alone: as whoever follows the register would tell it.

use std::collections::HashMap;

use provisioning::lifecycle::State;
use serde_json::{Value, json};
use store::{ResourceId, Seq};

use super::super::year::PERSON;
use super::town::{Ran, Town};

/// Changes that are read at a time.
const PAGE: i64 = 2_000;

/// What is known of an account.
struct Known {
    state: Option<State>,
    name: String,
    unit: String,
}

/// Counts of a month.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Month {
    joined: u64,
    moved: u64,
    left: u64,
    returned: u64,
    named: u64,
    given: u64,
    taken: u64,
    changes: u64,
    purged: u64,
    ran: Ran,
}

impl Month {
    /// The names of the columns.
    pub(super) const HEAD: &'static str =
        "month     joined  moved   left  returned  names  rights given  taken   changes  active  held  refused";

    /// As a line of a table.
    pub(super) fn line(&self, month: &str, active: usize) -> String {
        let Month { joined, moved, left, returned, named, given, taken, changes, ran, .. } = self;
        format!(
            "{month}  {joined:>7} {moved:>6} {left:>6} {returned:>9} {named:>6} {given:>13} {taken:>6} {changes:>9} \
             {active:>7} {:>5} {:>8}",
            ran.held, ran.refused
        )
    }

    /// As JSON.
    pub(super) fn json(&self, month: &str, active: usize) -> Value {
        json!({
            "month": month, "joined": self.joined, "moved": self.moved, "left": self.left, "returned": self.returned,
            "names": self.named, "rightsGiven": self.given, "rightsTaken": self.taken, "purged": self.purged,
            "changes": self.changes, "active": active, "heldRuns": self.ran.held, "refused": self.ran.refused,
        })
    }

    pub(super) fn add(&mut self, ran: Ran) {
        self.ran.held += ran.held;
        self.ran.refused += ran.refused;
    }
}

/// Follows the register.
#[derive(Default)]
pub(super) struct Tally {
    seen: HashMap<ResourceId, Known>,
    after: Seq,
}

impl Tally {
    /// Adds what has changed since the last time.
    pub(super) async fn follow(&mut self, town: &Town, month: &mut Month) -> anyhow::Result<()> {
        loop {
            let (tenant, after) = (town.tenant, self.after);
            let read = town.directory.store().read(move |reader| reader.changes(tenant, after, None, PAGE));
            let page = read.await.map_err(|error: store::Error| error)?;
            let Some(last) = page.last().map(|stored| stored.change.seq) else { return Ok(()) };
            self.after = last;
            for stored in page {
                self.count(&stored.change, month)?;
            }
        }
    }

    /// How many accounts are active now.
    pub(super) fn active(&self) -> usize {
        self.seen.values().filter(|known| known.state.is_some_and(State::is_active)).count()
    }

    fn count(&mut self, change: &store::Change, month: &mut Month) -> anyhow::Result<()> {
        month.changes += 1;
        for delta in &change.members {
            *(if delta.joined { &mut month.given } else { &mut month.taken }) += 1;
        }
        if change.kind != "User" {
            return Ok(());
        }
        let Some(text) = &change.doc else {
            if change.op == store::change::Op::Delete && self.seen.remove(&change.resource).is_some() {
                month.purged += 1;
            }
            return Ok(());
        };
        let document: Value = serde_json::from_str(text)?;
        let known = Known::of(&document);
        let Some(before) = self.seen.insert(change.resource, Known { ..known.clone() }) else {
            month.joined += u64::from(known.is_on());
            month.named += u64::from(known.is_named(change.resource));
            return Ok(());
        };
        match (before.state, before.is_on(), known.is_on()) {
            (Some(State::Planned | State::Staged) | None, false, true) => month.joined += 1,
            (_, false, true) => month.returned += 1,
            (_, true, false) if known.state != Some(State::Suspended) => month.left += 1,
            _ => {}
        }
        let has_moved = known.is_on() && before.is_on() && before.unit != known.unit && !known.unit.is_empty();
        month.moved += u64::from(has_moved && !before.unit.is_empty());
        month.named += u64::from(before.name != known.name && known.is_named(change.resource));
        Ok(())
    }
}

impl Clone for Known {
    fn clone(&self) -> Self {
        Known { state: self.state, name: self.name.clone(), unit: self.unit.clone() }
    }
}

impl Known {
    fn of(document: &Value) -> Self {
        let person = document.get(PERSON);
        let part = |name: &str| person.and_then(|person| person.get(name));
        let state = part("lifecycle").and_then(|lifecycle| lifecycle.get("state")).and_then(Value::as_str);
        let main = part("employments").and_then(Value::as_array).into_iter().flatten();
        let main = main.filter(|one| one.get("primary") == Some(&Value::Bool(true)));
        let unit = main.filter_map(|one| one.get("unitPath").and_then(Value::as_str)).next();
        Known {
            state: state.and_then(State::parse),
            name: document.get("userName").and_then(Value::as_str).unwrap_or_default().to_owned(),
            unit: unit.unwrap_or_default().to_owned(),
        }
    }

    fn is_on(&self) -> bool {
        self.state.is_some_and(State::is_active)
    }

    /// Whether it has a name: before that it is called by its id.
    fn is_named(&self, id: ResourceId) -> bool {
        !self.name.is_empty() && self.name != id.to_string()
    }
}

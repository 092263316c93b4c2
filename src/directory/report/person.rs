//! One person on a day: a few words of what it was before and is after, and what moved it. Pure.

use std::collections::{BTreeSet, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use provisioning::person::{EMPLOYMENTS, URN};
use serde_json::{Map, Value};
use store::{Change, ResourceId};

use super::Line;

/// What counts of a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Standing {
    is_there: bool,
    is_open: bool,
    /// The unit of the main employment.
    unit: String,
    /// Units of the employments that hold.
    units: BTreeSet<String>,
    /// Of user name, name and addresses.
    name: u64,
    entitlements: HashSet<u64>,
    /// Of everything.
    whole: u64,
}

fn digest(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

impl Standing {
    fn of(text: Option<&str>) -> Self {
        let document: Option<Map<String, Value>> = text.and_then(|text| serde_json::from_str(text).ok());
        let Some(document) = document else { return Standing::default() };
        let part = |name: &str| document.get(name).map(Value::to_string).unwrap_or_default();
        let employments = document.get(URN).and_then(|person| person.get(EMPLOYMENTS)).and_then(Value::as_array);
        let holds = |one: &&Value| one.get("current") == Some(&Value::Bool(true));
        let unit = |one: &Value| one.get("unit").and_then(Value::as_str).map(str::to_owned);
        let all: Vec<&Value> = employments.into_iter().flatten().collect();
        let main = all.iter().find(|one| one.get("primary") == Some(&Value::Bool(true))).or(all.first());
        let entitlements = document.get("entitlements").and_then(Value::as_array).into_iter().flatten();
        Standing {
            is_there: true,
            is_open: document.get("active") != Some(&Value::Bool(false)),
            unit: main.and_then(|one| unit(one)).unwrap_or_default(),
            units: all.iter().copied().filter(holds).filter_map(unit).collect(),
            name: digest(&["userName", "name", "displayName", "emails"].map(part)),
            entitlements: entitlements.filter_map(|one| one.get("value")?.as_str()).map(|one| digest(&one)).collect(),
            whole: digest(&text),
        }
    }
}

/// Somebody whom the changes of a day touch.
pub(super) struct Person {
    before: Standing,
    after: Standing,
    given: u64,
    taken: u64,
    causes: BTreeSet<String>,
    actors: BTreeSet<ResourceId>,
}

impl Person {
    /// With the document as it was before the day; `None`: nobody was there.
    pub(super) fn new(before: Option<&str>) -> Self {
        let before = Standing::of(before);
        let (causes, actors) = (BTreeSet::new(), BTreeSet::new());
        Person { after: before.clone(), before, given: 0, taken: 0, causes, actors }
    }

    fn note(&mut self, change: &Change) {
        self.causes.insert(change.cause.clone());
        self.actors.insert(change.actor);
    }

    pub(super) fn moves(&mut self, joined: bool, change: &Change) {
        self.note(change);
        match joined {
            true => self.given += 1,
            false => self.taken += 1,
        }
    }

    pub(super) fn becomes(&mut self, document: &str, change: &Change) {
        self.note(change);
        let after = Standing::of(Some(document));
        self.given += after.entitlements.difference(&self.after.entitlements).count() as u64;
        self.taken += self.after.entitlements.difference(&after.entitlements).count() as u64;
        self.after = after;
    }

    pub(super) fn gone(&mut self, change: &Change) {
        self.note(change);
        // Where it belonged is still told.
        self.after = Standing { unit: self.after.unit.clone(), ..Standing::default() };
    }

    pub(super) fn actors(&self) -> impl Iterator<Item = ResourceId> {
        self.actors.iter().copied()
    }

    /// What is told of it; `None`: it is as it was.
    pub(super) fn line(self, id: ResourceId, by: Vec<String>) -> Option<Line> {
        let Person { before, after, given, taken, causes, .. } = self;
        let mut what = Vec::new();
        let mut say = |is: bool, word: &'static str| what.extend(is.then_some(word));
        let (was_open, is_open) = (before.is_there && before.is_open, after.is_there && after.is_open);
        say(!was_open && is_open, "joined");
        say(was_open && !is_open || before.is_there && !after.is_there, "left");
        // Who has no unit any more has left it, which is said already.
        let has_units = !before.units.is_empty() && !after.units.is_empty();
        say(has_units && before.units != after.units, "moved");
        say(before.is_there && after.is_there && before.name != after.name, "renamed");
        say(given + taken > 0, "rights");
        if what.is_empty() && before.whole != after.whole {
            what.push("changed");
        }
        let unit = if after.unit.is_empty() { before.unit } else { after.unit };
        let causes = causes.into_iter().collect();
        (!what.is_empty()).then(|| Line { unit, user: id.to_string(), what, given, taken, causes, by })
    }
}

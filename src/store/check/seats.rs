//! The seats of limited entitlements: what is counted with each is what is there, and whoever has one or waits lives.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::Check;
use crate::{Error, ResourceId, record};

const SEAT: &str = "urn:matrikel:scim:schemas:core:1.0:Assignment";
const LICENCE: &str = "urn:matrikel:scim:schemas:1.0:Licence";
/// Users looked up at a time.
const SLICE: usize = 500;

/// Used, of those reserved and to be confirmed gone; and who waits.
type Counts = [i64; 4];

/// What was passed of them.
#[derive(Debug, Default)]
pub(super) struct Seats {
    kept: BTreeMap<String, Counts>,
    found: BTreeMap<String, Counts>,
    users: BTreeSet<ResourceId>,
}

impl Seats {
    /// Takes a document in.
    pub(super) fn pass(&mut self, id: ResourceId, document: &Map<String, Value>) {
        if let Some(licence) = document.get(LICENCE).filter(|licence| licence.get("over").is_some()) {
            let number = |value: Option<&Value>| value.and_then(Value::as_i64).unwrap_or_default();
            let used = number(document.get("totalAssignmentsUsed"));
            let [reserved, reclaiming, waiting] =
                ["reserved", "reclaimPending", "waiting"].map(|name| number(licence.get(name)));
            self.kept.insert(id.to_string(), [used, reserved, reclaiming, waiting]);
        }
        let is_seat =
            document.get("schemas").and_then(Value::as_array).is_some_and(|all| all.iter().any(|urn| urn == SEAT));
        if !is_seat {
            return;
        }
        let end = |name: &str| document.get(name)?.get("value")?.as_str().map(str::to_owned);
        let state = document.get("state").and_then(Value::as_str).unwrap_or_default();
        if !matches!(state, "free" | "reclaimPending") {
            self.users.extend(end("user").and_then(|user| user.parse::<ResourceId>().ok()));
        }
        let Some(entitlement) = end("entitlement").filter(|_| document.get("shared") != Some(&Value::Bool(true)))
        else {
            return;
        };
        let more = match state {
            "assigned" => [1, 0, 0, 0],
            "reserved" => [1, 1, 0, 0],
            "reclaimPending" => [1, 0, 1, 0],
            "waiting" => [0, 0, 0, 1],
            _ => return,
        };
        let counts = self.found.entry(entitlement).or_default();
        counts.iter_mut().zip(more).for_each(|(count, more)| *count += more);
    }
}

impl Check<'_, '_> {
    /// Compares what was passed.
    pub(super) fn seats(&mut self, seats: &Seats) -> Result<(), Error> {
        let all: BTreeSet<&String> = seats.kept.keys().chain(seats.found.keys()).collect();
        for id in all {
            let (kept, found) =
                (seats.kept.get(id).copied().unwrap_or_default(), seats.found.get(id).copied().unwrap_or_default());
            if kept != found {
                self.find("resource", format!("{id} counts {kept:?} of its seats, and there are {found:?}"));
            }
        }
        let users: Vec<ResourceId> = seats.users.iter().copied().collect();
        for slice in users.chunks(SLICE) {
            let living = record::kinds(&mut self.reader.db, self.tenant, slice)?;
            for id in slice.iter().filter(|id| !living.contains_key(*id)) {
                self.find("resource", format!("a seat is {id}'s, who is not there"));
            }
        }
        Ok(())
    }
}

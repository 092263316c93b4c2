//! What a simulation means to those who pull: of each view, whether a User would appear in it, leave it, or be shown as
//! something else. Asked of the view itself, with its own filter and its own attributes, as for a client that pulls through
//! it; what a view says of protected people holds here too.

use std::collections::BTreeMap;

use scim::schema::Definition;
use serde::{Deserialize, Serialize};
use serde_json::{Map as Object, Value, json};
use store::work::document_of;
use store::{Record, ResourceId, Work};

use crate::directory::render::State;
use crate::directory::settle::POLICY;
use crate::directory::views::{Outlook, VIEW, Veil};
use crate::directory::{Ctx, Error};

/// What becomes of a User in a view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InView {
    /// The view.
    pub value: String,
    /// `appears`, `changes` or `leaves`.
    pub op: String,
}

/// What becomes of what a view shows, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Shift {
    display: String,
    appears: u64,
    changes: u64,
    leaves: u64,
}

impl Shift {
    fn count(&mut self, op: &str) {
        match op {
            "appears" => self.appears += 1,
            "leaves" => self.leaves += 1,
            _ => self.changes += 1,
        }
    }

    fn take_in(&mut self, other: &Shift) {
        self.appears += other.appears;
        self.changes += other.changes;
        self.leaves += other.leaves;
    }
}

/// The same of all views, by id.
pub(super) type Shifts = BTreeMap<String, Shift>;

/// Adds up what slices have found.
pub(super) fn add(shifts: &mut Shifts, more: Shifts) {
    for (view, shift) in more {
        match shifts.get_mut(&view) {
            Some(known) => known.take_in(&shift),
            None => drop(shifts.insert(view, shift)),
        }
    }
}

/// As the document of a simulation tells them.
pub(super) fn told(shifts: &Shifts) -> Value {
    let told = shifts.iter().map(|(view, shift)| {
        json!({ "value": view, "display": shift.display, "appears": shift.appears, "changes": shift.changes,
                "leaves": shift.leaves })
    });
    Value::Array(told.collect())
}

/// The views that the document of a simulation names. Errors are 400 invalidValue.
pub(super) fn named(document: &Object<String, Value>) -> Result<Vec<ResourceId>, scim::Error> {
    let listed = document.get("views").and_then(Value::as_array).into_iter().flatten().enumerate();
    let id = |(place, one): (usize, &Value)| {
        let value = one.get("value").and_then(Value::as_str).unwrap_or_default();
        let unknown = || scim::Error::invalid_value(format!("views[{place}].value: there is no view {value}."));
        value.parse::<ResourceId>().map_err(|()| unknown())
    };
    listed.map(id).collect()
}

/// Whoever looks through one view.
struct Onlooker {
    view: ResourceId,
    ctx: Ctx,
}

/// Everybody who looks at Users: each view of the tenant, or those that were named.
pub(super) struct Onlookers {
    all: Vec<Onlooker>,
    pub(super) shifts: Shifts,
}

/// What each view shows of a User, in their order; `None`: it is not in it.
pub(super) type Shown = Vec<Option<Value>>;

impl Onlookers {
    /// Those that the document of a simulation asks for. Fails with 400 for a view that is not there.
    pub(super) fn of(ctx: &Ctx, document: &Object<String, Value>, work: &mut Work<'_>) -> Result<Self, Error> {
        let named = named(document)?;
        let records: Vec<Record> = match named.is_empty() {
            true => work.records_of(VIEW)?,
            false => {
                let mut records = Vec::new();
                for view in named {
                    let record = work.record(view)?.filter(|record| record.kind == VIEW);
                    let gone = || scim::Error::invalid_value(format!("views: there is no view {view}."));
                    records.push(record.ok_or_else(gone)?);
                }
                records
            }
        };
        let registry = work.catalog().registry().clone();
        // As for whoever pulls: the view's own filter may ask about the states of accounts, see `views/veil`.
        let veil = if work.count(POLICY) > 0 { Veil::Consumer } else { Veil::None };
        let (mut all, mut shifts) = (Vec::new(), Shifts::new());
        for record in records {
            let views = Outlook::through(record.id, document_of(&record)?).views(&registry, veil);
            shifts.insert(record.id.to_string(), Shift { display: record.label, ..Shift::default() });
            all.push(Onlooker { view: record.id, ctx: Ctx { views, ..ctx.clone() } });
        }
        Ok(Onlookers { all, shifts })
    }

    /// What each shows of a User as it is now in `work`.
    pub(super) fn look(&self, user: &Definition, id: ResourceId, work: &mut Work<'_>) -> Result<Shown, Error> {
        let Some(first) = self.all.first() else { return Ok(Vec::new()) };
        let Some(record) = work.record(id)? else { return Ok(vec![None; self.all.len()]) };
        let mut shown = Vec::with_capacity(self.all.len());
        let state = State::under_lock(&first.ctx, user, record, work)?;
        for onlooker in &self.all {
            let mut state = state.clone();
            let is_seen = state.is_seen(&onlooker.ctx, user, work)?;
            shown.push(is_seen.then(|| said(&state)).transpose()?);
        }
        Ok(shown)
    }

    /// What became of a User in each, counted.
    pub(super) fn tell(&mut self, before: &Shown, after: &Shown) -> Vec<InView> {
        let mut told = Vec::new();
        for (onlooker, (was, is)) in self.all.iter().zip(before.iter().zip(after)) {
            let op = match (was, is) {
                (None, Some(_)) => "appears",
                (Some(_), None) => "leaves",
                (was, is) if was != is => "changes",
                _ => continue,
            };
            let value = onlooker.view.to_string();
            if let Some(shift) = self.shifts.get_mut(&value) {
                shift.count(op);
            }
            told.push(InView { value, op: op.to_owned() });
        }
        told
    }
}

/// What is seen of a User, without what every change moves.
fn said(state: &State) -> Result<Value, Error> {
    let broken = |error: serde_json::Error| Error::from(store::Error::Corrupt(error.to_string()));
    let mut document = match (&state.document, &state.text) {
        (Some(document), _) => return Ok(without_meta(document.clone())),
        (None, Some(text)) => serde_json::from_str(text).map_err(broken)?,
        (None, None) => document_of(&state.record)?,
    };
    // What lies beside the text.
    let groups: Vec<String> = state.groups.iter().map(|group| format!("{group:?}")).collect();
    document.insert("groups".to_owned(), groups.into());
    Ok(without_meta(document))
}

fn without_meta(mut document: Object<String, Value>) -> Value {
    document.shift_remove("meta");
    Value::Object(document)
}

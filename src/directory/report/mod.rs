//! What became of people on one day, unit by unit, whatever caused it: a file, a client, a rule, a date, somebody's hand. Told
//! from the changes of that day, read in slices and in order; of each person that they touch a line is kept, and no
//! document. It names nobody: ids lead to the register, where views and protection hold.

mod person;
pub mod rights;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use provisioning::calendar::Calendar;
use provisioning::person::USER;
use serde_json::{Map, Value, json};
use store::change::Op;
use store::{Change, Reader, ResourceId, Seq, format_instant};

use super::feeds::RUN;
use super::settle::Book;
use super::work_items::WORK_ITEM;
use super::{Ctx, Directory, Error};
use person::Person;

/// Changes that are read at a time.
const SLICE: i64 = 500;

/// One person on a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The unit of the main employment, by the key that the source has for it; nothing where there is none.
    pub unit: String,
    /// The User.
    pub user: String,
    /// What became of it, of [`WORDS`].
    pub what: Vec<&'static str>,
    /// Memberships and entitlements that it got.
    pub given: u64,
    /// And those that it has no more.
    pub taken: u64,
    /// Why: `request`, `feed`, `due`, `operator` …
    pub causes: Vec<String>,
    /// Names of the clients.
    pub by: Vec<String>,
}

/// What can become of somebody.
pub const WORDS: [&str; 6] = ["joined", "left", "moved", "renamed", "rights", "changed"];

/// A day.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The day, and the time zone that it is one of.
    pub day: String,
    /// IANA time zone.
    pub zone: String,
    /// How many changes there were, of whatever.
    pub changes: u64,
    /// By unit and id.
    pub people: Vec<Line>,
    /// Runs that were touched: id, cause, state.
    pub runs: Vec<Value>,
    /// Work items that were touched: id, kind, state.
    pub items: Vec<Value>,
}

impl Report {
    /// As JSON, unit by unit.
    pub fn to_json(&self) -> Value {
        let mut units: BTreeMap<&str, Vec<&Line>> = BTreeMap::new();
        for line in &self.people {
            units.entry(&line.unit).or_default().push(line);
        }
        let units: Vec<Value> = units.into_iter().map(|(unit, lines)| told(unit, &lines)).collect();
        json!({
            "day": self.day, "zone": self.zone, "changes": self.changes, "people": self.people.len(), "units": units,
            "runs": self.runs, "workItems": self.items,
        })
    }

    /// The heads of the columns of [`Report::cells`].
    pub fn heads() -> [&'static str; 7] {
        ["unit", "user", "what", "given", "taken", "causes", "by"]
    }

    /// A row for each person. No cell is a formula for the program that opens it.
    pub fn cells(&self) -> impl Iterator<Item = [String; 7]> {
        self.people.iter().map(|line| {
            [
                line.unit.clone(),
                line.user.clone(),
                line.what.join(" "),
                line.given.to_string(),
                line.taken.to_string(),
                line.causes.join(" "),
                line.by.join(", "),
            ]
            .map(super::simulations::plain)
        })
    }
}

fn told(unit: &str, lines: &[&Line]) -> Value {
    let mut counts = Map::new();
    for word in WORDS {
        counts.insert(word.to_owned(), lines.iter().filter(|line| line.what.contains(&word)).count().into());
    }
    counts.insert("given".to_owned(), lines.iter().map(|line| line.given).sum::<u64>().into());
    counts.insert("taken".to_owned(), lines.iter().map(|line| line.taken).sum::<u64>().into());
    let people = lines.iter().map(|line| {
        json!({
            "value": line.user, "what": line.what, "given": line.given, "taken": line.taken,
            "causes": line.causes, "by": line.by,
        })
    });
    json!({ "unit": unit, "counts": counts, "people": people.collect::<Vec<_>>() })
}

impl Directory {
    /// What became of people on a day, such as 2026-08-11, in the time zone of the first policy. Fails with 400 for a day that
    /// is none.
    pub async fn report(&self, ctx: &Ctx, day: &str) -> Result<Report, Error> {
        let wrong = || scim::Error::invalid_value(format!("{day:?} is no day, such as 2026-08-11."));
        let date = provisioning::calendar::date(day).ok_or_else(wrong)?;
        let (tenant, origin) = (ctx.tenant, ctx.origin());
        let day = day.to_owned();
        self.store
            .read_for(tenant, move |reader| {
                let calendar =
                    reader.simulate(tenant, origin, |work| Ok::<_, Error>(Book::of(work)?.calendar_of(&Map::new())))?;
                let (from, below) = (calendar.start_of(date), calendar.end_of(date));
                reader.snapshot(|reader| {
                    let span = reader.audit_span(tenant)?;
                    let span = reader.audit_between(tenant, span, (Some(from), Some(below)))?.changes;
                    let report = Report { day, zone: zone_of(&calendar), ..Report::default() };
                    Walk { reader, tenant, report, people: HashMap::new(), names: HashMap::new() }.go(span)
                })
            })
            .await
    }
}

fn zone_of(calendar: &Calendar) -> String {
    calendar.zone().unwrap_or("UTC").to_owned()
}

struct Walk<'r> {
    reader: &'r mut Reader,
    tenant: store::TenantId,
    report: Report,
    people: HashMap<ResourceId, Person>,
    names: HashMap<ResourceId, String>,
}

impl Walk<'_> {
    fn go(mut self, (first, below): (Seq, Seq)) -> Result<Report, Error> {
        let mut seen: BTreeMap<(&'static str, ResourceId), Value> = BTreeMap::new();
        let mut after = first - 1;
        while after + 1 < below {
            let slice = self.reader.changes(self.tenant, after, None, SLICE)?;
            let Some(last) = slice.last() else { break };
            after = last.change.seq;
            for stored in slice {
                let change = stored.change;
                if change.seq >= below {
                    break;
                }
                self.report.changes += 1;
                self.note(&change)?;
                for (kind, names) in [(RUN, ["cause", "state"]), (WORK_ITEM, ["kind", "state"])] {
                    if let Some(doc) = change.text().filter(|_| change.kind == kind) {
                        let document: Map<String, Value> = serde_json::from_str(doc).unwrap_or_default();
                        let mut told = Map::from_iter([("value".to_owned(), change.resource.to_string().into())]);
                        told.extend(
                            names.iter().filter_map(|name| Some(((*name).to_owned(), document.get(*name)?.clone()))),
                        );
                        told.insert("at".to_owned(), format_instant(change.at).into());
                        seen.insert((kind, change.resource), Value::Object(told));
                    }
                }
            }
        }
        for ((kind, _), told) in seen {
            if kind == RUN { self.report.runs.push(told) } else { self.report.items.push(told) }
        }
        for (id, person) in std::mem::take(&mut self.people) {
            let mut by: BTreeSet<String> = BTreeSet::new();
            for actor in person.actors() {
                by.insert(self.name(actor)?);
            }
            self.report.people.extend(person.line(id, by.into_iter().collect()));
        }
        self.report.people.sort_by(|one, other| (&one.unit, &one.user).cmp(&(&other.unit, &other.user)));
        Ok(self.report)
    }

    fn note(&mut self, change: &Change) -> Result<(), Error> {
        for delta in change.members.iter().filter(|delta| delta.kind == USER) {
            self.person(delta.member, change.seq)?.moves(delta.joined, change);
        }
        if change.kind == USER {
            let person = self.person(change.resource, change.seq)?;
            match (change.op, change.text()) {
                (Op::Delete, _) => person.gone(change),
                (_, Some(doc)) => person.becomes(doc, change),
                (_, None) => {}
            }
        }
        Ok(())
    }

    /// What is known of somebody; at first, what the document was before the day.
    fn person(&mut self, id: ResourceId, seq: Seq) -> Result<&mut Person, Error> {
        if !self.people.contains_key(&id) {
            let before = self.reader.image_before(self.tenant, id, seq)?;
            self.people.insert(id, Person::new(before.as_deref()));
        }
        self.people.get_mut(&id).ok_or_else(|| store::Error::Corrupt("a person was lost".into()).into())
    }

    fn name(&mut self, actor: ResourceId) -> Result<String, Error> {
        if let Some(name) = self.names.get(&actor) {
            return Ok(name.clone());
        }
        let name = match self.reader.record(self.tenant, actor)? {
            Some(record) => record.label,
            None if actor == ResourceId::SYSTEM => "server".to_owned(),
            None => actor.to_string(),
        };
        self.names.insert(actor, name.clone());
        Ok(name)
    }
}

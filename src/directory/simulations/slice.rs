//! One slice of Users in one snapshot: rules and policies are made what they would be, each User is moved through what falls due,
//! and all of it is thrown away. What stays is what is told of each.

use std::collections::BTreeMap;

use provisioning::calendar::instant;
use provisioning::guard::Tally;
use scim::filter::{Checked, Filter};
use scim::schema::Definition;
use serde::{Deserialize, Serialize};
use serde_json::{Map as Object, Value};
use store::{Grant, ResourceId, Seq, Work, format_instant};

use super::item::{Item, Reason, Target, Turn};
use super::plan::Plan;
use super::sight::{self, Onlookers, Shifts};
use super::subject::Subject;
use crate::directory::settle::{Foreseen, RULE, USER, foresee};
use crate::directory::{Ctx, Error, differences, guard, licences};

/// The result of a simulation in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Counts {
    pub(super) users: u64,
    pub(super) changed: u64,
    pub(super) activated: u64,
    pub(super) disabled: u64,
    pub(super) purged: u64,
    pub(super) begins: u64,
    pub(super) ends: u64,
    pub(super) waits: u64,
    pub(super) targets: u64,
    pub(super) created: u64,
    pub(super) restored: u64,
    pub(super) conflicts: u64,
    pub(super) failed: u64,
    pub(super) items: u64,
}

/// What begins and ends, by what it is.
pub(super) type Targets = BTreeMap<(String, String), Target>;

/// What is the same for every slice.
#[derive(Clone)]
pub(super) struct Way {
    /// From when on.
    pub(super) ctx: Ctx,
    /// The simulation, as it was saved.
    pub(super) document: Object<String, Value>,
    /// What it is about.
    pub(super) subject: Subject,
}

/// What a slice has come to.
#[derive(Debug)]
pub(super) struct Slice {
    pub(super) items: Vec<Item>,
    pub(super) counts: Counts,
    pub(super) targets: Targets,
    /// The last User; `None`: there are no more.
    pub(super) last: Option<ResourceId>,
    /// Users that were passed, whether they are looked at or not.
    pub(super) passed: u64,
    /// Users that there are.
    pub(super) total: u64,
    /// The register: number of its newest change, and of the newest of its rules.
    pub(super) seq: (Seq, Seq),
    /// Rules and policies with their versions.
    pub(super) versions: Vec<Value>,
    pub(super) plan: Plan,
    /// Of each limited entitlement, how many seats are free, and how many more by what becomes of these Users.
    pub(super) free: BTreeMap<ResourceId, i64>,
    pub(super) freed: BTreeMap<ResourceId, i64>,
    /// Who would wait for a seat, each with its place as a text that sorts.
    pub(super) asks: Vec<(ResourceId, String, ResourceId)>,
    /// What it does to people.
    pub(super) tally: Tally,
    /// What becomes of what views show.
    pub(super) shifts: Shifts,
}

/// Works out the next `limit` Users after one. Fails for rules that are not as the simulation needs them.
pub(super) fn work_out(way: &Way, work: &mut Work<'_>, after: Option<ResourceId>, limit: i64) -> Result<Slice, Error> {
    use store::Error::{Busy, Full, Unavailable};
    let ctx = &way.ctx;
    let seq = (work.seq(), work.book_seq());
    let plan = Plan::of(&way.document, work)?;
    let versions = plan.versions(work)?;
    let user = work.catalog().registry().definition(USER).cloned();
    let user = user.ok_or_else(|| scim::Error::invalid_value("There is no resource type User."))?;
    let covered = super::plan::covered(&way.document, &user)?;
    let mut teller = Teller::new(&user, ctx.now, work);
    let total = u64::try_from(work.count(USER)).unwrap_or_default();
    let mut slice = Slice::new(total, seq, (plan, versions));
    // Before policies are pretended, since it is the views of today that are looked through.
    let mut onlookers = Onlookers::of(ctx, &way.document, work)?;
    slice.plan.pretend(ctx, work)?;
    let taken = licences::taken(work)?;
    slice.free = taken.iter().map(|(id, (permitted, used))| (*id, permitted - used)).collect();
    let until = slice.plan.until.unwrap_or(ctx.now).max(ctx.now);
    let ids = work.ids_of(USER, after, limit)?;
    slice.last = ids.last().copied().filter(|_| i64::try_from(ids.len()) == Ok(limit));
    for id in ids {
        slice.passed += 1;
        if !is_covered(covered.as_ref(), id, work)? {
            // Who is not looked at and waits, waits before others all the same.
            slice.asks.extend(licences::waits_for(work, id)?.into_iter().map(|(of, turn)| (of, turn, id)));
            continue;
        }
        slice.counts.users += 1;
        let mut asks = Vec::new();
        let mut freed = BTreeMap::new();
        let told = work.rehearse(|work| {
            let before = licences::taken(work)?;
            let shown = onlookers.look(&user, id, work)?;
            let Some(foreseen) = foresee(ctx, work, id, until)? else { return Ok((None, Tally::default())) };
            let [_, waits] = &foreseen.waits;
            asks.extend(waits.iter().map(|(of, turn)| (*of, turn.clone(), id)));
            for (of, (_, used)) in licences::taken(work)? {
                freed.insert(of, before.get(&of).map_or(0, |(_, before)| before - used));
            }
            let mut item = teller.tell(id, &foreseen, work)?;
            if let Some(item) = &mut item {
                let shows = onlookers.look(&user, id, work)?;
                item.views = onlookers.tell(&shown, &shows);
            }
            Ok((item, guard::tally(work)?))
        });
        if told.is_ok() {
            slice.asks.extend(asks);
            for (of, more) in freed {
                *slice.freed.entry(of).or_default() += more;
            }
        }
        let item = match told {
            Ok((item, tally)) => {
                slice.tally.take_in(tally);
                item
            }
            Err(error @ Error::Store(Busy | Full | Unavailable(_))) => return Err(error),
            Err(error) => Some(failed(id, work, &error)?),
        };
        if let Some(item) = item {
            slice.add(item);
        }
    }
    sight::add(&mut slice.shifts, onlookers.shifts);
    Ok(slice)
}

fn is_covered(covered: Option<&Filter<Checked>>, id: ResourceId, work: &mut Work<'_>) -> Result<bool, Error> {
    let Some(filter) = covered else { return Ok(true) };
    Ok(work.document_of(id)?.is_some_and(|document| filter.matches(&document)))
}

pub(super) fn failed(id: ResourceId, work: &mut Work<'_>, error: &Error) -> Result<Item, Error> {
    let record = work.record(id)?;
    let (label, version) = record.map(|record| (record.label, record.version)).unwrap_or_default();
    Ok(Item { op: "failed".to_owned(), reason: Some(error.to_string()), ..Item::of(id, label, version) })
}

impl Slice {
    pub(super) fn new(total: u64, seq: (Seq, Seq), (plan, versions): (Plan, Vec<Value>)) -> Self {
        Slice {
            items: Vec::new(),
            counts: Counts::default(),
            targets: Targets::new(),
            last: None,
            passed: 0,
            total,
            seq,
            versions,
            plan,
            free: BTreeMap::new(),
            freed: BTreeMap::new(),
            asks: Vec::new(),
            tally: Tally::default(),
            shifts: Shifts::new(),
        }
    }

    pub(super) fn add(&mut self, item: Item) {
        let counts = &mut self.counts;
        counts.items += 1;
        match item.op.as_str() {
            "failed" => counts.failed += 1,
            "purged" => counts.purged += 1,
            "created" => counts.created += 1,
            "restored" => counts.restored += 1,
            "kept" => {}
            _ => counts.changed += 1,
        }
        let active = item.changes.iter().find(|change| change.get("path").is_some_and(|path| path == "active"));
        if let Some(active) = active {
            match active.get("after") {
                Some(Value::Bool(true)) => counts.activated += 1,
                _ => counts.disabled += 1,
            }
        }
        counts.conflicts += item.conflicts.len() as u64;
        counts.begins += item.begins.len() as u64;
        counts.ends += item.ends.len() as u64;
        counts.waits += item.waits.len() as u64;
        for turn in &item.begins {
            target(&mut self.targets, turn).begins += 1;
        }
        for turn in &item.ends {
            target(&mut self.targets, turn).ends += 1;
        }
        for turn in &item.waits {
            target(&mut self.targets, turn).waits += 1;
        }
        self.items.push(item);
    }
}

fn target<'t>(targets: &'t mut Targets, turn: &Turn) -> &'t mut Target {
    let key = (turn.kind.clone(), turn.value.clone().unwrap_or_else(|| turn.display.clone()));
    targets.entry(key).or_insert_with(|| Target {
        kind: turn.kind.clone(),
        value: turn.value.clone(),
        display: turn.display.clone(),
        begins: 0,
        ends: 0,
        waits: 0,
    })
}

/// Puts what was found into words.
pub(super) struct Teller<'u> {
    /// The newest change of the register: what came to be later is made up.
    began: i64,
    now: i64,
    user: &'u Definition,
    /// Names of rules.
    names: BTreeMap<String, Option<String>>,
}

impl<'u> Teller<'u> {
    pub(super) fn new(user: &'u Definition, now: i64, work: &Work<'_>) -> Self {
        Teller { began: work.last_at(), user, names: BTreeMap::new(), now }
    }

    /// What becomes of a User; `None`: nothing.
    pub(super) fn tell(
        &mut self,
        id: ResourceId,
        found: &Foreseen,
        work: &mut Work<'_>,
    ) -> Result<Option<Item>, Error> {
        let changes = match &found.after {
            Some(after) => differences(self.user, Some(&found.before), Some(after)),
            None => Vec::new(),
        };
        let [waited, waits] = &found.waits;
        let newly = waits.iter().map(|(of, _)| *of).filter(|of| !waited.iter().any(|(known, _)| known == of));
        let newly: Vec<ResourceId> = newly.collect();
        let is_same = changes.is_empty() && found.begins.is_empty() && found.ends.is_empty() && newly.is_empty();
        if found.after.is_some() && is_same {
            return Ok(None);
        }
        let mut waits = Vec::new();
        for target in newly {
            waits.push(self.turn(target, [], work)?);
        }
        let (mut begins, mut ends) = (Vec::new(), Vec::new());
        for target in &found.begins {
            let grounds = found.grants.iter().filter(|one| one.key.target == *target && one.until.is_none());
            begins.push(self.turn(*target, grounds, work)?);
        }
        for target in &found.ends {
            let is_over = |one: &&Grant| one.key.target == *target && one.until.is_some_and(|until| until >= self.now);
            let grounds: Vec<&Grant> = found.grants.iter().filter(is_over).collect();
            ends.push(self.turn(*target, grounds, work)?);
        }
        for turns in [&mut begins, &mut ends, &mut waits] {
            turns.sort_by(|one, other| {
                (&one.kind, &one.display, &one.value).cmp(&(&other.kind, &other.display, &other.value))
            });
        }
        let op = if found.after.is_some() { "changed" } else { "purged" }.to_owned();
        Ok(Some(Item { op, changes, begins, ends, waits, ..Item::of(id, found.label.clone(), found.version) }))
    }

    fn turn<'g>(
        &mut self,
        target: ResourceId,
        grounds: impl IntoIterator<Item = &'g Grant>,
        work: &mut Work<'_>,
    ) -> Result<Turn, Error> {
        let record = work.record(target)?;
        let is_new = record.as_ref().is_some_and(|record| record.created_at > self.began);
        let mut reasons = Vec::new();
        for grant in grounds {
            reasons.push(self.reason(grant, work)?);
        }
        let (kind, display) = record.map(|record| (record.kind, record.label)).unwrap_or_default();
        Ok(Turn { kind, value: (!is_new).then(|| target.to_string()), display, reasons })
    }

    fn reason(&mut self, grant: &Grant, work: &mut Work<'_>) -> Result<Reason, Error> {
        let rule = grant.key.ground_id.split('/').next().filter(|rule| rule.parse::<ResourceId>().is_ok());
        let name = match rule {
            Some(rule) => self.name(rule, work)?,
            None => None,
        };
        Ok(Reason {
            kind: grant.key.ground_kind.clone(),
            name: name.clone(),
            rule: name.and(rule.map(str::to_owned)),
            from: grant.ground_from.and_then(instant),
            until: grant.ground_until.and_then(instant),
            facts: serde_json::from_str(&grant.facts).unwrap_or_default(),
        })
    }

    fn name(&mut self, rule: &str, work: &mut Work<'_>) -> Result<Option<String>, Error> {
        if let Some(known) = self.names.get(rule) {
            return Ok(known.clone());
        }
        let record = match rule.parse::<ResourceId>() {
            Ok(id) => work.record(id)?.filter(|record| record.kind == RULE),
            Err(()) => None,
        };
        let name = record.map(|record| record.label);
        self.names.insert(rule.to_owned(), name.clone());
        Ok(name)
    }
}

/// The moment from which a simulation looks ahead, as the documents of Users write it.
pub(super) fn moment(now: i64) -> String {
    instant(now).unwrap_or_else(|| format_instant(now))
}

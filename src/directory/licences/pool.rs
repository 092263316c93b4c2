//! The seats of one entitlement together: how many are taken, kept for later, not yet confirmed gone and waited for. The
//! counts are kept in the entitlement's document with every seat that moves, never counted. Handing on looks at the first
//! in the queue again; whoever is looked at takes the seat by the same rule as everybody.

use provisioning::licences::{LICENCE, Stage, Terms};
use serde_json::{Map, Value};
use store::work::{Draft, document_of};
use store::{Due, Record, ResourceId, Work};

use super::known::Known;
use super::seats;
use super::{ASSIGNMENT, Error};
use crate::directory::rules::ENTITLEMENT;
use crate::directory::work_items::{self, Item, Kind};
use crate::directory::{Ctx, settle};

/// Who is looked at when seats are free, at most at once; and idle seats that are given up at once.
const MANY: usize = 256;
const USED: &str = "totalAssignmentsUsed";

/// The counts of one entitlement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Seats that nobody else can have.
    pub(super) used: i64,
    /// Of those, kept for who does not have the right now.
    pub(super) reserved: i64,
    /// Of those, to be confirmed gone.
    pub(super) reclaiming: i64,
    /// Who waits for one.
    pub(super) waiting: i64,
}

impl Counts {
    pub(super) fn of(document: &Map<String, Value>) -> Self {
        let kept = |name: &str| document.get(LICENCE).and_then(|part| part.get(name)).and_then(Value::as_i64);
        Counts {
            used: document.get(USED).and_then(Value::as_i64).unwrap_or_default(),
            reserved: kept("reserved").unwrap_or_default(),
            reclaiming: kept("reclaimPending").unwrap_or_default(),
            waiting: kept("waiting").unwrap_or_default(),
        }
    }

    /// Writes them into the document of an entitlement.
    pub(super) fn put(self, document: &mut Map<String, Value>) {
        document.insert(USED.to_owned(), self.used.into());
        let permitted = document.get("totalAssignmentsPermitted").and_then(Value::as_i64).unwrap_or(self.used);
        if let Some(Value::Array(schemas)) = document.get_mut("schemas")
            && !schemas.iter().any(|urn| urn == LICENCE)
        {
            schemas.push(LICENCE.into());
        }
        let part = document.entry(LICENCE).or_insert_with(|| Value::Object(Map::new()));
        let Some(part) = part.as_object_mut() else { return };
        let over = (self.used - permitted).max(0);
        let kept = [
            ("reserved", self.reserved),
            ("reclaimPending", self.reclaiming),
            ("waiting", self.waiting),
            ("over", over),
        ];
        for (name, count) in kept {
            part.insert(name.to_owned(), count.into());
        }
    }

    /// A seat that is counted has become another.
    pub(super) fn moved(&mut self, from: Option<Stage>, to: Option<Stage>) {
        for (stage, by) in [(from, -1), (to, 1)] {
            let Some(stage) = stage else { continue };
            self.used += if stage.occupies() { by } else { 0 };
            match stage {
                Stage::Reserved => self.reserved += by,
                Stage::Reclaiming => self.reclaiming += by,
                Stage::Waiting => self.waiting += by,
                Stage::Assigned | Stage::Free => {}
            }
        }
    }
}

/// The counts of an entitlement as this write finds them.
pub(super) fn counts(work: &mut Work<'_>, entitlement: ResourceId) -> Result<Counts, Error> {
    Ok(work.document_of(entitlement)?.map(|document| Counts::of(&document)).unwrap_or_default())
}

/// Keeps other counts. Nothing is done for an entitlement that is gone.
pub(super) fn keep(work: &mut Work<'_>, entitlement: ResourceId, counts: Counts) -> Result<(), Error> {
    let Some(record) = work.record(entitlement)?.filter(|record| record.kind == ENTITLEMENT) else { return Ok(()) };
    let mut document = document_of(&record)?;
    if Counts::of(&document) == counts {
        return Ok(());
    }
    counts.put(&mut document);
    seats::normalise(work, ENTITLEMENT, &mut document);
    let Record { id, kind, label, secret, .. } = record;
    work.update(Draft { id, kind, label, secret, doc: document.into(), members: Vec::new(), external: None })?;
    Ok(())
}

/// Has the first in the queue looked at, after all that falls due at this moment.
pub(super) fn call(ctx: &Ctx, work: &mut Work<'_>, entitlement: ResourceId) {
    work.put_due(entitlement, Some(Due::at(ctx.now.saturating_add(1))));
}

/// Sees to an entitlement that has become another without anybody having written it: how many there are may be others.
pub(in crate::directory) fn reconsider(ctx: &Ctx, work: &mut Work<'_>, id: ResourceId) -> Result<(), Error> {
    let Some(record) = work.record(id)? else { return Ok(()) };
    let document = document_of(&record)?;
    if document.get(LICENCE).is_some_and(|part| part.get("over").is_some()) {
        let mut counted = document.clone();
        Counts::of(&document).put(&mut counted);
        if counted != document {
            seats::normalise(work, ENTITLEMENT, &mut counted);
            let Record { id, kind, label, secret, .. } = record;
            work.update(Draft { id, kind, label, secret, doc: counted.into(), members: Vec::new(), external: None })?;
        }
    }
    settle::note_change(ctx, work, ENTITLEMENT);
    call(ctx, work, id);
    Ok(())
}

/// So many more are held than there are: somebody has to buy some, or to say who goes without. Nothing is taken for it.
fn report(ctx: &Ctx, work: &mut Work<'_>, entitlement: ResourceId, over: i64) -> Result<(), Error> {
    if over <= 0 {
        return work_items::close(ctx, work, Kind::OverPermitted, entitlement, false);
    }
    let summary = "More of this entitlement is held than there is. Nobody has lost any for it, and nobody is given any: have \
                   more of them, or say whose are taken back.";
    let mut item = Item::new(Kind::OverPermitted, entitlement, summary, "permitted");
    item.details = vec![format!("{over} too many")];
    work_items::open(ctx, work, &item)
}

/// Hands on what is free of an entitlement that is due: the first in the queue are looked at, and idle seats that are not
/// there any more, since fewer are permitted, are given up.
pub(in crate::directory) fn hand_on(ctx: &Ctx, work: &mut Work<'_>, record: &Record) -> Result<(), Error> {
    work.put_due(record.id, None);
    let document = document_of(record)?;
    let Ok(Some(Terms { permitted, .. })) = Terms::read(&document) else {
        return work_items::close(ctx, work, Kind::OverPermitted, record.id, false);
    };
    let counts = Counts::of(&document);
    report(ctx, work, record.id, counts.used - permitted)?;
    let free = (permitted - counts.used).max(0);
    let key = record.id.to_string();
    let most = usize::try_from(free).unwrap_or(MANY).min(MANY);
    if most > 0 && counts.waiting > 0 {
        for id in work.in_order(ASSIGNMENT, "turn", &key, most)?.unwrap_or_default() {
            if let Some(user) = Known::find(work, id)?.and_then(|known| known.user()) {
                work.put_due(user, Some(Due::at(ctx.now)));
            }
        }
    }
    let most = i64::try_from(MANY).unwrap_or_default();
    let idle = work.count_before(ASSIGNMENT, "idle", &key, None, free.saturating_add(most))?;
    let surplus = usize::try_from(idle - free).unwrap_or_default();
    if surplus > 0 {
        for id in work.in_order(ASSIGNMENT, "idle", &key, surplus)?.unwrap_or_default() {
            seats::give_up(ctx, work, id)?;
        }
    }
    if surplus == MANY {
        call(ctx, work, record.id);
    }
    Ok(())
}

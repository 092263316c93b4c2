//! Seats as they are written: one resource for each User and entitlement, and one for each seat that was taken back, which
//! names nobody. Whoever gets a seat that was free sits on the one that lay idle longest, so that it can be told what that
//! was worth. Decides nothing.

use std::collections::BTreeSet;

use provisioning::calendar::instant;
use provisioning::licences::{Stage, Step, Wish, next, turn};
use serde_json::{Map, Value, json};
use store::work::{Draft, document_of};
use store::{Due, Record, ResourceId, Work};

use super::known::{Known, Payer};
use super::pool::{self, Counts};
use super::{ASSIGNMENT, Error, Pools, SCHEMA};
use crate::directory::Ctx;

/// Seats of one User or one person at most.
const MANY: i64 = 1_000;
/// Places in the queue that are told.
const FAR: i64 = 1_000_000;

/// What becomes of one seat of a User.
#[derive(Clone, Debug)]
pub(in crate::directory) struct Move {
    pub(super) entitlement: ResourceId,
    pub(super) value: String,
    pub(super) known: Option<Known>,
    pub(super) step: Step,
    /// The place in the queue, while it waits.
    pub(super) turn: Option<Turn>,
    /// Whose seat it is, where the accounts of a human being share one.
    pub(super) person: Option<ResourceId>,
    /// Whether another account of the person has the seat.
    pub(super) is_shared: bool,
    /// The other account's, which has the seat from now on.
    pub(super) heir: Option<ResourceId>,
    /// What is noted when it is taken back.
    pub(super) payer: Payer,
    /// How many there are.
    pub(super) permitted: i64,
}

/// When it is somebody's turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) priority: i64,
    pub(super) start: jiff::civil::Date,
    pub(super) asked: i64,
    pub(super) user: ResourceId,
}

impl Turn {
    /// Its place as a text.
    pub(super) fn text(&self, entitlement: ResourceId) -> String {
        format!("{entitlement}/{}", turn(self.priority, self.start, self.asked, &self.user.to_string()))
    }
}

/// Brings a document of a type into canonical form.
pub(super) fn normalise(work: &Work<'_>, kind: &str, document: &mut Map<String, Value>) {
    if let Some(definition) = work.catalog().registry().definition(kind) {
        scim::resource::normalise(definition, document);
    }
}

fn put_person(person: Option<ResourceId>, document: &mut Map<String, Value>) {
    match person {
        Some(person) => drop(document.insert("person".to_owned(), person.to_string().into())),
        None => drop(document.shift_remove("person")),
    }
}

fn draft(id: ResourceId, document: Map<String, Value>) -> Draft {
    Draft {
        id,
        kind: ASSIGNMENT.to_owned(),
        label: String::new(),
        doc: document.into(),
        secret: None,
        members: Vec::new(),
        external: None,
    }
}

fn update(work: &mut Work<'_>, id: ResourceId, mut document: Map<String, Value>) -> Result<(), Error> {
    normalise(work, ASSIGNMENT, &mut document);
    work.update(draft(id, document))?;
    Ok(())
}

fn create(ctx: &Ctx, work: &mut Work<'_>, mut document: Map<String, Value>) -> Result<ResourceId, Error> {
    let id = ctx.random.resource_id(ctx.now)?;
    normalise(work, ASSIGNMENT, &mut document);
    work.create(draft(id, document))?;
    Ok(id)
}

fn at(now: i64) -> Value {
    instant(now).map_or(Value::Null, Value::String)
}

/// The seats and places of a User.
pub(super) fn of_user(work: &mut Work<'_>, user: ResourceId) -> Result<Vec<Known>, Error> {
    having(work, "user.value", user)
}

/// The seats and places of a human being.
pub(super) fn of_person(work: &mut Work<'_>, person: ResourceId) -> Result<Vec<Known>, Error> {
    having(work, "person", person)
}

fn having(work: &mut Work<'_>, path: &str, id: ResourceId) -> Result<Vec<Known>, Error> {
    if work.count(ASSIGNMENT) == 0 {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for id in work.having(ASSIGNMENT, path, &[id.to_string()], None, MANY)?.unwrap_or_default() {
        found.extend(Known::find(work, id)?);
    }
    Ok(found)
}

/// Writes what becomes of the seats of a User.
pub(in crate::directory) fn carry_out(
    ctx: &Ctx,
    work: &mut Work<'_>,
    user: ResourceId,
    moves: Vec<Move>,
) -> Result<(), Error> {
    for one in moves {
        let mut counts = pool::counts(work, one.entitlement)?;
        match one.step {
            Step::Stay => one.stay(ctx, work)?,
            Step::Become { stage, is_resting } => one.become_(ctx, work, user, &mut counts, stage, is_resting)?,
            Step::Free => one.free(ctx, work, &mut counts)?,
            Step::Leave => {
                if let Some(known) = &one.known {
                    if !known.is_shared() {
                        counts.moved(known.stage(), None);
                    }
                    work.remove(known.id)?;
                }
            }
        }
        pool::keep(work, one.entitlement, counts)?;
    }
    Ok(())
}

impl Move {
    /// A place in the queue may have become another, and so may the person.
    fn stay(&self, ctx: &Ctx, work: &mut Work<'_>) -> Result<(), Error> {
        let Some(known) = &self.known else { return Ok(()) };
        let mut document = known.document.clone();
        if let Some(turn) = self.turn.as_ref().filter(|_| known.stage() == Some(Stage::Waiting)) {
            self.put_turn(turn, &mut document);
        }
        put_person(self.person, &mut document);
        if document == known.document {
            return Ok(());
        }
        update(work, known.id, document)?;
        self.tell_others(ctx, work, known)
    }

    /// Other accounts of the person, and of the one it was before, may have a seat too many now, or none any more.
    fn tell_others(&self, ctx: &Ctx, work: &mut Work<'_>, known: &Known) -> Result<(), Error> {
        if known.person() == self.person {
            return Ok(());
        }
        for person in [known.person(), self.person].into_iter().flatten() {
            let others = of_person(work, person)?;
            for user in others.iter().filter(|other| other.id != known.id).filter_map(Known::user) {
                work.put_due(user, Some(Due::at(ctx.now)));
            }
        }
        Ok(())
    }

    fn put_turn(&self, turn: &Turn, document: &mut Map<String, Value>) {
        document.insert("priority".to_owned(), turn.priority.into());
        document.insert("start".to_owned(), turn.start.to_string().into());
        document.insert("turn".to_owned(), turn.text(self.entitlement).into());
    }

    fn become_(
        &self,
        ctx: &Ctx,
        work: &mut Work<'_>,
        user: ResourceId,
        counts: &mut Counts,
        stage: Stage,
        is_resting: bool,
    ) -> Result<(), Error> {
        let was = self.known.as_ref().and_then(Known::stage);
        let was_counted = was.filter(|_| self.known.as_ref().is_some_and(|known| !known.is_shared()));
        let entitlement = self.entitlement;
        let mut document = self.known.as_ref().map(|known| known.document.clone()).unwrap_or_else(|| {
            let value = json!({
                "schemas": [SCHEMA],
                "entitlement": {
                    "value": entitlement.to_string(), "$ref": format!("../Entitlements/{entitlement}"), "display": self.value,
                },
                "user": { "value": user.to_string(), "$ref": format!("../Users/{user}") },
            });
            value.as_object().cloned().unwrap_or_default()
        });
        document.insert("state".to_owned(), stage.as_str().into());
        document.insert("since".to_owned(), at(ctx.now));
        for (name, is) in [("resting", is_resting), ("shared", self.is_shared)] {
            match is {
                true => drop(document.insert(name.to_owned(), true.into())),
                false => drop(document.shift_remove(name)),
            }
        }
        put_person(self.person, &mut document);
        if stage == Stage::Reclaiming {
            self.payer.put(&mut document);
        }
        match self.turn.as_ref().filter(|_| stage == Stage::Waiting) {
            Some(turn) => self.put_turn(turn, &mut document),
            None => drop(document.shift_remove("turn")),
        }
        let is_counted = !self.is_shared;
        if let (Some(known), Some(was)) = (&self.known, was_counted)
            && !is_counted
            && was.occupies()
        {
            // Another account of the person has a seat, and this one was one too many.
            document.shift_remove("reclaim");
            update(work, known.id, document)?;
            return take_back(ctx, work, known, &self.payer, counts, self.permitted);
        }
        let takes = is_counted && stage.occupies() && !was_counted.is_some_and(Stage::occupies);
        if takes && let Some(idle) = self.take_idle(ctx, work)? {
            document.insert("reclaim".to_owned(), idle.to_string().into());
        }
        match &self.known {
            Some(known) => {
                update(work, known.id, document)?;
                self.tell_others(ctx, work, known)?;
            }
            None => drop(create(ctx, work, document)?),
        }
        counts.moved(was_counted, is_counted.then_some(stage));
        // Whoever waits comes when all that falls due at this moment is done.
        if counts.waiting > 0 && counts.used < self.permitted {
            pool::call(ctx, work, entitlement);
        }
        Ok(())
    }

    /// The seat that lay idle longest is used again.
    fn take_idle(&self, ctx: &Ctx, work: &mut Work<'_>) -> Result<Option<ResourceId>, Error> {
        let first = work.in_order(ASSIGNMENT, "idle", &self.entitlement.to_string(), 1)?.unwrap_or_default();
        let Some(known) = first.first().map(|id| Known::find(work, *id)).transpose()?.flatten() else {
            return Ok(None);
        };
        let mut document = known.document;
        document.shift_remove("idle");
        document.insert("usedAgainFrom".to_owned(), at(ctx.now));
        update(work, known.id, document)?;
        Ok(Some(known.id))
    }

    fn free(&self, ctx: &Ctx, work: &mut Work<'_>, counts: &mut Counts) -> Result<(), Error> {
        let Some(known) = &self.known else { return Ok(()) };
        if known.is_shared() {
            work.remove(known.id)?;
            return Ok(());
        }
        if let Some(heir) = self.heir.map(|heir| Known::find(work, heir)).transpose()?.flatten() {
            // The seat stays what it is: another account of the same person sits on it.
            let mut document = heir.document.clone();
            document.shift_remove("shared");
            if let Some(reclaim) = known.document.get("reclaim") {
                document.insert("reclaim".to_owned(), reclaim.clone());
            }
            counts.moved(known.stage(), heir.stage());
            update(work, heir.id, document)?;
            work.remove(known.id)?;
            return Ok(());
        }
        work.remove(known.id)?;
        take_back(ctx, work, known, &self.payer, counts, self.permitted)
    }
}

/// A seat that was somebody's is free: that is noted without saying whose it was, and the queue is called.
pub(super) fn take_back(
    ctx: &Ctx,
    work: &mut Work<'_>,
    known: &Known,
    payer: &Payer,
    counts: &mut Counts,
    permitted: i64,
) -> Result<(), Error> {
    let Some(entitlement) = known.entitlement() else { return Ok(()) };
    counts.moved(known.stage(), None);
    if let Some(before) = known.reclaim().map(|id| Known::find(work, id)).transpose()?.flatten() {
        let mut document = before.document;
        document.insert("usedAgainUntil".to_owned(), at(ctx.now));
        update(work, before.id, document)?;
    }
    let mut document = Map::new();
    document.insert("schemas".to_owned(), json!([SCHEMA]));
    document.insert("entitlement".to_owned(), known.document.get("entitlement").cloned().unwrap_or_default());
    document.insert("state".to_owned(), Stage::Free.as_str().into());
    document.insert("since".to_owned(), at(ctx.now));
    document.insert("freedAt".to_owned(), at(ctx.now));
    for name in ["unit", "costCenter", "price", "period", "currency"] {
        if let Some(noted) = known.document.get(name) {
            document.insert(name.to_owned(), noted.clone());
        }
    }
    payer.put(&mut document);
    match counts.used < permitted {
        true => {
            let order = ctx.now.cast_unsigned() ^ (1 << 63);
            document.insert("idle".to_owned(), format!("{entitlement}/{order:016x}.{}", known.id).into());
        }
        // Of what there is not any more nothing lies idle.
        false => drop(document.insert("givenUpAt".to_owned(), at(ctx.now))),
    }
    create(ctx, work, document)?;
    if counts.waiting > 0 {
        pool::call(ctx, work, entitlement);
    }
    Ok(())
}

/// An idle seat is there no more.
pub(super) fn give_up(ctx: &Ctx, work: &mut Work<'_>, id: ResourceId) -> Result<(), Error> {
    let Some(Known { mut document, .. }) = Known::find(work, id)? else { return Ok(()) };
    document.shift_remove("idle");
    document.insert("givenUpAt".to_owned(), at(ctx.now));
    update(work, id, document)
}

/// A User goes for good: its seats are taken back.
pub(in crate::directory) fn release(
    ctx: &Ctx,
    work: &mut Work<'_>,
    pools: &Pools,
    record: &Record,
    calendar: &provisioning::calendar::Calendar,
) -> Result<(), Error> {
    let mut moves = Vec::new();
    let document = document_of(record)?;
    for known in of_user(work, record.id)? {
        let Some(entitlement) = known.entitlement() else { continue };
        let terms = pools.get(&entitlement);
        let room = provisioning::licences::Room { free: 0, before: 0, is_open: false };
        let (step, _) = next(terms, known.seat(), Wish::Never, room, ctx.now, calendar);
        let heir = heir(work, &known)?;
        moves.push(Move {
            entitlement,
            value: String::new(),
            step: if heir.is_some() && step != Step::Leave { Step::Free } else { step },
            turn: None,
            person: None,
            is_shared: known.is_shared(),
            heir,
            payer: Payer::of(&document, calendar.day_of(ctx.now), terms),
            permitted: terms.map_or(0, |terms| terms.permitted),
            known: Some(known),
        });
    }
    carry_out(ctx, work, record.id, moves)
}

/// The place of another account of the same person that sits on the same seat.
pub(super) fn heir(work: &mut Work<'_>, known: &Known) -> Result<Option<ResourceId>, Error> {
    let Some(person) = known.person().filter(|_| !known.is_shared()) else { return Ok(None) };
    let others = of_person(work, person)?;
    let mut others = others.into_iter().filter(|other| other.is_shared() && other.entitlement() == known.entitlement());
    Ok(others.next().map(|other| other.id))
}

/// How many wait before a User for an entitlement, if it waits.
pub(in crate::directory) fn place(
    work: &mut Work<'_>,
    user: ResourceId,
    entitlement: ResourceId,
) -> Result<Option<i64>, Error> {
    let waits = |known: &&Known| known.entitlement() == Some(entitlement) && known.stage() == Some(Stage::Waiting);
    let seats = of_user(work, user)?;
    let Some(turn) = seats.iter().find(waits).and_then(|known| known.text("turn")) else { return Ok(None) };
    Ok(Some(work.count_before(ASSIGNMENT, "turn", &entitlement.to_string(), Some(turn), FAR)?))
}

/// What a User waits for, each with its place as a text that sorts.
pub(in crate::directory) fn waits_for(
    work: &mut Work<'_>,
    user: ResourceId,
) -> Result<BTreeSet<(ResourceId, String)>, Error> {
    let seats = of_user(work, user)?;
    Ok(seats.iter().filter_map(|known| Some((known.entitlement()?, known.text("turn")?.to_owned()))).collect())
}

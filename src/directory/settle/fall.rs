//! What falls due: one resource at a time, under the lock, it is looked at again and what follows is written. Whoever asks
//! twice, or at the same time as another, does nothing a second time: what is due is asked for under the lock.

use provisioning::person::USER;
use store::work::{Origin, document_of};
use store::{Due, Record, ResourceId, TenantId, Work};
use uuid::Uuid;

use super::super::rules::ENTITLEMENT;
use super::super::views::{self, VIEW};
use super::super::{Ctx, Directory, Error, erasure, guard, licences, units};
use super::{Book, EVERYBODY, choose, conclude, depart, end, follow, sources};

/// What the lease is called.
const LEASE: &str = "schedule";
/// Users that are told of a change of policies or rules by one write.
const SLICE: i64 = 500;

/// What became of something that was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallen {
    /// It was not due any more.
    Early,
    /// Nothing of it changed.
    Same,
    /// It changed.
    Changed,
    /// It is purged.
    Purged,
    /// So many Users are to be looked at for a change of policies or rules.
    Told(usize),
}

impl Directory {
    /// What is due at `until` (µs since 1970) or was before, the oldest first, at most `limit`.
    pub async fn due(&self, ctx: &Ctx, until: i64, limit: i64) -> Result<Vec<(ResourceId, i64)>, Error> {
        let tenant = ctx.tenant;
        Ok(self.store.read_for(tenant, move |reader| reader.due_before(tenant, until, limit)).await?)
    }

    /// How many are due at `until`, at most `limit`, and since when the oldest is.
    pub async fn backlog(&self, ctx: &Ctx, until: i64, limit: i64) -> Result<(i64, Option<i64>), Error> {
        let tenant = ctx.tenant;
        Ok(self.store.read_for(tenant, move |reader| reader.backlog(tenant, until, limit)).await?)
    }

    /// Looks at what is due and writes what follows. Waits in the tenant's queue from the call on, so that several are done
    /// in the order in which they were asked for.
    pub fn fall_due(&self, ctx: &Ctx, id: ResourceId) -> impl Future<Output = Result<Fallen, Error>> + Send + use<> {
        let caller = ctx.clone();
        self.store.write(ctx.tenant, origin(ctx), move |work| fall(&caller, work, id))
    }

    /// Whether this process may look after the tenant's days from `now` until `until` (µs since 1970): no other does.
    pub async fn take_schedule(&self, ctx: &Ctx, holder: Uuid, until: i64) -> Result<bool, Error> {
        let (store, tenant, now) = (self.store.clone(), ctx.tenant, ctx.now);
        let taking = tokio::task::spawn_blocking(move || store.take_lease(tenant, LEASE, holder, now, until));
        Ok(taking.await.map_err(|error| store::Error::Unavailable(error.to_string()))??)
    }

    /// Lets another process look after the tenant's days.
    pub async fn drop_schedule(&self, ctx: &Ctx, holder: Uuid) -> Result<(), Error> {
        let (store, tenant) = (self.store.clone(), ctx.tenant);
        let dropping = tokio::task::spawn_blocking(move || store.drop_lease(tenant, LEASE, holder));
        Ok(dropping.await.map_err(|error| store::Error::Unavailable(error.to_string()))??)
    }

    /// The tenants that are served and have a resource of a kind.
    pub async fn tenants_having(&self, kind: &'static str) -> Result<Vec<TenantId>, Error> {
        Ok(self.store.read(move |reader| reader.tenants_having(kind)).await?)
    }

    /// The tenants that are served and of which something is due at `until` (µs since 1970).
    pub async fn tenants_due(&self, until: i64) -> Result<Vec<TenantId>, Error> {
        Ok(self.store.read(move |reader| reader.tenants_due(until)).await?)
    }

    /// Has something that cannot be done now wait until `at` (µs since 1970).
    pub async fn put_off(&self, ctx: &Ctx, id: ResourceId, at: i64) -> Result<(), Error> {
        let now = ctx.now;
        let put = move |work: &mut Work<'_>| {
            if work.due_of(id)?.is_some_and(|due| due.at <= now) {
                work.put_due(id, Some(Due::at(at)));
            }
            Ok::<_, Error>(())
        };
        self.store.write(ctx.tenant, origin(ctx), put).await
    }
}

fn origin(ctx: &Ctx) -> Origin {
    Origin { cause: "due", ..ctx.origin() }
}

fn fall(ctx: &Ctx, work: &mut Work<'_>, id: ResourceId) -> Result<Fallen, Error> {
    let Some(due) = work.due_of(id)?.filter(|due| due.at <= ctx.now) else { return Ok(Fallen::Early) };
    if id == EVERYBODY {
        return tell_everybody(ctx, work, due);
    }
    let Some(record) = work.record(id)? else {
        if erasure::go_on(ctx, work, id)? {
            return Ok(Fallen::Same);
        }
        end(ctx, work, id)?;
        return Ok(Fallen::Same);
    };
    if record.kind == VIEW {
        return views::spread(ctx, work, &record, due);
    }
    let changes = work.changes().len();
    let is_over = match record.kind == USER {
        true => look(ctx, work, &record)?.is_none(),
        false => {
            look_beside(ctx, work, &record)?;
            units::move_on(ctx, work, id)?;
            false
        }
    };
    guard::weigh(ctx, work)?;
    if is_over {
        return Ok(Fallen::Purged);
    }
    Ok(if work.changes().len() > changes { Fallen::Changed } else { Fallen::Same })
}

/// Looks at a resource again and writes what follows. Answers when that changes next by itself, µs since 1970; `None`: it was
/// over, and is purged.
pub(in crate::directory) fn look(
    ctx: &Ctx,
    work: &mut Work<'_>,
    record: &Record,
) -> Result<Option<Option<i64>>, Error> {
    let before = document_of(record)?;
    let mut after = before.clone();
    let book = Book::of(work)?;
    let mut next = conclude(ctx, work, &book, (&record.kind, record.id), Some(&before), &mut after)?;
    if next.is_over {
        depart::purge(ctx, work, record)?;
        return Ok(None);
    }
    choose(ctx, work, record.id, &mut after, &mut next)?;
    views::note(ctx.now, work, (&record.kind, record.id), &mut after)?;
    let due = next.due.into_iter().chain(views::next_leaving(&after)).min();
    if after != before {
        depart::rewrite(ctx, work, record, after)?;
    }
    follow(ctx, work, record.id, next)?;
    Ok(Some(due))
}

/// Looks again at what is no User: at the queue of an entitlement, and at pins, which any type may have. What is due of the
/// two is one row, so whichever comes first has both looked at.
fn look_beside(ctx: &Ctx, work: &mut Work<'_>, record: &Record) -> Result<(), Error> {
    let is_entitlement = record.kind == ENTITLEMENT;
    match is_entitlement {
        true => licences::hand_on(ctx, work, record)?,
        false => work.put_due(record.id, None),
    }
    let definition = work.catalog().registry().definition(&record.kind).cloned();
    if !definition.is_some_and(|definition| sources::concern(&definition, work)) {
        return Ok(());
    }
    let Some(record) = work.record(record.id)? else { return Ok(()) };
    look(ctx, work, &record)?;
    if is_entitlement && work.record(record.id)?.is_some_and(|is| is.version != record.version) {
        licences::reconsider(ctx, work, record.id)?;
    }
    Ok(())
}

/// Has the next slice of Users looked at, and goes on from there the next time.
fn tell_everybody(ctx: &Ctx, work: &mut Work<'_>, due: Due) -> Result<Fallen, Error> {
    let ids = work.ids_of(USER, due.after, SLICE)?;
    for id in &ids {
        work.put_due(*id, Some(Due::at(ctx.now)));
    }
    let is_last = (ids.len() as i64) < SLICE;
    work.put_due(EVERYBODY, ids.last().filter(|_| !is_last).map(|last| Due { at: due.at, after: Some(*last) }));
    Ok(Fallen::Told(ids.len()))
}

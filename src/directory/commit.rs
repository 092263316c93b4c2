//! The end that every write has: it is put in the tenant's queue, weighed, committed, and only then answered. With `simulate`
//! the same is done and thrown away.

use scim::resource::{Notes, Projection};
use scim::schema::Definition;
use store::Work;

use super::relation::{Members, SeenMembers};
use super::render::State;
use super::{Ctx, Directory, Error, Planned, Written, guard, rules, settle};

/// How long a write takes, as far as that is known before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// It concerns one resource and few of its members: a thread that nobody else waits for may be kept by it.
    Short,
    /// There is no saying.
    Open,
}

impl Extent {
    /// Of a write of one resource of a type, of whose members few move or more.
    pub(super) fn of(definition: &Definition, few_move: bool) -> Self {
        match definition.name() {
            settle::USER | rules::GROUP if few_move => Extent::Short,
            _ => Extent::Open,
        }
    }
}

impl Directory {
    /// Runs a write of whatever extent.
    pub(super) async fn commit<T, F>(&self, ctx: &Ctx, run: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnMut(&mut Work<'_>) -> Result<T, Error> + Send + 'static,
    {
        self.commit_of(Extent::Open, ctx, run).await
    }

    /// Runs a write, or with `simulate` what would be one. `run` remembers what it did for a request with a key; here it
    /// is not run when that was done before, which whoever asks finds out.
    pub(super) async fn commit_of<T, F>(&self, extent: Extent, ctx: &Ctx, mut run: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnMut(&mut Work<'_>) -> Result<T, Error> + Send + 'static,
    {
        let (tenant, origin, weigher) = (ctx.tenant, ctx.origin(), ctx.clone());
        let mut run = move |work: &mut Work<'_>| {
            let done = run(work)?;
            guard::weigh(&weigher, work)?;
            Ok(done)
        };
        #[cfg(feature = "opentelemetry")]
        let _span = crate::trace::within(if ctx.simulate { "simulate" } else { "write" });
        if ctx.simulate {
            return self.store.read_for(ctx.tenant, move |reader| reader.simulate(tenant, origin, run)).await;
        }
        if ctx.once.is_none() {
            let here = extent == Extent::Short && (ctx.is_alone)();
            let written = match here {
                true => self.store.write_here(tenant, origin, run).await,
                false => self.store.write(tenant, origin, run).await,
            };
            return self.ask_if_held(ctx, written).await;
        }
        let caller = ctx.clone();
        let once = move |work: &mut Work<'_>| match caller.done_before(work)? {
            Some(_) => Err(store::Error::Stale.into()),
            None => run(work),
        };
        let written = self.store.write(tenant, origin, once).await;
        self.ask_if_held(ctx, written).await
    }

    /// Has a person decide about a write that was refused because its client has done too much.
    async fn ask_if_held<T>(&self, ctx: &Ctx, written: Result<T, Error>) -> Result<T, Error> {
        if let Err(Error::Held(held)) = &written {
            self.ask_about(ctx, held).await?;
        }
        written
    }

    pub(super) fn written(
        &self,
        ctx: &Ctx,
        definition: &Definition,
        state: &State,
        projection: &Projection,
        notes: &Notes,
        changes: Vec<Planned>,
    ) -> Result<Written, Error> {
        let (body, etag) = self.present(ctx, definition, state, projection)?;
        let location = Directory::location(ctx, definition, &state.record);
        Ok(Written { etag, location, body, tolerances: notes.iter().collect(), changes })
    }
}

/// The end of a creation or revision under the lock: the members that the answer shows, and what a retry is told.
pub(super) fn conclude(
    ctx: &Ctx,
    definition: &Definition,
    mut state: State,
    with_members: bool,
    work: &mut Work<'_>,
) -> Result<(State, Vec<Planned>), Error> {
    if with_members {
        state.members = Some(SeenMembers(work, ctx).all(state.record.id)?);
    }
    // What has left the view is told once more, as its writer left it.
    state.show(ctx, definition, work)?;
    // Others wait for the lock: an entity tag that nobody will ask for is not worked out under it.
    if ctx.once.is_some() {
        ctx.remember(work, &Directory::location(ctx, definition, &state.record), Some(&state.etag(ctx)));
    }
    Ok((state, work.changes().to_vec()))
}

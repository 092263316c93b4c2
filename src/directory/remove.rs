//! DELETE (RFC 7644 section 3.6): the resource is gone, its names are free, and it has left its groups.

use std::sync::Arc;

use scim::schema::Definition;
use store::{Record, ResourceId, Work};

use super::membership::is_membership;
use super::render::State;
use super::shape::id_of;
use super::{Ctx, Directory, Error, Planned, Precondition, particular, persons, settle, work_items};

/// A removal that needs nothing but the lock.
pub(super) struct Removal {
    definition: Arc<Definition>,
    id: ResourceId,
    precondition: Precondition,
}

impl Removal {
    /// Carries it out. Fails with 404 when there is no such resource, [`store::Error::Stale`] for another version.
    pub(super) fn run(&self, ctx: &Ctx, work: &mut Work<'_>) -> Result<(), Error> {
        let kind = self.definition.name();
        let record = work.record(self.id)?.filter(|record| record.kind == kind);
        let absent = || scim::Error::not_found(kind, &self.id.to_string());
        let record = record.ok_or_else(absent)?;
        if !is_seen_under_lock(ctx, &self.definition, record.clone(), work)? {
            return Err(absent().into());
        }
        ctx.check_deleting(&self.definition)?;
        self.precondition.check(record.version)?;
        let follows = settle::concerns(kind, work);
        if follows && settle::withdraw(ctx, work, &record)? {
            return Ok(());
        }
        if follows {
            settle::refuse_held(&record)?;
        }
        let write =
            particular::Write { ctx, definition: &self.definition, id: self.id, before: Some(&record), external: None };
        let particular = match particular::of(&self.definition) {
            Some(attend) => attend(&write, None, work)?,
            None => None,
        };
        match follows {
            true => settle::purge(ctx, work, &record)?,
            false => {
                work_items::forget(ctx, work, self.id)?;
                persons::leave(ctx, work, &record)?;
                work.remove(self.id)?;
                if work.keeps_notes(kind) {
                    work.put_due(self.id, None);
                }
            }
        }
        match particular {
            Some(follow) => follow(&write, None, work),
            None => Ok(()),
        }
    }
}

impl Directory {
    /// Deletes a resource and returns the changes that were made, or with `simulate` would be.
    pub async fn remove(
        &self,
        ctx: &Ctx,
        definition: &Arc<Definition>,
        id: &str,
        precondition: &Precondition,
    ) -> Result<Vec<Planned>, Error> {
        if is_membership(definition) {
            return self.leave(ctx, id, precondition).await;
        }
        let removal = Directory::prepare_removal(definition, id, precondition)?;
        let (caller, location) = (ctx.clone(), format!("{}/{}/{id}", ctx.base_url, definition.endpoint()));
        let changes = self
            .commit(ctx, move |work| {
                removal.run(&caller, work)?;
                caller.remember(work, &location, None);
                Ok(work.changes().to_vec())
            })
            .await;
        self.note_policy(ctx.tenant, definition);
        changes
    }

    /// What of a removal can be done before the lock.
    pub(super) fn prepare_removal(
        definition: &Arc<Definition>,
        id: &str,
        precondition: &Precondition,
    ) -> Result<Removal, Error> {
        let id = id_of(definition.name(), id)?;
        Ok(Removal { definition: definition.clone(), id, precondition: precondition.clone() })
    }
}

/// Whether the caller sees a resource as it is under the lock.
pub(super) fn is_seen_under_lock(
    ctx: &Ctx,
    definition: &Definition,
    record: Record,
    work: &mut Work<'_>,
) -> Result<bool, Error> {
    if ctx.view(definition).filter().is_none() {
        return Ok(true);
    }
    State::under_lock(ctx, definition, record, work)?.is_seen(ctx, definition, work)
}

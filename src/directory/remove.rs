//! DELETE (RFC 7644 section 3.6): the resource is gone, its names are free, and it has left its groups.

use std::sync::Arc;

use scim::schema::Definition;
use store::{ResourceId, Work};

use super::membership::is_membership;
use super::shape::id_of;
use super::{Ctx, Directory, Error, Planned, Precondition, issuers};

/// A removal that needs nothing but the lock.
pub(super) struct Removal {
    definition: Arc<Definition>,
    id: ResourceId,
    precondition: Precondition,
}

impl Removal {
    /// Carries it out. Fails with 404 when there is no such resource, [`store::Error::Stale`] for another version.
    pub(super) fn run(&self, work: &mut Work<'_>) -> Result<(), Error> {
        let kind = self.definition.name();
        let record = work.record(self.id)?.filter(|record| record.kind == kind);
        let record = record.ok_or_else(|| scim::Error::not_found(kind, &self.id.to_string()))?;
        self.precondition.check(record.version)?;
        issuers::lead(work, &self.definition, self.id, Some(&record), None)?;
        Ok(work.remove(self.id)?)
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
        let removal = self.prepare_removal(ctx, definition, id, precondition).await?;
        let (caller, location) = (ctx.clone(), format!("{}/{}/{id}", ctx.base_url, definition.endpoint()));
        self.commit(ctx, move |work| {
            removal.run(work)?;
            caller.remember(work, &location, None);
            Ok(work.changes().to_vec())
        })
        .await
    }

    /// What of a removal can be done before the lock: whether the caller may see the resource.
    pub(super) async fn prepare_removal(
        &self,
        ctx: &Ctx,
        definition: &Arc<Definition>,
        id: &str,
        precondition: &Precondition,
    ) -> Result<Removal, Error> {
        let id = id_of(definition.name(), id)?;
        self.check_seen(ctx, definition, id).await?;
        Ok(Removal { definition: definition.clone(), id, precondition: precondition.clone() })
    }

    /// Fails with 404 when the caller's view hides the resource.
    pub(super) async fn check_seen(
        &self,
        ctx: &Ctx,
        definition: &Arc<Definition>,
        id: ResourceId,
    ) -> Result<(), Error> {
        if ctx.view(definition).filter().is_none() {
            return Ok(());
        }
        let (directory, caller, kind) = (self.clone(), ctx.clone(), definition.clone());
        self.store.read(move |reader| directory.state_of(&caller, &kind, id, reader).map(drop)).await
    }
}

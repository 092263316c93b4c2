//! DELETE (RFC 7644 section 3.6): the resource is gone, its names are free, and it has left its groups.

use std::sync::Arc;

use scim::schema::Definition;

use super::shape::id_of;
use super::{Ctx, Directory, Error, Planned, Precondition};

impl Directory {
    /// Deletes a resource and returns the changes that were made, or with `simulate` would be.
    pub async fn remove(
        &self,
        ctx: &Ctx,
        definition: &Arc<Definition>,
        id: &str,
        precondition: &Precondition,
    ) -> Result<Vec<Planned>, Error> {
        let id = id_of(definition.name(), id)?;
        let (directory, caller, kind) = (self.clone(), ctx.clone(), definition.clone());
        if ctx.view.filter().is_some() {
            self.store.read(move |reader| directory.state_of(&caller, &kind, id, reader).map(drop)).await?;
        }
        let (kind, precondition) = (definition.clone(), precondition.clone());
        self.commit(ctx, move |work| {
            let record = work.record(id)?.filter(|record| record.kind == kind.name());
            let record = record.ok_or_else(|| scim::Error::not_found(kind.name(), &id.to_string()))?;
            precondition.check(record.version)?;
            work.remove(id)?;
            Ok(work.changes().to_vec())
        })
        .await
    }
}

//! PATCH (RFC 7644 section 3.5.2).

use std::sync::Arc;

use serde_json::{Map, Value};

use scim::patch::{Patch, RelationChange, apply, parse};
use scim::resource::{Notes, Projection};
use scim::schema::Definition;

use super::revise::Revision;
use super::{Ctx, Directory, Error, Precondition, Written, password};

struct Patching {
    definition: Arc<Definition>,
    patch: Patch,
}

impl Revision for Patching {
    fn document(&self, current: &Map<String, Value>, notes: &mut Notes) -> Result<Map<String, Value>, scim::Error> {
        apply(&self.definition, current, &self.patch.document, notes)
    }

    fn relation(&self) -> &[RelationChange] {
        &self.patch.relation
    }
}

impl Directory {
    /// Changes a resource by operations, all or none of them.
    pub async fn patch(
        &self,
        ctx: &Ctx,
        definition: &Arc<Definition>,
        id: &str,
        body: Value,
        precondition: &Precondition,
        projection: &Projection,
    ) -> Result<Written, Error> {
        let mut notes = Notes::new();
        let patch = parse(definition, &body, ctx.caller.profile.strictness(), &mut notes);
        ctx.tolerances.take_in(&notes);
        let patch = patch?;
        let names_password = patch.document.iter().any(|operation| operation.attribute() == password::NAME);
        password::check_profile(ctx, names_password)?;
        patch.check_id(id)?;
        let revision = Patching { definition: definition.clone(), patch };
        let mut written = self.revise(ctx, definition, id, revision, precondition, projection).await?;
        written.tolerances.splice(0..0, notes.iter());
        Ok(written)
    }
}

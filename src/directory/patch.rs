//! PATCH (RFC 7644 section 3.5.2).

use std::sync::Arc;

use serde_json::{Map, Value};

use provisioning::sources::Site;
use scim::authority::Absence;
use scim::patch::{Patch, RelationChange, Verb, apply, parse};
use scim::resource::{Notes, Projection};
use scim::schema::Definition;

use super::authority::guard;
use super::password::SLOT;
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

    fn passwords(&self) -> Vec<String> {
        self.patch.texts_of(SLOT).map(str::to_owned).collect()
    }

    fn names(&self, site: &Site) -> bool {
        self.patch.document.iter().any(|operation| {
            let (attribute, filter, sub) = operation.target();
            match operation.verb() {
                Verb::Remove => false,
                _ if site.is_named_by(&attribute, filter, sub) => true,
                // Elements that are added say of themselves what they are.
                Verb::Add => filter.is_none() && operation.elements().any(|element| site.is_of(&attribute, element)),
                Verb::Replace => false,
            }
        })
    }

    fn is_explicit(&self) -> bool {
        self.patch.document.iter().any(|operation| operation.verb() != Verb::Remove)
    }
}

/// Reads a PatchOp message for a resource.
pub(super) fn patching(
    ctx: &Ctx,
    definition: &Arc<Definition>,
    id: &str,
    body: &Value,
    notes: &mut Notes,
) -> Result<Arc<dyn Revision>, Error> {
    let definition = &ctx.views.narrow(definition);
    let patch = parse(definition, body, ctx.caller.profile.strictness(), notes)?;
    let names_password = patch.document.iter().any(|operation| operation.attribute() == SLOT);
    password::check_profile(ctx, names_password)?;
    patch.check_id(id)?;
    Ok(guard(ctx, definition, Absence::Removal, Arc::new(Patching { definition: definition.clone(), patch })))
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
        let revision = patching(ctx, definition, id, &body, &mut notes);
        ctx.tolerances.take_in(notes.iter());
        let revision = revision?;
        let mut written = self.revise(ctx, definition, id, revision, precondition, projection).await?;
        written.tolerances.splice(0..0, notes.iter());
        Ok(written)
    }
}

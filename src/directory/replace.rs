//! PUT: a body takes a resource's place (RFC 7644 section 3.5.1).

use std::sync::Arc;

use serde_json::{Map, Value};

use scim::patch::RelationChange;
use scim::resource::{MEMBERS, Notes, Projection, Strictness, replace};
use scim::schema::Definition;

use super::revise::Revision;
use super::shape::take_apart;
use super::{Ctx, Directory, Error, Precondition, Written, password};

struct Replacement {
    definition: Arc<Definition>,
    body: Value,
    strictness: Strictness,
    relation: Vec<RelationChange>,
}

impl Revision for Replacement {
    fn document(&self, current: &Map<String, Value>, notes: &mut Notes) -> Result<Map<String, Value>, scim::Error> {
        replace(&self.definition, current, &self.body, self.strictness, notes)
    }

    fn relation(&self) -> &[RelationChange] {
        &self.relation
    }
}

impl Directory {
    /// Replaces what a client may write of a resource. Never creates one: 404.
    pub async fn replace(
        &self,
        ctx: &Ctx,
        definition: &Arc<Definition>,
        id: &str,
        body: Value,
        precondition: &Precondition,
        projection: &Projection,
    ) -> Result<Written, Error> {
        let strictness = ctx.caller.profile.strictness();
        let names_password =
            body.as_object().is_some_and(|body| body.keys().any(|key| key.eq_ignore_ascii_case(password::NAME)));
        password::check_profile(ctx, names_password)?;
        let relation = if definition.core.attribute(MEMBERS).is_some() {
            // The members are read from the body once; the document is merged with what is stored under the lock.
            let read = scim::resource::validate(definition, &body, strictness, &mut Notes::new())?;
            match take_apart(read)?.members {
                members if members.is_empty() => vec![RelationChange::RemoveAll],
                members => vec![RelationChange::Replace(members)],
            }
        } else {
            Vec::new()
        };
        let revision = Replacement { definition: definition.clone(), body, strictness, relation };
        self.revise(ctx, definition, id, revision, precondition, projection).await
    }
}

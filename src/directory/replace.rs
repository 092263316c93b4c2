//! PUT: a body takes a resource's place (RFC 7644 section 3.5.1).

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::{Map, Value};

use scim::authority::Absence;
use scim::patch::RelationChange;
use scim::resource::{MEMBERS, Notes, Projection, Strictness, replace, validate};
use scim::schema::Definition;

use super::authority::guard;
use super::password::SLOT;
use super::revise::Revision;
use super::shape::{Parts, take_apart};
use super::{Ctx, Directory, Error, Precondition, Written, password, settle, units};

struct Replacement {
    definition: Arc<Definition>,
    body: Value,
    strictness: Strictness,
    relation: Vec<RelationChange>,
    password: Option<String>,
    wished: Option<Map<String, Value>>,
    ctx: Ctx,
}

impl Revision for Replacement {
    fn document(&self, current: &Map<String, Value>, notes: &mut Notes) -> Result<Map<String, Value>, scim::Error> {
        let name = self.definition.name();
        let body = settle::body(&self.ctx, name, &self.body, Some(current), "");
        let mut next = replace(&self.definition, current, &body, self.strictness, notes)?;
        if self.definition.name() == provisioning::person::USER {
            settle::keep_said(current, &mut next);
        }
        if units::are(&self.definition) {
            units::keep_planned(current, &body, &mut next);
        }
        settle::sources::keep_pins(current, &mut next);
        Ok(next)
    }

    fn relation(&self) -> &[RelationChange] {
        &self.relation
    }

    fn passwords(&self) -> Vec<String> {
        self.password.iter().cloned().collect()
    }

    fn absence(&self) -> Absence {
        Absence::Silence
    }

    fn wished(&self) -> Option<&Map<String, Value>> {
        self.wished.as_ref()
    }
}

/// Reads a body that shall take a resource's place. Members and password are read from it once; the document is merged
/// with what is stored under the lock.
pub(super) fn replacing(ctx: &Ctx, definition: &Arc<Definition>, body: Value) -> Result<Arc<dyn Revision>, Error> {
    let definition = &ctx.views.narrow(definition);
    let strictness = ctx.caller.profile.strictness();
    let wished = settle::wished::of(ctx, definition.name(), &body);
    let without_names = match settle::body(ctx, definition.name(), &body, None, "unnamed") {
        Cow::Owned(body) => Some(body),
        Cow::Borrowed(_) => None,
    };
    let body = without_names.unwrap_or(body);
    let names_password = body.as_object().is_some_and(|body| body.keys().any(|key| key.eq_ignore_ascii_case(SLOT)));
    password::check_profile(ctx, names_password)?;
    let has = |name: &str| definition.core.attribute(name).is_some();
    let read = || take_apart(validate(definition, &body, strictness, &mut Notes::new())?);
    let parts = match (has(MEMBERS), has(SLOT)) {
        (true, _) => read()?,
        // What is wrong with the body is said when it meets the resource: one that is not there is 404 first.
        (false, true) => read().unwrap_or_default(),
        (false, false) => Parts::default(),
    };
    let may_not = ctx.authority(definition).is_some_and(|held| !held.covers_members());
    let relation = match parts.members {
        _ if !has(MEMBERS) => Vec::new(),
        // Who is not named stays, as with all that is not the client's; one that is new is refused when it would come.
        members if may_not => vec![RelationChange::Add(members)],
        members if members.is_empty() => vec![RelationChange::RemoveAll],
        members => vec![RelationChange::Replace(members)],
    };
    let replacement = Replacement {
        definition: definition.clone(),
        body,
        strictness,
        relation,
        password: parts.password,
        wished,
        ctx: ctx.clone(),
    };
    Ok(guard(ctx, definition, Absence::Silence, Arc::new(replacement)))
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
        let revision = replacing(ctx, definition, body)?;
        self.revise(ctx, definition, id, revision, precondition, projection).await
    }
}

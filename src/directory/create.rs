//! POST: a new resource (RFC 7644 section 3.3).

use std::sync::Arc;

use serde_json::Value;

use scim::patch::RelationChange;
use scim::resource::{MEMBERS, Notes, Projection, validate};
use scim::schema::Definition;
use store::work::Draft;
use store::{ResourceId, Work};

use super::derive::derive;
use super::membership::is_membership;
use super::relation::{Moves, Nobody};
use super::render::State;
use super::revise::conclude;
use super::shape::take_apart;
use super::{Ctx, Directory, Error, Written, password};

/// A creation with all done that needs no lock.
pub(super) struct Creation {
    definition: Arc<Definition>,
    /// The members are worked out under the lock.
    draft: Draft,
    relation: Vec<RelationChange>,
}

impl Creation {
    /// Carries it out. Fails with 409 uniqueness for a value that is taken, 400 for a member that cannot be one.
    pub(super) fn run(&self, work: &mut Work<'_>) -> Result<State, Error> {
        let id = self.draft.id;
        let moves = Moves::of(&self.relation, id, &mut Nobody)?;
        let members = moves.deltas(&self.definition, id, work)?;
        let record = work.create(Draft { members, ..self.draft.clone() })?;
        let external = self.draft.external.as_ref().and_then(|(_, external)| external.clone());
        Ok(State { record, external, groups: Vec::new(), members: None, nesting_seq: work.nesting_seq() })
    }

    /// Who shall be a member from the beginning.
    pub(super) fn members(&self) -> impl Iterator<Item = &str> {
        let elements = self.relation.iter().flat_map(|change| match change {
            RelationChange::Add(elements) => elements.as_slice(),
            _ => &[],
        });
        elements.filter_map(|element| element.get("value")?.as_str())
    }
}

impl Directory {
    /// Creates a resource. Fails with 400 for a body that is none, 409 uniqueness for a value that is taken.
    pub async fn create(
        &self,
        ctx: &Ctx,
        definition: &Arc<Definition>,
        body: Value,
        projection: &Projection,
    ) -> Result<Written, Error> {
        if is_membership(definition) {
            return self.join(ctx, definition, &body, projection).await;
        }
        let mut notes = Notes::new();
        let id = ctx.random.resource_id(ctx.now)?;
        let creation = self.prepare_creation(ctx, definition, id, &body, &mut notes).await;
        ctx.tolerances.take_in(notes.iter());
        let creation = creation?;
        let with_members = projection.wants(MEMBERS) && !creation.relation.is_empty();
        let (caller, kind) = (ctx.clone(), definition.clone());
        let (state, changes) = self
            .commit(ctx, move |work| {
                let state = creation.run(work)?;
                conclude(&caller, &kind, state, with_members, work)
            })
            .await?;
        self.written(ctx, definition, &state, projection, &notes, changes)
    }

    /// What of a creation can be done before the lock: the body is checked and its password hashed.
    pub(super) async fn prepare_creation(
        &self,
        ctx: &Ctx,
        definition: &Arc<Definition>,
        id: ResourceId,
        body: &Value,
        notes: &mut Notes,
    ) -> Result<Creation, Error> {
        let document = validate(definition, body, ctx.caller.profile.strictness(), notes)?;
        password::check_profile(ctx, document.contains_key(password::SLOT))?;
        let mut parts = take_apart(document)?;
        let label = derive(definition, &mut parts.doc, ctx.now)?;
        let secret = match parts.password.take() {
            Some(clear) => Some(password::seal(clear, self.limits.password, &ctx.random).await?),
            None => None,
        };
        let draft = Draft {
            id,
            kind: definition.name().to_owned(),
            label,
            doc: parts.doc.into(),
            secret,
            members: Vec::new(),
            external: parts.external.map(|external| (ctx.caller.domain, Some(external))),
        };
        let relation = match parts.members {
            members if members.is_empty() => Vec::new(),
            members => vec![RelationChange::Add(members)],
        };
        Ok(Creation { definition: definition.clone(), draft, relation })
    }
}

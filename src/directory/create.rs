//! POST: a new resource (RFC 7644 section 3.3).

use std::sync::Arc;

use serde_json::Value;

use scim::patch::RelationChange;
use scim::resource::{MEMBERS, Notes, Projection, validate};
use scim::schema::Definition;
use store::work::Draft;

use super::derive::derive;
use super::relation::Moves;
use super::render::State;
use super::shape::take_apart;
use super::{Ctx, Directory, Error, Written, password};

impl Directory {
    /// Creates a resource. Fails with 400 for a body that is none, 409 uniqueness for a value that is taken.
    pub async fn create(
        &self,
        ctx: &Ctx,
        definition: &Arc<Definition>,
        body: Value,
        projection: &Projection,
    ) -> Result<Written, Error> {
        let mut notes = Notes::new();
        let document = validate(definition, &body, ctx.caller.profile.strictness(), &mut notes)?;
        let mut parts = take_apart(document)?;
        let label = derive(definition, &mut parts.doc)?;
        let secret = match parts.password.take() {
            Some(clear) => Some(password::seal(clear, &ctx.random).await?),
            None => None,
        };
        let id = ctx.random.resource_id(ctx.now)?;
        let draft = Draft {
            id,
            kind: definition.name().to_owned(),
            label,
            doc: parts.doc,
            secret,
            members: Vec::new(),
            external: parts.external.clone().map(|external| (ctx.caller.domain, Some(external))),
        };
        let relation = match parts.members {
            members if members.is_empty() => Vec::new(),
            members => vec![RelationChange::Add(members)],
        };
        let with_members = projection.wants(MEMBERS) && !relation.is_empty();
        let kind = definition.clone();
        let external = parts.external;
        let (state, changes) = self
            .commit(ctx, move |work| {
                let moves = Moves::of(&relation, id, work)?;
                let members = moves.deltas(&kind, id, work)?;
                let record = work.create(Draft { members, ..draft.clone() })?;
                let members = if with_members { Some(work.members(id)?) } else { None };
                let nesting_seq = work.nesting_seq();
                let state = State { record, external: external.clone(), groups: Vec::new(), members, nesting_seq };
                Ok((state, work.changes().to_vec()))
            })
            .await?;
        self.written(ctx, definition, &state, projection, &notes, changes)
    }
}

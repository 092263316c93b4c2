//! POST: a new resource (RFC 7644 section 3.3).

use std::sync::Arc;

use serde_json::Value;

use scim::patch::RelationChange;
use scim::resource::{MEMBERS, Notes, Projection, check_new, validate};
use scim::schema::Definition;
use store::secret::Secrets;
use store::work::Draft;
use store::{ResourceId, Work};

use super::derive::derive;
use super::membership::is_membership;
use super::relation::{Moves, Nobody};
use super::render::State;
use super::revise::conclude;
use super::secret::Sealer;
use super::shape::take_apart;
use super::views::{lay_forms, refuse_missing};
use super::{Ctx, Directory, Error, Written, clients, issuers, password};

/// A creation with all done that needs no lock.
pub(super) struct Creation {
    definition: Arc<Definition>,
    /// The members are worked out under the lock.
    draft: Draft,
    sealer: Option<Sealer>,
    relation: Vec<RelationChange>,
}

impl Creation {
    /// Carries it out. Fails with 409 uniqueness for a value that is taken, 400 for a member that cannot be one, and as
    /// denied when its caller would not see it.
    pub(super) fn run(&self, ctx: &Ctx, work: &mut Work<'_>) -> Result<State, Error> {
        let id = self.draft.id;
        refuse_missing(self.definition.name(), &self.draft.doc, work)?;
        let moves = Moves::of(&self.relation, id, &mut Nobody)?;
        let members = moves.deltas(ctx, &self.definition, id, work)?;
        clients::check_against(work.catalog().registry(), &self.definition, &self.draft.doc)?;
        issuers::lead(work, &self.definition, id, None, Some(&self.draft.doc))?;
        lay_forms(work, &self.definition, id, Some(&self.draft.doc))?;
        let mut draft = Draft { members, ..self.draft.clone() };
        if let Some(sealer) = &self.sealer {
            let password = Secrets::read(draft.secret.as_deref())?.password;
            let (doc, secret) = sealer.seal(work, id, &self.draft.doc, &Secrets::default(), password)?;
            (draft.doc, draft.secret) = (Arc::new(doc.into_owned()), secret);
        }
        let record = work.create(draft)?;
        let external = self.draft.external.as_ref().and_then(|(_, external)| external.clone());
        let mut state = State::new(record, external, Vec::new(), work.nesting_seq());
        match state.is_seen(ctx, &self.definition, work)? {
            true => Ok(state),
            false => {
                let kind = self.definition.name();
                Err(Error::Denied(format!(
                    "The {kind} would lie outside of what this client may see. Nothing was done."
                )))
            }
        }
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
                let state = creation.run(&caller, work)?;
                conclude(&caller, &kind, state, with_members, work)
            })
            .await?;
        self.remember_keys(ctx, definition).await;
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
        let document = validate(&ctx.views.narrow(definition), body, ctx.caller.profile.strictness(), notes)?;
        if !ctx.view(definition).is_whole() {
            check_new(definition, &document)?;
        }
        password::check_profile(ctx, document.contains_key(password::SLOT))?;
        ctx.check_forms(definition, &document)?;
        let document = match ctx.authority(definition) {
            Some(held) => held.create(document, notes)?,
            None => document,
        };
        let mut parts = take_apart(document)?;
        let label = derive(&self.registry_of(ctx.tenant), definition, &mut parts.doc)?;
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
        let sealer = self.sealer(ctx, definition).await?;
        Ok(Creation { definition: definition.clone(), draft, sealer, relation })
    }
}

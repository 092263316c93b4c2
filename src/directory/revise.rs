//! What PUT and PATCH share: a resource is read, a revision of it is worked out, and when that differs it is worked
//! out again under the lock and stored.

use std::sync::Arc;

use serde_json::{Map, Value};

use scim::patch::RelationChange;
use scim::resource::{MEMBERS, Notes, Projection};
use scim::schema::Definition;
use store::work::Draft;
use store::{Record, ResourceId, Work};

use super::derive::derive;
use super::relation::{Moves, ReadMembers};
use super::render::{State, has_groups};
use super::shape::{Parts, id_of, put_together, take_apart};
use super::{Ctx, Directory, Error, Planned, Precondition, Written, password};

/// A revision: from the document as its client would write it to the one it shall be. Pure, and may run twice.
pub(super) trait Revision: Send + Sync + 'static {
    /// The document that shall be.
    fn document(&self, current: &Map<String, Value>, notes: &mut Notes) -> Result<Map<String, Value>, scim::Error>;
    /// What becomes of the members.
    fn relation(&self) -> &[RelationChange];
}

/// What a revision makes of a record.
struct Outcome {
    parts: Parts,
    label: String,
    is_changed: bool,
}

/// A password that was hashed before the lock was taken.
struct Sealed {
    clear: String,
    hash: Vec<u8>,
}

impl Directory {
    /// Revises a resource. One that ends as it was is answered without a lock, a version or a change row.
    pub(super) async fn revise(
        &self,
        ctx: &Ctx,
        definition: &Arc<Definition>,
        id: &str,
        revision: impl Revision,
        precondition: &Precondition,
        projection: &Projection,
    ) -> Result<Written, Error> {
        let id = id_of(definition.name(), id)?;
        let revision = Arc::new(revision);
        let with_members = projection.wants(MEMBERS) && definition.core.attribute(MEMBERS).is_some();
        let mut notes = Notes::new();

        let state = self.read_state(ctx, definition, id, &revision, with_members).await?;
        let (state, members_move) = state;
        precondition.check(state.record.version)?;
        let before = outcome(definition, &state.record, state.external.as_deref(), &*revision, &mut notes)?;
        if !before.is_changed && !members_move {
            return self.written(ctx, definition, &state, projection, &notes, Vec::new());
        }
        let sealed = match before.parts.password {
            Some(clear) if clear != password::KEPT => {
                let hash = password::seal(clear.clone(), &ctx.random).await?;
                Some(Arc::new(Sealed { clear, hash }))
            }
            _ => None,
        };

        let (directory, caller, kind, precondition) =
            (self.clone(), ctx.clone(), definition.clone(), precondition.clone());
        let (state, changes) = self
            .commit(ctx, move |work| {
                directory.revise_in(
                    &caller,
                    &kind,
                    id,
                    &*revision,
                    &precondition,
                    sealed.as_deref(),
                    with_members,
                    work,
                )
            })
            .await?;
        self.written(ctx, definition, &state, projection, &notes, changes)
    }

    /// The state before the revision, and whether the revision would move a member.
    async fn read_state(
        &self,
        ctx: &Ctx,
        definition: &Arc<Definition>,
        id: ResourceId,
        revision: &Arc<impl Revision>,
        with_members: bool,
    ) -> Result<(State, bool), Error> {
        let (directory, caller, kind, revision) = (self.clone(), ctx.clone(), definition.clone(), revision.clone());
        self.store
            .read(move |reader| {
                let mut state = directory.state_of(&caller, &kind, id, reader)?;
                let moves = Moves::of(revision.relation(), id, &mut ReadMembers(reader, caller.tenant))?;
                if with_members && moves.is_empty() {
                    state.members = Some(reader.all_members(caller.tenant, id)?);
                }
                Ok((state, !moves.is_empty()))
            })
            .await
    }

    #[expect(clippy::too_many_arguments, reason = "what a revision needs under the lock, each of its own kind")]
    fn revise_in(
        &self,
        ctx: &Ctx,
        definition: &Definition,
        id: ResourceId,
        revision: &impl Revision,
        precondition: &Precondition,
        sealed: Option<&Sealed>,
        with_members: bool,
        work: &mut Work<'_>,
    ) -> Result<(State, Vec<Planned>), Error> {
        let record = work.record(id)?.filter(|record| record.kind == definition.name());
        let record = record.ok_or_else(|| scim::Error::not_found(definition.name(), &id.to_string()))?;
        precondition.check(record.version)?;
        let external = work.external_of(id, ctx.caller.domain)?;
        let mut notes = Notes::new();
        let next = outcome(definition, &record, external.as_deref(), revision, &mut notes)?;
        let moves = Moves::of(revision.relation(), id, work)?;
        let record = if next.is_changed || !moves.is_empty() {
            let members = moves.deltas(definition, id, work)?;
            work.update(Draft {
                id,
                kind: record.kind.clone(),
                label: next.label,
                secret: secret_of(&record, next.parts.password.as_deref(), sealed)?,
                doc: next.parts.doc,
                members,
                external: (next.parts.external != external).then(|| (ctx.caller.domain, next.parts.external.clone())),
            })?
        } else {
            record
        };
        let state = State {
            external: next.parts.external,
            groups: if has_groups(definition) { work.group_refs_of(&record)? } else { Vec::new() },
            members: if with_members { Some(work.members(id)?) } else { None },
            nesting_seq: work.nesting_seq(),
            record,
        };
        Ok((state, work.changes().to_vec()))
    }

    /// Runs a write, or with `simulate` what would be one.
    pub(super) async fn commit<T, F>(&self, ctx: &Ctx, run: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnMut(&mut Work<'_>) -> Result<T, Error> + Send + 'static,
    {
        let (tenant, origin) = (ctx.tenant, ctx.origin());
        if ctx.simulate {
            self.store.read(move |reader| reader.simulate(tenant, origin, run)).await
        } else {
            self.store.write(tenant, origin, run).await
        }
    }

    pub(super) fn written(
        &self,
        ctx: &Ctx,
        definition: &Definition,
        state: &State,
        projection: &Projection,
        notes: &Notes,
        changes: Vec<Planned>,
    ) -> Result<Written, Error> {
        let (body, etag) = self.present(ctx, definition, state, projection)?;
        let location = Directory::location(ctx, definition, &state.record);
        Ok(Written { etag, location, body, tolerances: notes.iter().collect(), changes })
    }
}

fn outcome(
    definition: &Definition,
    record: &Record,
    external: Option<&str>,
    revision: &impl Revision,
    notes: &mut Notes,
) -> Result<Outcome, Error> {
    let current = put_together(record, external)?;
    let mut parts = take_apart(revision.document(&current, notes)?)?;
    let label = derive(definition, &mut parts.doc)?;
    let before = take_apart(current)?;
    let is_changed = parts.doc != before.doc || parts.external != before.external || parts.password != before.password;
    Ok(Outcome { parts, label, is_changed })
}

/// The secret to store: the one there is, the new one, or none.
fn secret_of(record: &Record, password: Option<&str>, sealed: Option<&Sealed>) -> Result<Option<Vec<u8>>, Error> {
    match (password, sealed) {
        (None, _) => Ok(None),
        (Some(password::KEPT), _) => Ok(record.secret.clone()),
        (Some(clear), Some(sealed)) if sealed.clear == clear => Ok(Some(sealed.hash.clone())),
        // Nothing is hashed under the lock: whoever sends the request again is answered.
        (Some(_), _) => Err(store::Error::Stale.into()),
    }
}

//! What PUT and PATCH share: a resource is read, a revision of it is worked out, and when that differs it is worked
//! out again under the lock and stored.

use std::sync::Arc;

use serde_json::{Map, Value};

use scim::patch::RelationChange;
use scim::resource::{MEMBERS, Notes, Projection};
use scim::schema::Definition;
use store::work::Draft;
use store::{Reader, Record, ResourceId, Work};

use super::derive::derive;
use super::relation::{Moves, ReadMembers, are_few};
use super::render::{State, has_groups};
use super::shape::{Parts, id_of, put_together, take_apart};
use super::{Ctx, Directory, Error, Planned, Precondition, Written, password};

/// A revision: from the document as its client would write it to the one it shall be. Pure, and may run twice.
pub(super) trait Revision: Send + Sync {
    /// The document that shall be.
    fn document(&self, current: &Map<String, Value>, notes: &mut Notes) -> Result<Map<String, Value>, scim::Error>;
    /// What becomes of the members.
    fn relation(&self) -> &[RelationChange];
    /// The passwords in clear that it may set.
    fn passwords(&self) -> Vec<String>;
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

/// What was worked out of a state before the lock. It holds under the lock for the same version.
struct Foreseen {
    state: State,
    outcome: Outcome,
    /// What `state` says, as it is stored.
    document: Arc<Map<String, Value>>,
}

/// A revision of one resource with all done that needs no lock.
pub(super) struct Revising {
    definition: Arc<Definition>,
    id: ResourceId,
    revision: Arc<dyn Revision>,
    precondition: Precondition,
    sealed: Vec<Sealed>,
}

impl Revising {
    /// A revision that sets no password.
    pub(super) fn new(
        definition: Arc<Definition>,
        id: ResourceId,
        revision: Arc<dyn Revision>,
        precondition: Precondition,
    ) -> Self {
        Revising { definition, id, revision, precondition, sealed: Vec::new() }
    }

    /// Carries it out; one that changes nothing leaves the resource as it is. Fails with 404 when there is no such
    /// resource, [`store::Error::Stale`] for another version, and as the revision does.
    pub(super) fn run(&self, ctx: &Ctx, notes: &mut Notes, work: &mut Work<'_>) -> Result<State, Error> {
        self.run_foreseen(ctx, notes, work, None)
    }

    /// The same with what was worked out before the lock: the revision is worked out anew only when the resource is
    /// another one by now.
    fn run_foreseen(
        &self,
        ctx: &Ctx,
        notes: &mut Notes,
        work: &mut Work<'_>,
        foreseen: Option<Foreseen>,
    ) -> Result<State, Error> {
        let (definition, id) = (&self.definition, self.id);
        let record = work.record(id)?.filter(|record| record.kind == definition.name());
        let record = record.ok_or_else(|| scim::Error::not_found(definition.name(), &id.to_string()))?;
        self.precondition.check(record.version)?;
        // Any change of the document, the secret or an external id is another version.
        let foreseen = foreseen.filter(|foreseen| foreseen.state.record.version == record.version);
        let (external, next, known_groups) = match foreseen {
            Some(Foreseen { state, outcome, document }) => {
                work.recall(id, record.version, &document);
                let groups = (state.record.groups_seq, state.nesting_seq, state.groups);
                (state.external, outcome, Some(groups))
            }
            None => {
                let external = work.external_of(id, ctx.caller.domain)?;
                let next = outcome(definition, &record, external.as_deref(), &*self.revision, ctx.now, notes)?;
                (external, next, None)
            }
        };
        let moves = Moves::of(self.revision.relation(), id, work)?;
        let record = if next.is_changed || !moves.is_empty() {
            let members = moves.deltas(definition, id, work)?;
            work.update(Draft {
                id,
                kind: record.kind.clone(),
                label: next.label,
                secret: secret_of(&record, next.parts.password.as_deref(), &self.sealed)?,
                doc: next.parts.doc.into(),
                members,
                external: (next.parts.external != external).then(|| (ctx.caller.domain, next.parts.external.clone())),
            })?
        } else {
            record
        };
        let is_same = |(of, nesting, _): &(i64, i64, _)| *of == record.groups_seq && *nesting == work.nesting_seq();
        let groups = match known_groups.filter(is_same) {
            _ if !has_groups(definition) => Vec::new(),
            Some((.., groups)) => groups,
            None => work.group_refs_of(&record)?,
        };
        Ok(State { external: next.parts.external, groups, members: None, nesting_seq: work.nesting_seq(), record })
    }
}

impl Directory {
    /// Revises a resource. One that ends as it was is answered without a lock, a version or a change row.
    pub(super) async fn revise(
        &self,
        ctx: &Ctx,
        definition: &Arc<Definition>,
        id: &str,
        revision: Arc<dyn Revision>,
        precondition: &Precondition,
        projection: &Projection,
    ) -> Result<Written, Error> {
        let id = id_of(definition.name(), id)?;
        let with_members = projection.wants(MEMBERS) && definition.core.attribute(MEMBERS).is_some();
        let mut notes = Notes::new();

        let (state, members_move) = self.read_state(ctx, definition, id, &revision, with_members).await?;
        precondition.check(state.record.version)?;
        let before = foresee(definition, &state.record, state.external.as_deref(), &*revision, ctx.now, &mut notes);
        ctx.tolerances.take_in(notes.iter());
        let (outcome, document) = before?;
        // What has a key is remembered with the lock, though it changes nothing.
        if !outcome.is_changed && !members_move && ctx.once.is_none() {
            return self.written(ctx, definition, &state, projection, &notes, Vec::new());
        }
        let mut foreseen = Some(Foreseen { state, outcome, document: Arc::new(document) });
        let revising = self.prepare_revising(ctx, definition, id, revision, precondition).await?;
        let (caller, kind) = (ctx.clone(), definition.clone());
        let (state, changes) = self
            .commit(ctx, move |work| {
                // A second time it is worked out from what is there then.
                let state = revising.run_foreseen(&caller, &mut Notes::new(), work, foreseen.take())?;
                conclude(&caller, &kind, state, with_members, work)
            })
            .await?;
        self.written(ctx, definition, &state, projection, &notes, changes)
    }

    /// What of a revision can be done before the lock: its passwords are hashed.
    pub(super) async fn prepare_revising(
        &self,
        ctx: &Ctx,
        definition: &Arc<Definition>,
        id: ResourceId,
        revision: Arc<dyn Revision>,
        precondition: &Precondition,
    ) -> Result<Revising, Error> {
        let mut sealed = Vec::new();
        for clear in revision.passwords() {
            let hash = password::seal(clear.clone(), self.limits.password, &ctx.random).await?;
            sealed.push(Sealed { clear, hash });
        }
        Ok(Revising { definition: definition.clone(), id, revision, precondition: precondition.clone(), sealed })
    }

    /// The state before the revision, and whether the revision would move a member.
    async fn read_state(
        &self,
        ctx: &Ctx,
        definition: &Arc<Definition>,
        id: ResourceId,
        revision: &Arc<dyn Revision>,
        with_members: bool,
    ) -> Result<(State, bool), Error> {
        if !with_members && are_few(revision.relation()) {
            let at_once = self.store.read_here(|reader| {
                let point = reader.point_at_once(ctx.tenant, id, ctx.caller.domain, has_groups(definition))?;
                let Some(point) = point else { return Ok(None) };
                let state = self.visible(ctx, definition, id, point)?;
                Ok::<_, Error>(Some((state, self.would_move(ctx, id, revision, reader)?)))
            });
            if let Some(read) = at_once.transpose()?.flatten() {
                return Ok(read);
            }
        }
        let (directory, caller, kind, revision) = (self.clone(), ctx.clone(), definition.clone(), revision.clone());
        self.store
            .read(move |reader| {
                let mut state = directory.state_of(&caller, &kind, id, reader)?;
                let moves = directory.would_move(&caller, id, &revision, reader)?;
                if with_members && !moves {
                    state.members = Some(reader.all_members(caller.tenant, id)?);
                }
                Ok((state, moves))
            })
            .await
    }

    /// Whether the revision would move a member.
    fn would_move(
        &self,
        ctx: &Ctx,
        id: ResourceId,
        revision: &Arc<dyn Revision>,
        reader: &mut Reader,
    ) -> Result<bool, Error> {
        if revision.relation().is_empty() {
            return Ok(false);
        }
        Ok(!Moves::of(revision.relation(), id, &mut ReadMembers(reader, ctx.tenant))?.is_empty())
    }

    /// Runs a write, or with `simulate` what would be one. `run` remembers what it did for a request with a key; here it
    /// is not run when that was done before, which whoever asks finds out.
    pub(super) async fn commit<T, F>(&self, ctx: &Ctx, mut run: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnMut(&mut Work<'_>) -> Result<T, Error> + Send + 'static,
    {
        let (tenant, origin) = (ctx.tenant, ctx.origin());
        if ctx.simulate {
            return self.store.read(move |reader| reader.simulate(tenant, origin, run)).await;
        }
        if ctx.once.is_none() {
            return self.store.write(tenant, origin, run).await;
        }
        let caller = ctx.clone();
        let once = move |work: &mut Work<'_>| match caller.done_before(work)? {
            Some(_) => Err(store::Error::Stale.into()),
            None => run(work),
        };
        self.store.write(tenant, origin, once).await
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

/// The end of a creation or revision under the lock: the members that the answer shows, and what a retry is told.
pub(super) fn conclude(
    ctx: &Ctx,
    definition: &Definition,
    mut state: State,
    with_members: bool,
    work: &mut Work<'_>,
) -> Result<(State, Vec<Planned>), Error> {
    if with_members {
        state.members = Some(work.members(state.record.id)?);
    }
    // Others wait for the lock: an entity tag that nobody will ask for is not worked out under it.
    if ctx.once.is_some() {
        ctx.remember(work, &Directory::location(ctx, definition, &state.record), Some(&state.etag(ctx)));
    }
    Ok((state, work.changes().to_vec()))
}

fn outcome(
    definition: &Definition,
    record: &Record,
    external: Option<&str>,
    revision: &dyn Revision,
    now: i64,
    notes: &mut Notes,
) -> Result<Outcome, Error> {
    Ok(foresee(definition, record, external, revision, now, notes)?.0)
}

/// What a revision makes of a record, and the record's own document.
fn foresee(
    definition: &Definition,
    record: &Record,
    external: Option<&str>,
    revision: &dyn Revision,
    now: i64,
    notes: &mut Notes,
) -> Result<(Outcome, Map<String, Value>), Error> {
    let current = put_together(record, external)?;
    let mut parts = take_apart(revision.document(&current, notes)?)?;
    let label = derive(definition, &mut parts.doc, now)?;
    let before = take_apart(current)?;
    let is_changed = parts.doc != before.doc || parts.external != before.external || parts.password != before.password;
    Ok((Outcome { parts, label, is_changed }, before.doc))
}

/// The secret to store: the one there is, the new one, or none.
fn secret_of(record: &Record, password: Option<&str>, sealed: &[Sealed]) -> Result<Option<Vec<u8>>, Error> {
    match password {
        None => Ok(None),
        Some(password::KEPT) => Ok(record.secret.clone()),
        Some(clear) => match sealed.iter().find(|sealed| sealed.clear == clear) {
            Some(sealed) => Ok(Some(sealed.hash.clone())),
            // Nothing is hashed under the lock: whoever sends the request again is answered.
            None => Err(store::Error::Stale.into()),
        },
    }
}

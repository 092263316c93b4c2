//! What PUT and PATCH share: a resource is read, a revision of it is worked out, and when that differs it is worked
//! out again under the lock and stored.

use std::sync::Arc;

use serde_json::{Map, Value};

use provisioning::sources::Site;
use scim::authority::Absence;
use scim::patch::RelationChange;
use scim::resource::{MEMBERS, Notes, Projection, equals, label};
use scim::schema::{Definition, Registry};
use scim::view::{View, write_back};
use store::secret::Secrets;
use store::work::{Draft, plain_text_of};
use store::{Eyes, GroupRef, Reader, Reading, Record, ResourceId, Work};

use super::commit::{Extent, conclude};
use super::derive::derive;
use super::relation::{Members, Moves, SeenMembers, are_few};
use super::render::{State, has_groups};
use super::secret::Sealer;
use super::shape::{Parts, id_of, put_together, take_apart};
use super::{Ctx, Directory, Error, Precondition, Written, particular, password, persons, rules, settle, views};

/// A revision: from the document as its client would write it to the one it shall be. Pure, and may run twice.
pub(super) trait Revision: Send + Sync {
    /// The document that shall be.
    fn document(&self, current: &Map<String, Value>, notes: &mut Notes) -> Result<Map<String, Value>, scim::Error>;
    /// What becomes of the members.
    fn relation(&self) -> &[RelationChange];
    /// The passwords in clear that it may set.
    fn passwords(&self) -> Vec<String>;
    /// Whether members may come or go by it; `false`: they stay, whatever [`Revision::relation`] says. Asked only where one
    /// would.
    fn admits_moves(&self) -> Result<bool, scim::Error> {
        Ok(true)
    }
    /// What it means that a value is not in the document that shall be.
    fn absence(&self) -> Absence {
        Absence::Removal
    }
    /// Whether it speaks of a place by name, so that it says what is there even if that is there already.
    fn names(&self, _: &Site) -> bool {
        false
    }
    /// The names that its body says, where its client leaves names to a policy.
    fn wished(&self) -> Option<&Map<String, Value>> {
        None
    }
    /// Whether there are places that it names.
    fn is_explicit(&self) -> bool {
        false
    }
}

/// What a revision makes of a record.
struct Outcome {
    /// What is stored.
    doc: Arc<Map<String, Value>>,
    /// What leaves the document before that; its own is empty.
    parts: Parts,
    label: String,
    is_changed: bool,
    /// Whether its external id or its password is another one.
    is_changed_beside: bool,
}

impl Outcome {
    /// Works out what is derived of a User: what its caller wrote there has no effect.
    fn settle(
        &mut self,
        ctx: &Ctx,
        work: &mut Work<'_>,
        of: (&Definition, ResourceId),
        (before, revision): (&Map<String, Value>, &dyn Revision),
    ) -> Result<settle::Follow, Error> {
        let (absence, wished) = (revision.absence(), revision.wished());
        let voice = settle::Voice { absence, names: &|site| revision.names(site), number: None, wished };
        let follow = settle::settle(ctx, work, of, Some(before), Arc::make_mut(&mut self.doc), &voice)?;
        self.label = label(&self.doc);
        self.is_changed = self.is_changed_beside || !equals(&self.doc, before);
        Ok(follow)
    }
}

/// A password that was hashed before the lock was taken.
struct Sealed {
    clear: String,
    hash: Vec<u8>,
}

/// A document as it is stored, and what lies sealed beside it.
type Sealing = (Arc<Map<String, Value>>, Option<Vec<u8>>);

/// What was worked out of a state before the lock. It holds under the lock for the same version.
struct Foreseen {
    state: State,
    outcome: Outcome,
    /// What `state` says, as it is stored.
    document: Arc<Map<String, Value>>,
    /// The text of the document that shall be, if nothing of it is sealed.
    text: Option<Arc<String>>,
}

/// A revision of one resource with all done that needs no lock.
pub(super) struct Revising {
    definition: Arc<Definition>,
    id: ResourceId,
    revision: Arc<dyn Revision>,
    precondition: Precondition,
    sealed: Vec<Sealed>,
    sealer: Option<Sealer>,
}

impl Revising {
    /// A revision that sets no password.
    pub(super) fn new(
        definition: Arc<Definition>,
        id: ResourceId,
        revision: Arc<dyn Revision>,
        precondition: Precondition,
    ) -> Self {
        Revising { definition, id, revision, precondition, sealed: Vec::new(), sealer: None }
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
        let absent = || scim::Error::not_found(definition.name(), &id.to_string());
        let record = record.ok_or_else(absent)?;
        // Any change of the document, the secret or an external id is another version; secrets are sealed anew without.
        let foreseen = foreseen.filter(|foreseen| {
            foreseen.state.record.version == record.version && foreseen.state.record.secret == record.secret
        });
        let mut known = None;
        if foreseen.is_none() && !ctx.views.are_everything() {
            let state = known.insert(State::under_lock(ctx, definition, record.clone(), work)?);
            if !state.is_seen(ctx, definition, work)? {
                return Err(absent().into());
            }
        }
        self.precondition.check(record.version)?;
        let (external, mut next, before, known_groups) = match foreseen {
            Some(Foreseen { state, outcome, document, text }) => {
                work.recall(id, record.version, &document);
                // Where more becomes of the document, it would be copied only to be another one.
                if let Some(text) = text.filter(|_| !settle::follows(definition, work)) {
                    work.foretell(&outcome.doc, &text);
                }
                let groups = (state.record.groups_seq, state.nesting_seq, (state.groups, state.in_groups));
                (state.external, outcome, document, Some(groups))
            }
            None => {
                let state = match known {
                    Some(state) => state,
                    None => {
                        let external = work.external_of(id, ctx.caller.domain)?;
                        State::new(record.clone(), external, Vec::new(), work.nesting_seq())
                    }
                };
                let registry = work.catalog().registry().clone();
                let (next, document) =
                    foresee(ctx, &registry, definition, &state, &*self.revision, self.sealer.as_ref(), notes)?;
                (state.external, next, Arc::new(document), None)
            }
        };
        let secrets = Secrets::read(record.secret.as_deref())?;
        let domain = next.parts.external.as_ref().map(|_| ctx.caller.domain);
        let sealer = self.sealer.as_ref();
        let claim =
            settle::Claim { kind: definition.name(), id, before: Some(&before), secrets: &secrets, sealer, domain };
        let sharing = claim.look(work, &next.doc)?;
        let mut follow = match settle::follows(definition, work) {
            true => Some(next.settle(ctx, work, (definition, id), (&before, &*self.revision))?),
            false => None,
        };
        let known_as = next.parts.external.as_deref();
        let write = particular::Write { ctx, definition, id, before: Some(&record), external: known_as };
        let particular = match particular::of(definition).filter(|_| next.is_changed) {
            Some(attend) => attend(&write, Some(Arc::make_mut(&mut next.doc)), work)?,
            None => None,
        };
        let moves = moves_of(ctx, &*self.revision, id, work)?;
        let moves = admitted(&*self.revision, moves)?;
        let mut members = match next.is_changed || !moves.is_empty() {
            true => moves.deltas(ctx, definition, id, work)?,
            false => Vec::new(),
        };
        rules::keep_ruled(ctx, id, self.revision.relation(), &mut members, work)?;
        let over = claim.check(work, &next.doc, &sharing)?;
        let mut written = None;
        if next.is_changed || !members.is_empty() {
            let (mut doc, secret) = self.seal(work, &record, next.doc, next.parts.password.as_deref())?;
            if persons::concern(&record.kind, work) {
                let is_linked = persons::settle(ctx, work, id, Some(&before), Arc::make_mut(&mut doc))?;
                follow.iter_mut().filter(|_| is_linked).for_each(|follow| follow.look_again(Some(ctx.now)));
                if let Some(follow) = &mut follow {
                    settle::choose(ctx, work, id, Arc::make_mut(&mut doc), follow)?;
                }
            }
            settle::claim_addresses(work, (&record.kind, id), Some(&before), &doc)?;
            views::note_in_shared(ctx.now, work, (&record.kind, id), &mut doc)?;
            let record = work.update(Draft {
                id,
                kind: record.kind.clone(),
                label: next.label,
                secret,
                doc,
                members,
                external: (next.parts.external != external).then(|| (ctx.caller.domain, next.parts.external.clone())),
            })?;
            if let Some(follow) = particular {
                follow(&write, Some(&record), work)?;
            }
            written = Some(record);
        }
        if let Some(follow) = follow.as_mut().filter(|_| written.is_none() && definition.name() == settle::USER) {
            // Nothing of it changes, but when it does next is asked for anew.
            settle::choose(ctx, work, id, &mut Map::clone(&before), follow)?;
        }
        let mut record = written.unwrap_or(record);
        if let Some(follow) = follow {
            settle::follow(ctx, work, id, follow)?;
            settle::review(ctx, work, id, &over)?;
            record = work.record(id)?.unwrap_or(record);
        }
        let is_same = |(of, nesting, _): &(i64, i64, (Vec<GroupRef>, bool))| {
            *of == record.groups_seq && *nesting == work.nesting_seq()
        };
        let (groups, in_groups) = match known_groups.filter(is_same) {
            _ if !has_groups(definition) => (Vec::new(), false),
            Some((.., known)) => known,
            None => {
                let groups = work.group_refs_of(&record)?;
                let in_groups = !groups.is_empty();
                (groups, in_groups)
            }
        };
        let state = State::new(record, next.parts.external, groups, work.nesting_seq());
        Ok(State { in_groups, ..state })
    }
}

impl Revising {
    /// The document as it is stored, and what lies sealed beside it.
    fn seal(
        &self,
        work: &mut Work<'_>,
        record: &Record,
        doc: Arc<Map<String, Value>>,
        password: Option<&str>,
    ) -> Result<Sealing, Error> {
        let before = Secrets::read(record.secret.as_deref())?;
        let password = match password {
            None => None,
            Some(password::KEPT) => before.password.clone(),
            Some(clear) => match self.sealed.iter().find(|sealed| sealed.clear == clear) {
                Some(sealed) => Secrets::read(Some(&sealed.hash))?.password,
                // Nothing is hashed under the lock: whoever sends the request again is answered.
                None => return Err(store::Error::Stale.into()),
            },
        };
        match &self.sealer {
            Some(sealer) => {
                let (doc, secret) = sealer.seal(work, record.id, &doc, &before, password)?;
                Ok((doc.into_owned().into(), secret))
            }
            // Nothing of it is secret, or nothing that is secret is touched.
            None => Ok((doc, Secrets { password, ..before }.bytes()?)),
        }
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

        let sealer = self.sealer(ctx, definition).await?;
        let (state, members_move) = self.read_state(ctx, definition, id, &revision, with_members).await?;
        precondition.check(state.record.version)?;
        let registry = self.registry_of(ctx.tenant);
        let before = foresee(ctx, &registry, definition, &state, &*revision, sealer.as_ref(), &mut notes);
        ctx.tolerances.take_in(notes.iter());
        let (outcome, document) = before?;
        // What has a key is remembered with the lock, though it changes nothing; and so is what a source says by name.
        let says_names = revision.wished().is_some_and(|names| !names.is_empty());
        let may_say = (says_names || (revision.is_explicit() && self.has_authorities(ctx.tenant)))
            && definition.extension(provisioning::sources::URN).is_some();
        if !outcome.is_changed && !members_move && !may_say && ctx.once.is_none() {
            let written = self.written(ctx, definition, &state, projection, &notes, Vec::new())?;
            // No change tells of it.
            self.remember_released(ctx, "read").await?;
            return Ok(written);
        }
        let extent = Extent::of(definition, !with_members && are_few(revision.relation()));
        let revising = self.prepare_revising(ctx, definition, id, revision, precondition).await?;
        let text = if revising.sealer.is_none() { Some(plain_text_of(&outcome.doc)?) } else { None };
        let before = Arc::new(document);
        let mut foreseen = Some(Foreseen { state, outcome, document: before.clone(), text });
        let (caller, kind) = (ctx.clone(), definition.clone());
        let (state, changes) = self
            .commit_of(extent, ctx, move |work| {
                // A second time it is worked out from what is there then.
                let state = revising.run_foreseen(&caller, &mut Notes::new(), work, foreseen.take())?;
                conclude(&caller, &kind, state, with_members, work)
            })
            .await?;
        // Let go of here: under the lock it would keep others waiting.
        drop(before);
        self.remember_keys(ctx, definition, projection).await;
        let written = self.written(ctx, definition, &state, projection, &notes, changes)?;
        self.remember_named(ctx).await?;
        Ok(written)
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
        let sealer = self.sealer(ctx, definition).await?;
        Ok(Revising {
            definition: definition.clone(),
            id,
            revision,
            precondition: precondition.clone(),
            sealed,
            sealer,
        })
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
                let state = self.visible(ctx, definition, id, point, reader)?;
                Ok::<_, Error>(Some((state, self.would_move(ctx, id, revision, reader)?)))
            });
            if let Some(read) = at_once.transpose()?.flatten() {
                return Ok(read);
            }
        }
        let (directory, caller, kind, revision) = (self.clone(), ctx.clone(), definition.clone(), revision.clone());
        self.store
            .read_for(ctx.tenant, move |reader| {
                let mut state = directory.state_of(&caller, &kind, id, reader)?;
                let moves = directory.would_move(&caller, id, &revision, reader)?;
                if with_members && !moves {
                    state.members = Some(SeenMembers(&mut Reading(reader, caller.tenant), &caller).all(id)?);
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
        let moves = moves_of(ctx, &**revision, id, &mut Reading(reader, ctx.tenant))?;
        Ok(!admitted(&**revision, moves)?.is_empty())
    }
}

/// Who comes and goes by a revision, of those whom its caller sees and may move.
fn moves_of<M: Members + Eyes>(
    ctx: &Ctx,
    revision: &dyn Revision,
    group: ResourceId,
    members: &mut M,
) -> Result<Moves, Error> {
    let (changes, mut seen) = (revision.relation(), SeenMembers(members, ctx));
    Moves::of(changes, group, &mut seen)?.of_caller(ctx, changes, group, &mut seen)
}

/// The moves, if the revision may make any.
fn admitted(revision: &dyn Revision, moves: Moves) -> Result<Moves, scim::Error> {
    Ok(if moves.is_empty() || revision.admits_moves()? { moves } else { Moves::default() })
}

/// What was not shown cannot have been meant, and what lies there is not to be found out by writing over it.
fn refuse_masked(path: &str) -> scim::Error {
    let detail = format!(
        "This client may not write {path} of this resource: its view masks people who are protected. Nothing was changed."
    );
    scim::Error::status(403, detail)
}

/// What a revision makes of a resource, and the resource's own document. What its caller does not see stays.
fn foresee(
    ctx: &Ctx,
    registry: &Registry,
    definition: &Definition,
    state: &State,
    revision: &dyn Revision,
    sealer: Option<&Sealer>,
    notes: &mut Notes,
) -> Result<(Outcome, Map<String, Value>), Error> {
    let current = put_together(&state.record, state.external.as_deref())?;
    // What its caller believes to have changed is another version, even if it happens to write what lies there unseen.
    let mut is_changed = false;
    let next = match state.seen(ctx, definition) {
        None => revision.document(&current, notes)?,
        Some(mut seen) => {
            let view = ctx.view(definition);
            view.fill(definition, &current, &mut seen);
            let mut next = revision.document(&seen, notes)?;
            [&mut seen, &mut next].into_iter().for_each(View::clear);
            is_changed = next != seen;
            if let Some(path) = view.unseen(&current, &next) {
                return Err(refuse_masked(&path).into());
            }
            view.leave_unwritten(&current, &mut seen, &mut next);
            // What is shown in another form was not written: it stays what it is.
            for mapping in view.mappings() {
                for document in [&mut seen, &mut next] {
                    match current.get(mapping.path()) {
                        Some(own) => drop(document.insert(mapping.path().to_owned(), own.clone())),
                        None => drop(document.shift_remove(mapping.path())),
                    }
                }
            }
            write_back(definition, &current, &seen, next)?
        }
    };
    let mut parts = take_apart(next)?;
    let label = derive(registry, definition, &mut parts.doc, Some(&current), ctx.now)?;
    if let Some(sealer) = sealer {
        sealer.recognise(&state.record, &mut parts.doc)?;
    }
    let before = take_apart(current)?;
    if definition.name() == settle::RULE {
        rules::stamp(ctx, Some(&before.doc), &mut parts.doc)?;
    }
    let is_changed_beside = parts.external != before.external || parts.password != before.password;
    is_changed |= is_changed_beside || !equals(&parts.doc, &before.doc);
    let doc = Arc::new(std::mem::take(&mut parts.doc));
    Ok((Outcome { doc, parts, label, is_changed, is_changed_beside }, before.doc))
}

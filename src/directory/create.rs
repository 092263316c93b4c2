//! POST: a new resource (RFC 7644 section 3.3).

use std::sync::Arc;

use serde_json::{Map, Value};

use provisioning::person;
use scim::authority::Absence;
use scim::patch::RelationChange;
use scim::resource::{MEMBERS, Notes, Projection, check_new, label, normalise, validate};
use scim::schema::Definition;
use store::secret::Secrets;
use store::work::{Draft, document_of, plain_text_of};
use store::{Record, ResourceId, Work};

use super::audit::note_protected;
use super::commit::{Extent, conclude};
use super::derive::derive;
use super::membership::is_membership;
use super::relation::{Moves, Nobody, are_few};
use super::render::State;
use super::secret::Sealer;
use super::shape::take_apart;
use super::{Ctx, Directory, Error, Written, particular, password, persons, rules, settle, simulations, views};

/// A creation with all done that needs no lock.
pub(super) struct Creation {
    definition: Arc<Definition>,
    /// The members are worked out under the lock.
    draft: Draft,
    /// The text of its document, if nothing of it is sealed.
    text: Option<Arc<String>>,
    sealer: Option<Sealer>,
    relation: Vec<RelationChange>,
    /// The names that its client says, where it leaves names to a policy.
    wished: Option<Map<String, Value>>,
    /// What is kept sealed beside it, by place.
    enclosed: Vec<(i64, Vec<u8>)>,
}

impl Creation {
    /// One that comes back as it was, under the id that it had.
    pub(super) fn again(definition: Arc<Definition>, draft: Draft) -> Self {
        Creation {
            definition,
            draft,
            text: None,
            sealer: None,
            relation: Vec::new(),
            wished: None,
            enclosed: Vec::new(),
        }
    }

    /// Carries it out. Fails with 409 uniqueness for a value that is taken, 400 for a member that cannot be one, and as
    /// denied when its caller would not see it.
    pub(super) fn run(&self, ctx: &Ctx, work: &mut Work<'_>) -> Result<State, Error> {
        let id = self.draft.id;
        let none = Secrets::default();
        let domain = self.draft.external.as_ref().map(|(domain, _)| *domain);
        let claim = settle::Claim {
            kind: &self.draft.kind,
            id,
            before: None,
            secrets: &none,
            sealer: self.sealer.as_ref(),
            domain,
        };
        let marks = claim.marks(work, &self.draft.doc)?;
        let sharing = claim.sharing(work, &self.draft.doc, marks.as_ref())?;
        let mut unclear = Vec::new();
        if settle::concerns(&self.draft.kind, work) {
            let has_number = marks.as_ref().is_some_and(|marks| marks.is_hard);
            match settle::returning(ctx, work, &self.definition, &self.draft, (has_number, &sharing))? {
                settle::Return::Nobodys => {}
                settle::Return::Back(record) => return self.bring_back(ctx, &record, false, work),
                settle::Return::Joins(record) => return self.bring_back(ctx, &record, true, work),
                settle::Return::Unclear(ids) => unclear = ids,
            }
        }
        claim.recall(work, &sharing)?;
        settle::refuse_nameless(ctx, self.definition.name(), work)?;
        let moves = Moves::of(&self.relation, id, &mut Nobody)?;
        let members = moves.deltas(ctx, &self.definition, id, work)?;
        rules::note_source(ctx, id, &members, work);
        let mut draft = Draft { members, ..self.draft.clone() };
        let external = draft.external.as_ref().and_then(|(_, external)| external.clone());
        let write =
            particular::Write { ctx, definition: &self.definition, id, before: None, external: external.as_deref() };
        let particular = match particular::of(&self.definition) {
            Some(attend) => attend(&write, Some(Arc::make_mut(&mut draft.doc)), work)?,
            None => None,
        };
        let mut follow = match settle::follows(&self.definition, work) {
            true => {
                let number = marks.as_ref().and_then(|marks| marks.tokens.last().cloned());
                let document = Arc::make_mut(&mut draft.doc);
                let (absence, wished) = (Absence::Silence, self.wished.as_ref());
                let voice = settle::Voice { absence, names: &|_| true, number, wished };
                let follow = settle::settle(ctx, work, (&self.definition, id), None, document, &voice)?;
                draft.label = label(document);
                Some(follow)
            }
            false => None,
        };
        unclear.extend(claim.check(work, &draft.doc, &sharing)?);
        if let Some(sealer) = &self.sealer {
            let password = Secrets::read(draft.secret.as_deref())?.password;
            let (doc, secret) = sealer.seal(work, id, &draft.doc, &Secrets::default(), password)?;
            (draft.doc, draft.secret) = (Arc::new(doc.into_owned()), secret);
        }
        if persons::concern(&draft.kind, work) {
            let is_linked = persons::settle(ctx, work, id, None, Arc::make_mut(&mut draft.doc))?;
            follow.iter_mut().filter(|_| is_linked).for_each(|follow| follow.look_again(Some(ctx.now)));
            if let Some(follow) = &mut follow {
                settle::choose(ctx, work, id, Arc::make_mut(&mut draft.doc), follow)?;
            }
        }
        note_protected(work, &draft.kind, &draft.doc)?;
        settle::claim_addresses(work, (&draft.kind, id), None, &draft.doc)?;
        if let Some(text) = &self.text {
            work.foretell(&self.draft.doc, text);
        }
        let mut record = work.create(draft)?;
        for (place, sealed) in &self.enclosed {
            work.put_run_item(id, simulations::ENCLOSED, *place, sealed.clone());
        }
        if let Some(follow) = particular {
            follow(&write, Some(&record), work)?;
        }
        let mut groups = Vec::new();
        if let Some(follow) = follow {
            settle::follow(ctx, work, id, follow)?;
            record = work.record(id)?.unwrap_or(record);
            groups = work.group_refs_of(&record)?;
        }
        settle::review(ctx, work, id, &unclear)?;
        let mut state = State::new(record, external, groups, work.nesting_seq());
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

    /// Gives a source the account again that it had withdrawn or that was over, under the id that it had. `joins`: it is one
    /// that others have entered, and is fed by this source too.
    fn bring_back(&self, ctx: &Ctx, record: &Record, joins: bool, work: &mut Work<'_>) -> Result<State, Error> {
        let id = record.id;
        let before = document_of(record)?;
        let mut written = Map::clone(&self.draft.doc);
        if let Some(sealer) = &self.sealer {
            sealer.recognise(record, &mut written)?;
        }
        if ctx.caller.generates_names {
            // What stands in the place of names here is no name.
            for name in ["userName", "emails"] {
                written.shift_remove(name);
            }
        }
        let mut document = match joins {
            true => settle::filled(&before, &written),
            false => settle::merged(&before, &written),
        };
        let secrets = Secrets::read(record.secret.as_deref())?;
        let domain = self.draft.external.as_ref().map(|(domain, _)| *domain);
        let sealer = self.sealer.as_ref();
        let claim =
            settle::Claim { kind: &self.draft.kind, id, before: Some(&before), secrets: &secrets, sealer, domain };
        let sharing = claim.look(work, &document)?;
        let mut follow = settle::bring_back(ctx, work, id, &before, (&written, self.wished.as_ref()), &mut document)?;
        let over = claim.check(work, &document, &sharing)?;
        let password = Secrets::read(self.draft.secret.as_deref())?.password.or_else(|| secrets.password.clone());
        let label = label(&document);
        let (mut doc, secret) = match &self.sealer {
            Some(sealer) => {
                let (doc, secret) = sealer.seal(work, id, &document, &secrets, password)?;
                (doc.into_owned(), secret)
            }
            None => (document, Secrets { password, ..secrets }.bytes()?),
        };
        let (kind, external) = (record.kind.clone(), self.draft.external.clone());
        if persons::concern(&kind, work) {
            let is_linked = persons::settle(ctx, work, id, Some(&before), &mut doc)?;
            follow.look_again(is_linked.then_some(ctx.now));
            settle::choose(ctx, work, id, &mut doc, &mut follow)?;
        }
        settle::claim_addresses(work, (&kind, id), Some(&before), &doc)?;
        views::note(ctx.now, work, (&kind, id), &mut doc)?;
        work.update(Draft { id, kind, label, doc: doc.into(), secret, members: Vec::new(), external })?;
        settle::follow(ctx, work, id, follow)?;
        settle::review(ctx, work, id, &over)?;
        let record = work.record(id)?.ok_or(store::Error::NotFound)?;
        let groups = work.group_refs_of(&record)?;
        let external = work.external_of(id, ctx.caller.domain)?;
        Ok(State::new(record, external, groups, work.nesting_seq()))
    }

    /// The document as it was asked for.
    pub(super) fn document(&self) -> &Map<String, Value> {
        &self.draft.doc
    }

    /// What stands for its identity number in documents, under every key that is valid; nothing for a school's temporary one.
    pub(super) fn number_tokens(&self, work: &mut Work<'_>) -> Result<Vec<String>, Error> {
        let sealer = self.sealer.as_ref();
        let marks = sealer.map(|sealer| sealer.marks(work, self.draft.id, &self.draft.doc, &Secrets::default()));
        let marks = marks.transpose()?.flatten().filter(|marks| marks.is_hard);
        Ok(marks.map(|marks| marks.tokens).unwrap_or_default())
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
        let (caller, kind, document) = (ctx.clone(), definition.clone(), creation.draft.doc.clone());
        let extent = Extent::of(definition, are_few(&creation.relation));
        let (state, changes) = self
            .commit_of(extent, ctx, move |work| {
                let state = creation.run(&caller, work)?;
                conclude(&caller, &kind, state, with_members, work)
            })
            .await?;
        // Let go of here: under the lock it would keep others waiting.
        drop(document);
        self.note_policy(ctx.tenant, definition);
        self.remember_keys(ctx, definition, projection).await;
        let written = self.written(ctx, definition, &state, projection, &notes, changes)?;
        self.remember_named(ctx).await?;
        Ok(written)
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
        let wished = settle::wished::of(ctx, definition.name(), body);
        let body = settle::body(ctx, definition.name(), body, None, &id.to_string());
        let body = simulations::body(definition, body);
        let document = validate(&ctx.views.narrow(definition), &body, ctx.caller.profile.strictness(), notes)?;
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
        let label = derive(&self.registry_of(ctx.tenant), definition, &mut parts.doc, None, ctx.now)?;
        if definition.name() == settle::RULE {
            rules::stamp(ctx, None, &mut parts.doc)?;
        }
        place(ctx, definition, &mut parts.doc);
        let enclosed = self.enclosed(ctx, definition, id, &mut parts.doc).await?;
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
        let text = if sealer.is_none() { Some(plain_text_of(&draft.doc)?) } else { None };
        Ok(Creation { definition: definition.clone(), draft, text, sealer, relation, wished, enclosed })
    }
}

/// Says in which account domain a new User is: that of the client that creates it.
fn place(ctx: &Ctx, definition: &Definition, document: &mut Map<String, Value>) {
    let Some(domain) = &ctx.caller.account_domain else { return };
    if definition.name() != person::USER || definition.extension(person::URN).is_none() {
        return;
    }
    let extension = document.entry(person::URN).or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(fields) = extension {
        fields.insert("accountDomain".into(), (**domain).into());
    }
    normalise(definition, document);
}

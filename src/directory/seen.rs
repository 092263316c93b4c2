//! What of a resource its caller sees, beyond what the view says of the resource alone: whether it is there at all, and
//! what leads from it to others. The same before the lock and under it.

use serde_json::{Map, Value};

use scim::resource::MEMBERS;
use scim::schema::Definition;
use scim::view::{Text, View};
use store::{Derived, Eyes, Record, Relations, ResourceId, Seen, Sight, Work, assemble, look, veil, veil_derived};

use super::render::{State, has_groups, has_plain_relations};
use super::{Ctx, Error, password};

impl Ctx {
    /// How the caller looks at the register.
    pub(super) fn sight(&self) -> Sight {
        Sight { views: self.views.clone(), domain: self.caller.domain, base_url: self.base_url.clone() }
    }

    /// Which of these resources the caller sees.
    pub(super) fn look(&self, eyes: &mut impl Eyes, ids: &[ResourceId]) -> Result<Seen, Error> {
        Ok(look(eyes, &self.sight(), ids)?)
    }
}

impl State {
    /// A resource as it is under the lock.
    pub(super) fn under_lock(
        ctx: &Ctx,
        definition: &Definition,
        record: Record,
        work: &mut Work<'_>,
    ) -> Result<Self, Error> {
        let external = work.external_of(record.id, ctx.caller.domain)?;
        let groups = if has_groups(definition) { work.group_refs_of(&record)? } else { Vec::new() };
        Ok(State::new(record, external, groups, work.nesting_seq()))
    }

    /// Whether the caller sees the resource. If so, and if anything of it is hidden, what is seen of it is kept beside it,
    /// without members.
    pub(super) fn is_seen(&mut self, ctx: &Ctx, definition: &Definition, eyes: &mut impl Eyes) -> Result<bool, Error> {
        let view = ctx.view(definition);
        let is_open = view.is_whole() && view.references().is_empty();
        if ctx.views.are_everything() || (is_open && view.filter().is_none()) {
            return Ok(true);
        }
        if view.is_nothing() {
            return Ok(false);
        }
        if has_plain_relations(view)
            && let Some(is_seen) = self.is_seen_by_text(ctx, view, eyes)?
        {
            return Ok(is_seen);
        }
        let by_members = view
            .filter()
            .is_some_and(|filter| filter.attributes().iter().any(|path| path.split('.').next() == Some(MEMBERS)));
        let members = if by_members { Some(eyes.members(self.record.id)?) } else { None };
        let etag = self.etag(ctx);
        let derived = Derived {
            base_url: &ctx.base_url,
            external: self.external.as_deref(),
            groups: has_groups(definition).then_some(&self.groups),
            members: members.as_deref(),
            member_names: true,
            etag: &etag,
        };
        let mut document = assemble(&self.record, &derived, &eyes.registry())?;
        if !view.admits(&document) {
            return Ok(false);
        }
        if !is_open {
            document.shift_remove(MEMBERS);
            self.keep(ctx, definition, document, eyes)?;
        }
        Ok(true)
    }

    /// The same by the text of the stored document, without making a document of it; `None`: that does not tell.
    fn is_seen_by_text(&mut self, ctx: &Ctx, view: &View, eyes: &mut impl Eyes) -> Result<Option<bool>, Error> {
        let doc = &self.record.doc;
        if view.references().iter().any(|reference| !reference.is_derived() && reference.may_be_in(doc)) {
            return Ok(None);
        }
        let is_part = !view.is_whole();
        if is_part || view.filter().is_some() {
            let text = Text::read(doc).map_err(|error| store::Error::Corrupt(error.to_string()))?;
            match view.admits_text(&text) {
                Some(true) => {}
                told => return Ok(told),
            }
            let shown = if is_part { view.project_text(&text) } else { None };
            if is_part && shown.is_none() {
                return Ok(None);
            }
            self.text = shown;
        }
        let relations = Relations { groups: Some(&mut self.groups), members: None };
        veil_derived(eyes, &ctx.sight(), view, &mut [relations])?;
        Ok(Some(true))
    }

    /// Keeps what the caller sees of a resource that it has written, whether it still sees it or not.
    pub(super) fn show(&mut self, ctx: &Ctx, definition: &Definition, eyes: &mut impl Eyes) -> Result<(), Error> {
        let view = ctx.view(definition);
        if view.is_whole() && view.references().is_empty() {
            return Ok(());
        }
        let etag = self.etag(ctx);
        let derived = Derived {
            base_url: &ctx.base_url,
            external: self.external.as_deref(),
            groups: has_groups(definition).then_some(&self.groups),
            members: None,
            member_names: false,
            etag: &etag,
        };
        let document = assemble(&self.record, &derived, &eyes.registry())?;
        self.keep(ctx, definition, document, eyes)
    }

    fn keep(
        &mut self,
        ctx: &Ctx,
        definition: &Definition,
        mut document: Map<String, Value>,
        eyes: &mut impl Eyes,
    ) -> Result<(), Error> {
        let view = ctx.view(definition);
        veil(eyes, &ctx.sight(), view, &mut [&mut document])?;
        view.project(&mut document);
        self.document = Some(document);
        Ok(())
    }

    /// The document as the caller would write it, as far as it sees it; `None`: it sees all of it.
    pub(super) fn seen(&self, ctx: &Ctx, definition: &Definition) -> Option<Map<String, Value>> {
        let mut seen = match (&self.document, &self.text) {
            (Some(document), _) => document.clone(),
            (None, Some(text)) => {
                let mut seen: Map<String, Value> = serde_json::from_str(text).ok()?;
                if let Some(external) = self.external.as_deref().filter(|_| ctx.view(definition).sees_all("externalId"))
                {
                    seen.insert("externalId".into(), external.into());
                }
                seen
            }
            (None, None) => return None,
        };
        for derived in ["id", "meta", "groups"] {
            seen.shift_remove(derived);
        }
        if self.record.secret.is_some() && ctx.view(definition).sees_all(password::SLOT) {
            seen.insert(password::SLOT.into(), password::KEPT.into());
        }
        Some(seen)
    }
}

//! The answer: a resource as JSON text, as far as the view and the projection release it. Where both release all of
//! it, the stored text is passed through unparsed.

use scim::resource::{MEMBERS, Projection};
use scim::schema::{Definition, Registry};
use scim::view::{Text, View};
use serde_json::{Map, Value};
use store::roll::{Roll, Slices};
use store::scan::Hit;
use store::{Derived, GroupRef, MemberRef, Record, Seq, Shown, assemble, etag, members_of, render, render_as};
use uuid::Uuid;

use super::{Ctx, Directory, Error, Planned};

/// Whether resources of the type show the groups they are in.
pub(super) fn has_groups(definition: &Definition) -> bool {
    definition.core.attribute("groups").is_some()
}

/// Whether what is derived of other resources is seen whole or not at all, so that no document has to be taken apart for it.
pub(super) fn has_plain_relations(view: &View) -> bool {
    ["groups", MEMBERS].into_iter().all(|name| view.sees_all(name) || !view.sees(name))
}

/// A write that was carried out, or would have been.
#[derive(Clone, Debug)]
pub struct Written {
    /// `meta.version` and `ETag`.
    pub etag: String,
    /// `meta.location` and `Location`.
    pub location: String,
    /// The resource after projection, JSON.
    pub body: String,
    /// Tolerances that the request made use of.
    pub tolerances: Vec<&'static str>,
    /// The changes that were made, in order; with `simulate` those that would be. None: nothing changed.
    pub changes: Vec<Planned>,
}

/// A record with what is derived of it.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) record: Record,
    pub(super) external: Option<String>,
    /// The groups it is in, as far as its caller sees them once [`State::is_seen`] has been asked.
    pub(super) groups: Vec<GroupRef>,
    /// Whether it is in any group at all.
    pub(super) in_groups: bool,
    pub(super) members: Option<Vec<MemberRef>>,
    pub(super) nesting_seq: Seq,
    /// What its caller sees of it, without members, if that is not all; see [`State::is_seen`].
    pub(super) document: Option<Map<String, Value>>,
    /// The stored document as far as its caller sees it, where that is all there is to hide.
    pub(super) text: Option<String>,
}

impl State {
    /// A record with what is derived of it, as it lies.
    pub(super) fn new(record: Record, external: Option<String>, groups: Vec<GroupRef>, nesting_seq: Seq) -> Self {
        let in_groups = !groups.is_empty();
        State { record, external, groups, in_groups, members: None, nesting_seq, document: None, text: None }
    }

    /// `meta.version` for the caller.
    pub(super) fn etag(&self, ctx: &Ctx) -> String {
        etag(&self.record, self.in_groups, self.nesting_seq, ctx.lens())
    }
}

impl Directory {
    /// The resource as JSON text and its entity tag.
    pub(super) fn present(
        &self,
        ctx: &Ctx,
        definition: &Definition,
        state: &State,
        projection: &Projection,
    ) -> Result<(String, String), Error> {
        let etag = state.etag(ctx);
        Ok((self.present_as(ctx, definition, state, projection, &etag)?, etag))
    }

    /// The resource as JSON text under an entity tag that is its own.
    pub(super) fn present_as(
        &self,
        ctx: &Ctx,
        definition: &Definition,
        state: &State,
        projection: &Projection,
        etag: &str,
    ) -> Result<String, Error> {
        let derived = Derived {
            base_url: &ctx.base_url,
            external: state.external.as_deref(),
            groups: has_groups(definition).then_some(&state.groups),
            members: state.members.as_deref(),
            member_names: projection.wants_sub(MEMBERS, "display"),
            etag,
        };
        ctx.note_released(definition, &state.record)?;
        if projection.is_nothing() {
            return Ok(String::new());
        }
        if let Some(naming) = self.naming(ctx, definition, projection) {
            naming.note(ctx, &state.record, state.members.as_deref())?;
        }
        let registry = self.registry_for(ctx, definition);
        if let Some(text) = &state.text {
            return self.splice(ctx, definition, (&state.record, text), derived, projection, &registry);
        }
        let Some(seen) = &state.document else {
            return self.project(ctx, definition, &state.record, &derived, projection, &registry);
        };
        let mut document = seen.clone();
        if let Some(members) = state.members.as_deref().filter(|members| !members.is_empty()) {
            let members = members_of(members, derived.member_names, &ctx.base_url, &registry)?;
            let place = document.keys().position(|name| name == "meta").unwrap_or(document.len());
            document.shift_insert(place, MEMBERS.to_owned(), members);
            ctx.view(definition).prune(&mut document);
        }
        self.finish(ctx, definition, &state.record, document, projection)
    }

    /// A group's text in slices. The caller sees those of the roll.
    pub(super) fn slices(
        &self,
        ctx: &Ctx,
        definition: &Definition,
        state: &State,
        projection: &Projection,
        roll: Roll,
    ) -> Result<Slices, Error> {
        let (etag, registry) = (state.etag(ctx), &self.registry_of(ctx.tenant));
        if let Some(naming) = self.naming(ctx, definition, projection) {
            naming.note_roll(ctx, &state.record, &roll)?;
        }
        let derived = Derived {
            base_url: &ctx.base_url,
            external: state.external.as_deref(),
            groups: has_groups(definition).then_some(&state.groups),
            members: None,
            member_names: projection.wants_sub(MEMBERS, "display"),
            etag: &etag,
        };
        let view = ctx.view(definition);
        if projection.is_whole()
            && projection.passes()
            && view.is_whole()
            && state.document.is_none()
            && state.text.is_none()
        {
            return Ok(Slices::whole(&state.record, &derived, registry, roll));
        }
        let mut document = match &state.document {
            Some(seen) => seen.clone(),
            None => {
                let mut whole = assemble(&state.record, &derived, registry)?;
                view.project(&mut whole);
                whole
            }
        };
        projection.apply(definition, &mut document);
        let shows = |sub: &str| projection.wants_sub(MEMBERS, sub) && view.sees_all(&format!("{MEMBERS}.{sub}"));
        let shown =
            Shown { value: shows("value"), reference: shows("$ref"), kind: shows("type"), display: shows("display") };
        Ok(Slices::part(&document, shown, &ctx.base_url, registry, roll)?)
    }

    /// Hits of a search as JSON texts.
    pub(super) fn present_hits(
        &self,
        ctx: &Ctx,
        definition: &Definition,
        hits: &[Hit],
        projection: &Projection,
    ) -> Result<Vec<String>, Error> {
        let registry = self.registry_of(ctx.tenant);
        let member_names = projection.wants_sub(MEMBERS, "display");
        let naming = self.naming(ctx, definition, projection);
        let text = |hit: &Hit| {
            let derived = Derived {
                base_url: &ctx.base_url,
                external: hit.external.as_deref(),
                groups: hit.groups.as_deref(),
                members: hit.members.as_deref(),
                member_names,
                etag: &hit.etag,
            };
            ctx.note_released(definition, &hit.record)?;
            if let Some(naming) = &naming {
                naming.note(ctx, &hit.record, hit.members.as_deref())?;
            }
            match &hit.document {
                Some(document) => {
                    let mut document = document.clone();
                    ctx.view(definition).project(&mut document);
                    self.finish(ctx, definition, &hit.record, document, projection)
                }
                None => self.project(ctx, definition, &hit.record, &derived, projection, &registry),
            }
        };
        hits.iter().map(text).collect()
    }

    fn project(
        &self,
        ctx: &Ctx,
        definition: &Definition,
        record: &Record,
        derived: &Derived<'_>,
        projection: &Projection,
        registry: &Registry,
    ) -> Result<String, Error> {
        let view = ctx.view(definition);
        if projection.passes() && view.is_whole() {
            return Ok(render(record, derived, registry));
        }
        if !view.is_whole()
            && has_plain_relations(view)
            && let Some(text) = Text::read(&record.doc).ok().and_then(|text| view.project_text(&text))
        {
            return self.splice(ctx, definition, (record, &text), *derived, projection, registry);
        }
        let mut document = assemble(record, derived, registry)?;
        view.project(&mut document);
        self.finish(ctx, definition, record, document, projection)
    }

    /// What is seen of the stored document joined to what is seen of the rest, which is all or nothing of each.
    fn splice(
        &self,
        ctx: &Ctx,
        definition: &Definition,
        (record, text): (&Record, &str),
        derived: Derived<'_>,
        projection: &Projection,
        registry: &Registry,
    ) -> Result<String, Error> {
        let view = ctx.view(definition);
        let derived = Derived {
            external: derived.external.filter(|_| view.sees_all("externalId")),
            groups: derived.groups.filter(|_| view.sees_all("groups")),
            members: derived.members.filter(|_| view.sees_all(MEMBERS)),
            ..derived
        };
        let rendered = render_as(record, text, &derived, registry);
        if projection.passes() {
            return Ok(rendered);
        }
        let corrupt = |error: serde_json::Error| store::Error::Corrupt(error.to_string());
        let document: Map<String, Value> = serde_json::from_str(&rendered).map_err(corrupt)?;
        self.finish(ctx, definition, record, document, projection)
    }

    /// What was asked for of a document that is seen, with the secrets among it, as JSON text.
    fn finish(
        &self,
        ctx: &Ctx,
        definition: &Definition,
        record: &Record,
        mut document: Map<String, Value>,
        projection: &Projection,
    ) -> Result<String, Error> {
        projection.apply(definition, &mut document);
        self.reveal(ctx, definition, record, &mut document)?;
        serde_json::to_string(&document).map_err(|error| store::Error::Corrupt(error.to_string()).into())
    }

    /// `meta.location` of a resource.
    pub(super) fn location(ctx: &Ctx, definition: &Definition, record: &Record) -> String {
        let mut buffer = Uuid::encode_buffer();
        [&*ctx.base_url, "/", definition.endpoint(), "/", record.id.0.hyphenated().encode_lower(&mut buffer)].concat()
    }
}

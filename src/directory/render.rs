//! The answer: a resource as JSON text, as far as the view and the projection release it. Where both release all of
//! it, the stored text is passed through unparsed.

use scim::resource::{MEMBERS, Projection};
use scim::schema::{Definition, Registry};
use store::roll::{Roll, Slices};
use store::scan::Hit;
use store::{Derived, GroupRef, MemberRef, Record, Seq, Shown, assemble, etag, render};

use super::{Ctx, Directory, Error, Planned};

/// Whether resources of the type show the groups they are in.
pub(super) fn has_groups(definition: &Definition) -> bool {
    definition.core.attribute("groups").is_some()
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
    pub(super) groups: Vec<GroupRef>,
    pub(super) members: Option<Vec<MemberRef>>,
    pub(super) nesting_seq: Seq,
}

impl State {
    /// `meta.version` for the caller.
    pub(super) fn etag(&self, ctx: &Ctx) -> String {
        etag(&self.record, !self.groups.is_empty(), self.nesting_seq, ctx.lens())
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
        project(ctx, definition, &state.record, &derived, projection, &self.registry_of(ctx.tenant))
    }

    /// A group's text in slices, for a caller from whom nothing is hidden.
    pub(super) fn slices(
        &self,
        ctx: &Ctx,
        definition: &Definition,
        state: &State,
        projection: &Projection,
        roll: Roll,
    ) -> Result<Slices, Error> {
        let (etag, registry) = (state.etag(ctx), &self.registry_of(ctx.tenant));
        let derived = Derived {
            base_url: &ctx.base_url,
            external: state.external.as_deref(),
            groups: has_groups(definition).then_some(&state.groups),
            members: None,
            member_names: projection.wants_sub(MEMBERS, "display"),
            etag: &etag,
        };
        if projection.is_whole() && projection.passes() {
            return Ok(Slices::whole(&state.record, &derived, registry, roll));
        }
        let mut document = assemble(&state.record, &derived, registry)?;
        projection.apply(definition, &mut document);
        let shown = Shown {
            value: projection.wants_sub(MEMBERS, "value"),
            reference: projection.wants_sub(MEMBERS, "$ref"),
            kind: projection.wants_sub(MEMBERS, "type"),
            display: derived.member_names,
        };
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
        let text = |hit: &Hit| {
            let derived = Derived {
                base_url: &ctx.base_url,
                external: hit.external.as_deref(),
                groups: hit.groups.as_deref(),
                members: hit.members.as_deref(),
                member_names,
                etag: &hit.etag,
            };
            project(ctx, definition, &hit.record, &derived, projection, &registry)
        };
        hits.iter().map(text).collect()
    }

    /// `meta.location` of a resource.
    pub(super) fn location(ctx: &Ctx, definition: &Definition, record: &Record) -> String {
        format!("{}/{}/{}", ctx.base_url, definition.endpoint(), record.id)
    }
}

fn project(
    ctx: &Ctx,
    definition: &Definition,
    record: &Record,
    derived: &Derived<'_>,
    projection: &Projection,
    registry: &Registry,
) -> Result<String, Error> {
    if projection.passes() && ctx.view(definition).is_whole() {
        return Ok(render(record, derived, registry));
    }
    let mut document = assemble(record, derived, registry)?;
    ctx.view(definition).project(&mut document);
    projection.apply(definition, &mut document);
    serde_json::to_string(&document).map_err(|error| store::Error::Corrupt(error.to_string()).into())
}

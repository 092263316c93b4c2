//! One resource by id (RFC 7644 section 3.4.1).

use std::sync::Arc;

use scim::resource::{MEMBERS, Projection};
use scim::schema::Definition;
use store::roll::{Roll, Slices};
use store::{Point, Reader, Reading, ResourceId};

use super::audit::is_audit;
use super::membership::is_membership;
use super::render::{State, has_groups};
use super::shape::id_of;
use super::{Ctx, Directory, Error, Precondition, Tags};

/// A group of no more members is answered as one text.
const AT_ONCE: usize = 1_000;

/// The answer to a fetch.
#[derive(Debug)]
pub enum Fetched {
    /// The resource.
    Found {
        /// `meta.version`.
        etag: String,
        /// `meta.location`.
        location: String,
        /// JSON.
        body: String,
    },
    /// A group of so many members that its text is written while it is sent.
    Large {
        /// `meta.version`.
        etag: String,
        /// `meta.location`.
        location: String,
        /// JSON, in order.
        slices: Slices,
    },
    /// The caller has it already.
    NotModified {
        /// `meta.version`.
        etag: String,
    },
}

impl Directory {
    /// Fetches a resource. Fails with 404 when there is none, or none that the caller may see.
    pub async fn fetch(
        &self,
        ctx: &Ctx,
        definition: &Arc<Definition>,
        id: &str,
        precondition: &Precondition,
        projection: &Projection,
    ) -> Result<Fetched, Error> {
        let fetched = self.fetch_any(ctx, definition, id, precondition, projection).await?;
        self.remember_released(ctx, "read").await?;
        Ok(fetched)
    }

    async fn fetch_any(
        &self,
        ctx: &Ctx,
        definition: &Arc<Definition>,
        id: &str,
        precondition: &Precondition,
        projection: &Projection,
    ) -> Result<Fetched, Error> {
        if is_membership(definition) {
            return Box::pin(self.fetch_membership(ctx, definition, id, precondition, projection)).await;
        }
        if is_audit(definition) {
            return Box::pin(self.fetch_audit(ctx, definition, id, precondition, projection)).await;
        }
        let id = id_of(definition.name(), id)?;
        self.remember_keys(ctx, definition, projection).await;
        let known = precondition.if_none_match.as_ref();
        if projection.wants(MEMBERS) && definition.core.attribute(MEMBERS).is_some() {
            let (directory, caller, definition) = (self.clone(), ctx.clone(), definition.clone());
            let (known, projection) = (known.cloned(), projection.clone());
            // Members come in slices, which must all be of the state that the entity tag names.
            let read = move |reader: &mut Reader| {
                directory.with_members(&caller, &definition, id, known.as_ref(), &projection, reader)
            };
            return self.store.read_for(ctx.tenant, move |reader| reader.snapshot(read)).await;
        }
        let at_once = self.store.read_here(|reader| {
            let point = reader.point_at_once(ctx.tenant, id, ctx.caller.domain, has_groups(definition))?;
            point.map(|point| self.answer(ctx, definition, id, known, projection, (point, reader))).transpose()
        });
        if let Some(fetched) = at_once.transpose()?.flatten() {
            return Ok(fetched);
        }
        let (directory, caller, definition) = (self.clone(), ctx.clone(), definition.clone());
        let (known, projection) = (known.cloned(), projection.clone());
        self.store
            .read_for(ctx.tenant, move |reader| {
                let point = reader.point(caller.tenant, id, caller.caller.domain, has_groups(&definition))?;
                directory.answer(&caller, &definition, id, known.as_ref(), &projection, (point, reader))
            })
            .await
    }

    /// The answer from what one statement has found.
    fn answer(
        &self,
        ctx: &Ctx,
        definition: &Definition,
        id: ResourceId,
        known: Option<&Tags>,
        projection: &Projection,
        (point, reader): (Option<Point>, &mut Reader),
    ) -> Result<Fetched, Error> {
        let state = self.visible(ctx, definition, id, point, reader)?;
        let etag = state.etag(ctx);
        if known.is_some_and(|tags| tags.match_whole(&etag)) {
            return Ok(Fetched::NotModified { etag });
        }
        let body = self.present_as(ctx, definition, &state, projection, &etag)?;
        Ok(Fetched::Found { etag, location: Directory::location(ctx, definition, &state.record), body })
    }

    /// The answer with members, within one snapshot.
    fn with_members(
        &self,
        ctx: &Ctx,
        definition: &Definition,
        id: ResourceId,
        known: Option<&Tags>,
        projection: &Projection,
        reader: &mut Reader,
    ) -> Result<Fetched, Error> {
        let state = self.state_of(ctx, definition, id, reader)?;
        let etag = state.etag(ctx);
        if known.is_some_and(|tags| tags.match_whole(&etag)) {
            return Ok(Fetched::NotModified { etag });
        }
        let location = Directory::location(ctx, definition, &state.record);
        let with_names = projection.wants_sub(MEMBERS, "display");
        let roll = match ctx.views.are_everything() {
            true => reader.roll(ctx.tenant, id, with_names)?,
            false if !ctx.view(definition).sees(MEMBERS) => Roll::default(),
            false => reader.roll_seen(ctx.tenant, &ctx.sight(), id, with_names)?,
        };
        let slices = self.slices(ctx, definition, &state, projection, roll)?;
        // Who knows resources by names of its own is answered when these are known of all of them.
        Ok(match slices.members() > AT_ONCE && !ctx.caller.profile.has_names() {
            true => Fetched::Large { etag, location, slices },
            false => Fetched::Found { etag, location, body: slices.collect() },
        })
    }

    /// A resource that the caller may see, without its members; 404 otherwise.
    pub(super) fn state_of(
        &self,
        ctx: &Ctx,
        definition: &Definition,
        id: ResourceId,
        reader: &mut Reader,
    ) -> Result<State, Error> {
        let point = reader.point(ctx.tenant, id, ctx.caller.domain, has_groups(definition))?;
        self.visible(ctx, definition, id, point, reader)
    }

    /// What one statement has found, if the caller may see it; 404 otherwise.
    pub(super) fn visible(
        &self,
        ctx: &Ctx,
        definition: &Definition,
        id: ResourceId,
        point: Option<Point>,
        reader: &mut Reader,
    ) -> Result<State, Error> {
        let absent = || Error::from(scim::Error::not_found(definition.name(), &id.to_string()));
        let point = point.filter(|point| point.record.kind == definition.name()).ok_or_else(absent)?;
        let Point { record, external, groups, nesting_seq } = point;
        let mut state = State::new(record, external, groups, nesting_seq);
        let is_seen = state.is_seen(ctx, definition, &mut Reading(reader, ctx.tenant))?;
        if is_seen { Ok(state) } else { Err(absent()) }
    }
}

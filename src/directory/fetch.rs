//! One resource by id (RFC 7644 section 3.4.1).

use std::sync::Arc;

use scim::resource::{MEMBERS, Projection};
use scim::schema::Definition;
use store::roll::Slices;
use store::{Derived, Reader, ResourceId, assemble};

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
        if is_membership(definition) {
            return self.fetch_membership(ctx, definition, id, precondition, projection).await;
        }
        let id = id_of(definition.name(), id)?;
        let (directory, caller, definition) = (self.clone(), ctx.clone(), definition.clone());
        let (known, projection) = (precondition.if_none_match.clone(), projection.clone());
        self.store
            .read(move |reader| {
                if projection.wants(MEMBERS) && definition.core.attribute(MEMBERS).is_some() {
                    // Members come in slices, which must all be of the state that the entity tag names.
                    return reader.snapshot(|reader| {
                        directory.answer(&caller, &definition, id, known.as_ref(), &projection, true, reader)
                    });
                }
                directory.answer(&caller, &definition, id, known.as_ref(), &projection, false, reader)
            })
            .await
    }

    #[expect(clippy::too_many_arguments, reason = "what a fetch asks for, each of its own kind")]
    fn answer(
        &self,
        ctx: &Ctx,
        definition: &Definition,
        id: ResourceId,
        known: Option<&Tags>,
        projection: &Projection,
        with_members: bool,
        reader: &mut Reader,
    ) -> Result<Fetched, Error> {
        let mut state = self.state_of(ctx, definition, id, reader)?;
        let etag = state.etag(ctx);
        if known.is_some_and(|tags| tags.match_whole(&etag)) {
            return Ok(Fetched::NotModified { etag });
        }
        if with_members && ctx.view.is_whole() {
            let roll = reader.roll(ctx.tenant, id, projection.wants_sub(MEMBERS, "display"))?;
            let location = Directory::location(ctx, definition, &state.record);
            let slices = self.slices(ctx, definition, &state, projection, roll)?;
            return Ok(match slices.members() > AT_ONCE {
                true => Fetched::Large { etag, location, slices },
                false => Fetched::Found { etag, location, body: slices.collect() },
            });
        }
        if with_members {
            state.members = Some(reader.all_members(ctx.tenant, id)?);
        }
        let (body, etag) = self.present(ctx, definition, &state, projection)?;
        Ok(Fetched::Found { etag, location: Directory::location(ctx, definition, &state.record), body })
    }

    /// A resource that the caller may see, without its members; 404 otherwise.
    pub(super) fn state_of(
        &self,
        ctx: &Ctx,
        definition: &Definition,
        id: ResourceId,
        reader: &mut Reader,
    ) -> Result<State, Error> {
        let absent = || Error::from(scim::Error::not_found(definition.name(), &id.to_string()));
        let record = reader.record(ctx.tenant, id)?.filter(|record| record.kind == definition.name());
        let record = record.ok_or_else(absent)?;
        let external = reader.external_of(ctx.tenant, ctx.caller.domain, id)?;
        let (groups, nesting_seq) = match has_groups(definition) {
            true => reader.groups_of(ctx.tenant, id)?,
            false => (Vec::new(), 0),
        };
        let state = State { record, external, groups, members: None, nesting_seq };
        if self.admits(ctx, definition, &state)? { Ok(state) } else { Err(absent()) }
    }

    /// Whether the caller's view shows the resource.
    pub(super) fn admits(&self, ctx: &Ctx, definition: &Definition, state: &State) -> Result<bool, Error> {
        if ctx.view.filter().is_none() {
            return Ok(true);
        }
        let etag = state.etag(ctx);
        let derived = Derived {
            base_url: &ctx.base_url,
            external: state.external.as_deref(),
            groups: has_groups(definition).then_some(&state.groups),
            members: state.members.as_deref(),
            member_names: true,
            etag: &etag,
        };
        Ok(ctx.view.admits(&assemble(&state.record, &derived, &self.registry_of(ctx.tenant))?))
    }
}

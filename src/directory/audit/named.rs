//! Names of people who are protected, in documents of others: a group's `members.display`, a membership, a `manager`. Whom
//! an answer calls by name is noted while it is made, and who of them is protected is asked once, before it is given.
//!
//! Where nobody of the register is protected that is known from memory, and nothing is noted; so it is for a client whose
//! view masks them, as it is told no name. Whom a view hides it does not name either, which is asked of the view.

use std::collections::BTreeSet;

use provisioning::person::{PROTECTED, USER, is_protected};
use scim::resource::{MEMBERS, Projection};
use scim::schema::Definition;
use scim::view::Reference;
use serde_json::{Map, Value};
use store::roll::Roll;
use store::work::document_of;
use store::{Mark, MemberRef, Reader, Reading, Record, ResourceId, Work};

use super::super::{Ctx, Directory, Error};
use super::released::has_people;

/// The mark of who is protected.
const MARK: Mark = Mark { kind: USER, path: "urn:matrikel:scim:schemas:1.0:Person:protectedIdentity", name: PROTECTED };

/// Has it known that the register has protected people, if this one is, whose document is about to be written.
pub(in crate::directory) fn note_protected(
    work: &mut Work<'_>,
    kind: &str,
    document: &Map<String, Value>,
) -> Result<(), Error> {
    if kind == USER && is_protected(document) {
        work.note_bearer(&MARK)?;
    }
    Ok(())
}

/// What of the resources of one type calls people by name, as far as an answer tells.
pub(in crate::directory) struct Naming {
    stored: Vec<Reference>,
    members: bool,
}

impl Naming {
    /// Notes the people whom an answer calls by name in a resource. `members`: those that it tells.
    pub(in crate::directory) fn note(
        &self,
        ctx: &Ctx,
        record: &Record,
        members: Option<&[MemberRef]>,
    ) -> Result<(), Error> {
        let members = members.filter(|_| self.members).unwrap_or_default().iter();
        let people = members.filter(|member| member.kind == USER && !member.label.is_empty());
        ctx.released.name(people.map(|member| member.id));
        // The text is looked through before it is read.
        if self.stored.iter().any(|reference| reference.may_name_in(&record.doc)) {
            let document = document_of(record)?;
            let named = self.stored.iter().flat_map(|reference| reference.called(&document));
            ctx.released.name(named.filter_map(|id| id.parse().ok()));
        }
        Ok(())
    }

    /// The same of a group of very many members.
    pub(in crate::directory) fn note_roll(&self, ctx: &Ctx, record: &Record, roll: &Roll) -> Result<(), Error> {
        if self.members {
            ctx.released.name(roll.named(USER));
        }
        self.note(ctx, record, None)
    }
}

impl Directory {
    /// Whether an answer may call somebody by name who is protected, asked without a statement; `false`: no name need be noted.
    pub(in crate::directory) fn may_name(&self, ctx: &Ctx) -> bool {
        let users = ctx.views.of(USER);
        !users.has_masks()
            && !users.is_nothing()
            && has_people(&self.registry_at(ctx))
            && self.store.may_bear(ctx.tenant, &MARK)
    }

    /// What of the resources of a type calls people by name; `None`: nothing that is to be noted.
    pub(in crate::directory) fn naming(
        &self,
        ctx: &Ctx,
        definition: &Definition,
        projection: &Projection,
    ) -> Option<Naming> {
        if !self.may_name(ctx) {
            return None;
        }
        let view = ctx.view(definition);
        let shows = |path: &str, sub: &str| projection.wants_sub(path, sub) && view.sees_all(&format!("{path}.{sub}"));
        let mut stored = Reference::naming(definition, USER, shows);
        stored.retain(|reference| !reference.is_derived());
        let members = definition.core.attribute(MEMBERS).is_some() && shows(MEMBERS, "display");
        (members || !stored.is_empty()).then_some(Naming { stored, members })
    }

    /// Those of the people who are protected, and whom the caller's view calls by name.
    pub(in crate::directory) async fn protected_among(
        &self,
        ctx: &Ctx,
        named: BTreeSet<ResourceId>,
    ) -> Result<BTreeSet<ResourceId>, Error> {
        if named.is_empty() {
            return Ok(named);
        }
        let (caller, tenant) = (ctx.clone(), ctx.tenant);
        let find = move |reader: &mut Reader| {
            let mut found = reader.bearers(tenant, &MARK, &named)?;
            if !found.is_empty() && !caller.views.are_everything() {
                let ids: Vec<ResourceId> = found.iter().copied().collect();
                let seen = caller.look(&mut Reading(reader, tenant), &ids)?;
                found.retain(|id| seen.label(*id, "its own".to_owned()).is_some_and(|name| !name.is_empty()));
            }
            Ok::<_, Error>(found)
        };
        self.store.read_for(tenant, find).await
    }
}

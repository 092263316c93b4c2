//! Memberships as resources of their own (draft-zollner-scim-group-members): POST makes one, DELETE ends it, and they are
//! found by either end. Nothing is stored for them but what a PATCH of the group's `members` stores too: a membership is
//! a revision of its group, with the group's change row and a new version of the group.

use std::sync::Arc;

use serde_json::{Map, Value};

use scim::ScimType;
use scim::patch::RelationChange;
use scim::resource::{Notes, Projection, validate};
use scim::schema::Definition;
use store::scan::{Page, Query, Step, Stretch};
use store::{GROUP_MEMBERSHIP, Link, MembershipId, Reader, ResourceId, Work};

use super::cursor::Binding;
use super::revise::{Revising, Revision};
use super::{Ctx, Directory, Error, Fetched, Planned, Precondition, Written};

const GROUP: &str = "Group";
const USER: &str = "User";

/// Whether resources of the type are memberships.
pub(super) fn is_membership(definition: &Definition) -> bool {
    definition.name() == GROUP_MEMBERSHIP
}

/// The id of the membership that a body asks for; `None` for one that names no two ids.
pub(super) fn written_id(body: &Value) -> Option<MembershipId> {
    let end = |name: &str| body.get(name)?.get("value")?.as_str()?.parse().ok();
    Some(MembershipId { group: end("group")?, member: end("member")? })
}

/// The group as it is, with one member more or fewer.
struct Moving([RelationChange; 1]);

impl Revision for Moving {
    fn document(&self, current: &Map<String, Value>, _: &mut Notes) -> Result<Map<String, Value>, scim::Error> {
        Ok(current.clone())
    }

    fn relation(&self) -> &[RelationChange] {
        &self.0
    }

    fn passwords(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A membership that is to be, with all done that needs no lock.
pub(super) struct Joining {
    id: MembershipId,
    revising: Revising,
}

impl Joining {
    /// Carries it out. Fails with 400 invalidValue when there is no such group or member, or when a group would be within
    /// itself, and with 409 uniqueness when the membership is there already.
    pub(super) fn run(&self, ctx: &Ctx, work: &mut Work<'_>) -> Result<Link, Error> {
        let MembershipId { group, member } = self.id;
        if work.record(group)?.is_none_or(|record| record.kind != GROUP) {
            return Err(no_group(&group.to_string()).into());
        }
        if work.member_since(group, member)?.is_some() {
            let detail = format!("{member} is a member of the group {group} already.");
            return Err(scim::Error::new(ScimType::Uniqueness, detail).into());
        }
        let state = self.revising.run(ctx, &mut Notes::new(), work)?;
        let (kind, member_label) = work.kinds(&[member])?.remove(&member).unwrap_or_default();
        let seen = ctx.look(work, &[group, member])?;
        Ok(Link {
            id: self.id,
            kind,
            since: state.record.seq,
            at: Some(state.record.modified_at),
            group_label: seen.label(group, state.record.label).unwrap_or_default(),
            member_label: seen.label(member, member_label).unwrap_or_default(),
        })
    }
}

/// A membership that is to end.
pub(super) struct Leaving {
    id: MembershipId,
    precondition: Precondition,
    revising: Revising,
}

impl Leaving {
    /// Carries it out. Fails with 404 when there is no such membership, [`store::Error::Stale`] for a later one of the
    /// same two.
    pub(super) fn run(&self, ctx: &Ctx, work: &mut Work<'_>) -> Result<(), Error> {
        let MembershipId { group, member } = self.id;
        let is_there = work.record(group)?.is_some_and(|record| record.kind == GROUP);
        let since = if is_there { work.member_since(group, member)? } else { None };
        self.precondition.check(since.ok_or_else(|| absent(&self.id.to_string()))?)?;
        self.revising.run(ctx, &mut Notes::new(), work).map(drop)
    }
}

/// Has a resource be a member of a group, or not, as a rule says: a revision of the group, as if an administrator had made
/// it. Nothing is done where it is so already, or where there is no such group.
pub(super) fn set(
    ctx: &Ctx,
    work: &mut Work<'_>,
    group: ResourceId,
    member: ResourceId,
    is_member: bool,
) -> Result<(), Error> {
    let Some(definition) = work.catalog().registry().definition(GROUP).cloned() else { return Ok(()) };
    if work.record(group)?.is_none_or(|record| record.kind != GROUP) {
        return Ok(());
    }
    let change = match is_member {
        true => RelationChange::Add(vec![serde_json::json!({ "value": member.to_string() })]),
        false => RelationChange::RemoveValues(vec![member.to_string()]),
    };
    let system = Ctx { base_url: ctx.base_url.clone(), ..Ctx::system(ctx.tenant, ctx.now, ctx.random.clone()) };
    let revising = Revising::new(definition, group, Arc::new(Moving([change])), Precondition::none());
    revising.run(&system, &mut Notes::new(), work).map(drop)
}

impl Directory {
    /// Makes a membership.
    pub(super) async fn join(
        &self,
        ctx: &Ctx,
        definition: &Arc<Definition>,
        body: &Value,
        projection: &Projection,
    ) -> Result<Written, Error> {
        let mut notes = Notes::new();
        let joining = self.prepare_joining(ctx, definition, body, &mut notes).await;
        ctx.tolerances.take_in(notes.iter());
        let (joining, caller) = (joining?, ctx.clone());
        let registry = self.registry.clone();
        let run = move |work: &mut Work<'_>| {
            let link = joining.run(&caller, work)?;
            caller.remember(work, &link.location(&caller.base_url, &registry), Some(&link.etag(caller.lens())));
            Ok((link, work.changes().to_vec()))
        };
        let (link, changes) = self.commit(ctx, run).await?;
        let body = self.present_link(ctx, definition, &link, projection)?;
        self.remember_named(ctx).await?;
        let location = link.location(&ctx.base_url, &self.registry);
        let (etag, tolerances) = (link.etag(ctx.lens()), notes.iter().collect());
        Ok(Written { etag, location, body, tolerances, changes })
    }

    /// What of a new membership can be done before the lock: the body is checked, and whether the caller sees both ends.
    pub(super) async fn prepare_joining(
        &self,
        ctx: &Ctx,
        definition: &Arc<Definition>,
        body: &Value,
        notes: &mut Notes,
    ) -> Result<Joining, Error> {
        let document = Value::Object(validate(definition, body, ctx.caller.profile.strictness(), notes)?);
        let Some(id) = written_id(&document) else {
            let named = |name: &str| document.pointer(&format!("/{name}/value"))?.as_str();
            let is_group = named("group").is_some_and(|id| id.parse::<ResourceId>().is_ok());
            return Err(match is_group {
                false => no_group(named("group").unwrap_or_default()).into(),
                true => no_member(named("member").unwrap_or_default()).into(),
            });
        };
        if !ctx.views.are_everything() {
            self.check_ends_seen(ctx, id).await?;
        }
        self.check_moving(ctx)?;
        let element = serde_json::json!({ "value": id.member.to_string() });
        let revising = self.moving(id, RelationChange::Add(vec![element]))?;
        Ok(Joining { id, revising })
    }

    /// Ends a membership.
    pub(super) async fn leave(&self, ctx: &Ctx, id: &str, condition: &Precondition) -> Result<Vec<Planned>, Error> {
        let (leaving, caller) = (self.prepare_leaving(ctx, id, condition).await?, ctx.clone());
        let location = format!("/{GROUP_MEMBERSHIP}s/{id}");
        self.commit(ctx, move |work| {
            leaving.run(&caller, work)?;
            caller.remember(work, &location, None);
            Ok(work.changes().to_vec())
        })
        .await
    }

    /// What of the end of a membership can be done before the lock: whether the caller may see it.
    pub(super) async fn prepare_leaving(
        &self,
        ctx: &Ctx,
        id: &str,
        precondition: &Precondition,
    ) -> Result<Leaving, Error> {
        let id: MembershipId = id.parse().map_err(|()| absent(id))?;
        if !ctx.views.are_everything() {
            let (directory, caller) = (self.clone(), ctx.clone());
            self.store.read_for(ctx.tenant, move |reader| directory.link_of(&caller, id, reader).map(drop)).await?;
        }
        self.check_moving(ctx)?;
        let revising = self.moving(id, RelationChange::RemoveValues(vec![id.member.to_string()]))?;
        Ok(Leaving { id, precondition: precondition.clone(), revising })
    }

    /// One membership by id. Fails with 404 when there is none, or none that the caller may see.
    pub(super) async fn fetch_membership(
        &self,
        ctx: &Ctx,
        definition: &Arc<Definition>,
        id: &str,
        precondition: &Precondition,
        projection: &Projection,
    ) -> Result<Fetched, Error> {
        let id = id.parse().map_err(|()| absent(id))?;
        let (directory, caller) = (self.clone(), ctx.clone());
        let link = self.store.read_for(ctx.tenant, move |reader| directory.link_of(&caller, id, reader)).await?;
        let etag = link.etag(ctx.lens());
        if precondition.if_none_match.as_ref().is_some_and(|tags| tags.match_whole(&etag)) {
            return Ok(Fetched::NotModified { etag });
        }
        let location = link.location(&ctx.base_url, &self.registry);
        Ok(Fetched::Found { etag, location, body: self.present_link(ctx, definition, &link, projection)? })
    }

    /// The page of a search over memberships. A total that was counted is kept until something changes.
    pub(super) fn page_of_memberships(
        &self,
        reader: &mut Reader,
        ctx: &Ctx,
        query: &Query,
        projection: &Projection,
        binding: &Binding,
    ) -> Result<Page<String>, Error> {
        let head = reader.head(ctx.tenant)?.0;
        let page = reader.search_links(ctx.tenant, query, self.totals.find(binding, head))?;
        self.totals.keep(binding, head, page.total);
        let hits = self.present_links(ctx, &query.definition, &page.hits, projection)?;
        Ok(Page { total: page.total, hits, end: page.end, touched: page.touched })
    }

    /// A step of a walk through memberships.
    pub(super) fn stretch_of_memberships(
        &self,
        reader: &mut Reader,
        ctx: &Ctx,
        query: &Query,
        projection: &Projection,
        step: &Step,
    ) -> Result<Stretch<String>, Error> {
        let stretch = reader.walk_links(ctx.tenant, query, step)?;
        let hits = self.present_links(ctx, &query.definition, &stretch.hits, projection)?;
        Ok(Stretch { hits, places: stretch.places, rest: stretch.rest, total: stretch.total, tested: stretch.tested })
    }

    /// How many memberships match: counted for the first page of a walk, and said again while nothing changes.
    pub(super) fn count_memberships(
        &self,
        reader: &mut Reader,
        ctx: &Ctx,
        query: &Query,
        binding: &Binding,
        is_first: bool,
    ) -> Result<Option<u64>, Error> {
        let head = reader.head(ctx.tenant)?.0;
        let known = self.totals.find(binding, head);
        if known.is_some() || !is_first {
            return Ok(known);
        }
        let counted = reader.count_links(ctx.tenant, query)?;
        if let Some(total) = counted {
            self.totals.keep(binding, head, total);
        }
        Ok(counted)
    }

    /// Fails with 403 when the members of groups are not among what the caller may write.
    fn check_moving(&self, ctx: &Ctx) -> Result<(), Error> {
        let group = self.registry_of(ctx.tenant).definition(GROUP).cloned();
        match group.and_then(|group| ctx.authority(&group)) {
            Some(held) if !held.covers_members() => Err(held.refuse_members().into()),
            _ => Ok(()),
        }
    }

    /// A revision of the group.
    fn moving(&self, id: MembershipId, change: RelationChange) -> Result<Revising, Error> {
        let group = self.registry.definition(GROUP).cloned();
        let group = group.ok_or_else(|| store::Error::Corrupt("there is no resource type for groups".into()))?;
        Ok(Revising::new(group, id.group, Arc::new(Moving([change])), Precondition::none()))
    }

    /// A membership that the caller may see; 404 otherwise.
    fn link_of(&self, ctx: &Ctx, id: MembershipId, reader: &mut Reader) -> Result<Link, Error> {
        let definition = self.registry.definition(GROUP_MEMBERSHIP).cloned();
        let definition = definition.ok_or_else(|| absent(&id.to_string()))?;
        let found = reader.link(ctx.tenant, id)?.into_iter().collect();
        let seen = reader.seen_links(ctx.tenant, &self.query_of(ctx, &definition), found)?.pop();
        seen.ok_or_else(|| absent(&id.to_string()).into())
    }

    /// Fails with 400 invalidValue when the caller's view hides one of the ends, as if it were not there.
    async fn check_ends_seen(&self, ctx: &Ctx, id: MembershipId) -> Result<(), Error> {
        let (directory, caller) = (self.clone(), ctx.clone());
        let seen = self.store.read_for(ctx.tenant, move |reader| {
            let registry = directory.registry_of(caller.tenant);
            let mut seen = |id: ResourceId| {
                let record = reader.record(caller.tenant, id)?;
                let Some(definition) = record.and_then(|record| registry.definition(&record.kind)) else {
                    return Ok(false);
                };
                match directory.state_of(&caller, definition, id, reader) {
                    Ok(_) => Ok(true),
                    Err(Error::Scim(_)) => Ok(false),
                    Err(error) => Err(error),
                }
            };
            Ok::<_, Error>((seen(id.group)?, seen(id.member)?))
        });
        match seen.await? {
            _ if !ctx.views.of(GROUP).sees_memberships() => Err(no_group(&id.group.to_string()).into()),
            (true, true) => Ok(()),
            (false, _) => Err(no_group(&id.group.to_string()).into()),
            (true, false) => Err(no_member(&id.member.to_string()).into()),
        }
    }

    fn present_links(
        &self,
        ctx: &Ctx,
        definition: &Definition,
        links: &[Link],
        projection: &Projection,
    ) -> Result<Vec<String>, Error> {
        links.iter().map(|link| self.present_link(ctx, definition, link, projection)).collect()
    }

    fn present_link(
        &self,
        ctx: &Ctx,
        definition: &Definition,
        link: &Link,
        projection: &Projection,
    ) -> Result<String, Error> {
        let mut document = link.document(&ctx.base_url, ctx.lens(), &self.registry_of(ctx.tenant));
        ctx.views.of(GROUP).project_membership(&mut document);
        // Its `member` says what a person is called.
        let is_named = link.kind == USER && !link.member_label.is_empty() && projection.wants_sub("member", "display");
        if is_named
            && document.get("member").is_some_and(|member| member.get("display").is_some())
            && self.may_name(ctx)
        {
            ctx.released.name(std::iter::once(link.id.member));
        }
        projection.apply(definition, &mut document);
        serde_json::to_string(&document).map_err(|error| store::Error::Corrupt(error.to_string()).into())
    }
}

fn absent(id: &str) -> scim::Error {
    scim::Error::not_found(GROUP_MEMBERSHIP, id)
}

fn no_group(id: &str) -> scim::Error {
    scim::Error::invalid_value(format!("group.value: {id} is not a group. Create it first."))
}

fn no_member(id: &str) -> scim::Error {
    scim::Error::invalid_value(format!("member.value: {id} is not a resource that can be a member. Create it first."))
}

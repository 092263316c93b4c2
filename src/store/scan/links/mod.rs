//! Searches over memberships, with the same queries, pages and steps as those over resources. The order is that of their
//! ids: group by group, member by member. Where the filter names no more than the ends and the type of the member, a page
//! is a step in an index; otherwise rows are tested, and an order that is not that of the ids is made in memory.

mod scope;

use std::collections::HashSet;
use std::sync::Arc;

use scim::filter::{Checked, Filter};
use scim::key;
use scim::schema::Registry;

use super::place::Heading;
use super::{BATCH, Page, Place, Query, Step, Stretch};
use crate::link::{Head, Link, MembershipId, complete};
use crate::reader::Reader;
use crate::relation::{Relation, Way};
use crate::sight::{Reading, look};
use crate::{Error, ResourceId, TenantId};

use scope::Plan;

const GROUP: &str = "Group";

/// A membership with its place in the order asked for.
type Placed = (Place, Head);

impl Reader {
    /// Answers a search over memberships. `known` is the total where the caller has kept it.
    pub fn search_links(&mut self, tenant: TenantId, query: &Query, known: Option<u64>) -> Result<Page<Link>, Error> {
        Links::new(self, tenant, query)?.page(known)
    }

    /// One step of a walk through memberships; `start` and `count` of the query do not matter to it.
    pub fn walk_links(&mut self, tenant: TenantId, query: &Query, step: &Step) -> Result<Stretch<Link>, Error> {
        Links::new(self, tenant, query)?.step(step)
    }

    /// How many memberships match, where an index can say it without a test.
    pub fn count_links(&mut self, tenant: TenantId, query: &Query) -> Result<Option<u64>, Error> {
        let links = Links::new(self, tenant, query)?;
        if !links.plan.is_exact {
            return Ok(None);
        }
        links.relation.count(&mut links.reader.db, &links.plan.parts).map(Some)
    }

    /// Those of the memberships whose ends the view shows, in the order given.
    pub fn seen_links(&mut self, tenant: TenantId, query: &Query, links: Vec<Link>) -> Result<Vec<Link>, Error> {
        if query.views.are_everything() {
            return Ok(links);
        }
        if !query.views.of(GROUP).sees_memberships() {
            return Ok(Vec::new());
        }
        let ends: Vec<ResourceId> = links.iter().flat_map(|link| [link.id.group, link.id.member]).collect();
        let seen = look(&mut Reading(self, tenant), &query.sight(), &ends)?;
        let named = |link: Link| {
            let group_label = seen.label(link.id.group, link.group_label)?;
            let member_label = seen.label(link.id.member, link.member_label)?;
            Some(Link { group_label, member_label, ..link })
        };
        Ok(links.into_iter().filter_map(named).collect())
    }
}
struct Links<'s> {
    reader: &'s mut Reader,
    tenant: TenantId,
    query: &'s Query,
    registry: Arc<Registry>,
    relation: Relation,
    filter: Filter<Checked>,
    plan: Plan,
}

impl<'s> Links<'s> {
    fn new(reader: &'s mut Reader, tenant: TenantId, query: &'s Query) -> Result<Self, Error> {
        let registry = reader.shared.registry_of(tenant);
        let relation = Relation::of(&mut reader.db, tenant)?;
        let filter = query.filter.clone().map_or(Filter::Const(true), Filter::push_not);
        let is_open = query.views.are_everything();
        // A type that may be hidden is asked of the document, which then lacks it.
        let kinds = match is_open {
            true => registry.definitions().iter().map(|definition| definition.name()).collect(),
            false => Vec::new(),
        };
        let mut plan = Plan::of(&filter, &kinds);
        plan.is_exact &= is_open;
        let groups = query.views.of(GROUP);
        if groups.is_nothing() || !groups.sees_memberships() {
            plan = Plan { parts: Vec::new(), is_exact: true };
        }
        Ok(Links { reader, tenant, query, registry, relation, filter, plan })
    }

    /// Whether the order is that of the ids.
    fn is_by_id(&self) -> bool {
        let sort = self.query.sort.as_ref();
        sort.is_none_or(|sort| matches!(&*sort.target.canonical, "id" | "group.value"))
    }

    fn descending(&self) -> bool {
        self.query.sort.as_ref().is_some_and(|sort| sort.descending)
    }

    fn page(mut self, known: Option<u64>) -> Result<Page<Link>, Error> {
        let (start, count) = (self.query.start, self.query.count);
        let wanted = usize::try_from(count).unwrap_or(usize::MAX);
        if !(self.plan.is_exact && self.is_by_id()) {
            let mut placed = self.every_match()?;
            let total = placed.len() as u64;
            self.arrange(&mut placed, !self.descending());
            let skipped = usize::try_from(start - 1).unwrap_or(usize::MAX);
            let heads = placed.into_iter().skip(skipped).take(wanted).map(|(_, head)| head).collect();
            return Ok(Page { total, hits: self.complete(heads)?, end: None, touched: 0 });
        }
        let (db, parts) = (&mut self.reader.db, &self.plan.parts);
        let total = match known {
            Some(known) => known,
            None => self.relation.count(db, parts)?,
        };
        let up = !self.query.sort.as_ref().is_some_and(|sort| sort.descending);
        let nothing = Page { total, hits: Vec::new(), end: None, touched: 0 };
        if count == 0 || (start > total && self.query.mark.is_none()) {
            return Ok(nothing);
        }
        let bound = match &self.query.mark {
            Some(mark) => Some(id_at(mark)?),
            None if start <= 1 => None,
            None => match self.relation.nth(db, parts, up, start - 2)? {
                Some(before) => Some(before),
                None => return Ok(nothing),
            },
        };
        let way = Way { up, bound: bound.map(|bound| (bound, false)) };
        let heads = self.relation.step(db, parts, way, wanted)?;
        let end = heads.last().map(|head| place_of(head.id, None));
        Ok(Page { total, hits: self.complete(heads)?, end, touched: 0 })
    }

    fn step(mut self, step: &Step) -> Result<Stretch<Link>, Error> {
        let Some(heading) = step.heading(self.descending()) else {
            return Ok(Stretch { hits: Vec::new(), places: Vec::new(), rest: None, total: None, tested: 0 });
        };
        let wanted = usize::try_from(step.wanted).unwrap_or(usize::MAX);
        let (mut placed, total, tested, more) = match (self.is_by_id(), self.plan.is_exact) {
            (true, true) => {
                let heads = self.relation.step(
                    &mut self.reader.db,
                    &self.plan.parts,
                    way_of(&heading)?,
                    wanted.saturating_add(1),
                )?;
                let placed: Vec<Placed> = heads.into_iter().map(|head| (place_of(head.id, None), head)).collect();
                let more = placed.len() > wanted;
                (placed, None, 0, more)
            }
            (true, false) => return self.sift(step, &heading, wanted),
            (false, _) => {
                let mut placed = self.every_match()?;
                let total = placed.len() as u64;
                placed.retain(|(place, _)| heading.is_ahead(place));
                self.arrange(&mut placed, heading.up);
                let more = placed.len() > wanted;
                (placed, Some(total), total, more)
            }
        };
        placed.truncate(wanted);
        let rest = more.then(|| step.behind(placed.last().map(|(place, _)| place)));
        let hits = self.finish(step, placed)?;
        Ok(Stretch { hits, places: Vec::new(), rest, total, tested })
    }

    /// Goes along the ids and tests until the page is full and one more is found, or the budget is used up.
    fn sift(mut self, step: &Step, heading: &Heading, wanted: usize) -> Result<Stretch<Link>, Error> {
        let budget = usize::try_from(step.budget).unwrap_or(usize::MAX);
        let mut way = way_of(heading)?;
        let mut found: Vec<Placed> = Vec::new();
        let mut passed: Option<Place> = None;
        let mut tested = 0;
        let more = 'walk: loop {
            let size = BATCH.min(budget.saturating_sub(tested));
            if size == 0 {
                break true;
            }
            let heads = self.relation.step(&mut self.reader.db, &self.plan.parts, way, size)?;
            let is_last = heads.len() < size;
            tested += heads.len();
            let fit: HashSet<MembershipId> = self.test(heads.clone())?.into_iter().map(|(_, head)| head.id).collect();
            for head in heads {
                way.bound = Some((head.id, false));
                let place = place_of(head.id, None);
                if fit.contains(&head.id) {
                    if found.len() == wanted {
                        break 'walk true;
                    }
                    found.push((place.clone(), head));
                }
                passed = Some(place);
            }
            if is_last {
                break false;
            }
        };
        let rest = more.then(|| step.behind(passed.as_ref()));
        let hits = self.finish(step, found)?;
        Ok(Stretch { hits, places: Vec::new(), rest, total: None, tested: tested as u64 })
    }

    /// Every match. Fails with [`Error::TooMany`] when more would have to be tested than the limit allows.
    fn every_match(&mut self) -> Result<Vec<Placed>, Error> {
        let limit = self.query.limit;
        if self.relation.count(&mut self.reader.db, &self.plan.parts)? > limit {
            return Err(Error::TooMany { limit });
        }
        let mut way = Way { up: true, bound: None };
        let mut found = Vec::new();
        loop {
            let heads = self.relation.step(&mut self.reader.db, &self.plan.parts, way, BATCH)?;
            let Some(last) = heads.last() else { return Ok(found) };
            way.bound = Some((last.id, false));
            found.extend(self.test(heads)?);
        }
    }

    /// Those that match and that the view shows, with their places.
    fn test(&mut self, heads: Vec<Head>) -> Result<Vec<Placed>, Error> {
        let sort = self.query.sort.as_ref().filter(|_| !self.is_by_id()).map(|sort| sort.target.clone());
        let links = self.complete(heads)?;
        let placed = links.into_iter().filter_map(|link| {
            let mut document = link.document(&self.query.base_url, self.query.lens, &self.registry);
            self.query.views.of(GROUP).project_membership(&mut document);
            let key = sort.as_ref().map(|sort| {
                let sort_key = sort.sort_key(&document).unwrap_or_else(|| key::ABSENT.to_owned());
                key::cut(&sort_key).into_owned()
            });
            let fits = self.filter.matches(&document);
            fits.then(|| (place_of(link.id, key), Head { id: link.id, kind: link.kind, since: link.since }))
        });
        Ok(placed.collect())
    }

    fn arrange(&self, placed: &mut [Placed], up: bool) {
        placed.sort_unstable_by(|(one, _), (other, _)| if up { one.cmp(other) } else { other.cmp(one) });
    }

    /// The memberships with what their ends are called to the client; without those that it does not see.
    fn complete(&mut self, heads: Vec<Head>) -> Result<Vec<Link>, Error> {
        let links = complete(&mut self.reader.db, self.tenant, heads)?;
        self.reader.seen_links(self.tenant, self.query, links)
    }

    /// The page in the order of the answer.
    fn finish(&mut self, step: &Step, placed: Vec<Placed>) -> Result<Vec<Link>, Error> {
        let mut heads: Vec<Head> = placed.into_iter().map(|(_, head)| head).collect();
        if step.backwards {
            heads.reverse();
        }
        self.complete(heads)
    }
}

/// The place of a membership: a sort key, if there is one, and then its group, which together order before the member. No
/// key holds the character between the two.
fn place_of(id: MembershipId, key: Option<String>) -> Place {
    let group = id.group.0.simple();
    let key = key.map_or_else(|| group.to_string(), |key| format!("{key}\0{group}"));
    Place { key: Some(key), id: id.member }
}

/// The membership at a place in the order of ids.
fn id_at(place: &Place) -> Result<MembershipId, Error> {
    let group = place.key.as_deref().and_then(|key| uuid::Uuid::try_parse(key).ok());
    let group = group.ok_or_else(|| Error::Corrupt("a place of another order".into()))?;
    Ok(MembershipId { group: ResourceId(group), member: place.id })
}

fn way_of(heading: &Heading) -> Result<Way, Error> {
    let bound = match &heading.bound {
        Some((place, is_inclusive)) => Some((id_at(place)?, *is_inclusive)),
        None => None,
    };
    Ok(Way { up: heading.up, bound })
}

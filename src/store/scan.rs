//! Searches: the plan proposes candidates, the filter disposes, the rest is order and a page. Every document that is
//! returned has passed `scim`'s filter, or there was none to pass. The client's view is part of the filter from the
//! start, so what it hides cannot be found by asking.

mod links;
mod place;
mod walk;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use scim::filter::{Checked, Filter, Op, Target};
use scim::key;
use scim::schema::Definition;
use scim::view::View;

use crate::assemble::{Derived, assemble, etag};
use crate::index::KindIndexes;
use crate::plan::{Access, Planner};
use crate::reader::Reader;
use crate::{Error, GroupRef, MemberRef, Record, ResourceId, TenantId, external, membership, record};

use place::Heading;
pub use place::{Cut, Place, Step, Stretch};

/// What to look for.
#[derive(Clone, Debug)]
pub struct Query {
    /// The resource type.
    pub definition: Arc<Definition>,
    /// The client's filter, before its view.
    pub filter: Option<Filter<Checked>>,
    /// What the client may see.
    pub view: Arc<View>,
    /// The order; `None`: by id.
    pub sort: Option<Sort>,
    /// Place of the first resource of the page, from 1.
    pub start: u64,
    /// Where the page begins, when that is known better than by counting: the end of the page before it.
    pub mark: Option<Place>,
    /// Most resources on the page; 0: the total alone.
    pub count: u64,
    /// The client's provisioning domain.
    pub domain: ResourceId,
    /// Base of locations, for filters that ask about them.
    pub base_url: Arc<str>,
    /// See [`etag`].
    pub lens: u64,
    /// Documents that may be tested.
    pub limit: u64,
    /// Whether the page's members are wanted.
    pub with_members: bool,
    /// Most members that the page's groups may have together.
    pub member_limit: u64,
    /// Whether the page's groups are wanted.
    pub with_groups: bool,
}

/// An order.
#[derive(Clone, Debug)]
pub struct Sort {
    /// The path, simple or with a `value`.
    pub target: Target,
    /// Greatest first; resources without a value come first then, and last otherwise.
    pub descending: bool,
}

/// A page of an answer.
#[derive(Clone, Debug)]
pub struct Page<H = Hit> {
    /// Resources that match and that the client may see.
    pub total: u64,
    /// Those on the page, in order.
    pub hits: Vec<H>,
    /// The place of the last of them, where an index has the order: the mark of the page after it.
    pub end: Option<Place>,
}

/// A resource with what is derived of it.
#[derive(Clone, Debug)]
pub struct Hit {
    /// The row.
    pub record: Record,
    /// The client's `externalId`.
    pub external: Option<String>,
    /// Its groups, direct and indirect; `None` for what is never in a group or was not asked for.
    pub groups: Option<Vec<GroupRef>>,
    /// Its members, where wanted.
    pub members: Option<Vec<MemberRef>>,
    /// `meta.version`.
    pub etag: String,
}

/// Documents read at a time.
const BATCH: usize = 256;
/// So few candidates are kept in memory from the test to the page.
const KEPT: usize = 1_000;

impl Reader {
    /// Answers a search. Within [`Reader::snapshot`] every statement of it sees the same state.
    pub fn search(&mut self, tenant: TenantId, query: &Query) -> Result<Page, Error> {
        Search::new(self, tenant, query)?.run()
    }

    /// The resources with what is derived of them, in the order given; those that do not exist are left out.
    ///
    /// Fails with [`Error::TooManyMembers`] before any member is read.
    pub fn hits(&mut self, tenant: TenantId, ids: &[ResourceId], query: &Query) -> Result<Vec<Hit>, Error> {
        self.check_members(tenant, ids, query)?;
        let records = record::find_all(&mut self.db, tenant, ids)?;
        let needs =
            Needs { groups: query.with_groups, members: query.with_members.then_some(None), ..Needs::default() };
        let mut found = self.derive(tenant, query, records, &Needs { external: true, etag: true, ..needs })?;
        Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
    }

    /// A page is one text in memory.
    fn check_members(&mut self, tenant: TenantId, ids: &[ResourceId], query: &Query) -> Result<(), Error> {
        let limit = query.member_limit;
        match query.with_members && membership::are_beyond(&mut self.db, tenant, ids, limit)? {
            true => Err(Error::TooManyMembers { limit }),
            false => Ok(()),
        }
    }

    fn derive(
        &mut self,
        tenant: TenantId,
        query: &Query,
        records: HashMap<ResourceId, Record>,
        needs: &Needs,
    ) -> Result<HashMap<ResourceId, Hit>, Error> {
        let ids: Vec<ResourceId> = records.keys().copied().collect();
        let mut externals = match needs.external {
            true => external::of_resources(&mut self.db, tenant, query.domain, &ids)?,
            false => HashMap::new(),
        };
        let has_groups = query.definition.core.attribute("groups").is_some();
        let (mut groups, nesting_seq) = match (has_groups, needs.groups, needs.etag) {
            (true, true, _) => self.groups_of_all(tenant, &ids)?,
            // Whether it is in any group is enough.
            (true, false, true) => self.direct_groups_of_all(tenant, &ids)?,
            _ => (HashMap::new(), 0),
        };
        let mut members = match &needs.members {
            None => HashMap::new(),
            Some(only) => membership::members_of_all(&mut self.db, tenant, &ids, only.as_ref())?,
        };
        let hit = |(id, record): (ResourceId, Record)| {
            let groups = groups.remove(&id).unwrap_or_default();
            let etag = etag(&record, !groups.is_empty(), nesting_seq, query.lens);
            let members = needs.members.is_some().then(|| members.remove(&id).unwrap_or_default());
            let external = externals.remove(&id);
            (id, Hit { record, external, groups: needs.groups.then_some(groups), members, etag })
        };
        Ok(records.into_iter().map(hit).collect())
    }
}

/// What has to be derived of a resource.
#[derive(Clone, Debug, Default)]
struct Needs {
    external: bool,
    groups: bool,
    etag: bool,
    /// `Some(None)`: all members; `Some(Some(ids))`: those among the ids.
    members: Option<Option<HashSet<ResourceId>>>,
}

impl Needs {
    fn of(filter: &Filter<Checked>, sort: Option<&Sort>) -> Self {
        let mut paths: BTreeSet<&str> = filter.attributes();
        paths.extend(sort.map(|sort| &*sort.target.canonical));
        let starts = |name: &str| paths.iter().any(|path| path.split('.').next() == Some(name));
        Needs {
            external: starts("externalId"),
            groups: starts("groups"),
            etag: paths.contains("meta.version"),
            members: starts("members")
                .then(|| member_literals(filter).filter(|_| sort.is_none_or(|s| &*s.target.attr != "members"))),
        }
    }
}

/// The ids a filter asks about when it asks about members by `value eq` alone; then no other member matters.
fn member_literals(filter: &Filter<Checked>) -> Option<HashSet<ResourceId>> {
    let mut ids = HashSet::new();
    collect_members(filter, &mut ids).then_some(ids)
}

fn collect_members(filter: &Filter<Checked>, ids: &mut HashSet<ResourceId>) -> bool {
    match filter {
        Filter::And(parts) | Filter::Or(parts) => parts.iter().all(|part| collect_members(part, ids)),
        Filter::Not(part) => collect_members(part, ids),
        Filter::Element(target, part) if &*target.attr == "members" => match &**part {
            // `value ne` asks whether there is any other member.
            Filter::Compare(_, Op::Eq, _) => collect_members(part, ids),
            _ => false,
        },
        Filter::Compare(target, Op::Eq | Op::Ne, operand) if &*target.canonical == "members.value" => {
            ids.extend(operand.raw.as_str().and_then(|id| id.parse::<ResourceId>().ok()));
            true
        }
        Filter::Compare(target, ..) | Filter::Present(target) | Filter::Element(target, _) => {
            &*target.attr != "members"
        }
        Filter::Const(_) => true,
    }
}

struct Search<'s> {
    reader: &'s mut Reader,
    tenant: TenantId,
    query: &'s Query,
    kind: &'s str,
    indexes: Arc<KindIndexes>,
    filter: Option<Filter<Checked>>,
    sort: Option<&'s Sort>,
}

impl<'s> Search<'s> {
    fn new(reader: &'s mut Reader, tenant: TenantId, query: &'s Query) -> Result<Self, Error> {
        let kind = query.definition.name();
        let indexes = reader.shared.indexes(&mut reader.db, tenant)?.of(kind)?.clone();
        let filter = query.view.restrict(query.filter.clone()).map(Filter::push_not);
        // An attribute that is hidden orders nothing: every resource is without it.
        let sort = query.sort.as_ref().filter(|sort| query.view.sees(&sort.target.canonical));
        Ok(Search { reader, tenant, query, kind, indexes, filter, sort })
    }

    fn run(mut self) -> Result<Page, Error> {
        match self.filter.clone() {
            None | Some(Filter::Const(true)) => self.everything(),
            Some(filter) => self.matching(&filter),
        }
    }

    /// No condition: the total is known and the order is an index.
    fn everything(&mut self) -> Result<Page, Error> {
        let total = u64::try_from(self.reader.count(self.tenant, self.kind)?).unwrap_or_default();
        if self.query.count == 0 || (self.query.start > total && self.query.mark.is_none()) {
            return Ok(Page { total, hits: Vec::new(), end: None });
        }
        let Some(order) = self.order() else {
            let places = self.test(None, &Filter::Const(true))?.0;
            let ids = self.page_of(places);
            return Ok(Page { total, hits: self.reader.hits(self.tenant, &ids, self.query)?, end: None });
        };
        let bound = match &self.query.mark {
            Some(mark) => Some((mark.clone(), false)),
            None if self.query.start <= 1 => None,
            // The one before the page: its place is found in the index alone, and from there it is a step.
            None => match self.nth(order, self.query.start - 2)? {
                Some(place) => Some((place, false)),
                None => return Ok(Page { total, hits: Vec::new(), end: None }),
            },
        };
        let heading = Heading { up: !self.descending(), bound };
        let count = usize::try_from(self.query.count).unwrap_or(usize::MAX);
        let places = self.places(order, None, &heading, count)?;
        let ids: Vec<ResourceId> = places.iter().map(|place| place.id).collect();
        let end = places.into_iter().next_back();
        Ok(Page { total, hits: self.reader.hits(self.tenant, &ids, self.query)?, end })
    }

    /// A condition: candidates are proposed, tested, ordered, and the page is cut out.
    fn matching(&mut self, filter: &Filter<Checked>) -> Result<Page, Error> {
        let access = self.cheapest(filter)?;
        let candidates = self.candidates(access)?;
        let (places, kept) = self.test(candidates, filter)?;
        let total = places.len() as u64;
        let hits = match self.query.count {
            0 => Vec::new(),
            _ => {
                let ids = self.page_of(places);
                self.finish(&ids, kept)?
            }
        };
        Ok(Page { total, hits, end: None })
    }

    /// What an access proposes; `None`: everything.
    fn candidates(&mut self, access: Option<Access>) -> Result<Option<Vec<ResourceId>>, Error> {
        let Some(access) = access else { return Ok(None) };
        let found = access.gather(&mut self.reader.db, self.tenant, self.kind, self.query.limit)?;
        Ok(Some(found.into_iter().collect()))
    }

    /// The page with what is derived of it; what the test has read is not read again.
    fn finish(&mut self, ids: &[ResourceId], mut kept: HashMap<ResourceId, Record>) -> Result<Vec<Hit>, Error> {
        let needs = Needs {
            external: true,
            groups: self.query.with_groups,
            etag: true,
            members: self.query.with_members.then_some(None),
        };
        if !ids.iter().all(|id| kept.contains_key(id)) {
            return self.reader.hits(self.tenant, ids, self.query);
        }
        self.reader.check_members(self.tenant, ids, self.query)?;
        let records = ids.iter().filter_map(|id| kept.remove(id).map(|record| (*id, record))).collect();
        let mut hits = self.reader.derive(self.tenant, self.query, records, &needs)?;
        Ok(ids.iter().filter_map(|id| hits.remove(id)).collect())
    }

    /// Every access that proposes all matches of the filter. Groups within groups are read only for a filter that asks
    /// about groups.
    fn accesses(&mut self, filter: &Filter<Checked>) -> Result<Vec<Access>, Error> {
        let asks = filter.attributes().iter().any(|path| path.split('.').next() == Some("groups"));
        let nesting = if asks { Some(self.reader.nesting(self.tenant)?.0) } else { None };
        let nesting = nesting.as_deref();
        let planner = Planner { kind: self.kind, indexes: &self.indexes, domain: self.query.domain, nesting };
        Ok(planner.accesses(filter))
    }

    fn cheapest(&mut self, filter: &Filter<Checked>) -> Result<Option<Access>, Error> {
        let mut accesses = self.accesses(filter)?;
        if accesses.len() < 2 {
            return Ok(accesses.pop());
        }
        let mut best: Option<(i64, Access)> = None;
        for access in accesses {
            let estimate = access.estimate(&mut self.reader.db, self.tenant, self.kind)?;
            if best.as_ref().is_none_or(|(least, _)| estimate < *least) {
                best = Some((estimate, access));
            }
        }
        Ok(best.map(|(_, access)| access))
    }

    /// Tests candidates, or everything of the kind, in id order. Few matches keep their records.
    fn test(
        &mut self,
        candidates: Option<Vec<ResourceId>>,
        filter: &Filter<Checked>,
    ) -> Result<(Vec<Place>, HashMap<ResourceId, Record>), Error> {
        let needs = Needs::of(filter, self.sort);
        let mut places = Vec::new();
        let mut kept = HashMap::new();
        match candidates {
            Some(candidates) => {
                for ids in candidates.chunks(BATCH) {
                    let mut records = record::find_all(&mut self.reader.db, self.tenant, ids)?;
                    records.retain(|_, record| record.kind == self.kind);
                    self.test_batch(records, filter, &needs, &mut places, &mut kept)?;
                }
            }
            None => {
                let limit = self.query.limit;
                if u64::try_from(self.reader.count(self.tenant, self.kind)?).unwrap_or_default() > limit {
                    return Err(Error::TooMany { limit });
                }
                let mut after = None;
                loop {
                    let records = record::slice(&mut self.reader.db, self.tenant, self.kind, after, BATCH as i64)?;
                    let Some(last) = records.last() else { break };
                    after = Some(last.id);
                    let records = records.into_iter().map(|record| (record.id, record)).collect();
                    self.test_batch(records, filter, &needs, &mut places, &mut kept)?;
                }
            }
        }
        Ok((places, kept))
    }

    fn test_batch(
        &mut self,
        records: HashMap<ResourceId, Record>,
        filter: &Filter<Checked>,
        needs: &Needs,
        places: &mut Vec<Place>,
        kept: &mut HashMap<ResourceId, Record>,
    ) -> Result<(), Error> {
        if let Some(None) = needs.members {
            let groups: Vec<ResourceId> = records.keys().copied().collect();
            let limit = self.query.limit;
            if membership::are_beyond(&mut self.reader.db, self.tenant, &groups, limit)? {
                return Err(Error::TooMany { limit });
            }
        }
        let hits: BTreeMap<_, _> = self.reader.derive(self.tenant, self.query, records, needs)?.into_iter().collect();
        for (id, hit) in hits {
            let derived = Derived {
                base_url: &self.query.base_url,
                external: hit.external.as_deref(),
                groups: hit.groups.as_deref(),
                members: hit.members.as_deref(),
                member_names: true,
                etag: &hit.etag,
            };
            let document = assemble(&hit.record, &derived, &self.reader.shared.registry_of(self.tenant))?;
            if !filter.matches(&document) {
                continue;
            }
            // The id is the second part of every place already.
            let sort = self.sort.filter(|sort| &*sort.target.canonical != "id");
            let sort_key = sort.map(|sort| {
                let sort_key = sort.target.sort_key(&document).unwrap_or_else(|| key::ABSENT.to_owned());
                key::cut(&sort_key).into_owned()
            });
            places.push(Place { key: sort_key, id });
            if kept.len() < KEPT {
                kept.insert(id, hit.record);
            }
        }
        Ok(())
    }

    fn page_of(&self, mut places: Vec<Place>) -> Vec<ResourceId> {
        places.sort_unstable();
        if self.sort.is_some_and(|sort| sort.descending) {
            places.reverse();
        }
        let skip = usize::try_from(self.query.start - 1).unwrap_or(usize::MAX);
        let count = usize::try_from(self.query.count).unwrap_or(usize::MAX);
        places.into_iter().skip(skip).take(count).map(|place| place.id).collect()
    }
}

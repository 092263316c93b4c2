//! Searches: the plan proposes candidates, the filter disposes, the rest is order and a page. Every document that is
//! returned has passed `scim`'s filter, or there was none to pass. The client's view is part of the filter from the
//! start, so what it hides cannot be found by asking.

pub(crate) mod arrangement;
mod links;
mod page;
mod place;
mod sight;
pub(crate) mod total;
mod walk;

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use scim::filter::{Checked, Filter, Op, Target};
use scim::key;
use scim::schema::Definition;
use scim::view::{View, Views};
use serde_json::{Map, Value};

use crate::assemble::etag;
use crate::clock::Clock;
use crate::index::KindIndexes;
use crate::plan::{Access, COUNTED, Planner};
use crate::reader::Reader;
use crate::sight::asks_about;
use crate::statement::Among;
use crate::{Error, GroupRef, MemberRef, Record, ResourceId, TenantId, external, membership, record};

pub use place::{Cut, Place, Step, Stretch};
pub use sight::orders;

/// What to look for.
#[derive(Clone, Debug)]
pub struct Query {
    /// The resource type.
    pub definition: Arc<Definition>,
    /// The client's filter, before its view.
    pub filter: Option<Filter<Checked>>,
    /// What the client may see of each resource type.
    pub views: Arc<Views>,
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
    /// The place where the page ends, where an index has the order: the mark of the page after it.
    pub end: Option<Place>,
    /// Entries of indexes and documents that were passed over or read for it.
    pub touched: u64,
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
    /// All of it as a document, where something had to be taken away: what leads to resources that the client does not
    /// see.
    pub document: Option<Map<String, Value>>,
}

impl Query {
    /// What the client may see of the type.
    pub fn view(&self) -> &Arc<View> {
        self.views.of(self.definition.name())
    }
}

/// Documents read at a time.
const BATCH: usize = 256;
/// So few candidates are kept in memory from the test to the page.
const KEPT: usize = 1_000;

impl Reader {
    /// Answers a search. Every statement of it sees the same state.
    pub fn search(&mut self, tenant: TenantId, query: &Query) -> Result<Page, Error> {
        self.snapshot(|reader| {
            let mut page = Search::new(reader, tenant, query)?.run()?;
            reader.veil(tenant, query, &mut page.hits)?;
            Ok(page)
        })
    }

    /// The resources with what is derived of them, in the order given; those that do not exist are left out.
    ///
    /// Fails with [`Error::TooManyMembers`] before any member is read.
    pub fn hits(&mut self, tenant: TenantId, ids: &[ResourceId], query: &Query) -> Result<Vec<Hit>, Error> {
        self.check_members(tenant, ids, query)?;
        let mut found = record::find_all(&mut self.db, tenant, ids)?;
        let records = ids.iter().filter_map(|id| found.remove(id)).collect();
        self.derive(tenant, query, records, &Needs::of_page(query), false)
    }

    /// A page is one text in memory.
    fn check_members(&mut self, tenant: TenantId, ids: &[ResourceId], query: &Query) -> Result<(), Error> {
        let limit = query.member_limit;
        match query.with_members && membership::are_beyond(&mut self.db, tenant, ids, limit)? {
            true => Err(Error::TooManyMembers { limit }),
            false => Ok(()),
        }
    }

    /// The records with what is derived of them, in the order given. `dense`: they are a run in id order with few other
    /// resources in between, so that what belongs to them is a range too.
    fn derive(
        &mut self,
        tenant: TenantId,
        query: &Query,
        records: Vec<Record>,
        needs: &Needs,
        dense: bool,
    ) -> Result<Vec<Hit>, Error> {
        let ids: Vec<ResourceId> = records.iter().map(|record| record.id).collect();
        let mut externals = match needs.external {
            true => external::of_resources(&mut self.db, tenant, query.domain, Among::new(&ids, dense))?,
            false => HashMap::new(),
        };
        let has_groups = query.definition.core.attribute("groups").is_some();
        let (mut groups, nesting_seq) = match (has_groups, needs.groups, needs.etag) {
            (true, true, _) => self.groups_among(tenant, Among::new(&ids, dense))?,
            // Whether it is in any group is enough.
            (true, false, true) => self.direct_groups_among(tenant, Among::new(&ids, dense))?,
            _ => (HashMap::new(), 0),
        };
        let mut members = match &needs.members {
            None => HashMap::new(),
            Some(only) => membership::members_of_all(&mut self.db, tenant, &ids, only.as_ref())?,
        };
        let hit = |record: Record| {
            let id = record.id;
            let groups = groups.remove(&id).unwrap_or_default();
            let etag = match needs.etag {
                true => etag(&record, !groups.is_empty(), nesting_seq, query.lens),
                false => String::new(),
            };
            let members = needs.members.is_some().then(|| members.remove(&id).unwrap_or_default());
            let external = externals.remove(&id);
            Hit { record, external, groups: needs.groups.then_some(groups), members, etag, document: None }
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
    /// What a page shows.
    fn of_page(query: &Query) -> Self {
        let members = query.with_members.then_some(None);
        Needs { external: true, groups: query.with_groups, etag: true, members }
    }

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

/// Who matches, least first.
type Places = Arc<Vec<Place>>;
/// The same, and the records of some of them.
type Tested = (Places, HashMap<ResourceId, Record>);

struct Search<'s> {
    reader: &'s mut Reader,
    tenant: TenantId,
    query: &'s Query,
    kind: &'s str,
    indexes: Arc<KindIndexes>,
    filter: Option<Filter<Checked>>,
    /// The client's part of the filter, where it has to be asked of a document from which something was taken away.
    veiled: Option<Filter<Checked>>,
    sort: Option<&'s Sort>,
    /// The state that is read.
    clock: Clock,
    touched: u64,
}

impl<'s> Search<'s> {
    fn new(reader: &'s mut Reader, tenant: TenantId, query: &'s Query) -> Result<Self, Error> {
        let kind = query.definition.name();
        let clock = Clock::read(&mut reader.db, tenant)?;
        let catalog = reader.shared.catalog(&mut reader.db, tenant, clock.catalog)?;
        let indexes = catalog.indexes.of(kind)?.clone();
        let view = query.view();
        let filter = view.restrict(query.filter.clone()).map(Filter::push_not);
        let closed = view.references();
        let veiled = query
            .filter
            .as_ref()
            .filter(|filter| !closed.is_empty() && filter.attributes().iter().any(|path| asks_about(closed, path)));
        let veiled = veiled.map(|filter| view.masked(filter.clone()).push_not());
        // An attribute that is hidden orders nothing: every resource is without it.
        let sort = query.sort.as_ref().filter(|sort| orders(view, &sort.target));
        Ok(Search { reader, tenant, query, kind, indexes, filter, veiled, sort, clock, touched: 0 })
    }

    /// What an access proposes; `None`: everything.
    fn candidates(&mut self, access: Option<Access>) -> Result<Option<Vec<ResourceId>>, Error> {
        let Some(access) = access else { return Ok(None) };
        let found = access.gather(&mut self.reader.db, self.tenant, self.kind, self.query.limit)?;
        self.touched += found.len() as u64;
        Ok(Some(found.into_iter().collect()))
    }

    /// The page with what is derived of it; what the test has read is not read again.
    fn finish(&mut self, ids: &[ResourceId], mut kept: HashMap<ResourceId, Record>) -> Result<Vec<Hit>, Error> {
        if !ids.iter().all(|id| kept.contains_key(id)) {
            return self.reader.hits(self.tenant, ids, self.query);
        }
        self.reader.check_members(self.tenant, ids, self.query)?;
        let records = ids.iter().filter_map(|id| kept.remove(id)).collect();
        self.reader.derive(self.tenant, self.query, records, &Needs::of_page(self.query), false)
    }

    /// Living resources of the type.
    fn population(&self) -> u64 {
        self.clock.counts.get(self.kind).and_then(|count| u64::try_from(*count).ok()).unwrap_or_default()
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

    /// See [`Planner::exact`].
    fn exact(&self, filter: &Filter<Checked>) -> Option<Access> {
        if self.veiled.is_some() {
            return None;
        }
        // An exact access never depends on nesting.
        let planner = Planner { kind: self.kind, indexes: &self.indexes, domain: self.query.domain, nesting: None };
        planner.exact(filter)
    }

    fn cheapest(&mut self, filter: &Filter<Checked>) -> Result<Option<Access>, Error> {
        let mut accesses = self.accesses(filter)?;
        if accesses.len() < 2 {
            return Ok(accesses.pop());
        }
        Ok(self.measure(accesses)?.into_iter().next().map(|(_, access)| access))
    }

    /// How many candidates each access has, counted up to a cap, the fewest first. Whole indexes are looked through only
    /// where nothing else is narrow.
    fn measure(&mut self, mut accesses: Vec<Access>) -> Result<Vec<(i64, Access)>, Error> {
        accesses.sort_by_key(|access| !access.is_narrow());
        let mut measured: Vec<(i64, Access)> = Vec::new();
        for access in accesses {
            if !access.is_narrow() && measured.iter().any(|(least, _)| *least < COUNTED) {
                break;
            }
            measured.push((access.estimate(&mut self.reader.db, self.tenant, self.kind)?, access));
        }
        measured.sort_by_key(|(estimate, _)| *estimate);
        Ok(measured)
    }

    /// Tests candidates, or everything of the kind, and puts what matches in order, least first. Few matches keep their
    /// records.
    fn test(&mut self, candidates: Option<Vec<ResourceId>>, filter: &Filter<Checked>) -> Result<Tested, Error> {
        let needs = Needs::of(filter, self.sort);
        let mut places = Vec::new();
        let mut kept = HashMap::new();
        match candidates {
            Some(candidates) => {
                for ids in candidates.chunks(BATCH) {
                    let records = self.records(ids)?;
                    self.test_batch(records, filter, &needs, &mut places, &mut kept)?;
                }
            }
            None => {
                let limit = self.query.limit;
                if self.population() > limit {
                    return Err(Error::TooMany { limit });
                }
                let mut after = None;
                loop {
                    let records = record::slice(&mut self.reader.db, self.tenant, self.kind, after, BATCH as i64)?;
                    let Some(last) = records.last() else { break };
                    after = Some(last.id);
                    self.test_batch(records, filter, &needs, &mut places, &mut kept)?;
                }
            }
        }
        places.sort_unstable();
        Ok((Arc::new(places), kept))
    }

    /// Those of the resources that are of the type, in the order given.
    fn records(&mut self, ids: &[ResourceId]) -> Result<Vec<Record>, Error> {
        let mut found = record::find_all(&mut self.reader.db, self.tenant, ids)?;
        Ok(ids.iter().filter_map(|id| found.remove(id)).filter(|record| record.kind == self.kind).collect())
    }

    fn test_batch(
        &mut self,
        records: Vec<Record>,
        filter: &Filter<Checked>,
        needs: &Needs,
        places: &mut Vec<Place>,
        kept: &mut HashMap<ResourceId, Record>,
    ) -> Result<(), Error> {
        self.touched += records.len() as u64;
        if let Some(None) = needs.members {
            let groups: Vec<ResourceId> = records.iter().map(|record| record.id).collect();
            let limit = self.query.limit;
            if membership::are_beyond(&mut self.reader.db, self.tenant, &groups, limit)? {
                return Err(Error::TooMany { limit });
            }
        }
        let registry = self.reader.shared.registry_of(self.tenant);
        let hits = self.reader.derive(self.tenant, self.query, records, needs, false)?;
        let hits = match self.veiled.clone() {
            None => hits,
            Some(veiled) => self.unveiled(hits, &veiled)?,
        };
        let mut tops = filter.tops();
        tops.extend(self.sort.iter().flat_map(|sort| sort.target.tops()));
        let tops: Vec<&str> = tops.into_iter().collect();
        for hit in hits {
            let id = hit.record.id;
            let document = match &hit.document {
                Some(document) => Cow::Borrowed(document),
                None => Cow::Owned(sight::part(&hit, self.query, &registry, &tops)?),
            };
            if self.veiled.is_none() && !filter.matches(&document) {
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

    /// The page behind the mark, or else the one that begins at `start`, of all places, least first.
    fn page_of(&self, places: &[Place]) -> Vec<Place> {
        let start = usize::try_from(self.query.start - 1).unwrap_or(usize::MAX);
        let count = usize::try_from(self.query.count).unwrap_or(usize::MAX);
        let mark = self.query.mark.as_ref();
        if self.descending() {
            let skip = mark.map_or(start, |mark| places.len() - places.partition_point(|place| place < mark));
            return places.iter().rev().skip(skip).take(count).cloned().collect();
        }
        let skip = mark.map_or(start, |mark| places.partition_point(|place| place <= mark));
        places.iter().skip(skip).take(count).cloned().collect()
    }
}

//! Walks: the pages of an answer one after the other in either direction, each from the place where the last one ended.
//!
//! Few candidates are tested, ordered and cut in memory. Otherwise the walk goes along an index that has the order of
//! the answer and tests until the page is full or the budget is used up; a page may then be short, even empty, and still
//! have a next one. Only an order that no index has makes a walk test everything for each page, and fails beyond the
//! limit.

use std::collections::{HashMap, HashSet};

use diesel::sql_types::{BigInt, Binary, Text};

use scim::filter::{Checked, Filter};
use scim::key;

use super::{BATCH, Hit, Needs, Query, Search};
use crate::index::Mode;
use crate::plan::{Access, COUNTED};
use crate::reader::Reader;
use crate::record::resource_id;
use crate::scan::place::{Heading, Place, Step, Stretch};
use crate::statement::Statement;
use crate::{Error, Record, ResourceId, TenantId, record};

/// Fewest documents read at a time.
const LEAST: usize = 32;

impl Reader {
    /// One step of a walk through the answer to a search; `start` and `count` of the query do not matter to it.
    pub fn walk(&mut self, tenant: TenantId, query: &Query, step: &Step) -> Result<Stretch, Error> {
        let mut stretch = Search::new(self, tenant, query)?.step(step)?;
        self.veil(tenant, query, &mut stretch.hits)?;
        Ok(stretch)
    }

    /// How many resources match, where that is known for nothing: without any condition,
    /// and with one whose total was asked for before.
    pub fn known_total(&mut self, tenant: TenantId, query: &Query) -> Result<Option<u64>, Error> {
        let mut search = Search::new(self, tenant, query)?;
        match search.filter.clone() {
            None | Some(Filter::Const(true)) => Ok(Some(search.population())),
            Some(Filter::Const(false)) => Ok(Some(0)),
            Some(filter) => search.remembered(&filter),
        }
    }
}

/// An order that can be walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Id,
    Modified,
    Path(i64),
}

impl Search<'_> {
    /// The index order of the answer; `None`: no index has it.
    pub(super) fn order(&self) -> Option<Order> {
        match self.sort.map(|sort| &*sort.target.canonical) {
            None | Some("id") => Some(Order::Id),
            Some("meta.lastModified") => Some(Order::Modified),
            Some(path) => {
                self.indexes.path(path).filter(|path| path.mode == Mode::Sort).map(|path| Order::Path(path.id))
            }
        }
    }

    pub(super) fn descending(&self) -> bool {
        self.sort.is_some_and(|sort| sort.descending)
    }

    pub(super) fn step(&mut self, step: &Step) -> Result<Stretch, Error> {
        let order = self.order();
        let filter = self.filter.clone().unwrap_or(Filter::Const(true));
        let Some(heading) = step.heading(self.descending()) else {
            return Ok(Stretch { hits: Vec::new(), places: Vec::new(), rest: None, total: None, tested: 0 });
        };
        match (order, &filter) {
            (Some(order), Filter::Const(true)) => self.pass(order, None, step, &heading),
            (Some(order), filter) => match self.exact(filter).filter(|access| order.runs_along(access)) {
                Some(access) => self.pass(order, Some(&access), step, &heading),
                None => self.sift(Some(order), filter, step, heading),
            },
            (None, filter) => self.sift(None, filter, step, heading),
        }
    }

    /// No condition, or one that is a range of the index: the page is a range of it too.
    fn pass(&mut self, order: Order, along: Option<&Access>, step: &Step, heading: &Heading) -> Result<Stretch, Error> {
        let wanted = usize::try_from(step.wanted).unwrap_or(usize::MAX);
        if let (Order::Id, None) = (order, along) {
            let mut records = self.run_of_records(heading, wanted.saturating_add(1))?;
            let more = records.len() > wanted;
            records.truncate(wanted);
            let last = records.last().map(|record| Place { key: None, id: record.id });
            let rest = more.then(|| step.behind(last.as_ref()));
            if step.backwards {
                records.reverse();
            }
            let places = records.iter().map(|record| Place { key: None, id: record.id }).collect();
            let dense = self.is_dense();
            let hits = self.show(records, dense)?;
            return Ok(Stretch { hits, places, rest, total: Some(self.population()), tested: 0 });
        }
        let total = if along.is_none() { Some(self.population()) } else { None };
        let mut places = self.places(order, along, heading, wanted.saturating_add(1))?;
        let more = places.len() > wanted;
        places.truncate(wanted);
        let rest = more.then(|| step.behind(places.last()));
        let (ids, places) = in_order(step, places);
        Ok(Stretch { hits: self.reader.hits(self.tenant, &ids, self.query)?, places, rest, total, tested: 0 })
    }

    fn sift(
        &mut self,
        order: Option<Order>,
        filter: &Filter<Checked>,
        step: &Step,
        heading: Heading,
    ) -> Result<Stretch, Error> {
        if let Some(places) = self.arranged(filter)? {
            return self.cut_step(&places, HashMap::new(), step, &heading);
        }
        let accesses = self.accesses(filter)?;
        let measured = self.measure(accesses)?;
        let few = u64::try_from(COUNTED).unwrap_or_default().min(self.query.limit);
        let is_few = measured.first().is_some_and(|(least, _)| u64::try_from(*least).unwrap_or_default() < few);
        match order {
            Some(order) if !is_few => {
                let along = measured.into_iter().map(|(_, access)| access).find(|access| order.runs_along(access));
                self.sift_along(order, along.as_ref(), filter, step, heading)
            }
            _ => self.sift_candidates(measured.into_iter().next().map(|(_, access)| access), filter, step, &heading),
        }
    }

    /// All candidates are tested and ordered, and the page is cut out.
    fn sift_candidates(
        &mut self,
        access: Option<Access>,
        filter: &Filter<Checked>,
        step: &Step,
        heading: &Heading,
    ) -> Result<Stretch, Error> {
        let candidates = self.candidates(access)?;
        let (places, kept) = self.test(candidates, filter)?;
        self.arrange(filter, &places);
        self.cut_step(&places, kept, step, heading)
    }

    /// The step's part of all who match, which stand least first.
    fn cut_step(
        &mut self,
        places: &[Place],
        kept: HashMap<ResourceId, Record>,
        step: &Step,
        heading: &Heading,
    ) -> Result<Stretch, Error> {
        let total = places.len() as u64;
        let wanted = usize::try_from(step.wanted).unwrap_or(usize::MAX);
        let ahead = |place: &&Place| heading.is_ahead(place);
        let most = wanted.saturating_add(1);
        let mut places: Vec<Place> = match heading.up {
            true => places.iter().filter(ahead).take(most).cloned().collect(),
            false => places.iter().rev().filter(ahead).take(most).cloned().collect(),
        };
        let more = places.len() > wanted;
        places.truncate(wanted);
        let rest = more.then(|| step.behind(places.last()));
        let (ids, places) = in_order(step, places);
        let hits = self.finish(&ids, kept)?;
        Ok(Stretch { hits, places, rest, total: Some(total), tested: total })
    }

    /// Goes along an index and tests until the page is full and one more is found, or the budget is used up.
    fn sift_along(
        &mut self,
        order: Order,
        along: Option<&Access>,
        filter: &Filter<Checked>,
        step: &Step,
        mut heading: Heading,
    ) -> Result<Stretch, Error> {
        let needs = Needs::of(filter, self.sort);
        let wanted = usize::try_from(step.wanted).unwrap_or(usize::MAX);
        let budget = usize::try_from(step.budget).unwrap_or(usize::MAX);
        let (mut found, mut kept) = (Vec::new(), HashMap::new());
        let mut passed: Option<Place> = None;
        let mut tested = 0;
        let mut batch = wanted.saturating_add(1).clamp(LEAST, BATCH);
        let more = 'walk: loop {
            let size = batch.min(budget.saturating_sub(tested));
            if size == 0 {
                break true;
            }
            let places = self.places(order, along, &heading, size)?;
            let is_last = places.len() < size;
            let ids: Vec<ResourceId> = places.iter().map(|place| place.id).collect();
            let records = self.records(&ids)?;
            let mut fit = Vec::new();
            self.test_batch(records, filter, &needs, &mut fit, &mut kept)?;
            let fit: HashSet<ResourceId> = fit.into_iter().map(|place| place.id).collect();
            tested += places.len();
            for place in places {
                if fit.contains(&place.id) {
                    if found.len() == wanted {
                        break 'walk true;
                    }
                    found.push(place.clone());
                }
                passed = Some(place);
            }
            if is_last {
                break false;
            }
            heading.bound = passed.clone().map(|place| (place, false));
            batch = (batch * 2).min(BATCH);
        };
        let rest = more.then(|| step.behind(passed.as_ref()));
        let (ids, places) = in_order(step, found);
        let hits = self.finish(&ids, kept)?;
        Ok(Stretch { hits, places, rest, total: None, tested: tested as u64 })
    }

    /// The next resources of the type in id order: places and documents in one statement.
    pub(super) fn run_of_records(&mut self, heading: &Heading, limit: usize) -> Result<Vec<Record>, Error> {
        let bound = heading.bound.as_ref().map(|(place, inclusive)| (place.id, compare(heading.up, *inclusive)));
        let (tenant, kind) = (self.tenant, self.kind);
        let records = record::run(&mut self.reader.db, tenant, kind, bound, direction(heading.up), limit)?;
        self.touched += records.len() as u64;
        Ok(records)
    }

    /// Whether a run of resources of the type in id order is little more than these: where most resources are of another
    /// type, a range of ids would hold more of those.
    pub(super) fn is_dense(&self) -> bool {
        let all: i64 = self.clock.counts.values().sum();
        self.population().saturating_mul(2) >= all.unsigned_abs()
    }

    /// The resources of a page with what is derived of them. Fails before any member is read when there are too many.
    pub(super) fn show(&mut self, records: Vec<Record>, dense: bool) -> Result<Vec<Hit>, Error> {
        let ids: Vec<ResourceId> = records.iter().map(|record| record.id).collect();
        self.reader.check_members(self.tenant, &ids, self.query)?;
        self.reader.derive(self.tenant, self.query, records, &Needs::of_page(self.query), dense)
    }

    /// The next places of an index, in the direction of the walk.
    pub(super) fn places(
        &mut self,
        order: Order,
        along: Option<&Access>,
        heading: &Heading,
        limit: usize,
    ) -> Result<Vec<Place>, Error> {
        self.slice(order, along, heading, limit, 0)
    }

    /// The same behind so many others. What is passed over and what is found counts as touched.
    pub(super) fn slice(
        &mut self,
        order: Order,
        along: Option<&Access>,
        heading: &Heading,
        limit: usize,
        skipped: u64,
    ) -> Result<Vec<Place>, Error> {
        let places = self.read(order, along, heading, limit, skipped)?;
        self.touched += places.len() as u64 + skipped;
        Ok(places)
    }

    fn read(
        &mut self,
        order: Order,
        along: Option<&Access>,
        heading: &Heading,
        limit: usize,
        skipped: u64,
    ) -> Result<Vec<Place>, Error> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let skipped = i64::try_from(skipped).unwrap_or(i64::MAX);
        let db = &mut self.reader.db;
        let place = |key: Option<String>, id: &[u8]| Ok(Place { key, id: resource_id(id)? });
        let bound = heading.bound.as_ref();
        match order {
            Order::Id => {
                let column = along.map_or("resource_id", Access::column);
                let statement = Statement::<Binary>::new("SELECT ").sql(column).sql(" FROM ");
                let mut statement = begin(statement, self.tenant, self.kind, order, along, heading);
                if let Some((place, inclusive)) = bound {
                    statement = statement.sql(" AND ").sql(column).sql(compare(heading.up, *inclusive)).bind(place.id);
                }
                let statement = statement.sql(" ORDER BY ").sql(column).sql(direction(heading.up));
                let rows = statement.sql(" LIMIT ").bind(limit).sql(" OFFSET ").bind(skipped).load::<Vec<u8>>(db)?;
                rows.iter().map(|id| place(None, id)).collect()
            }
            Order::Modified => {
                let statement = Statement::<(BigInt, Binary)>::new("SELECT modified_at, resource_id FROM ");
                let mut statement = begin(statement, self.tenant, self.kind, order, along, heading);
                if let Some((place, inclusive)) = bound {
                    let at = place.key.as_deref().and_then(key::to_instant).ok_or_else(strayed)?;
                    let comparison = compare(heading.up, *inclusive);
                    statement = statement.sql(" AND (modified_at, resource_id)").sql(comparison);
                    statement = statement.sql("(").bind(at).sql(", ").bind(place.id).sql(")");
                }
                let down = direction(heading.up);
                let statement = statement.sql(" ORDER BY modified_at").sql(down).sql(", resource_id").sql(down);
                let rows =
                    statement.sql(" LIMIT ").bind(limit).sql(" OFFSET ").bind(skipped).load::<(i64, Vec<u8>)>(db)?;
                rows.iter().map(|(at, id)| place(Some(key::of_instant(*at)), id)).collect()
            }
            Order::Path(_) => {
                let statement = Statement::<(Text, Binary)>::new("SELECT value, resource_id FROM ");
                let mut statement = begin(statement, self.tenant, self.kind, order, along, heading);
                if let Some((place, inclusive)) = bound {
                    let value = place.key.clone().ok_or_else(strayed)?;
                    let comparison = compare(heading.up, *inclusive);
                    statement = statement.sql(" AND (value, resource_id)").sql(comparison);
                    statement = statement.sql("(").bind(value).sql(", ").bind(place.id).sql(")");
                }
                let down = direction(heading.up);
                let statement = statement.sql(" ORDER BY value").sql(down).sql(", resource_id").sql(down);
                let rows =
                    statement.sql(" LIMIT ").bind(limit).sql(" OFFSET ").bind(skipped).load::<(String, Vec<u8>)>(db)?;
                rows.into_iter().map(|(value, id)| place(Some(value), &id)).collect()
            }
        }
    }
}

impl Order {
    /// Whether the candidates of an access lie in this order.
    pub(super) fn runs_along(self, access: &Access) -> bool {
        match (self, access) {
            (Order::Id, Access::Index { range, .. }) => range.is_point(),
            (Order::Id, Access::MembersOf(groups)) => groups.len() == 1,
            (Order::Id, Access::GroupsOf(_)) | (Order::Modified, Access::Modified(..)) => true,
            (Order::Path(order), Access::Index { path, .. }) => order == *path,
            _ => false,
        }
    }
}

/// Table and condition of a walk. The end of a range that the walk has left behind is not asked for: the planner could
/// take it for the better beginning, and go over everything again.
fn begin<Row>(
    statement: Statement<Row>,
    tenant: TenantId,
    kind: &str,
    order: Order,
    along: Option<&Access>,
    heading: &Heading,
) -> Statement<Row> {
    match (order, along) {
        (_, Some(access)) => {
            let is_inside = heading.bound.is_some();
            access.within(statement, tenant, kind, !(is_inside && heading.up), !is_inside || heading.up)
        }
        (Order::Path(path), None) => {
            statement.sql("attr_index WHERE tenant_id = ").bind(tenant).sql(" AND path_id = ").bind(path)
        }
        _ => statement.sql("resource WHERE tenant_id = ").bind(tenant).sql(" AND kind = ").bind(kind),
    }
}

fn compare(up: bool, inclusive: bool) -> &'static str {
    match (up, inclusive) {
        (true, true) => " >= ",
        (true, false) => " > ",
        (false, true) => " <= ",
        (false, false) => " < ",
    }
}

fn direction(up: bool) -> &'static str {
    if up { "" } else { " DESC" }
}

/// The resources and their places in the order of the answer.
fn in_order(step: &Step, mut places: Vec<Place>) -> (Vec<ResourceId>, Vec<Place>) {
    if step.backwards {
        places.reverse();
    }
    (places.iter().map(|place| place.id).collect(), places)
}

/// Places are made for one order; only a mistake of ours brings one into another.
fn strayed() -> Error {
    Error::Corrupt("a place of another order".into())
}

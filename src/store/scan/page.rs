//! Pages by index (RFC 7644 section 3.4.2.4), each with the exact total. A page that goes on where the last one ended is a
//! step of a walk; only a jump, and the first question of its kind, have to look at everything that matches.

use std::collections::{BTreeSet, HashMap};

use scim::filter::{Checked, Filter};

use super::place::{Cut, Heading, Place, Step};
use super::walk::Order;
use super::{Page, Search};
use crate::contain::Part;
use crate::plan::Access;
use crate::{Error, Record, ResourceId};

/// An answer is large from this part of a type on.
const MANY: u64 = 8;

impl Search<'_> {
    pub(super) fn run(mut self) -> Result<Page, Error> {
        let filter = self.filter.clone().filter(|filter| *filter != Filter::Const(true));
        let mut page = match filter {
            None => self.everything(),
            Some(filter) => match self.certain(&filter)? {
                Some(page) => Ok(page),
                None => match self.arranged(&filter)? {
                    Some(places) => self.part_of(&places, HashMap::new()),
                    None => match self.onwards(&filter)? {
                        Some(page) => Ok(page),
                        None => self.matching(&filter),
                    },
                },
            },
        }?;
        page.touched = self.touched;
        Ok(page)
    }

    /// No condition: the total is known and the order is an index.
    fn everything(&mut self) -> Result<Page, Error> {
        let total = self.population();
        if self.query.count == 0 || (self.query.start > total && self.query.mark.is_none()) {
            return Ok(page(total));
        }
        match self.order() {
            Some(order) => self.along(order, None, total),
            None => {
                let places = self.test(None, &Filter::Const(true))?.0;
                let ids: Vec<ResourceId> = self.page_of(&places).into_iter().map(|place| place.id).collect();
                Ok(Page { hits: self.reader.hits(self.tenant, &ids, self.query)?, ..page(total) })
            }
        }
    }

    /// What an index answers without the filter having to run: one condition whose keys the index holds.
    fn certain(&mut self, filter: &Filter<Checked>) -> Result<Option<Page>, Error> {
        let Some(access) = self.exact(filter) else { return Ok(None) };
        if let Access::Part(part) = &access {
            return self.holding(part, filter);
        }
        if let Access::Index { .. } = access {
            let order = match self.order() {
                Some(order) if order.runs_along(&access) => order,
                Some(Order::Id) => return self.by_id(access, filter),
                _ => return Ok(None),
            };
            let total = match self.remembered(filter)? {
                Some(total) => total,
                None => {
                    let total = access.count(&mut self.reader.db, self.tenant, self.kind)?;
                    self.touched += total;
                    self.remember(filter, total, total);
                    total
                }
            };
            return match self.query.count {
                0 => Ok(Some(page(total))),
                _ => self.along(order, Some(&access), total).map(Some),
            };
        }
        let ids: Vec<ResourceId> = self.candidates(Some(access))?.unwrap_or_default();
        let records = self.records(&ids)?;
        let total = records.len() as u64;
        if self.query.count == 0 || self.query.start > total {
            return Ok(Some(page(total)));
        }
        let hits = self.show(records, false)?;
        Ok(Some(Page { hits, ..page(total) }))
    }

    /// What an index answers in another order than by id: its entries are gathered, and the page is cut out of them.
    fn by_id(&mut self, access: Access, filter: &Filter<Checked>) -> Result<Option<Page>, Error> {
        if self.are_many(filter)? {
            return Ok(None);
        }
        let ids = self.candidates(Some(access))?.unwrap_or_default();
        let places: Vec<Place> = ids.into_iter().map(|id| Place { key: None, id }).collect();
        self.cut_out(&places, filter).map(Some)
    }

    /// What holds a text: the keys say it, and their order where it is asked for; documents are read for the page alone.
    fn holding(&mut self, part: &Part, filter: &Filter<Checked>) -> Result<Option<Page>, Error> {
        let order = self.order().filter(|order| matches!(order, Order::Id) || *order == Order::Path(part.path));
        let Some(order) = order else { return Ok(None) };
        if self.are_many(filter)? {
            return Ok(None);
        }
        let found = part.holders(&mut self.reader.db, self.tenant, self.query.limit)?;
        if !found.is_exact {
            return Ok(None);
        }
        let by_key = order != Order::Id;
        let places: BTreeSet<Place> =
            found.rows.into_iter().map(|(key, id)| Place { key: by_key.then_some(key), id }).collect();
        self.cut_out(&places.into_iter().collect::<Vec<_>>(), filter).map(Some)
    }

    /// Whether so large a part of the type matches, as far as is known, that testing what comes next fills a page sooner
    /// than gathering all of them.
    fn are_many(&mut self, filter: &Filter<Checked>) -> Result<bool, Error> {
        let known = self.remembered(filter)?;
        Ok(known.is_some_and(|total| total.saturating_mul(MANY) >= self.population()))
    }

    /// The page of all places that there are.
    fn cut_out(&mut self, places: &[Place], filter: &Filter<Checked>) -> Result<Page, Error> {
        let total = places.len() as u64;
        self.touched += total;
        self.remember(filter, total, total);
        let places = self.page_of(places);
        let ids: Vec<ResourceId> = places.iter().map(|place| place.id).collect();
        let hits = self.reader.hits(self.tenant, &ids, self.query)?;
        Ok(Page { hits, end: places.into_iter().next_back(), ..page(total) })
    }

    /// The page as a range of an index: from the mark, or else behind so many others.
    fn along(&mut self, order: Order, along: Option<&Access>, total: u64) -> Result<Page, Error> {
        let up = !self.descending();
        let (bound, skipped) = match &self.query.mark {
            Some(mark) => (Some((mark.clone(), false)), 0),
            None => (None, self.query.start.saturating_sub(1)),
        };
        let mut heading = Heading { up, bound };
        if skipped >= total && heading.bound.is_none() {
            return Ok(page(total));
        }
        // The one before the page: its place is found in the index alone, and from there it is a step.
        if let Some(before) = skipped.checked_sub(1) {
            let Some(place) = self.slice(order, along, &heading, 1, before)?.pop() else { return Ok(page(total)) };
            heading.bound = Some((place, false));
        }
        let count = usize::try_from(self.query.count).unwrap_or(usize::MAX);
        if let (Order::Id, None) = (order, along) {
            let records = self.run_of_records(&heading, count)?;
            let end = records.last().map(|record| Place { key: None, id: record.id });
            let dense = self.is_dense();
            return Ok(Page { hits: self.show(records, dense)?, end, ..page(total) });
        }
        let places = self.places(order, along, &heading, count)?;
        let ids: Vec<ResourceId> = places.iter().map(|place| place.id).collect();
        let end = places.into_iter().next_back();
        Ok(Page { hits: self.reader.hits(self.tenant, &ids, self.query)?, end, ..page(total) })
    }

    /// The page as a step of a walk, where the total is known and so is the place where the page begins.
    fn onwards(&mut self, filter: &Filter<Checked>) -> Result<Option<Page>, Error> {
        let from = match (&self.query.mark, self.query.start) {
            (Some(mark), _) => Cut::After(mark.clone()),
            (None, 1) => Cut::Start,
            (None, _) if self.query.count == 0 => Cut::End,
            _ => return Ok(None),
        };
        let Some(total) = self.remembered(filter)? else { return Ok(None) };
        if self.query.count == 0 {
            return Ok(Some(page(total)));
        }
        // Where all of it is one page, the walk would be no shorter than a look at all candidates.
        if self.order().is_none() || total <= self.query.count {
            return Ok(None);
        }
        let step = Step { from, backwards: false, wanted: self.query.count, budget: self.query.limit };
        let stretch = self.step(&step)?;
        let is_short = (stretch.hits.len() as u64) < self.query.count && stretch.rest.is_some();
        if is_short {
            // So few match that the walk would be longer than looking at all candidates.
            return Ok(None);
        }
        let end = match stretch.rest {
            Some(Cut::After(place)) => Some(place),
            _ => None,
        };
        Ok(Some(Page { hits: stretch.hits, end, ..page(total) }))
    }

    /// A condition: candidates are proposed, tested, ordered, and the page is cut out.
    fn matching(&mut self, filter: &Filter<Checked>) -> Result<Page, Error> {
        let access = self.cheapest(filter)?;
        let candidates = self.candidates(access)?;
        let tested = candidates.as_ref().map_or_else(|| self.population(), |candidates| candidates.len() as u64);
        let (places, kept) = self.test(candidates, filter)?;
        self.remember(filter, places.len() as u64, tested);
        self.arrange(filter, &places);
        self.part_of(&places, kept)
    }

    /// The page of all who match.
    fn part_of(&mut self, places: &[Place], kept: HashMap<ResourceId, Record>) -> Result<Page, Error> {
        let total = places.len() as u64;
        if self.query.count == 0 {
            return Ok(page(total));
        }
        let places = self.page_of(places);
        let ids: Vec<ResourceId> = places.iter().map(|place| place.id).collect();
        let end = places.into_iter().next_back().filter(|_| self.order().is_some());
        Ok(Page { hits: self.finish(&ids, kept)?, end, ..page(total) })
    }
}

/// A page without resources.
fn page(total: u64) -> Page {
    Page { total, hits: Vec::new(), end: None, touched: 0 }
}

//! Searches over several resource types with one order (RFC 7644 section 3.4.2.3): the answers of the types are merged,
//! each read no further than the page needs. A place in the merged order is a sort key and an id, which say where to
//! go on in every type, so that cursors and marks hold one place here too.

use std::cmp::Ordering;
use std::collections::HashMap;

use scim::filter::Target;
use scim::key;
use scim::page::ListResponse;
use scim::query::SearchRequest;
use store::scan::{Cut, Hit, Place, Sort, Step, orders};
use store::{Reader, ResourceId};

use super::cursor::Binding;
use super::mark::Mark;
use super::membership::is_membership;
use super::search::{Leg, Parts};
use super::{Ctx, Directory, Error};

/// Resources passed over at a time on the way to a page without a mark.
const PASSED: u64 = 1_000;

/// What a page takes from all types together.
struct Take {
    hits: Vec<(usize, Hit)>,
    rest: Option<Cut>,
}

/// Gives each type an order that can be merged: one without the attribute is in order of the ids, in the direction asked
/// for. Where the caller may see the attribute in no type, nothing is ordered by it.
pub(super) fn align(parts: &mut Parts, request: &SearchRequest) -> bool {
    // Memberships have places of their own kind.
    if parts.len() < 2 || request.sort_by.is_none() || parts.iter().any(|(query, _)| is_membership(&query.definition)) {
        return false;
    }
    for (query, _) in parts {
        let seen = query.sort.as_ref().is_some_and(|sort| orders(query.view(), &sort.target));
        if !seen {
            let id = Target::resolve(&query.definition, "id");
            query.sort = id.map(|target| Sort { target, descending: request.descending });
        }
    }
    true
}

impl Directory {
    /// The page of the merged answer that begins at `start_index`.
    pub(super) fn merged_pages(
        &self,
        reader: &mut Reader,
        ctx: &Ctx,
        parts: &Parts,
        binding: &Binding,
        (start_index, count): (u64, u64),
    ) -> Result<ListResponse, Error> {
        let mut total = 0;
        for (query, _) in parts {
            let mut query = query.clone();
            query.count = 0;
            total += reader.search(ctx.tenant, &query)?.total;
        }
        let mark = if start_index > 1 { self.marks.find(binding, start_index) } else { None };
        let (mut from, mut skipped) = match mark {
            Some(mark) => (Some(Cut::After(mark.place.clone())), 0),
            None => (Some(Cut::Start), start_index.saturating_sub(1)),
        };
        if count == 0 || skipped >= total {
            from = None;
        }
        let mut resources = Vec::new();
        while let Some(cut) = from.take() {
            let left = count.saturating_sub(resources.len() as u64);
            let wanted = if skipped > 0 { skipped.min(PASSED) } else { left };
            if wanted == 0 {
                from = Some(cut);
                break;
            }
            let take = self.take(
                reader,
                ctx,
                parts,
                &Step { from: cut, backwards: false, wanted, budget: self.limits.scan.max(1) },
            )?;
            from = take.rest;
            if skipped > 0 {
                skipped = skipped.saturating_sub(take.hits.len() as u64);
            } else {
                resources.extend(self.present_all(ctx, parts, take.hits)?);
            }
        }
        if let Some(Cut::After(place)) = from {
            self.marks.keep(binding, start_index.saturating_add(count), Mark { part: 0, place });
        }
        let (total_results, start_index) = (Some(total), Some(start_index));
        Ok(ListResponse { total_results, start_index, resources, ..ListResponse::default() })
    }

    /// A page of a walk by cursor through the merged answer.
    pub(super) fn merged_leg(
        &self,
        reader: &mut Reader,
        ctx: &Ctx,
        parts: &Parts,
        from: Cut,
        (backwards, count): (bool, u64),
    ) -> Result<Leg, Error> {
        let seq = reader.head(ctx.tenant)?.0;
        let is_first = from == Cut::Start && !backwards;
        let mut total = Some(0);
        for (query, _) in parts {
            total = total.zip(reader.known_total(ctx.tenant, query)?).map(|(sum, of_part)| sum + of_part);
        }
        let take =
            self.take(reader, ctx, parts, &Step { from, backwards, wanted: count, budget: self.limits.scan.max(1) })?;
        let resources = self.present_all(ctx, parts, take.hits)?;
        if take.rest.is_none() && is_first {
            total = Some(resources.len() as u64);
        }
        Ok(Leg { resources, rest: take.rest.map(|cut| (0, cut)), total, seq })
    }

    /// One step through all types.
    fn take(&self, reader: &mut Reader, ctx: &Ctx, parts: &Parts, step: &Step) -> Result<Take, Error> {
        let mut found: Vec<(Place, usize, Hit)> = Vec::new();
        // Beyond it some type has not been looked at.
        let mut horizon: Option<Place> = None;
        let descending = parts.iter().any(|(query, _)| query.sort.as_ref().is_some_and(|sort| sort.descending));
        let order = Order { descending, backwards: step.backwards };
        for (part, (query, _)) in parts.iter().enumerate() {
            let by_id = query.sort.as_ref().is_none_or(|sort| &*sort.target.canonical == "id");
            let own = Step { from: order.within(&step.from, by_id), ..step.clone() };
            let stretch = reader.walk(ctx.tenant, query, &own)?;
            let mut places: HashMap<ResourceId, Place> =
                stretch.places.into_iter().map(|place| (place.id, place)).collect();
            let hits =
                stretch.hits.into_iter().filter_map(|hit| Some((merged(places.remove(&hit.record.id)?), part, hit)));
            found.extend(hits);
            match stretch.rest {
                None => {}
                Some(Cut::Before(place) | Cut::After(place)) => {
                    let place = merged(place);
                    if horizon.as_ref().is_none_or(|known| order.compare(&place, known) == Ordering::Less) {
                        horizon = Some(place);
                    }
                }
                // Nothing of this type was looked at.
                Some(Cut::Start | Cut::End) => return Ok(Take { hits: Vec::new(), rest: Some(step.from.clone()) }),
            }
        }
        found.sort_by(|(one, ..), (other, ..)| order.compare(one, other));
        if let Some(horizon) = &horizon {
            found.retain(|(place, ..)| order.compare(place, horizon) != Ordering::Greater);
        }
        let wanted = usize::try_from(step.wanted).unwrap_or(usize::MAX);
        let passed = match found.len() > wanted {
            true => wanted.checked_sub(1).and_then(|last| found.get(last)).map(|(place, ..)| place.clone()),
            false => horizon,
        };
        found.truncate(wanted);
        if step.backwards {
            found.reverse();
        }
        let rest = passed.map(|place| if step.backwards { Cut::Before(place) } else { Cut::After(place) });
        Ok(Take { hits: found.into_iter().map(|(_, part, hit)| (part, hit)).collect(), rest })
    }

    fn present_all(&self, ctx: &Ctx, parts: &Parts, hits: Vec<(usize, Hit)>) -> Result<Vec<String>, Error> {
        let of = |(part, hit): (usize, Hit)| {
            let (query, projection) = parts.get(part)?;
            Some(self.present_hits(ctx, &query.definition, &[hit], projection))
        };
        Ok(hits.into_iter().filter_map(of).collect::<Result<Vec<_>, Error>>()?.concat())
    }
}

/// A place of one type as one in the merged order.
fn merged(place: Place) -> Place {
    Place { key: Some(place.key.unwrap_or_else(|| key::ABSENT.to_owned())), ..place }
}

/// The order in which a step goes.
#[derive(Clone, Copy)]
struct Order {
    descending: bool,
    backwards: bool,
}

impl Order {
    /// Which comes first on the way.
    fn compare(self, one: &Place, other: &Place) -> Ordering {
        let order = one.cmp(other);
        if self.descending == self.backwards { order } else { order.reverse() }
    }

    /// A gap of the merged order in a type that is ordered by id alone, as all of it is without a value.
    fn within(self, cut: &Cut, by_id: bool) -> Cut {
        let bare = |place: &Place| match place.key.as_deref() {
            Some(key::ABSENT) | None => Ok(Place { key: None, id: place.id }),
            // Values come before their absence, or after it.
            Some(_) => Err(if self.descending { Cut::End } else { Cut::Start }),
        };
        match cut {
            Cut::Before(place) if by_id => bare(place).map_or_else(|whole| whole, Cut::Before),
            Cut::After(place) if by_id => bare(place).map_or_else(|whole| whole, Cut::After),
            other => other.clone(),
        }
    }
}

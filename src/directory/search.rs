//! Searches (RFC 7644 sections 3.4.2 and 3.4.3), paged by index or by cursor (RFC 9865).

use std::sync::Arc;

use scim::filter::{Checked, Filter, Target};
use scim::page::ListResponse;
use scim::query::SearchRequest;
use scim::resource::{MEMBERS, Projection};
use scim::schema::Definition;
use store::scan::{Cut, Page, Query, Sort, Step, Stretch, orders};
use store::{Reader, Seq};

use super::audit::is_audit;
use super::cursor::{Binding, Cursor, PURPOSE};
use super::mark::Mark;
use super::membership::is_membership;
use super::merge;
use super::render::has_groups;
use super::{Ctx, Directory, Error};

/// The answer to a search.
#[derive(Clone, Debug)]
pub struct Found {
    /// A ListResponse, JSON.
    pub body: String,
    /// On the first page of a walk by cursor: the newest change that the page has seen.
    pub feed_position: Option<Seq>,
}

/// What to ask of each resource type, and what of it to answer.
pub(super) type Parts = Vec<(Query, Projection)>;

/// A place in the answer: which part, and where in it.
pub(super) type Spot = (usize, Cut);

/// A page of a walk by cursor, before its cursors are sealed.
pub(super) struct Leg {
    pub(super) resources: Vec<String>,
    /// Where the next page in the same direction begins.
    pub(super) rest: Option<Spot>,
    pub(super) total: Option<u64>,
    pub(super) seq: Seq,
}

impl Directory {
    /// Searches one resource type, or several, and answers with a ListResponse as JSON text. Several come one after the
    /// other in the order given, or with `sortBy` in one order; an attribute that one of them lacks has no value there.
    ///
    /// With a cursor, whatever exists and matches throughout the walk appears exactly once: in id order always, and with
    /// `sortBy` if its sort key does not change meanwhile. Fails with 400 invalidCursor, expiredCursor or invalidCount.
    pub async fn search(
        &self,
        ctx: &Ctx,
        definitions: &[Arc<Definition>],
        request: &SearchRequest,
    ) -> Result<Found, Error> {
        let found = self.search_any(ctx, definitions, request).await?;
        self.remember_released(ctx, "search").await?;
        Ok(found)
    }

    async fn search_any(
        &self,
        ctx: &Ctx,
        definitions: &[Arc<Definition>],
        request: &SearchRequest,
    ) -> Result<Found, Error> {
        if definitions.iter().all(|definition| definition.secrets().is_empty()) {
            return self.search_known(ctx, definitions, request).await;
        }
        if !Directory::asks_about_secrets(definitions, request)? {
            for definition in definitions {
                let projection = Projection::parse(definition, &request.attributes, &request.excluded)?;
                self.remember_keys(ctx, definition, &projection).await;
            }
            return self.search_known(ctx, definitions, request).await;
        }
        loop {
            let keys = self.secret_keys(ctx.tenant).await?;
            let concealed = Directory::conceal(ctx, definitions, request, &keys)?;
            let found = self.search_known(ctx, definitions, &concealed).await?;
            // A rotation that began or ended meanwhile has other keys, and what was found may not be all.
            if self.secret_keys(ctx.tenant).await? == keys {
                return Ok(found);
            }
        }
    }

    /// The same for a request that names no secret value any more.
    async fn search_known(
        &self,
        ctx: &Ctx,
        definitions: &[Arc<Definition>],
        request: &SearchRequest,
    ) -> Result<Found, Error> {
        if let [definition] = definitions
            && is_audit(definition)
        {
            return self.search_audit(ctx, definition, request).await;
        }
        if let Some(found) = self.look_up(ctx, definitions, request).await? {
            return Ok(found);
        }
        let mut parts = self.parts(ctx, definitions, request)?;
        let is_merged = merge::align(&mut parts, request);
        let binding = bind(ctx, &parts, request);
        let count = request.count.unwrap_or(self.limits.page_default).min(self.limits.page_max);
        if let Some(cursor) = &request.cursor {
            return self.follow(ctx, (parts, is_merged), &binding, cursor, request.count, count).await;
        }
        let (directory, caller, start_index) = (self.clone(), ctx.clone(), request.start_index);
        let read = move |reader: &mut Reader| match is_merged {
            true => directory.merged_pages(reader, &caller, &parts, &binding, (start_index, count)),
            false => directory.pages(reader, &caller, parts, &binding, start_index, count),
        };
        let body = self.store.read_for(ctx.tenant, move |reader| reader.snapshot(read)).await?.to_json();
        Ok(Found { body, feed_position: None })
    }

    /// The page that begins at `start_index` of the parts laid end to end.
    fn pages(
        &self,
        reader: &mut Reader,
        ctx: &Ctx,
        parts: Parts,
        binding: &Binding,
        start_index: u64,
        count: u64,
    ) -> Result<ListResponse, Error> {
        let mark = if start_index > 1 { self.marks.find(binding, start_index) } else { None };
        let mut total_results = 0;
        let mut resources = Vec::new();
        let mut end = None;
        for (part, (mut query, projection)) in parts.into_iter().enumerate() {
            query.start = start_index.saturating_sub(total_results).max(1);
            query.count = count.saturating_sub(resources.len() as u64);
            if let Some(mark) = &mark {
                match part.cmp(&mark.part) {
                    std::cmp::Ordering::Less => query.count = 0,
                    std::cmp::Ordering::Equal => query.mark = Some(mark.place.clone()),
                    std::cmp::Ordering::Greater => query.start = 1,
                }
            }
            let page = self.page(reader, ctx, &query, &projection, binding)?;
            total_results += page.total;
            if !page.hits.is_empty() {
                end = page.end.map(|place| Mark { part, place });
            }
            resources.extend(page.hits);
        }
        if let Some(end) = end.filter(|_| resources.len() as u64 == count) {
            self.marks.keep(binding, start_index.saturating_add(count), end);
        }
        let (total_results, start_index) = (Some(total_results), Some(start_index));
        Ok(ListResponse { total_results, start_index, resources, ..ListResponse::default() })
    }

    /// The page of a cursor; an empty one is the first page's.
    async fn follow(
        &self,
        ctx: &Ctx,
        (parts, is_merged): (Parts, bool),
        binding: &Binding,
        cursor: &str,
        asked: Option<u64>,
        count: u64,
    ) -> Result<Found, Error> {
        let key = self.seal_key(ctx, PURPOSE).await?;
        let epoch = self.epoch(ctx).await?;
        let is_first = cursor.is_empty();
        let ((part, from), backwards) = if is_first {
            ((0, Cut::Start), false)
        } else {
            let now = (ctx.now, epoch, self.limits.cursor_seconds);
            let cursor = Cursor::open(cursor, &key, binding, asked, now)?;
            ((usize::from(cursor.part), cursor.from), cursor.backwards)
        };
        let origin = (part, from);
        let (directory, caller, start) = (self.clone(), ctx.clone(), origin.clone());
        let bound = binding.clone();
        let read = move |reader: &mut Reader| match count {
            0 => directory.count(reader, &caller, parts, &bound),
            _ if is_merged => directory.merged_leg(reader, &caller, &parts, start.1, (backwards, count)),
            _ => directory.leg(reader, &caller, &parts, &bound, (start, backwards), count),
        };
        let leg = self.store.read_for(ctx.tenant, move |reader| reader.snapshot(read)).await?;

        let seal = |(part, from): Spot, backwards| {
            let part = u16::try_from(part).unwrap_or(u16::MAX);
            let cursor = Cursor { issued_at: ctx.now, epoch, count: asked, backwards, part, from };
            cursor.seal(&key, binding, &ctx.random)
        };
        // The page on the other side of where this one began.
        let other = if is_first { None } else { Some(seal(origin, !backwards)?) };
        let same = leg.rest.map(|spot| seal(spot, backwards)).transpose()?;
        let (next_cursor, previous_cursor) = if backwards { (other, same) } else { (same, other) };
        let response = ListResponse {
            total_results: leg.total,
            start_index: None,
            next_cursor,
            previous_cursor,
            resources: leg.resources,
        };
        Ok(Found { body: response.to_json(), feed_position: is_first.then_some(leg.seq) })
    }

    /// No page, the total alone: `count` is 0.
    fn count(&self, reader: &mut Reader, ctx: &Ctx, parts: Parts, binding: &Binding) -> Result<Leg, Error> {
        let mut total = 0;
        for (mut query, projection) in parts {
            query.count = 0;
            total += self.page(reader, ctx, &query, &projection, binding)?.total;
        }
        Ok(Leg { resources: Vec::new(), rest: None, total: Some(total), seq: reader.head(ctx.tenant)?.0 })
    }

    /// At most `count` resources from a spot on, through one part after the other.
    fn leg(
        &self,
        reader: &mut Reader,
        ctx: &Ctx,
        parts: &Parts,
        binding: &Binding,
        ((mut part, mut from), backwards): (Spot, bool),
        count: u64,
    ) -> Result<Leg, Error> {
        let is_first = part == 0 && from == Cut::Start && !backwards;
        let seq = reader.head(ctx.tenant)?.0;
        let mut totals = Vec::new();
        for (query, _) in parts {
            totals.push(match is_membership(&query.definition) {
                true => self.count_memberships(reader, ctx, query, binding, is_first)?,
                false => reader.known_total(ctx.tenant, query)?,
            });
        }
        let (mut left, mut budget) = (count, self.limits.scan);
        let mut stretches = Vec::new();
        let mut rest = None;
        while let Some((query, projection)) = parts.get(part) {
            let step = Step { from, backwards, wanted: left, budget };
            let stretch = self.stretch(reader, ctx, query, projection, &step)?;
            left = left.saturating_sub(stretch.hits.len() as u64);
            budget = budget.saturating_sub(stretch.tested);
            if let Some(total) = totals.get_mut(part) {
                *total = total.or(stretch.total);
            }
            stretches.push(stretch.hits);
            if let Some(cut) = stretch.rest {
                rest = Some((part, cut));
                break;
            }
            let next = if backwards { part.checked_sub(1) } else { part.checked_add(1) };
            let Some(next) = next else { break };
            (part, from) = (next, if backwards { Cut::End } else { Cut::Start });
        }
        if backwards {
            stretches.reverse();
        }
        let resources: Vec<String> = stretches.into_iter().flatten().collect();
        let total = match &rest {
            None if is_first => Some(resources.len() as u64),
            _ => totals.into_iter().sum(),
        };
        Ok(Leg { resources, rest, total, seq })
    }

    /// A page as texts.
    fn page(
        &self,
        reader: &mut Reader,
        ctx: &Ctx,
        query: &Query,
        projection: &Projection,
        binding: &Binding,
    ) -> Result<Page<String>, Error> {
        if is_membership(&query.definition) {
            return self.page_of_memberships(reader, ctx, query, projection, binding);
        }
        let page = reader.search(ctx.tenant, query)?;
        let hits = self.present_hits(ctx, &query.definition, &page.hits, projection)?;
        Ok(Page { total: page.total, hits, end: page.end, touched: page.touched })
    }

    /// A step as texts.
    fn stretch(
        &self,
        reader: &mut Reader,
        ctx: &Ctx,
        query: &Query,
        projection: &Projection,
        step: &Step,
    ) -> Result<Stretch<String>, Error> {
        if is_membership(&query.definition) {
            return self.stretch_of_memberships(reader, ctx, query, projection, step);
        }
        let stretch = reader.walk(ctx.tenant, query, step)?;
        let hits = self.present_hits(ctx, &query.definition, &stretch.hits, projection)?;
        Ok(Stretch { hits, places: stretch.places, rest: stretch.rest, total: stretch.total, tested: stretch.tested })
    }

    /// What to ask of each resource type, and what of it to answer.
    fn parts(&self, ctx: &Ctx, definitions: &[Arc<Definition>], request: &SearchRequest) -> Result<Parts, Error> {
        let filters = filters(definitions, request.filter.as_deref())?;
        let sorts = sorts(definitions, request)?;
        definitions
            .iter()
            .zip(filters.into_iter().zip(sorts))
            .map(|(definition, (filter, sort))| {
                let projection = Projection::parse(definition, &request.attributes, &request.excluded)?;
                let view = ctx.view(definition);
                let ordering = |target: Target| if orders(view, &target) { view.ordering(target) } else { target };
                let sort = sort.map(|sort| Sort { target: ordering(sort.target), ..sort });
                let query = Query {
                    filter,
                    sort,
                    with_members: projection.wants(MEMBERS) && definition.core.attribute(MEMBERS).is_some(),
                    with_groups: projection.wants("groups") && has_groups(definition),
                    ..self.query_of(ctx, definition)
                };
                Ok((query, projection))
            })
            .collect()
    }

    /// A query for everything of a resource type that the caller may see.
    pub(super) fn query_of(&self, ctx: &Ctx, definition: &Arc<Definition>) -> Query {
        Query {
            definition: definition.clone(),
            filter: None,
            views: ctx.views.clone(),
            sort: None,
            start: 1,
            mark: None,
            count: 0,
            domain: ctx.caller.domain,
            base_url: ctx.base_url.clone(),
            lens: ctx.lens(),
            limit: self.limits.scan,
            with_members: false,
            member_limit: self.limits.page_members,
            with_groups: false,
        }
    }
}

impl Ctx {
    /// 403 sensitive when a search that came in a URL filters by an attribute that the caller must keep out of URLs, as
    /// those end up in logs (RFC 7644 section 7.5.2).
    pub fn check_sensitive(&self, definitions: &[Arc<Definition>], request: &SearchRequest) -> Result<(), Error> {
        Ctx::check_secrets(definitions, request)?;
        if self.caller.sensitive.is_empty() {
            return Ok(());
        }
        let filters = filters(definitions, request.filter.as_deref())?;
        let is_within = |path: &str, named: &str| {
            let rest = path.get(..named.len()).filter(|head| head.eq_ignore_ascii_case(named));
            rest.is_some_and(|_| matches!(path.as_bytes().get(named.len()), None | Some(b'.')))
        };
        for path in filters.iter().flatten().flat_map(Filter::attributes) {
            if self.caller.sensitive.iter().any(|named| is_within(path, named)) {
                let detail = format!("A filter by {path} must not stand in a URL. Send it to .search with POST.");
                return Err(scim::Error::new(scim::ScimType::Sensitive, detail).into());
            }
        }
        Ok(())
    }
}

fn filters(definitions: &[Arc<Definition>], text: Option<&str>) -> Result<Vec<Option<Filter<Checked>>>, Error> {
    let Some(text) = text else { return Ok(vec![None; definitions.len()]) };
    let parsed = Filter::parse(text)?;
    let checked = match definitions {
        [definition] => vec![parsed.check(definition)?],
        several => parsed.check_any(&several.iter().map(AsRef::as_ref).collect::<Vec<_>>())?,
    };
    Ok(checked.into_iter().map(Some).collect())
}

/// The order of each resource type; a path that all of them lack is 400 invalidPath.
fn sorts(definitions: &[Arc<Definition>], request: &SearchRequest) -> Result<Vec<Option<Sort>>, Error> {
    let Some(path) = &request.sort_by else { return Ok(vec![None; definitions.len()]) };
    let targets: Vec<Option<Target>> = definitions.iter().map(|definition| sort_target(definition, path)).collect();
    if targets.iter().all(Option::is_none) {
        let detail = format!("sortBy: {path} is not an attribute that orders. Name one with simple values.");
        return Err(scim::Error::invalid_path(detail).into());
    }
    let descending = request.descending;
    Ok(targets.into_iter().map(|target| Some(Sort { target: target?, descending })).collect())
}

fn sort_target(definition: &Definition, path: &str) -> Option<Target> {
    Target::resolve(definition, path)?.comparable().cloned()
}

/// What must stay the same from page to page. The filter is taken as it was understood, so that its spelling may vary.
fn bind(ctx: &Ctx, parts: &Parts, request: &SearchRequest) -> Binding {
    let mut words = Vec::new();
    for (query, _) in parts {
        words.push(query.definition.name().to_owned());
        words.push(query.filter.as_ref().map_or_else(String::new, ToString::to_string));
        words.push(query.sort.as_ref().map_or_else(String::new, |sort| sort.target.canonical.to_string()));
    }
    words.push(if request.descending { "descending" } else { "ascending" }.to_owned());
    for list in [&request.attributes, &request.excluded] {
        let mut names: Vec<String> = list.iter().map(|name| name.to_ascii_lowercase()).collect();
        names.sort_unstable();
        words.push(names.join(","));
    }
    Binding::new(ctx, words.iter().map(String::as_str))
}

//! Searching events and reading one. A page by index has its total, so a filter looks at all that may fit, up to the scan
//! limit; a page by cursor ends there instead, and may be short.

use std::sync::Arc;

use scim::filter::{Checked, Filter};
use scim::page::ListResponse;
use scim::query::SearchRequest;
use scim::resource::Projection;
use scim::schema::Definition;
use serde_json::{Map, Value};
use store::audit::Span;
use store::scan::{Cut, Place};
use store::{Reader, ResourceId, TenantId};

use super::AUDIT_EVENT;
use super::walk::{Narrowed, Walk, narrow, version_of};
use crate::directory::cursor::{Binding, Cursor, PURPOSE};
use crate::directory::{Ctx, Directory, Error, Fetched, Found, Precondition};

/// Numbers of the change and of the entry that a page ends before.
type Ends = (i64, i64);

impl Directory {
    /// Searches events.
    pub(in crate::directory) async fn search_audit(
        &self,
        ctx: &Ctx,
        definition: &Arc<Definition>,
        request: &SearchRequest,
    ) -> Result<Found, Error> {
        check_order(request)?;
        let filter = request.filter.as_deref().map(|text| Filter::parse(text)?.check(definition)).transpose()?;
        let projection = Projection::parse(definition, &request.attributes, &request.excluded)?;
        let count = request.count.unwrap_or(self.limits.page_default).min(self.limits.page_max);
        let printed = filter.as_ref().map_or_else(String::new, ToString::to_string);
        let names = [request.attributes.join(","), request.excluded.join(",")];
        let binding = Binding::new(ctx, [AUDIT_EVENT, &printed].into_iter().chain(names.iter().map(String::as_str)));
        let question = Question {
            filter,
            projection,
            definition: definition.clone(),
            base_url: ctx.base_url.clone(),
            count,
            limit: self.limits.scan,
        };
        let tenant = ctx.tenant;
        let Some(cursor) = &request.cursor else {
            let start = request.start_index;
            let read = move |reader: &mut Reader| question.page(reader, tenant, start);
            let list: ListResponse = self.store.read_for(tenant, move |reader| reader.snapshot(read)).await?;
            return Ok(Found { body: list.to_json(), feed_position: None });
        };
        let (key, epoch) = (self.seal_key(ctx, PURPOSE).await?, self.epoch(ctx).await?);
        let from = match cursor.as_str() {
            "" => None,
            text => {
                let now = (ctx.now, epoch, self.limits.cursor_seconds);
                Some(ends_of(&Cursor::open(text, &key, &binding, request.count, now)?)?)
            }
        };
        let read = move |reader: &mut Reader| question.leg(reader, tenant, from);
        let (mut list, rest): (ListResponse, _) =
            self.store.read_for(tenant, move |reader| reader.snapshot(read)).await?;
        if let Some((change, entry)) = rest {
            let place = Place { key: Some(format!("{change} {entry}")), id: ResourceId::SYSTEM };
            let from = Cut::After(place);
            let cursor = Cursor { issued_at: ctx.now, epoch, count: request.count, backwards: false, part: 0, from };
            list.next_cursor = Some(cursor.seal(&key, &binding, &ctx.random)?);
        }
        Ok(Found { body: list.to_json(), feed_position: None })
    }

    /// One event.
    pub(in crate::directory) async fn fetch_audit(
        &self,
        ctx: &Ctx,
        definition: &Arc<Definition>,
        id: &str,
        precondition: &Precondition,
        projection: &Projection,
    ) -> Result<Fetched, Error> {
        let absent = || Error::from(scim::Error::not_found(AUDIT_EVENT, id));
        let (kind, number) = id.split_once('-').ok_or_else(absent)?;
        let number = number.parse::<i64>().ok().filter(|n| *n > 0 && n.to_string() == number).ok_or_else(absent)?;
        let one = (number, number.saturating_add(1));
        let span = match kind {
            "change" => Span { changes: one, entries: (0, 0) },
            "audit" => Span { changes: (0, 0), entries: one },
            _ => return Err(absent()),
        };
        let (tenant, base_url) = (ctx.tenant, ctx.base_url.clone());
        let read = move |reader: &mut Reader| {
            let mut walk = Walk::new(reader, tenant, &Narrowed { span, resource: None });
            let Some(event) = walk.next()? else { return Ok(None) };
            walk.document(&event, &base_url).map(Some)
        };
        let found: Result<_, Error> = self.store.read_for(tenant, move |reader| reader.snapshot(read)).await;
        let mut document = found?.ok_or_else(absent)?;
        let etag = version_of(id);
        if precondition.if_none_match.as_ref().is_some_and(|tags| tags.match_whole(&etag)) {
            return Ok(Fetched::NotModified { etag });
        }
        projection.apply(definition, &mut document);
        let location = format!("{}/AuditEvents/{id}", ctx.base_url);
        Ok(Fetched::Found { etag, location, body: Value::Object(document).to_string() })
    }
}

/// A search with all read that needs no database.
struct Question {
    filter: Option<Filter<Checked>>,
    projection: Projection,
    definition: Arc<Definition>,
    base_url: Arc<str>,
    count: u64,
    limit: u64,
}

impl Question {
    fn text(&self, mut document: Map<String, Value>) -> String {
        self.projection.apply(&self.definition, &mut document);
        Value::Object(document).to_string()
    }

    fn fits(&self, document: &Map<String, Value>) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.matches(document))
    }

    /// The page that begins at `start`. With a filter all that may fit is looked at, for the total.
    fn page(&self, reader: &mut Reader, tenant: TenantId, start: u64) -> Result<ListResponse, Error> {
        let narrowed = narrow(reader, tenant, self.filter.as_ref())?;
        let everything = all(&narrowed.span);
        let (mut walk, mut tested, mut total) = (Walk::new(reader, tenant, &narrowed), 0_u64, 0_u64);
        let (first, end) = (start.max(1), start.max(1).saturating_add(self.count));
        let mut resources = Vec::new();
        while self.filter.is_some() || total.saturating_add(1) < end {
            let Some(event) = walk.next()? else { break };
            tested += 1;
            if tested > self.limit {
                return Err(store::Error::TooMany { limit: self.limit }.into());
            }
            // Without a filter what is passed over need not be put into words.
            if self.filter.is_none() && total.saturating_add(1) < first {
                total += 1;
                continue;
            }
            let document = walk.document(&event, &self.base_url)?;
            if self.fits(&document) {
                total += 1;
                if (first..end).contains(&total) {
                    resources.push(self.text(document));
                }
            }
        }
        let total = if self.filter.is_some() { total } else { everything };
        Ok(ListResponse { total_results: Some(total), start_index: Some(first), resources, ..ListResponse::default() })
    }

    /// At most `count` events below the places given, and where to go on. A page may be short where much has to be
    /// looked at for it.
    fn leg(
        &self,
        reader: &mut Reader,
        tenant: TenantId,
        from: Option<Ends>,
    ) -> Result<(ListResponse, Option<Ends>), Error> {
        let mut narrowed = narrow(reader, tenant, self.filter.as_ref())?;
        let total = (from.is_none() && self.filter.is_none()).then(|| all(&narrowed.span));
        if let Some((change, entry)) = from {
            narrowed.span.changes.1 = narrowed.span.changes.1.min(change);
            narrowed.span.entries.1 = narrowed.span.entries.1.min(entry);
        }
        let (mut walk, mut tested) = (Walk::new(reader, tenant, &narrowed), 0);
        let mut resources = Vec::new();
        let mut ended = false;
        while (resources.len() as u64) < self.count && tested < self.limit {
            let Some(event) = walk.next()? else {
                ended = true;
                break;
            };
            tested += 1;
            let document = walk.document(&event, &self.base_url)?;
            if self.fits(&document) {
                resources.push(self.text(document));
            }
        }
        let left = walk.left;
        let rest = (left.changes.1, left.entries.1);
        let is_more = !ended && all(&left) > 0 && self.count > 0;
        Ok((ListResponse { total_results: total, resources, ..ListResponse::default() }, is_more.then_some(rest)))
    }
}

fn all(span: &Span) -> u64 {
    let between = |(from, below): (i64, i64)| u64::try_from(below.saturating_sub(from)).unwrap_or_default();
    between(span.changes) + between(span.entries)
}

/// Where a cursor leads.
fn ends_of(cursor: &Cursor) -> Result<Ends, Error> {
    let read = || {
        let Cut::After(Place { key: Some(key), .. }) = &cursor.from else { return None };
        let (change, entry) = key.split_once(' ')?;
        Some((change.parse().ok()?, entry.parse().ok()?))
    };
    read().ok_or_else(|| store::Error::Corrupt("a cursor of events leads nowhere".into()).into())
}

/// Events come in one order alone.
fn check_order(request: &SearchRequest) -> Result<(), Error> {
    match &request.sort_by {
        Some(path) if !path.eq_ignore_ascii_case("when") || !request.descending => {
            let detail = "sortBy: events come the newest first: sortBy when, sortOrder descending, or neither.";
            Err(scim::Error::invalid_value(detail).into())
        }
        _ => Ok(()),
    }
}

//! What an auditor can read: every write, act of administration and denied request as one kind of resource, `/AuditEvents`,
//! and what is remembered beside the changes. Events are derived: a change of a resource is one already, and all else is an
//! entry of the audit's own chain ([`store::audit`]). The newest come first; instants, kinds and resources in a filter
//! narrow what is looked at, and everything else is tested event by event up to the scan limit.
//!
//! Nobody writes here by the protocol. [`Directory::remember`] returns when what it was given is durable.

use std::collections::HashMap;
use std::sync::Arc;

use scim::filter::{Checked, Filter, Op};
use scim::key::instant;
use scim::page::ListResponse;
use scim::query::SearchRequest;
use scim::resource::Projection;
use scim::schema::Definition;
use serde_json::{Map, Value, json};
use store::audit::{Audited, Entry, Span};
use store::scan::{Cut, Place};
use store::work::Origin;
use store::{By, Change, Reader, ResourceId, TenantId, format_instant};
use uuid::Uuid;

use super::cursor::{Binding, Cursor, PURPOSE};
use super::{Ctx, Directory, Error, Fetched, Found, Precondition, Random};

/// The resource type.
pub const AUDIT_EVENT: &str = "AuditEvent";
const URN: &str = "urn:matrikel:scim:schemas:1.0:AuditEvent";

/// A request that was denied.
pub const DENIED: &str = "denied";
/// An act of administration.
pub const ADMINISTRATION: &str = "administration";
/// A change of a resource.
pub const WRITE: &str = "write";

/// Resource types whose changes are acts of administration.
const ADMINISTERED: [&str; 4] = ["Client", "View", "Schema", "ResourceType"];

/// Events read at a time.
const SLICE: usize = 256;

/// Whether resources of the type are events.
pub(super) fn is_audit(definition: &Definition) -> bool {
    definition.name() == AUDIT_EVENT
}

/// One event before it is shown.
enum Event {
    Change(Box<Change>),
    Entry(Audited),
}

impl Event {
    fn at(&self) -> i64 {
        match self {
            Event::Change(change) => change.at,
            Event::Entry(entry) => entry.at,
        }
    }
}

/// What of all events can be in an answer.
struct Narrowed {
    span: Span,
    resource: Option<ResourceId>,
}

/// Events, the newest first.
struct Walk<'r> {
    reader: &'r mut Reader,
    tenant: TenantId,
    /// What has not been handed out yet.
    left: Span,
    resource: Option<ResourceId>,
    /// Read and not handed out, the newest last.
    changes: Vec<Change>,
    entries: Vec<Audited>,
    names: HashMap<ResourceId, Option<String>>,
}

impl<'r> Walk<'r> {
    fn new(reader: &'r mut Reader, tenant: TenantId, narrowed: &Narrowed) -> Self {
        let (changes, entries) = (Vec::new(), Vec::new());
        let Narrowed { span, resource } = *narrowed;
        Walk { reader, tenant, left: span, resource, changes, entries, names: HashMap::new() }
    }

    fn next(&mut self) -> Result<Option<Event>, Error> {
        let Span { changes, entries } = self.left;
        if self.changes.is_empty() && changes.0 < changes.1 {
            self.changes = self.reader.traces(self.tenant, changes, self.resource, SLICE)?;
            self.changes.reverse();
            if self.changes.is_empty() {
                self.left.changes.1 = changes.0;
            }
        }
        if self.entries.is_empty() && entries.0 < entries.1 {
            self.entries = self.reader.audited(self.tenant, entries, SLICE)?;
            self.entries.reverse();
            if self.entries.is_empty() {
                self.left.entries.1 = entries.0;
            }
        }
        let entry_is_newer = match (self.changes.last(), self.entries.last()) {
            (Some(change), Some(entry)) => entry.at >= change.at,
            (change, _) => change.is_none(),
        };
        if entry_is_newer {
            let Some(entry) = self.entries.pop() else { return Ok(None) };
            self.left.entries.1 = entry.n;
            return Ok(Some(Event::Entry(entry)));
        }
        let Some(change) = self.changes.pop() else { return Ok(None) };
        self.left.changes.1 = change.seq;
        Ok(Some(Event::Change(Box::new(change))))
    }

    /// What the clients of the register are called.
    fn name_of(&mut self, client: ResourceId) -> Result<Option<String>, Error> {
        if client == ResourceId::SYSTEM {
            return Ok(Some("operator".to_owned()));
        }
        if let Some(name) = self.names.get(&client) {
            return Ok(name.clone());
        }
        let name = self.reader.record(self.tenant, client)?.map(|record| record.label);
        self.names.insert(client, name.clone());
        Ok(name)
    }

    /// The event as a resource.
    fn document(&mut self, event: &Event, base_url: &str) -> Result<Map<String, Value>, Error> {
        let (id, mut document) = match event {
            Event::Change(change) => (format!("change-{}", change.seq), self.of_change(change)?),
            Event::Entry(entry) => {
                let erased = || Ok(Map::new());
                let content = entry.content.as_deref().map_or_else(erased, |content| {
                    serde_json::from_str(content).map_err(|error| store::Error::Corrupt(error.to_string()))
                })?;
                (format!("audit-{}", entry.n), content)
            }
        };
        let when = format_instant(event.at());
        document.insert("schemas".into(), json!([URN]));
        document.insert("id".into(), id.as_str().into());
        document.insert("when".into(), when.as_str().into());
        if let Event::Entry(entry) = event {
            document.insert("kind".into(), entry.kind.as_str().into());
        }
        let location = format!("{base_url}/AuditEvents/{id}");
        let meta = json!({
            "resourceType": AUDIT_EVENT, "created": when, "lastModified": when, "location": location,
            "version": version_of(&id),
        });
        document.insert("meta".into(), meta);
        Ok(document)
    }

    fn of_change(&mut self, change: &Change) -> Result<Map<String, Value>, Error> {
        let kind = if ADMINISTERED.contains(&change.kind.as_str()) { ADMINISTRATION } else { WRITE };
        let mut document = Map::new();
        document.insert("kind".into(), kind.into());
        document.insert("operation".into(), change.op.as_str().into());
        let mut actor = Map::new();
        actor.insert("value".into(), change.actor.to_string().into());
        if let Some(name) = self.name_of(change.actor)? {
            actor.insert("display".into(), name.into());
        }
        document.insert("actor".into(), actor.into());
        document.extend(means(&change.by));
        document.insert("transaction".into(), change.txn.to_string().into());
        let resource = json!({
            "value": change.resource.to_string(), "type": change.kind, "version": change.version,
        });
        document.insert("resource".into(), resource);
        if change.op == store::change::Op::Members {
            document.insert("attributes".into(), json!(["members"]));
        }
        document.insert("outcome".into(), json!({ "result": "done" }));
        Ok(document)
    }
}

/// By what means something was done.
fn means(by: &By) -> Map<String, Value> {
    let credential = by.credential.map(|credential| credential.to_string());
    let address = by.address.map(|address| address.to_string());
    let request = by.request.as_deref().map(str::to_owned);
    let named = [("credential", credential), ("address", address), ("requestId", request)];
    named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into()))).collect()
}

fn version_of(id: &str) -> String {
    format!("W/\"{id}\"")
}

/// A request that was denied, as far as it is known whose it was.
#[derive(Clone, Debug)]
pub struct Denial {
    /// µs since 1970.
    pub at: i64,
    /// The client and its name.
    pub client: Option<(ResourceId, Arc<str>)>,
    /// By what means it came.
    pub by: By,
    /// HTTP method.
    pub method: String,
    /// Without its query, and without names that the server did not give.
    pub path: String,
    /// The resource that the path names, and its type.
    pub resource: (Option<Uuid>, Option<String>),
    /// HTTP status.
    pub status: u16,
    /// What the client was told.
    pub reason: String,
    /// How many such requests this one stands for.
    pub count: u64,
}

impl Denial {
    /// The entry that tells of it.
    pub fn entry(&self) -> Entry {
        let mut content = Map::new();
        content.insert("operation".into(), "request".into());
        if let Some((id, name)) = &self.client {
            content.insert("actor".into(), json!({ "value": id.to_string(), "display": &**name }));
        }
        content.extend(means(&self.by));
        content.insert("method".into(), self.method.as_str().into());
        content.insert("path".into(), self.path.as_str().into());
        let (id, kind) = &self.resource;
        let mut resource = Map::new();
        resource.extend(id.map(|id| ("value".to_owned(), id.to_string().into())));
        resource.extend(kind.as_ref().map(|kind| ("type".to_owned(), kind.as_str().into())));
        if !resource.is_empty() {
            content.insert("resource".into(), resource.into());
        }
        let outcome = json!({ "result": "denied", "status": self.status, "reason": self.reason });
        content.insert("outcome".into(), outcome);
        content.insert("count".into(), self.count.into());
        Entry { at: self.at, kind: DENIED, content: Value::Object(content).to_string() }
    }
}

impl Directory {
    /// Remembers entries; they are durable when this returns. Fails as a write does.
    pub async fn remember(&self, tenant: TenantId, now: i64, entries: Vec<Entry>) -> Result<(), Error> {
        let origin = Origin { actor: ResourceId::SYSTEM, cause: "audit", by: By::default(), now, random: Random::os() };
        self.store
            .write(tenant, origin, move |work| {
                entries.iter().for_each(|entry| work.audit(entry.clone()));
                Ok::<_, Error>(())
            })
            .await
    }

    /// Remembers an act of administration that changes no resource, such as `tenantSuspend`; `about` is what it was about,
    /// attributes of the event.
    pub async fn remember_act(&self, ctx: &Ctx, operation: &str, about: Map<String, Value>) -> Result<(), Error> {
        let mut content = about;
        content.insert("operation".into(), operation.into());
        let actor = json!({ "value": ctx.caller.id.to_string(), "display": &*ctx.caller.name });
        content.insert("actor".into(), actor);
        content.extend(means(&ctx.by));
        content.insert("outcome".into(), json!({ "result": "done" }));
        let content = Value::Object(content).to_string();
        self.remember(ctx.tenant, ctx.now, vec![Entry { at: ctx.now, kind: ADMINISTRATION, content }]).await
    }

    /// Searches events.
    pub(super) async fn search_audit(
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
            let list: ListResponse = self.store.read(move |reader| reader.snapshot(read)).await?;
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
        let (mut list, rest): (ListResponse, _) = self.store.read(move |reader| reader.snapshot(read)).await?;
        if let Some((change, entry)) = rest {
            let place = Place { key: Some(format!("{change} {entry}")), id: ResourceId::SYSTEM };
            let from = Cut::After(place);
            let cursor = Cursor { issued_at: ctx.now, epoch, count: request.count, backwards: false, part: 0, from };
            list.next_cursor = Some(cursor.seal(&key, &binding, &ctx.random)?);
        }
        Ok(Found { body: list.to_json(), feed_position: None })
    }

    /// One event.
    pub(super) async fn fetch_audit(
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
        let found: Result<_, Error> = self.store.read(move |reader| reader.snapshot(read)).await;
        let mut document = found?.ok_or_else(absent)?;
        let etag = version_of(id);
        if precondition.if_none_match.as_ref().is_some_and(|tags| tags.match_whole(&etag)) {
            return Ok(Fetched::NotModified { etag });
        }
        projection.apply(definition, &mut document);
        let location = format!("{}/AuditEvents/{id}", ctx.base_url);
        Ok(Fetched::Found { etag, location, body: Value::Object(document).to_string() })
    }

    /// Hands every event of a tenant that fits to `take`, the newest first, from one snapshot and without a limit.
    /// `take` says whether to go on.
    pub async fn each_event(
        &self,
        tenant: TenantId,
        filter: Option<&str>,
        mut take: impl FnMut(&Map<String, Value>) -> bool + Send + 'static,
    ) -> Result<(), Error> {
        let definition = self.registry.definition(AUDIT_EVENT).cloned();
        let definition = definition.ok_or_else(|| store::Error::Corrupt("there is no type AuditEvent".into()))?;
        let filter = filter.map(|text| Filter::parse(text)?.check(&definition)).transpose()?;
        let read = move |reader: &mut Reader| {
            let narrowed = narrow(reader, tenant, filter.as_ref())?;
            let mut walk = Walk::new(reader, tenant, &narrowed);
            while let Some(event) = walk.next()? {
                let mut document = walk.document(&event, "")?;
                let fits = filter.as_ref().is_none_or(|filter| filter.matches(&document));
                // There is no address that could be asked for it.
                document.shift_remove("meta");
                if fits && !take(&document) {
                    break;
                }
            }
            Ok::<_, Error>(())
        };
        self.store.read(move |reader| reader.snapshot(read)).await
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
    #[expect(clippy::type_complexity, reason = "a page and the numbers of the next change and entry")]
    fn leg(
        &self,
        reader: &mut Reader,
        tenant: TenantId,
        from: Option<(i64, i64)>,
    ) -> Result<(ListResponse, Option<(i64, i64)>), Error> {
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
fn ends_of(cursor: &Cursor) -> Result<(i64, i64), Error> {
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

/// What of all events may fit: the filter's own conditions on when, kind and resource.
fn narrow(reader: &mut Reader, tenant: TenantId, filter: Option<&Filter<Checked>>) -> Result<Narrowed, Error> {
    let mut span = reader.audit_span(tenant)?;
    let conditions = match filter {
        Some(Filter::And(parts)) => parts.as_slice(),
        Some(filter) => std::slice::from_ref(filter),
        None => &[],
    };
    let (mut from, mut below, mut resource): (Option<i64>, Option<i64>, _) = (None, None, None);
    for condition in conditions {
        let Filter::Compare(target, op, operand) = condition else { continue };
        let text = operand.raw.as_str().unwrap_or_default();
        match (&*target.canonical, op) {
            ("when", Op::Gt | Op::Ge | Op::Eq | Op::Lt | Op::Le) => {
                let Some(at) = instant(text) else { continue };
                if matches!(op, Op::Gt | Op::Ge | Op::Eq) {
                    from = from.max(Some(at));
                }
                if matches!(op, Op::Lt | Op::Le | Op::Eq) {
                    // Finer parts than a microsecond are cut off: what equals is within.
                    let end = at.saturating_add(1);
                    below = Some(below.map_or(end, |below| below.min(end)));
                }
            }
            ("resource.value", Op::Eq) => match text.parse() {
                Ok(id) => resource = Some(id),
                Err(()) => span.changes.1 = span.changes.0,
            },
            ("kind", Op::Eq) if text == WRITE => span.entries.1 = span.entries.0,
            ("kind", Op::Eq) if text != ADMINISTRATION => span.changes.1 = span.changes.0,
            _ => {}
        }
    }
    let span = reader.audit_between(tenant, span, (from, below))?;
    Ok(Narrowed { span, resource })
}

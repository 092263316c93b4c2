//! Writes as a simulation: the operations of a bulk request, run by the units of one in a work that is thrown away. What is told
//! is everything that they would touch, whoever names it. They hold what people are to become, so they are kept sealed beside
//! the simulation and go with its result. Applied, all of them are one write, on behalf of whoever decided.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use scim::bulk::{BulkRequest, Method, parse};
use scim::resource::{Notes, Strictness};
use scim::schema::Definition;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{Reader, ResourceId, TenantId, Work};

use super::carry::{Found, Passed, Simulator};
use super::image::Image;
use super::item::Item;
use super::record::{Document, Hold, end};
use super::sight::{self, Onlookers};
use super::slice::{Slice, Teller, Way};
use super::{SIMULATION, State, attempts, lists, strict};
use crate::directory::bulk::Rehearsed;
use crate::directory::feeds::RUN;
use crate::directory::scope::{self, Access};
use crate::directory::settle::USER;
use crate::directory::work_items::WORK_ITEM;
use crate::directory::{Ctx, Directory, Error, guard, units};

/// The list that they lie in.
pub(in crate::directory) const LIST: &str = "operation";
/// So many are asked about at most, as in a bulk request.
const MOST: usize = 1_000;
/// Why an operation touches nothing.
const IDLE: &str = "It would change nothing.";
const OPERATIONS: &str = "operations";
const WRITES: &str = "writes";

/// What was asked, as it is kept.
#[derive(Debug, Serialize, Deserialize)]
struct Asked {
    /// The client that asked; `None`: the operator.
    by: Option<String>,
    operations: Vec<Value>,
    /// The ids of what POSTs create, so that they are the same each time.
    ids: Vec<String>,
}

/// Writes that would be made.
pub(super) struct Writes {
    ctx: Ctx,
    rehearsed: Rehearsed,
    ids: Vec<ResourceId>,
}

impl Writes {
    /// On whose behalf they would be made.
    pub(super) fn ctx(&self) -> &Ctx {
        &self.ctx
    }
}

/// Whether a simulation is about writes.
pub(super) fn are_asked(document: &Document) -> bool {
    document.contains_key(WRITES) || document.contains_key(OPERATIONS)
}

/// The operations as a bulk request has them.
fn listed(document: &Document) -> Result<Vec<Value>, scim::Error> {
    let mut operations = document.get(OPERATIONS).and_then(Value::as_array).cloned().unwrap_or_default();
    for (place, operation) in operations.iter_mut().enumerate() {
        let Some(operation) = operation.as_object_mut() else { continue };
        let Some(text) = operation.get("data").and_then(Value::as_str) else { continue };
        let body: Option<Value> = serde_json::from_str(text).ok().filter(Value::is_object);
        let none =
            || scim::Error::invalid_value(format!("{OPERATIONS}[{place}].data is not the text of a JSON object."));
        operation.insert("data".to_owned(), body.ok_or_else(none)?);
    }
    Ok(operations)
}

fn request(operations: &[Value]) -> Result<BulkRequest, scim::Error> {
    let message = json!({ "schemas": [scim::bulk::BULK_REQUEST_URN], "Operations": operations });
    parse(message, MOST, Strictness::Tolerant, &mut Notes::new())
}

/// Checks what the document of a simulation asks, and that it asks nothing else. Errors are 400.
pub(super) fn check(document: &Document) -> Result<(), scim::Error> {
    if !document.contains_key(OPERATIONS) {
        return Ok(());
    }
    request(&listed(document)?)?;
    let others = ["activate", "deprecate", "policies", "units", "withdraw", "undo", "asOf", "filter"];
    match others.into_iter().find(|name| document.contains_key(*name)) {
        Some(other) => Err(scim::Error::invalid_value(format!(
            "{OPERATIONS} goes without {other}: it is about these writes alone."
        ))),
        None => Ok(()),
    }
}

/// Takes the texts of bodies as well as the bodies themselves, as in a bulk request.
pub(in crate::directory) fn body<'b>(definition: &Definition, mut body: Cow<'b, Value>) -> Cow<'b, Value> {
    if definition.name() != SIMULATION {
        return body;
    }
    let members = body.to_mut().as_object_mut().into_iter().flatten();
    let asked = members.filter(|(name, _)| name.eq_ignore_ascii_case(OPERATIONS));
    for operation in asked.filter_map(|(_, listed)| listed.as_array_mut()).flatten() {
        let members = operation.as_object_mut().into_iter().flatten();
        for (_, data) in members.filter(|(name, data)| name.eq_ignore_ascii_case("data") && data.is_object()) {
            *data = data.to_string().into();
        }
    }
    body
}

/// Whether operations on resources of a type can be asked about; the error says how else.
fn permit(ctx: &Ctx, definition: &Definition) -> Result<(), String> {
    let kind = definition.name();
    if scope::is_administrative(kind) || units::are(definition) {
        return Err(format!(
            "Operations are about people, groups and the like, not about a {kind}: rules, policies and units have attributes of \
             their own in a simulation."
        ));
    }
    match ctx.caller.scopes.allow(kind, Access::Write) {
        true => Ok(()),
        false => Err(format!("Whoever asks lacks the scope {}.", scope::needed(kind, Access::Write))),
    }
}

/// What is no part of a result: the register's own book-keeping.
fn is_told(kind: &str) -> bool {
    ![SIMULATION, RUN, WORK_ITEM].contains(&kind)
}

impl Directory {
    /// Takes the operations out of a simulation that is about to be created, sealed, to be kept in [`LIST`] beside it.
    pub(in crate::directory) async fn enclosed(
        &self,
        ctx: &Ctx,
        definition: &Definition,
        id: ResourceId,
        document: &mut Document,
    ) -> Result<Vec<(i64, Vec<u8>)>, Error> {
        if definition.name() != SIMULATION || !document.contains_key(OPERATIONS) {
            return Ok(Vec::new());
        }
        let operations = listed(document)?;
        document.shift_remove(OPERATIONS);
        document.insert(WRITES.to_owned(), operations.len().into());
        let ids = operations.iter().map(|_| Ok(ctx.random.resource_id(ctx.now)?.to_string()));
        let ids = ids.collect::<Result<_, store::Error>>()?;
        let by = (ctx.caller.id != ResourceId::SYSTEM).then(|| ctx.caller.id.to_string());
        self.seal_run_items(ctx, id, [(1, Asked { by, operations, ids })]).await
    }

    /// The writes that a simulation is about, on behalf of who decided, or asked. Fails where they were erased, or their client
    /// is gone.
    pub(super) async fn simulated_writes(
        &self,
        ctx: &Ctx,
        id: ResourceId,
        document: &Document,
    ) -> Result<Writes, Error> {
        let asked: Option<(i64, Asked)> = self.run_items(ctx, id, LIST, (0, 1)).await?.pop();
        let erased = || scim::Error::status(409, "What was asked is erased. Ask anew.");
        let (_, asked) = asked.ok_or_else(erased)?;
        let decided = document.get("decided");
        let by = match decided {
            Some(decided) => decided.get("by").and_then(Value::as_str),
            None => asked.by.as_deref(),
        };
        let user = decided.and_then(|decided| decided.get("user")?.as_str()?.parse().ok());
        let mut doing = match by.and_then(|by| by.parse::<ResourceId>().ok()) {
            Some(client) => {
                let gone = || Error::Denied("The client that asked is gone or not active.".to_owned());
                self.context_of(ctx, client).await?.ok_or_else(gone)?
            }
            None => ctx.clone(),
        };
        Arc::make_mut(&mut doing.caller).user = user;
        // What is too much is told, and decided on, beforehand.
        doing.weighed = true;
        let ids = asked.ids.iter().map(|id| id.parse().map_err(|()| store::Error::Corrupt("an id is none".into())));
        let ids = ids.collect::<Result<Vec<ResourceId>, _>>()?;
        let rehearsed =
            self.prepare_bulk(&doing, request(&asked.operations)?, |kind| permit(&doing, kind), &ids).await?;
        Ok(Writes { ctx: doing, rehearsed, ids })
    }
}

/// What the writes touch.
fn touched(writes: &Writes, work: &mut Work<'_>) -> Result<BTreeMap<ResourceId, String>, Error> {
    let mut touched = BTreeMap::new();
    writes.rehearsed.rehearse(work, |_, work| {
        for change in work.changes().iter().filter(|change| is_told(&change.kind)) {
            touched.insert(change.resource, change.kind.clone());
            touched.extend(change.members.iter().map(|delta| (delta.member, delta.kind.clone())));
        }
        Ok(())
    })?;
    Ok(touched)
}

/// Works all of it out: what is touched is found first, and looked at before and after.
pub(super) fn work_out(way: &Way, writes: &Writes, reader: &mut Reader) -> Result<Slice, Error> {
    let tenant = way.ctx.tenant;
    let all = reader.simulate(tenant, writes.ctx.origin(), |work| touched(writes, work))?;
    reader.simulate(tenant, writes.ctx.origin(), |work| {
        let seq = (work.seq(), work.book_seq());
        let mut slice = Slice::new(all.len() as u64, seq, Default::default());
        slice.passed = all.len() as u64;
        let user = work.catalog().registry().definition(USER).cloned();
        let user = user.ok_or_else(|| scim::Error::invalid_value("There is no resource type User."))?;
        let mut onlookers = Onlookers::of(&way.ctx, &way.document, work)?;
        let mut teller = Teller::new(&user, way.ctx.now, work);
        let mut before = Vec::new();
        for (id, kind) in &all {
            let shown = if kind == USER { onlookers.look(&user, *id, work)? } else { Vec::new() };
            before.push((*id, kind.as_str(), Image::of(kind, *id, work)?, shown));
        }
        let mut items = Vec::new();
        writes.rehearsed.rehearse(work, |operations, work| {
            slice.tally.take_in(guard::tally(work)?);
            if work.changes().is_empty() {
                let idle = operations.iter().filter_map(|index| alone(writes, *index, "kept", IDLE.to_owned()));
                items.extend(idle);
            }
            Ok(())
        })?;
        let refused = writes.rehearsed.refused();
        items.extend(refused.filter_map(|(index, error)| alone(writes, index, "failed", error.to_string())));
        for (id, kind, was, shown) in &before {
            slice.counts.users += u64::from(*kind == USER);
            let is = Image::of(kind, *id, work)?;
            let Some(mut item) = was.told(&is, (kind, *id), &mut teller, work)? else { continue };
            item.op = match (was.is_there(), is.is_there()) {
                (false, _) => "created",
                (_, false) => "purged",
                _ => "changed",
            }
            .to_owned();
            item.kind = (*kind != USER).then(|| (*kind).to_owned());
            if *kind == USER {
                let shows = onlookers.look(&user, *id, work)?;
                item.views = onlookers.tell(shown, &shows);
            }
            items.push(item);
        }
        items.sort_by(|one, other| one.id.cmp(&other.id));
        items.into_iter().for_each(|item| slice.add(item));
        sight::add(&mut slice.shifts, onlookers.shifts);
        Ok(slice)
    })
}

/// An operation that touches nothing, as an item of its own, under an id of its own.
fn alone(writes: &Writes, index: usize, op: &str, reason: String) -> Option<Item> {
    let (id, operation) = (*writes.ids.get(index)?, writes.rehearsed.operation(index)?);
    let about = operation.id.as_deref().filter(|_| operation.method != Method::Post);
    let about = about.or(operation.bulk_id.as_deref()).unwrap_or_default();
    let display = format!("{} /{}/{about}", operation.method.as_str(), operation.endpoint);
    let display = display.trim_end_matches('/').to_owned();
    Some(Item { op: op.to_owned(), reason: Some(reason), ..Item::of(id, display, 0) })
}

impl Simulator {
    /// Carries out what was found, all in one write with the end of the simulation, if nothing that it touches has moved since.
    pub(super) async fn apply_writes(
        &self,
        tenant: TenantId,
        hold: &Hold,
        document: &Document,
        (found, writes): (Found, &Writes),
    ) -> Result<Passed, Error> {
        let recorded = self.recorded(tenant, hold, document).await?;
        let mut ending = self.told(State::Applied, document, &found);
        if let Some(ending) = ending.as_object_mut() {
            ending.insert("decision".into(), Value::Null);
        }
        let old = lists(attempts(document));
        let (ctx, todo) = (Ctx { now: self.ctx(tenant).now, ..writes.ctx.clone() }, writes.rehearsed.todo());
        let (moment, hold, origin) = ((found.seq, found.book), hold.clone(), ctx.origin());
        let write = self.directory.store().write(tenant, origin, move |work| {
            let (record, document) = match strict::unmoved(&hold, moment, Some(&recorded), work)? {
                Ok(found) => found,
                Err(passed) => return Ok(passed),
            };
            todo.run(work)?;
            end(&ctx, work, &record, document, &ending, &[old.objects, old.targets, LIST])?;
            Ok::<_, Error>(Passed::Over)
        });
        write.await
    }
}

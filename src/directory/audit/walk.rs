//! Changes and entries of the audit as one sequence of events, the newest first, and each as a resource. Reads in slices
//! by number, from the end back, and no more than is taken.

use std::collections::HashMap;

use scim::filter::{Checked, Filter, Op};
use scim::key::instant;
use serde_json::{Map, Value, json};
use store::audit::{Audited, Span};
use store::{Change, Reader, ResourceId, TenantId, format_instant};

use super::{ADMINISTRATION, AUDIT_EVENT, WRITE, means};
use crate::directory::Error;
use crate::directory::scope::is_administrative;

const URN: &str = "urn:matrikel:scim:schemas:1.0:AuditEvent";

/// What a tenant adds to its register, besides the resource types that administer it.
const TYPES: [&str; 2] = ["Schema", "ResourceType"];

/// Events read at a time.
const SLICE: usize = 256;

/// One event before it is shown.
pub(super) enum Event {
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
pub(super) struct Narrowed {
    pub(super) span: Span,
    pub(super) resource: Option<ResourceId>,
}

/// Events, the newest first.
pub(super) struct Walk<'r> {
    reader: &'r mut Reader,
    tenant: TenantId,
    /// What has not been handed out yet.
    pub(super) left: Span,
    resource: Option<ResourceId>,
    /// Read and not handed out, the newest last.
    changes: Vec<Change>,
    entries: Vec<Audited>,
    names: HashMap<ResourceId, Option<String>>,
}

impl<'r> Walk<'r> {
    pub(super) fn new(reader: &'r mut Reader, tenant: TenantId, narrowed: &Narrowed) -> Self {
        let (changes, entries) = (Vec::new(), Vec::new());
        let Narrowed { span, resource } = *narrowed;
        Walk { reader, tenant, left: span, resource, changes, entries, names: HashMap::new() }
    }

    pub(super) fn next(&mut self) -> Result<Option<Event>, Error> {
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
    pub(super) fn document(&mut self, event: &Event, base_url: &str) -> Result<Map<String, Value>, Error> {
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
        let is_act = is_administrative(&change.kind) || TYPES.contains(&change.kind.as_str());
        let kind = if is_act { ADMINISTRATION } else { WRITE };
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

pub(super) fn version_of(id: &str) -> String {
    format!("W/\"{id}\"")
}

/// What of all events may fit: the filter's own conditions on when, kind and resource.
pub(super) fn narrow(
    reader: &mut Reader,
    tenant: TenantId,
    filter: Option<&Filter<Checked>>,
) -> Result<Narrowed, Error> {
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

//! Feeds: files that a source sends from time to time, and what becomes of them. A feed (`/Feeds`) says whose it is and
//! how its columns become attributes; each file that comes is a run (`/Runs`), written by the server alone but for the
//! decision on one that is held. What a file says of one resource is an [`Entry`], carried out by the same steps as any
//! write, in one transaction with the note that it was said. Files are read elsewhere, in `intake`.

mod amend;
mod entry;
mod expiry;
mod item;
pub mod map;
mod run;
mod shown;

use scim::schema::Registry;
use serde_json::{Map as Object, Value};
use store::work::document_of;
use store::{Record, ResourceId};

use super::{Ctx, Directory, Error, clients};
use map::Map;

pub use amend::Saying;
pub use entry::{Done, Entry, Op, Outcome, Task, Wish, Write, is_gone, stored_op};
pub use item::{BODY, OBJECTS, REJECTS, WARNINGS};
pub use run::{Begin, Begun, Counts, Ending, RunState, Tripped};
pub(super) use run::{Undoing, attend, instant, object, write_own};

/// The resource type of feeds.
pub const FEED: &str = "Feed";
/// The resource type of their runs.
pub const RUN: &str = "Run";

/// All that goes with a run.
const LISTS: [&str; 4] = [BODY, REJECTS, OBJECTS, WARNINGS];

/// A feed as it is stored.
#[derive(Clone, Debug)]
pub struct Feed {
    /// Its id.
    pub id: ResourceId,
    /// Its name.
    pub name: String,
    /// The client as which it is carried out.
    pub client: ResourceId,
    /// Its document.
    pub document: Object<String, Value>,
}

impl Feed {
    fn of(record: &Record) -> Result<Self, store::Error> {
        let document = document_of(record)?;
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        let client = text(document.get("client").and_then(|client| client.get("value")));
        Ok(Feed {
            id: record.id,
            name: text(document.get("name")),
            client: client.parse().unwrap_or(ResourceId::SYSTEM),
            document,
        })
    }

    /// The text of its map.
    pub fn map(&self) -> &str {
        self.document.get("map").and_then(Value::as_str).unwrap_or_default()
    }

    /// When what was last carried out had been made, µs since 1970.
    pub fn extracted(&self) -> Option<i64> {
        run::instant(self.document.get("applied")?.get("extracted"))
    }

    /// How far the limits are raised at a moment, and by what was planned, if nobody has made use of it yet.
    pub fn raised(&self, now: i64) -> Option<(String, f64)> {
        let planned = self.document.get("planned").and_then(Value::as_array).into_iter().flatten();
        let mut open = planned.filter(|planned| planned.get("run").is_none()).filter(|planned| {
            run::instant(planned.get("from")).is_some_and(|from| from <= now)
                && run::instant(planned.get("until")).is_some_and(|until| now < until)
        });
        let planned = open.next()?;
        Some((planned.get("name")?.as_str()?.to_owned(), planned.get("percent")?.as_f64()?))
    }
}

/// Checks the document of a feed against the tenant's resource types. Fails with 400 invalidValue that names line and
/// column of the map.
pub(super) fn check(registry: &Registry, document: &Object<String, Value>) -> Result<(), scim::Error> {
    let text = |name: &str| document.get(name).and_then(Value::as_str).unwrap_or_default();
    let refuse = |detail: String| scim::Error::invalid_value(detail);
    Map::read(text("map"), registry).map_err(|faults| {
        let faults: Vec<String> = faults.iter().take(5).map(ToString::to_string).collect();
        refuse(format!("map: {}", faults.join(" ")))
    })?;
    let planned = document.get("planned").and_then(Value::as_array).into_iter().flatten();
    for (index, planned) in planned.enumerate() {
        let percent = planned.get("percent").and_then(Value::as_f64).unwrap_or_default();
        let (from, until) = (run::instant(planned.get("from")), run::instant(planned.get("until")));
        if !(0.0..=1_000.0).contains(&percent) || from >= until {
            return Err(refuse(format!("planned[{index}]: percent is not negative, and from comes before until.")));
        }
    }
    Ok(())
}

impl Directory {
    /// The feed of that name or id.
    pub async fn feed(&self, ctx: &Ctx, name: &str) -> Result<Option<Feed>, Error> {
        let tenant = ctx.tenant;
        let records: Vec<Record> = match name.parse::<ResourceId>() {
            Ok(id) => self.store.read_for(tenant, move |reader| reader.record(tenant, id)).await?.into_iter().collect(),
            Err(()) => self.store.read_for(tenant, move |reader| reader.records_of(tenant, FEED)).await?,
        };
        for record in records.iter().filter(|record| record.kind == FEED) {
            let feed = Feed::of(record)?;
            if feed.name.eq_ignore_ascii_case(name) || record.id.to_string() == name {
                return Ok(Some(feed));
            }
        }
        Ok(None)
    }

    /// The context in which a feed is carried out: that of its client, by the means of whoever asked for it. Fails as denied
    /// when the client is gone or not active.
    pub async fn feed_context(&self, ctx: &Ctx, feed: &Feed) -> Result<Ctx, Error> {
        let gone = || Error::Denied(format!("The client of the feed {} is gone or not active.", feed.name));
        let doing = self.context_of(ctx, feed.client).await?.ok_or_else(gone)?;
        Ok(Ctx { weighed: true, ..doing })
    }

    /// Makes the feed of a map for a client, or gives it the map. The operator's way; others write `/Feeds`.
    pub async fn put_feed(&self, ctx: &Ctx, client: &str, text: &str) -> Result<Feed, Error> {
        let client_id = clients::find(self, ctx, client).await?;
        let unknown = || Error::Scim(scim::Error::not_found(clients::CLIENT, client));
        let client_id = client_id.ok_or_else(unknown)?;
        let registry = self.fresh_catalog(ctx.tenant, ctx.now).await?.registry().clone();
        let definition = registry.definition(FEED).cloned();
        let definition = definition.ok_or_else(|| store::Error::Corrupt("there is no resource type Feed".into()))?;
        let map = Map::read(text, &registry).map_err(|faults| {
            let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
            scim::Error::invalid_value(faults.join("\n"))
        })?;
        let whole = scim::resource::Projection::whole(&definition);
        let body = serde_json::json!({
            "schemas": [definition.core.id], "name": map.source,
            "client": { "value": client_id.to_string() }, "map": text,
        });
        match self.feed(ctx, &map.source).await? {
            None => drop(self.create(ctx, &definition, body, &whole).await?),
            Some(feed) => {
                if feed.client != client_id {
                    return Err(Error::Denied(format!("The feed {} is of another client.", feed.name)));
                }
                let message = serde_json::json!({
                    "schemas": [scim::patch::PATCH_OP_URN],
                    "Operations": [{ "op": "replace", "path": "map", "value": text }],
                });
                let (id, none) = (feed.id.to_string(), super::Precondition::none());
                self.patch(ctx, &definition, &id, message, &none, &whole).await?;
            }
        }
        self.feed(ctx, &map.source).await?.ok_or_else(|| store::Error::NotFound.into())
    }
}

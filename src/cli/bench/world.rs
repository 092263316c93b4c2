//! The register that is measured on: people loaded by Bulk over several connections, groups for those who are read, and
//! what the driver must remember of them to check every answer.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::time::Instant;

use anyhow::{Context, ensure};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::ResourceId;
use uuid::Uuid;

use super::measure::Link;
use super::people::People;
use super::subject::Subject;
use super::wire::Connection;

/// Operations of one Bulk request while loading.
pub(super) const BULK: u64 = 1_000;
/// Groups that each reader is in directly.
pub(super) const DIRECT: usize = 10;
/// Groups that each reader is in through others.
pub(super) const INDIRECT: usize = 3;
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const BULK_REQUEST: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";

/// What is remembered of a loaded register.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Loaded {
    /// The seed of its people.
    pub(super) seed: u64,
    /// How many were loaded.
    pub(super) size: u64,
    /// The ids of the people, by number.
    pub(super) ids: Vec<Uuid>,
    /// The tenant.
    pub(super) tenant: i64,
    /// A token of an administrator.
    pub(super) token: String,
    /// People a second while it was loaded.
    pub(super) rate: f64,
    /// Processor time of the server for each, in µs.
    pub(super) cpu: f64,
}

/// The register, and whatever has been done to it.
pub(super) struct World {
    /// The server.
    pub(super) subject: Subject,
    /// Who everybody is.
    pub(super) people: People,
    /// What was loaded.
    pub(super) loaded: Loaded,
    /// The number of the next person to be created.
    next: Cell<u64>,
    /// Whoever was created since, until they were deleted.
    pub(super) created: RefCell<HashMap<u64, Uuid>>,
    /// Ids that were deleted.
    pub(super) deleted: RefCell<Vec<Uuid>>,
    /// Titles that were written last.
    pub(super) titles: RefCell<HashMap<Uuid, String>>,
}

impl World {
    /// A register as it was just loaded.
    pub(super) fn new(subject: Subject, loaded: Loaded) -> Self {
        let people = People { size: loaded.size, seed: loaded.seed };
        World {
            subject,
            people,
            next: Cell::new(loaded.size),
            loaded,
            created: RefCell::default(),
            deleted: RefCell::default(),
            titles: RefCell::default(),
        }
    }

    /// How many people each pool has: those who are read, those who are patched, and so on.
    pub(super) fn pool(&self) -> u64 {
        (self.people.size / 20).clamp(1, 10_000)
    }

    /// The number of the `n`th person of a pool. Pools lie spread over the register and have nobody in common.
    pub(super) fn of_pool(&self, pool: u64, n: u64) -> u64 {
        let stride = self.people.size / self.pool();
        (n % self.pool()) * stride + pool % stride.max(1)
    }

    /// The id of a loaded person.
    pub(super) fn id(&self, number: u64) -> anyhow::Result<Uuid> {
        let place = usize::try_from(number)?;
        self.loaded.ids.get(place).copied().with_context(|| format!("there is no person {number}"))
    }

    /// The id that a person has by now.
    pub(super) fn current_id(&self, number: u64) -> anyhow::Result<Uuid> {
        let renewed = self.created.borrow().get(&number).copied();
        renewed.map_or_else(|| self.id(number), Ok)
    }

    /// How many people there are by now.
    pub(super) fn population(&self) -> u64 {
        self.people.size + self.created.borrow().keys().filter(|number| **number >= self.people.size).count() as u64
    }

    /// The number of a person who does not exist yet.
    pub(super) fn newcomer(&self) -> u64 {
        let number = self.next.get();
        self.next.set(number + 1);
        number
    }

    /// Sends one request and returns status and body.
    pub(super) async fn ask(&self, request: &[u8]) -> anyhow::Result<(u16, Value)> {
        let mut connection = Connection::open(self.subject.address).await?;
        let answer = connection.send(request).await?;
        let body = if answer.body.is_empty() { Value::Null } else { serde_json::from_slice(answer.body)? };
        Ok((answer.status, body))
    }

    /// Makes a group and returns its id.
    pub(super) async fn make_group(&self, name: &str, members: &[Uuid]) -> anyhow::Result<Uuid> {
        let request = self.group_request(name, members);
        let (status, body) = self.ask(&request).await?;
        ensure!(status == 201, "a group was answered {status}: {body}");
        id_of(&body)
    }

    /// The request that makes a group.
    pub(super) fn group_request(&self, name: &str, members: &[Uuid]) -> Vec<u8> {
        let members: Vec<Value> = members.iter().map(|id| json!({ "value": id })).collect();
        let body = json!({ "schemas": [GROUP], "displayName": name, "members": members }).to_string();
        self.subject.writer.json("POST", "/Groups?attributes=id", &body)
    }

    /// Makes the groups that the readers are in: ten that hold them all, and three that hold those.
    pub(super) async fn make_reading_groups(&self) -> anyhow::Result<()> {
        let readers =
            (0..self.pool()).map(|n| self.id(self.of_pool(READERS, n))).collect::<anyhow::Result<Vec<_>>>()?;
        let mut direct = Vec::new();
        for n in 0..DIRECT {
            direct.push(self.make_group(&format!("Team {n}"), &readers).await?);
        }
        let (one, other) = direct.split_at(DIRECT / 2);
        let unit = self.make_group("Unit one", one).await?;
        self.make_group("Unit two", other).await?;
        self.make_group("Division", &[unit]).await?;
        Ok(())
    }
}

/// Pools of people, one for each kind of change, so that none disturbs another.
pub(super) const READERS: u64 = 0;
pub(super) const PATCHED: u64 = 1;
pub(super) const DISABLED: u64 = 2;
pub(super) const REPLACED: u64 = 3;
pub(super) const RENEWED: u64 = 4;
pub(super) const MIXED: u64 = 5;
pub(super) const SAME: u64 = 6;
pub(super) const TOUCHED: u64 = 7;

/// Loads the people and says how fast that was.
pub(super) async fn load(
    subject: &Subject,
    people: People,
    connections: usize,
    bar: &ProgressBar,
) -> anyhow::Result<(Vec<Uuid>, f64, f64)> {
    let (begun, before) = (Instant::now(), subject.processor_time());
    let starts: Vec<u64> = (0..people.size).step_by(usize::try_from(BULK)?).collect();
    let ids: Vec<Vec<Uuid>> = stream::iter(starts)
        .map(|start| async move {
            let numbers = start..people.size.min(start + BULK);
            let request = bulk_request(subject, people, numbers.clone());
            let mut connection = Connection::open(subject.address).await?;
            let answer = connection.send(&request).await?;
            ensure!(answer.status == 200, "a bulk was answered {}: {}", answer.status, answer.excerpt());
            let ids = created(answer.body)?;
            ensure!(ids.len() as u64 == numbers.end - numbers.start, "a bulk created {} people", ids.len());
            bar.inc(ids.len() as u64);
            Ok(ids)
        })
        .buffered(connections)
        .try_collect()
        .await?;
    let seconds = begun.elapsed().as_secs_f64();
    let cpu = (subject.processor_time() - before) / people.size.max(1) as f64;
    Ok((ids.concat(), people.size as f64 / seconds, cpu))
}

/// A Bulk request that creates people (RFC 7644 section 3.7).
pub(super) fn bulk_request(subject: &Subject, people: People, numbers: impl Iterator<Item = u64>) -> Vec<u8> {
    let operations: Vec<Value> = numbers
        .map(|n| json!({ "method": "POST", "path": "/Users", "bulkId": n.to_string(), "data": people.user(n) }))
        .collect();
    let body = json!({ "schemas": [BULK_REQUEST], "Operations": operations }).to_string();
    subject.writer.json("POST", "/Bulk", &body)
}

#[derive(Deserialize)]
struct BulkResponse {
    #[serde(rename = "Operations")]
    operations: Vec<BulkOutcome>,
}

#[derive(Deserialize)]
struct BulkOutcome {
    status: String,
    location: Option<String>,
    /// The error, where it is one.
    response: Option<Value>,
}

/// The ids of what a Bulk created, in order; anything that was not created is an error.
pub(super) fn created(body: &[u8]) -> anyhow::Result<Vec<Uuid>> {
    let response: BulkResponse = serde_json::from_slice(body)?;
    let ids = response.operations.iter().map(|outcome| {
        let detail = outcome.response.as_ref().and_then(|error| error.get("detail")?.as_str()).unwrap_or_default();
        ensure!(outcome.status == "201", "an operation of a bulk was answered {} {detail}", outcome.status);
        let id = outcome.location.as_deref().and_then(|location| location.rsplit('/').next());
        Ok(Uuid::parse_str(id.context("an operation of a bulk without location")?)?)
    });
    ids.collect()
}

/// The id of a resource.
pub(super) fn id_of(resource: &Value) -> anyhow::Result<Uuid> {
    let id = resource.get("id").and_then(Value::as_str).context("a resource without id")?;
    Ok(id.parse::<ResourceId>().map_err(|()| anyhow::anyhow!("{id} is no id"))?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bulk_that_did_not_create_everybody_is_wrong() {
        let body = |status: &str| {
            let location = "http://h/scim/v2/Users/00000000-0000-0000-0000-000000000001";
            json!({ "Operations": [{ "status": status, "location": location }] }).to_string()
        };
        assert_eq!(created(body("201").as_bytes()).expect("created"), [Uuid::from_u128(1)]);
        assert!(created(body("409").as_bytes()).is_err());
        assert!(created(b"{}").is_err());
    }
}

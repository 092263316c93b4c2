//! The scenarios that read: by id, by a unique value, by prefix, by a part, by time.

use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use uuid::Uuid;

use super::measure::Link;
use super::scenario::Run;
use super::verify::{self, Known};
use super::wire::{Connection, escape};
use super::world::{READERS, TOUCHED};

/// Different questions of one kind that are asked in turn, where each answer is long.
pub(super) const QUESTIONS: u64 = 50;
/// Hits of a page.
pub(super) const PAGE: u64 = 100;
const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// The readers' documents by id.
pub(super) async fn readers<'b>(run: &Run<'b>) -> anyhow::Result<&'b [Known]> {
    if let Some(known) = run.bench.readers.get() {
        return Ok(known);
    }
    let world = run.bench.world;
    let mut requests = Vec::new();
    for id in ids(run)? {
        requests.push(world.subject.writer.plain("GET", &format!("/Users/{id}")));
    }
    let known = run
        .learn(requests, 200, |n, body| {
            let number = world.of_pool(READERS, n as u64);
            verify::person(body, &world.people, number, world.id(number)?, true)
        })
        .await?;
    Ok(run.bench.readers.get_or_init(|| known))
}

/// The readers' ids.
pub(super) fn ids(run: &Run<'_>) -> anyhow::Result<Vec<Uuid>> {
    let world = run.bench.world;
    (0..world.pool()).map(|n| world.id(world.of_pool(READERS, n))).collect()
}

fn mean_length(known: &[Known]) -> usize {
    known.iter().map(|one| one.body.len()).sum::<usize>() / known.len().max(1)
}

pub(super) async fn get(run: &Run<'_>) -> anyhow::Result<()> {
    let known = readers(run).await?;
    let (length, ids) = (mean_length(known), ids(run)?);
    for _ in 0..run.bench.settings.rounds {
        run.enter("", run.drive_known(known).await?);
        run.enter("raw handler", run.drive_handler(length).await?);
        run.enter("raw handler 1 KB", run.drive_handler(1_024).await?);
        if let (1, Some(raw)) = (run.connections, &run.bench.raw) {
            run.enter("raw SQLite read", raw.read(run.bench.settings.time, &ids)?);
        }
        if let Some(pgbench) = &run.bench.pgbench {
            run.enter("pgbench SELECT", pgbench.select(run.connections)?);
        }
    }
    Ok(())
}

pub(super) async fn get_conditional(run: &Run<'_>) -> anyhow::Result<()> {
    let (world, whole) = (run.bench.world, readers(run).await?);
    let mut requests = Vec::new();
    let mut connection = Connection::open(world.subject.address).await?;
    for (one, id) in whole.iter().zip(ids(run)?) {
        let tag = connection.send(&one.request).await?.header("etag").context("no ETag")?.to_owned();
        let path = format!("/Users/{id}");
        requests.push(world.subject.writer.with("GET", &path, &format!("If-None-Match: {tag}\r\n"), None));
    }
    let known = run.learn(requests, 304, |_, body| anyhow::bail!("a body where none belongs: {body}")).await?;
    against_get(run, &known).await
}

/// Measures what has known answers in turn with a GET by id.
pub(super) async fn against_get(run: &Run<'_>, known: &[Known]) -> anyhow::Result<()> {
    let (world, get) = (run.bench.world, readers(run).await?);
    let numbers: Vec<u64> = (0..world.pool()).map(|n| world.of_pool(READERS, n)).collect();
    for _ in 0..run.bench.settings.rounds {
        run.enter("", run.drive_known(known).await?);
        run.enter("own get", run.drive_known(get).await?);
        if let (Some(peer), "by-username") = (&run.bench.peer, run.name) {
            run.enter("slapd uid search", peer.search(run.connections, &numbers).await?);
        }
    }
    Ok(())
}

pub(super) async fn look_up(run: &Run<'_>) -> anyhow::Result<()> {
    let (world, people) = (run.bench.world, run.bench.world.people);
    let mut requests = Vec::new();
    for n in 0..world.pool() {
        let number = world.of_pool(READERS, n);
        let (path, value) = match run.name {
            "by-username" => ("userName", people.user_name(number)),
            "by-email" => ("emails.value", people.home_email(number)),
            _ => ("externalId", people.external_id(number)),
        };
        let filter = escape(&format!("{path} eq \"{value}\""));
        requests.push(world.subject.writer.plain("GET", &format!("/Users?filter={filter}")));
    }
    let known = run
        .learn(requests, 200, |n, body| {
            let number = world.of_pool(READERS, n as u64);
            let found = verify::list(body, 1, 1)?.first().context("nobody")?;
            verify::person(found, &people, number, world.id(number)?, true)
        })
        .await?;
    against_get(run, &known).await
}

pub(super) async fn user_groups(run: &Run<'_>) -> anyhow::Result<()> {
    let world = run.bench.world;
    let ids = ids(run)?;
    let requests = ids.iter().map(|id| world.subject.writer.plain("GET", &format!("/Users/{id}?attributes=groups")));
    let known = run
        .learn(requests.collect(), 200, |_, body| {
            let groups = body.get("groups").and_then(Value::as_array).map_or(0, Vec::len);
            ensure!(groups == super::world::DIRECT + super::world::INDIRECT, "{groups} groups: {body}");
            ensure!(body.get("userName").is_none(), "more than the groups: {body}");
            Ok(())
        })
        .await?;
    against_get(run, &known).await
}

pub(super) async fn prefix_page(run: &Run<'_>) -> anyhow::Result<()> {
    let (world, people) = (run.bench.world, run.bench.world.people);
    let prefixes = people.prefixes().min(QUESTIONS);
    let starts = [1, 401];
    let questions: Vec<(u64, u64)> = (0..prefixes).flat_map(|prefix| starts.map(|start| (prefix, start))).collect();
    let requests = questions.iter().map(|(prefix, start)| {
        let filter = escape(&format!("userName sw \"{}\"", people.prefix(*prefix)));
        let path = format!("/Users?filter={filter}&sortBy=name.familyName&startIndex={start}&count={PAGE}");
        world.subject.writer.plain("GET", &path)
    });
    let known = run
        .learn(requests.collect(), 200, |n, body| {
            let (prefix, start) = questions.get(n).copied().unwrap_or_default();
            let total = people.with_prefix(prefix);
            let found = verify::list(body, total, total.saturating_sub(start - 1).min(PAGE))?;
            let families = found.iter().map(|user| user.pointer("/name/familyName").and_then(Value::as_str));
            let families: Vec<String> = families.map(|name| name.unwrap_or_default().to_lowercase()).collect();
            ensure!(families.is_sorted(), "not in order: {families:?}");
            let prefix = people.prefix(prefix);
            let fits = |user: &Value| {
                user.get("userName").and_then(Value::as_str).is_some_and(|name| name.starts_with(&prefix))
            };
            ensure!(found.iter().all(fits), "one does not begin with {prefix}");
            Ok(())
        })
        .await?;
    for _ in 0..run.bench.settings.rounds {
        run.enter("", run.drive_known(&known).await?);
        run.enter("raw handler", run.drive_handler(mean_length(&known)).await?);
    }
    Ok(())
}

pub(super) async fn contains(run: &Run<'_>) -> anyhow::Result<()> {
    let (world, people) = (run.bench.world, run.bench.world.people);
    let requests = (0..people.marks().min(QUESTIONS)).map(|mark| {
        let filter = escape(&format!("userName co \"{}\"", people.mark(mark)));
        world.subject.writer.plain("GET", &format!("/Users?filter={filter}&count={PAGE}"))
    });
    let known = run
        .learn(requests.collect(), 200, |mark, body| {
            let mut wanted = people
                .marked(mark as u64)
                .map(|number| Ok(world.id(number)?.to_string()))
                .collect::<anyhow::Result<Vec<_>>>()?;
            let found = verify::list(body, wanted.len() as u64, wanted.len() as u64)?;
            let mut found: Vec<_> = found.iter().filter_map(|user| user.get("id")?.as_str()).collect();
            wanted.sort_unstable();
            found.sort_unstable();
            ensure!(found == wanted, "others than those that share the mark");
            Ok(())
        })
        .await?;
    for _ in 0..run.bench.settings.rounds {
        run.enter("", run.drive_known(&known).await?);
        if let Some(peer) = &run.bench.peer {
            run.enter("slapd contains", peer.contains(run.connections, people.marks().min(QUESTIONS)).await?);
        }
    }
    Ok(())
}

/// Touches some people after a moment that is known, and asks who was changed since.
pub(super) async fn modified_since(run: &Run<'_>) -> anyhow::Result<()> {
    let world = run.bench.world;
    let touched = world.pool().min(PAGE + 1);
    let mut since = String::new();
    for n in 0..touched {
        let number = world.of_pool(TOUCHED, n);
        let (id, title) = (world.id(number)?, format!("Touched {}", world.newcomer()));
        let operation = json!({ "op": "replace", "path": "title", "value": title });
        let body = json!({ "schemas": [PATCH], "Operations": [operation] }).to_string();
        let request = world.subject.writer.json("PATCH", &format!("/Users/{id}"), &body);
        let (status, body) = world.ask(&request).await?;
        ensure!(status == 200, "{status}: {body}");
        world.titles.borrow_mut().insert(id, title);
        if n == 0 {
            since = body.pointer("/meta/lastModified").and_then(Value::as_str).context("no time")?.to_owned();
            // The next change has a later time, however coarse the time is told.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let filter = escape(&format!("meta.lastModified gt \"{since}\""));
    let request = world.subject.writer.plain("GET", &format!("/Users?filter={filter}&count={PAGE}"));
    let known = run.learn(vec![request], 200, |_, body| verify::list(body, touched - 1, touched - 1).map(drop)).await?;
    for _ in 0..run.bench.settings.rounds {
        run.enter("", run.drive_known(&known).await?);
    }
    Ok(())
}

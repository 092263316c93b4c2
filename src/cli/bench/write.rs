//! The scenarios that write people. What was acknowledged is remembered and read back at the end of the run.

use std::cell::RefCell;
use std::collections::{HashSet, VecDeque};

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use uuid::Uuid;

use super::measure::Until;
use super::read;
use super::scenario::{Run, scatter};
use super::verify;
use super::wire::{Connection, find};
use super::world::{self, BULK, DISABLED, MIXED, PATCHED, RENEWED, REPLACED, SAME, World};

/// Requests that are made ready before a round, so that the driver does not pay for them within.
const READY: usize = 4_000;
const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// A request that replaces one attribute of a user.
pub(super) fn replace(world: &World, id: Uuid, path: &str, value: &Value) -> Vec<u8> {
    let operation = json!({ "op": "replace", "path": path, "value": value });
    let body = json!({ "schemas": [PATCH], "Operations": [operation] }).to_string();
    world.subject.writer.json("PATCH", &format!("/Users/{id}"), &body)
}

/// The people of a pool, whoever waited longest first. Nobody is in two hands at once: what was written last is then what was
/// answered last.
struct Turns(RefCell<VecDeque<u64>>);

impl Turns {
    fn new(world: &World, pool: u64) -> Self {
        let size = usize::try_from(world.pool()).unwrap_or(usize::MAX);
        Turns(RefCell::new((0..world.pool()).map(|n| world.of_pool(pool, scatter(n, size) as u64)).collect()))
    }

    /// Has somebody's turn.
    async fn take(&self, work: impl AsyncFnOnce(u64) -> anyhow::Result<u64>) -> anyhow::Result<u64> {
        let number = self.0.borrow_mut().pop_front().context("everybody is busy")?;
        let outcome = work(number).await;
        self.0.borrow_mut().push_back(number);
        outcome
    }
}

fn ids(world: &World, pool: u64) -> anyhow::Result<Vec<Uuid>> {
    (0..world.pool()).map(|n| world.id(world.of_pool(pool, n))).collect()
}

pub(super) async fn create(run: &Run<'_>) -> anyhow::Result<()> {
    let (world, time) = (run.bench.world, run.bench.settings.time);
    let one = |number: u64| {
        let body = world.people.user(number).to_string();
        (number, world.subject.writer.json("POST", "/Users", &body))
    };
    let ready = RefCell::new(VecDeque::new());
    for _ in 0..run.bench.settings.rounds {
        while ready.borrow().len() < READY {
            ready.borrow_mut().push_back(one(world.newcomer()));
        }
        let sample = run.drive(async |connection, _| {
            let next = ready.borrow_mut().pop_front();
            let (number, request) = next.unwrap_or_else(|| one(world.newcomer()));
            let answer = connection.send(&request).await?;
            verify::status(&answer, 201)?;
            verify::holds(&answer, "userName", &world.people.user_name(number))?;
            world.created.borrow_mut().insert(number, verify::id(&answer)?);
            Ok(1)
        });
        run.enter("", sample.await?);
        if let Some(raw) = &run.bench.raw {
            run.enter("raw SQLite, 1 a commit", raw.insert(time, 1)?);
            if run.connections > 1 {
                run.enter("raw SQLite, 100 a commit", raw.insert(time, 100)?);
            }
        }
        if let Some(pgbench) = &run.bench.pgbench {
            run.enter("pgbench INSERT", pgbench.insert(run.connections)?);
        }
        if let Some(peer) = &run.bench.peer {
            run.enter("slapd add", peer.add(run.connections, || world.newcomer()).await?);
        }
    }
    Ok(())
}

pub(super) async fn create_bulk(run: &Run<'_>) -> anyhow::Result<()> {
    let world = run.bench.world;
    for _ in 0..run.bench.settings.rounds {
        let numbers: Vec<Vec<u64>> = (0..3).map(|_| (0..BULK).map(|_| world.newcomer()).collect()).collect();
        let requests: Vec<Vec<u8>> = numbers
            .iter()
            .map(|numbers| world::bulk_request(&world.subject, world.people, numbers.iter().copied()))
            .collect();
        let sample = run.drive_until(Until::Calls(numbers.len() as u64), async |connection, n| {
            let place = usize::try_from(n)?;
            let (Some(numbers), Some(request)) = (numbers.get(place), requests.get(place)) else { return Ok(0) };
            let answer = connection.send(request).await?;
            verify::status(&answer, 200)?;
            let made = world::created(answer.body)?;
            ensure!(made.len() == numbers.len(), "a bulk created {} people", made.len());
            world.created.borrow_mut().extend(numbers.iter().copied().zip(made));
            Ok(BULK)
        });
        run.enter("", sample.await?);
        if let Some(raw) = &run.bench.raw {
            run.enter("raw SQLite, 1,000 a commit", raw.insert(run.bench.settings.time, BULK as i64)?);
        }
    }
    Ok(())
}

pub(super) async fn patch(run: &Run<'_>) -> anyhow::Result<()> {
    let (ids, turns) = (ids(run.bench.world, PATCHED)?, Turns::new(run.bench.world, PATCHED));
    for _ in 0..run.bench.settings.rounds {
        run.enter("", run.drive(async |connection, _| change_title(run, connection, &turns).await).await?);
        if let Some(raw) = &run.bench.raw {
            run.enter("raw SQLite update", raw.update(run.bench.settings.time, &ids)?);
        }
    }
    Ok(())
}

/// Gives one of them a title that nobody had before.
async fn change_title(run: &Run<'_>, connection: &mut Connection, turns: &Turns) -> anyhow::Result<u64> {
    let world = run.bench.world;
    let change = async |number| {
        let (id, title) = (world.id(number)?, format!("Title {}", world.newcomer()));
        let answer = connection.send(&replace(world, id, "title", &title.as_str().into())).await?;
        verify::status(&answer, 200)?;
        verify::holds(&answer, "title", &title)?;
        world.titles.borrow_mut().insert(id, title);
        Ok(1)
    };
    turns.take(change).await
}

pub(super) async fn patch_nothing(run: &Run<'_>) -> anyhow::Result<()> {
    let (world, people) = (run.bench.world, run.bench.world.people);
    let mut requests = Vec::new();
    for n in 0..world.pool() {
        let number = world.of_pool(SAME, n);
        requests.push(replace(world, world.id(number)?, "title", &people.title(number).into()));
    }
    // The answer holds the version, which must stay: each later answer has to be the same to the byte.
    let known = run
        .learn(requests, 200, |n, body| {
            let number = world.of_pool(SAME, n as u64);
            verify::person(body, &people, number, world.id(number)?, false)
        })
        .await?;
    let turns = Turns::new(world, PATCHED);
    for _ in 0..run.bench.settings.rounds {
        run.enter("", run.drive_known(&known).await?);
        run.enter("own patch", run.drive(async |connection, _| change_title(run, connection, &turns).await).await?);
    }
    Ok(())
}

/// Measures what is done to the people of a pool, each in turn.
async fn in_turns(
    run: &Run<'_>,
    pool: u64,
    change: impl AsyncFn(&mut Connection, u64) -> anyhow::Result<u64>,
) -> anyhow::Result<()> {
    let turns = Turns::new(run.bench.world, pool);
    for _ in 0..run.bench.settings.rounds {
        let sample = run.drive(async |connection, _| turns.take(async |number| change(connection, number).await).await);
        run.enter("", sample.await?);
    }
    Ok(())
}

pub(super) async fn disable(run: &Run<'_>) -> anyhow::Result<()> {
    let world = run.bench.world;
    let disabled = RefCell::new(HashSet::new());
    in_turns(run, DISABLED, async |connection, number| {
        let active = disabled.borrow().contains(&number);
        let answer = connection.send(&replace(world, world.id(number)?, "active", &active.into())).await?;
        verify::status(&answer, 200)?;
        let text = format!("\"active\":{active}");
        ensure!(find(answer.body, text.as_bytes()).is_some(), "{text} is missing");
        if !disabled.borrow_mut().remove(&number) {
            disabled.borrow_mut().insert(number);
        }
        Ok(1)
    })
    .await
}

pub(super) async fn put(run: &Run<'_>) -> anyhow::Result<()> {
    let world = run.bench.world;
    in_turns(run, REPLACED, async |connection, number| {
        let (id, title) = (world.id(number)?, format!("Title {}", world.newcomer()));
        let body = world.people.user_with(number, &title).to_string();
        let answer = connection.send(&world.subject.writer.json("PUT", &format!("/Users/{id}"), &body)).await?;
        verify::status(&answer, 200)?;
        verify::holds(&answer, "title", &title)?;
        world.titles.borrow_mut().insert(id, title);
        Ok(1)
    })
    .await
}

pub(super) async fn renew(run: &Run<'_>) -> anyhow::Result<()> {
    let world = run.bench.world;
    in_turns(run, RENEWED, async |connection, number| {
        let old = world.current_id(number)?;
        let request = world.subject.writer.plain("DELETE", &format!("/Users/{old}"));
        verify::status(&connection.send(&request).await?, 204)?;
        world.deleted.borrow_mut().push(old);
        let request = world.subject.writer.json("POST", "/Users", &world.people.user(number).to_string());
        let answer = connection.send(&request).await?;
        verify::status(&answer, 201)?;
        let id = verify::id(&answer)?;
        ensure!(id != old, "the same id again");
        world.created.borrow_mut().insert(number, id);
        Ok(1)
    })
    .await
}

pub(super) async fn mixed(run: &Run<'_>) -> anyhow::Result<()> {
    let turns = Turns::new(run.bench.world, MIXED);
    let known = read::readers(run).await?;
    let world = run.bench.world;
    let numbers: Vec<u64> = (0..world.pool()).map(|n| world.of_pool(MIXED, n)).collect();
    for _ in 0..run.bench.settings.rounds {
        let sample = run.drive(async |connection, n| {
            if n % 10 == 9 {
                return change_title(run, connection, &turns).await;
            }
            let one = known.get(scatter(n, known.len())).context("nobody")?;
            one.check(&connection.send(&one.request).await?)?;
            Ok(1)
        });
        run.enter("", sample.await?);
        if let Some(peer) = &run.bench.peer {
            run.enter("slapd mixed", peer.mixed(run.connections, &numbers, || world.newcomer()).await?);
        }
    }
    Ok(())
}

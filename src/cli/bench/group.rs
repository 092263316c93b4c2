//! The scenarios of groups, small, middling and large: what one member more or less costs, what a group's head costs, and
//! who somebody belongs to.

use std::cell::Cell;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use uuid::Uuid;

use super::measure::{Link, Sample, Until};
use super::read;
use super::scenario::Run;
use super::verify::{self, Known};
use super::wire::{Connection, escape};
use super::world::{self, BULK, READERS, TOUCHED, World};

/// Members of the large group, where the register has as many people.
pub(super) const LARGE: u64 = 100_000;
/// Members added and removed in a round.
const MOVES: u64 = 100;
/// Rounds of the scenario that makes the large group.
const POSTS: usize = 3;
const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// Three groups: of everybody, of a thousand and of ten; the smaller are part of the larger.
pub(super) struct Groups {
    groups: Vec<Group>,
    /// Whoever is in the large group.
    members: Vec<Uuid>,
    /// Whoever is in none of them, to be added and removed.
    movers: Vec<Uuid>,
    /// Whether the movers are members now.
    added: Cell<bool>,
}

struct Group {
    id: Uuid,
    members: usize,
    /// How figures of it are called; nothing for the large one.
    arm: String,
}

async fn groups<'b>(run: &Run<'b>) -> anyhow::Result<&'b Groups> {
    if let Some(groups) = run.bench.groups.get() {
        return Ok(groups);
    }
    let world = run.bench.world;
    let members = members(world).await?;
    let mut groups = Vec::new();
    for size in [members.len(), 1_000, 10] {
        let some = members.get(..size).unwrap_or(&members);
        let id = world.make_group(&format!("Everybody of {size}"), some).await?;
        let arm = if groups.is_empty() { String::new() } else { format!("group of {}", some.len()) };
        groups.push(Group { id, members: some.len(), arm });
    }
    let movers = (0..world.pool().min(MOVES)).map(|n| world.id(world.of_pool(TOUCHED, n)));
    let movers = movers.collect::<anyhow::Result<_>>()?;
    Ok(run.bench.groups.get_or_init(|| Groups { groups, members, movers, added: Cell::new(false) }))
}

/// Loaded people who are neither readers nor movers; where the register is large enough for the large group, as many more are
/// created as it lacks.
async fn members(world: &World) -> anyhow::Result<Vec<Uuid>> {
    let stride = world.people.size / world.pool();
    let is_free = |number: &u64| ![READERS, TOUCHED].map(|pool| pool % stride).contains(&(number % stride));
    let wanted = if world.people.size >= LARGE { LARGE } else { world.people.size };
    let mut members = Vec::new();
    for number in (0..world.people.size).filter(is_free).take(usize::try_from(wanted)?) {
        members.push(world.current_id(number)?);
    }
    let mut connection = Connection::open(world.subject.address).await?;
    while world.people.size >= LARGE && (members.len() as u64) < wanted {
        let numbers: Vec<u64> = (0..BULK.min(wanted - members.len() as u64)).map(|_| world.newcomer()).collect();
        let request = world::bulk_request(&world.subject, world.people, numbers.iter().copied());
        let made = world::created(connection.send(&request).await?.body)?;
        world.created.borrow_mut().extend(numbers.into_iter().zip(made.iter().copied()));
        members.extend(made);
    }
    Ok(members)
}

/// Adds the movers to each group, or takes them out again; each scenario finds them as the other leaves them.
pub(super) async fn change_members(run: &Run<'_>) -> anyhow::Result<()> {
    let (world, groups) = (run.bench.world, groups(run).await?);
    let adds = run.name == "group-add";
    for _ in 0..run.bench.settings.rounds {
        if groups.added.get() == adds {
            for group in &groups.groups {
                move_all(run, group, groups, !adds).await?;
            }
        }
        for group in &groups.groups {
            run.enter(&*group.arm, move_all(run, group, groups, adds).await?);
        }
        groups.added.set(adds);
    }
    let expected = if adds { groups.movers.len() } else { 0 };
    for group in &groups.groups {
        let members = count_members(world, group.id).await?;
        ensure!(members == group.members + expected, "{members} members instead of {}", group.members + expected);
    }
    Ok(())
}

async fn move_all(run: &Run<'_>, group: &Group, groups: &Groups, adds: bool) -> anyhow::Result<Sample> {
    let world = run.bench.world;
    let mut sample = run
        .drive_until(Until::Calls(groups.movers.len() as u64), async |connection, n| {
            let mover = groups.movers.get(usize::try_from(n)?).context("nobody")?;
            let operation = if adds {
                json!({ "op": "add", "path": "members", "value": [{ "value": mover }] })
            } else {
                json!({ "op": "remove", "path": format!("members[value eq \"{mover}\"]") })
            };
            let body = json!({ "schemas": [PATCH], "Operations": [operation] }).to_string();
            let request = world.subject.writer.json("PATCH", &format!("/Groups/{}", group.id), &body);
            verify::status(&connection.send(&request).await?, 204)?;
            Ok(1)
        })
        .await?;
    let mover = groups.movers.first().context("nobody")?;
    let filter = escape(&format!("id eq \"{}\" and members.value eq \"{mover}\"", group.id));
    let request = world.subject.writer.plain("GET", &format!("/Groups?filter={filter}&excludedAttributes=members"));
    let (_, body) = world.ask(&request).await?;
    if let Err(error) = verify::list(&body, u64::from(adds), u64::from(adds)) {
        sample.blame(format!("{mover} in the group: {error:#}"));
    }
    Ok(sample)
}

async fn count_members(world: &World, group: Uuid) -> anyhow::Result<usize> {
    let (status, body) = world.ask(&world.subject.writer.plain("GET", &format!("/Groups/{group}"))).await?;
    ensure!(status == 200, "a group was answered {status}");
    Ok(body.get("members").and_then(Value::as_array).map_or(0, Vec::len))
}

pub(super) async fn head(run: &Run<'_>) -> anyhow::Result<()> {
    let (world, groups) = (run.bench.world, groups(run).await?);
    let mut heads: Vec<(&str, Vec<Known>)> = Vec::new();
    for group in &groups.groups {
        let path = format!("/Groups/{}?excludedAttributes=members", group.id);
        let known = run
            .learn(vec![world.subject.writer.plain("GET", &path)], 200, |_, body| {
                ensure!(world::id_of(body)? == group.id, "another group");
                ensure!(body.get("members").is_none(), "with members");
                Ok(())
            })
            .await?;
        heads.push((&group.arm, known));
    }
    let get = read::readers(run).await?;
    for _ in 0..run.bench.settings.rounds {
        for (arm, known) in &heads {
            run.enter(*arm, run.drive_known(known).await?);
        }
        run.enter("own get", run.drive_known(get).await?);
    }
    Ok(())
}

pub(super) async fn member_of(run: &Run<'_>) -> anyhow::Result<()> {
    let (world, groups) = (run.bench.world, groups(run).await?);
    // From the end: those are in the large group alone, where it is larger than the others.
    let count = groups.members.len();
    let asked: Vec<(usize, Uuid)> = groups.members.iter().copied().enumerate().rev().take(1_000).collect();
    let requests = asked.iter().map(|(_, member)| {
        let filter = escape(&format!("members.value eq \"{member}\""));
        world.subject.writer.plain("GET", &format!("/Groups?filter={filter}&excludedAttributes=members"))
    });
    let known = run
        .learn(requests.collect(), 200, |n, body| {
            let place = asked.get(n).map_or(count, |(place, _)| *place);
            let total = groups.groups.iter().filter(|group| place < group.members).count() as u64;
            verify::list(body, total, total).map(drop)
        })
        .await?;
    read::against_get(run, &known).await
}

/// Makes the large group once more, and takes it away.
pub(super) async fn post(run: &Run<'_>) -> anyhow::Result<()> {
    let (world, groups) = (run.bench.world, groups(run).await?);
    let request = world.group_request("Everybody again", &groups.members);
    for _ in 0..run.bench.settings.rounds.min(POSTS) {
        let made = Cell::new(Uuid::nil());
        let sample = run.drive_until(Until::Calls(1), async |connection, _| {
            let answer = connection.send(&request).await?;
            verify::status(&answer, 201)?;
            made.set(verify::id(&answer)?);
            Ok(1)
        });
        let mut sample = sample.await?;
        if sample.wrong == 0 {
            let members = count_members(world, made.get()).await?;
            if members != groups.members.len() {
                sample.blame(format!("{members} members instead of {}", groups.members.len()));
            }
            let gone = world.ask(&world.subject.writer.plain("DELETE", &format!("/Groups/{}", made.get()))).await?;
            ensure!(gone.0 == 204, "a group could not be deleted: {}", gone.1);
        }
        run.enter("", sample);
    }
    Ok(())
}

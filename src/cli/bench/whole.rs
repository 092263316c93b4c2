//! A register as a whole: how long it takes to load a large organisation with its groups, to copy it while it is served,
//! and to have it served again from the copy. Groups are of all sizes, by a power law: half of them have up to thirty
//! members, the largest half of everybody. What was loaded is counted in the register that came back.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde_json::{Value, json};
use uuid::Uuid;

use super::measure::{Sample, Until, drive};
use super::register::{self, Place};
use super::subject::Subject;
use super::wire::Connection;
use super::world::{DIRECT, INDIRECT, READERS, World};
use super::{machine, progress, verify};
use crate::cli::output;

/// People for each group.
const PEOPLE_PER_GROUP: u64 = 5;
/// The exponent of the power law, and the members of the smallest group: half have up to 30, the mean is near 100.
const EXPONENT: f64 = 1.16;
const SMALLEST: f64 = 16.7;
/// Connections while groups are made, and while people are read during the backup.
const CONNECTIONS: usize = 4;
/// Groups whose members are counted at the end.
const SAMPLED: u64 = 200;
/// The register that times are asked of.
const ASKED: u64 = 250_000;

/// A stage of the run, and what it took.
struct Stage {
    what: &'static str,
    seconds: f64,
    must: f64,
    stretch: f64,
}

/// Loads, copies, restores and looks through one register, and tells what each took. Fails when anything of it is not as it
/// was acknowledged.
pub(super) async fn run(place: &Place, json_file: Option<&Path>) -> anyhow::Result<()> {
    ensure!(place.database_url.is_none(), "--whole is about the embedded database; leave --database-url away");
    let file = place.folder.join(format!("register-{}.db", place.size));
    let url = format!("sqlite:{}", file.display());
    let begun = Instant::now();
    let loaded = register::load(place, &url).await?;
    let people_seconds = begun.elapsed().as_secs_f64();
    let subject = Subject::start(&place.folder, &url, &loaded.token, &place.variables).await?;
    let mut world = World::new(subject, loaded);
    let groups = make_groups(&world).await?;
    let load = begun.elapsed().as_secs_f64();

    let copy = place.folder.join("backup.db");
    let (of, to) = (url.clone(), copy.display().to_string());
    let (backup, reads) = beside_readers(&world, move || command(&of, &["backup", &to])).await?;
    let bytes = std::fs::metadata(&copy)?.len();
    let token = world.loaded.token.clone();
    world.subject.stop().await?;

    let begun = Instant::now();
    command(&url, &["restore", "--force", &copy.display().to_string()])?;
    let restored = begun.elapsed().as_secs_f64();
    command(&url, &["check"])?;
    world.subject = Subject::start(&place.folder, &url, &token, &place.variables).await?;
    let size = place.size;
    count(&world, size, &groups).await?;
    let restore = begun.elapsed().as_secs_f64();
    let memory = world.subject.process.and_then(machine::memory);
    world.subject.stop().await?;

    let stages = [
        Stage { what: "load", seconds: load, must: 360.0, stretch: 180.0 },
        Stage { what: "backup while serving", seconds: backup, must: 60.0, stretch: 30.0 },
        Stage { what: "restore, check of every index, first answers", seconds: restore, must: 180.0, stretch: 90.0 },
    ];
    let memberships: u64 = groups.iter().map(|group| group.members).sum();
    output::say(format!(
        "{size} people, {} groups, {memberships} memberships, the largest {} · copy of {} MiB · memory (PSS) {} MiB",
        groups.len(),
        groups.iter().map(|group| group.members).max().unwrap_or_default(),
        bytes >> 20,
        memory.unwrap_or_default() >> 20
    ))?;
    output::say(format!("people alone {people_seconds:.1} s · restore alone {restored:.1} s"))?;
    output::say(format!("while it was copied {} GETs, 99 of 100 in {:.1} ms", reads.done, reads.p99 / 1_000.0))?;
    for Stage { what, seconds, must, stretch } in &stages {
        let verdict = |name: &str, wanted: f64| match seconds <= &wanted {
            true => format!(" · {name} ≤ {wanted:.0} met"),
            false => format!(" · {name} ≤ {wanted:.0} missed by {:.2}x", seconds / wanted),
        };
        let asked = if size == ASKED { verdict("must", *must) + &verdict("stretch", *stretch) } else { String::new() };
        output::say(format!("{what:<46} {seconds:>8.1} s{asked}"))?;
    }
    if let Some(file) = json_file {
        let stages: Vec<Value> =
            stages.iter().map(|stage| json!({ "what": stage.what, "seconds": stage.seconds })).collect();
        let report = json!({
            "people": size, "groups": groups.len(), "memberships": memberships, "copyBytes": bytes,
            "memory": memory, "readsWhileCopied": reads.done, "stages": stages,
        });
        std::fs::write(file, serde_json::to_string_pretty(&report)? + "\n")?;
    }
    Ok(())
}

/// A group as it was acknowledged.
struct Made {
    id: Uuid,
    members: u64,
}

/// How many members the `n`th of so many groups has.
fn members_of(n: u64, groups: u64, people: u64) -> u64 {
    let place = (n as f64 + 0.5) / groups as f64;
    let members = SMALLEST * (1.0 - place).powf(-1.0 / EXPONENT);
    (members as u64).clamp(1, (people / 2).max(1))
}

async fn make_groups(world: &World) -> anyhow::Result<Vec<Made>> {
    let people = world.people.size;
    let groups = (people / PEOPLE_PER_GROUP).max(1);
    let bar = progress(groups, "Making groups {bar:40} {pos}/{len} {per_sec}");
    let made = stream::iter(0..groups).map(|n| {
        let bar = &bar;
        async move {
            // Spread over the order in which they are made, so that the large ones do not all come last.
            let count = members_of(n * 7_919 % groups, groups, people);
            let members = (0..count).map(|k| world.id((n * 31 + k) % people)).collect::<anyhow::Result<Vec<_>>>()?;
            let id = world.make_group(&format!("Group {n}"), &members).await?;
            bar.inc(1);
            anyhow::Ok(Made { id, members: count })
        }
    });
    let made = made.buffered(CONNECTIONS).try_collect().await?;
    bar.finish_and_clear();
    Ok(made)
}

/// Runs a command while people are read, and says how long it took and how the readers fared.
async fn beside_readers(
    world: &World,
    command: impl FnOnce() -> anyhow::Result<()> + Send + 'static,
) -> anyhow::Result<(f64, Sample)> {
    let begun = Instant::now();
    let running = tokio::task::spawn_blocking(move || command().map(|()| begun.elapsed().as_secs_f64()));
    let mut reads = Sample::default();
    while !running.is_finished() {
        let sample = drive(
            world.subject.address,
            CONNECTIONS,
            Until::Time(Duration::from_millis(500)),
            || 0.0,
            async |connection: &mut Connection, n| {
                let id = world.id(world.of_pool(READERS, n))?;
                let request = world.subject.writer.plain("GET", &format!("/Users/{id}"));
                verify::status(&connection.send(&request).await?, 200)?;
                Ok(1)
            },
        );
        let sample = sample.await?;
        ensure!(sample.wrong == 0, "while it was copied, a read failed: {}", sample.fault.unwrap_or_default());
        reads.done += sample.done;
        reads.p99 = reads.p99.max(sample.p99);
    }
    Ok((running.await??, reads))
}

/// A command of this very program on the register.
fn command(url: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new(std::env::current_exe()?)
        .args(arguments)
        .env_clear()
        .env("DATABASE_URL", url)
        .output()
        .with_context(|| format!("matrikel {} cannot be run", arguments.join(" ")))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "matrikel {} failed: {}", arguments.join(" "), said.trim());
    Ok(())
}

/// Everybody and every group is there, and some groups have as many members as were acknowledged.
async fn count(world: &World, people: u64, groups: &[Made]) -> anyhow::Result<()> {
    // Those of the readers come besides.
    let reading = DIRECT + INDIRECT;
    for (path, expected) in [("/Users", people), ("/Groups", (groups.len() + reading) as u64)] {
        let (_, body) = world.ask(&world.subject.writer.plain("GET", &format!("{path}?count=0"))).await?;
        let total = body.get("totalResults").and_then(Value::as_u64);
        ensure!(total == Some(expected), "{path} has {total:?} instead of {expected}");
    }
    let step = (groups.len() / usize::try_from(SAMPLED)?).max(1);
    for group in groups.iter().step_by(step) {
        let path = format!("/Groups/{}?attributes=members.value", group.id);
        let (_, body) = world.ask(&world.subject.writer.plain("GET", &path)).await?;
        let members = body.get("members").and_then(Value::as_array).map_or(0, Vec::len) as u64;
        ensure!(members == group.members, "a group has {members} members instead of {}", group.members);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_groups_are_small_and_all_together_have_five_million_members() {
        let (groups, people) = (50_000, 250_000);
        let mut sizes: Vec<u64> = (0..groups).map(|n| members_of(n * 7_919 % groups, groups, people)).collect();
        sizes.sort_unstable();
        assert_eq!(sizes.get(25_000), Some(&30));
        assert_eq!(sizes.last(), Some(&125_000));
        let all: u64 = sizes.iter().sum();
        assert!((4_500_000..5_500_000).contains(&all), "{all}");
    }
}

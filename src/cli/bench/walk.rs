//! Reading everybody, page by page: by index and by cursor. Nobody may be missing and nobody may come twice.

use std::collections::HashSet;
use std::time::Instant;

use anyhow::ensure;

use super::measure::{Link, Sample, drift};
use super::scenario::Run;
use super::verify;
use super::wire::{Connection, escape};

const PAGE: u64 = 1_000;

/// Walks once a round. A page is a call, a person an operation; what the driver does between pages is not counted.
pub(super) async fn walk(run: &Run<'_>) -> anyhow::Result<()> {
    for _ in 0..run.bench.settings.rounds {
        run.enter("", once(run).await?);
    }
    Ok(())
}

async fn once(run: &Run<'_>) -> anyhow::Result<Sample> {
    let (world, by_cursor) = (run.bench.world, run.name == "walk-cursor");
    let wanted = world.population();
    let mut connection = Connection::open(world.subject.address).await?;
    let mut seen = HashSet::with_capacity(usize::try_from(wanted)?);
    let mut times = Vec::new();
    let mut cursor = by_cursor.then(String::new);
    let before = world.subject.processor_time();
    loop {
        let place = match &cursor {
            Some(cursor) => format!("cursor={}", escape(cursor)),
            None => format!("startIndex={}", seen.len() + 1),
        };
        let request = world.subject.writer.plain("GET", &format!("/Users?count={PAGE}&{place}"));
        let begun = Instant::now();
        let answer = connection.send(&request).await?;
        times.push(begun.elapsed().as_secs_f64() * 1e6);
        verify::status(&answer, 200)?;
        let known = seen.len();
        let mut twice = 0;
        verify::ids(answer.body, |id| twice += u64::from(!seen.insert(id)))?;
        ensure!(twice == 0, "{twice} people came twice");
        match &mut cursor {
            Some(cursor) => match verify::text(answer.body, "nextCursor") {
                Some(next) => *cursor = next.to_owned(),
                None => break,
            },
            None => {
                let total = verify::number(answer.body, "totalResults");
                ensure!(total == Some(wanted), "a total of {total:?} instead of {wanted}");
                ensure!(seen.len() > known, "an empty page after {known} people");
                if seen.len() as u64 >= wanted {
                    break;
                }
            }
        }
    }
    let cpu = world.subject.processor_time() - before;
    ensure!(seen.len() as u64 == wanted, "{} people instead of {wanted}", seen.len());
    let (seconds, drift) = (times.iter().sum::<f64>() / 1e6, drift(&times));
    Ok(Sample { drift, ..Sample::of(times, wanted, seconds, cpu) })
}

//! The nightly reconcile as a source does it that keeps no ids: it looks everybody up by externalId, compares, and
//! writes what differs.

use std::cell::Cell;

use anyhow::ensure;

use super::measure::Until;
use super::scenario::Run;
use super::verify;
use super::wire::escape;
use super::write::replace;

/// People that are looked up, where the register has as many.
pub(super) const PEOPLE: u64 = 100_000;
/// One in so many has changed since the last night.
const CHANGED: u64 = 50;

/// One night a round: so many look-ups, and a PATCH for whoever has another title by then.
pub(super) async fn reconcile(run: &Run<'_>) -> anyhow::Result<()> {
    let (world, people) = (run.bench.world, run.bench.world.people);
    let count = people.size.min(PEOPLE);
    for night in 0..run.bench.settings.rounds as u64 {
        let (wanted, written) = (Cell::new(0), Cell::new(0));
        let sample = run.drive_until(Until::Calls(count), async |connection, number| {
            let id = world.current_id(number)?;
            let known = world.titles.borrow().get(&id).cloned().unwrap_or_else(|| people.title(number));
            let has_changed = number % CHANGED == night % CHANGED;
            let title = if has_changed { format!("Night {night} of {}", people.seed) } else { known };
            wanted.set(wanted.get() + u64::from(has_changed));
            let filter = escape(&format!("externalId eq \"{}\"", people.external_id(number)));
            let request = world.subject.writer.plain("GET", &format!("/Users?filter={filter}"));
            let answer = connection.send(&request).await?;
            verify::status(&answer, 200)?;
            ensure!(verify::number(answer.body, "totalResults") == Some(1), "not found: {}", answer.excerpt());
            ensure!(verify::id(&answer)? == id, "somebody else: {}", answer.excerpt());
            if verify::text(answer.body, "title") != Some(&*title) {
                let answer = connection.send(&replace(world, id, "title", &title.as_str().into())).await?;
                verify::status(&answer, 200)?;
                verify::holds(&answer, "title", &title)?;
                world.titles.borrow_mut().insert(id, title);
                written.set(written.get() + 1);
            }
            Ok(1)
        });
        let mut sample = sample.await?;
        if written.get() != wanted.get() {
            sample.blame(format!("{} people differed instead of {}", written.get(), wanted.get()));
        }
        run.enter("", sample);
    }
    Ok(())
}

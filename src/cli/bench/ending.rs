//! What was acknowledged is read back: everybody who was created is there, whoever was deleted is not, the titles are
//! those that were written last, and the total is right.

use std::cell::Cell;

use super::measure::{Until, drive};
use super::verify;
use super::wire::Connection;
use super::world::World;

/// Connections of the read-back.
const CONNECTIONS: usize = 16;

/// Reads everything back. Answers how many resources were looked at, how many were not as they should be, and the first
/// fault.
pub(super) async fn read_back(world: &World) -> anyhow::Result<(u64, u64, Option<String>)> {
    let people = world.people;
    let created: Vec<_> = world.created.borrow().iter().map(|(number, id)| (*number, *id)).collect();
    let deleted = world.deleted.borrow().clone();
    let titles: Vec<_> = world.titles.borrow().iter().map(|(id, title)| (*id, title.clone())).collect();
    let count = created.len() + deleted.len() + titles.len();
    let (lost, fault) = (Cell::new(0), std::cell::RefCell::new(None));
    let sample = drive(
        world.subject.address,
        CONNECTIONS,
        Until::Calls(count as u64),
        || 0.0,
        async |connection: &mut Connection, n| {
            let n = usize::try_from(n)?;
            let get = |id| world.subject.writer.plain("GET", &format!("/Users/{id}?excludedAttributes=groups"));
            let outcome = if let Some((number, id)) = created.get(n) {
                let answer = connection.send(&get(*id)).await?;
                verify::status(&answer, 200)
                    .and_then(|()| verify::holds(&answer, "userName", &people.user_name(*number)))
                    .and_then(|()| verify::holds(&answer, "employeeNumber", &people.external_id(*number)))
            } else if let Some(id) = deleted.get(n - created.len()) {
                verify::status(&connection.send(&get(*id)).await?, 404)
            } else if let Some((id, title)) = titles.get(n - created.len() - deleted.len()) {
                let answer = connection.send(&get(*id)).await?;
                verify::status(&answer, 200).and_then(|()| verify::holds(&answer, "title", title))
            } else {
                Ok(())
            };
            // Counted here, since all are to be looked at however many are lost.
            if let Err(error) = outcome {
                lost.set(lost.get() + 1);
                fault.borrow_mut().get_or_insert(format!("{error:#}"));
            }
            Ok(1)
        },
    );
    let sample = sample.await?;
    let (_, body) = world.ask(&world.subject.writer.plain("GET", "/Users?count=0")).await?;
    let total = body.get("totalResults").and_then(serde_json::Value::as_u64);
    if total != Some(world.population()) {
        lost.set(lost.get() + 1);
        fault.borrow_mut().get_or_insert(format!("a total of {total:?} instead of {}", world.population()));
    }
    Ok((count as u64, lost.get() + sample.wrong, fault.into_inner().or(sample.fault)))
}

//! A simulation is the same write, thrown away: the same changes up to number, instant and transaction, and no trace.

use std::sync::Arc;

use store::change::Change;
use store::work::Draft;
use store::{Error, ResourceId, Work};

use super::harness::{DOMAIN, Fixture, START, as_is, group, id, joins, leaves, on_both, origin, user};

on_both! {
    a_simulation_says_what_the_write_then_does_and_leaves_no_trace,
    a_simulation_refuses_what_the_write_refuses,
}

type Essence = (&'static str, ResourceId, String, i64, Option<Arc<String>>, Vec<store::change::Delta>);

fn essence(change: &Change) -> (Essence, Option<(ResourceId, Option<String>)>) {
    let Change { op, resource, kind, version, doc, members, external, .. } = change.clone();
    ((op.as_str(), resource, kind, version, doc, members), external)
}

/// A bit of everything.
fn everything(work: &mut Work<'_>) -> Result<Vec<Change>, Error> {
    work.create(Draft { external: Some((DOMAIN, Some("new".into()))), ..user(50, "new") })?;
    work.create(group(51, "new group", &[1, 50]))?;
    let held = work.record(id(10))?.ok_or(Error::NotFound)?;
    work.update(Draft { members: vec![leaves(1), joins(3), joins(2), leaves(99)], ..as_is(&held) })?;
    work.update(user(2, "renamed"))?;
    work.remove(id(3))?;
    work.remove(id(11))?;
    Ok(work.changes().to_vec())
}

async fn a_simulation_says_what_the_write_then_does_and_leaves_no_trace(fixture: Fixture) {
    for n in 1..=4 {
        fixture.create(user(n, &format!("u{n}"))).await.unwrap();
    }
    fixture.create(group(10, "ten", &[1, 2])).await.unwrap();
    fixture.create(group(11, "eleven", &[3, 4])).await.unwrap();
    let before = fixture.dump();
    let planned = fixture.read(|reader, tenant| reader.simulate(tenant, origin(START), everything)).await.unwrap();
    assert_eq!(fixture.dump(), before);

    let reported = fixture.write(everything).await.unwrap();
    let stored: Vec<_> = fixture.changes().await.unwrap().into_iter().skip(6).map(|stored| stored.change).collect();
    assert_eq!(reported, stored);
    let essences = |changes: &[Change]| changes.iter().map(essence).collect::<Vec<_>>();
    assert_eq!(essences(&planned), essences(&stored));
    assert_eq!(planned.len(), 8, "two creations, a change of members, a rename, two groups left, two deletions");
}

async fn a_simulation_refuses_what_the_write_refuses(fixture: Fixture) {
    fixture.create(user(1, "anna")).await.unwrap();
    let before = fixture.dump();
    let run = |work: &mut Work<'_>| {
        work.create(user(2, "bo"))?;
        work.create(user(3, "anna"))
    };
    let outcome = fixture.read(move |reader, tenant| reader.simulate(tenant, origin(START), run)).await;
    assert!(matches!(outcome, Err(Error::Taken { .. })));
    assert_eq!(fixture.dump(), before);
}

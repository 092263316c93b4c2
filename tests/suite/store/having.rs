//! What a write finds by a value is what is there: whether the database has it, an earlier operation of the same batch wrote
//! it, or the open one did.

use serde_json::json;
use store::work::Draft;
use store::{Error, ResourceId, Work};

use super::harness::{Fixture, START, id, object, on_both, origin, user};

on_both! {
    a_write_finds_what_stands_now_whoever_wrote_it,
    what_a_refused_operation_wrote_is_not_found,
}

const PATH: &str = "emails.value";

fn reached_at(n: u32, addresses: &[&str]) -> Draft {
    let emails: Vec<_> = addresses.iter().map(|address| json!({ "value": address })).collect();
    let doc = json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": format!("u{n}"), "emails": emails });
    Draft { doc: object(doc).into(), ..user(n, &format!("u{n}")) }
}

/// Who has an address, in the order of their numbers.
fn at(work: &mut Work<'_>, address: &str) -> Vec<u32> {
    let found = work.having("User", PATH, &[address.to_owned()], None, 100).unwrap().expect("the path is indexed");
    let mut found: Vec<u32> = (1..20).filter(|n| found.contains(&id(*n))).collect();
    found.sort_unstable();
    found
}

async fn a_write_finds_what_stands_now_whoever_wrote_it(fixture: Fixture) {
    fixture.create(reached_at(1, &["old@a.example", "both@a.example"])).await.unwrap();
    fixture.create(reached_at(2, &["both@a.example"])).await.unwrap();
    fixture.create(reached_at(3, &["gone@a.example"])).await.unwrap();
    let run = |work: &mut Work<'_>| {
        let step = |work: &mut Work<'_>, draft: Draft| work.rehearse(|work| work.update(draft).map(drop));
        assert_eq!(at(work, "both@a.example"), [1, 2], "as the database has it");
        // Settled, then settled once more by another operation, the path being asked about in between.
        step(work, reached_at(1, &["new@a.example"]))?;
        assert_eq!((at(work, "old@a.example"), at(work, "NEW@a.example")), (vec![], vec![1]));
        step(work, reached_at(1, &["both@a.example"]))?;
        assert_eq!((at(work, "new@a.example"), at(work, "both@a.example")), (vec![], vec![1, 2]));
        work.rehearse(|work| work.create(reached_at(4, &["new@a.example"])).map(drop))?;
        work.rehearse(|work| work.remove(id(3)).map(drop))?;
        assert_eq!((at(work, "new@a.example"), at(work, "gone@a.example")), (vec![4], vec![]));
        work.rehearse(|work| work.remove(id(4)).map(drop))?;
        assert_eq!(at(work, "new@a.example"), [] as [u32; 0]);
        // The open operation sees itself.
        work.rehearse(|work| {
            work.create(reached_at(5, &["both@a.example"]))?;
            work.update(reached_at(2, &["old@a.example"]))?;
            work.remove(id(1))?;
            assert_eq!((at(work, "both@a.example"), at(work, "old@a.example")), (vec![5], vec![2]));
            Ok::<_, Error>(())
        })?;
        let after = work.having("User", PATH, &["old@a.example".into(), "both@a.example".into()], Some(id(5)), 100)?;
        let expected: Vec<ResourceId> = [id(2)].into_iter().filter(|one| *one > id(5)).collect();
        assert_eq!(after, Some(expected), "from an id on");
        Ok::<_, Error>(())
    };
    fixture.read(move |reader, tenant| reader.simulate(tenant, origin(START), run)).await.unwrap();
}

async fn what_a_refused_operation_wrote_is_not_found(fixture: Fixture) {
    fixture.create(reached_at(1, &["a@a.example"])).await.unwrap();
    let run = |work: &mut Work<'_>| {
        work.rehearse(|work| work.create(reached_at(2, &["b@a.example"])).map(drop))?;
        assert_eq!(at(work, "b@a.example"), [2]);
        let refused = work.rehearse(|work| {
            work.update(reached_at(2, &["a@a.example"]))?;
            assert_eq!((at(work, "a@a.example"), at(work, "b@a.example")), (vec![1, 2], vec![]));
            work.create(user(3, "u1")).map(drop)
        });
        assert!(matches!(refused, Err(Error::Taken { .. })), "{refused:?}");
        assert_eq!((at(work, "a@a.example"), at(work, "b@a.example")), (vec![1], vec![2]));
        Ok::<_, Error>(())
    };
    fixture.read(move |reader, tenant| reader.simulate(tenant, origin(START), run)).await.unwrap();
}

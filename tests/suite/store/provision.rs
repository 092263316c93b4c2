//! What follows from facts, as the store keeps it: when resources are due, rights and their grounds, names that stay
//! taken, leases, and what is made of policies and rules.

use std::io::Cursor;
use std::sync::Arc;

use store::{Due, Error, Grant, GrantKey, ResourceId, Tombstone, Work};
use uuid::Uuid;

use super::harness::{Fixture, START, id, on_both, origin, user};

on_both! {
    what_is_due_is_told_the_oldest_first,
    a_write_sees_what_the_batch_has_settled_and_a_refused_one_leaves_nothing,
    a_grant_begins_and_ends_and_stays_as_evidence,
    a_name_of_someone_who_is_gone_stays_taken,
    a_lease_is_one_processes_until_it_ends,
    a_book_is_remembered_until_it_changes_and_never_what_was_not_committed,
    it_moves_to_another_register,
    what_is_due_and_is_not_there_is_found_and_mended,
}

const DAY: i64 = 86_400_000_000;

fn grant(user: ResourceId, target: ResourceId, ground: &str, since: i64) -> Grant {
    let key = GrantKey { user, target, ground_kind: "rule".into(), ground_id: ground.into(), since };
    Grant { key, until: None, ground_from: Some(since - DAY), ground_until: None, rule_version: 3, facts: "{}".into() }
}

async fn due_before(fixture: &Fixture, until: i64, limit: i64) -> Vec<(ResourceId, i64)> {
    fixture.read(move |reader, tenant| reader.due_before(tenant, until, limit)).await.unwrap()
}

async fn what_is_due_is_told_the_oldest_first(fixture: Fixture) {
    fixture
        .write(|work| {
            for (n, days) in [(1, 3), (2, 1), (3, 2), (4, 1)] {
                work.put_due(id(n), Some(Due::at(START + days * DAY)));
            }
            work.put_due(id(5), Some(Due { at: START + 9 * DAY, after: Some(id(2)) }));
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!(due_before(&fixture, START + DAY - 1, 10).await, []);
    let (one, two, three) = (START + DAY, START + 2 * DAY, START + 3 * DAY);
    assert_eq!(due_before(&fixture, three, 10).await, [(id(2), one), (id(4), one), (id(3), two), (id(1), three)]);
    assert_eq!(due_before(&fixture, three, 3).await, [(id(2), one), (id(4), one), (id(3), two)]);
    let backlog = fixture.read(move |reader, tenant| reader.backlog(tenant, two, 10)).await.unwrap();
    assert_eq!(backlog, (3, Some(one)));
    fixture
        .write(|work| {
            work.put_due(id(2), None);
            work.put_due(id(4), Some(Due::at(START + 5 * DAY)));
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!(due_before(&fixture, three, 10).await, [(id(3), two), (id(1), three)]);
    let found = fixture.read(|reader, tenant| reader.due_of(tenant, id(5))).await.unwrap();
    assert_eq!(found, Some(Due { at: START + 9 * DAY, after: Some(id(2)) }));
    assert_eq!(fixture.changes().await.unwrap(), [], "none of it is a change");
}

async fn a_write_sees_what_the_batch_has_settled_and_a_refused_one_leaves_nothing(fixture: Fixture) {
    let (gate, held) = fixture.held(|work| {
        work.put_due(id(1), Some(Due::at(START)));
        work.put_grant(grant(id(1), id(2), "a", START));
        work.bury("userName", "anna", Tombstone { resource: id(9), at: START, until: None });
        Ok(())
    });
    gate.entered();
    let refused = fixture.store.write(fixture.tenant, origin(START), |work: &mut Work<'_>| {
        assert_eq!(work.due_of(id(1))?, Some(Due::at(START)));
        work.put_due(id(1), None);
        work.put_grant(grant(id(1), id(3), "a", START));
        work.bury("userName", "bo", Tombstone { resource: id(9), at: START, until: None });
        Err::<(), _>(Error::Stale)
    });
    let seen = fixture.store.write(fixture.tenant, origin(START), |work: &mut Work<'_>| {
        let held: Vec<ResourceId> = work.grants_of(id(1))?.into_iter().map(|grant| grant.key.target).collect();
        Ok::<_, Error>((work.due_of(id(1))?, held, work.tombstone("userName", "bo")?, work.tombstones_of(id(9))?.len()))
    });
    gate.let_go();
    held.await.unwrap();
    assert!(matches!(refused.await, Err(Error::Stale)));
    assert_eq!(seen.await.unwrap(), (Some(Due::at(START)), vec![id(2)], None, 1));
}

async fn a_grant_begins_and_ends_and_stays_as_evidence(fixture: Fixture) {
    fixture
        .write(|work| {
            work.put_grant(grant(id(1), id(2), "rule:7", START));
            work.put_grant(grant(id(1), id(2), "rule:8", START));
            work.put_grant(grant(id(3), id(2), "rule:7", START));
            Ok(())
        })
        .await
        .unwrap();
    fixture
        .write(|work| {
            let ending = work.grants_of(id(1))?.into_iter().next().unwrap();
            work.end_grant(ending, START + DAY);
            work.put_grant(grant(id(1), id(2), "rule:7", START + 2 * DAY));
            Ok(())
        })
        .await
        .unwrap();
    let grants = fixture.read(|reader, tenant| reader.grants_of(tenant, id(1))).await.unwrap();
    let told: Vec<_> =
        grants.iter().map(|one| (one.key.ground_id.as_str(), one.key.since - START, one.until)).collect();
    assert_eq!(told, [("rule:7", 0, Some(START + DAY)), ("rule:7", 2 * DAY, None), ("rule:8", 0, None)]);
    let held = |at: i64| grants.iter().filter(|one| one.is_held_at(at)).count();
    assert_eq!((held(START - 1), held(START), held(START + DAY), held(START + 2 * DAY)), (0, 2, 1, 2));
    let on = fixture.read(|reader, tenant| reader.grants_on(tenant, id(2))).await.unwrap();
    assert_eq!(on.len(), 4);
    assert_eq!((on[3].key.user, on[3].ground_from, on[3].rule_version), (id(3), Some(START - DAY), 3));
}

async fn a_name_of_someone_who_is_gone_stays_taken(fixture: Fixture) {
    let (name, mail) = (
        Tombstone { resource: id(1), at: START, until: None },
        Tombstone { resource: id(1), at: START, until: Some(START + DAY) },
    );
    fixture
        .write(move |work| {
            work.bury("userName", "anna", name);
            work.bury("email", "anna@example.org", mail);
            Ok(())
        })
        .await
        .unwrap();
    let found = fixture.read(|reader, tenant| reader.tombstone(tenant, "userName", "anna")).await.unwrap();
    assert_eq!(found, Some(name));
    assert!(name.binds_at(i64::MAX) && mail.binds_at(START + DAY - 1) && !mail.binds_at(START + DAY));
    let none = fixture.read(|reader, tenant| reader.tombstone(tenant, "userName", "bo")).await.unwrap();
    assert_eq!(none, None);
    let of = fixture.write(|work| work.tombstones_of(id(1))).await.unwrap();
    assert_eq!(of.iter().map(|((space, _), _)| space.as_str()).collect::<Vec<_>>(), ["email", "userName"]);
}

async fn a_lease_is_one_processes_until_it_ends(fixture: Fixture) {
    let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let take = |holder, now, until| fixture.store.take_lease(fixture.tenant, "schedule", holder, now, until).unwrap();
    assert!(take(one, START, START + 10));
    assert!(!take(other, START + 9, START + 20));
    assert!(take(one, START + 9, START + 20), "who has it prolongs it");
    assert!(!take(other, START + 19, START + 30));
    assert!(take(other, START + 20, START + 30));
    assert!(!take(one, START + 20, START + 30));
    fixture.store.drop_lease(fixture.tenant, "schedule", one).unwrap();
    assert!(!take(one, START + 21, START + 31), "what one does not have one cannot give back");
    fixture.store.drop_lease(fixture.tenant, "schedule", other).unwrap();
    assert!(take(one, START + 21, START + 31));
}

async fn a_book_is_remembered_until_it_changes_and_never_what_was_not_committed(fixture: Fixture) {
    let known = |work: &mut Work<'_>| Ok(work.book().and_then(|book| book.downcast_ref::<u8>().copied()));
    assert_eq!(fixture.write(known).await.unwrap(), None);
    let keep = |book: u8| {
        move |work: &mut Work<'_>| {
            work.keep_book(Arc::new(book));
            Ok(())
        }
    };
    fixture.write(keep(1)).await.unwrap();
    assert_eq!(fixture.write(known).await.unwrap(), Some(1));
    // A refused change of the book takes back what was made of it.
    let refused = fixture.write(|work| {
        work.create(user(1, "anna"))?;
        work.move_book();
        work.keep_book(Arc::new(2_u8));
        Err::<(), _>(Error::Stale)
    });
    assert!(refused.await.is_err());
    assert_eq!(fixture.write(known).await.unwrap(), Some(1));
    // The number of a refused one is given to another change.
    let next = fixture.write(move |work| {
        work.create(user(2, "bo"))?;
        work.move_book();
        known(work)
    });
    assert_eq!(next.await.unwrap(), None);
    assert_eq!(fixture.write(known).await.unwrap(), None);
    assert_eq!(fixture.write(|work| Ok(work.book_seq())).await.unwrap(), 1);
    fixture.write(keep(3)).await.unwrap();
    let read = fixture.read(|reader, tenant| reader.book(tenant)).await.unwrap();
    assert_eq!(read.and_then(|book| book.downcast_ref::<u8>().copied()), Some(3));
    // Another node changes it.
    let other = fixture.another_node();
    let change = |work: &mut Work<'_>| {
        work.create(user(3, "cia"))?;
        work.move_book();
        Ok::<_, Error>(())
    };
    other.write(fixture.tenant, origin(START), change).await.unwrap();
    assert_eq!(fixture.write(known).await.unwrap(), None);
    other.close();
}

async fn it_moves_to_another_register(fixture: Fixture) {
    fixture.create(user(1, "anna")).await.unwrap();
    fixture
        .write(|work| {
            work.put_due(id(1), Some(Due::at(START + DAY)));
            work.put_grant(grant(id(1), id(1), "a", START));
            work.bury("userName", "bo", Tombstone { resource: id(2), at: START, until: Some(START + DAY) });
            Ok(())
        })
        .await
        .unwrap();
    let mut file = Vec::new();
    let tenant = fixture.tenant;
    let file = fixture
        .store
        .read(move |reader| {
            reader
                .export(tenant, true, &mut file, &mut |_, _, _| {})
                .map_err(|error| Error::Corrupt(error.to_string()))?;
            Ok::<_, Error>(file)
        })
        .await
        .unwrap();
    let other = Fixture::sqlite();
    let there = other.store.import("two", &mut Cursor::new(file), false, START, &mut |_, _, _| {}).unwrap().tenant.id;
    let found = other
        .store
        .read(move |reader| {
            let due = reader.due_before(there, i64::MAX, 10)?;
            Ok::<_, Error>((due, reader.grants_of(there, id(1))?, reader.tombstone(there, "userName", "bo")?))
        })
        .await
        .unwrap();
    let stone = Tombstone { resource: id(2), at: START, until: Some(START + DAY) };
    assert_eq!(found, (vec![(id(1), START + DAY)], vec![grant(id(1), id(1), "a", START)], Some(stone)));
    assert_eq!(other.store.read(move |reader| reader.verify(there)).await.unwrap(), []);
}

async fn what_is_due_and_is_not_there_is_found_and_mended(fixture: Fixture) {
    fixture.create(user(1, "anna")).await.unwrap();
    fixture
        .write(|work| {
            work.put_due(id(1), Some(Due::at(START)));
            work.put_due(ResourceId::SYSTEM, Some(Due::at(START)));
            work.put_grant(grant(id(1), id(1), "a", START));
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!(fixture.read(|reader, tenant| reader.verify(tenant)).await.unwrap(), []);
    fixture
        .write(|work| {
            work.put_due(id(7), Some(Due::at(START)));
            work.put_grant(grant(id(7), id(1), "a", START));
            Ok(())
        })
        .await
        .unwrap();
    let found = fixture.read(|reader, tenant| reader.verify(tenant)).await.unwrap();
    assert_eq!(found.iter().map(|finding| finding.table).collect::<Vec<_>>(), ["due", "grant_"]);
    let mut mending = store::Mending::default();
    while !mending.is_done() {
        let from = mending.clone();
        mending = fixture.write(move |work| work.mend(&from)).await.unwrap();
    }
    assert_eq!(due_before(&fixture, START, 10).await.len(), 2, "what stands for everybody stays");
}

//! Creating, changing and removing; and that what is refused has never been.

use serde_json::json;
use std::sync::Arc;
use store::Error;
use store::work::{Draft, document_of};

use super::harness::{DOMAIN, Fixture, START, as_is, group, id, joins, leaves, on_both, origin, user};

on_both! {
    a_created_resource_comes_back_as_it_was_written,
    every_change_raises_the_version_and_keeps_the_creation,
    a_removed_resource_is_gone_and_its_names_are_free,
    instants_grow_with_the_numbers_whatever_the_clock_says,
    counts_follow_what_lives,
    a_name_that_is_taken_is_refused_and_leaves_nothing,
    an_operation_that_fails_late_leaves_nothing,
    an_operation_that_panics_leaves_nothing_and_stops_nobody,
    an_id_that_exists_is_never_overwritten,
    an_external_id_belongs_to_one_resource_of_a_domain,
    a_long_unique_name_is_unique_to_its_last_letter,
    a_tenant_sees_nothing_of_another,
    a_route_leads_to_one_tenant,
    a_tenant_asked_for_too_early_is_indexed_all_the_same,
    a_read_that_panics_within_a_snapshot_harms_no_other,
    snapshots_nest,
    a_closed_store_refuses_and_says_so,
}

async fn a_created_resource_comes_back_as_it_was_written(fixture: Fixture) {
    let mut draft = user(1, "Åsa.Öberg@example.com");
    Arc::make_mut(&mut draft.doc)
        .insert("name".into(), json!({ "familyName": "Öberg \"the \\ first\"\n", "givenName": "Åsa" }));
    Arc::make_mut(&mut draft.doc).insert("emails".into(), json!([{ "value": "asa@example.com", "primary": true }]));
    draft.secret = Some(vec![0, 1, 255]);
    draft.external = Some((DOMAIN, Some("4711".into())));
    let created = fixture.create(draft.clone()).await.unwrap();

    assert_eq!(fixture.record(id(1)).await.unwrap(), created);
    assert_eq!(document_of(&created).unwrap(), *draft.doc);
    assert_eq!((created.version, created.seq, created.groups_seq), (1, 1, 0));
    assert_eq!(created.created_at, created.modified_at);
    assert_eq!(created.secret, draft.secret);
    let hit = fixture.hit(id(1)).await;
    assert_eq!(hit.external.as_deref(), Some("4711"));
    assert_eq!(hit.groups, Some(Vec::new()));
    let query = fixture.query("User");
    let page = fixture.read(move |reader, tenant| reader.search(tenant, &query)).await.unwrap();
    assert_eq!((page.total, page.hits.len()), (1, 1));
    assert_eq!(page.hits[0].record, created);
}

async fn every_change_raises_the_version_and_keeps_the_creation(fixture: Fixture) {
    let created = fixture.create(user(1, "anna")).await.unwrap();
    for version in 2..=5 {
        let changed = fixture.update(user(1, &format!("anna{version}"))).await.unwrap();
        assert_eq!(changed.version, version);
        assert_eq!(changed.created_at, created.created_at);
        assert!(changed.modified_at > created.modified_at);
        assert_eq!(fixture.record(id(1)).await.unwrap(), changed);
    }
    // Several changes in one operation are several versions.
    let last = fixture
        .write(|work| {
            work.update(user(1, "a"))?;
            work.update(user(1, "b"))
        })
        .await
        .unwrap();
    assert_eq!(last.version, 7);
    assert_eq!(fixture.changes().await.unwrap().len(), 7);
}

async fn a_removed_resource_is_gone_and_its_names_are_free(fixture: Fixture) {
    let named = Draft { external: Some((DOMAIN, Some("x".into()))), ..user(1, "anna") };
    fixture.create(named.clone()).await.unwrap();
    fixture.remove(id(1)).await.unwrap();
    assert!(fixture.record(id(1)).await.is_none());
    assert!(matches!(fixture.remove(id(1)).await, Err(Error::NotFound)));
    fixture.create(Draft { id: id(2), ..named }).await.unwrap();
    let rows = fixture.rows("SELECT value FROM attr_index WHERE path_id = 1");
    assert_eq!(rows, ["anna"]);
}

async fn instants_grow_with_the_numbers_whatever_the_clock_says(fixture: Fixture) {
    for (n, now) in [START, START + 10, START - 1_000_000, START - 5, START + 11].into_iter().enumerate() {
        let n = u32::try_from(n).unwrap();
        fixture.write_at(now, move |work| work.create(user(n, &format!("u{n}")))).await.unwrap();
    }
    let at: Vec<_> = fixture.changes().await.unwrap().into_iter().map(|stored| stored.change.at - START).collect();
    assert_eq!(at, [0, 10, 11, 12, 13]);
}

async fn counts_follow_what_lives(fixture: Fixture) {
    for n in 1..=5 {
        fixture.create(user(n, &format!("u{n}"))).await.unwrap();
    }
    fixture.create(group(10, "g", &[1, 2])).await.unwrap();
    fixture.remove(id(3)).await.unwrap();
    let _ = fixture.write(|work| work.create(user(9, "u1"))).await.unwrap_err();
    fixture
        .write(|work| {
            work.create(user(7, "u7"))?;
            work.remove(id(7))
        })
        .await
        .unwrap();
    assert_eq!((fixture.count("User").await, fixture.count("Group").await, fixture.count("Client").await), (4, 1, 0));
}

async fn a_name_that_is_taken_is_refused_and_leaves_nothing(fixture: Fixture) {
    fixture.create(user(1, "Anna")).await.unwrap();
    fixture.create(user(2, "bo")).await.unwrap();
    let before = fixture.dump();
    for draft in [user(3, "ANNA"), user(3, "\u{ff21}nna")] {
        let error = fixture.create(draft).await.unwrap_err();
        assert!(matches!(&error, Error::Taken { path } if path == "userName"), "{error}");
    }
    assert!(matches!(fixture.update(user(2, "anna")).await, Err(Error::Taken { .. })));
    assert_eq!(fixture.dump(), before);
    // Its own name in another case is not another's.
    fixture.update(user(1, "ANNA")).await.unwrap();
    // Names may be swapped within one operation, by way of a third one.
    fixture
        .write(|work| {
            work.update(user(1, "third"))?;
            work.update(user(2, "anna"))?;
            work.update(user(1, "bo"))
        })
        .await
        .unwrap();
    assert_eq!(fixture.record(id(2)).await.unwrap().label, "anna");
}

async fn an_operation_that_fails_late_leaves_nothing(fixture: Fixture) {
    fixture.create(user(1, "anna")).await.unwrap();
    fixture.create(group(10, "all", &[1])).await.unwrap();
    let before = fixture.dump();
    let outcome = fixture
        .write(|work| {
            work.create(user(2, "bo"))?;
            work.create(group(11, "some", &[2]))?;
            let all = work.record(id(10))?.unwrap();
            work.update(Draft { members: vec![leaves(1), joins(2)], ..as_is(&all) })?;
            work.remove(id(1))?;
            Err::<(), _>(Error::Stale)
        })
        .await;
    assert!(matches!(outcome, Err(Error::Stale)));
    assert_eq!(fixture.dump(), before);
    assert_eq!(fixture.create(user(3, "bo")).await.unwrap().seq, 3);
}

async fn an_operation_that_panics_leaves_nothing_and_stops_nobody(fixture: Fixture) {
    let before = fixture.dump();
    let outcome = fixture
        .write(|work| {
            work.create(user(2, "bo"))?;
            if work.changes().len() == 1 {
                panic!("on purpose");
            }
            Ok(())
        })
        .await;
    assert!(matches!(outcome, Err(Error::Corrupt(_))));
    assert_eq!(fixture.dump(), before);
    assert_eq!(fixture.create(user(3, "bo")).await.unwrap().seq, 1);
}

async fn an_id_that_exists_is_never_overwritten(fixture: Fixture) {
    fixture.create(user(1, "anna")).await.unwrap();
    let before = fixture.dump();
    assert!(fixture.create(user(1, "other")).await.is_err());
    let twice = fixture.write(|work| {
        work.create(user(2, "one"))?;
        work.create(user(2, "two"))
    });
    assert!(matches!(twice.await, Err(Error::Taken { .. })));
    assert_eq!(fixture.dump(), before);
    fixture.create(user(3, "other")).await.unwrap();
    assert_eq!(fixture.changes().await.unwrap().len(), 2);
}

async fn an_external_id_belongs_to_one_resource_of_a_domain(fixture: Fixture) {
    let other = store::ResourceId(uuid::Uuid::from_u128(0xee));
    let named = |n: u32, name: &str, domain, value: &str| Draft {
        external: Some((domain, Some(value.into()))),
        ..user(n, name)
    };
    fixture.create(named(1, "a", DOMAIN, "X")).await.unwrap();
    assert!(
        matches!(fixture.create(named(2, "b", DOMAIN, "X")).await, Err(Error::Taken { path }) if path == "externalId")
    );
    fixture.create(named(2, "b", other, "X")).await.unwrap();
    fixture.create(named(3, "c", DOMAIN, "x")).await.unwrap();
    let both = fixture
        .read(|reader, tenant| {
            Ok((reader.external_of(tenant, DOMAIN, id(2))?, reader.external_of(tenant, DOMAIN, id(3))?))
        })
        .await
        .unwrap();
    assert_eq!(both, (None, Some("x".into())));
    // It can be moved, and taken away.
    fixture.update(named(1, "a", DOMAIN, "Y")).await.unwrap();
    fixture.update(named(2, "b", DOMAIN, "X")).await.unwrap();
    fixture.update(Draft { external: Some((DOMAIN, None)), ..user(1, "a") }).await.unwrap();
    assert_eq!(fixture.hit(id(1)).await.external, None);
    assert_eq!(fixture.hit(id(2)).await.external.as_deref(), Some("X"));
    // Groups have keys of their own.
    fixture.create(Draft { external: Some((DOMAIN, Some("X".into()))), ..group(10, "g", &[]) }).await.unwrap();
}

async fn a_long_unique_name_is_unique_to_its_last_letter(fixture: Fixture) {
    let stem = "å".repeat(700);
    fixture.create(user(1, &format!("{stem}1"))).await.unwrap();
    fixture.create(user(2, &format!("{stem}2"))).await.unwrap();
    assert!(matches!(fixture.create(user(3, &format!("{stem}1"))).await, Err(Error::Taken { .. })));
}

async fn a_tenant_sees_nothing_of_another(mut fixture: Fixture) {
    fixture.create(user(1, "anna")).await.unwrap();
    fixture.create(group(10, "g", &[1])).await.unwrap();
    fixture.new_tenant("two");
    assert!(fixture.record(id(1)).await.is_none());
    assert_eq!(fixture.count("User").await, 0);
    assert!(fixture.changes().await.unwrap().is_empty());
    assert_eq!(fixture.create(user(1, "anna")).await.unwrap().seq, 1);
    assert_eq!(fixture.hit(id(1)).await.groups, Some(Vec::new()));
    assert!(matches!(fixture.store.create_tenant("two", "Two", START), Err(Error::Taken { .. })));
}

async fn a_route_leads_to_one_tenant(mut fixture: Fixture) {
    let put = |fixture: &Fixture, key: &'static str, target| {
        fixture.store.write(fixture.tenant, origin(START), move |work| work.put_route(key, target))
    };
    put(&fixture, "host:id.example.com", None).await.unwrap();
    put(&fixture, "spki:abc", Some(id(1))).await.unwrap();
    put(&fixture, "spki:abc", Some(id(2))).await.unwrap();
    let first = fixture.tenant;
    fixture.new_tenant("two");
    assert!(matches!(put(&fixture, "spki:abc", Some(id(1))).await, Err(Error::Taken { .. })));
    put(&fixture, "spki:def", Some(id(1))).await.unwrap();
    let (route, of_first, of_second) = fixture
        .read(move |reader, second| {
            Ok((reader.route("spki:abc")?, reader.routes_of(first)?, reader.routes_of(second)?))
        })
        .await
        .unwrap();
    assert_eq!(route, Some(store::Route { tenant: first, target: Some(id(2)) }));
    assert_eq!(of_first, [("host:id.example.com".to_owned(), None), ("spki:abc".to_owned(), Some(id(2)))]);
    assert_eq!(of_second, [("spki:def".to_owned(), Some(id(1)))]);

    let written = fixture.store.write(fixture.tenant, origin(START), |work| {
        work.remove_route("spki:def");
        // Another tenant's stays.
        work.remove_route("spki:abc");
        work.route("spki:def")
    });
    assert_eq!(written.await.unwrap(), None);
    let left = fixture.read(|reader, _| Ok((reader.route("spki:def")?, reader.route("spki:abc")?))).await.unwrap();
    assert_eq!((left.0, left.1.map(|route| route.tenant)), (None, Some(first)));
}

async fn a_tenant_asked_for_too_early_is_indexed_all_the_same(mut fixture: Fixture) {
    let real = std::mem::replace(&mut fixture.tenant, store::TenantId(2));
    let query = fixture.query("User");
    assert!(fixture.read(move |reader, tenant| reader.search(tenant, &query)).await.is_err());
    assert!(matches!(fixture.create(user(1, "anna")).await, Err(Error::NotFound)));
    fixture.new_tenant("two");
    assert_ne!(fixture.tenant, real);
    fixture.create(user(1, "anna")).await.unwrap();
    assert_eq!(fixture.rows("SELECT value FROM attr_index WHERE path_id = 1"), ["anna"]);
}

async fn a_read_that_panics_within_a_snapshot_harms_no_other(fixture: Fixture) {
    for _ in 0..4 {
        let broken = fixture.read(|reader, _| reader.snapshot(|_| -> Result<(), Error> { panic!("on purpose") }));
        assert!(matches!(broken.await, Err(Error::Corrupt(_))));
    }
    fixture.create(user(1, "anna")).await.unwrap();
    for _ in 0..4 {
        assert_eq!(fixture.count("User").await, 1);
        let query = fixture.query("User");
        let page = fixture.read(move |reader, tenant| reader.search(tenant, &query)).await.unwrap();
        assert_eq!(page.total, 1);
    }
}

async fn snapshots_nest(fixture: Fixture) {
    fixture.create(user(1, "anna")).await.unwrap();
    let query = fixture.query("User");
    let (store, tenant) = (fixture.store.clone(), fixture.tenant);
    let runtime = tokio::runtime::Handle::current();
    let (page, seq) = fixture
        .read(move |reader, _| {
            reader.snapshot(|reader| {
                let before = reader.head(tenant)?;
                let run = |work: &mut store::Work<'_>| work.create(user(2, "bo"));
                runtime.block_on(store.write(tenant, super::harness::origin(START), run))?;
                let page = reader.search(tenant, &query)?;
                assert_eq!(reader.head(tenant)?, before);
                Ok((page, before.0))
            })
        })
        .await
        .unwrap();
    assert_eq!((page.total, page.hits.len(), seq), (1, 1, 1));
    assert_eq!(fixture.count("User").await, 2);
}

async fn a_closed_store_refuses_and_says_so(fixture: Fixture) {
    fixture.create(user(1, "anna")).await.unwrap();
    fixture.store.close();
    assert!(matches!(fixture.create(user(2, "bo")).await, Err(Error::Unavailable(_))));
    let read = fixture.read(|reader, tenant| reader.count(tenant, "User")).await;
    assert!(matches!(read, Err(Error::Unavailable(_))));
    let fixture = fixture.reopen();
    assert_eq!(fixture.count("User").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_register_that_is_closed_lies_in_one_file() {
    let mut fixture = Fixture::sqlite();
    let log = format!("{}-wal", fixture.url().trim_start_matches("sqlite:"));
    for n in 1..=40 {
        fixture.create(user(n, &format!("user{n}"))).await.unwrap();
        assert!(std::fs::exists(&log).unwrap(), "{log}");
        fixture.store.close();
        assert!(!std::fs::exists(&log).unwrap(), "round {n}");
        fixture = fixture.reopen();
    }
    assert_eq!(fixture.count("User").await, 40);
}

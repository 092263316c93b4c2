//! After random histories: what is derived is a function of the documents, and the changes alone rebuild all of it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::test_runner::{Config, TestCaseError, TestRunner};
use store::ResourceId;
use store::change::Op;

use super::harness::{DOMAIN, Fixture, group, on_both, user};
use super::world::{ALL, history, live};

/// What the changes say of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Image {
    kind: String,
    version: i64,
    seq: i64,
    created_at: i64,
    modified_at: i64,
    doc: Arc<String>,
    external: Option<String>,
    members: BTreeSet<ResourceId>,
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config { cases, failure_persistence: None, max_shrink_iters: 200, ..Config::default() })
}

fn after_random_histories(fixture: Fixture) {
    let fixture = RefCell::new(fixture);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let outcome = runner(12).run(&history(5..60), |steps| {
        let mut fixture = fixture.borrow_mut();
        fixture.new_tenant(&uuid::Uuid::new_v4().to_string());
        runtime.block_on(async {
            let accepted = live(&fixture, &steps).await;
            let findings = fixture.read(|reader, tenant| reader.verify(tenant)).await.unwrap();
            if !findings.is_empty() {
                return Err(TestCaseError::fail(format!("{findings:?}")));
            }
            let replayed = replay(&fixture).await;
            let stored = stored(&fixture).await;
            if replayed != stored {
                return Err(TestCaseError::fail(format!("{accepted:?}\nreplayed {replayed:#?}\nstored {stored:#?}")));
            }
            Ok(())
        })
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

#[test]
fn index_rows_and_replay_agree_with_the_documents_on_sqlite() {
    after_random_histories(Fixture::sqlite());
}

#[test]
fn index_rows_and_replay_agree_with_the_documents_on_postgres() {
    after_random_histories(Fixture::postgres());
}

async fn replay(fixture: &Fixture) -> BTreeMap<ResourceId, Image> {
    let mut world: BTreeMap<ResourceId, Image> = BTreeMap::new();
    for stored in fixture.changes().await.unwrap() {
        let change = stored.change;
        if change.op == Op::Delete {
            assert_eq!(world.remove(&change.resource).unwrap().version + 1, change.version);
            // The deletion of a group takes its memberships with it; its members are told by its change alone.
            assert!(world.values().all(|image| !image.members.contains(&change.resource)), "left its groups before");
            continue;
        }
        let image = world.entry(change.resource).or_insert_with(|| {
            assert_eq!(change.op, Op::Create);
            Image {
                kind: change.kind.clone(),
                version: 0,
                seq: 0,
                created_at: change.at,
                modified_at: 0,
                doc: Arc::default(),
                external: None,
                members: BTreeSet::new(),
            }
        });
        assert_eq!(change.version, image.version + 1, "one change for each version");
        (image.version, image.seq, image.modified_at) = (change.version, change.seq, change.at);
        if let Some(doc) = change.doc {
            image.doc = doc;
        }
        if let Some((domain, value)) = change.external {
            assert_eq!(domain, DOMAIN);
            image.external = value;
        }
        for delta in change.members {
            let moved =
                if delta.joined { image.members.insert(delta.member) } else { image.members.remove(&delta.member) };
            assert!(moved, "a delta changes something");
        }
    }
    world
}

async fn stored(fixture: &Fixture) -> BTreeMap<ResourceId, Image> {
    let mut world = BTreeMap::new();
    for kind in ["User", "Group"] {
        let query = fixture.query(kind);
        let ids: Vec<_> = (0..ALL).map(super::harness::id).collect();
        for hit in fixture.read(move |reader, tenant| reader.hits(tenant, &ids, &query)).await.unwrap() {
            let record = hit.record;
            world.insert(
                record.id,
                Image {
                    kind: record.kind,
                    version: record.version,
                    seq: record.seq,
                    created_at: record.created_at,
                    modified_at: record.modified_at,
                    doc: record.doc,
                    external: hit.external,
                    members: hit.members.unwrap().into_iter().map(|member| member.id).collect(),
                },
            );
        }
    }
    world
}

on_both! { a_check_finds_whatever_is_not_as_it_must_be }

async fn a_check_finds_whatever_is_not_as_it_must_be(fixture: Fixture) {
    for n in 1..=3 {
        fixture.create(user(n, &format!("u{n}"))).await.unwrap();
    }
    fixture.create(group(10, "g", &[1, 2])).await.unwrap();
    let check = async || fixture.read(|reader, tenant| reader.verify(tenant)).await.unwrap();
    assert_eq!(check().await, []);
    let u2 = "(SELECT resource_id FROM resource WHERE label = 'u2')";
    let deeds = [
        ("attr_index", "DELETE FROM attr_index WHERE path_id = 1 AND value = 'u2'".to_owned()),
        ("attr_index", "UPDATE attr_index SET value = 'mallory' WHERE value = 'u2'".into()),
        ("attr_index", format!("INSERT INTO attr_index SELECT tenant_id, 99, 'x', resource_id FROM resource WHERE resource_id = {u2}")),
        ("unique_key", "DELETE FROM unique_key WHERE value = 'u2'".into()),
        ("unique_key", format!("INSERT INTO unique_key SELECT tenant_id, 'User:userName', 'u9', resource_id FROM resource WHERE resource_id = {u2}")),
        ("external_id", "INSERT INTO external_id SELECT tenant_id, resource_id, 'Group', 'x', resource_id FROM resource WHERE label = 'u2'".into()),
        ("membership", format!("DELETE FROM resource WHERE resource_id = {u2}")),
        ("tenant_clock", "UPDATE tenant_clock SET counts = '{\"User\":2,\"Group\":1}'".into()),
        ("resource", "UPDATE resource SET version = 7 WHERE label = 'u2'".into()),
        ("change", "UPDATE change SET at = 1 WHERE seq = 2".into()),
        ("change", "DELETE FROM change WHERE seq = 4".into()),
    ];
    let tables = ["attr_index", "unique_key", "external_id", "membership", "resource", "tenant_clock", "change"];
    for table in tables {
        fixture.execute(&format!("CREATE TABLE kept_{table} AS SELECT * FROM {table}"));
    }
    for (table, deed) in deeds {
        fixture.execute(&deed);
        let findings = check().await;
        assert!(findings.iter().any(|finding| finding.table == table), "{deed}: {findings:?}");
        for table in tables {
            fixture.execute(&format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM kept_{table}"));
        }
        assert_eq!(check().await, []);
    }
}

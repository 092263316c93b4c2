//! The chain of changes: gap-free, and no change can be altered, taken out or forged unseen.

use serde_json::json;
use store::change::Op;
use store::work::Draft;

use super::harness::{DOMAIN, Fixture, as_is, group, id, joins, on_both, user};

on_both! {
    the_chain_of_a_busy_register_verifies,
    whatever_is_tampered_with_is_seen,
    an_erased_content_keeps_the_chain_whole,
    the_chain_goes_on_after_a_restart,
}

/// Creates, updates, memberships, external ids and deletions.
async fn busy(fixture: &Fixture) {
    for n in 1..=6 {
        fixture
            .create(Draft { external: Some((DOMAIN, Some(format!("e{n}")))), ..user(n, &format!("u{n}")) })
            .await
            .unwrap();
    }
    fixture.create(group(10, "g", &[1, 2, 3])).await.unwrap();
    let held = fixture.record(id(10)).await.unwrap();
    fixture.update(Draft { members: vec![joins(4)], ..as_is(&held) }).await.unwrap();
    fixture.update(user(5, "five")).await.unwrap();
    fixture.remove(id(2)).await.unwrap();
    fixture.remove(id(10)).await.unwrap();
}

async fn the_chain_of_a_busy_register_verifies(fixture: Fixture) {
    busy(&fixture).await;
    let changes = fixture.changes().await.unwrap();
    let ops: Vec<_> = changes.iter().map(|stored| stored.change.op).collect();
    let mut expected = vec![Op::Create; 7];
    expected.extend([Op::Members, Op::Update, Op::Members, Op::Delete, Op::Delete]);
    assert_eq!(ops, expected);
    assert_eq!(changes[0].change.external, Some((DOMAIN, Some("e1".into()))));
    assert_eq!(changes[0].change.actor, DOMAIN);
    assert_eq!(changes[7].change.members, [joins(4)]);
    assert_eq!(changes[7].change.doc, None);
    assert_eq!(changes[9].change.resource, id(10));
    assert_eq!(changes[9].change.txn, changes[10].change.txn);
    let doc: serde_json::Value = serde_json::from_str(changes[8].change.doc.as_deref().unwrap()).unwrap();
    assert_eq!(doc["userName"], json!("five"));
    // From the middle it verifies too, with the head of there.
    let head = changes[4].digest.clone();
    let rest = fixture.read(move |reader, tenant| reader.changes(tenant, 5, Some(head), 3)).await.unwrap();
    assert_eq!(rest, changes[5..8]);
}

async fn whatever_is_tampered_with_is_seen(fixture: Fixture) {
    busy(&fixture).await;
    let saved = fixture.rows("SELECT CAST(COUNT(*) AS TEXT) FROM change");
    assert_eq!(saved, ["12"]);
    let bytes = if fixture.is_postgres() { "'\\x01'::bytea" } else { "x'01'" };
    fixture
        .execute("CREATE TABLE kept AS SELECT * FROM change; CREATE TABLE kept_member AS SELECT * FROM change_member");
    let deeds = [
        "UPDATE change SET doc = '{\"userName\":\"mallory\"}' WHERE seq = 3".into(),
        "UPDATE change SET doc = '{\"userName\":\"mallory\"}', salt = NULL WHERE seq = 3".into(),
        "UPDATE change SET doc = NULL WHERE seq = 3".into(),
        "UPDATE change SET external = NULL WHERE seq = 3".into(),
        "UPDATE change SET at = at + 1 WHERE seq = 3".into(),
        "UPDATE change SET version = 2 WHERE seq = 3".into(),
        "UPDATE change SET op = 'update' WHERE seq = 3".into(),
        "UPDATE change SET kind = 'Group' WHERE seq = 3".into(),
        "UPDATE change SET cause = 'operator' WHERE seq = 3".into(),
        "UPDATE change SET actor = resource_id WHERE seq = 3".into(),
        "UPDATE change SET txn = resource_id WHERE seq = 3".into(),
        "UPDATE change SET resource_id = actor WHERE seq = 3".into(),
        format!("UPDATE change SET commitment = {bytes} WHERE seq = 3"),
        format!("UPDATE change SET digest = {bytes} WHERE seq = 3"),
        "DELETE FROM change WHERE seq = 1".into(),
        "DELETE FROM change WHERE seq = 3".into(),
        "DELETE FROM change WHERE seq = 12".into(),
        "UPDATE change SET seq = 13 WHERE seq = 12".into(),
        "DELETE FROM change_member WHERE seq = 8".into(),
        format!("UPDATE change_member SET members = {bytes} WHERE seq = 8"),
        "UPDATE change_member SET members = (SELECT members FROM change_member WHERE seq = 7) WHERE seq = 8".into(),
        "UPDATE change_member SET seq = 9 WHERE seq = 8".into(),
        "INSERT INTO change_member SELECT tenant_id, 3, chunk, members FROM change_member WHERE seq = 8".into(),
    ];
    for deed in deeds {
        fixture.execute(&deed);
        assert!(fixture.changes().await.is_err(), "not seen: {deed}");
        fixture.execute(
            "DELETE FROM change; INSERT INTO change SELECT * FROM kept; \
             DELETE FROM change_member; INSERT INTO change_member SELECT * FROM kept_member",
        );
        fixture.changes().await.unwrap();
    }
}

async fn an_erased_content_keeps_the_chain_whole(fixture: Fixture) {
    busy(&fixture).await;
    fixture.execute("UPDATE change SET doc = NULL, external = NULL, salt = NULL WHERE seq IN (2, 9)");
    let changes = fixture.changes().await.unwrap();
    assert_eq!(changes[1].change.doc, None);
    assert_eq!(changes[1].change.external, None);
    assert_eq!(changes[1].change.resource, id(2));
}

async fn the_chain_goes_on_after_a_restart(fixture: Fixture) {
    busy(&fixture).await;
    let fixture = fixture.reopen();
    fixture.create(user(20, "late")).await.unwrap();
    assert_eq!(fixture.changes().await.unwrap().len(), 13);
}

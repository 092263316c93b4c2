//! `check`: whatever is derived and not as it must be is found and mended; what cannot be mended is found and left alone.

use serde_json::json;
use store::Mending;
use store::work::Draft;

use super::{document, filled};
use crate::store_tests::harness::{DOMAIN, Fixture, as_is, group, id, joins, on_both, user};
use crate::support::client::Client;
use crate::support::messages;
use crate::support::server::{Server, attempt, command};

on_both! {
    what_is_derived_is_found_wrong_and_mended_to_what_it_was,
    what_is_not_derived_is_found_wrong_and_left_alone,
    a_repair_goes_along_with_writes,
}

async fn small(fixture: &Fixture) {
    for n in 1..=4 {
        let external = Some((DOMAIN, Some(format!("e{n}"))));
        fixture.create(Draft { external, ..user(n, &format!("u{n}")) }).await.unwrap();
    }
    fixture.create(group(10, "g", &[1, 2])).await.unwrap();
    let held = fixture.record(id(10)).await.unwrap();
    fixture.update(Draft { members: vec![joins(3)], ..as_is(&held) }).await.unwrap();
    fixture.create(group(11, "h", &[1])).await.unwrap();
    fixture.remove(id(4)).await.unwrap();
}

async fn findings(fixture: &Fixture) -> Vec<String> {
    let found = fixture.read(|reader, tenant| reader.verify(tenant)).await.unwrap();
    found.iter().map(ToString::to_string).collect()
}

async fn mend(fixture: &Fixture) -> u64 {
    let mut mending = Mending::default();
    while !mending.is_done() {
        let so_far = mending.clone();
        mending = fixture.write(move |work| work.mend(&so_far)).await.unwrap();
    }
    mending.mended
}

/// Bytes as a literal of either database.
fn bytes(fixture: &Fixture, hex: &str) -> String {
    if fixture.is_postgres() { format!("'\\x{hex}'::bytea") } else { format!("x'{hex}'") }
}

async fn what_is_derived_is_found_wrong_and_mended_to_what_it_was(fixture: Fixture) {
    small(&fixture).await;
    assert_eq!(findings(&fixture).await, Vec::<String>::new());
    let dead = bytes(&fixture, "000102030405060708090a0b0c0d0e0f");
    let whole = fixture.dump();
    let deeds = [
        "DELETE FROM attr_index WHERE path_id = 1".to_owned(),
        "DELETE FROM attr_index".to_owned(),
        "UPDATE attr_index SET value = value || 'secret'".to_owned(),
        "INSERT INTO attr_index SELECT tenant_id, path_id, value || 'secret', resource_id FROM attr_index".to_owned(),
        "INSERT INTO attr_index SELECT tenant_id, 999, value, resource_id FROM attr_index LIMIT 1".to_owned(),
        format!("INSERT INTO attr_index SELECT tenant_id, path_id, value, {dead} FROM attr_index LIMIT 1"),
        "DELETE FROM unique_key".to_owned(),
        "UPDATE unique_key SET value = value || 'secret'".to_owned(),
        format!("UPDATE unique_key SET resource_id = {dead}"),
        "INSERT INTO unique_key SELECT tenant_id, namespace, value || 'secret', resource_id FROM unique_key".to_owned(),
        "UPDATE tenant_clock SET counts = '{\"User\":7}'".to_owned(),
        format!("INSERT INTO external_id SELECT tenant_id, domain_id, kind, 'secret', {dead} FROM external_id LIMIT 1"),
        format!(
            "INSERT INTO membership SELECT tenant_id, group_id, {dead}, member_kind, 1, NULL FROM membership LIMIT 1"
        ),
        format!(
            "INSERT INTO membership SELECT tenant_id, {dead}, member_id, member_kind, 1, NULL FROM membership LIMIT 1"
        ),
        "INSERT INTO sweep SELECT tenant_id, resource_id FROM resource WHERE kind = 'Group'".to_owned(),
        "UPDATE resource SET groups_seq = 0".to_owned(),
        format!("INSERT INTO deferred_outcome SELECT tenant_id, {dead}, 1, {dead} FROM tenant LIMIT 1"),
    ];
    for deed in deeds {
        fixture.execute(&deed);
        let found = findings(&fixture).await;
        assert!(!found.is_empty(), "not found: {deed}");
        assert!(!found.join(" ").contains("secret"), "a value is told: {found:?}");
        assert!(mend(&fixture).await > 0, "{deed}");
        assert_eq!(findings(&fixture).await, Vec::<String>::new(), "{deed}");
        assert_eq!(fixture.dump(), whole, "{deed}");
    }
    assert_eq!(mend(&fixture).await, 0, "there is nothing to mend");
}

async fn what_is_not_derived_is_found_wrong_and_left_alone(fixture: Fixture) {
    small(&fixture).await;
    fixture.execute(
        "CREATE TABLE kept AS SELECT * FROM resource; CREATE TABLE kept_path AS SELECT * FROM attr_path; \
         CREATE TABLE kept_change AS SELECT * FROM change; CREATE TABLE kept_clock AS SELECT * FROM tenant_clock",
    );
    for deed in [
        "UPDATE resource SET doc = '{\"userName\":\"mallory\"}' WHERE label = 'u1'",
        "UPDATE resource SET doc = 'no JSON' WHERE label = 'u1'",
        "UPDATE resource SET version = 9 WHERE label = 'u1'",
        "UPDATE resource SET kind = 'Unheard' WHERE label = 'u1'",
        "DELETE FROM resource WHERE label = 'u2'",
        "DELETE FROM change WHERE seq = 2",
        "UPDATE change SET at = at + 1 WHERE seq = 2",
        "DELETE FROM change WHERE seq = 8",
        "UPDATE tenant_clock SET seq = 5",
        "UPDATE attr_path SET state = 'odd' WHERE path_id = 1",
        "UPDATE attr_path SET type = 'odd' WHERE path_id = 1",
    ] {
        fixture.execute(deed);
        let found = findings(&fixture).await;
        assert!(!found.is_empty(), "not found: {deed}");
        assert!(!found.join(" ").contains("mallory"), "a value is told: {found:?}");
        mend(&fixture).await;
        assert!(!findings(&fixture).await.is_empty(), "mended: {deed}");
        fixture.execute(
            "DELETE FROM resource; INSERT INTO resource SELECT * FROM kept; \
             DELETE FROM attr_path; INSERT INTO attr_path SELECT * FROM kept_path; \
             DELETE FROM change; INSERT INTO change SELECT * FROM kept_change; \
             DELETE FROM tenant_clock; INSERT INTO tenant_clock SELECT * FROM kept_clock",
        );
        // What was mended by wrong documents is mended again by the right ones; memberships of who was gone are gone.
        mend(&fixture).await;
        assert_eq!(findings(&fixture).await, Vec::<String>::new(), "{deed}");
    }
}

async fn a_repair_goes_along_with_writes(fixture: Fixture) {
    for n in 1..=40 {
        fixture.create(user(n, &format!("u{n}"))).await.unwrap();
    }
    fixture.execute("DELETE FROM attr_index; DELETE FROM unique_key; UPDATE tenant_clock SET counts = '{}'");
    let writes = async {
        for n in 1..=40 {
            if n % 3 == 0 {
                fixture.remove(id(n)).await.unwrap();
            } else {
                fixture.update(user(n, &format!("renamed{n}"))).await.unwrap();
            }
            fixture.create(user(100 + n, &format!("new{n}"))).await.unwrap();
        }
    };
    let ((), mended) = tokio::join!(writes, mend(&fixture));
    assert!(mended > 0);
    assert_eq!(findings(&fixture).await, Vec::<String>::new());
}

async fn the_command_tells_and_mends(server: &Server) {
    let token = filled(server).await;
    let url = server.database_url();
    let said = command(url, &["check"]);
    assert!(said.contains("storstad: all is well: "), "{said}");
    server.execute("DELETE FROM unique_key; DELETE FROM attr_index WHERE path_id = 1");
    let said = attempt(url, &["check", "--tenant", "storstad"]).expect_err("findings");
    assert!(said.contains("storstad: unique_key: ") && said.contains("--repair"), "{said}");
    assert!(!said.contains("person1"), "{said}");
    let said = attempt(url, &["check", "--json"]).expect_err("findings");
    let report: serde_json::Value = serde_json::from_str(said.lines().next().unwrap_or_default()).expect("JSON");
    assert_eq!((&report["clean"], &report["tenants"][0]["tenant"]), (&json!(false), &json!("storstad")));
    let said = command(url, &["check", "--repair"]);
    assert!(said.contains("rows were put right") && said.contains("all is well"), "{said}");
    assert!(command(url, &["check", "--json"]).contains("\"clean\":true"));
    // The server has gone on, and goes by what was mended.
    let api = Client::new(&server.base_url, &token);
    assert_eq!(api.post("/Users", &messages::user("person1")).await.status, 409);
    let found = document(&api.get("/Users?filter=userName+eq+%22person1%22").await);
    assert_eq!(found["totalResults"], 1);
    let unknown = attempt(url, &["check", "--tenant", "nobody"]).expect_err("no such tenant");
    assert!(unknown.contains("There is no tenant nobody"), "{unknown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_tells_and_mends_on_sqlite() {
    the_command_tells_and_mends(&Server::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_tells_and_mends_on_postgres() {
    the_command_tells_and_mends(&Server::postgres()).await;
}

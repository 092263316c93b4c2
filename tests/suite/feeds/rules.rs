//! What holds a run, who decides, and what a simulation leaves behind.

use serde_json::{Value, json};

use super::{Files, HEADER, map, snapshots};
use crate::support::both::on_both_databases;
use crate::support::municipality::{Municipality, PERSON, TENANT};

on_both_databases!(Municipality:
    a_run_that_does_too_much_is_held_and_a_person_decides,
    what_was_planned_beforehand_raises_the_limits_of_one_run,
    a_simulation_shows_what_a_run_would_do_and_leaves_the_run_alone_behind,
    no_secret_is_where_rows_are_shown,
    a_feed_may_no_more_than_its_client,
    accounts_go_back_to_their_source,
    the_map_is_checked_before_anything_is_read,
);

/// Rows of so many people, from a number on.
fn people(from: u32, count: u32) -> String {
    (from..from + count).map(|n| format!("{n};N{n};;;;;;\n")).collect()
}

async fn a_run_that_does_too_much_is_held_and_a_person_decides(place: &Municipality) {
    let files = Files::of(place.ready().await);
    // Fifty at a first load, ten of them disabled.
    let strict = map("[snapshot]\nmode = \"full\"\n", "");
    let held = files.day(&strict, 1, &people(1, 51));
    assert_eq!(
        (held.state(), &held.run["tripped"]),
        ("held", &json!([{ "limit": "creates", "count": 51, "most": 50 }]))
    );
    assert_eq!(files.keys().await, [], "nothing of it was applied");
    assert_eq!(files.place.server.number("SELECT COUNT(*) FROM feed_record"), 0);
    // Allowed, it is carried out from what was received.
    files.run("allow", held.id(), &["--remark", "first load"]).expect("carried out");
    assert_eq!(files.keys().await.len(), 51);
    let run = place.admin.get(&format!("/Runs/{}", held.id())).await.expect(200).body;
    assert_eq!(
        (&run["state"], &run["decision"], &run["remark"]),
        (&json!("applied"), &json!("allow"), &json!("first load"))
    );
    assert!(run["decided"]["at"].is_string(), "{run}");

    // Eleven gone is more than ten.
    let held = files.day(&strict, 2, &people(12, 40));
    assert_eq!(held.run["tripped"], json!([{ "limit": "disables", "count": 11, "most": 10 }]));
    assert!(files.keys().await.iter().all(|(_, active)| *active));
    // Over HTTP a person rejects it, who may administer.
    let path = format!("/Runs/{}", held.id());
    let reject = json!([{ "op": "replace", "path": "decision", "value": "reject" }]);
    place.hr.patch(&path, &reject).await.expect(403);
    let nonsense = json!([{ "op": "replace", "path": "decision", "value": "perhaps" }]);
    place.admin.patch(&path, &nonsense).await.expect(400);
    place.admin.patch(&path, &reject).await.expect(200);
    place.admin.patch(&path, &json!([{ "op": "replace", "path": "decision", "value": "allow" }])).await.expect(409);
    assert_eq!(files.place.server.number("SELECT COUNT(*) FROM run_item WHERE list = 'body'"), 0);
    assert!(files.run("allow", held.id(), &[]).is_err());

    // Six percent refused is more than five.
    let rows = format!("{}{}", people(1, 48), "49;N;;;x;nie;;\n50;N;;;x;nie;;\n51;N;;;x;nie;;\n");
    assert_eq!(files.day(&strict, 3, &rows).run["tripped"][0]["limit"], "rejects");
    // Allowed over HTTP, it is carried out by the server.
    let held = files.day(&strict, 4, &people(12, 40));
    place
        .admin
        .patch(&format!("/Runs/{}", held.id()), &json!([{ "op": "replace", "path": "decision", "value": "allow" }]))
        .await
        .expect(200);
    for _ in 0..400 {
        let run = place.admin.get(&format!("/Runs/{}", held.id())).await.expect(200).body;
        if run["state"] == "applied" {
            assert_eq!(files.keys().await.iter().filter(|(_, active)| !active).count(), 11);
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    panic!("the server does not carry out what was allowed");
}

async fn what_was_planned_beforehand_raises_the_limits_of_one_run(place: &Municipality) {
    let files = Files::of(place.ready().await);
    let strict = map("[snapshot]\nmode = \"full\"\n", "");
    assert_eq!(files.day(&strict, 1, &people(1, 40)).state(), "applied");
    let feed = place.admin.get("/Feeds").await.expect(200).body["Resources"][0].clone();
    let planned = json!([{ "op": "add", "path": "planned", "value": [
        { "name": "gone by", "from": "2020-01-01T00:00:00Z", "until": "2020-02-01T00:00:00Z", "percent": 100 },
        { "name": "school year", "from": "2026-01-01T00:00:00Z", "until": "2096-01-01T00:00:00Z", "percent": 60 },
    ] }]);
    place.admin.patch(&format!("/Feeds/{}", feed["id"].as_str().expect("an id")), &planned).await.expect(200);
    // More than half is still too much.
    assert_eq!(files.day(&strict, 2, &people(30, 11)).state(), "held");
    let ran = files.day(&strict, 3, &people(21, 20));
    assert_eq!(
        (ran.state(), ran.counts().as_str(), &ran.run["raised"]),
        ("applied", "unchanged 20, disabled 20, withdrawn 20", &json!("school year"))
    );
    // Once.
    assert_eq!(files.day(&strict, 4, &people(33, 8)).state(), "held");
    let feed = place.admin.get("/Feeds").await.expect(200).body["Resources"][0].clone();
    assert_eq!(feed["planned"][1]["run"], ran.run["id"], "{feed}");
}

async fn a_simulation_shows_what_a_run_would_do_and_leaves_the_run_alone_behind(place: &Municipality) {
    let (files, map) = (Files::of(place.ready().await), snapshots(""));
    files.day(&map, 1, "1;Mäki;2;;11;2026-08-01;;E1\n2;Ek;;;;;;\n3;Alm;;;;;;\n");
    let rows = format!(
        "{HEADER}1;Mäki;5;;11;2026-08-01;2026-12-31;E1\n2;Ek-Alm;;;;;;\n5;Ny;1;;;;;\n5;Igen;;;;;;\n6;Z;;;;;;\n6b;Z;6;;;;;\n"
    );
    let before = (files.changes(), files.place.server.number("SELECT COUNT(*) FROM feed_record"), files.keys().await);
    let ran = files.read(&map, "s.csv", rows.as_bytes(), &["--simulate", "--extracted", "2026-11-02T00:00:00Z"]);
    assert_eq!(ran.state(), "simulated", "{:?}", ran.failed);
    assert_eq!(
        (files.changes(), files.place.server.number("SELECT COUNT(*) FROM feed_record"), files.keys().await),
        before
    );
    let objects = files.run("show", ran.id(), &["--object"]).expect("shown");
    let objects: Vec<Value> = objects.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let of = |key: &str| objects.iter().find(|object| object["key"] == key).cloned().unwrap_or_default();
    assert_eq!(of("2")["op"], "updated");
    assert_eq!(
        of("2")["changes"],
        json!([{ "path": "name", "before": { "familyName": "Ek" }, "after": { "familyName": "Ek-Alm" } }])
    );
    assert_eq!(
        (of("3")["op"].clone(), of("3")["changes"].clone()),
        (json!("disabled"), json!([{ "path": "active", "before": true, "after": false }]))
    );
    assert_eq!((of("6")["op"].clone(), of("5")["op"].clone()), (json!("created"), json!(null)), "5 contradicts itself");
    let manager = of("6b")["changes"]
        .as_array()
        .expect("changes")
        .iter()
        .any(|change| change["path"].as_str().is_some_and(|path| path.ends_with(":manager")));
    assert!(manager, "whom the same file creates is there: {}", of("6b"));
    // A run does what was shown.
    let applied = files.read(&map, "s.csv", rows.as_bytes(), &["--extracted", "2026-11-02T00:00:00Z"]);
    assert_eq!(applied.counts(), ran.counts());
}

async fn no_secret_is_where_rows_are_shown(place: &Municipality) {
    let (files, map) = (Files::of(place.ready().await), snapshots(""));
    let rows = "1;Mäki;;131052-308T;11;nie;;E1\n2;Ek;;131052-9999;;;;\n3;Alm;;131052-308T;;;;\n";
    let ran = files.day(&map, 1, rows);
    assert_eq!(ran.counts(), "created 1, rejected 2", "{:?}", ran.failed);
    let shown =
        [files.run("show", ran.id(), &["--reject"]).expect("shown"), files.run("show", ran.id(), &[]).expect("shown")]
            .concat();
    assert!(shown.contains("\"Hetu\":\"***\"") && !shown.contains("131052"), "{shown}");
    let simulated = files.read(
        &map,
        "s.csv",
        format!("{HEADER}3;Alm;;010181-900C;;;;\n").as_bytes(),
        &["--simulate", "--extracted", "2026-11-02T00:00:00Z"],
    );
    let shown = files.run("show", simulated.id(), &["--object"]).expect("shown");
    assert!(shown.contains("personalNumber") && !shown.contains("010181"), "{shown}");
    // The same number again is no change, though it is stored sealed.
    let before = files.changes();
    let declared = format!("encoding = \"utf-8\"\n{map}");
    assert_eq!(files.day(&declared, 3, "3;Alm;;131052-308T;;;;\n").counts(), "unchanged 1");
    assert_eq!(files.changes(), before);
}

async fn a_feed_may_no_more_than_its_client(place: &Municipality) {
    let files = Files::of(place.ready().await);
    let read = ["client", "set", "--tenant", TENANT, "hr", "--scope", "User:read"];
    place.command(&read).expect("set");
    let ran = files.day(&snapshots(""), 1, "1;A;;;;;;\n");
    assert_eq!(ran.state(), "failed");
    assert!(ran.failed.expect("told").contains("User:write"));
    place
        .command(&[
            "client",
            "set",
            "--tenant",
            TENANT,
            "hr",
            "--scope",
            "User:read",
            "--scope",
            "User:write",
            "--active",
            "off",
        ])
        .expect("set");
    let ran = files.day(&snapshots(""), 2, "1;A;;;;;;\n");
    assert!(ran.failed.expect("told").contains("not active"));
    assert_eq!(place.server.number("SELECT COUNT(*) FROM resource WHERE kind = 'User'"), 0);
    // Another client's feed is not taken over.
    place.server.client(TENANT, "other", "source");
    let map = files.path("map.toml");
    let file = files.path("day.csv");
    let taken = place.command(&[
        "import",
        "--tenant",
        TENANT,
        "--client",
        "other",
        "--map",
        map.to_str().expect("a path"),
        file.to_str().expect("a path"),
    ]);
    assert!(taken.expect_err("refused").contains("another client"));
}

async fn accounts_go_back_to_their_source(place: &Municipality) {
    let files = Files::of(place.ready().await);
    files.day(&snapshots(""), 1, "1;Mäki;;;;;;\n2;Ek;;;;;;\n");
    let id = files.user("1").await.expect("one")["id"].as_str().expect("an id").to_owned();
    let emails = json!([{ "op": "add", "path": "emails", "value": [
        { "type": "home", "value": "h@x.fi" }, { "type": "work", "value": "maki@x.fi", "primary": true },
    ] }]);
    place.admin.patch(&format!("/Users/{id}"), &emails).await.expect(200);
    place.admin.post("/Users", &crate::support::messages::user("stranger")).await.expect(201);
    let export = |more: &[&str]| {
        let told = place
            .command(&[&["export", "accounts", "--tenant", TENANT, "--client", "hr"], more].concat())
            .expect("written");
        let mut lines: Vec<String> = told.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(export(&[]), ["1;1;maki@x.fi;true", "2;2;;true", "externalId;userName;email;active"]);
    assert_eq!(
        export(&["--format", "jsonl"])[0],
        json!({ "externalId": "1", "userName": "1", "email": "maki@x.fi", "active": true }).to_string()
    );
    assert_eq!(export(&["--since", "2096-01-01T00:00:00Z"]), ["externalId;userName;email;active"]);
    // The same as a query.
    let asked = "/Users?attributes=externalId,userName,emails,active&filter=meta.lastModified%20ge%20%222020-01-01T00:00:00Z%22&count=100";
    let found = place.hr.get(asked).await.expect(200).body;
    assert_eq!(found["totalResults"], 3);
}

async fn the_map_is_checked_before_anything_is_read(place: &Municipality) {
    let files = Files::of(place.ready().await);
    let wrong = snapshots("").replace("name.familyName", "name.famName");
    let ran = files.day(&wrong, 1, "1;A;;;;;;\n");
    let said = ran.failed.expect("refused");
    assert!(said.contains("map.toml: line ") && said.contains("famName"), "{said}");
    // A feed that is written over SCIM is checked too.
    let client =
        place.admin.get("/Clients?filter=name%20eq%20%22hr%22").await.expect(200).body["Resources"][0]["id"].clone();
    let feed = |name: &str, map: &str| {
        json!({
            "schemas": ["urn:matrikel:scim:schemas:1.0:Feed"], "name": name, "client": { "value": client }, "map": map,
        })
    };
    let said = place.admin.post("/Feeds", &feed("hr", &wrong)).await.expect(400);
    assert!(said.detail().contains("map: line "), "{}", said.body);
    let made = place.admin.post("/Feeds", &feed("hr", &snapshots(""))).await.expect(201).body;
    assert_eq!(made["map"], snapshots(""));
    place.hr.post("/Feeds", &feed("hr2", &snapshots(""))).await.expect(403);
    // What the first rows become is shown, and nothing is done.
    std::fs::write(files.path("m.toml"), snapshots("")).expect("writes");
    std::fs::write(files.path("f.csv"), format!("{HEADER}1;Mäki;;131052-308T;11;2026-08-01;;E1\n2;X;;;22;nie;;\n"))
        .expect("writes");
    let (map, file) = (files.path("m.toml"), files.path("f.csv"));
    let shown = place.command(&[
        "import",
        "--tenant",
        TENANT,
        "--check",
        "--json",
        "--map",
        map.to_str().expect("a path"),
        file.to_str().expect("a path"),
    ]);
    let shown: Value = serde_json::from_str(&shown.expect("checked")).expect("JSON");
    assert_eq!(
        shown["rows"][0]["says"][0]["employments"],
        json!([{ "employmentId": "11", "start": "2026-08-01", "unit": "E1" }])
    );
    assert_eq!(shown["rows"][0]["says"][0][format!("{PERSON}:personalNumber")], "***");
    assert!(shown["rows"][1]["says"][0]["error"].as_str().is_some_and(|error| error.contains("Från")));
    assert_eq!(place.server.number("SELECT COUNT(*) FROM resource WHERE kind = 'Run'"), 0);
}

//! What a snapshot and a delta mean: who comes, changes and is withdrawn, and of whom nothing is said.

use serde_json::json;

use super::{ENTERPRISE, Files, HEADER, employments, snapshots};
use crate::support::both::on_both_databases;
use crate::support::municipality::{Municipality, PERSON, TENANT};

on_both_databases!(Municipality:
    a_snapshot_creates_changes_and_withdraws_and_the_same_again_does_nothing,
    absence_counts_only_inside_the_scope_of_a_full_snapshot_and_never_for_a_key_that_was_seen,
    whoever_is_entered_twice_is_refused_the_second_time,
    what_is_older_is_refused_and_what_is_empty_is_held,
    a_feed_touches_nothing_but_what_its_map_names,
    references_stay_open_until_the_other_is_there_and_lead_nowhere_to_themselves,
    every_encoding_and_format_says_the_same,
    what_a_feed_has_said_moves_with_the_register,
);

async fn a_snapshot_creates_changes_and_withdraws_and_the_same_again_does_nothing(place: &Municipality) {
    let (files, map) = (Files::of(place.ready().await), snapshots(""));
    let first =
        "1;Mäki;;;11;2026-08-01;;E1\n2;Öberg;;;21;2020-01-01;;E1\n1;Mäki;;;12;2026-08-01;2026-12-31;E2\n3;Ek;;;;;;\n";
    let ran = files.day(&map, 1, first);
    assert_eq!((ran.state(), ran.counts().as_str()), ("applied", "created 3"), "{:?}", ran.failed);
    assert_eq!(ran.run["counts"]["rows"], 4);
    let one = files.user("1").await.expect("one");
    assert_eq!(one["name"]["familyName"], "Mäki");
    assert_eq!(employments(&one), ["11", "12"], "rows of a key are put together wherever they stand");
    assert_eq!(employments(&files.user("3").await.expect("three")), Vec::<&str>::new());

    // The same again, and in another order: nothing is written, no version moves.
    let before = files.changes();
    assert_eq!(files.day(&map, 1, first).counts(), "unchanged 3");
    let turned =
        "3;Ek;;;;;;\n1;Mäki;;;12;2026-08-01;2026-12-31;E2\n2;Öberg;;;21;2020-01-01;;E1\n1;Mäki;;;11;2026-08-01;;E1\n";
    assert_eq!(files.day(&map, 2, turned).counts(), "unchanged 3");
    assert_eq!(files.changes(), before);

    // One changes, one employment ends, one is gone, one comes.
    let next = "1;Mäki-Ek;;;11;2026-08-01;;E1\n2;Öberg;;;21;2020-01-01;;E1\n4;Alm;;;41;2026-11-01;;E1\n";
    let ran = files.day(&map, 3, next);
    assert_eq!(ran.counts(), "created 1, updated 1, unchanged 1, disabled 1, withdrawn 1");
    let again = files.user("1").await.expect("one");
    assert_eq!((again["id"].clone(), employments(&again)), (one["id"].clone(), vec!["11"]));
    let expected = [("1", true), ("2", true), ("3", false), ("4", true)].map(|(key, active)| (key.to_owned(), active));
    assert_eq!(files.keys().await, expected);

    // Who was withdrawn is not withdrawn again, and comes back as the same.
    let third = files.user("3").await.expect("three")["id"].clone();
    assert_eq!(files.day(&map, 4, next).counts(), "unchanged 3");
    let ran = files.day(&map, 5, &format!("{next}3;Ek;;;;;;\n"));
    assert_eq!(ran.counts(), "updated 1, unchanged 3");
    let back = files.user("3").await.expect("three");
    assert_eq!((back["id"].clone(), back["active"].clone()), (third, json!(true)));
}

async fn absence_counts_only_inside_the_scope_of_a_full_snapshot_and_never_for_a_key_that_was_seen(
    place: &Municipality,
) {
    let files = Files::of(place.ready().await);
    let all = "1;A;;;11;2026-08-01;;E1\n2;B;;;21;2020-01-01;;E1\n2;B;;;22;2020-01-01;;E2\n3;C;;;31;2020-01-01;;E2\n4;D;;;41;2020-01-01;;E1\n";
    assert_eq!(files.day(&snapshots(""), 1, all).counts(), "created 4");

    // A delta withdraws nobody, and no employment either.
    let delta = files.read(
        &snapshots(""),
        "delta.csv",
        format!("{HEADER}2;Bo;;;23;2026-10-01;;E1\n").as_bytes(),
        &["--delta", "--extracted", "2026-11-02T00:00:00Z"],
    );
    assert_eq!((delta.counts().as_str(), delta.run["mode"].clone()), ("updated 1", json!("delta")));
    let two = files.user("2").await.expect("two");
    assert_eq!((two["name"]["familyName"].clone(), employments(&two)), (json!("Bo"), vec!["21", "22", "23"]));

    // A snapshot of one unit: persons and employments of others are not spoken of.
    let scoped = snapshots(&format!("scope = '{PERSON}:employments[unit eq \"E1\"]'"))
        .replace("[resource.list.columns]", "scope = 'unit eq \"E1\"'\n[resource.list.columns]");
    let ran = files.day(&scoped, 3, "1;A;;;11;2026-08-01;;E1\n2;Bo;;;21;2020-01-01;;E1\n");
    assert_eq!(
        ran.counts(),
        "unchanged 1, updated 1, disabled 1, withdrawn 1, outside 1"
            .replace("unchanged 1, updated 1", "updated 1, unchanged 1")
    );
    let two = files.user("2").await.expect("two");
    assert_eq!(employments(&two), ["21", "22"], "the one in E1 that is not named is gone, the one in E2 stays");
    let expected = [("1", true), ("2", true), ("3", true), ("4", false)].map(|(key, active)| (key.to_owned(), active));
    assert_eq!(files.keys().await, expected, "3 works in E2 alone");

    // A key that cannot be read, stands twice or contradicts itself is there, and stays as it is.
    let before = files.changes();
    let bad = "1;Annat;;;11;yesterday;;E1\n2;Bo;;;21;2020-01-01;;E1\n2;Bosse;;;22;2020-01-01;;E2\n3;C;;;31;2020-01-01;;E2\n3;C;;;31;2021-01-01;;E2\n;X;;;;;;\n5;Y;1\n";
    let ran = files.day(&snapshots(""), 4, bad);
    assert_eq!(ran.counts(), "rejected 5, duplicates 1");
    assert_eq!(files.changes(), before, "nobody is withdrawn");
    let rejects = files.run("show", ran.id(), &["--reject"]).expect("shown");
    for part in [
        "\"row\":2",
        "is no date",
        "disagree about name.familyName",
        "employmentId 31 stands twice",
        "the key is empty",
        "3 fields",
    ] {
        assert!(rejects.contains(part), "{part}: {rejects}");
    }
}

async fn whoever_is_entered_twice_is_refused_the_second_time(place: &Municipality) {
    let (files, map) = (Files::of(place.ready().await), snapshots(""));
    let rows = "1;Ek;;811218-9876;11;2020-01-01;;E1\n2;Ek;;19811218-9876;21;2020-01-01;;E1\n";
    for (day, expected) in [(1, "created 1, rejected 1"), (2, "unchanged 1, rejected 1")] {
        let ran = files.day(&map, day, rows);
        assert_eq!((ran.state(), ran.counts().as_str()), ("applied", expected), "{:?}", ran.failed);
        let rejects = files.run("show", ran.id(), &["--reject"]).expect("shown");
        assert!(rejects.contains("\"row\":3") && rejects.contains("personalNumber is already in use"), "{rejects}");
        assert!(!rejects.contains("811218"), "{rejects}");
    }
    assert_eq!(files.keys().await, [("1".to_owned(), true)]);
}

async fn what_is_older_is_refused_and_what_is_empty_is_held(place: &Municipality) {
    let (files, map) = (Files::of(place.ready().await), snapshots(""));
    assert_eq!(files.day(&map, 5, "1;A;;;;;;\n").state(), "applied");
    let older = files.day(&map, 4, "1;B;;;;;;\n");
    assert!(older.failed.expect("refused").contains("What is older is refused"));
    // However loose the limits, and however few there are.
    let empty = files.day(&map, 6, "");
    assert_eq!((empty.state(), empty.run["tripped"][0]["limit"].clone()), ("held", json!("empty")));
    assert!(empty.failed.expect("a script notices").contains("held"));
    assert_eq!(files.keys().await, [("1".to_owned(), true)]);
    // A column may say when it was made.
    let told = map
        .replace("mode = \"full\"", "mode = \"full\"\nextracted = { column = \"Till\", format = \"%d.%m.%Y\" }")
        .replace("end = ", "#");
    let rows = format!("{HEADER}1;C;;;;;03.11.2026;\n");
    let ran = files.read(&told, "told.csv", rows.as_bytes(), &[]);
    assert!(ran.failed.expect("refused").contains("2026-11-03"));
    let ran = files.read(&told, "told.csv", rows.replace("03.11", "07.11").as_bytes(), &[]);
    assert_eq!(
        (ran.counts().as_str(), ran.run["extracted"].clone()),
        ("updated 1", json!("2026-11-07T00:00:00.000000Z")),
        "{:?}",
        ran.failed
    );
}

async fn a_feed_touches_nothing_but_what_its_map_names(place: &Municipality) {
    let (files, map) = (Files::of(place.ready().await), snapshots(""));
    files.day(&map, 1, "1;Mäki;;;11;2026-08-01;;E1\n");
    let id = files.user("1").await.expect("one")["id"].as_str().expect("an id").to_owned();
    let add = json!([
        { "op": "add", "path": "phoneNumbers", "value": [{ "type": "mobile", "value": "+358401234567" }] },
        { "op": "add", "path": "title", "value": "Lärare" },
        { "op": "add", "path": "name.givenName", "value": "Maj" },
    ]);
    place.admin.patch(&format!("/Users/{id}"), &add).await.expect(200);
    assert_eq!(files.day(&map, 2, "1;Ek;;;11;2026-08-01;;E1\n").counts(), "updated 1");
    let user = files.user("1").await.expect("one");
    assert_eq!((&user["title"], &user["name"]), (&json!("Lärare"), &json!({ "familyName": "Ek", "givenName": "Maj" })));
    assert_eq!(user["phoneNumbers"][0]["value"], "+358401234567");
    // A column that is empty clears what the map names.
    assert_eq!(files.day(&map, 3, "1;;;;11;2026-08-01;;E1\n").counts(), "updated 1");
    assert_eq!(files.user("1").await.expect("one")["name"], json!({ "givenName": "Maj" }));
    // One that came over SCIM by the same key is the same.
    let body = crate::support::messages::user_with("77", &json!({ "externalId": "77" }));
    let made = place.hr.post("/Users", &body).await.expect(201).body["id"].clone();
    assert_eq!(files.day(&map, 4, "1;;;;11;2026-08-01;;E1\n77;Ny;;;;;;\n").counts(), "updated 1, unchanged 1");
    assert_eq!(files.user("77").await.expect("one")["id"], made);
}

async fn references_stay_open_until_the_other_is_there_and_lead_nowhere_to_themselves(place: &Municipality) {
    let (files, map) = (Files::of(place.ready().await), snapshots(""));
    // A circle, one that is unknown, and one that is itself.
    let rows = "1;A;2;;;;;\n2;B;1;;;;;\n3;C;9;;;;;\n4;D;4;;;;;\n";
    let ran = files.day(&map, 1, rows);
    assert_eq!((ran.state(), ran.counts().as_str()), ("applied", "created 4, open 1"), "{:?}", ran.failed);
    let manager = |user: &serde_json::Value| user[ENTERPRISE]["manager"]["value"].clone();
    let (one, two) = (files.user("1").await.expect("one"), files.user("2").await.expect("two"));
    assert_eq!((manager(&one), manager(&two)), (two["id"].clone(), one["id"].clone()));
    assert_eq!(manager(&files.user("3").await.expect("three")), json!(null), "the row did not fail");
    assert_eq!(manager(&files.user("4").await.expect("four")), json!(null));
    let warnings = files.run("show", ran.id(), &["--warning"]).expect("shown");
    assert!(warnings.contains("User 9 is not there") && warnings.contains("User 4 is itself"), "{warnings}");
    // It is resolved when the other arrives, though nothing is said of the first.
    let ran = files.read(
        &map,
        "d.csv",
        format!("{HEADER}9;Chef;;;;;;\n").as_bytes(),
        &["--delta", "--extracted", "2026-11-02T00:00:00Z"],
    );
    assert_eq!(ran.counts(), "created 1, updated 1", "{:?}", ran.failed);
    assert_eq!(manager(&files.user("3").await.expect("three")), files.user("9").await.expect("nine")["id"]);
    assert_eq!(files.day(&map, 3, &format!("{rows}9;Chef;;;;;;\n")).counts(), "unchanged 5");
}

async fn every_encoding_and_format_says_the_same(place: &Municipality) {
    let (files, map) = (Files::of(place.ready().await), snapshots(""));
    let text = format!("{HEADER}1;Mäki-Åström;;;11;2026-08-01;;E1\n");
    let at = |hour: u32| format!("2026-11-01T{hour:02}:00:00Z");
    assert_eq!(files.read(&map, "a.csv", text.as_bytes(), &["--extracted", &at(0)]).counts(), "created 1");
    let latin: Vec<u8> = text.chars().map(|letter| u8::try_from(u32::from(letter)).expect("Latin-1")).collect();
    let declared = format!("encoding = \"latin-1\"\n{map}");
    // Another map: it is compared anew, and finds the same.
    assert_eq!(files.read(&declared, "b.csv", &latin, &["--extracted", &at(1)]).counts(), "unchanged 1");
    let marked = ["\u{FEFF}".as_bytes(), text.as_bytes()].concat();
    assert_eq!(files.read(&map, "c.csv", &marked, &["--extracted", &at(2)]).counts(), "unchanged 1");
    // In the wrong encoding a letter is lost, and the person stays as it is.
    assert_eq!(
        files.read(&map, "d.csv", &latin, &["--extracted", &at(3), "--delta"]).failed.map(|said| said.contains("Från")),
        Some(true),
        "not even the names of its columns can be read"
    );
    let twice = text.replace("ä", "Ã¤");
    let ran =
        files.read(&map, "e.csv", twice.replace("FrÃ¤n", "Från").as_bytes(), &["--extracted", &at(4), "--simulate"]);
    assert_eq!(ran.run["planned"]["misread"], 1);
    let line = json!({ "Nr": 1, "Namn": "Mäki-Åström", "Anst": "11", "Från": "2026-08-01", "Enhet": "E1" }).to_string();
    assert_eq!(files.read(&map, "f.jsonl", line.as_bytes(), &["--extracted", &at(5)]).counts(), "unchanged 1");
    let book = "source = \"book\"\nformat = \"xlsx\"\nsheet = \"Personal\"\nskip = 1\n[[resource]]\nkind = \"User\"\nkey = \"Nr\"\n\
                [resource.columns]\nuserName = \"Nr\"\n\"name.formatted\" = \"Namn\"\nactive = \"Aktiv\"\n";
    let ran = files.read(book, "g.xlsx", include_bytes!("../../feeds/staff.xlsx"), &[]);
    assert_eq!(ran.counts(), "created 2", "{:?}", ran.failed);
    assert_eq!(files.user("1001").await.expect("read")["name"]["formatted"], "Åsa Mäki");
    assert_eq!(files.user("1002").await.expect("read")["active"], false);
}

async fn what_a_feed_has_said_moves_with_the_register(place: &Municipality) {
    let (files, map) = (Files::of(place.ready().await), snapshots(""));
    files.day(&map, 1, "1;Mäki;;;11;2026-08-01;;E1\n2;Ek;1;;;;;\n");
    let moved = files.path("moved.jsonl");
    std::fs::write(&moved, place.command(&["export", "--tenant", TENANT]).expect("exported")).expect("written");
    place.command(&["import", "--tenant", "copy", moved.to_str().expect("a path")]).expect("imported");
    assert!(place.command(&["check"]).expect("checked").contains("all is well"));
    assert_eq!(place.server.number("SELECT COUNT(*) FROM feed_record"), 4);
    // The next file is compared with what was said before the move: who is missing is withdrawn.
    let (file, map) = (files.path("day.csv"), files.path("map.toml"));
    std::fs::write(&file, format!("{HEADER}1;Mäki;;;11;2026-08-01;;E1\n")).expect("written");
    let arguments =
        ["import", "--tenant", "copy", "--client", "hr", "--json", "--extracted", "2026-11-02T00:00:00Z", "--map"];
    let paths = [map.to_str().expect("a path"), file.to_str().expect("a path")];
    let said = place.command(&[&arguments[..], &paths[..]].concat()).expect("carried out");
    let run: serde_json::Value = said.lines().find_map(|line| serde_json::from_str(line).ok()).expect("a run");
    assert_eq!((&run["counts"]["unchanged"], &run["counts"]["disabled"]), (&json!(1), &json!(1)), "{run}");
}

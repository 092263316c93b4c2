//! The list of erasures, and an older copy that is told it: who was erased since is erased there again, also when the command
//! is killed, and nobody else.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::backup::{text, tool};
use crate::support::messages::user_with;
use crate::support::moment::a_moment;
use crate::support::municipality::{Municipality, PERSON, TENANT};
use crate::support::server::attempt;

/// People by what became of them after the backup.
struct People {
    /// Purged under a policy, with a name that stays taken.
    purged: String,
    /// Deleted before the backup, and erased by command after it.
    past: String,
    /// Erased by command.
    asked: String,
    /// On legal hold when the backup was made, erased since.
    held: String,
    /// Came and went after the backup.
    late: String,
    /// Is there all the time.
    stays: String,
}

fn id(answer: &Value) -> String {
    answer["id"].as_str().expect("an id").to_owned()
}

async fn enter(place: &Municipality, name: &str) -> String {
    let person = json!({ "employments": [{ "employmentId": "1", "start": "2025-01-01" }] });
    let mut body = user_with(&format!("{name}.traceable"), &json!({ PERSON: person }));
    body["externalId"] = json!(format!("hr-{name}"));
    let made = id(&place.hr.post("/Users", &body).await.expect(201).body);
    for n in 0..4 {
        let title = json!([{ "op": "replace", "path": "title", "value": format!("{name}.traceable {n}") }]);
        place.hr.patch(&format!("/Users/{made}"), &title).await.expect(200);
    }
    made
}

async fn hold(place: &Municipality, id: &str, operation: Value) {
    place.admin.patch(&format!("/Users/{id}"), &json!([operation])).await.expect(200);
}

/// What the database says of people by name, but for names that stay taken.
fn traces(place: &Municipality, name: &str) -> i64 {
    let columns = [
        ("change", "doc"),
        ("change", "external"),
        ("resource", "doc"),
        ("unique_key", "value"),
        ("external_id", "value"),
    ];
    let count = |(table, column): (&str, &str)| {
        let text = if place.server.is_postgres() { format!("{column}::text") } else { column.to_owned() };
        place.server.number(&format!("SELECT COUNT(*) FROM {table} WHERE {text} LIKE '%{name}.traceable%'"))
    };
    columns.map(count).into_iter().sum()
}

fn json_of(said: &str) -> Value {
    said.lines().find_map(|line| serde_json::from_str(line).ok()).unwrap_or_else(|| panic!("JSON: {said}"))
}

async fn until_all_is_erased(place: &Municipality) {
    for _ in 0..1_200 {
        if place.server.number("SELECT COUNT(*) FROM erasure WHERE done_at IS NULL") == 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    panic!("what was purged is not erased");
}

/// A backup, and after it people who are erased; they, and the list of it.
async fn lived(place: &Municipality, backup: impl FnOnce(&Municipality), list: &Path) -> People {
    place.ready().await;
    let past = enter(place, "past").await;
    place.admin.delete(&format!("/Users/{past}")).await.expect(204);
    let policy = json!({
        "schemas": ["urn:matrikel:scim:schemas:1.0:Policy"], "name": "all", "zone": "UTC", "purge": true,
        "purgeAfter": 60,
    });
    place.admin.post("/Policies", &policy).await.expect(201);
    let (purged, asked) = (enter(place, "purged").await, enter(place, "asked").await);
    let (held, stays) = (enter(place, "held").await, enter(place, "stays").await);
    let path = format!("{PERSON}:legalHold");
    hold(place, &held, json!({ "op": "add", "path": format!("{path}.reason"), "value": "a case in court" })).await;
    backup(place);

    hold(place, &held, json!({ "op": "remove", "path": path })).await;
    let late = enter(place, "late").await;
    for gone in [&purged, &late] {
        place.admin.delete(&format!("/Users/{gone}")).await.expect(204);
    }
    for gone in [&past, &asked, &held] {
        place.command(&["erase", "--tenant", TENANT, "--user", gone]).expect("erased");
    }
    until_all_is_erased(place).await;
    for name in ["purged", "past", "asked", "held", "late"] {
        assert_eq!(traces(place, name), 0, "{name}");
    }

    let file = list.to_str().expect("a path");
    let said = place.command(&["erasures", "--tenant", TENANT, "--output", file, "--json"]).expect("listed");
    assert!(json_of(&said)["erasures"].as_u64().is_some_and(|known| known >= 5), "{said}");
    let lines = fs::read_to_string(list).expect("the list");
    for id in [&purged, &past, &asked, &held, &late] {
        assert!(lines.contains(id.as_str()), "{id} in {lines}");
    }
    assert!(!lines.contains(&stays) && !lines.contains("traceable") && !lines.contains("hr-"), "{lines}");
    let printed = place.command(&["erasures"]).expect("printed");
    assert_eq!(printed.lines().count(), lines.lines().count());
    let none = place.command(&["erasures", "--tenant", TENANT, "--since", "2100-01-01"]).expect("printed");
    assert_eq!(none.lines().count(), 2, "{none}");
    People { purged, past, asked, held, late, stays }
}

/// Kills the command some times at random moments, and then lets it come to its end: what it said.
async fn replayed(place: &Municipality, list: &Path) -> Value {
    let line = ["erase", "--list", text(list), "--json"];
    for round in 0..4 {
        let mut process = place.spawn(&line);
        a_moment(200 + 300 * round).await;
        let _ = process.kill();
        process.wait().expect("it ended");
    }
    json_of(&place.command(&line).expect("erased"))["tenants"][0].clone()
}

/// All but the one on hold are gone, and who was not erased has everything.
fn is_as_it_should_be(place: &Municipality) {
    for name in ["purged", "past", "asked", "late"] {
        assert_eq!(traces(place, name), 0, "{name}");
    }
    for name in ["held", "stays"] {
        assert!(traces(place, name) >= 6, "{name}: {}", traces(place, name));
    }
    let stones = "SELECT COUNT(*) FROM tombstone WHERE value LIKE 'purged.traceable%'";
    assert!(place.server.number(stones) > 0, "the name stays taken");
    assert_eq!(place.server.number("SELECT COUNT(*) FROM erasure WHERE done_at IS NULL"), 0);
    place.command(&["check"]).expect("all is well");
}

/// Nothing is left to be done, and one who was on hold is erased once that is over.
async fn is_done_once(place: &mut Municipality, list: &Path, people: &People) {
    let line = ["erase", "--list", text(list), "--json"];
    let acts = |place: &Municipality| {
        let line = ["audit", "list", "--tenant", TENANT, "--filter", "operation eq \"userErase\"", "--json"];
        place.command(&line).expect("listed").matches("userErase").count()
    };
    let before = acts(place);
    assert_eq!(before, 3, "who was there, and whose past was: {:?}", [&people.purged, &people.asked, &people.past]);
    let again = json_of(&place.command(&line).expect("nothing to do"))["tenants"][0].clone();
    let numbers = ["purged", "past", "unknown", "waiting"].map(|name| again[name].as_u64().expect("a number"));
    assert_eq!((numbers, &again["held"]), ([0; 4], &json!([people.held])), "{again}");
    assert_eq!(acts(place), before);

    place.server.restart();
    place.admin.base = place.server.base_url.clone();
    for gone in [&people.purged, &people.past, &people.asked, &people.late] {
        place.admin.get(&format!("/Users/{gone}")).await.expect(404);
    }
    place.admin.get(&format!("/Users/{}", people.stays)).await.expect(200);
    let off = json!({ "op": "remove", "path": format!("{PERSON}:legalHold") });
    hold(place, &people.held, off).await;
    // While it is served.
    let last = json_of(&place.command(&line).expect("erased"))["tenants"][0].clone();
    assert_eq!((&last["purged"], &last["held"]), (&json!(1), &json!([])), "{last}");
    place.admin.get(&format!("/Users/{}", people.held)).await.expect(404);
    until_all_is_erased(place).await;
    assert_eq!(traces(place, "held"), 0);
    place.command(&["check"]).expect("all is well");
}

/// A list as of another tenant.
fn of_another(list: &Path) -> PathBuf {
    let path = list.with_extension("other");
    let lines = fs::read_to_string(list).expect("the list").replace(&format!("\"{TENANT}\""), "\"elsewhere\"");
    fs::write(&path, lines).expect("writes");
    path
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_erased_since_is_erased_in_a_restored_sqlite_copy() {
    let mut place = Municipality::sqlite();
    let folder = TempDir::new().expect("a folder");
    let (file, list) = (folder.path().join("copy.db"), folder.path().join("erasures.jsonl"));
    let backup = |place: &Municipality| drop(place.command(&["backup", text(&file)]).expect("a backup"));
    let people = lived(&place, backup, &list).await;
    assert_eq!(place.server.terminate(), Some(0));

    // The database that is put aside knows whom it erased.
    let restore = ["restore", text(&file), "--force", "--json"];
    let told = json_of(&place.command(&restore).expect("restored"));
    let one = &told["erasures"][0];
    assert_eq!((&one["purged"], &one["past"], &one["held"]), (&json!(2), &json!(1), &json!([people.held])), "{told}");
    assert_eq!((&one["unknown"], &one["already"], &one["waiting"]), (&json!(1), &json!(0), &json!(0)), "{told}");
    is_as_it_should_be(&place);
    let remains =
        fs::read_dir(Path::new(place.server.database_url().trim_start_matches("sqlite:")).parent().expect("one"));
    let remains = remains.expect("a folder").filter_map(|entry| entry.expect("a file").file_name().into_string().ok());
    assert_eq!(remains.filter(|name| name.contains("restoring")).collect::<Vec<_>>(), Vec::<String>::new());
    // What is there knows them too, so the list is whole.
    let printed = place.command(&["erasures", "--tenant", TENANT]).expect("printed");
    assert!(printed.contains(&people.late) && printed.contains(&people.purged), "{printed}");

    // The database is gone, or it is said that nobody is to be erased again: then they are there.
    let mut unwanted = restore.to_vec();
    unwanted.push("--no-erasures");
    let told = json_of(&place.command(&unwanted).expect("restored"));
    assert_eq!(told["erasures"], Value::Null);
    assert!(traces(&place, "purged") > 0 && traces(&place, "past") > 0);
    // A list that is kept elsewhere does not lose what it lists when an older register adds to it.
    let before = fs::read_to_string(&list).expect("the list");
    place.command(&["erasures", "--output", text(&list)]).expect("added to");
    assert_eq!(fs::read_to_string(&list).expect("the list"), before);

    let other = of_another(&list);
    let named = |list: &Path| {
        let line = ["restore", text(&file), "--force", "--json", "--erasures", text(list)];
        place.command(&line)
    };
    let refused = named(&other).expect_err("of another tenant");
    assert!(refused.contains("elsewhere") && refused.contains("Nothing was restored"), "{refused}");
    fs::write(&other, &before[..before.len() / 2]).expect("writes");
    assert!(named(&other).expect_err("cut short").contains("no whole list"));
    let told = json_of(&named(&list).expect("restored"));
    assert_eq!((&told["erasures"][0]["purged"], &told["erasures"][0]["past"]), (&json!(2), &json!(1)), "{told}");
    is_as_it_should_be(&place);

    // A file put in its place by hand.
    place.command(&unwanted).expect("restored");
    replayed(&place, &list).await;
    is_as_it_should_be(&place);
    is_done_once(&mut place, &list, &people).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_erased_since_is_erased_in_a_restored_postgres_copy() {
    let mut place = Municipality::postgres();
    let folder = TempDir::new().expect("a folder");
    let (dump, list) = (folder.path().join("matrikel.dump"), folder.path().join("erasures.jsonl"));
    let url = place.server.database_url().to_owned();
    let file = format!("--file={}", dump.display());
    let backup = |place: &Municipality| {
        let from = format!("--dbname={}", place.server.database_url());
        tool("pg_dump", &["--format=custom", &file, &from]);
    };
    let people = lived(&place, backup, &list).await;
    assert_eq!(place.server.terminate(), Some(0));
    let into = format!("--dbname={url}");
    tool("pg_restore", &["--clean", "--if-exists", "--no-owner", "--single-transaction", &into, text(&dump)]);
    place.command(&["restored"]).expect("begun anew");
    assert!(traces(&place, "purged") > 0 && traces(&place, "past") > 0);

    let other = of_another(&list);
    let refused = attempt(&url, &["erase", "--list", text(&other)]).expect_err("of another tenant");
    assert!(refused.contains("not of any tenant") && refused.contains("elsewhere"), "{refused}");
    let refused = attempt(&url, &["erase", "--list", text(&other), "--tenant", TENANT]).expect_err("of another tenant");
    assert!(refused.contains(&format!("not of tenant {TENANT}")), "{refused}");
    replayed(&place, &list).await;
    is_as_it_should_be(&place);
    is_done_once(&mut place, &list, &people).await;
}

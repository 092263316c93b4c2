//! A run is undone: what it made goes, what it changed and withdrew comes back, what somebody has changed since stays.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Files, map, snapshots};
use crate::support::api::Api;
use crate::support::both::on_both_databases;
use crate::support::municipality::{Municipality, PERSON, TENANT};

on_both_databases!(Municipality:
    a_run_is_undone_and_what_undid_it_can_be_undone,
    what_a_run_has_deleted_comes_back_under_its_id,
    what_was_changed_later_stays_and_is_told,
    what_cannot_be_undone_is_refused_with_the_reason,
    under_a_policy_accounts_are_withdrawn_and_come_back_as_they_were,
    too_much_is_undone_only_by_who_has_seen_it,
    whatever_a_run_has_changed_comes_back,
);

const LOOSE: &str = "[snapshot]\nmode = \"full\"\n[guard]\ncreates = { percent = 100, floor = 5000 }\n\
                     disables = { percent = 100, floor = 5000 }\ndeletes = { percent = 100, floor = 5000 }\nrejects = 90\n";

impl Files<'_> {
    /// The plan of an undo: the simulation, and its items.
    fn undo(&self, run: &str) -> (Value, Vec<Value>) {
        let said = self.run("undo", run, &["--json"]).unwrap_or_else(|said| panic!("{said}"));
        let mut lines = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let simulation = lines.next().expect("a simulation");
        (simulation, lines.collect())
    }

    fn apply(&self, simulation: &Value, more: &[&str]) -> Result<Value, String> {
        let id = simulation["id"].as_str().expect("an id");
        let said = self.place.command(&[&["simulate", "apply", "--tenant", TENANT, "--json", id], more].concat())?;
        Ok(said.lines().find_map(|line| serde_json::from_str(line).ok()).unwrap_or_default())
    }

    /// All Users as an administrator sees them, by id, without what every write moves and what follows from the rest.
    async fn register(&self) -> BTreeMap<String, Value> {
        let found = self.place.admin.get("/Users?count=1000").await.expect(200).body;
        let users = found["Resources"].as_array().expect("resources").iter().cloned();
        users
            .map(|mut user| {
                user.as_object_mut().expect("an object").retain(|name, _| name != "meta" && name != "schemas");
                (user["id"].as_str().expect("an id").to_owned(), user)
            })
            .collect()
    }
}

const FIRST: &str = "1;Mäki;;;11;2026-08-01;;E1\n2;Öberg;1;;21;2020-01-01;;E1\n3;Ek;;;;;;\n";
const SECOND: &str = "1;Mäki-Ek;;;11;2026-08-01;;E2\n2;Öberg;;;21;2020-01-01;;E1\n4;Alm;1;;41;2026-11-01;;E1\n";

async fn a_run_is_undone_and_what_undid_it_can_be_undone(place: &Municipality) {
    there_and_back(place, "").await;
}

async fn what_a_run_has_deleted_comes_back_under_its_id(place: &Municipality) {
    there_and_back(place, "withdraw = \"delete\"").await;
}

async fn there_and_back(place: &Municipality, part: &str) {
    let files = Files::of(place.ready().await);
    let map = map(LOOSE, part);
    let first = files.day(&map, 1, FIRST);
    assert_eq!(first.state(), "applied", "{:?}", first.failed);
    let before = files.register().await;
    let second = files.day(&map, 2, SECOND);
    assert_eq!(second.state(), "applied", "{:?}", second.failed);
    let after = files.register().await;
    assert_ne!(before, after);

    let (plan, items) = files.undo(second.id());
    assert_eq!((&plan["state"], &plan["counts"]["conflicts"]), (&json!("ready"), &json!(0)), "{plan}");
    assert_eq!(files.register().await, after, "nothing is done yet");
    let mut ops: Vec<&str> = items.iter().filter_map(|item| item["op"].as_str()).collect();
    ops.sort_unstable();
    let third = if part.is_empty() {
        ["changed", "changed", "changed", "purged"]
    } else {
        ["changed", "changed", "purged", "restored"]
    };
    assert_eq!(ops, third, "{items:?}");
    let applied = files.apply(&plan, &[]).expect("applied");
    assert_eq!((&applied["state"], &applied["skipped"]), (&json!("applied"), &json!(0)), "{applied}");
    assert_eq!(files.register().await, before, "{part}");

    // Each names the other, and twice is once.
    let by = applied["run"]["value"].as_str().expect("a run").to_owned();
    let undone = place.admin.get(&format!("/Runs/{}", second.id())).await.expect(200).body;
    assert_eq!(undone["undone"]["value"], json!(by));
    let run = place.admin.get(&format!("/Runs/{by}")).await.expect(200).body;
    let told = (&run["cause"], &run["state"], &run["undoes"]["value"]);
    assert_eq!(told, (&json!("undo"), &json!("applied"), &json!(second.id())), "{run}");
    let changes = "SELECT COUNT(*) FROM change WHERE kind = 'User'";
    let so_far = place.server.number(changes);
    let (again, items) = files.undo(second.id());
    assert_eq!((again["state"].clone(), items.len()), (json!("ready"), 0), "{items:?}");
    files.apply(&again, &["--strict"]).expect("applied");
    assert_eq!(place.server.number(changes), so_far);

    // What undid it is a run like any other; and a file may come again.
    let (redo, _) = files.undo(&by);
    files.apply(&redo, &["--strict"]).expect("applied");
    assert_eq!(files.register().await, after, "{part}: the undo is undone");
    let third = files.day(&map, 1, FIRST);
    assert_eq!(third.state(), "applied", "{:?}", third.failed);
    let named = |register: &BTreeMap<String, Value>| {
        let of = |user: &Value| (user["userName"].clone(), user["name"].clone());
        register
            .values()
            .filter(|user| user["active"] != false)
            .map(of)
            .map(|one| format!("{one:?}"))
            .collect::<Vec<_>>()
    };
    let (mut was, mut is) = (named(&before), named(&files.register().await));
    was.sort();
    is.sort();
    assert_eq!(was, is);
}

async fn what_was_changed_later_stays_and_is_told(place: &Municipality) {
    let (files, map) = (Files::of(place.ready().await), snapshots(""));
    files.day(&map, 1, FIRST);
    let second = files.day(&map, 2, SECOND);
    let id = |user: &Value| user["id"].as_str().expect("an id").to_owned();
    let (one, four) = (id(&files.user("1").await.expect("one")), id(&files.user("4").await.expect("four")));
    let change = |path: &str, value: &str| json!([{ "op": "replace", "path": path, "value": value }]);
    place.admin.patch(&format!("/Users/{one}"), &change("name.familyName", "Later")).await.expect(200);
    place.admin.patch(&format!("/Users/{four}"), &change("title", "boss")).await.expect(200);

    let (plan, items) = files.undo(second.id());
    assert_eq!(plan["counts"]["conflicts"], 2, "{plan}");
    let of = |id: &str| items.iter().find(|item| item["id"] == id).cloned().unwrap_or_default();
    assert_eq!(of(&one)["conflicts"][0]["path"], "name.familyName");
    assert_eq!((&of(&four)["op"], &of(&four)["conflicts"][0]["path"]), (&json!("kept"), &json!("title")));
    files.apply(&plan, &[]).expect("applied");
    let user = files.user("1").await.expect("one");
    assert_eq!((&user["name"]["familyName"], &user[PERSON]["employments"][0]["unit"]), (&json!("Later"), &json!("E1")));
    assert_eq!(files.user("4").await.expect("four")["title"], "boss");

    // With strict, nothing at all is done where something has moved since the plan.
    let third = files.day(&map, 5, "1;Ny;;;;;;\n2;Öberg;;;;;;\n3;Ek;;;;;;\n4;Alm;;;;;;\n");
    let (plan, _) = files.undo(third.id());
    place.admin.patch(&format!("/Users/{one}"), &change("title", "boss")).await.expect(200);
    let before = files.register().await;
    let refused = files.apply(&plan, &["--strict"]).expect_err("it has moved");
    assert!(refused.contains("strict"), "{refused}");
    assert_eq!(files.register().await, before);
    files.apply(&plan, &["--strict"]).expect("nothing has moved since");
}

async fn what_cannot_be_undone_is_refused_with_the_reason(place: &Municipality) {
    let (files, map) = (Files::of(place.ready().await), snapshots(""));
    let reason = |id: &str| files.run("undo", id, &[]).expect_err("refused");
    assert!(reason("0197a5c0-0000-7000-8000-000000000000").contains("there is no run"));
    assert!(reason("none").contains("no run"));
    let simulated = files.read(&map, "day.csv", format!("{}{FIRST}", super::HEADER).as_bytes(), &["--simulate"]);
    assert!(reason(simulated.id()).contains("simulated"));
    let strict = super::map("[snapshot]\nmode = \"full\"\n", "");
    let people: String = (1..=60).map(|n| format!("{n};N{n};;;;;;\n")).collect();
    let held = files.day(&strict, 1, &people);
    assert_eq!(held.state(), "held");
    assert!(reason(held.id()).contains("not done yet"));
    files.run("reject", held.id(), &[]).expect("rejected");

    let first = files.day(&map, 2, FIRST);
    // As if somebody had erased what the journal says.
    place.server.execute(
        "UPDATE change SET doc = NULL, external = NULL, salt = NULL, request = NULL WHERE kind = 'User' AND cause = 'feed'",
    );
    let (plan, _) = files.undo(first.id());
    assert_eq!(plan["state"], "failed", "{plan}");
    assert!(plan["reason"].as_str().is_some_and(|reason| reason.contains("erased")), "{plan}");

    // Over HTTP it is for administrators.
    let body = |run: &str| json!({ "schemas": ["urn:matrikel:scim:schemas:1.0:Simulation"], "name": "undo", "undo": { "value": run } });
    place.hr.post("/Simulations", &body(first.id())).await.expect(403);
    place.admin.post("/Simulations", &body(simulated.id())).await.expect(409);
    let made = place.admin.post("/Simulations", &body(first.id())).await.expect(201).body;
    let path = format!("/Simulations/{}", made["id"].as_str().expect("an id"));
    let other = json!([{ "op": "replace", "path": "undo.value", "value": simulated.id() }]);
    place.admin.patch(&path, &other).await.expect(400);
}

async fn under_a_policy_accounts_are_withdrawn_and_come_back_as_they_were(place: &Municipality) {
    let files = Files::of(place.ready().await);
    let policy =
        json!({ "schemas": ["urn:matrikel:scim:schemas:1.0:Policy"], "name": "all", "zone": "Europe/Helsinki" });
    place.admin.post("/Policies", &policy).await.expect(201);
    let map = map(LOOSE, "withdraw = \"delete\"");
    let first = "1;Mäki;;;11;2020-08-01;;E1\n2;Öberg;1;;21;2020-01-01;;E1\n3;Ek;;;31;2020-01-01;;E1\n";
    files.day(&map, 1, first);
    let before = files.register().await;
    let second =
        files.day(&map, 2, "1;Ny;;;11;2020-08-01;;E1\n2;Öberg;1;;21;2020-01-01;;E1\n4;Alm;;;41;2020-01-01;;E1\n");
    assert_eq!(second.state(), "applied", "{:?}", second.failed);
    let (plan, items) = files.undo(second.id());
    assert_eq!((&plan["state"], items.len()), (&json!("ready"), 3), "{plan} {items:?}");
    assert_eq!((&plan["counts"]["activated"], &plan["counts"]["disabled"]), (&json!(1), &json!(1)), "{plan}");
    files.apply(&plan, &[]).expect("applied");
    let now = files.register().await;
    assert_eq!(now.len(), 4, "who is withdrawn is there as the policy says");
    for (id, was) in &before {
        let (mut was, mut is) = (was.clone(), now[id].clone());
        // When a state was entered is another moment.
        for user in [&mut was, &mut is] {
            user[PERSON]["lifecycle"]["since"] = Value::Null;
            for source in user[PERSON]["sources"].as_array_mut().into_iter().flatten() {
                source["since"] = Value::Null;
            }
        }
        assert_eq!(was, is, "{id}");
    }
    let fourth = now.values().find(|user| user["userName"] == "4").expect("the fourth");
    assert_eq!(
        (&fourth["active"], &fourth[PERSON]["lifecycle"]["state"]),
        (&json!(false), &json!("disabled")),
        "{fourth}"
    );
}

async fn too_much_is_undone_only_by_who_has_seen_it(place: &Municipality) {
    let files = Files::of(place.ready().await);
    let map = map(LOOSE, "withdraw = \"delete\"");
    let people: String = (1..=30).map(|n| format!("{n};N{n};;;{n};2020-01-01;;E1\n")).collect();
    let run = files.day(&map, 1, &people);
    assert_eq!(run.state(), "applied", "{:?}", run.failed);
    let policy = json!({
        "schemas": ["urn:matrikel:scim:schemas:1.0:Policy"], "name": "all", "zone": "Europe/Helsinki", "guarded": true,
    });
    place.admin.post("/Policies", &policy).await.expect(201);
    // Everybody is looked at for the policy's sake first.
    for _ in 0..400 {
        if files.register().await.values().all(|user| user[PERSON]["lifecycle"].is_object()) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (plan, _) = files.undo(run.id());
    let tripped = plan["tripped"].as_array().expect("limits");
    let limits: Vec<&str> = tripped.iter().filter_map(|one| one["limit"].as_str()).collect();
    assert_eq!(limits, ["disables", "unit E1"], "{plan}");
    let refused = files.apply(&plan, &[]).expect_err("too much");
    assert!(refused.contains("beyondLimits"), "{refused}");
    assert!(files.keys().await.iter().all(|(_, active)| *active));
    let applied = files.apply(&plan, &["--beyond-limits"]).expect("applied");
    assert_eq!(applied["state"], "applied", "{applied}");
    let now = files.register().await;
    assert_eq!(now.values().filter(|user| user["active"] == true).count(), 0);
}

/// Numbers from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    /// A file about some of ten people.
    fn file(&mut self) -> String {
        let mut rows = String::new();
        for n in 1..=10 {
            if self.below(4) == 0 {
                continue;
            }
            let chief = if self.below(3) == 0 { String::new() } else { (self.below(10) + 1).to_string() };
            for employment in 0..=self.below(2) {
                let (name, unit, month) = (self.below(3), self.below(3), self.below(9) + 1);
                rows.push_str(&format!("{n};N{name};{chief};;{n}{employment};2020-0{month}-01;;E{unit}\n"));
            }
        }
        rows
    }
}

async fn whatever_a_run_has_changed_comes_back(place: &Municipality) {
    let files = Files::of(place.ready().await);
    let mut dice = Dice(11);
    let mut day = 1;
    for round in 0..5 {
        let part = if dice.below(2) == 0 { "withdraw = \"delete\"" } else { "withdraw = \"disable\"" };
        let map = map(LOOSE, part);
        let first = files.day(&map, day, &dice.file());
        assert_eq!(first.state(), "applied", "round {round}: {:?}", first.failed);
        let before = files.register().await;
        let second = files.day(&map, day + 1, &dice.file());
        assert_eq!(second.state(), "applied", "round {round}: {:?}", second.failed);
        let (plan, items) = files.undo(second.id());
        assert_eq!(plan["counts"]["conflicts"], 0, "round {round}: {items:?}");
        let strict: &[&str] = if dice.below(2) == 0 { &["--strict"] } else { &[] };
        let applied = files.apply(&plan, strict).unwrap_or_else(|said| panic!("round {round}: {said}"));
        assert_eq!(applied["state"], "applied", "round {round}: {applied}");
        assert_eq!(files.register().await, before, "round {round}, {part}");
        let (_, items) = files.undo(second.id());
        assert_eq!(items, Vec::<Value>::new(), "round {round}: twice is once");
        day += 2;
    }
}

/// A server is killed in the middle of an undo.
async fn killed(mut place: Municipality) {
    place.ready().await;
    let first = {
        let files = Files::of(&place);
        let people: String = (1..=800).map(|n| format!("{n};N{n};;;{n};2020-01-01;;E1\n")).collect();
        files.day(&map(LOOSE, ""), 1, &people).id().to_owned()
    };
    let plan = Files::of(&place).undo(&first).0;
    let path = format!("/Simulations/{}", plan["id"].as_str().expect("an id"));
    place.admin.patch(&path, &json!([{ "op": "replace", "path": "decision", "value": "apply" }])).await.expect(200);
    for floor in [800, 500, 200] {
        for _ in 0..4_000 {
            if place.server.number("SELECT COUNT(*) FROM resource WHERE kind = 'User'") <= floor {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        place.server.kill();
        place.server.execute("DELETE FROM lease");
        place.server.restart();
    }
    let admin = Api { base: place.server.base_url.clone(), ..place.admin.clone() };
    for _ in 0..2_400 {
        let found = admin.get(&path).await.expect(200).body;
        if !["checking", "applying"].contains(&found["state"].as_str().expect("a state")) {
            assert_eq!((&found["state"], &found["skipped"]), (&json!("applied"), &json!(0)), "{found}");
            let run =
                admin.get(&format!("/Runs/{}", found["run"]["value"].as_str().expect("a run"))).await.expect(200).body;
            assert_eq!((&run["state"], &run["counts"]["deleted"]), (&json!("applied"), &json!(800)), "{run}");
            assert_eq!(place.server.number("SELECT COUNT(*) FROM resource WHERE kind = 'User'"), 0);
            assert_eq!(place.server.number("SELECT COUNT(*) FROM change WHERE kind = 'User' AND op = 'delete'"), 800);
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("nobody goes on with the undo");
}

#[tokio::test]
async fn an_undo_that_was_killed_goes_on_and_does_nothing_twice_on_sqlite() {
    killed(Municipality::sqlite()).await;
}

#[tokio::test]
async fn an_undo_that_was_killed_goes_on_and_does_nothing_twice_on_postgres() {
    killed(Municipality::postgres()).await;
}

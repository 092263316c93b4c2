//! `strict`, proposed policies and what views would show: more of what a simulation says, and what it takes to apply one.

use std::collections::BTreeMap;

use matrikel::directory::Error;
use matrikel::directory::simulations::{DIFFERENCES, Difference, Item, SIMULATION};
use serde_json::{Value, json};

use super::{attend, document, items, list, rule_of, simulated};
use crate::lifecycle::town::{PERSON, Town, person};
use crate::rules::grants::{wake, with_groups, works};
use crate::support::both::on_both_databases;
use crate::support::register::id;

on_both_databases!(Town:
    strict_refuses_the_whole_when_anything_recorded_has_moved,
    a_policy_is_seen_before_it_is_changed_made_and_withdrawn,
    what_a_policy_cannot_be_is_refused,
    it_shows_of_each_view_who_appears_changes_and_leaves,
);

async fn decide(town: &Town, simulation: &str, strict: bool) -> Value {
    let operation = json!([{ "op": "replace", "value": { "decision": "apply", "strict": strict } }]);
    town.patch(&town.admin(), SIMULATION, simulation, operation).await.unwrap_or_else(|error| panic!("{error}"));
    attend(town).await;
    document(town, simulation).await
}

async fn touch(town: &Town, kind: &str, id: &str, path: &str, value: Value) {
    let operation = json!([{ "op": "replace", "path": path, "value": value }]);
    town.patch(&town.admin(), kind, id, operation).await.unwrap_or_else(|error| panic!("{kind}: {error}"));
}

async fn strict_refuses_the_whole_when_anything_recorded_has_moved(town: &Town) {
    with_groups(town, &["nurses"]).await;
    let maj = town.enter(&town.hr(), works("maj", &[("1", "nurse", "2026-01-01", "")])).await;
    let maj = maj["id"].as_str().expect("an id").to_owned();
    let bo = town.enter(&town.hr(), works("bo", &[("1", "clerk", "2026-01-01", "")])).await;
    let rule = json!({
        "name": "nurses", "filter": r#"employments[taskCode eq "nurse" and current eq true]"#,
        "grants": [{ "type": "group", "value": "nurses" }],
    });
    let rule = id(&town.create(&town.admin(), "Rule", rule).await.expect("a rule"));
    wake(town).await;
    let (simulation, told) = simulated(town, json!({})).await;
    assert_eq!((&told["state"], &told["counts"]["changed"]), (&json!("ready"), &json!(1)), "{told}");

    // Somebody of whom nothing is said may move; who is recorded may not, though it comes to the same.
    touch(town, "User", bo["id"].as_str().expect("an id"), "title", json!("clerk")).await;
    touch(town, "User", &maj, "title", json!("nurse")).await;
    let refused = decide(town, &simulation, true).await;
    assert_eq!((&refused["state"], &refused["difference"]["moved"]), (&json!("changed"), &json!(1)), "{refused}");
    assert!(refused["reason"].as_str().is_some_and(|reason| reason.contains("strict")), "{refused}");
    assert_eq!(refused.get("strict"), None, "it is said with each decision");
    let moved: Vec<Difference> = list(town, &simulation, DIFFERENCES).await;
    assert_eq!((moved.len(), moved[0].id.as_str()), (1, maj.as_str()));
    let versions = moved[0].was.as_ref().zip(moved[0].is.as_ref()).map(|(was, is)| (was.version, is.version));
    assert_eq!(versions, Some((1, 2)));
    assert_eq!(rule_of(town, &rule).await.get("lifecycle"), None, "nothing was applied");

    // So do rules, policies, units and pools.
    let policies = town.register.number("SELECT COUNT(*) FROM resource WHERE kind = 'Policy'");
    assert_eq!(policies, 1);
    let other = json!({ "name": "other", "zone": "UTC", "covers": "userName eq \"nobody\"" });
    town.create(&town.admin(), "Policy", other).await.expect("a policy");
    wake(town).await;
    let refused = decide(town, &simulation, true).await;
    assert_eq!(refused["state"], "changed", "{refused}");
    let moved: Vec<Difference> = list(town, &simulation, DIFFERENCES).await;
    let moved: Vec<_> = moved.iter().map(|one| (one.kind.as_deref(), one.display.as_str())).collect();
    assert_eq!(moved, [(Some("Policy"), "other")]);
    assert_eq!(rule_of(town, &rule).await.get("lifecycle"), None);

    // Without it, what comes to the same is applied; and with it, when nothing has moved.
    let applied = decide(town, &simulation, true).await;
    assert_eq!(applied["state"], "applied", "{applied}");
    assert_eq!(rule_of(town, &rule).await["lifecycle"], "active");
}

/// What becomes of everybody's account, by name.
async fn lives(town: &Town) -> BTreeMap<String, (Value, Value)> {
    let ids: Vec<String> = {
        let tenant = town.register.tenant;
        let records = town.register.directory.store().read(move |reader| reader.records_of(tenant, "User")).await;
        records.map_err(|error: store::Error| error).expect("read").into_iter().map(|one| one.id.to_string()).collect()
    };
    let mut lives = BTreeMap::new();
    for id in ids {
        let user = town.stored(&id).await;
        let name = user["userName"].as_str().expect("a name").to_owned();
        lives.insert(name, (user[PERSON]["lifecycle"].clone(), user["active"].clone()));
    }
    lives
}

const ENDS: [&str; 6] = ["", "2026-01-03", "2026-01-10", "2026-01-25", "2026-06-30", "2025-12-20"];

async fn peopled(town: &Town) {
    for (n, end) in ENDS.iter().enumerate() {
        let start = if n % 2 == 0 { "2025-09-01" } else { "2026-01-20" };
        let start = if *end > start || end.is_empty() { start } else { "2025-09-01" };
        town.enter(&town.hr(), person(&format!("p{n}"), &[("1", "permanent", start, end)])).await;
    }
}

async fn a_policy_is_seen_before_it_is_changed_made_and_withdrawn(town: &Town) {
    let all = town.with_policy(json!({ "endingBefore": 5, "bridgeDays": 0 })).await;
    peopled(town).await;
    let changes = [
        json!({ "policies": [{ "value": all, "document": json!({
            "schemas": ["urn:matrikel:scim:schemas:1.0:Policy"], "name": "all", "zone": "Europe/Helsinki",
            "endingBefore": 30, "bridgeDays": 10, "stageBefore": 20, "guarded": true,
            "guardLimits": [{ "sort": "creates", "percent": 1, "floor": 1 }],
        }).to_string() }] }),
        json!({ "withdraw": [{ "value": all }] }),
        json!({ "policies": [{ "document": json!({
            "schemas": ["urn:matrikel:scim:schemas:1.0:Policy"], "name": "few", "zone": "Europe/Helsinki",
            "covers": "userName sw \"p\"", "priority": 50, "endingBefore": 0, "limboAfter": 1,
        }).to_string() }] }),
    ];
    for (n, change) in changes.iter().enumerate() {
        let before = lives(town).await;
        let (simulation, told) = simulated(town, change.clone()).await;
        assert_eq!(told["state"], "ready", "{n}: {told}");
        assert_eq!(lives(town).await, before, "{n}: nothing is done");
        let words: Vec<_> =
            told["versions"].as_array().expect("all").iter().filter_map(|one| one.get("change")).collect();
        assert_eq!(words, [["replace", "withdraw", "create"][n]], "{n}: {told}");
        let found: BTreeMap<String, Item> =
            items(town, &simulation).await.into_iter().map(|item| (item.display.clone(), item)).collect();
        assert!(!found.is_empty(), "{n}: somebody is concerned");
        let applied = decide(town, &simulation, n == 1).await;
        assert_eq!(applied["state"], "applied", "{n}: {applied}");
        wake(town).await;
        for (name, (life, active)) in lives(town).await {
            let (was, was_active) = &before[&name];
            let said = |path: &str| {
                let item = found.values().find(|item| item.display.contains(&name))?;
                item.changes.iter().find(|change| change["path"] == path).map(|change| change.get("after").cloned())
            };
            let path = format!("{PERSON}:lifecycle");
            assert_eq!(said(&path).map_or(was.clone(), Option::unwrap_or_default), life, "{n}: {name}");
            assert_eq!(said("active").map_or(was_active.clone(), Option::unwrap_or_default), active, "{n}: {name}");
        }
    }
    // What is simulated and applied is what is done by hand.
    assert_eq!(town.register.number("SELECT COUNT(*) FROM resource WHERE kind = 'Policy'"), 1);
}

async fn what_a_policy_cannot_be_is_refused(town: &Town) {
    let all = town.with_policy(json!({})).await;
    let nobody = "0197a5c0-0000-7000-8000-000000000000";
    for (wrong, word) in [
        (json!({ "policies": [{ "document": "{" }] }), "policies[0].document"),
        (json!({ "policies": [{ "document": "{\"name\": \"a\", \"zone\": \"Mars\"}" }] }), "policies[0]"),
        (json!({ "policies": [{ "value": nobody, "document": "{\"name\": \"a\", \"zone\": \"UTC\"}" }] }), nobody),
        (json!({ "withdraw": [{ "value": nobody }] }), nobody),
        (
            json!({
                "policies": [{ "value": all, "document": "{\"name\": \"a\", \"zone\": \"UTC\"}" }],
                "withdraw": [{ "value": all }],
            }),
            "twice",
        ),
        (json!({ "views": [{ "value": nobody }] }), nobody),
        (json!({ "undo": { "value": nobody } }), nobody),
        (json!({ "undo": { "value": nobody }, "filter": "userName pr" }), "undo"),
    ] {
        let mut body = json!({ "name": "wrong" });
        wrong.as_object().expect("an object").iter().for_each(|(name, value)| body[name] = value.clone());
        let error = town.create(&town.admin(), SIMULATION, body).await.expect_err(word);
        assert!(matches!(&error, Error::Scim(error) if error.status == 400), "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
}

async fn it_shows_of_each_view_who_appears_changes_and_leaves(town: &Town) {
    town.with_policy(json!({ "endingBefore": 0 })).await;
    let view = async |name: &str, user: Value| {
        let made = town.create(&town.admin(), "View", json!({ "name": name, "types": [user] })).await;
        id(&made.unwrap_or_else(|error| panic!("{error}")))
    };
    let open = view("open", json!({ "type": "User", "filter": "active eq true" })).await;
    let names = view("names", json!({ "type": "User", "attributes": ["userName"] })).await;
    let states = view("states", json!({ "type": "User", "attributes": ["userName", "active"] })).await;
    let maj = town.enter(&town.hr(), person("maj", &[("1", "permanent", "2025-09-01", "2026-03-31")])).await;
    town.enter(&town.hr(), person("bo", &[("1", "permanent", "2026-03-01", "")])).await;
    town.enter(&town.hr(), person("eva", &[("1", "permanent", "2025-03-01", "")])).await;

    let (simulation, told) = simulated(town, json!({ "asOf": "2026-04-02T00:00:00Z" })).await;
    assert_eq!(told["state"], "ready", "{told}");
    let shift = |told: &Value, view: &str| {
        let all = told["perView"].as_array().expect("views").clone();
        let one = all.into_iter().find(|one| one["value"] == view).unwrap_or_default();
        (one["appears"].as_u64(), one["changes"].as_u64(), one["leaves"].as_u64())
    };
    assert_eq!(shift(&told, &open), (Some(1), Some(0), Some(1)), "{told}");
    // Who is not there yet is behind the veil of all who pull; who is disabled is not.
    assert_eq!(shift(&told, &names), (Some(1), Some(0), Some(0)), "{told}");
    assert_eq!(shift(&told, &states), (Some(1), Some(1), Some(0)), "{told}");
    let found = items(town, &simulation).await;
    let item = found.iter().find(|item| item.id == maj["id"]).expect("maj");
    let seen: Vec<_> = item.views.iter().map(|one| (one.value.as_str(), one.op.as_str())).collect();
    assert!(seen.contains(&(open.as_str(), "leaves")) && seen.contains(&(states.as_str(), "changes")), "{seen:?}");

    let (_, told) = simulated(town, json!({ "asOf": "2026-04-02T00:00:00Z", "views": [{ "value": names }] })).await;
    assert_eq!(told["perView"].as_array().map(Vec::len), Some(1), "{told}");
}

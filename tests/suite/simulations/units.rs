//! Units that move: what everybody below would gain and lose is seen before, applied as it was seen, or planned for a day.

use matrikel::directory::types::Document;
use serde_json::{Value, json};

use super::{attend, decide, document, items, names, simulated};
use crate::lifecycle::town::{PERSON, Town};
use crate::rules::grants::{active, entered, groups, wake, with_groups, works};
use crate::support::both::on_both_databases;
use crate::support::register::id;

on_both_databases!(Town:
    a_move_is_seen_before_it_is_made_and_made_as_it_was_seen,
    a_planned_move_is_seen_ahead_and_carried_out_on_its_day,
    planned_moves_are_seen_ahead_in_the_order_of_their_days,
    a_planned_move_that_cannot_be_made_is_a_persons_to_decide,
    what_a_unit_cannot_be_is_refused,
);

const KIND: &str = "OrganizationalUnit";

struct World<'t> {
    town: &'t Town,
    school: String,
    maj: String,
    bo: String,
}

fn unit(code: &str, parent: Option<&str>) -> Value {
    let mut body = json!({ "schemas": ["urn:matrikel:scim:schemas:1.0:OrganizationalUnit"], "code": code });
    if let Some(parent) = parent {
        body["parent"] = json!({ "code": parent });
    }
    body
}

impl<'t> World<'t> {
    /// A school in education, where one works, and technics, where another does; each has a group of its own.
    async fn new(town: &'t Town) -> World<'t> {
        with_groups(town, &["education", "technics"]).await;
        let shipped = scim::schema::shipped::of_name("organizational-unit").expect("it is shipped");
        for (kind, text) in [(Document::Schema, shipped.schema), (Document::ResourceType, shipped.resource_type)] {
            let document = serde_json::from_str(text).expect("JSON");
            town.register.directory.add_document(&town.admin(), kind, document).await.expect("installed");
        }
        town.refresh().await;
        let mut school = String::new();
        for (code, parent) in [("KER", None), ("SIV", Some("KER")), ("TEK", Some("KER")), ("SKL", Some("SIV"))] {
            school = id(&town.create(&town.admin(), KIND, unit(code, parent)).await.expect("a unit"));
        }
        for (name, path) in [("education", "/KER/SIV/"), ("technics", "/KER/TEK/")] {
            active(town, name, &format!(r#"employments[unitPath sw "{path}" and current eq true]"#), json!({})).await;
        }
        let mut people = Vec::new();
        for (name, unit) in [("maj", "SKL"), ("bo", "TEK")] {
            let mut body = works(name, &[("1", "clerk", "2026-01-01", "")]);
            body[PERSON]["employments"][0]["unit"] = json!(unit);
            people.push(entered(town, body).await);
        }
        let [maj, bo] = people.try_into().expect("two");
        let world = World { town, school, maj, bo };
        assert_eq!(world.of(&world.maj).await, ("/KER/SIV/SKL/".to_owned(), vec!["education".to_owned()]));
        world
    }

    /// Where somebody works, and which groups that gives.
    async fn of(&self, user: &str) -> (String, Vec<String>) {
        let path = self.town.whole(user).await[PERSON]["employments"][0]["unitPath"].clone();
        (path.as_str().unwrap_or_default().to_owned(), groups(self.town, user).await)
    }

    async fn school(&self) -> Value {
        self.town.stored(&self.school).await
    }

    /// What a simulation says of maj, who must be the one of whom it says something: begins and ends.
    async fn told(&self, simulation: &str) -> (Vec<String>, Vec<String>) {
        let items = items(self.town, simulation).await;
        assert_eq!(items.iter().map(|item| &item.id).collect::<Vec<_>>(), [&self.maj], "nobody else is concerned");
        let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
        (owned(names(&items[0].begins)), owned(names(&items[0].ends)))
    }
}

fn elsewhere() -> (Vec<String>, Vec<String>) {
    (vec!["technics".to_owned()], vec!["education".to_owned()])
}

async fn a_move_is_seen_before_it_is_made_and_made_as_it_was_seen(town: &Town) {
    let world = World::new(town).await;
    let proposed = json!([{ "value": world.school, "document": unit("SKL", Some("TEK")).to_string() }]);
    let (simulation, told) = simulated(town, json!({ "units": proposed })).await;
    assert_eq!((&told["state"], &told["counts"]["changed"]), (&json!("ready"), &json!(1)), "{told}");
    assert_eq!(world.told(&simulation).await, elsewhere());
    let versions = told["versions"].as_array().expect("versions");
    let moved = versions.iter().find(|one| one["value"] == json!(world.school)).expect("the unit");
    assert_eq!((&moved["type"], &moved["change"]), (&json!(KIND), &json!("replace")));
    assert_eq!(world.school().await["path"], "/KER/SIV/SKL/", "nothing is stored");
    wake(town).await;
    assert_eq!(world.of(&world.maj).await.1, ["education"]);
    // Decided on after something below has moved, it is worked out anew and says so.
    let sub = id(&town.create(&town.admin(), KIND, unit("SUB", Some("SKL"))).await.expect("a unit"));
    decide(town, &town.admin(), &simulation).await.expect("decided");
    attend(town).await;
    assert_eq!(document(town, &simulation).await["state"], "applied");
    assert_eq!(world.school().await["path"], "/KER/TEK/SKL/");
    assert_eq!(town.stored(&sub).await["path"], "/KER/TEK/SKL/SUB/");
    wake(town).await;
    assert_eq!(world.of(&world.maj).await, ("/KER/TEK/SKL/".to_owned(), vec!["technics".to_owned()]));
    assert_eq!(world.of(&world.bo).await.1, ["technics"]);
    // A unit that is not there yet, above one that is.
    let proposed = json!([
        { "document": unit("NEW", Some("SIV")).to_string() },
        { "value": world.school, "document": unit("SKL", Some("NEW")).to_string() },
    ]);
    let (simulation, told) = simulated(town, json!({ "units": proposed })).await;
    assert_eq!(told["counts"]["changed"], 1, "{told}");
    let items = items(town, &simulation).await;
    assert_eq!((names(&items[0].begins), names(&items[0].ends)), (vec!["education"], vec!["technics"]));
    decide(town, &town.admin(), &simulation).await.expect("decided");
    attend(town).await;
    wake(town).await;
    assert_eq!(world.of(&world.maj).await, ("/KER/SIV/NEW/SKL/".to_owned(), vec!["education".to_owned()]));
}

async fn a_planned_move_is_seen_ahead_and_carried_out_on_its_day(town: &Town) {
    let world = World::new(town).await;
    plan(town, &world.school, "2026-02-01", "TEK").await;
    wake(town).await;
    assert_eq!(world.school().await["path"], "/KER/SIV/SKL/", "not yet");
    // Whoever puts the unit without speaking of the plan leaves it.
    let definition = town.definition(KIND);
    let (projection, none) =
        (scim::resource::Projection::whole(&definition), matrikel::directory::Precondition::none());
    let mut body = unit("SKL", Some("SIV"));
    body["displayName"] = json!("School");
    let directory = &town.register.directory;
    directory.replace(&town.admin(), &definition, &world.school, body, &none, &projection).await.expect("put");
    assert_eq!(world.school().await["moves"], json!([{ "from": "2026-02-01", "code": "TEK" }]));
    let (_, before) = simulated(town, json!({ "asOf": "2026-01-31T21:59:59Z" })).await;
    assert_eq!(before["counts"]["changed"], 0, "{before}");
    let (simulation, _) = simulated(town, json!({ "asOf": "2026-01-31T22:00:00Z" })).await;
    assert_eq!(world.told(&simulation).await, elsewhere());
    town.wait_until("2026-01-31T21:59:59Z").await;
    assert_eq!(world.of(&world.maj).await.1, ["education"]);
    town.wait_until("2026-02-01T08:00:00Z").await;
    assert_eq!(world.of(&world.maj).await, ("/KER/TEK/SKL/".to_owned(), vec!["technics".to_owned()]));
    let school = world.school().await;
    assert_eq!((&school["parent"]["code"], school.get("moves")), (&json!("TEK"), None), "it is done");
    assert_eq!(school["displayName"], "School");
    // A plan is taken back, or becomes one of another day; what is past is done at the next look.
    plan(town, &world.school, "2026-03-01", "SIV").await;
    let back = json!([{ "op": "remove", "path": "moves" }]);
    town.patch(&town.admin(), KIND, &world.school, back).await.expect("taken back");
    town.wait_until("2026-03-02").await;
    assert_eq!(world.school().await["path"], "/KER/TEK/SKL/");
    plan(town, &world.school, "2026-01-01", "SIV").await;
    wake(town).await;
    assert_eq!(world.of(&world.maj).await, ("/KER/SIV/SKL/".to_owned(), vec!["education".to_owned()]));
    // A unit that is gone moves nowhere.
    let plan = json!([{ "op": "add", "path": "moves", "value": [{ "from": "2026-04-01" }] }]);
    town.patch(&town.admin(), KIND, &world.school, plan).await.expect("planned");
    town.delete(&town.admin(), KIND, &world.school).await.expect("deleted");
    town.wait_until("2026-04-02").await;
    assert_eq!(world.of(&world.maj).await, (String::new(), Vec::new()));
}

/// Plans a move of a unit to below another on a day.
async fn plan(town: &Town, unit: &str, day: &str, to: &str) {
    let moves = json!([{ "op": "add", "path": "moves", "value": [{ "from": day, "code": to }] }]);
    town.patch(&town.admin(), KIND, unit, moves).await.expect("planned");
}

async fn planned_moves_are_seen_ahead_in_the_order_of_their_days(town: &Town) {
    let world = World::new(town).await;
    let sub = id(&town.create(&town.admin(), KIND, unit("SUB", Some("SKL"))).await.expect("a unit"));
    // Only as the one below has left by then, though it is the younger one.
    plan(town, &world.school, "2026-02-02", "SUB").await;
    plan(town, &sub, "2026-02-01", "TEK").await;
    let (simulation, told) = simulated(town, json!({ "asOf": "2026-02-03T00:00:00Z" })).await;
    assert_eq!(told["state"], "ready", "{told}");
    assert_eq!(world.told(&simulation).await, elsewhere());
    assert_eq!(world.school().await["path"], "/KER/SIV/SKL/", "nothing is stored");
    town.wait_until("2026-02-03").await;
    assert_eq!(world.school().await["path"], "/KER/TEK/SUB/SKL/");
    // What cannot be is said where it is looked ahead.
    plan(town, &sub, "2026-03-01", "SKL").await;
    let (_, told) = simulated(town, json!({ "asOf": "2026-03-02T00:00:00Z" })).await;
    assert_eq!(told["state"], "failed", "{told}");
    assert!(told["reason"].as_str().is_some_and(|reason| reason.contains("circle")), "{told}");
}

async fn a_planned_move_that_cannot_be_made_is_a_persons_to_decide(town: &Town) {
    let world = World::new(town).await;
    let sub = id(&town.create(&town.admin(), KIND, unit("SUB", Some("SKL"))).await.expect("a unit"));
    let asked = async || {
        let found = town.register.search(&town.admin(), "WorkItem", &[]).await.expect("found");
        let all = found["Resources"].as_array().cloned().unwrap_or_default();
        all.into_iter().filter(|item| item["kind"] == "plannedMove").collect::<Vec<_>>()
    };
    plan(town, &world.school, "2026-02-01", "SUB").await;
    let done = town.wait_until("2026-02-01T08:00:00Z").await;
    assert_eq!(done.put_off, 0, "{done:?}");
    let school = world.school().await;
    assert_eq!((&school["path"], &school["moves"][0]["code"]), (&json!("/KER/SIV/SKL/"), &json!("SUB")), "as it was");
    let items = asked().await;
    assert_eq!(
        (items.len(), &items[0]["about"]["value"], &items[0]["state"]),
        (1, &json!(world.school), &json!("open"))
    );
    assert!(items[0]["details"][0].as_str().is_some_and(|detail| detail.contains("circle")), "{items:?}");
    // Asked once, however often it is tried; and made when nothing stands in the way any more.
    town.wait_until("2026-02-01T12:00:00Z").await;
    assert_eq!(asked().await, items);
    let out = json!([{ "op": "replace", "path": "parent", "value": { "code": "TEK" } }]);
    town.patch(&town.admin(), KIND, &sub, out).await.expect("moved");
    town.wait_until("2026-02-01T14:00:00Z").await;
    assert_eq!(world.of(&world.maj).await, ("/KER/TEK/SUB/SKL/".to_owned(), vec!["technics".to_owned()]));
    let items = asked().await;
    assert_eq!((items.len(), &items[0]["state"], items[0].get("decidedBy")), (1, &json!("done"), None));
    // One that is taken back is decided, and so is one of a unit that is removed.
    for (day, next) in [("2026-02-10", "2026-02-11"), ("2026-02-20", "2026-02-21")] {
        plan(town, &sub, day, "SKL").await;
        town.wait_until(next).await;
        assert_eq!(asked().await.iter().filter(|item| item["state"] == "open").count(), 1);
        match day {
            "2026-02-10" => {
                let back = json!([{ "op": "remove", "path": "moves" }]);
                town.patch(&town.admin(), KIND, &sub, back).await.expect("taken back");
            }
            _ => town.delete(&town.admin(), KIND, &sub).await.expect("deleted"),
        }
        assert_eq!(asked().await.iter().filter(|item| item["state"] == "open").count(), 0);
    }
}

async fn what_a_unit_cannot_be_is_refused(town: &Town) {
    let world = World::new(town).await;
    let text = unit("SKL", Some("TEK")).to_string();
    let nobody = "01913a51-4b00-7d2f-9e53-6a1b8f3c0d22";
    for (units, expected) in [
        (json!([{ "document": "x" }]), "units[0].document"),
        (json!([{ "document": json!({ "code": "A/B" }).to_string() }]), "code must be"),
        (json!([{ "value": nobody, "document": text }]), "There is no OrganizationalUnit"),
        (json!([{ "value": world.maj, "document": text }]), "There is no OrganizationalUnit"),
    ] {
        let body = json!({ "name": "what if", "units": units });
        let error = town.create(&town.admin(), "Simulation", body).await.map(|_| ()).expect_err(expected);
        assert!(error.to_string().contains(expected), "{units}: {error}");
    }
    // What only the tree knows is said where it is worked out, and nothing is done.
    let proposed = json!([{ "value": world.school, "document": unit("SKL", Some("SKL")).to_string() }]);
    let (_, told) = simulated(town, json!({ "units": proposed })).await;
    assert_eq!(told["state"], "failed", "{told}");
    assert!(told["reason"].as_str().is_some_and(|reason| reason.contains("circle")), "{told}");
    for moves in [json!([{ "from": "soon" }]), json!([{ "from": "2026-02-01" }, { "from": "2026-02-01", "code": "A" }])]
    {
        let plan = json!([{ "op": "add", "path": "moves", "value": moves }]);
        town.patch(&town.admin(), KIND, &world.school, plan).await.map(|_| ()).expect_err("refused");
    }
}

//! Users that leave a view which keeps them for some days: to its clients they are inactive, on whatever path they are asked
//! for, and gone when the days are over; whoever comes back is there as before. At a clock that the test moves.

use matrikel::directory::views::{Outlook, Veil};
use matrikel::directory::{Ctx, Error};
use serde_json::{Value, json};

use crate::lifecycle::town::{PERSON, Town};
use crate::support::both::on_both_databases;
use crate::support::messages::{group, user_with, with};
use crate::support::register::{body, id};

on_both_databases!(Town: who_leaves_is_inactive_on_every_path_and_then_gone, who_comes_back_is_there_as_before,
    who_becomes_protected_is_masked_and_inactive_before_it_is_hidden, a_changed_view_lets_nobody_go_at_once,
    a_view_that_keeps_nobody_any_more_leaves_nothing, what_is_deleted_is_gone_at_once,
    a_unique_form_stays_with_who_has_left, what_its_client_writes_of_who_has_left_is_kept);

/// What stands in stored documents and nowhere else.
const NOTES: &str = "~leaving";

struct World<'t> {
    town: &'t Town,
    view: String,
    maj: String,
    bo: String,
}

fn staff(name: &str, kind: &str) -> Value {
    user_with(name, &json!({ "userType": kind, "active": true, "title": format!("{name}s") }))
}

fn view(more: &Value) -> Value {
    let view = json!({
        "schemas": ["urn:matrikel:scim:schemas:1.0:View"], "name": "cloud", "leaving": "inactive", "leavingDays": 10,
        "types": [{ "type": "User", "filter": "userType eq \"staff\"" }, { "type": "Group" }],
    });
    with(view, more)
}

impl<'t> World<'t> {
    /// A view of staff, and two who are.
    async fn new(town: &'t Town, more: &Value) -> World<'t> {
        let admin = town.admin();
        let view = id(&town.create(&admin, "View", self::view(more)).await.expect("a view"));
        town.refresh().await;
        let maj = id(&town.create(&admin, "User", staff("maj", "staff")).await.expect("created"));
        let bo = id(&town.create(&admin, "User", staff("bo", "staff")).await.expect("created"));
        World { town, view, maj, bo }
    }

    /// What its clients are.
    async fn cloud(&self) -> Ctx {
        let document = self.stored(&self.view).await;
        let registry = self.town.register.directory.registry_of(self.town.register.tenant);
        let outlook = Outlook::through(self.view.parse().expect("an id"), document.as_object().expect("one").clone());
        Ctx { views: outlook.views(&registry, Veil::None), ..self.town.hr() }
    }

    async fn stored(&self, id: &str) -> Value {
        self.town.stored(id).await
    }

    async fn set(&self, id: &str, path: &str, value: Value) {
        let set = json!([{ "op": "replace", "path": path, "value": value }]);
        self.town.patch(&self.town.admin(), "User", id, set).await.expect("written");
    }

    async fn change_view(&self, operations: Value) {
        self.town.patch(&self.town.admin(), "View", &self.view, operations).await.expect("changed");
        self.town.refresh().await;
    }

    async fn names(&self, parameters: &[(&str, &str)]) -> Vec<String> {
        let found = self.search(parameters).await;
        let found = found["Resources"].as_array().into_iter().flatten();
        found.map(|user| user["userName"].as_str().unwrap_or("?").to_owned()).collect()
    }

    async fn search(&self, parameters: &[(&str, &str)]) -> Value {
        let request = scim::query::SearchRequest::from_pairs(parameters.iter().copied()).expect("a request");
        let (directory, definition) = (&self.town.register.directory, self.town.definition("User"));
        let found = directory.search(&self.cloud().await, &[definition], &request).await.expect("found");
        serde_json::from_str(&found.body).expect("JSON")
    }

    /// `active` as the view's clients see it; `None`: they do not see the user.
    async fn active(&self, id: &str) -> Option<Value> {
        Some(self.town.seen(&self.cloud().await, id).await?["active"].clone())
    }
}

async fn who_leaves_is_inactive_on_every_path_and_then_gone(town: &Town) {
    let world = World::new(town, &json!({})).await;
    let World { maj, bo, .. } = &world;
    let crew = id(&town.create(&town.admin(), "Group", group("crew", &[maj, bo])).await.expect("created"));
    let version = town.whole(bo).await["meta"]["version"].clone();
    world.set(bo, "userType", json!("guest")).await;

    assert_eq!((world.active(maj).await, world.active(bo).await), (Some(json!(true)), Some(json!(false))));
    let whole = town.whole(bo).await;
    assert_eq!((&whole["active"], &whole["userType"]), (&json!(true), &json!("guest")), "to others it is as it was");
    assert_ne!(whole["meta"]["version"], version);
    assert!(world.stored(bo).await.get(NOTES).is_some() && world.stored(maj).await.get(NOTES).is_none());
    for (filter, found) in [
        ("active eq true", vec!["maj"]),
        ("active eq false", vec!["bo"]),
        ("active ne true", vec!["bo"]),
        ("not (active eq false)", vec!["maj"]),
        ("active pr", vec!["bo", "maj"]),
        ("userName eq \"bo\"", vec!["bo"]),
        ("userName eq \"bo\" and active eq true", vec![]),
        ("userType eq \"guest\"", vec!["bo"]),
        ("userName sw \"b\" or active eq true", vec!["bo", "maj"]),
    ] {
        assert_eq!(world.names(&[("filter", filter), ("sortBy", "userName")]).await, found, "{filter}");
        assert_eq!(world.search(&[("filter", filter)]).await["totalResults"], found.len(), "{filter}");
    }
    assert_eq!(world.names(&[("sortBy", "active")]).await, ["bo", "maj"]);
    assert_eq!(world.names(&[("sortBy", "active"), ("sortOrder", "descending"), ("count", "1")]).await, ["maj"]);
    let found = world.search(&[("attributes", "active"), ("filter", "userName eq \"bo\"")]).await;
    assert_eq!(found["Resources"][0]["active"], false);
    let cloud = world.cloud().await;
    let seen = town.register.fetch(&cloud, "Group", &crew).await.expect("seen").0;
    assert_eq!(seen["members"].as_array().map(Vec::len), Some(2), "{seen}");

    // What stands in the document is told to nobody, and cannot be asked for.
    for ctx in [town.admin(), cloud] {
        let user = town.seen(&ctx, bo).await.expect("seen");
        assert!(!user.to_string().contains("leaving"), "{user}");
        let request = scim::query::SearchRequest::from_pairs([("attributes", "userName,~leaving")]).expect("one");
        let found = town.register.directory.search(&ctx, &[town.definition("User")], &request).await.expect("found");
        assert!(!found.body.contains("leaving"), "{}", found.body);
    }
    assert!(town.register.search(&town.admin(), "User", &[("filter", "~leaving pr")]).await.is_err());

    town.wait_until("2026-01-14T08:00:00Z").await;
    assert_eq!(world.active(bo).await, Some(json!(false)), "nine days later");
    let version = town.whole(bo).await["meta"]["version"].clone();
    town.wait_until("2026-01-16T08:00:00Z").await;
    assert_eq!(world.active(bo).await, None, "eleven days later");
    assert_eq!(world.names(&[]).await, ["maj"]);
    let whole = town.whole(bo).await;
    assert_eq!(whole["active"], true);
    assert_ne!(whole["meta"]["version"], version, "what falls due is a change");
    assert!(world.stored(bo).await.get(NOTES).is_none());
    assert_eq!(town.register.number("SELECT COUNT(*) FROM due"), 0, "nothing is due any more");
}

async fn who_comes_back_is_there_as_before(town: &Town) {
    let world = World::new(town, &json!({})).await;
    let World { bo, .. } = &world;
    world.set(bo, "userType", json!("guest")).await;
    // What else becomes of it meanwhile neither lengthens nor ends it.
    town.wait_until("2026-01-10T08:00:00Z").await;
    world.set(bo, "title", json!("y")).await;
    let until = world.stored(bo).await[NOTES].clone();
    assert_eq!(until[0]["until"].as_str().and_then(|until| until.get(..10)), Some("2026-01-15"), "{until}");
    let whole = with(town.whole(bo).await, &json!({ "title": "z" }));
    town.replace(&town.admin(), bo, whole).await.expect("replaced");
    assert_eq!(world.stored(bo).await[NOTES], until, "a PUT of all that is seen takes nothing away");
    assert_eq!(world.active(bo).await, Some(json!(false)));

    world.set(bo, "userType", json!("staff")).await;
    assert_eq!(world.active(bo).await, Some(json!(true)));
    assert!(world.stored(bo).await.get(NOTES).is_none());
    town.wait_until("2026-01-20T08:00:00Z").await;
    assert_eq!(world.active(bo).await, Some(json!(true)), "the day that was is none");
    // Whoever was never in the view does not come in by leaving it.
    let guest = id(&town.create(&town.admin(), "User", staff("eva", "guest")).await.expect("created"));
    world.set(&guest, "userType", json!("visitor")).await;
    assert_eq!(world.active(&guest).await, None);
}

async fn who_becomes_protected_is_masked_and_inactive_before_it_is_hidden(town: &Town) {
    town.install().await;
    let world = World::new(town, &json!({ "protected": "hide" })).await;
    let World { bo, .. } = &world;
    world.set(bo, &format!("{PERSON}:protectedIdentity"), json!("skyddad")).await;
    let seen = town.seen(&world.cloud().await, bo).await.expect("not gone at once");
    assert_eq!((&seen["active"], seen.get("userName"), seen.get("title")), (&json!(false), None, None), "{seen}");
    for (filter, found) in
        [("userName eq \"bo\"", 0), ("active eq false", 1), ("title eq \"bos\"", 0), ("title eq \"majs\"", 1)]
    {
        assert_eq!(world.search(&[("filter", filter)]).await["totalResults"], found, "{filter}");
    }
    town.wait_until("2026-01-16T08:00:00Z").await;
    assert_eq!(world.active(bo).await, None);
    let dated = id(&town.create(&town.admin(), "User", staff("dan", "staff")).await.expect("created"));
    world.set(&dated, &format!("{PERSON}:protectedIdentity"), json!("skyddad")).await;
    let lifted = json!([{ "op": "remove", "path": format!("{PERSON}:protectedIdentity") }]);
    town.patch(&town.admin(), "User", &dated, lifted).await.expect("written");
    assert_eq!(town.seen(&world.cloud().await, &dated).await.expect("seen")["userName"], "dan");
}

async fn a_changed_view_lets_nobody_go_at_once(town: &Town) {
    let world = World::new(town, &json!({})).await;
    let World { maj, bo, .. } = &world;
    world.set(bo, "title", json!("chief")).await;
    let narrower =
        json!([{ "op": "replace", "path": "types[type eq \"User\"].filter", "value": "title eq \"chief\"" }]);
    world.change_view(narrower).await;
    // Before anything was noted, they are inactive by what the view was.
    assert!(world.stored(maj).await.get(NOTES).is_none());
    assert_eq!((world.active(maj).await, world.active(bo).await), (Some(json!(false)), Some(json!(true))));
    assert_eq!(world.names(&[("filter", "active eq false")]).await, ["maj"]);
    assert_eq!(world.stored(&world.view).await["former"], json!(["(userType eq \"staff\")"]));
    let shown = town.register.fetch(&town.admin(), "View", &world.view).await.expect("seen").0;
    assert_eq!(shown["former"].as_array().map(Vec::len), Some(1), "its state is clear: {shown}");

    town.wake_at("2026-01-05T08:01:00Z").await;
    assert!(world.stored(maj).await.get(NOTES).is_some() && world.stored(bo).await.get(NOTES).is_none());
    assert_eq!(world.stored(&world.view).await.get("former"), None, "the change is through");
    assert_eq!((world.active(maj).await, world.active(bo).await), (Some(json!(false)), Some(json!(true))));
    town.wait_until("2026-01-16T08:00:00Z").await;
    assert_eq!((world.active(maj).await, world.active(bo).await), (None, Some(json!(true))));
    // What is widened again shows whoever fits at once, and their notes go.
    world.set(bo, "title", json!("x")).await;
    assert_eq!(world.active(bo).await, Some(json!(false)));
    let wider = "title eq \"chief\" or userName eq \"bo\"";
    world.change_view(json!([{ "op": "replace", "path": "types[type eq \"User\"].filter", "value": wider }])).await;
    assert_eq!(
        (world.active(bo).await, world.names(&[("filter", "active eq true")]).await.len()),
        (Some(json!(true)), 1)
    );
    town.wake_at("2026-01-16T08:01:00Z").await;
    assert!(world.stored(bo).await.get(NOTES).is_none());
    assert_eq!(world.stored(&world.view).await.get("former"), None);
    world.change_view(json!([{ "op": "remove", "path": "types[type eq \"User\"].filter" }])).await;
    assert_eq!(world.active(maj).await, Some(json!(true)));
    town.wake_at("2026-01-16T08:02:00Z").await;
    assert_eq!(world.stored(&world.view).await.get("former"), None);
}

async fn a_view_that_keeps_nobody_any_more_leaves_nothing(town: &Town) {
    let world = World::new(town, &json!({})).await;
    let World { maj, bo, .. } = &world;
    let indexed = || town.register.number("SELECT COUNT(*) FROM attr_path WHERE path = '~leaving.view'");
    assert_eq!(indexed(), 1);
    world.set(bo, "userType", json!("guest")).await;
    assert_eq!(
        town.register.number(
            "SELECT COUNT(*) FROM attr_index i JOIN attr_path p ON p.tenant_id = i.tenant_id \
        AND p.path_id = i.path_id WHERE p.path = '~leaving.view'"
        ),
        1
    );
    world
        .change_view(
            json!([{ "op": "replace", "path": "leaving", "value": "gone" }, { "op": "remove", "path": "leavingDays" }]),
        )
        .await;
    assert_eq!(world.active(bo).await, None);
    town.wake_at("2026-01-05T08:01:00Z").await;
    assert!(world.stored(bo).await.get(NOTES).is_none());
    assert_eq!(
        town.register.number("SELECT COUNT(*) FROM attr_path WHERE path = '~leaving.view' AND state = 'ready'"),
        0
    );
    world.set(maj, "userType", json!("guest")).await;
    assert_eq!((world.active(maj).await, world.stored(maj).await.get(NOTES)), (None, None));

    // And so does one that is erased.
    let other = id(&town
        .create(&town.admin(), "View", with(view(&json!({})), &json!({ "name": "other" })))
        .await
        .expect("a view"));
    town.refresh().await;
    let eva = id(&town.create(&town.admin(), "User", staff("eva", "staff")).await.expect("created"));
    world.set(&eva, "userType", json!("guest")).await;
    assert_eq!(world.stored(&eva).await[NOTES][0]["view"], other);
    town.delete(&town.admin(), "View", &other).await.expect("erased");
    town.refresh().await;
    town.wake_at("2026-01-05T08:02:00Z").await;
    assert!(world.stored(&eva).await.get(NOTES).is_none());
}

async fn what_is_deleted_is_gone_at_once(town: &Town) {
    let world = World::new(town, &json!({})).await;
    let World { maj, bo, .. } = &world;
    world.set(bo, "userType", json!("guest")).await;
    town.delete(&world.cloud().await, "User", bo).await.expect("deleted through the view");
    town.delete(&town.admin(), "User", maj).await.expect("deleted");
    assert_eq!((world.active(maj).await, world.active(bo).await), (None, None));
    assert_eq!(world.search(&[]).await["totalResults"], 0);
    assert_eq!(town.register.number("SELECT COUNT(*) FROM due"), 0);
}

async fn a_unique_form_stays_with_who_has_left(town: &Town) {
    let form = json!([{ "type": "User", "path": "userName", "template": "{{ title }}@cloud.example" }]);
    let world = World::new(town, &json!({ "mappings": form })).await;
    let World { maj, bo, .. } = &world;
    world.set(bo, "userType", json!("guest")).await;
    let seen = town.seen(&world.cloud().await, bo).await.expect("seen");
    assert_eq!((&seen["userName"], &seen["active"]), (&json!("bos@cloud.example"), &json!(false)));
    let taken = json!([{ "op": "replace", "path": "title", "value": "bos" }]);
    let error = town.patch(&town.admin(), "User", maj, taken.clone()).await.expect_err("it is bo's still");
    assert!(matches!(error, Error::Store(store::Error::Taken { .. }) | Error::Scim(_)), "{error}");
    town.wait_until("2026-01-16T08:00:00Z").await;
    town.patch(&town.admin(), "User", maj, taken).await.expect("it is free");
}

async fn what_its_client_writes_of_who_has_left_is_kept(town: &Town) {
    let world = World::new(town, &json!({})).await;
    let World { bo, .. } = &world;
    world.set(bo, "userType", json!("guest")).await;
    let cloud = world.cloud().await;
    let seen = town.seen(&cloud, bo).await.expect("seen");
    let version = town.whole(bo).await["meta"]["version"].clone();
    let same = town.replace(&cloud, bo, seen.clone()).await.expect("put back as it was shown");
    assert_eq!((&same["active"], &town.whole(bo).await["meta"]["version"]), (&json!(false), &version));
    town.replace(&cloud, bo, with(seen, &json!({ "title": "y" }))).await.expect("written");
    let whole = town.whole(bo).await;
    assert_eq!((&whole["active"], &whole["title"]), (&json!(true), &json!("y")), "what was not meant is as it was");
    assert_eq!(world.active(bo).await, Some(json!(false)));
    let made = body(&town.create(&cloud, "User", staff("new", "staff")).await.expect("created"));
    assert_eq!(made["active"], true);
}

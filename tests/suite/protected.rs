//! People whose data are protected, over HTTP: a view masks, hides or includes them, on whatever path they are asked for;
//! and whoever is shown one unmasked is remembered before the answer is given.

use serde_json::{Value, json};

use crate::support::api::Api;
use crate::support::both::on_both_databases;
use crate::support::messages::{group, user_with, with};
use crate::support::municipality::{Municipality, PERSON, TENANT};

on_both_databases!(Municipality: who_is_protected_is_masked_on_every_path, a_view_hides_or_includes_who_is_protected,
    a_neutral_form_stands_in_the_place_of_what_is_masked, what_is_masked_is_not_written,
    who_is_shown_a_protected_person_is_remembered_first);

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
/// What names or finds the protected person of these tests.
const TELLING: [&str; 7] = ["hemlig", "Hemliga", "Gömstigen", "070-1", "KER", "EMP-9", "Dold"];

fn secret(mark: Option<&str>) -> Value {
    let person = with(
        json!({ "callName": "Hemliga", "formerNames": ["Dold"], "employments": [{ "employmentId": "e", "start": "2020-01-01", "unit": "KER" }] }),
        &mark.map_or_else(|| json!({}), |mark| json!({ "protectedIdentity": mark })),
    );
    user_with(
        "hemlig",
        &json!({
            "displayName": "Hemliga Dold", "name": { "givenName": "Hemliga", "familyName": "Dold" }, "active": true,
            "addresses": [{ "type": "home", "streetAddress": "Gömstigen 1" }],
            "phoneNumbers": [{ "type": "work", "value": "070-1" }],
            "emails": [{ "type": "work", "value": "hemlig@x.example" }], "userType": "staff",
            ENTERPRISE: { "employeeNumber": "EMP-9", "department": "KER" }, PERSON: person,
        }),
    )
}

struct World<'m> {
    register: &'m Municipality,
    cloud: Api,
    view: String,
    hidden: String,
    open: String,
    crew: String,
}

fn view(more: &Value) -> Value {
    let view = json!({
        "schemas": ["urn:matrikel:scim:schemas:1.0:View"], "name": "cloud", "types": [{ "type": "User" }, { "type": "Group" }],
    });
    with(view, more)
}

impl<'m> World<'m> {
    /// A cloud with such a view of a protected person, one who is not, and a group of both.
    async fn new(register: &'m Municipality, more: &Value) -> World<'m> {
        register.ready().await;
        let admin = &register.admin;
        let cloud = Api::new(&register.server, register.server.client(TENANT, "cloud", "source"));
        let made = |body: Value| body["id"].as_str().expect("an id").to_owned();
        let me = made(cloud.get("/Me").await.expect(200).body);
        let view = made(admin.post("/Views", &view(more)).await.expect(201).body);
        let scopes = json!(["*:read", "*:write", "Rule:read"]);
        let uses = json!([{ "op": "add", "value": { "view": view, "scopes": scopes } }]);
        admin.patch(&format!("/Clients/{me}"), &uses).await.expect(200);
        let hidden = made(admin.post("/Users", &secret(Some("skyddad"))).await.expect(201).body);
        let open = user_with("bo", &json!({ "displayName": "Bo Ek", ENTERPRISE: { "manager": { "value": hidden } } }));
        let open = made(admin.post("/Users", &open).await.expect(201).body);
        let crew = made(admin.post("/Groups", &group("crew", &[&hidden, &open])).await.expect(201).body);
        World { register, cloud, view, hidden, open, crew }
    }

    async fn set(&self, protected: &str) {
        let set = json!([{ "op": "add", "path": "protected", "value": protected }]);
        self.register.admin.patch(&format!("/Views/{}", self.view), &set).await.expect(200);
    }

    async fn mark(&self, mark: Option<&str>) {
        let path = format!("{PERSON}:protectedIdentity");
        let change = match mark {
            Some(mark) => json!([{ "op": "add", "path": path, "value": mark }]),
            None => json!([{ "op": "remove", "path": path }]),
        };
        self.register.admin.patch(&format!("/Users/{}", self.hidden), &change).await.expect(200);
    }

    async fn ids(&self, filter: &str) -> Vec<String> {
        let found = self.cloud.find("/Users", filter, "").await;
        found.iter().map(|user| user["id"].as_str().expect("an id").to_owned()).collect()
    }
}

fn tells(answer: &Value) -> Vec<&'static str> {
    let text = answer.to_string();
    TELLING.into_iter().filter(|word| text.contains(word)).collect()
}

async fn who_is_protected_is_masked_on_every_path(register: &Municipality) {
    let world = World::new(register, &json!({})).await;
    let World { cloud, hidden, open, crew, .. } = &world;
    let whole = |path: &str| {
        format!("{path}?attributes=userName,name,displayName,emails,addresses,groups,{PERSON},{ENTERPRISE}")
    };
    let preview = format!("/Views/{}/preview", world.view);
    let paths = [
        format!("/Users/{hidden}"),
        whole(&format!("/Users/{hidden}")),
        "/Users".to_owned(),
        "/Users?cursor=".to_owned(),
        "/Users?sortBy=userName".to_owned(),
        whole("/Users"),
        format!("/Groups/{crew}"),
        format!("/Groups/{crew}?attributes=members.value,members.display"),
        "/Groups?filter=members%20pr".to_owned(),
        "/GroupMemberships".to_owned(),
        format!("/Users/{open}"),
        format!("/Users/{hidden}/why"),
    ];
    for path in &paths {
        let said = cloud.get(path).await.expect(200).body;
        assert!(tells(&said).is_empty(), "{path}: {:?} {said}", tells(&said));
    }
    let everything =
        json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"], "sortBy": "displayName" });
    for path in ["/.search", "/Users/.search"] {
        let said = cloud.post(path, &everything).await.expect(200).body;
        assert!(tells(&said).is_empty() && said.to_string().contains(hidden.as_str()), "{path}: {said}");
    }
    let shown = cloud.get(&format!("/Users/{hidden}")).await.expect(200).body;
    assert_eq!((&shown["active"], &shown["userType"]), (&json!(true), &json!("staff")));
    assert_eq!(shown[PERSON]["protectedIdentity"], "skyddad");
    assert_eq!(shown["groups"][0]["value"], json!(crew), "its rights are seen: {shown}");
    let seen = register.admin.get(&preview).await.expect(200).body;
    assert!(tells(&seen).is_empty(), "{seen}");

    // What is masked is found by nobody who asks, and orders nothing; what is not is found as ever.
    for filter in [
        "userName eq \"hemlig\"",
        "name.familyName eq \"Dold\"",
        "emails[value co \"hemlig\"]",
        "displayName sw \"Hemliga\" and active eq true",
        &format!("{PERSON}:callName pr"),
        &format!("{PERSON}:employments[unit eq \"KER\"]"),
        &format!("{ENTERPRISE}:employeeNumber eq \"EMP-9\""),
        &format!("schemas eq \"{ENTERPRISE}\" and {PERSON}:protectedIdentity pr"),
    ] {
        assert!(world.ids(filter).await.is_empty(), "{filter}");
    }
    assert_eq!(world.ids("not (userName eq \"hemlig\") and active eq true").await, [hidden.as_str()]);
    assert_eq!(world.ids("userName eq \"bo\"").await, [open.as_str()]);
    assert_eq!(world.ids("userType eq \"staff\"").await, [hidden.as_str()]);
    assert!(cloud.find("/Groups", "members.display co \"Hemliga\"", "").await.is_empty());
    let manager = format!("{ENTERPRISE}:manager.displayName co \"Hemliga\"");
    assert!(world.ids(&manager).await.is_empty());
    for order in ["ascending", "descending"] {
        let path = format!("/Users?sortBy=userName&sortOrder={order}&filter=active%20eq%20true%20or%20userName%20pr");
        let sorted = cloud.get(&path).await.expect(200).body;
        let last = sorted["Resources"][1]["id"] == json!(hidden);
        assert_eq!(last, order == "ascending", "without a value: {sorted}");
    }
    let taken = cloud.post("/Users", &user_with("hemlig", &json!({ "displayName": "x" }))).await.expect(409);
    assert_eq!(tells(&json!(taken.detail())), Vec::<&str>::new(), "the path alone: {}", taken.detail());

    // It goes by the mark as it is now.
    world.mark(None).await;
    assert_eq!(cloud.get(&format!("/Users/{hidden}")).await.expect(200).body["userName"], "hemlig");
    assert_eq!(world.ids("userName eq \"hemlig\"").await, [hidden.as_str()]);
    let named = format!("/Groups/{crew}?attributes=members.value,members.display");
    let members = cloud.get(&named).await.expect(200).body.to_string();
    assert!(members.contains("Hemliga Dold"), "{members}");
    let list = cloud.get("/Users?sortBy=userName").await.expect(200).body;
    world.mark(Some("sekretess")).await;
    assert!(!tells(&list).is_empty() && tells(&cloud.get("/Users?sortBy=userName").await.expect(200).body).is_empty());
    assert!(tells(&cloud.get(&named).await.expect(200).body).is_empty());
}

async fn a_view_hides_or_includes_who_is_protected(register: &Municipality) {
    let world = World::new(register, &json!({ "protected": "hide" })).await;
    let World { cloud, hidden, open, crew, .. } = &world;
    cloud.get(&format!("/Users/{hidden}")).await.expect(404);
    assert_eq!(cloud.get("/Users").await.expect(200).body["totalResults"], 1);
    assert!(world.ids("userName eq \"hemlig\"").await.is_empty());
    let members = cloud.get(&format!("/Groups/{crew}")).await.expect(200).body["members"].clone();
    assert_eq!(members.as_array().map(Vec::len), Some(1), "{members}");
    assert_eq!(cloud.get(&format!("/Users/{open}")).await.expect(200).body[ENTERPRISE], Value::Null);
    cloud
        .patch(&format!("/Users/{hidden}"), &json!([{ "op": "add", "path": "title", "value": "x" }]))
        .await
        .expect(404);

    world.set("include").await;
    assert_eq!(cloud.get(&format!("/Users/{hidden}")).await.expect(200).body["userName"], "hemlig");
    assert_eq!(world.ids("userName eq \"hemlig\"").await, [hidden.as_str()]);
    let wrong = json!([{ "op": "add", "path": "protected", "value": "some" }]);
    let refused = register.admin.patch(&format!("/Views/{}", world.view), &wrong).await.expect(400);
    assert!(refused.detail().starts_with("protected must be mask, hide or include"));
}

async fn a_neutral_form_stands_in_the_place_of_what_is_masked(register: &Municipality) {
    let neutral = format!("u{{{{ resource['{ENTERPRISE}'].employeeNumber | lower }}}}");
    let mappings = json!({ "mappings": [
        { "type": "User", "path": "userName", "template": "{{ userName }}@cloud.example", "neutral": neutral },
        { "type": "User", "path": "displayName", "template": "{{ userName | upper }}" },
    ] });
    let world = World::new(register, &mappings).await;
    let World { cloud, hidden, open, .. } = &world;
    crate::support::api::wait_for_indexes(&register.server).await;
    let shown = cloud.get(&format!("/Users/{hidden}")).await.expect(200).body;
    assert_eq!((&shown["userName"], &shown["displayName"]), (&json!("uemp-9"), &Value::Null));
    assert_eq!(cloud.get(&format!("/Users/{open}")).await.expect(200).body["userName"], "bo@cloud.example");
    assert_eq!(world.ids("userName eq \"uemp-9\"").await, [hidden.as_str()]);
    for original in ["hemlig", "hemlig@cloud.example"] {
        assert!(world.ids(&format!("userName eq \"{original}\"")).await.is_empty(), "{original}");
    }
    let sorted = cloud.get("/Users?sortBy=userName&sortOrder=descending").await.expect(200).body;
    assert_eq!(sorted["Resources"][0]["id"], json!(hidden));
    crate::support::api::verify(&register.server).await;
    let wrong = json!([{ "op": "add", "path": "protected", "value": "include" }]);
    let refused = register.admin.patch(&format!("/Views/{}", world.view), &wrong).await.expect(400);
    assert!(refused.detail().contains("mappings[0]: neutral"), "{}", refused.detail());
}

async fn what_is_masked_is_not_written(register: &Municipality) {
    let world = World::new(register, &json!({})).await;
    let World { cloud, hidden, open, .. } = &world;
    let path = format!("/Users/{hidden}");
    let before = register.admin.get(&path).await.expect(200).body;
    for (operation, named) in [
        (json!({ "op": "replace", "path": "userName", "value": "hemlig" }), "userName"),
        (json!({ "op": "add", "path": "name.givenName", "value": "x" }), "name.givenName"),
        (json!({ "op": "add", "value": { ENTERPRISE: { "department": "KER" } } }), "department"),
    ] {
        let refused = cloud.patch(&path, &json!([operation])).await.expect(403);
        assert!(refused.detail().contains(named) && refused.detail().contains("masks"), "{}", refused.detail());
        cloud
            .patch(&format!("/Users/{open}"), &json!([{ "op": "add", "path": "title", "value": "x" }]))
            .await
            .expect(200);
    }
    cloud.put(&path, &secret(Some("skyddad"))).await.expect(403);
    assert_eq!(register.admin.get(&path).await.expect(200).body, before, "nothing was changed");
    let written = cloud.patch(&path, &json!([{ "op": "replace", "path": "active", "value": false }])).await.expect(200);
    assert!(tells(&written.body).is_empty(), "{}", written.body);
    let after = register.admin.get(&path).await.expect(200).body;
    assert_eq!((&after["active"], &after["displayName"]), (&json!(false), &before["displayName"]));
}

async fn who_is_shown_a_protected_person_is_remembered_first(register: &Municipality) {
    let world = World::new(register, &json!({})).await;
    let World { cloud, hidden, open, .. } = &world;
    let admin = &register.admin;
    let reads = async || admin.find("/AuditEvents", "kind eq \"protectedRead\"", "&count=1000").await;
    let path = format!("/Users/{hidden}");
    let known = reads().await.len();
    // Whoever is shown a mask, or somebody else, or nothing new, reads nobody who is protected.
    cloud.get(&path).await.expect(200);
    cloud.get("/Users").await.expect(200);
    admin.get(&format!("/Users/{open}")).await.expect(200);
    let tag = admin.get("/Groups").await.expect(200);
    assert_eq!((reads().await.len(), tag.status), (known, 200));

    let hr = &register.hr;
    hr.get(&path).await.expect(200);
    hr.get("/Users?sortBy=userName").await.expect(200);
    hr.find("/Users", "userName eq \"hemlig\"", "").await;
    admin.get(&format!("{path}/why")).await.expect(200);
    let same = json!([{ "op": "replace", "path": "userName", "value": "hemlig" }]);
    hr.patch(&path, &same).await.expect(200);
    let told = reads().await;
    assert_eq!(told.len(), known + 5, "{told:?}");
    let operations: Vec<&str> = told.iter().rev().skip(known).filter_map(|event| event["operation"].as_str()).collect();
    assert_eq!(operations, ["read", "search", "search", "why", "read"]);
    for event in &told[..5] {
        let by = if event["operation"] == "why" { "admin" } else { "hr" };
        assert_eq!((&event["actor"]["display"], &event["count"]), (&json!(by), &json!(1)));
        assert_eq!(event["resources"], json!([{ "value": hidden, "type": "User" }]));
        assert!(event["credential"].is_string() && event["requestId"].is_string(), "{event}");
        assert!(tells(event).is_empty(), "{event}");
    }
    let mine = format!("resources.value eq \"{hidden}\" and when gt \"2020-01-01T00:00:00Z\"");
    assert_eq!(admin.find("/AuditEvents", &mine, "&count=1000").await.len(), known + 5);

    // What cannot be remembered is not shown.
    let (refuse, accept) = register.audit_refusal();
    register.server.execute(refuse);
    for asked in [path.clone(), "/Users".to_owned(), "/Users?filter=userName%20eq%20%22hemlig%22".to_owned()] {
        let said = hr.get(&asked).await.expect(503);
        assert!(tells(&said.body).is_empty(), "{}", said.body);
    }
    cloud.get(&path).await.expect(200);
    hr.get(&format!("/Users/{open}")).await.expect(200);
    register.server.execute(accept);
    hr.get(&path).await.expect(200);
    assert_eq!(reads().await.len(), known + 6);
}

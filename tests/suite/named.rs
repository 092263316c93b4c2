//! Names of protected people in documents of others: whoever is told one is remembered before the answer is given, once an
//! answer, whichever way the name is told; and nobody who is not told it.

use serde_json::{Value, json};

use crate::support::api::{Api, wait_for_indexes};
use crate::support::both::on_both_databases;
use crate::support::messages::{group, user_with, with};
use crate::support::municipality::{Municipality, PERSON, TENANT};

on_both_databases!(Municipality: whoever_is_told_a_protected_name_is_remembered_first,
    a_view_that_tells_no_protected_name_leaves_no_trace, who_was_protected_before_there_was_an_index_is_found);

const DESK: &str = "urn:example:desk:1.0:Desk";
const NAMED: &str = "attributes=members.value,members.display";

fn id_of(body: &Value) -> String {
    body["id"].as_str().expect("an id").to_owned()
}

/// A type of the tenant's own whose resources say who sits there.
async fn install_desks(register: &Municipality) {
    let part =
        |name: &str, kind: &str| json!({ "name": name, "type": kind, "multiValued": false, "description": name });
    let to = with(part("$ref", "reference"), &json!({ "referenceTypes": ["User"] }));
    let keeper = with(
        part("keeper", "complex"),
        &json!({ "subAttributes": [part("value", "string"), to, part("display", "string")] }),
    );
    let schema = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"], "id": DESK, "name": "Desk",
        "description": "Where somebody sits.", "attributes": [part("displayName", "string"), keeper],
    });
    register.admin.post("/Schemas", &schema).await.expect(201);
    let kind = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"], "id": "Desk", "name": "Desk",
        "endpoint": "/Desks", "description": "A desk.", "schema": DESK,
    });
    register.admin.post("/ResourceTypes", &kind).await.expect(201);
    wait_for_indexes(&register.server).await;
}

struct World<'m> {
    register: &'m Municipality,
    hidden: String,
    open: String,
    crew: String,
    /// Another group, of who is not protected.
    rest: String,
}

impl<'m> World<'m> {
    async fn new(register: &'m Municipality) -> World<'m> {
        register.ready().await;
        let admin = &register.admin;
        let made = async |path: &str, body: Value| id_of(&admin.post(path, &body).await.expect(201).body);
        let open = made("/Users", user_with("bo", &json!({ "displayName": "Bo Ek" }))).await;
        let hidden = made("/Users", user_with("ada", &json!({ "displayName": "Hemliga Dold" }))).await;
        let crew = made("/Groups", group("crew", &[&hidden, &open])).await;
        let rest = made("/Groups", group("rest", &[&open])).await;
        World { register, hidden, open, crew, rest }
    }

    async fn protect(&self) {
        let mark = json!([{ "op": "add", "path": format!("{PERSON}:protectedIdentity"), "value": "skyddad" }]);
        self.register.admin.patch(&format!("/Users/{}", self.hidden), &mark).await.expect(200);
    }

    /// Reads of protected people that are remembered, the oldest first.
    async fn reads(&self) -> Vec<Value> {
        let mut reads = self.register.admin.find("/AuditEvents", "kind eq \"protectedRead\"", "&count=1000").await;
        reads.reverse();
        reads
    }

    /// Whether each of these answers to a client is remembered, once.
    async fn are_remembered(&self, client: &Api, paths: &[String], expected: bool) {
        for path in paths {
            let before = self.reads().await.len();
            let said = client.get(path).await.expect(200).body;
            assert_eq!(said.to_string().contains("Hemliga"), expected, "{path}: {said}");
            let reads = self.reads().await;
            assert_eq!(reads.len() - before, usize::from(expected), "{path}: {said}");
            if expected {
                assert_eq!(reads[before]["resources"], json!([{ "value": self.hidden, "type": "User" }]), "{path}");
            }
        }
    }

    /// Every way in which the name is told.
    fn telling(&self) -> Vec<String> {
        let World { crew, hidden, .. } = self;
        vec![
            format!("/Groups/{crew}?{NAMED}"),
            format!("/Groups/{crew}?attributes=members.display"),
            format!("/Groups?{NAMED}"),
            format!("/Groups?{NAMED}&cursor="),
            format!("/Groups?{NAMED}&sortBy=displayName"),
            format!("/Groups?{NAMED}&filter=displayName%20eq%20%22crew%22"),
            format!("/Groups?{NAMED}&filter=members.value%20eq%20%22{hidden}%22"),
            "/GroupMemberships".to_owned(),
            "/GroupMemberships?cursor=".to_owned(),
            format!("/GroupMemberships?filter=member.value%20eq%20%22{hidden}%22"),
            "/GroupMemberships?attributes=member.display".to_owned(),
        ]
    }

    /// What is no name of who is protected.
    fn silent(&self) -> Vec<String> {
        let World { crew, rest, open, .. } = self;
        vec![
            format!("/Groups/{crew}"),
            "/Groups".to_owned(),
            format!("/Groups/{crew}?excludedAttributes=members"),
            format!("/Groups/{crew}?attributes=members.value"),
            format!("/Groups/{rest}?{NAMED}"),
            format!("/Users/{open}"),
            "/GroupMemberships?excludedAttributes=member.display".to_owned(),
            format!("/GroupMemberships?filter=member.value%20eq%20%22{open}%22"),
        ]
    }

    fn indexed(&self) -> bool {
        let told = self.register.command(&["index", "list", "--tenant", TENANT]).expect("a list");
        told.contains("protectedIdentity")
    }
}

async fn whoever_is_told_a_protected_name_is_remembered_first(register: &Municipality) {
    let world = World::new(register).await;
    install_desks(register).await;
    let World { hidden, crew, open, .. } = &world;
    let (admin, hr) = (&register.admin, &register.hr);
    // Nobody is protected.
    for path in world.telling() {
        hr.get(&path).await.expect(200);
    }
    assert!(world.reads().await.is_empty() && !world.indexed());

    world.protect().await;
    // As soon as it is written, while its index is made, and when that is ready.
    world.are_remembered(hr, &world.telling(), true).await;
    wait_for_indexes(&register.server).await;
    assert!(world.indexed());
    world.are_remembered(hr, &world.telling(), true).await;
    world.are_remembered(hr, &world.silent(), false).await;
    let known = world.reads().await.len();
    let all = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"], "attributes": ["members.display"] });
    hr.post("/Groups/.search", &all).await.expect(200);
    let one = hr.get("/GroupMemberships").await.expect(200).body;
    let one = one["Resources"].as_array().expect("some").iter().find(|one| one["member"]["value"] == json!(hidden));
    hr.get(&format!("/GroupMemberships/{}", id_of(one.expect("one")))).await.expect(200);
    assert_eq!(world.reads().await.len(), known + 3);

    // A tenant's own type that says a name, and the answers to writes that say one of somebody who is not written.
    let desk =
        json!({ "schemas": [DESK], "displayName": "4", "keeper": { "value": hidden, "display": "Hemliga Dold" } });
    let desk = id_of(&admin.post("/Desks", &desk).await.expect(201).body);
    world.are_remembered(admin, &[format!("/Desks/{desk}"), "/Desks?sortBy=displayName".to_owned()], true).await;
    world.are_remembered(admin, &[format!("/Desks/{desk}?excludedAttributes=keeper")], false).await;
    let known = world.reads().await.len();
    let more = json!([{ "op": "replace", "path": "displayName", "value": "5" }]);
    admin.patch(&format!("/Desks/{desk}"), &more).await.expect(200);
    let member = json!([{ "op": "remove", "path": format!("members[value eq \"{open}\"]") }]);
    hr.patch(&format!("/Groups/{crew}?{NAMED}"), &member).await.expect(200);
    let told = world.reads().await;
    let operations: Vec<&Value> = told[known..].iter().map(|event| &event["operation"]).collect();
    assert_eq!(operations, ["write", "write"], "{told:?}");

    // One answer, one record, of all whom it names.
    let second =
        user_with("cia", &json!({ "displayName": "Hemliga Två", PERSON: { "protectedIdentity": "sekretess" } }));
    let second = id_of(&admin.post("/Users", &second).await.expect(201).body);
    let both = id_of(&admin.post("/Groups", &group("both", &[hidden, &second])).await.expect(201).body);
    let known = world.reads().await.len();
    hr.get(&format!("/Groups/{both}?{NAMED}")).await.expect(200);
    let told = world.reads().await;
    assert_eq!((told.len(), &told[known]["count"]), (known + 1, &json!(2)));

    // What cannot be remembered is not told.
    let (refuse, accept) = register.audit_refusal();
    register.server.execute(refuse);
    for path in world.telling() {
        let said = hr.get(&path).await.expect(503).body.to_string();
        assert!(!said.contains("Hemliga"), "{path}: {said}");
    }
    for path in world.silent() {
        hr.get(&path).await.expect(200);
    }
    register.server.execute(accept);
}

async fn a_view_that_tells_no_protected_name_leaves_no_trace(register: &Municipality) {
    let world = World::new(register).await;
    world.protect().await;
    wait_for_indexes(&register.server).await;
    let admin = &register.admin;
    let cloud = Api::new(&register.server, register.server.client(TENANT, "cloud", "source"));
    let me = id_of(&cloud.get("/Me").await.expect(200).body);
    let view = json!({
        "schemas": ["urn:matrikel:scim:schemas:1.0:View"], "name": "cloud", "types": [{ "type": "User" }, { "type": "Group" }],
    });
    let view = id_of(&admin.post("/Views", &view).await.expect(201).body);
    let uses = json!([{ "op": "add", "value": { "view": view } }]);
    admin.patch(&format!("/Clients/{me}"), &uses).await.expect(200);
    let set = async |path: &str, value: Value| {
        let change = json!([{ "op": "replace", "path": path, "value": value }]);
        admin.patch(&format!("/Views/{view}"), &change).await.expect(200);
    };
    for (protected, is_told) in [("mask", false), ("hide", false), ("include", true)] {
        set("protected", json!(protected)).await;
        world.are_remembered(&cloud, &world.telling(), is_told).await;
        world.are_remembered(&cloud, &world.silent(), false).await;
    }
    // Who is seen and has no name that is.
    let types = json!([{ "type": "User", "attributes": ["active"] }, { "type": "Group" }]);
    set("types", types).await;
    world.are_remembered(&cloud, &world.telling(), false).await;
}

async fn who_was_protected_before_there_was_an_index_is_found(register: &Municipality) {
    let world = World::new(register).await;
    world.protect().await;
    wait_for_indexes(&register.server).await;
    register
        .command(&["index", "remove", "--tenant", TENANT, "User", &format!("{PERSON}:protectedIdentity")])
        .expect("dropped");
    wait_for_indexes(&register.server).await;
    assert!(!world.indexed());
    world.are_remembered(&register.hr, &world.telling(), true).await;
    crate::support::api::verify(&register.server).await;
    // The next one has it laid again.
    register.enter("cia", &json!({ "protectedIdentity": "sekretess" })).await;
    wait_for_indexes(&register.server).await;
    assert!(world.indexed());
    world.are_remembered(&register.hr, &world.telling(), true).await;
    crate::support::api::verify(&register.server).await;
}

//! What an operator decides of an organisation's register while it is served: its schemas, its indexes, whether groups
//! may share a name, whether it is served at all. On either database.

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::api::{Api, verify};
use crate::support::server::{Server, attempt, command};

const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn group(name: &str) -> Value {
    json!({ "schemas": [GROUP], "displayName": name })
}

fn set(server: &Server, state: &str) -> Result<String, String> {
    attempt(server.database_url(), &["tenant", "set", "names", "--unique-group-names", state])
}

pub(crate) async fn group_names_are_unique_if_the_tenant_says_so(server: &Server) {
    let api = Api::new(server, server.tenant("names"));
    let other = Api::new(server, server.tenant("others"));
    api.post("/Groups", &group("Same")).await.expect(201);
    let twin = api.post("/Groups", &group("same")).await.expect(201);
    let refused = set(server, "on").expect_err("two groups share a name");
    assert!(refused.contains("displayName cannot become unique"), "{refused}");
    api.post("/Groups", &group("Same")).await.expect(201);
    for one in api.find("/Groups", "displayName eq \"same\"", "").await.iter().skip(1) {
        api.delete(&format!("/Groups/{}", one["id"].as_str().expect("an id"))).await.expect(204);
    }
    drop(twin);
    assert!(set(server, "on").expect("it can be").contains("no two groups may share"));
    set(server, "on").expect("again");
    assert_eq!(api.post("/Groups", &group("SAME")).await.expect(409).body["scimType"], "uniqueness");
    let mine = api.post("/Groups", &group("Mine")).await.expect(201);
    let mine = format!("/Groups/{}", mine.body["id"].as_str().expect("an id"));
    let rename = json!([{ "op": "replace", "path": "displayName", "value": "same" }]);
    assert_eq!(api.patch(&mine, &rename).await.expect(409).body["scimType"], "uniqueness");
    // What is served says so, and says it to this tenant alone.
    let said = async |api: &Api| {
        let schema = api.get(&format!("/Schemas/{GROUP}")).await.expect(200);
        let attributes = schema.body["attributes"].as_array().expect("attributes").clone();
        attributes.iter().find(|one| one["name"] == "displayName").expect("displayName")["uniqueness"].clone()
    };
    assert_eq!((said(&api).await, said(&other).await), (json!("server"), json!("none")));
    let kind = api.get("/ResourceTypes/Group").await.expect(200);
    assert_eq!(kind.body.get("uniqueAttributes"), None);
    api.put("/ResourceTypes/Group", &json!({ "schemaExtensions": [] })).await.expect(200);
    api.post("/Groups", &group("Same")).await.expect(409);
    other.post("/Groups", &group("Same")).await.expect(201);
    other.post("/Groups", &group("Same")).await.expect(201);
    verify(server).await;
    set(server, "off").expect("off");
    api.patch(&mine, &rename).await.expect(204);
    assert_eq!(said(&api).await, json!("none"));
    verify(server).await;
}

pub(crate) async fn a_suspended_tenant_is_refused_and_resumed(server: &Server) {
    let api = Api::new(server, server.tenant("late-payer"));
    let other = Api::new(server, server.tenant("neighbour"));
    let url = server.database_url();
    api.get("/Users").await.expect(200);
    let said = command(url, &["tenant", "suspend", "late-payer", "--json"]);
    assert_eq!(json_of(&said)["state"], "suspended");
    // The server remembers a token for five seconds; another has not met it yet.
    let beside = server.beside();
    let there = Api { base: beside.base_url.clone(), ..api.clone() };
    let user = json!({ "schemas": [USER], "userName": "ada" });
    let search = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"] });
    for (method, path, body) in [
        (Method::GET, "/Users", None),
        (Method::GET, "/Schemas", None),
        (Method::GET, "/ServiceProviderConfig", None),
        (Method::GET, "/Me", None),
        (Method::POST, "/Users", Some(&user)),
        (Method::POST, "/.search", Some(&search)),
        (Method::POST, "/Bulk", Some(&search)),
        (Method::PUT, "/ResourceTypes/User", Some(&user)),
        (Method::DELETE, "/Users/nobody", None),
    ] {
        let refused = there.ask(method.clone(), path, body, &[]).await.expect(403);
        assert!(refused.detail().contains("suspended"), "{method} {path}: {}", refused.body);
    }
    // Who has no valid token learns nothing of it.
    Api { token: there.token.replace("mk_", "mk_9"), ..there.clone() }.get("/Users").await.expect(401);
    Api { base: there.base.clone(), ..other }.get("/Users").await.expect(200);
    let listed = command(url, &["tenant", "list"]);
    assert!(listed.lines().any(|line| line.starts_with("late-payer") && line.contains("suspended")), "{listed}");
    assert!(command(url, &["tenant", "resume", "late-payer"]).contains("served again"));
    there.post("/Users", &user).await.expect(201);
    assert!(attempt(url, &["tenant", "suspend", "nobody"]).expect_err("no such tenant").contains("There is no tenant"));
}

pub(crate) async fn schemas_are_installed_from_the_command_line(server: &Server) {
    let api = Api::new(server, server.tenant("installing"));
    let url = server.database_url();
    api.get("/Devices").await.expect(404);
    let shipped = json_of(&command(url, &["schema", "shipped", "--json"]));
    let names: Vec<&str> = shipped.as_array().expect("a list").iter().filter_map(|one| one["name"].as_str()).collect();
    // What is about people has a secret, and wants a master key.
    let names = &names[..3];
    assert_eq!(names, ["device", "role", "entitlement"]);
    let install = ["schema", "install", "--tenant", "installing"];
    let said = command(url, &[&install[..], names, &["--json"]].concat());
    let outcomes = json_of(&said);
    assert_eq!(outcomes.as_array().map(Vec::len), Some(6));
    assert!(outcomes.as_array().expect("outcomes").iter().all(|one| one["outcome"] == "installed"), "{outcomes}");
    assert!(command(url, &[&install[..], &["device"]].concat()).contains("unchanged"));
    for (endpoint, kind) in [("/Devices", "Device"), ("/Roles", "Role"), ("/Entitlements", "Entitlement")] {
        api.get(endpoint).await.expect(200);
        assert_eq!(api.get(&format!("/ResourceTypes/{kind}")).await.expect(200).body["name"], kind);
    }

    let folder = TempDir::new().expect("a folder");
    let file = |name: &str, body: &Value| {
        let path = folder.path().join(name);
        std::fs::write(&path, body.to_string()).expect("written");
        path.to_str().expect("text").to_owned()
    };
    let urn = "urn:example:scim:schemas:1.0:Badge";
    let badge = file("badge.json", &json!({ "id": urn, "attributes": [{ "name": "number" }] }));
    let own = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
    let extended = json!({ "name": "User", "schemaExtensions": [
        { "schema": own, "required": false }, { "schema": urn, "required": false }
    ] });
    let extended = file("user.json", &extended);
    let wrong = file("wrong.json", &json!({ "id": "badge", "attributes": [{ "name": "id" }] }));
    let neither = file("neither.json", &json!({ "id": "badge" }));
    assert!(command(url, &["schema", "lint", &badge, &extended]).lines().all(|line| line.ends_with(": sound")));
    let faults = attempt(url, &["schema", "lint", &badge, &wrong, "--json"]).expect_err("faults");
    assert!(faults.contains("attributes[0].name") && faults.contains("2 things are wrong"), "{faults}");
    assert!(attempt(url, &["schema", "lint", &extended]).expect_err("no badge").contains("Create the schema first"));
    assert!(attempt(url, &["schema", "lint", &neither]).expect_err("neither").contains("neither a schema"));
    let refused = attempt(url, &[&install[..], &[&badge, &wrong]].concat()).expect_err("the second");
    assert!(refused.contains("wrong.json"), "{refused}");
    assert!(command(url, &[&install[..], &[&badge, &extended]].concat()).contains("User installed"));

    // A running server notices within a second, and at once when it is given what it does not know.
    let body = json!({ "schemas": [USER, urn], "userName": "ada", urn: { "number": "1" } });
    assert_eq!(api.post("/Users", &body).await.expect(201).body[urn]["number"], "1");
    let listed = json_of(&command(url, &["schema", "list", "--tenant", "installing", "--json"]));
    let origin = |id: &str| {
        listed.as_array().expect("a list").iter().find(|one| one["id"] == id).map(|one| one["origin"].clone())
    };
    assert_eq!(origin("User"), Some(json!("extended")));
    assert_eq!(origin("Group"), Some(json!("built in")));
    assert_eq!(origin(urn), Some(json!("own")));
    let shown = json_of(&command(url, &["schema", "show", "--tenant", "installing", "user"]));
    assert_eq!(shown["schemaExtensions"][1]["schema"], urn);
    assert!(
        attempt(url, &["schema", "show", "--tenant", "installing", "x"]).expect_err("none").contains("schema list")
    );
    verify(server).await;
}

pub(crate) async fn an_operator_chooses_what_is_indexed(server: &Server) {
    const PEOPLE: usize = 700;
    let api = Api::new(server, server.tenant("choosing"));
    let url = server.database_url();
    let operations: Vec<Value> = (0..PEOPLE)
        .map(|n| {
            json!({ "method": "POST", "path": "/Users", "bulkId": format!("b{n}"), "data":
            { "schemas": [USER], "userName": format!("u{n}"), "title": format!("t{n}") } })
        })
        .collect();
    let urn = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
    api.post("/Bulk", &json!({ "schemas": [urn], "Operations": operations })).await.expect(200);
    let index = |what: &str, path: &str| {
        attempt(url, &["index", what, "--tenant", "choosing", "User", path, "--json"]).map(|said| json_of(&said))
    };
    let ask = async || {
        let url = reqwest::Url::parse_with_params("http://x/", [("filter", "title eq \"T77\"")]).expect("a URL");
        api.get(&format!("/Users?{}", url.query().unwrap_or_default())).await
    };
    // More documents than one search may test: without an index there is no answer.
    assert_eq!(ask().await.expect(400).body["scimType"], "tooMany");
    let added = index("add", "TITLE").expect("added");
    assert_eq!(added, json!({ "resourceType": "User", "path": "title", "indexed": true, "changed": true }));
    assert_eq!(index("add", "title").expect("again")["changed"], false);
    // A search goes by what is indexed at its moment.
    ask().await.expect(200);
    assert_eq!(ask().await.expect(200).body["totalResults"], 1);
    verify(server).await;
    let listed = json_of(&command(url, &["index", "list", "--tenant", "choosing", "--json"]));
    let title = json!({ "resourceType": "User", "path": "title", "type": "sort", "state": "ready" });
    assert!(listed.as_array().expect("a list").contains(&title), "{listed}");
    for path in ["members", "password", "name", "groups.value", "meta.created", "id", "externalId", "nothing"] {
        assert!(index("add", path).expect_err(path).contains("cannot be indexed"), "{path}");
    }
    assert!(index("remove", "userName").expect_err("unique").contains("stays indexed"));
    assert_eq!(index("remove", "title").expect("removed")["changed"], true);
    assert_eq!(index("remove", "title").expect("again")["changed"], false);
    verify(server).await;
    ask().await.expect(400);
    api.post("/Users", &json!({ "schemas": [USER], "userName": "late", "title": "t77" })).await.expect(201);
    index("add", "title").expect("added again");
    ask().await.expect(200);
    assert_eq!(ask().await.expect(200).body["totalResults"], 2);
    verify(server).await;
}

macro_rules! on_both {
    ($($name:ident $variables:expr;)+) => {
        $(mod $name {
            use crate::support::server::Server;

            #[tokio::test]
            async fn on_sqlite() {
                super::$name(&Server::sqlite_with($variables)).await;
            }

            #[tokio::test]
            async fn on_postgres() {
                super::$name(&Server::postgres_with($variables)).await;
            }
        })+
    };
}

on_both! {
    group_names_are_unique_if_the_tenant_says_so &[];
    a_suspended_tenant_is_refused_and_resumed &[];
    schemas_are_installed_from_the_command_line &[];
    an_operator_chooses_what_is_indexed &[("MATRIKEL_SCAN_LIMIT", "500")];
}

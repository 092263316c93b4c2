//! What the server says of itself (RFC 7644 section 4) is true.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::both::on_both_databases;
use crate::support::client::Client;
use crate::support::messages::{group, user_with};
use crate::support::server::Server;

on_both_databases!(Server: the_discovery_documents_are_true, memberships_are_listed_where_the_operator_says_so);

const NOBODY: &str = "0198c0de-0000-7000-8000-000000000000";

/// Every path of a resource is an attribute of the schemas its type names.
fn assert_described(resource: &Value, schemas: &BTreeMap<String, Value>, core: &str) {
    let attribute = |schema: &Value, name: &str| {
        let attributes = schema["attributes"].as_array().into_iter().flatten();
        attributes.clone().find(|attribute| attribute["name"] == name).cloned()
    };
    for (name, value) in resource.as_object().expect("an object") {
        if ["schemas", "id", "externalId", "meta"].contains(&name.as_str()) {
            continue;
        }
        let fields: Vec<(&Value, &str, &Value)> = match schemas.get(name) {
            Some(extension) => {
                let fields = value.as_object().expect("an extension");
                fields.iter().map(|(name, value)| (extension, name.as_str(), value)).collect()
            }
            None => vec![(&schemas[core], name, value)],
        };
        for (schema, name, value) in fields {
            let found = attribute(schema, name).unwrap_or_else(|| panic!("{name} is not in the schema"));
            assert_eq!(found["multiValued"], json!(value.is_array()), "{name}");
            assert_ne!(found["returned"], "never", "{name}");
            let elements = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
            for sub in elements.iter().filter_map(Value::as_object).flat_map(|element| element.keys()) {
                let subs = found["subAttributes"].as_array().into_iter().flatten();
                assert!(subs.clone().any(|one| one["name"] == *sub), "{name}.{sub} is not in the schema");
            }
        }
    }
}

async fn the_discovery_documents_are_true(server: &Server) {
    let client = Client::new(&server.base_url, &server.tenant("town"));
    let mut schemas = BTreeMap::new();
    let types = client.get("/ResourceTypes").await.expect(200).json();
    for kind in types["Resources"].as_array().expect("types") {
        assert_eq!(kind["id"], kind["name"]);
        let location = kind["meta"]["location"].as_str().expect("a location");
        let path = location.strip_prefix(client.base_url()).expect("below the base URL");
        assert_eq!(client.get(path).await.expect(200).json(), *kind);
        client.get(kind["endpoint"].as_str().expect("an endpoint")).await.expect(200);
        let extensions = kind["schemaExtensions"].as_array().into_iter().flatten().map(|one| &one["schema"]);
        for urn in extensions.chain([&kind["schema"]]) {
            let urn = urn.as_str().expect("a URN");
            let schema = client.get(&format!("/Schemas/{urn}")).await.expect(200).json();
            assert_eq!(schema["id"], urn);
            schemas.insert(urn.to_owned(), schema);
        }
    }
    let listed = client.get("/Schemas").await.expect(200).json();
    for schema in listed["Resources"].as_array().expect("schemas") {
        let path =
            schema["meta"]["location"].as_str().and_then(|url| url.strip_prefix(client.base_url())).expect("a path");
        assert_eq!(client.get(path).await.expect(200).json(), *schema);
        schemas.insert(schema["id"].as_str().expect("a URN").to_owned(), schema.clone());
    }
    for path in ["/Schemas", "/ResourceTypes", "/ServiceProviderConfig"] {
        client.get(&format!("{path}?filter=id+pr")).await.expect(403);
        client.get(&format!("{path}?count=1&startIndex=3")).await.expect(200);
    }
    let config = client.get("/ServiceProviderConfig").await.expect(200).json();
    assert_eq!(config["bulk"]["supported"], true);
    client.post("/Bulk", &json!({})).await.expect(400);

    let enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
    let anna = user_with(
        "anna",
        &json!({
            "externalId": "e", "displayName": "Anna", "password": "hemligt-9", "active": true,
            "name": { "givenName": "Anna", "familyName": "Å", "formatted": "Anna Å" },
            "emails": [{ "value": "a@example.se", "type": "work", "primary": true }],
            "addresses": [{ "locality": "Storstad", "type": "work" }],
            "x509Certificates": [{ "value": "AAAA" }],
            enterprise: { "department": "Skolan", "manager": { "value": NOBODY } }
        }),
    );
    let made = client.post("/Users", &anna).await.expect(201).json();
    let id = made["id"].as_str().expect("an id");
    client.post("/Groups", &group("crew", &[id])).await.expect(201);
    for (path, core) in [
        ("/Users", "urn:ietf:params:scim:schemas:core:2.0:User"),
        ("/Groups", "urn:ietf:params:scim:schemas:core:2.0:Group"),
        ("/Groups?attributes=members.display,members,displayName", "urn:ietf:params:scim:schemas:core:2.0:Group"),
        ("/Clients", "urn:matrikel:scim:schemas:1.0:Client"),
    ] {
        for resource in client.get(path).await.expect(200).json()["Resources"].as_array().expect("resources") {
            assert_described(resource, &schemas, core);
        }
    }
    // What may be returned is, and what is never returned is not.
    assert_eq!(made.get("password"), None);
    assert_eq!(made[enterprise]["department"], "Skolan");
    assert_eq!(made["meta"]["location"], json!(format!("{}/Users/{id}", client.base_url())));
}

async fn memberships_are_listed_where_the_operator_says_so(server: &Server) {
    let listed = |types: &Value| {
        let types = types["Resources"].as_array().expect("types").iter();
        types.filter(|kind| kind["id"] == "GroupMembership").count()
    };
    let client = Client::new(&server.base_url, &server.tenant("town"));
    assert_eq!(listed(&client.get("/ResourceTypes").await.expect(200).json()), 0);
    let kind = client.get("/ResourceTypes/GroupMembership").await.expect(200).json();
    assert_eq!(kind["endpoint"], "/GroupMemberships");
    client.get(&format!("/Schemas/{}", kind["schema"].as_str().expect("a URN"))).await.expect(200);
    let announcing = Server::sqlite_with(&[("MATRIKEL_ANNOUNCE_MEMBERSHIPS", "true")]);
    let client = Client::new(&announcing.base_url, &announcing.tenant("town"));
    assert_eq!(listed(&client.get("/ResourceTypes").await.expect(200).json()), 1);
}

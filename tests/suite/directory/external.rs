//! `externalId` is a client's own name for a resource (RFC 7643 section 3.1).

use std::sync::Arc;

use serde_json::json;

use crate::support::both::on_both_databases;
use crate::support::messages::{group, patch, set, user, user_with};
use crate::support::register::{Register, body, id, refusal};

on_both_databases!(Register:
    each_client_sees_the_external_id_it_has_set,
    each_client_finds_by_its_own_external_id,
    put_clears_only_the_clients_own_external_id,
    joined_clients_share_one_external_id,
);

async fn each_client_sees_the_external_id_it_has_set(register: &Register) {
    let (hr, cloud) = (register.client("hr"), register.client("cloud"));
    let id =
        id(&register.create(&hr, "User", user_with("anna", &json!({ "externalId": "hr-1" }))).await.expect("created"));
    assert_eq!(register.fetch(&hr, "User", &id).await.expect("found").0["externalId"], "hr-1");
    assert_eq!(register.fetch(&cloud, "User", &id).await.expect("found").0.get("externalId"), None);

    let written = register.patch(&cloud, "User", &id, set("externalId", &json!("c-9"))).await.expect("patched");
    assert_eq!(body(&written)["externalId"], "c-9");
    assert_eq!(register.fetch(&hr, "User", &id).await.expect("found").0["externalId"], "hr-1");
    // The same word means nothing to another client, and for another type.
    let other = user_with("bo", &json!({ "externalId": "hr-1" }));
    register.create(&cloud, "User", other).await.expect("no clash between clients");
    let mut crew = group("crew", &[]);
    crew["externalId"] = json!("hr-1");
    register.create(&hr, "Group", crew).await.expect("no clash between types");
}

async fn each_client_finds_by_its_own_external_id(register: &Register) {
    let (hr, cloud) = (register.client("hr"), register.client("cloud"));
    let anna =
        id(&register.create(&hr, "User", user_with("anna", &json!({ "externalId": "1" }))).await.expect("created"));
    let bo =
        id(&register.create(&cloud, "User", user_with("bo", &json!({ "externalId": "1" }))).await.expect("created"));
    let carin =
        id(&register.create(&hr, "User", user_with("carin", &json!({ "externalId": "A" }))).await.expect("created"));
    let cases = [
        (&hr, "externalId eq \"1\"", vec![&anna]),
        (&cloud, "externalId eq \"1\"", vec![&bo]),
        (&hr, "externalId eq \"a\"", vec![]),
        (&hr, "externalId eq \"A\"", vec![&carin]),
        (&hr, "externalId pr", vec![&anna, &carin]),
        (&cloud, "externalId pr", vec![&bo]),
        (&hr, "not (externalId pr)", vec![&bo]),
        (&hr, "externalId sw \"1\" or externalId co \"A\"", vec![&anna, &carin]),
        (&cloud, "externalId ne \"1\"", vec![&anna, &carin]),
    ];
    for (ctx, filter, expected) in cases {
        let found = register.search(ctx, "User", &[("filter", filter)]).await.expect("searched");
        let mut ids: Vec<&str> =
            found["Resources"].as_array().into_iter().flatten().filter_map(|user| user["id"].as_str()).collect();
        let mut expected: Vec<&str> = expected.into_iter().map(String::as_str).collect();
        ids.sort_unstable();
        expected.sort_unstable();
        assert_eq!(ids, expected, "{} asks {filter}", ctx.caller.name);
    }
    let sorted = register.search(&hr, "User", &[("sortBy", "externalId"), ("sortOrder", "descending")]).await;
    let sorted = sorted.expect("sorted");
    assert_eq!(sorted["totalResults"], 3);
}

async fn put_clears_only_the_clients_own_external_id(register: &Register) {
    let (hr, cloud) = (register.client("hr"), register.client("cloud"));
    let id =
        id(&register.create(&hr, "User", user_with("anna", &json!({ "externalId": "hr-1" }))).await.expect("created"));
    register.patch(&cloud, "User", &id, set("externalId", &json!("c-1"))).await.expect("patched");
    register.replace(&cloud, "User", &id, user("anna")).await.expect("replaced");
    assert_eq!(register.fetch(&cloud, "User", &id).await.expect("found").0.get("externalId"), None);
    assert_eq!(register.fetch(&hr, "User", &id).await.expect("found").0["externalId"], "hr-1");
    let again = user_with("bo", &json!({ "externalId": "c-1" }));
    register.create(&cloud, "User", again).await.expect("what was cleared is free");
    let removal = patch(&json!([{ "op": "remove", "path": "externalId" }]));
    register.patch(&hr, "User", &id, removal).await.expect("patched");
    assert_eq!(register.fetch(&hr, "User", &id).await.expect("found").0.get("externalId"), None);
}

async fn joined_clients_share_one_external_id(register: &Register) {
    let (payroll, mut roster) = (register.client("payroll"), register.client("roster"));
    Arc::make_mut(&mut roster.caller).domain = payroll.caller.domain;
    let anna = user_with("anna", &json!({ "externalId": "7" }));
    let id = id(&register.create(&payroll, "User", anna).await.expect("created"));
    assert_eq!(register.fetch(&roster, "User", &id).await.expect("found").0["externalId"], "7");
    let error = register.create(&roster, "User", user_with("bo", &json!({ "externalId": "7" }))).await;
    assert_eq!(refusal(&error.expect_err("taken")), (409, json!("uniqueness")));
}

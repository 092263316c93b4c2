//! A register with limited entitlements, and what is asked of it.

use matrikel::directory::types::Document;
use matrikel::directory::{Ctx, Fetched, Precondition};
use scim::query::SearchRequest;
use scim::resource::Projection;
use scim::schema::shipped;
use serde_json::{Value, json};

use crate::lifecycle::town::Town;
use crate::rules::grants::wake;
use crate::support::messages::patch;
use crate::support::register::id;

/// What is agreed on.
pub(crate) const LICENCE: &str = "urn:matrikel:scim:schemas:1.0:Licence";
/// The employments that are given a seat here.
pub(crate) const NURSE: &str = r#"employments[taskCode eq "nurse" and current eq true]"#;

/// Installs what is shipped under these names.
pub(crate) async fn install(town: &Town, names: &[&str]) {
    let directory = &town.register.directory;
    let ctx = town.admin();
    let parse = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    for name in names {
        let shipped = shipped::of_name(name).expect("shipped");
        directory.add_document(&ctx, Document::Schema, parse(shipped.schema)).await.expect(name);
        let mut kind = parse(shipped.resource_type);
        match kind.get("endpoint").is_some() {
            true => drop(directory.add_document(&ctx, Document::ResourceType, kind).await.expect(name)),
            false => {
                let of = kind["name"].as_str().expect("a name").to_owned();
                let message = patch(&json!([
                    { "op": "add", "path": "schemaExtensions", "value": kind["schemaExtensions"].take() }
                ]));
                directory.patch_resource_type(&ctx, &of, message, &Precondition::none()).await.expect(name);
            }
        }
        directory.fresh_catalog(ctx.tenant, ctx.now).await.expect("the catalog");
        for (kind, path) in shipped.indexes {
            directory.index(&ctx, kind, path).await.expect(path);
        }
    }
    town.refresh().await;
}

/// A register with a policy and an entitlement `suite` of which there are so many; its id.
pub(crate) async fn with_pool(town: &Town, permitted: i64, licence: Value) -> String {
    town.with_policy(json!({})).await;
    install(town, &["people", "entitlement", "licence", "assignment"]).await;
    entitlement(town, "suite", permitted, licence).await
}

/// An entitlement of which there are so many; its id.
pub(crate) async fn entitlement(town: &Town, value: &str, permitted: i64, licence: Value) -> String {
    let body = json!({
        "value": value, "limitedAssignmentsPermitted": true, "totalAssignmentsPermitted": permitted, LICENCE: licence,
    });
    id(&town.create(&town.admin(), "Entitlement", body).await.unwrap_or_else(|error| panic!("{error}")))
}

/// A rule that gives the entitlement `suite`; its id.
pub(crate) async fn gives(town: &Town, name: &str, filter: &str, more: Value) -> String {
    let mut body = json!({ "name": name, "lifecycle": "active", "filter": filter });
    body["grants"] = json!([{ "type": "entitlement", "value": "suite" }]);
    for (name, value) in more.as_object().expect("an object") {
        body[name] = value.clone();
    }
    let made = town.create(&town.admin(), "Rule", body).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    wake(town).await;
    id(&made)
}

pub(crate) async fn entered(town: &Town, body: Value) -> String {
    town.enter(&town.hr(), body).await["id"].as_str().expect("an id").to_owned()
}

/// Values of the entitlements that somebody has.
pub(crate) async fn has(town: &Town, user: &str) -> Vec<String> {
    let user = town.whole(user).await;
    let all = user["entitlements"].as_array().cloned().unwrap_or_default();
    all.iter().map(|one| one["value"].as_str().expect("a value").to_owned()).collect()
}

/// What an administrator finds.
pub(crate) async fn search(town: &Town, kind: &str, parameters: &[(&str, &str)]) -> Value {
    let definition = town.definition(kind);
    let request = SearchRequest::from_pairs(parameters.iter().copied()).expect("a search");
    let found = town.register.directory.search(&town.admin(), &[definition], &request).await.expect("an answer");
    serde_json::from_str(&found.body).expect("JSON")
}

/// What an administrator sees of a resource that is there.
pub(crate) async fn found(town: &Town, kind: &str, id: &str) -> Value {
    let definition = town.definition(kind);
    let (projection, none) = (Projection::whole(&definition), Precondition::none());
    match town.register.directory.fetch(&town.admin(), &definition, id, &none, &projection).await {
        Ok(Fetched::Found { body, .. }) => serde_json::from_str(&body).expect("JSON"),
        _ => panic!("no {kind} {id}"),
    }
}

/// Every seat and place, as a search answers them.
pub(crate) async fn assignments(town: &Town, filter: &str) -> Vec<Value> {
    let parameters =
        [("filter", filter), ("sortBy", "turn"), ("attributes", "entitlement,user,state,turn,resting,shared")];
    let found = search(town, "Assignment", &parameters).await;
    found["Resources"].as_array().cloned().unwrap_or_default()
}

/// The seat of somebody: `waiting`, `assigned` and so on; `-` without one.
pub(crate) async fn seat(town: &Town, user: &str) -> String {
    let found = assignments(town, &format!("user.value eq \"{user}\"")).await;
    assert!(found.len() < 2, "{found:?}");
    let Some(one) = found.first() else { return "-".to_owned() };
    let marks =
        ["resting", "shared"].map(|name| if one[name] == json!(true) { format!(" {name}") } else { String::new() });
    format!("{}{}", one["state"].as_str().expect("a state"), marks.concat())
}

/// How it stands with an entitlement: used, reserved, to be confirmed, waiting, over.
pub(crate) async fn counts(town: &Town, entitlement: &str) -> [i64; 5] {
    let found = found(town, "Entitlement", entitlement).await;
    let number = |value: &Value| value.as_i64().unwrap_or_default();
    let kept = |name: &str| number(&found[LICENCE][name]);
    [number(&found["totalAssignmentsUsed"]), kept("reserved"), kept("reclaimPending"), kept("waiting"), kept("over")]
}

/// Has so many seats from now on.
pub(crate) async fn permit(town: &Town, entitlement: &str, permitted: i64) {
    let change = json!([{ "op": "replace", "path": "totalAssignmentsPermitted", "value": permitted }]);
    town.patch(&town.admin(), "Entitlement", entitlement, change).await.expect("permitted");
    wake(town).await;
}

/// How the rights of somebody stand: `rule waiting 2`.
pub(crate) async fn standing(town: &Town, user: &str) -> Vec<String> {
    let told = crate::rules::grants::why(town, &town.admin(), user, Some("suite"), None).await.expect("an answer");
    let grounds = told["rights"][0]["grounds"].as_array().cloned().unwrap_or_default();
    let tell = |one: &Value| {
        let place = one["place"].as_i64().map(|place| format!(" {place}")).unwrap_or_default();
        format!("{} {}{place}", one["kind"].as_str().unwrap_or("-"), one["standing"].as_str().unwrap_or("-"))
    };
    grounds.iter().filter(|one| one["standing"] != "unfit").map(tell).collect()
}

/// The counts that are kept are those of the seats, and the register is sound.
pub(crate) async fn check(town: &Town) {
    let tenant = town.register.tenant;
    let found = town.register.directory.store().read(move |reader| reader.verify(tenant)).await.expect("verified");
    assert_eq!(found, [], "the register is sound");
}

/// A client of its own.
pub(crate) fn target(town: &Town) -> Ctx {
    town.with_scopes("target", "User:read Assignment:read Assignment:write")
}

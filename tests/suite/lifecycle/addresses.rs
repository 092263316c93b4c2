//! An address is one human being's where a policy covers the accounts, whichever client brings it and however it stands
//! there; without a policy nothing is asked.

use std::sync::Arc;

use matrikel::directory::Error;
use serde_json::{Value, json};

use super::town::{PERSON, Town, person};
use crate::support::both::on_both_databases;

on_both_databases!(Town:
    under_a_policy_no_two_clients_bring_one_address_for_two_people,
    what_people_have_at_home_and_what_was_double_before_is_nobodys_business,
    accounts_of_one_human_being_may_have_one_address,
);

const NUMBER: &str = "811218-9876";

/// Somebody with addresses, each with its type.
fn with(name: &str, addresses: &[(&str, &str)]) -> Value {
    let mut body = person(name, &[("1", "permanent", "2026-01-01", "")]);
    let emails = addresses.iter().enumerate().map(|(at, (value, kind))| match kind.is_empty() {
        true => json!({ "value": value, "primary": at == 0 }),
        false => json!({ "value": value, "type": kind }),
    });
    body["emails"] = emails.collect();
    body
}

/// The path of what is refused, with nothing else of it.
fn refused<T>(outcome: Result<T, Error>) -> String {
    match outcome.map(|_| ()).expect_err("refused") {
        Error::Scim(error) => {
            assert_eq!((error.status, error.scim_type), (409, Some(scim::ScimType::Uniqueness)));
            assert!(!error.detail.contains("k.example"), "the path alone: {}", error.detail);
            error.detail.split('.').next().unwrap_or_default().to_owned()
        }
        error => panic!("{error}"),
    }
}

async fn under_a_policy_no_two_clients_bring_one_address_for_two_people(town: &Town) {
    town.with_policy(json!({})).await;
    let (hr, school) = (town.hr(), town.source("school"));
    let maj = town.enter(&hr, with("maj", &[("maj@k.example", ""), ("m.alias@k.example", "alias")])).await;
    let maj = maj["id"].as_str().expect("an id").to_owned();
    for address in ["maj@k.example", "MAJ@K.example", "m.alias@k.example"] {
        let told = refused(town.create(&school, "User", with("bo", &[(address, "")])).await);
        assert!(told.contains("emails"), "{told}");
    }
    let bo = town.enter(&school, with("bo", &[("bo@k.example", "")])).await;
    let bo = bo["id"].as_str().expect("an id").to_owned();
    refused(town.replace(&school, &bo, with("bo", &[("bo@k.example", ""), ("maj@k.example", "other")])).await);
    let add = json!([{ "op": "add", "path": "emails", "value": [{ "value": "maj@k.example", "type": "work" }] }]);
    refused(town.patch(&school, "User", &bo, add).await);
    // As a user name too, in both directions.
    let name = |name: &str| json!([{ "op": "replace", "path": "userName", "value": name }]);
    let told = refused(town.patch(&school, "User", &bo, name("Maj@k.example")).await);
    assert!(told.contains("userName"), "{told}");
    town.patch(&school, "User", &bo, name("bo.lind@k.example")).await.expect("nobody's");
    refused(
        town.patch(
            &hr,
            "User",
            &maj,
            json!([{ "op": "add", "path": "emails", "value": [
        { "value": "bo.lind@k.example", "type": "work" }] }]),
        )
        .await,
    );
    // One's own come back, and what somebody gives up is the next one's to have.
    town.replace(&hr, &maj, with("maj", &[("maj@k.example", "")])).await.expect("the alias goes");
    town.replace(&school, &bo, with("bo", &[("m.alias@k.example", "")])).await.expect("it is free");
    // Who is over has it still.
    let mut over = with("eva", &[("eva@k.example", "")]);
    over[PERSON]["employments"][0]["end"] = json!("2026-01-03");
    town.enter(&hr, over).await;
    refused(town.create(&school, "User", with("ida", &[("eva@k.example", "")])).await);
}

async fn what_people_have_at_home_and_what_was_double_before_is_nobodys_business(town: &Town) {
    town.install().await;
    let (hr, school) = (town.hr(), town.source("school"));
    let maj = town.enter(&hr, with("maj", &[("desk@k.example", "")])).await["id"].as_str().expect("an id").to_owned();
    let bo = town.enter(&school, with("bo", &[("desk@k.example", "")])).await["id"].as_str().expect("one").to_owned();
    town.create(&town.admin(), "Policy", json!({ "name": "all", "zone": "Europe/Helsinki" })).await.expect("a policy");
    town.refresh().await;
    for (ctx, id) in [(&hr, &maj), (&school, &bo)] {
        let title = json!([{ "op": "replace", "path": "title", "value": "Clerk" }]);
        town.patch(ctx, "User", id, title).await.expect("what was double before stays");
        let add =
            json!([{ "op": "add", "path": "emails", "value": [{ "value": "family@home.example", "type": "home" }] }]);
        town.patch(ctx, "User", id, add).await.expect("two live together");
    }
    refused(town.create(&school, "User", with("eva", &[("desk@k.example", "")])).await);
    // What is at home of one and work of another is not one mailbox that we answer for.
    town.enter(&hr, with("ida", &[("ida@k.example", ""), ("family@home.example", "work")])).await;
}

async fn accounts_of_one_human_being_may_have_one_address(town: &Town) {
    let people = scim::schema::shipped::of_name("people").expect("it is shipped");
    town.install().await;
    let (directory, ctx) = (&town.register.directory, town.admin());
    let parse = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    use matrikel::directory::types::Document;
    directory.add_document(&ctx, Document::Schema, parse(people.schema)).await.expect("the schema");
    directory.add_document(&ctx, Document::ResourceType, parse(people.resource_type)).await.expect("the type");
    town.refresh().await;
    town.create(&ctx, "Policy", json!({ "name": "all", "zone": "Europe/Helsinki" })).await.expect("a policy");
    town.refresh().await;
    let of = |name: &str, domain: &str| {
        let mut ctx = town.source(name);
        Arc::make_mut(&mut ctx.caller).account_domain = Some(domain.into());
        ctx
    };
    let (hr, school) = (of("hr", "administration"), of("school", "education"));
    let body = |name: &str| {
        let mut body = with(name, &[("maj@k.example", "")]);
        body[PERSON]["personalNumber"] = json!(NUMBER);
        body
    };
    let staff = town.enter(&hr, body("maj")).await;
    let teacher = town.enter(&school, body("maj.t")).await;
    assert_eq!(staff[PERSON]["person"]["value"], teacher[PERSON]["person"]["value"], "they are one");
    refused(town.create(&school, "User", with("eva", &[("maj@k.example", "")])).await);
}

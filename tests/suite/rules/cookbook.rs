//! Every rule of `docs/guide/rules.md`, run with the people that stand below it.

use std::fs;
use std::path::Path;

use matrikel::directory::types::Document;
use scim::schema::shipped;
use serde_json::{Value, json};

use super::grants::{groups, wake};
use crate::lifecycle::town::Town;
use crate::support::both::on_both_databases;
use crate::support::register::id;

on_both_databases!(Town: the_cookbook_is_true);

/// A block of JSON of the page: what it is, of what it speaks, and the JSON.
fn blocks() -> Vec<(String, String, Value)> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guide/rules.md");
    let text = fs::read_to_string(file).expect("the page");
    let mut blocks = Vec::new();
    for block in text.split("\n```json ").skip(1) {
        let (head, rest) = block.split_once('\n').expect("a line");
        let (kind, of) = head.split_once(' ').unwrap_or((head, ""));
        let body = rest.split("\n```").next().expect("an end");
        let body = serde_json::from_str(body).unwrap_or_else(|error| panic!("{head}: {error}"));
        blocks.push((kind.to_owned(), of.to_owned(), body));
    }
    blocks
}

async fn the_cookbook_is_true(town: &Town) {
    town.with_policy(json!({ "manager": "derived" })).await;
    let people = shipped::of_name("people").expect("it is shipped");
    for (kind, text) in [(Document::Schema, people.schema), (Document::ResourceType, people.resource_type)] {
        let document = serde_json::from_str(text).expect("JSON");
        town.register.directory.add_document(&town.admin(), kind, document).await.expect("installed");
    }
    town.refresh().await;
    let blocks = blocks();
    let of_kind = |kind: &str| blocks.iter().filter(|block| block.0 == kind).count();
    assert!(of_kind("rule") >= 20 && of_kind("gets") >= 20 && of_kind("not") >= 16, "the page is short");
    let mut made = Vec::new();
    for (kind, of, body) in &blocks {
        if kind == "refused" {
            let refused = town.create(&town.admin(), "Rule", body.clone()).await.expect_err(of);
            assert!(refused.to_string().contains(of), "{refused}");
        }
        if kind != "rule" {
            continue;
        }
        for grant in body["grants"].as_array().into_iter().flatten() {
            let name = grant["value"].as_str().expect("a name");
            let is_known = made.contains(&name.to_owned());
            if grant["type"] == "group" && !name.contains("{{") && !is_known {
                town.create(&town.admin(), "Group", json!({ "displayName": name })).await.expect("a group");
                made.push(name.to_owned());
            }
        }
        let rule = town.create(&town.admin(), "Rule", body.clone()).await.unwrap_or_else(|error| panic!("{error}"));
        let activate = json!([{ "op": "replace", "path": "lifecycle", "value": "active" }]);
        // Another person than the one who wrote it.
        town.patch(&town.with_scopes("second", "admin"), "Rule", &id(&rule), activate).await.expect("active");
    }
    wake(town).await;
    for (kind, of, body) in blocks.iter().filter(|block| ["gets", "not", "there"].contains(&&*block.0)) {
        let user = town.enter(&town.hr(), body.clone()).await;
        wake(town).await;
        let user = user["id"].as_str().expect("an id");
        let has = groups(town, user).await.contains(of);
        assert_eq!(has, kind == "gets", "{kind} {of}: {body}");
    }
}

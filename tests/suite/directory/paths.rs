//! Every attribute path of User and Group with a client that may not see it: whatever it asks or writes, no answer holds
//! the value, and the value stays.

use std::collections::BTreeSet;
use std::sync::Arc;

use matrikel::directory::{Ctx, Error};
use scim::mapping::Mapping;
use scim::schema::{Attribute, Definition, Mutability, Type};
use scim::view::{View, Views};
use serde_json::{Map, Value, json};

use crate::support::both::on_both_databases;
use crate::support::messages::{patch, user};
use crate::support::register::{Register, id};

on_both_databases!(Register: no_path_that_is_hidden_is_ever_told);

/// A value that stands nowhere else, and what of it would be seen in an answer.
fn value(attribute: &Attribute, number: &mut usize) -> Value {
    *number += 1;
    let text = format!("zq{number}q");
    let single = match attribute.kind {
        Type::Boolean => json!(true),
        Type::Integer => json!(700_000 + *number),
        Type::Decimal => json!(0.25),
        Type::DateTime => json!(format!("2021-03-04T05:{:02}:09Z", *number % 60)),
        Type::Reference => json!(format!("https://{text}.example/")),
        Type::Binary => json!("enExeg=="),
        Type::Complex => {
            let subs = attribute.sub_attributes.iter().filter(|sub| sub.mutability != Mutability::ReadOnly);
            Value::Object(subs.map(|sub| (sub.name.clone(), value(sub, number))).collect())
        }
        _ => json!(text),
    };
    if attribute.multi_valued { json!([single]) } else { single }
}

/// A whole resource of the type, and each of its paths.
fn whole(definition: &Definition, member: &str) -> (Value, Vec<String>) {
    let mut number = 0;
    let mut body = Map::from_iter([("schemas".to_owned(), json!([definition.core.id]))]);
    let mut paths = vec!["externalId".to_owned()];
    body.insert("externalId".into(), "zqexternalq".into());
    let core = definition.core.attributes.iter().map(|attribute| (None, attribute));
    let extensions = definition
        .extensions
        .iter()
        .flat_map(|(schema, _)| schema.attributes.iter().map(move |attribute| (Some(&schema.id), attribute)));
    for (urn, attribute) in core.chain(extensions) {
        let path = urn.map_or_else(|| attribute.name.clone(), |urn| format!("{urn}:{}", attribute.name));
        paths.push(path.clone());
        paths.extend(attribute.sub_attributes.iter().map(|sub| format!("{path}.{}", sub.name)));
        if attribute.mutability == Mutability::ReadOnly {
            continue;
        }
        let value = match attribute.name.as_str() {
            "members" => json!([{ "value": member }]),
            "password" => json!("zq-Passw0rd-7-long-enough"),
            _ => value(attribute, &mut number),
        };
        match urn {
            Some(urn) => body.entry(urn.clone()).or_insert_with(|| json!({}))[&attribute.name] = value,
            None => drop(body.insert(attribute.name.clone(), value)),
        }
    }
    (Value::Object(body), paths)
}

/// What a document has at a path.
fn at<'d>(document: &'d Value, path: &str) -> Vec<&'d Value> {
    let (container, local) = match path.rsplit_once(':') {
        Some((urn, local)) => (&document[urn], local),
        None => (document, path),
    };
    let (name, sub) = local.split_once('.').map_or((local, None), |(name, sub)| (name, Some(sub)));
    let elements = match &container[name] {
        Value::Array(elements) => elements.iter().collect(),
        Value::Null => Vec::new(),
        single => vec![single],
    };
    match sub {
        None => elements,
        Some(sub) => elements.into_iter().map(|element| &element[sub]).filter(|value| !value.is_null()).collect(),
    }
}

/// The texts in a value that stand nowhere else.
fn marks(values: &[&Value]) -> BTreeSet<String> {
    let mut marks = BTreeSet::new();
    for value in values {
        match value {
            Value::String(text) => drop(marks.insert(text.clone())),
            Value::Object(members) => marks.extend(self::marks(&members.values().collect::<Vec<_>>())),
            _ => {}
        }
    }
    marks.retain(|mark| mark.contains("zq"));
    marks
}

async fn no_path_that_is_hidden_is_ever_told(register: &Register) {
    let member = register.made("User", user("member")).await;
    let ctx = register.ctx();
    for kind in ["User", "Group"] {
        let definition = register.definition(kind);
        let (body, paths) = whole(&definition, &member);
        let resource = id(&register.create(&ctx, kind, body).await.unwrap_or_else(|error| panic!("{kind}: {error:?}")));
        for path in &paths {
            let (before, _) = register.fetch(&ctx, kind, &resource).await.expect("found");
            let values = at(&before, path);
            let blind = without(register, &definition, &paths, path);
            let marks = marks(&values);
            for blind in [blind].into_iter().chain(formed(register, &definition, path)) {
                let hidden = asked(register, &blind, &definition, (&resource, path, &values)).await;
                let text = hidden.join("\n");
                for mark in &marks {
                    assert!(!text.contains(mark.as_str()), "{kind} {path}: {mark} is told in {text}");
                }
                let (after, _) = register.fetch(&ctx, kind, &resource).await.expect("found");
                assert_eq!(at(&after, path), values, "{kind} {path} was changed by who does not see it");
            }
        }
    }
}

/// A client that sees everything, but another form of one path, if there can be one.
fn formed(register: &Register, definition: &Definition, path: &str) -> Option<Ctx> {
    let mapping = Mapping::new(definition, path, "form", None).ok()?;
    let views = [(definition.name().to_owned(), View::new(None, None).mapping([mapping]))];
    let views = Views::new(views, View::everything()).tie(register.directory.registry());
    Some(Ctx { views: Arc::new(views), ..register.ctx() })
}

/// A client that sees everything but one path, and but what holds it.
fn without(register: &Register, definition: &Definition, paths: &[String], hidden: &str) -> Ctx {
    let is_of = |whole: &str, path: &str| path.strip_prefix(whole).is_some_and(|rest| rest.starts_with('.'));
    let has_parts = |path: &str| paths.iter().any(|part| is_of(path, part));
    let released: BTreeSet<String> = paths
        .iter()
        .filter(|path| *path != hidden && !is_of(hidden, path) && !(is_of(path, hidden) && has_parts(path)))
        .cloned()
        .collect();
    let views = [(definition.name().to_owned(), View::new(None, Some(released)))];
    let views = Views::new(views, View::everything()).tie(register.directory.registry());
    Ctx { views: Arc::new(views), ..register.ctx() }
}

/// Every way to ask about a path; what was said, as text.
async fn asked(
    register: &Register,
    ctx: &Ctx,
    definition: &Definition,
    (resource, path, values): (&str, &str, &[&Value]),
) -> Vec<String> {
    let kind = definition.name();
    let mut said = Vec::new();
    let told = |answer: Result<Value, Error>| match answer {
        Ok(answer) => answer.to_string(),
        Err(error) => error.to_string(),
    };
    said.push(told(register.fetch(ctx, kind, resource).await.map(|(body, _)| body)));
    let literal = match values.first() {
        Some(Value::Object(_)) | None => json!("zq"),
        Some(value) => (*value).clone(),
    };
    let all = register.search(ctx, kind, &[("count", "0")]).await.expect("all")["totalResults"].clone();
    let (some, none) = if ctx.view(definition).maps(path) { (all.clone(), json!(0)) } else { (json!(0), all.clone()) };
    for (filter, expected) in [
        (format!("{path} eq {literal}"), json!(0)),
        (format!("{path} sw \"zq\""), json!(0)),
        (format!("{path} pr"), some),
        (format!("not ({path} pr)"), none),
        (format!("{path} ne {literal}"), all.clone()),
    ] {
        let found = register.search(ctx, kind, &[("filter", &filter)]).await;
        if let Ok(found) = &found {
            let view = ctx.view(definition);
            let is_part_seen = view.sees(path) && !view.maps(path);
            assert!(is_part_seen || found["totalResults"] == expected, "{kind} {filter}: {found}");
        }
        said.push(told(found));
    }
    for order in ["ascending", "descending"] {
        said.push(told(register.search(ctx, kind, &[("sortBy", path), ("sortOrder", order)]).await));
    }
    said.push(told(register.search(ctx, kind, &[("attributes", path)]).await));
    let probes = match path.rsplit_once('.').filter(|(whole, _)| !whole.contains('/')) {
        Some((whole, sub)) if definition.resolve(whole).is_some_and(|place| place.attribute.is_some()) => vec![
            json!({ "op": "remove", "path": format!("{whole}[{sub} eq {literal}]") }),
            json!({ "op": "replace", "path": format!("{whole}[{sub} pr].type"), "value": "probed" }),
            json!({ "op": "remove", "path": path }),
            json!({ "op": "replace", "path": path, "value": "probed" }),
        ],
        _ => vec![
            json!({ "op": "remove", "path": path }),
            json!({ "op": "replace", "path": path, "value": "probed" }),
            json!({ "op": "add", "value": { path: "probed" } }),
        ],
    };
    for operation in probes {
        let written = register.patch(ctx, kind, resource, patch(&json!([operation]))).await;
        said.push(told(written.map(|written| serde_json::from_str(&written.body).expect("JSON"))));
    }
    if let Ok((mut body, _)) = register.fetch(ctx, kind, resource).await {
        body["displayName"] = json!("renamed");
        let written = register.replace(ctx, kind, resource, body).await;
        said.push(told(written.map(|written| serde_json::from_str(&written.body).expect("JSON"))));
    }
    said
}

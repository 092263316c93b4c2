//! The case files of `cases/bulk/`, and chains and circles as long as a message may be.

use serde_json::{Map, Value, json};

use super::{BulkResponse, Done, Method, order, parse};
use crate::cases;
use crate::resource::Notes;

/// What of a request the case wants to see.
fn describe(case: &cases::Case, notes: &mut Notes) -> Result<Value, crate::Error> {
    let max = case.field("max").and_then(Value::as_u64).unwrap_or(1_000) as usize;
    let message = case.field("message").unwrap().clone();
    let mut request = parse(message, max, case.strictness(), notes)?;
    let units = request.units();
    request.resolve(|index| Some((format!("id-{index}"), format!("/at/{index}"))));
    let pick = |name: &str, of: &dyn Fn(&super::Operation) -> Option<Value>| {
        let wanted = case.field("expect").and_then(|expect| expect.get(name)?.as_object()).cloned().unwrap_or_default();
        let operations = request.operations.iter().enumerate();
        let found = operations.filter_map(|(index, operation)| Some((index.to_string(), of(operation)?)));
        Value::Object(found.filter(|(index, _)| name == "faults" || wanted.contains_key(index)).collect())
    };
    let all = Map::from_iter([
        ("units".to_owned(), json!(units)),
        ("faults".to_owned(), pick("faults", &|operation| Some(operation.fault.as_ref()?.detail.clone().into()))),
        ("ids".to_owned(), pick("ids", &|operation| Some(operation.id.clone()?.into()))),
        ("data".to_owned(), pick("data", &|operation| Some(operation.data.clone()))),
    ]);
    let wanted = case.field("expect").and_then(Value::as_object).cloned().unwrap_or_default();
    Ok(Value::Object(all.into_iter().filter(|(name, _)| wanted.contains_key(name)).collect()))
}

#[test]
fn messages_are_read_as_the_cases_say() {
    for case in cases::load("bulk") {
        let mut notes = Notes::new();
        let outcome = describe(&case, &mut notes);
        case.check(outcome, &notes);
    }
}

#[test]
fn a_chain_backwards_runs_from_its_end() {
    let long = 100_000;
    let needs: Vec<Vec<usize>> =
        (0..long).map(|index| Vec::from_iter((index + 1 < long).then_some(index + 1))).collect();
    let expected: Vec<Vec<usize>> = (0..long).rev().map(|index| vec![index]).collect();
    assert_eq!(order::units(&needs), expected);
}

#[test]
fn a_circle_of_all_is_one_unit() {
    let long = 100_000;
    let needs: Vec<Vec<usize>> = (0..long).map(|index| vec![(index + 1) % long]).collect();
    assert_eq!(order::units(&needs), [Vec::from_iter(0..long)]);
}

#[test]
fn the_answer_says_what_became_of_each() {
    let created = Done {
        method: Method::Post,
        bulk_id: Some("a".into()),
        version: Some("W/\"1\"".into()),
        location: Some("https://scim.example/Users/1".into()),
        status: 201,
        response: None,
    };
    let failed = Done {
        bulk_id: None,
        version: None,
        location: None,
        status: 409,
        response: Some(crate::Error::uniqueness("userName").body()),
        ..created.clone()
    };
    let answer: Value = serde_json::from_str(&BulkResponse { operations: vec![created, failed] }.to_json()).unwrap();
    assert_eq!(
        answer,
        json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkResponse"],
            "Operations": [
                {
                    "method": "POST",
                    "bulkId": "a",
                    "version": "W/\"1\"",
                    "location": "https://scim.example/Users/1",
                    "status": "201",
                },
                { "method": "POST", "status": "409", "response": crate::Error::uniqueness("userName").body() },
            ],
        })
    );
}

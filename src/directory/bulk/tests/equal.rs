//! A bulk request leaves what the same operations leave that are sent one by one, in the order of its units.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use scim::bulk::{BulkRequest, Method, parse};
use scim::resource::{Notes, Projection, Strictness};

use super::{ENTERPRISE, Register, group, user};
use crate::directory::{Ctx, Precondition};

/// One operation; names are small numbers, so that they meet.
#[derive(Clone, Debug)]
enum Act {
    User { name: u8, manager: Option<u8> },
    Group { name: u8, members: Vec<u8> },
    Rename { of: u8, name: u8 },
    Join { group: u8, member: u8 },
    Leave { group: u8, member: u8 },
    Delete { of: u8 },
    Nobody,
}

fn act() -> impl Strategy<Value = Act> {
    let n = 0..8u8;
    prop_oneof![
        4 => (n.clone(), proptest::option::of(n.clone())).prop_map(|(name, manager)| Act::User { name, manager }),
        2 => (n.clone(), proptest::collection::vec(n.clone(), 0..4))
            .prop_map(|(name, members)| Act::Group { name, members }),
        1 => (n.clone(), n.clone()).prop_map(|(of, name)| Act::Rename { of, name }),
        1 => (n.clone(), n.clone()).prop_map(|(group, member)| Act::Join { group, member }),
        1 => (n.clone(), n.clone()).prop_map(|(group, member)| Act::Leave { group, member }),
        1 => n.prop_map(|of| Act::Delete { of }),
        1 => Just(Act::Nobody),
    ]
}

/// The message. A bulkId is `u` or `g` and the place of its operation; a reference is to whichever there is, and never
/// from a POST to a POST that refers back, as a circle cannot be sent one by one.
fn message(acts: &[Act]) -> Value {
    let places = |wanted: fn(&Act) -> bool| {
        let found = acts.iter().enumerate().filter(move |(_, act)| wanted(act));
        found.map(|(place, _)| place).collect::<Vec<usize>>()
    };
    let users = places(|act| matches!(act, Act::User { .. }));
    let groups = places(|act| matches!(act, Act::Group { .. }));
    let pick = |of: &[usize], n: u8| of.get(usize::from(n) % of.len().max(1)).copied();
    let nobody = || json!({ "method": "DELETE", "path": "/Users/nobody" });
    let patch = |path: String, operation: Value| json!({ "method": "PATCH", "path": path, "data": { "Operations": [operation] } });
    let members = |group: u8, member: u8, op: &str| {
        let (Some(group), Some(member)) = (pick(&groups, group), pick(&users, member)) else { return nobody() };
        let operation = match op {
            "add" => json!({ "op": op, "path": "members", "value": [{ "value": format!("bulkId:u{member}") }] }),
            _ => json!({ "op": op, "path": format!("members[value eq \"bulkId:u{member}\"]") }),
        };
        patch(format!("/Groups/bulkId:g{group}"), operation)
    };
    let operations = acts.iter().enumerate().map(|(place, act)| match act {
        Act::User { name, manager } => {
            // A permutation of the places orders them, so references go forward and back but never around.
            let rank = |place: usize| place * 7 % 31;
            let manager = manager.and_then(|n| pick(&users, n)).filter(|manager| rank(*manager) < rank(place));
            let mut made = user(&format!("u{place}"), manager.map(|manager| format!("u{manager}")).as_deref());
            made["data"]["userName"] = format!("name{name}").into();
            made
        }
        Act::Group { name, members } => {
            let members: Vec<String> =
                members.iter().filter_map(|n| pick(&users, *n)).map(|n| format!("u{n}")).collect();
            let mut made = group(&format!("g{place}"), &members.iter().map(String::as_str).collect::<Vec<_>>());
            made["data"]["displayName"] = format!("group{name}.{place}").into();
            made
        }
        Act::Rename { of, name } => match pick(&users, *of) {
            Some(of) => patch(
                format!("/Users/bulkId:u{of}"),
                json!({ "op": "replace", "path": "userName", "value": format!("name{name}") }),
            ),
            None => nobody(),
        },
        Act::Join { group, member } => members(*group, *member, "add"),
        Act::Leave { group, member } => members(*group, *member, "remove"),
        Act::Delete { of } => match pick(&users, *of) {
            Some(of) => json!({ "method": "DELETE", "path": format!("/Users/bulkId:u{of}") }),
            None => nobody(),
        },
        Act::Nobody => nobody(),
    });
    json!({ "Operations": operations.collect::<Vec<_>>() })
}

fn read(message: &Value) -> BulkRequest {
    parse(message.clone(), 100, Strictness::Tolerant, &mut Notes::new()).expect("a bulk request")
}

/// Sends the operations one by one and returns which were carried out.
async fn one_by_one(register: &Register, ctx: &Ctx, message: &Value) -> Vec<bool> {
    let directory = &register.directory;
    let mut ids: BTreeMap<usize, String> = BTreeMap::new();
    let mut done = vec![false; read(message).operations.len()];
    for index in read(message).units().concat() {
        let mut request = read(message);
        request.resolve(|index| ids.get(&index).map(|id| (id.clone(), id.clone())));
        let operation = request.operations[index].clone();
        if !operation.refers.iter().all(|index| done[*index]) {
            continue;
        }
        let definition = directory.registry().at_endpoint(&operation.endpoint).expect("an endpoint").clone();
        let (whole, none) = (Projection::whole(&definition), Precondition::none());
        let id = operation.id.unwrap_or_default();
        done[index] = match operation.method {
            Method::Post => match directory.create(ctx, &definition, operation.data, &whole).await {
                Ok(written) => {
                    let id = written.location.rsplit('/').next().expect("an id").to_owned();
                    ids.insert(index, id);
                    true
                }
                Err(_) => false,
            },
            Method::Put => unreachable!("no PUT is made"),
            Method::Patch => directory.patch(ctx, &definition, &id, operation.data, &none, &whole).await.is_ok(),
            Method::Delete => directory.remove(ctx, &definition, &id, &none).await.is_ok(),
        };
    }
    done
}

/// What there is, with names in the place of ids.
async fn state(register: &Register, ctx: &Ctx) -> Vec<String> {
    let users = register.all(ctx, "User").await;
    let name = |id: &Value| {
        let found = users.iter().find(|user| user["id"] == *id);
        found.map_or("gone".to_owned(), |user| format!("{}", user["displayName"]))
    };
    let mut lines: Vec<String> = users
        .iter()
        .map(|user| {
            let manager = &user[ENTERPRISE]["manager"]["value"];
            let manager = if manager.is_null() { "nobody".to_owned() } else { name(manager) };
            let groups = user["groups"].as_array().map_or(0, Vec::len);
            let version = user["meta"]["version"].as_str().and_then(|version| version.split('.').next());
            format!("{} {} {manager} {groups} {version:?}", user["displayName"], user["userName"])
        })
        .collect();
    for group in register.all(ctx, "Group").await {
        let mut members: Vec<String> =
            group["members"].as_array().into_iter().flatten().map(|member| name(&member["value"])).collect();
        members.sort();
        lines.push(format!("{} {members:?}", group["displayName"]));
    }
    lines.sort();
    lines
}

#[test]
fn bulk_is_its_operations_one_by_one() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let register = Register::new();
    let mut tenants = 0;
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig { cases: 64, ..ProptestConfig::default() });
    let tenants = std::cell::RefCell::new(&mut tenants);
    let checked = runner.run(&proptest::collection::vec(act(), 1..24), |acts| {
        let message = message(&acts);
        let mut tenants = tenants.borrow_mut();
        **tenants += 1;
        let number = **tenants;
        runtime.block_on(async {
            let (one, other) =
                (register.tenant(&format!("one{number}")).await, register.tenant(&format!("other{number}")).await);
            let written = register.bulk(&one, None, message["Operations"].clone()).await;
            let done: Vec<bool> = written.operations.iter().map(|operation| operation.outcome.is_ok()).collect();
            prop_assert_eq!(done, one_by_one(&register, &other, &message).await);
            prop_assert_eq!(state(&register, &one).await, state(&register, &other).await);
            Ok(())
        })
    });
    if let Err(error) = checked {
        panic!("{error}");
    }
}

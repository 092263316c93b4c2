//! A bulk request leaves what the same operations leave that are sent one by one, in the order of its units.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use scim::bulk::{BulkRequest, Method, Operation, parse};
use scim::resource::{Notes, Projection, Strictness};
use scim::schema::Definition;

use super::{ENTERPRISE, Register, group, user};
use crate::directory::{Ctx, Precondition};

/// One operation; names are small numbers, so that they meet.
#[derive(Clone, Debug)]
enum Act {
    User { name: u8, manager: Option<u8> },
    Group { name: u8, members: Vec<u8> },
    Rename { of: u8, name: u8 },
    Replace { of: u8, name: u8, manager: Option<u8> },
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
        2 => (n.clone(), n.clone(), proptest::option::of(n.clone()))
            .prop_map(|(of, name, manager)| Act::Replace { of, name, manager }),
        1 => (n.clone(), n.clone()).prop_map(|(group, member)| Act::Join { group, member }),
        1 => (n.clone(), n.clone()).prop_map(|(group, member)| Act::Leave { group, member }),
        1 => n.prop_map(|of| Act::Delete { of }),
        1 => Just(Act::Nobody),
    ]
}

/// The message. A bulkId is `u` or `g` and the place of its operation; a reference is to whichever there is, forward, back
/// and in circles of managers.
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
            let manager = manager.and_then(|n| pick(&users, n)).filter(|manager| *manager != place);
            person(place, *name, manager)
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
        Act::Replace { of, name, manager } => match pick(&users, *of) {
            Some(of) => {
                let body = person(of, *name, manager.and_then(|n| pick(&users, n)));
                json!({ "method": "PUT", "path": format!("/Users/bulkId:u{of}"), "data": body["data"] })
            }
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

/// The POST of the user at a place; its `displayName` tells it from others, whatever it is called.
fn person(place: usize, name: u8, manager: Option<usize>) -> Value {
    let mut made = user(&format!("u{place}"), manager.map(|manager| format!("u{manager}")).as_deref());
    made["data"]["userName"] = format!("name{name}").into();
    made
}

fn read(message: &Value) -> BulkRequest {
    parse(message.clone(), 100, Strictness::Tolerant, &mut Notes::new()).expect("a bulk request")
}

/// Sends the operations one by one and returns which were carried out.
async fn one_by_one(register: &Register, ctx: &Ctx, message: &Value) -> Vec<bool> {
    let mut sender =
        Sender { register, ctx, message, ids: BTreeMap::new(), done: vec![false; read(message).operations.len()] };
    for unit in read(message).units() {
        match unit.as_slice() {
            [index] => sender.send(*index).await,
            circle => sender.send_circle(circle).await,
        }
    }
    sender.done
}

struct Sender<'r> {
    register: &'r Register,
    ctx: &'r Ctx,
    message: &'r Value,
    ids: BTreeMap<usize, String>,
    done: Vec<bool>,
}

impl Sender<'_> {
    /// The operation with all ids that are known by now.
    fn operation(&self, index: usize) -> Operation {
        let mut request = read(self.message);
        request.resolve(|index| self.ids.get(&index).map(|id| (id.clone(), id.clone())));
        request.operations[index].clone()
    }

    fn definition(&self, operation: &Operation) -> Arc<Definition> {
        self.register.directory.registry().at_endpoint(&operation.endpoint).expect("an endpoint").clone()
    }

    async fn create(&mut self, index: usize, operation: &Operation, body: Value) -> bool {
        let definition = self.definition(operation);
        let whole = Projection::whole(&definition);
        let created = self.register.directory.create(self.ctx, &definition, body, &whole).await;
        if let Ok(written) = &created {
            self.ids.insert(index, written.location.rsplit('/').next().expect("an id").to_owned());
        }
        created.is_ok()
    }

    async fn send(&mut self, index: usize) {
        let operation = self.operation(index);
        if !operation.refers.iter().all(|index| self.done[*index]) {
            return;
        }
        let (directory, ctx, definition) = (&self.register.directory, self.ctx, self.definition(&operation));
        let (whole, none) = (Projection::whole(&definition), Precondition::none());
        let (id, body) = (operation.id.clone().unwrap_or_default(), operation.data.clone());
        self.done[index] = match operation.method {
            Method::Post => self.create(index, &operation, body).await,
            Method::Put => directory.replace(ctx, &definition, &id, body, &none, &whole).await.is_ok(),
            Method::Patch => directory.patch(ctx, &definition, &id, body, &none, &whole).await.is_ok(),
            Method::Delete => directory.remove(ctx, &definition, &id, &none).await.is_ok(),
        };
    }

    /// A circle of managers cannot be sent one by one: each is created alone and gets its manager when all are there.
    async fn send_circle(&mut self, circle: &[usize]) {
        let outside = |index: &usize| !circle.contains(index);
        let mut all = true;
        for index in circle {
            let mut operation = self.operation(*index);
            all &= operation.refers.iter().filter(|index| outside(index)).all(|index| self.done[*index]);
            let mut body = operation.data.take();
            body.as_object_mut().expect("an object").remove(ENTERPRISE);
            all = all && self.create(*index, &operation, body).await;
        }
        for index in circle {
            let operation = self.operation(*index);
            let Some(id) = self.ids.get(index).cloned() else { continue };
            let (directory, definition) = (&self.register.directory, self.definition(&operation));
            let (whole, none) = (Projection::whole(&definition), Precondition::none());
            if all {
                let body = operation.data;
                directory.replace(self.ctx, &definition, &id, body, &none, &whole).await.expect("has its manager");
                self.done[*index] = true;
            } else {
                directory.remove(self.ctx, &definition, &id, &none).await.expect("is gone");
                self.ids.remove(index);
            }
        }
    }
}

/// What there is, with names in the place of ids. Those of circles have another version when they are not sent by bulk.
async fn state(register: &Register, ctx: &Ctx, message: &Value) -> Vec<String> {
    let request = read(message);
    let circled: Vec<String> = request
        .units()
        .into_iter()
        .filter(|unit| unit.len() > 1)
        .flatten()
        .filter_map(|index| request.operations[index].bulk_id.clone())
        .collect();
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
            let version = version.filter(|_| !circled.iter().any(|name| user["displayName"] == *name));
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
            prop_assert_eq!(state(&register, &one, &message).await, state(&register, &other, &message).await);
            Ok(())
        })
    });
    if let Err(error) = checked {
        panic!("{error}");
    }
}

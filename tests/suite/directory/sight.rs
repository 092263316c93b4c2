//! What leads out of a view is not there: members, groups and managers that a client does not see change nothing of what
//! it is told, and nothing that it does changes them. Two registers differ in these alone, and answer alike.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use matrikel::directory::{Ctx, Error, Written};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use scim::filter::Filter;
use scim::view::{View, Views};
use serde_json::{Value, json};
use store::TenantId;

use crate::support::both::on_both_databases;
use crate::support::messages::{add_members, group, patch, user_with};
use crate::support::register::{NEW_YEAR, Register, id};

on_both_databases!(Register: what_leads_out_of_a_view_cannot_be_found_out, what_is_not_seen_is_not_touched);

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
/// Users and groups; the second half of each is not seen.
const USERS: usize = 6;
const GROUPS: usize = 4;
const NOBODY: &str = "0198c0de-0000-7000-8000-000000000000";

/// What the client does not see.
#[derive(Clone, Debug)]
struct Hidden {
    /// Which hidden users are members of which groups, and which users are members of hidden groups.
    members: [[bool; USERS]; GROUPS],
    /// Whether a hidden group holds a group that is seen.
    nested: bool,
    /// The hidden user who is a user's manager; beyond them somebody who does not exist, and beyond that nobody.
    managers: [usize; USERS],
    names: [usize; USERS],
}

#[derive(Clone, Debug)]
struct Case {
    hidden: [Hidden; 2],
    /// Members that are seen, of groups that are.
    seen: [[bool; USERS / 2]; GROUPS / 2],
    /// A manager who is seen.
    manager: Option<usize>,
    /// Whether the names of users are released.
    named: bool,
    asked: Vec<(usize, usize)>,
    written: Vec<(usize, usize)>,
}

fn hidden() -> impl Strategy<Value = Hidden> {
    let members = prop::array::uniform4(prop::array::uniform6(any::<bool>()));
    let (managers, names) = (prop::array::uniform6(0..5_usize), prop::array::uniform6(0..3_usize));
    (members, any::<bool>(), managers, names).prop_map(|(members, nested, managers, names)| Hidden {
        members,
        nested,
        managers,
        names,
    })
}

fn case() -> impl Strategy<Value = Case> {
    let seen = prop::array::uniform2(prop::array::uniform3(any::<bool>()));
    let some = || prop::collection::vec((0..24_usize, 0..USERS), 8);
    ((hidden(), hidden()), seen, prop::option::of(0..USERS / 2), any::<bool>(), some(), some()).prop_map(
        |((one, other), seen, manager, named, asked, written)| Case {
            hidden: [one, other],
            seen,
            manager,
            named,
            asked,
            written,
        },
    )
}

struct World {
    ctx: Ctx,
    users: Vec<String>,
    groups: Vec<String>,
}

async fn world(register: &Register, tenant: TenantId, case: &Case, hidden: &Hidden) -> World {
    let mut ctx = Ctx { tenant, now: NEW_YEAR, ..register.seeded(1) };
    let mut users: Vec<String> = Vec::new();
    for n in (0..USERS).rev() {
        let is_seen = n < USERS / 2;
        // Whoever is not seen comes first, so that the others can refer to them.
        let manager = match (hidden.managers[n], is_seen) {
            (_, true) if case.manager.is_some_and(|who| who > n) => users.get(USERS - 1 - case.manager.unwrap_or(0)),
            (chosen, true) if chosen < USERS / 2 => users.get(chosen),
            _ => None,
        };
        let manager = manager.map(String::as_str).or((is_seen && hidden.managers[n] == 3).then_some(NOBODY));
        let mut body = user_with(
            &format!("user-{n}"),
            &json!({ "userType": if is_seen { "staff" } else { "protected" }, "displayName": "same" }),
        );
        if !is_seen || !case.named {
            body["displayName"] = json!(["ada", "bo", "c"][hidden.names[n]]);
        }
        if let Some(manager) = manager {
            body[ENTERPRISE] = json!({ "manager": { "value": manager } });
        }
        users.push(id(&register.create(&ctx, "User", body).await.expect("created")));
    }
    users.reverse();
    let mut groups = Vec::new();
    for n in 0..GROUPS {
        let is_seen = n < GROUPS / 2;
        let is_member = |user: usize| match is_seen && user < USERS / 2 {
            true => case.seen[n][user],
            false => hidden.members[n][user],
        };
        let mut members: Vec<&str> =
            (0..USERS).filter(|user| is_member(*user)).map(|user| users[user].as_str()).collect();
        let first: Option<&String> = groups.first();
        members.extend(first.filter(|_| !is_seen && hidden.nested).map(String::as_str));
        let name = if is_seen { format!("group-{n}") } else { format!("secret-{}", hidden.names[n]) };
        groups.push(id(&register.create(&ctx, "Group", group(&name, &members)).await.expect("created")));
    }
    let filter = |kind: &str, text: &str| {
        Some(Filter::parse(text).and_then(|filter| filter.check(&register.definition(kind))).expect("a filter"))
    };
    let released: BTreeSet<String> = ["userName", "groups", ENTERPRISE]
        .into_iter()
        .map(str::to_owned)
        .chain(case.named.then(|| "displayName".into()))
        .collect();
    let views = [
        ("User".to_owned(), View::new(filter("User", "userType ne \"protected\""), Some(released))),
        ("Group".to_owned(), View::new(filter("Group", "not (displayName sw \"secret\")"), None)),
        ("GroupMembership".to_owned(), View::everything()),
    ];
    ctx.views = Arc::new(Views::new(views, View::nothing()).tie(register.directory.registry()));
    World { ctx, users, groups }
}

impl World {
    fn filters(&self, n: usize, who: usize) -> (&'static str, String) {
        let (user, group) = (&self.users[who], &self.groups[who % GROUPS]);
        let manager = format!("{ENTERPRISE}:manager");
        match n {
            0 => ("User", format!("groups.value eq \"{group}\"")),
            1 => ("User", format!("not (groups.value eq \"{group}\")")),
            2 => ("User", "groups.display co \"secret\"".to_owned()),
            3 => ("User", "groups pr".to_owned()),
            4 => ("User", format!("groups[type eq \"direct\" and value ne \"{group}\"]")),
            5 => ("User", format!("{manager}.value eq \"{user}\"")),
            6 => ("User", format!("{manager}.value pr")),
            7 => ("User", format!("not ({manager} pr) or {manager}.$ref co \"{user}\"")),
            8 => ("User", format!("schemas eq \"{ENTERPRISE}\"")),
            9 => ("User", format!("{manager}.value eq \"{NOBODY}\"")),
            10 => ("Group", format!("members.value eq \"{user}\"")),
            11 => ("Group", format!("not (members[value eq \"{user}\"])")),
            12 => ("Group", "members.display sw \"a\" or members.display eq \"bo\"".to_owned()),
            13 => ("Group", "members pr".to_owned()),
            14 => ("Group", format!("members.value ne \"{user}\"")),
            15 => ("GroupMembership", format!("member.value eq \"{user}\"")),
            16 => ("GroupMembership", format!("group.value eq \"{group}\"")),
            17 => ("GroupMembership", "member.display co \"o\" or group.display co \"secret\"".to_owned()),
            18 => ("GroupMembership", "member.type eq \"Group\"".to_owned()),
            19 => ("User", format!("id eq \"{user}\"")),
            20 => ("Group", format!("id eq \"{group}\" and displayName pr")),
            21 => ("User", format!("{manager}.value co \"-\" and userName pr")),
            22 => ("Group", "displayName sw \"secret\"".to_owned()),
            _ => ("User", "userName eq \"user-5\"".to_owned()),
        }
    }

    async fn write(&self, register: &Register, n: usize, who: usize) -> Result<Written, Error> {
        let (user, group_id) = (&self.users[who], &self.groups[who % 2]);
        let name = format!("group-{}", who % 2);
        let ctx = &self.ctx;
        match n % 12 {
            0 => register.patch(ctx, "Group", group_id, add_members(&[user])).await,
            1 => {
                let path = format!("members[value eq \"{user}\"]");
                register.patch(ctx, "Group", group_id, patch(&json!([{ "op": "remove", "path": path }]))).await
            }
            2 => {
                let path = "members[display sw \"a\"]";
                register.patch(ctx, "Group", group_id, patch(&json!([{ "op": "remove", "path": path }]))).await
            }
            3 => register.replace(ctx, "Group", group_id, group(&name, &[&self.users[0]])).await,
            4 => register.replace(ctx, "Group", group_id, group(&name, &[])).await,
            5 => register.patch(ctx, "Group", group_id, patch(&json!([{ "op": "remove", "path": "members" }]))).await,
            6 => register.patch(ctx, "Group", group_id, add_members(&[&self.groups[3]])).await,
            7 => {
                let path = format!("{ENTERPRISE}:manager");
                register.patch(ctx, "User", &self.users[0], patch(&json!([{ "op": "remove", "path": path }]))).await
            }
            8 => {
                let path = format!("{ENTERPRISE}:manager.value");
                let set = patch(&json!([{ "op": "replace", "path": path, "value": user }]));
                register.patch(ctx, "User", &self.users[1], set).await
            }
            9 => {
                let (mut body, _) = register.fetch(ctx, "User", &self.users[2]).await?;
                body["userName"] = json!(format!("user-2-{who}"));
                register.replace(ctx, "User", &self.users[2], body).await
            }
            10 => {
                let (group, member) = (json!({ "value": group_id }), json!({ "value": user }));
                let urn = store::GROUP_MEMBERSHIP_URN;
                let body = json!({ "schemas": [urn], "group": group, "member": member });
                register.create(ctx, "GroupMembership", body).await
            }
            _ => {
                register
                    .patch(ctx, "User", user, patch(&json!([{ "op": "replace", "path": "userName", "value": "x" }])))
                    .await
            }
        }
    }

    async fn told(&self, register: &Register, case: &Case) -> Vec<Value> {
        let mut answers = Vec::new();
        let mut tell = |answer: Result<Value, Error>| {
            let mut answer = match answer {
                Ok(answer) => answer,
                Err(Error::Scim(error)) => error.body(),
                Err(Error::Denied(detail)) => json!(detail),
                Err(other) => panic!("{other}"),
            };
            forget_versions(&mut answer);
            answers.push(answer);
        };
        let look = async |tell: &mut dyn FnMut(Result<Value, Error>)| {
            for user in &self.users {
                tell(register.fetch(&self.ctx, "User", user).await.map(|(body, _)| body));
            }
            for group in &self.groups {
                tell(register.fetch(&self.ctx, "Group", group).await.map(|(body, _)| body));
            }
            for kind in ["User", "Group", "GroupMembership"] {
                let names = [("attributes", "members.display,members.value,groups,member,group")];
                tell(register.search(&self.ctx, kind, &[]).await);
                tell(register.search(&self.ctx, kind, &names).await);
            }
            let sorted = [("sortBy", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value")];
            tell(register.search(&self.ctx, "User", &sorted).await);
        };
        look(&mut tell).await;
        for (n, who) in &case.asked {
            let (kind, filter) = self.filters(*n, *who);
            tell(register.search(&self.ctx, kind, &[("filter", &filter)]).await);
            tell(register.search(&self.ctx, kind, &[("filter", &filter), ("count", "1"), ("startIndex", "2")]).await);
            let walk = register.search(&self.ctx, kind, &[("filter", &filter), ("count", "1"), ("cursor", "")]).await;
            tell(walk.map(|page| page["Resources"].clone()));
        }
        for (n, who) in &case.written {
            let written = self.write(register, *n, *who).await;
            tell(written.map(|written| serde_json::from_str(&written.body).expect("JSON")));
        }
        look(&mut tell).await;
        answers
    }
}

fn forget_versions(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for name in ["version", "lastModified"] {
                members.remove(name);
            }
            members.values_mut().for_each(forget_versions);
        }
        Value::Array(elements) => elements.iter_mut().for_each(forget_versions),
        _ => {}
    }
}

async fn what_leads_out_of_a_view_cannot_be_found_out(register: &Register) {
    let handle = tokio::runtime::Handle::current();
    let number = AtomicU32::new(0);
    let mut runner = TestRunner::new(Config { cases: 24, failure_persistence: None, ..Config::default() });
    let outcome: Result<(), String> = tokio::task::block_in_place(|| {
        let outcome = runner.run(&case(), |case| {
            let mut answers = Vec::new();
            for hidden in &case.hidden {
                let number = number.fetch_add(1, Ordering::Relaxed);
                let store = register.directory.store();
                let tenant = store.create_tenant(&format!("t{number}"), "T", NEW_YEAR).expect("a tenant").id;
                let told = async { world(register, tenant, &case, hidden).await.told(register, &case).await };
                answers.push(handle.block_on(told));
            }
            for (one, other) in answers[0].iter().zip(&answers[1]) {
                prop_assert_eq!(one, other);
            }
            Ok(())
        });
        outcome.map_err(|error| error.to_string())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

async fn what_is_not_seen_is_not_touched(register: &Register) {
    let all = [[true; USERS]; GROUPS];
    let hidden = Hidden { members: all, nested: true, managers: [0; USERS], names: [0; USERS] };
    let seen = [[true; USERS / 2]; GROUPS / 2];
    let case = Case {
        hidden: [hidden.clone(), hidden.clone()],
        seen,
        manager: None,
        named: true,
        asked: vec![],
        written: vec![],
    };
    let world = world(register, register.tenant, &case, &hidden).await;
    let members = |group: &Value| -> BTreeSet<String> {
        let members = group["members"].as_array().cloned().unwrap_or_default();
        members.iter().filter_map(|member| Some(member["value"].as_str()?.to_owned())).collect()
    };
    let secret: BTreeSet<String> = world.users[USERS / 2..].iter().cloned().collect();
    let (shown, _) = register.fetch(&world.ctx, "Group", &world.groups[0]).await.expect("seen");
    assert_eq!(members(&shown), world.users[..USERS / 2].iter().cloned().collect());
    let (shown, _) = register.fetch(&world.ctx, "User", &world.users[0]).await.expect("seen");
    let groups: BTreeSet<&str> =
        shown["groups"].as_array().expect("groups").iter().filter_map(|one| one["value"].as_str()).collect();
    assert_eq!(groups, BTreeSet::from([world.groups[0].as_str(), world.groups[1].as_str()]));
    assert_eq!((shown.get(ENTERPRISE), shown["schemas"].as_array().map(Vec::len)), (None, Some(1)));

    // All members are taken away that the client sees: the others stay, and so does the manager.
    register.replace(&world.ctx, "Group", &world.groups[0], group("group-0", &[])).await.expect("replaced");
    assert_eq!(members(&register.found("Group", &world.groups[0]).await), secret);
    register.replace(&world.ctx, "User", &world.users[0], shown).await.expect("replaced");
    let whole = register.found("User", &world.users[0]).await;
    assert_eq!(whole[ENTERPRISE]["manager"]["value"], world.users[USERS - 1].as_str());
    assert_eq!((&whole["displayName"], &whole["userType"]), (&json!("same"), &json!("staff")));

    // Somebody who is not seen cannot become a member either, word for word like somebody who does not exist.
    let mut said = BTreeSet::new();
    for who in [world.users[USERS - 1].as_str(), world.groups[3].as_str(), NOBODY] {
        let error =
            register.patch(&world.ctx, "Group", &world.groups[0], add_members(&[who])).await.expect_err("refused");
        let Error::Scim(error) = error else { panic!("{error}") };
        said.insert(error.detail.replace(who, NOBODY));
    }
    assert_eq!(said.len(), 1, "{said:?}");

    // Whoever would not be seen cannot be created.
    let outside = user_with("outside", &json!({ "userType": "protected" }));
    let head = register.head().await;
    // What is hidden is unknown: the user is one of no type, and seen.
    register.create(&world.ctx, "User", outside).await.expect("created");
    let error = register.create(&world.ctx, "Group", group("secret-x", &[])).await.expect_err("outside");
    assert!(matches!(error, Error::Denied(_)), "{error}");
    assert_eq!(register.head().await.0, head.0 + 1);
}

//! Rights without a ground, over everybody: what no rule gives and nobody gave with a reason, and what was held late.

use matrikel::directory::report::rights::{Page, Rights};
use matrikel::directory::views::{Outlook, Veil};
use matrikel::directory::{Ctx, Error};
use serde_json::{Value, json};

use super::grants::{active, entered, wake, with_groups, works};
use crate::lifecycle::town::{PERSON, Town, at};
use crate::support::both::on_both_databases;
use crate::support::municipality::{Municipality, TENANT};
use crate::support::register::id;

on_both_databases!(Town:
    what_no_rule_gives_is_listed_with_who_put_it_there,
    what_was_held_after_its_dates_is_listed,
    the_list_is_paged_and_a_cursor_belongs_to_its_question,
    who_does_not_see_somebody_or_something_is_not_told_of_it,
);

mod over_http {
    use super::Municipality;
    use crate::support::both::on_both_databases;

    on_both_databases!(Municipality: the_list_is_answered_over_http_and_at_the_command_line);

    async fn the_list_is_answered_over_http_and_at_the_command_line(place: &Municipality) {
        super::the_list_is_answered(place).await;
    }
}

async fn page(town: &Town, ctx: &Ctx, asked: &Rights) -> Result<Page, Error> {
    town.register.directory.rights_report(ctx, asked).await
}

/// Who has what and why it is listed, in words, by name.
async fn listed(town: &Town, ctx: &Ctx, asked: &Rights) -> Vec<String> {
    let page = page(town, ctx, asked).await.expect("a page");
    let mut lines: Vec<String> = page
        .rights
        .iter()
        .map(|right| format!("{} {} {}", right.user.1, right.target.2, right.kind.as_str()))
        .collect();
    lines.sort();
    lines
}

async fn put_into(town: &Town, group: &str, user: &str) {
    let add = json!([{ "op": "add", "path": "members", "value": [{ "value": user }] }]);
    town.patch(&town.admin(), "Group", group, add).await.expect("a member");
}

const NURSE: &str = r#"employments[taskCode eq "nurse" and current eq true]"#;

async fn what_no_rule_gives_is_listed_with_who_put_it_there(town: &Town) {
    let groups = with_groups(town, &["nurses", "wiki"]).await;
    let rule = active(town, "nurses", NURSE, json!({})).await;
    let maj = entered(town, works("maj", &[("1", "nurse", "2026-01-01", "")])).await;
    let bo = entered(town, works("bo", &[("1", "clerk", "2026-01-01", "")])).await;
    let all = Rights::default();
    assert_eq!(listed(town, &town.admin(), &all).await, [""; 0], "a rule is a ground");
    put_into(town, &groups[1], &maj).await;
    put_into(town, &groups[0], &bo).await;
    assert_eq!(listed(town, &town.admin(), &all).await, ["bo nurses hand", "maj wiki hand"]);
    let told = page(town, &town.admin(), &all).await.expect("a page");
    let is_now = |since: Option<i64>| since.is_some_and(|since| (town.now()..town.now() + 1_000).contains(&since));
    let by_admin = told.rights.iter().all(|right| right.by.is_some() && is_now(right.since));
    assert!(by_admin && told.rights[0].cause.as_deref() == Some("request"), "{told:?}");
    assert_eq!(told.counts().values().sum::<u64>(), 2);
    // A reason is a ground.
    let include = json!([{ "op": "add", "path": "include", "value": [{
        "value": bo, "reason": "stands in", "until": "2026-06-30" }] }]);
    town.patch(&town.admin(), "Rule", &rule, include).await.expect("included");
    wake(town).await;
    assert_eq!(listed(town, &town.admin(), &all).await, ["maj wiki hand"]);
    // What was put there before a rule gave it stays, without a ground, when the rule ends.
    put_into(town, &groups[1], &bo).await;
    let wiki = active(town, "wiki", r#"employments[current eq true]"#, json!({})).await;
    assert_eq!(listed(town, &town.admin(), &all).await, [""; 0]);
    let end = json!([{ "op": "replace", "path": "lifecycle", "value": "deprecated" }]);
    town.patch(&town.admin(), "Rule", &wiki, end).await.expect("deprecated");
    wake(town).await;
    assert_eq!(listed(town, &town.admin(), &all).await, ["bo wiki hand", "maj wiki hand"]);
    let only = Rights { target: Some("Wiki".to_owned()), ..Rights::default() };
    assert_eq!(listed(town, &town.admin(), &only).await.len(), 2);
    let only = Rights { target: Some(groups[0].clone()), ..Rights::default() };
    assert_eq!(listed(town, &town.admin(), &only).await.len(), 0);
}

async fn what_was_held_after_its_dates_is_listed(town: &Town) {
    with_groups(town, &["nurses"]).await;
    active(town, "nurses", NURSE, json!({})).await;
    let maj = entered(town, works("maj", &[("1", "nurse", "2026-01-01", "")])).await;
    let bo = entered(town, works("bo", &[("1", "nurse", "2026-01-01", "2026-01-20")])).await;
    town.wait_until("2026-02-10").await;
    // HR says of one on the tenth of February that it was over in January; of the other it said so in time.
    let over = works("maj", &[("1", "nurse", "2026-01-01", "2026-01-31")]);
    town.replace(&town.hr(), &maj, over).await.expect("told");
    let late = page(town, &town.admin(), &Rights::default()).await.expect("a page");
    assert_eq!(late.rights.len(), 1, "{late:?}");
    let one = &late.rights[0];
    assert_eq!((one.user.0.to_string(), one.kind.as_str()), (maj.clone(), "late"));
    assert_eq!((one.since, one.until), (Some(at("2026-02-01")), Some(at("2026-02-10"))));
    assert_ne!(one.user.0.to_string(), bo);
}

async fn the_list_is_paged_and_a_cursor_belongs_to_its_question(town: &Town) {
    let groups = with_groups(town, &["a", "b"]).await;
    let mut users = Vec::new();
    for name in ["maj", "bo", "eva"] {
        let user = entered(town, works(name, &[("1", "clerk", "2026-01-01", "")])).await;
        put_into(town, &groups[0], &user).await;
        users.push(user);
    }
    put_into(town, &groups[1], &users[1]).await;
    let mut asked = Rights { count: Some(1), ..Rights::default() };
    let (mut found, mut pages) = (Vec::new(), 0);
    loop {
        let page = page(town, &town.admin(), &asked).await.expect("a page");
        pages += 1;
        found.extend(page.rights.into_iter().map(|right| (right.user.0.to_string(), right.target.2)));
        asked.cursor = page.next;
        if asked.cursor.is_none() {
            break;
        }
    }
    let mut expected =
        [(0, "a"), (1, "a"), (1, "b"), (2, "a")].map(|(at, name): (usize, _)| (users[at].clone(), name.to_owned()));
    assert!(found.is_sorted_by_key(|(user, _)| user.clone()), "{found:?}");
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    assert!(pages >= 3, "the rights of a person stand together: {pages}");
    let first = page(town, &town.admin(), &Rights { count: Some(1), ..Rights::default() }).await.expect("a page");
    let other = Rights { cursor: first.next, count: Some(1), target: Some("a".to_owned()), ..Rights::default() };
    let error = page(town, &town.admin(), &other).await.expect_err("of another question");
    assert!(error.to_string().contains("cursor"), "{error}");
}

async fn who_does_not_see_somebody_or_something_is_not_told_of_it(town: &Town) {
    let groups = with_groups(town, &["secret", "wiki"]).await;
    let mut bodies =
        [works("maj", &[("1", "clerk", "2026-01-01", "")]), works("bo", &[("1", "clerk", "2026-01-01", "")])];
    bodies[0]["userType"] = json!("staff");
    let protected = &mut bodies[1];
    protected["userType"] = json!("staff");
    protected[PERSON]["protectedIdentity"] = json!("skyddad");
    let [maj, bo] = bodies;
    let (maj, bo) = (entered(town, maj).await, entered(town, bo).await);
    let eva = entered(town, works("eva", &[("1", "clerk", "2026-01-01", "")])).await;
    for user in [&maj, &bo, &eva] {
        put_into(town, &groups[0], user).await;
        put_into(town, &groups[1], user).await;
    }
    let view = json!({
        "schemas": ["urn:matrikel:scim:schemas:1.0:View"], "name": "cloud", "protected": "hide",
        "types": [{ "type": "User", "filter": "userType eq \"staff\"" },
                  { "type": "Group", "filter": "displayName eq \"wiki\"" }],
    });
    let view = id(&town.create(&town.admin(), "View", view).await.expect("a view"));
    let registry = town.register.directory.registry_of(town.register.tenant);
    let document = town.stored(&view).await;
    let outlook = Outlook::through(view.parse().expect("an id"), document.as_object().expect("one").clone());
    let cloud = Ctx { views: outlook.views(&registry, Veil::None), ..town.consumer() };
    assert_eq!(listed(town, &town.admin(), &Rights::default()).await.len(), 6);
    assert_eq!(listed(town, &cloud, &Rights::default()).await, ["maj wiki hand"]);
}

async fn the_list_is_answered(place: &Municipality) {
    let Municipality { admin, hr, .. } = place.ready().await;
    let group = admin.post("/Groups", &json!({ "displayName": "=wiki" })).await.expect(201).body;
    let maj = place.enter("maj", &json!({ "employments": [] })).await;
    let add = json!([{ "op": "add", "path": "members", "value": [{ "value": maj["id"] }] }]);
    hr.patch(&format!("/Groups/{}", group["id"].as_str().expect("an id")), &add).await.expect(204);
    let told = admin.get("/Reports/rights").await.expect(200).body;
    assert_eq!(told["targets"], json!([{ "type": "Group", "value": group["id"], "display": "=wiki", "count": 1 }]));
    let right = &told["rights"][0];
    assert_eq!((&right["user"]["value"], &right["by"], &right["kind"]), (&maj["id"], &json!("hr"), &json!("hand")));
    assert!(right["since"].is_string() && told.get("nextCursor").is_none(), "{told}");
    let none = admin.get("/Reports/rights?kind=inherited").await.expect(200).body;
    assert_eq!((&none["rights"], &none["targets"]), (&json!([]), &json!([])));
    hr.get("/Reports/rights").await.expect(403);
    for wrong in ["kind=x", "count=0", "count=many", "cursor=x"] {
        admin.get(&format!("/Reports/rights?{wrong}")).await.expect(400);
    }
    let said = place.command(&["report", "--tenant", TENANT, "--rights"]).expect("told");
    assert!(said.contains("1  Group =wiki"), "{said}");
    let said = place.command(&["report", "--tenant", TENANT, "--rights", "--json"]).expect("told");
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!((&said["rights"][0]["user"], &said["targets"]), (&right["user"], &told["targets"]));
    let said = place.command(&["report", "--tenant", TENANT, "--rights", "--csv", "--kind", "hand"]).expect("told");
    assert!(said.lines().count() == 2 && said.contains(";'=wiki;hand;"), "{said}");
    place.command(&["report", "--tenant", TENANT, "--rights", "--kind", "x"]).expect_err("no kind");
    place.command(&["report", "--tenant", TENANT]).expect_err("a day, or rights");
}

//! What rules give, day by day: memberships and entitlements come and go with the facts, each with its ground.

use matrikel::directory::rules::Question;
use matrikel::directory::{Ctx, Error};
use provisioning::calendar::instant;
use serde_json::{Value, json};

use crate::lifecycle::town::{PERSON, Town, at};
use crate::support::both::on_both_databases;
use crate::support::register::id;

on_both_databases!(Town:
    a_right_comes_with_its_employment_and_goes_with_it,
    two_employments_hold_a_right_together_and_each_has_its_own_ground,
    what_somebody_put_into_a_group_stays_when_the_rule_ends,
    what_a_rule_gave_is_not_for_clients_to_take,
    rights_rest_with_the_account_and_what_was_given_by_hand_is_lost_when_it_closes,
    a_rule_gives_to_everybody_from_its_activation_on_and_takes_it_back,
    the_older_duty_stays_and_the_answer_says_why_the_newer_is_withheld,
    a_group_is_found_by_the_unit_of_the_employment_or_made,
    a_rule_needs_no_employments,
    what_was_held_is_told_for_any_moment,
);

/// Does what is due now.
pub(crate) async fn wake(town: &Town) {
    town.wake_at(&instant(town.now()).expect("a moment")).await;
}

/// A register with a policy, and groups of these names; their ids.
pub(crate) async fn with_groups(town: &Town, names: &[&str]) -> Vec<String> {
    town.with_policy(json!({})).await;
    let mut ids = Vec::new();
    for name in names {
        ids.push(id(&town.create(&town.admin(), "Group", json!({ "displayName": name })).await.expect("a group")));
    }
    ids
}

/// A rule that is active from now on; its id.
pub(crate) async fn active(town: &Town, name: &str, filter: &str, more: Value) -> String {
    let mut body = json!({ "name": name, "lifecycle": "active", "filter": filter });
    body["grants"] = json!([{ "type": "group", "value": name }]);
    for (name, value) in more.as_object().expect("an object") {
        body[name] = value.clone();
    }
    let made = town.create(&town.admin(), "Rule", body).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    wake(town).await;
    id(&made)
}

/// Somebody with these employments: key, task, first and last day.
pub(crate) fn works(name: &str, employments: &[(&str, &str, &str, &str)]) -> Value {
    let employments = employments.iter().map(|(id, task, start, end)| {
        let mut one = json!({ "employmentId": id, "type": "permanent", "taskCode": task, "start": start });
        if !end.is_empty() {
            one["end"] = json!(end);
        }
        one
    });
    json!({ "userName": name, "externalId": name, PERSON: { "employments": employments.collect::<Vec<_>>() } })
}

/// Names of the groups that somebody is in.
pub(crate) async fn groups(town: &Town, user: &str) -> Vec<String> {
    let user = town.whole(user).await;
    let groups = user["groups"].as_array().cloned().unwrap_or_default();
    let mut names: Vec<String> =
        groups.iter().map(|group| group["display"].as_str().expect("a name").to_owned()).collect();
    names.sort();
    names
}

/// Has a source enter somebody; the id.
pub(crate) async fn entered(town: &Town, body: Value) -> String {
    town.enter(&town.hr(), body).await["id"].as_str().expect("an id").to_owned()
}

pub(crate) async fn why(
    town: &Town,
    ctx: &Ctx,
    user: &str,
    target: Option<&str>,
    moment: Option<i64>,
) -> Result<Value, Error> {
    let question = Question { target: target.map(str::to_owned), at: moment };
    town.register.directory.why(ctx, user, question).await
}

/// The grounds for one target: kind, standing and reason.
async fn grounds(town: &Town, user: &str, target: &str) -> Vec<String> {
    let told = why(town, &town.admin(), user, Some(target), None).await.expect("an answer");
    let grounds = told["rights"][0]["grounds"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    grounds.iter().map(|one| format!("{} {}", text(&one["kind"]), text(&one["standing"]))).collect()
}

const NURSE: &str = r#"employments[taskCode eq "nurse" and current eq true]"#;

async fn a_right_comes_with_its_employment_and_goes_with_it(town: &Town) {
    with_groups(town, &["nurses"]).await;
    active(town, "nurses", NURSE, json!({ "after": 14 })).await;
    let maj =
        entered(town, works("maj", &[("1", "nurse", "2026-02-01", "2026-03-31"), ("2", "clerk", "2026-01-01", "")]))
            .await;
    assert_eq!(groups(town, &maj).await, [""; 0]);
    assert_eq!(grounds(town, &maj, "nurses").await, ["rule ahead"]);
    town.wait_until("2026-01-31T21:59:59Z").await;
    assert_eq!(groups(town, &maj).await, [""; 0]);
    town.wait_until("2026-02-01").await;
    assert_eq!(groups(town, &maj).await, ["nurses"]);
    // The employment ends; the rule leaves a fortnight, the account has another employment.
    town.wait_until("2026-04-14").await;
    assert_eq!(groups(town, &maj).await, ["nurses"]);
    let told = why(town, &town.admin(), &maj, Some("nurses"), None).await.expect("an answer");
    let ground = &told["rights"][0]["grounds"][0];
    assert_eq!(
        (&ground["rule"]["name"], &ground["from"], &ground["to"]),
        (&json!("nurses"), &json!("2026-02-01"), &json!("2026-04-14"))
    );
    assert_eq!(ground["since"].as_str().map(at), Some(at("2026-02-01")));
    assert_eq!(ground["facts"]["employments"][0]["taskCode"], "nurse");
    town.wait_until("2026-04-15").await;
    assert_eq!(groups(town, &maj).await, [""; 0]);
    assert_eq!(grounds(town, &maj, "nurses").await, ["rule unfit"]);
    let changes = town.register.changes().await;
    let last = changes.last().expect("a change");
    assert_eq!((last.kind.as_str(), last.cause.as_str()), ("Group", "due"), "it is a revision of the group");
    assert_eq!(town.wait_until("2027-01-01").await.changed, 0);
}

async fn two_employments_hold_a_right_together_and_each_has_its_own_ground(town: &Town) {
    with_groups(town, &["nurses"]).await;
    active(town, "nurses", NURSE, json!({})).await;
    let two = [("1", "nurse", "2026-01-01", "2026-02-28"), ("2", "nurse", "2026-02-01", "2026-04-30")];
    let maj = entered(town, works("maj", &two)).await;
    town.wait_until("2026-02-10").await;
    assert_eq!(grounds(town, &maj, "nurses").await, ["rule held", "rule held"]);
    let before = town.register.changes().await.len();
    town.wait_until("2026-03-10").await;
    assert_eq!(groups(town, &maj).await, ["nurses"]);
    let moved = town.register.changes().await.into_iter().skip(before).filter(|change| change.kind == "Group").count();
    assert_eq!(moved, 0, "a right with a ground before and after is never taken and given again");
    assert_eq!(grounds(town, &maj, "nurses").await, ["rule held"]);
    town.wait_until("2026-05-01").await;
    assert_eq!(groups(town, &maj).await, [""; 0]);
}

async fn what_somebody_put_into_a_group_stays_when_the_rule_ends(town: &Town) {
    let ids = with_groups(town, &["nurses"]).await;
    let maj = entered(town, works("maj", &[("1", "clerk", "2026-01-01", "")])).await;
    let add = json!([{ "op": "add", "path": "members", "value": [{ "value": maj }] }]);
    town.patch(&town.admin(), "Group", &ids[0], add).await.expect("added");
    active(town, "nurses", NURSE, json!({})).await;
    assert_eq!(groups(town, &maj).await, ["nurses"]);
    let both = [("1", "clerk", "2026-01-01", ""), ("2", "nurse", "2026-01-01", "2026-02-28")];
    town.replace(&town.hr(), &maj, works("maj", &both)).await.expect("taken");
    assert_eq!(grounds(town, &maj, "nurses").await, ["rule held", "hand -"]);
    town.wait_until("2026-03-01").await;
    assert_eq!(groups(town, &maj).await, ["nurses"], "it was put there by hand");
    // And goes by hand.
    let remove = json!([{ "op": "remove", "path": format!("members[value eq \"{maj}\"]") }]);
    town.patch(&town.admin(), "Group", &ids[0], remove).await.expect("removed");
    assert_eq!(groups(town, &maj).await, [""; 0]);
    town.replace(&town.hr(), &maj, works("maj", &[("1", "clerk", "2026-01-02", "")])).await.expect("taken");
    assert_eq!(groups(town, &maj).await, [""; 0], "it does not come back");
}

async fn what_a_rule_gave_is_not_for_clients_to_take(town: &Town) {
    let ids = with_groups(town, &["nurses"]).await;
    let rule = active(town, "nurses", NURSE, json!({})).await;
    let maj = entered(town, works("maj", &[("1", "nurse", "2026-01-01", "")])).await;
    let bo = entered(town, works("bo", &[("1", "clerk", "2026-01-01", "")])).await;
    let add = json!([{ "op": "add", "path": "members", "value": [{ "value": bo }] }]);
    town.patch(&town.admin(), "Group", &ids[0], add).await.expect("added");
    let remove = |user: &str| json!([{ "op": "remove", "path": format!("members[value eq \"{user}\"]") }]);
    let refused = town.patch(&town.admin(), "Group", &ids[0], remove(&maj)).await.expect_err("refused");
    assert!(
        matches!(&refused, Error::Denied(told) if told.contains("the rule nurses") && told.contains("exclude")),
        "{refused}"
    );
    // Whoever says what all members are speaks of its own.
    let nobody = json!([{ "op": "replace", "path": "members", "value": [] }]);
    town.patch(&town.admin(), "Group", &ids[0], nobody).await.expect("taken");
    assert_eq!((groups(town, &maj).await, groups(town, &bo).await), (vec!["nurses".to_owned()], vec![]));
    // The way out is beside the rule, with a reason and a last day.
    let out = json!([{ "op": "add", "path": "exclude", "value": [{ "value": maj, "reason": "inquiry", "until": "2026-02-10" }] }]);
    town.patch(&town.admin(), "Rule", &rule, out).await.expect("excluded");
    wake(town).await;
    assert_eq!(groups(town, &maj).await, [""; 0]);
    assert_eq!(grounds(town, &maj, "nurses").await, ["rule excluded"]);
    town.wait_until("2026-02-10T21:00:00Z").await;
    assert_eq!(groups(town, &maj).await, [""; 0]);
    town.wait_until("2026-02-11").await;
    assert_eq!(groups(town, &maj).await, ["nurses"]);
}

async fn rights_rest_with_the_account_and_what_was_given_by_hand_is_lost_when_it_closes(town: &Town) {
    with_groups(town, &["nurses", "choir"]).await;
    active(town, "nurses", NURSE, json!({})).await;
    let mut body = works("maj", &[("1", "nurse", "2026-01-01", "2026-06-30")]);
    body[PERSON]["leaves"] = json!([{ "employmentId": "1", "from": "2026-02-01", "to": "2026-02-28" }]);
    let maj = entered(town, body).await;
    let include = json!([{ "value": maj, "reason": "sings", "until": "2026-12-31" }]);
    active(town, "choir", "title eq \"singer\"", json!({ "include": include })).await;
    assert_eq!(groups(town, &maj).await, ["choir", "nurses"]);
    town.wait_until("2026-02-10").await;
    assert_eq!(groups(town, &maj).await, [""; 0], "the account rests");
    town.wait_until("2026-03-01").await;
    assert_eq!(groups(town, &maj).await, ["choir", "nurses"]);
    town.wait_until("2026-07-01").await;
    assert_eq!(groups(town, &maj).await, [""; 0]);
    // Who comes back has what the rules give, and not what somebody once gave.
    let again = works("maj", &[("1", "nurse", "2026-01-01", "2026-06-30"), ("2", "nurse", "2026-07-05", "")]);
    town.replace(&town.hr(), &maj, again).await.expect("taken");
    town.wait_until("2026-07-06").await;
    assert_eq!(groups(town, &maj).await, ["nurses"]);
    assert_eq!(grounds(town, &maj, "choir").await, ["hand lapsed"]);
}

async fn a_rule_gives_to_everybody_from_its_activation_on_and_takes_it_back(town: &Town) {
    with_groups(town, &["nurses"]).await;
    let mut people = Vec::new();
    for n in 0..7 {
        let task = if n < 5 { "nurse" } else { "clerk" };
        people.push(entered(town, works(&format!("p{n}"), &[("1", task, "2026-01-01", "")])).await);
    }
    let rule = town
        .create(
            &town.admin(),
            "Rule",
            json!({ "name": "nurses", "filter": NURSE, "grants": [{ "type": "group", "value": "nurses" }] }),
        )
        .await;
    let rule = id(&rule.expect("a rule"));
    wake(town).await;
    assert_eq!(groups(town, &people[0]).await, [""; 0], "what is proposed gives nothing");
    let set = |stage: &str| json!([{ "op": "replace", "path": "lifecycle", "value": stage }]);
    town.patch(&town.admin(), "Rule", &rule, set("active")).await.expect("active");
    wake(town).await;
    for (n, user) in people.iter().enumerate() {
        assert_eq!(groups(town, user).await.len(), usize::from(n < 5), "{n}");
    }
    town.patch(&town.admin(), "Rule", &rule, set("deprecated")).await.expect("deprecated");
    wake(town).await;
    for user in &people {
        assert_eq!(groups(town, user).await, [""; 0]);
    }
}

async fn the_older_duty_stays_and_the_answer_says_why_the_newer_is_withheld(town: &Town) {
    with_groups(town, &["pays", "approves"]).await;
    active(town, "pays", r#"employments[taskCode eq "pays"]"#, json!({})).await;
    active(town, "approves", r#"employments[taskCode eq "approves"]"#, json!({ "notWith": ["pays"] })).await;
    let maj =
        entered(town, works("maj", &[("1", "pays", "2026-01-01", "2026-03-31"), ("2", "approves", "2026-02-01", "")]))
            .await;
    town.wait_until("2026-02-02").await;
    assert_eq!(groups(town, &maj).await, ["pays"]);
    let told = why(town, &town.admin(), &maj, Some("approves"), None).await.expect("an answer");
    assert_eq!(told["rights"][0]["held"], false);
    let ground = &told["rights"][0]["grounds"][0];
    assert_eq!(
        (&ground["standing"], &ground["reason"]),
        (&json!("withheld"), &json!("it must not be combined with the rule pays"))
    );
    town.wait_until("2026-04-01").await;
    assert_eq!(groups(town, &maj).await, ["approves"], "when the older one is over the newer is given");
}

async fn a_group_is_found_by_the_unit_of_the_employment_or_made(town: &Town) {
    with_groups(town, &["SKL-staff"]).await;
    let by_unit = |missing: &str| json!({ "grants": [{ "type": "group", "value": "{{ unit.code }}-staff", "missing": missing }] });
    let rule = active(town, "staff", "employments[unit pr]", by_unit("report")).await;
    let mut body = works("maj", &[("1", "nurse", "2026-01-01", ""), ("2", "clerk", "2026-01-01", "")]);
    body[PERSON]["employments"][0]["unit"] = json!("SKL");
    body[PERSON]["employments"][1]["unit"] = json!("BIB");
    let maj = entered(town, body).await;
    assert_eq!(groups(town, &maj).await, ["SKL-staff"]);
    let told = why(town, &town.admin(), &maj, None, None).await.expect("an answer").to_string();
    assert!(told.contains("there is no group \\\"BIB-staff\\\""), "{told}");
    town.patch(
        &town.admin(),
        "Rule",
        &rule,
        json!([{ "op": "replace", "path": "grants", "value": by_unit("create")["grants"] }]),
    )
    .await
    .expect("taken");
    wake(town).await;
    assert_eq!(groups(town, &maj).await, ["BIB-staff", "SKL-staff"]);
}

async fn a_rule_needs_no_employments(town: &Town) {
    with_groups(town, &["guests"]).await;
    active(town, "guests", "userType eq \"guest\"", json!({})).await;
    let made = town.create(&town.admin(), "User", json!({ "userName": "bo", "userType": "guest" })).await;
    let bo = id(&made.expect("made"));
    assert_eq!(groups(town, &bo).await, ["guests"]);
    town.patch(&town.admin(), "User", &bo, json!([{ "op": "replace", "path": "userType", "value": "staff" }]))
        .await
        .expect("taken");
    assert_eq!(groups(town, &bo).await, [""; 0]);
    let told = why(town, &town.admin(), &bo, Some("guests"), None).await.expect("an answer");
    assert_eq!(
        told["rights"][0]["grounds"][0]["failed"],
        json!(["userType is \"staff\", asked for is exactly \"guest\""])
    );
}

async fn what_was_held_is_told_for_any_moment(town: &Town) {
    with_groups(town, &["nurses"]).await;
    active(town, "nurses", NURSE, json!({})).await;
    let maj = entered(town, works("maj", &[("1", "nurse", "2026-02-01", ""), ("2", "clerk", "2026-01-01", "")])).await;
    town.wait_until("2026-05-20T10:00:00Z").await;
    // HR was late: the last day was weeks ago.
    let ended = works("maj", &[("1", "nurse", "2026-02-01", "2026-05-03"), ("2", "clerk", "2026-01-01", "")]);
    town.replace(&town.hr(), &maj, ended).await.expect("taken");
    assert_eq!(groups(town, &maj).await, [""; 0]);
    town.wait_until("2026-06-01").await;
    let at_moment = async |moment: &str| {
        why(town, &town.admin(), &maj, Some("nurses"), Some(at(moment))).await.expect("an answer")["rights"][0].clone()
    };
    assert_eq!(at_moment("2026-01-31").await["held"], false);
    let held = at_moment("2026-05-01").await;
    assert_eq!((&held["held"], held["grounds"][0].get("withoutGround")), (&json!(true), None));
    assert_eq!(held["grounds"][0]["until"].as_str().map(at), Some(at("2026-05-20T10:00:00Z")));
    assert_eq!(
        at_moment("2026-05-10").await["grounds"][0]["withoutGround"],
        true,
        "held, though the dates did not say so"
    );
    assert_eq!(at_moment("2026-05-21").await["held"], false);
    let ahead = why(town, &town.admin(), &maj, None, Some(at("2027-01-01"))).await;
    assert!(matches!(ahead, Err(Error::Scim(error)) if error.status == 400));
    let nothing = why(town, &town.admin(), &maj, Some("nobody knows"), None).await;
    assert!(matches!(nothing, Err(Error::Scim(error)) if error.status == 400));
}

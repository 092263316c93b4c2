//! Seats one by one: nobody gets more than there are, what rests, what is confirmed, what is given by hand.

use matrikel::directory::Error;
use serde_json::{Value, json};

use super::pool::{
    NURSE, assignments, check, counts, entered, entitlement, found, gives, has, permit, search, seat, standing, target,
    with_pool,
};
use crate::guard::items::told;
use crate::lifecycle::town::{PERSON, Town};
use crate::rules::grants::{wake, works};
use crate::support::both::on_both_databases;

on_both_databases!(Town:
    however_many_ask_at_once_no_more_are_assigned_than_permitted,
    a_rule_gives_its_seats_to_those_who_come_first_by_priority_and_start,
    fewer_seats_take_nothing_from_anybody_and_more_go_to_the_queue,
    a_seat_rests_with_its_holder_for_so_many_days,
    a_seat_is_free_when_the_target_system_has_confirmed_it,
    a_seat_is_reserved_before_the_first_day,
    a_seat_is_kept_until_limbo_where_the_policy_says_so,
    two_employments_are_two_grounds_and_one_seat,
    what_is_given_by_hand_takes_a_seat_or_is_refused,
    a_restricted_entitlement_is_given_to_nobody_by_hand_and_rests_in_every_leave,
    seats_are_not_for_clients_to_write,
);

async fn however_many_ask_at_once_no_more_are_assigned_than_permitted(town: &Town) {
    let suite = with_pool(town, 7, json!({})).await;
    gives(town, "staff", "userType eq \"staff\"", json!({})).await;
    let mut asking = tokio::task::JoinSet::new();
    for n in 0..40 {
        let (directory, ctx, definition) = (town.register.directory.clone(), town.hr(), town.definition("User"));
        asking.spawn(async move {
            let body = json!({ "userName": format!("u{n}"), "userType": "staff" });
            let whole = scim::resource::Projection::whole(&definition);
            directory.create(&ctx, &definition, body, &whole).await.map(drop)
        });
    }
    while let Some(asked) = asking.join_next().await {
        asked.expect("no panic").expect("entered");
    }
    assert_eq!(counts(town, &suite).await, [7, 0, 0, 33, 0]);
    assert_eq!(assignments(town, "state eq \"assigned\"").await.len(), 7);
    assert_eq!(assignments(town, "state eq \"waiting\"").await.len(), 33);
    let with = search(town, "User", &[("filter", "entitlements.value eq \"suite\"")]).await;
    assert_eq!(with["totalResults"], 7);
    check(town).await;
    wake(town).await;
    assert_eq!(counts(town, &suite).await, [7, 0, 0, 33, 0]);
}

async fn a_rule_gives_its_seats_to_those_who_come_first_by_priority_and_start(town: &Town) {
    let suite = with_pool(town, 3, json!({ "priority": 1 })).await;
    let mut people = Vec::new();
    for (name, start) in [("a", "2025-05-01"), ("b", "2025-04-01"), ("c", "2025-03-01"), ("d", "2025-02-01")] {
        people.push(entered(town, works(name, &[("1", "nurse", start, "")])).await);
    }
    let mut head = works("head", &[("1", "nurse", "2026-01-02", "")]);
    head[PERSON]["employments"][0]["title"] = json!("head");
    let head = entered(town, head).await;
    // Nobody of those who are looked at first gets one before all have asked.
    gives(town, "heads", r#"employments[title eq "head"]"#, json!({ "priority": 5, "lifecycle": "proposed" })).await;
    let heads = search(town, "Rule", &[]).await["Resources"][0]["id"].clone();
    let nurses = gives(town, "nurses", NURSE, json!({ "lifecycle": "proposed" })).await;
    let activate = json!([{ "op": "replace", "path": "lifecycle", "value": "active" }]);
    for rule in [nurses.as_str(), heads.as_str().expect("an id")] {
        town.patch(&town.admin(), "Rule", rule, activate.clone()).await.expect("active");
    }
    wake(town).await;
    let mut seats = Vec::new();
    for user in people.iter().chain([&head]) {
        seats.push(seat(town, user).await);
    }
    assert_eq!(seats, ["waiting", "waiting", "assigned", "assigned", "assigned"]);
    assert_eq!(counts(town, &suite).await, [3, 0, 0, 2, 0]);
    let queue = assignments(town, "state eq \"waiting\"").await;
    assert_eq!(queue[0]["user"]["value"], people[1], "the queue is read in its order");
    check(town).await;
}

async fn fewer_seats_take_nothing_from_anybody_and_more_go_to_the_queue(town: &Town) {
    let suite = with_pool(town, 3, json!({})).await;
    gives(town, "staff", "userType eq \"staff\"", json!({})).await;
    let mut people = Vec::new();
    for n in 0..5 {
        people.push(entered(town, json!({ "userName": format!("u{n}"), "userType": "staff" })).await);
    }
    permit(town, &suite, 1).await;
    assert_eq!(counts(town, &suite).await, [3, 0, 0, 2, 2], "nothing is taken, and it is told");
    assert_eq!(told(town).await, ["overPermitted open"], "somebody has to decide");
    let leave = json!([{ "op": "replace", "path": "userType", "value": "guest" }]);
    town.patch(&town.hr(), "User", &people[0], leave.clone()).await.expect("gone");
    wake(town).await;
    assert_eq!(counts(town, &suite).await, [2, 0, 0, 2, 1], "nothing is assigned");
    assert_eq!(told(town).await, ["overPermitted open"]);
    check(town).await;
    permit(town, &suite, 3).await;
    assert_eq!(counts(town, &suite).await, [3, 0, 0, 1, 0]);
    assert_eq!(told(town).await, ["overPermitted done"]);
    // Who asked at the same moment is told apart by the id.
    let first = people[3..].iter().min().expect("two wait");
    assert_eq!(seat(town, first).await, "assigned", "the first in the queue");
    permit(town, &suite, 9).await;
    assert_eq!(counts(town, &suite).await, [4, 0, 0, 0, 0]);
    // What is not limited any more has no seats.
    let unlimit = json!([{ "op": "replace", "path": "limitedAssignmentsPermitted", "value": false }]);
    town.patch(&town.admin(), "Entitlement", &suite, unlimit).await.expect("for everybody");
    wake(town).await;
    assert_eq!((assignments(town, "user pr").await.len(), counts(town, &suite).await), (0, [0; 5]));
    assert_eq!(has(town, &people[4]).await, ["suite"]);
    // And limited again: whoever has it keeps it, though there are not so many.
    let limit =
        json!([{ "op": "replace", "value": { "limitedAssignmentsPermitted": true, "totalAssignmentsPermitted": 2 } }]);
    town.patch(&town.admin(), "Entitlement", &suite, limit).await.expect("limited");
    wake(town).await;
    assert_eq!((counts(town, &suite).await, has(town, &people[4]).await), ([4, 0, 0, 0, 2], vec!["suite".to_owned()]));
    check(town).await;
}

async fn a_seat_rests_with_its_holder_for_so_many_days(town: &Town) {
    let suite = with_pool(town, 1, json!({ "leaveDays": 30 })).await;
    gives(town, "nurses", NURSE, json!({})).await;
    let mut body = works("maj", &[("1", "nurse", "2025-01-01", "")]);
    body[PERSON]["leaves"] =
        json!([{ "employmentId": "1", "type": "parental", "from": "2026-02-01", "to": "2026-05-31" }]);
    let maj = entered(town, body).await;
    let other = entered(town, works("siv", &[("1", "nurse", "2026-01-01", "")])).await;
    town.wait_until("2026-02-01").await;
    assert_eq!((seat(town, &maj).await, has(town, &maj).await), ("reserved resting".into(), vec![]));
    assert_eq!((seat(town, &other).await, counts(town, &suite).await), ("waiting".into(), [1, 1, 0, 1, 0]));
    town.wait_until("2026-03-02T21:59:59Z").await;
    assert_eq!(seat(town, &other).await, "waiting");
    town.wait_until("2026-03-03").await;
    assert_eq!((seat(town, &maj).await, seat(town, &other).await), ("-".into(), "assigned".into()));
    check(town).await;
    town.wait_until("2026-06-01").await;
    assert_eq!((seat(town, &maj).await, standing(town, &maj).await), ("waiting".into(), vec!["rule waiting 1".into()]));
    permit(town, &suite, 2).await;
    assert_eq!(has(town, &maj).await, ["suite"]);
    check(town).await;
}

async fn a_seat_is_free_when_the_target_system_has_confirmed_it(town: &Town) {
    let suite = with_pool(town, 1, json!({ "confirmation": true, "price": 12 })).await;
    gives(town, "nurses", NURSE, json!({})).await;
    let leaver = entered(town, works("leaver", &[("1", "nurse", "2025-01-01", "2026-01-31")])).await;
    let next = entered(town, works("next", &[("1", "nurse", "2026-01-01", "")])).await;
    town.wait_until("2026-02-02").await;
    assert_eq!((seat(town, &leaver).await, has(town, &leaver).await), ("reclaimPending".into(), vec![]));
    assert_eq!((seat(town, &next).await, counts(town, &suite).await), ("waiting".into(), [1, 0, 1, 1, 0]));
    let pending = assignments(town, "state eq \"reclaimPending\"").await;
    let pending = pending[0]["id"].as_str().expect("an id");
    // Even the account may go before.
    town.delete(&town.admin(), "User", &leaver).await.expect("purged");
    assert_eq!(counts(town, &suite).await, [1, 0, 1, 1, 0]);
    let reader = town.with_scopes("reader", "User:read Assignment:read");
    let allowed = reader.caller.scopes.allow("Assignment", matrikel::directory::scope::Access::Write);
    assert!(!allowed, "who may read does not confirm");
    town.delete(&target(town), "Assignment", pending).await.expect("confirmed");
    wake(town).await;
    assert_eq!((seat(town, &next).await, counts(town, &suite).await), ("assigned".into(), [1, 0, 0, 0, 0]));
    let again = town.delete(&target(town), "Assignment", pending).await.expect_err("gone");
    assert!(matches!(again, Error::Scim(error) if error.status == 404));
    check(town).await;
}

async fn a_seat_is_reserved_before_the_first_day(town: &Town) {
    let suite = with_pool(town, 1, json!({ "confirmation": true })).await;
    gives(town, "nurses", NURSE, json!({})).await;
    let new = entered(town, works("new", &[("1", "nurse", "2026-02-01", "")])).await;
    assert_eq!(seat(town, &new).await, "-");
    town.wait_until("2026-01-18").await;
    assert_eq!((seat(town, &new).await, has(town, &new).await), ("reserved".into(), vec![]));
    assert_eq!(counts(town, &suite).await, [1, 1, 0, 0, 0]);
    // A start that is cancelled gives it back, and nothing is to be confirmed.
    let none = json!([{ "op": "replace", "path": format!("{PERSON}:employments"), "value": [
        { "employmentId": "1", "type": "permanent", "taskCode": "clerk", "start": "2026-02-01" }] }]);
    town.patch(&town.hr(), "User", &new, none).await.expect("another task");
    assert_eq!((seat(town, &new).await, counts(town, &suite).await), ("-".into(), [0; 5]));
    let back = json!([{ "op": "replace", "path": format!("{PERSON}:employments"), "value": [
        { "employmentId": "1", "type": "permanent", "taskCode": "nurse", "start": "2026-02-01" }] }]);
    town.patch(&town.hr(), "User", &new, back).await.expect("as before");
    town.wait_until("2026-02-01").await;
    assert_eq!((seat(town, &new).await, has(town, &new).await), ("assigned".into(), vec!["suite".to_owned()]));
    check(town).await;
}

async fn a_seat_is_kept_until_limbo_where_the_policy_says_so(town: &Town) {
    let suite = with_pool(town, 1, json!({ "freeAt": "limbo" })).await;
    gives(town, "nurses", NURSE, json!({})).await;
    let leaver = entered(town, works("leaver", &[("1", "nurse", "2025-01-01", "2026-01-31")])).await;
    town.wait_until("2026-02-15").await;
    assert_eq!((seat(town, &leaver).await, has(town, &leaver).await), ("assigned".into(), vec!["suite".to_owned()]));
    assert_eq!(town.wait_until("2026-02-20").await.changed, 0);
    let grants = format!("SELECT COUNT(*) FROM grant_ WHERE ground_kind = '{}'", "hand");
    assert_eq!(town.register.number(&grants), 0, "a seat that is kept is nobody's ground");
    town.wait_until("2026-03-05").await;
    assert_eq!((seat(town, &leaver).await, has(town, &leaver).await), ("-".into(), vec![]));
    // Whoever comes back within the window has a right to ask again.
    let back = works("leaver", &[("1", "nurse", "2025-01-01", "2026-01-31"), ("2", "nurse", "2026-03-01", "")]);
    town.replace(&town.hr(), &leaver, back).await.expect("back");
    wake(town).await;
    assert_eq!((seat(town, &leaver).await, counts(town, &suite).await), ("assigned".into(), [1, 0, 0, 0, 0]));
    check(town).await;
}

async fn two_employments_are_two_grounds_and_one_seat(town: &Town) {
    let suite = with_pool(town, 1, json!({})).await;
    gives(town, "nurses", NURSE, json!({})).await;
    let jobs = [("1", "nurse", "2025-01-01", "2026-01-31"), ("2", "nurse", "2025-06-01", "2026-03-31")];
    let both = entered(town, works("both", &jobs)).await;
    assert_eq!(
        (standing(town, &both).await, counts(town, &suite).await),
        (vec!["rule held".into(); 2], [1, 0, 0, 0, 0])
    );
    let before = town.register.changes().await.len();
    town.wait_until("2026-02-02").await;
    let changes = town.register.changes().await;
    assert!(changes[before..].iter().all(|change| change.kind != "Assignment"), "the seat is not touched");
    assert_eq!((seat(town, &both).await, has(town, &both).await), ("assigned".into(), vec!["suite".to_owned()]));
    town.wait_until("2026-04-02").await;
    assert_eq!((seat(town, &both).await, counts(town, &suite).await), ("-".into(), [0; 5]));
}

async fn what_is_given_by_hand_takes_a_seat_or_is_refused(town: &Town) {
    let suite = with_pool(town, 2, json!({})).await;
    let rule = gives(town, "nurses", NURSE, json!({})).await;
    let ann = entered(town, works("ann", &[("1", "clerk", "2025-01-01", "")])).await;
    let bea = entered(town, works("bea", &[("1", "clerk", "2025-01-01", "")])).await;
    let cia = entered(town, works("cia", &[("1", "clerk", "2025-01-01", "")])).await;
    // With a giver, a reason and an end, beside the rule.
    let include = json!([{ "op": "add", "path": "include", "value": [
        { "value": ann, "reason": "stands in", "until": "2026-02-28" }] }]);
    town.patch(&town.admin(), "Rule", &rule, include).await.expect("included");
    wake(town).await;
    assert_eq!(
        (standing(town, &ann).await, has(town, &ann).await),
        (vec!["hand held".into()], vec!["suite".to_owned()])
    );
    // Written into the user, as any other entitlement.
    let add = json!([{ "op": "add", "path": "entitlements", "value": [{ "value": "Suite" }] }]);
    town.patch(&town.admin(), "User", &bea, add.clone()).await.expect("the last seat");
    assert_eq!((seat(town, &bea).await, counts(town, &suite).await), ("assigned".into(), [2, 0, 0, 0, 0]));
    let refused = town.patch(&town.admin(), "User", &cia, add).await.expect_err("none is left");
    assert!(matches!(refused, Error::Scim(error) if error.status == 409));
    assert_eq!((seat(town, &cia).await, counts(town, &suite).await), ("-".into(), [2, 0, 0, 0, 0]));
    town.wait_until("2026-03-01").await;
    assert_eq!((seat(town, &ann).await, counts(town, &suite).await), ("-".into(), [1, 0, 0, 0, 0]));
    let none = json!([{ "op": "remove", "path": "entitlements" }]);
    town.patch(&town.admin(), "User", &bea, none).await.expect("given back");
    assert_eq!((seat(town, &bea).await, counts(town, &suite).await), ("-".into(), [0; 5]));
    check(town).await;
}

async fn a_restricted_entitlement_is_given_to_nobody_by_hand_and_rests_in_every_leave(town: &Town) {
    let suite = with_pool(town, 5, json!({ "restricted": true })).await;
    let rule = gives(town, "nurses", NURSE, json!({})).await;
    let ann = entered(town, works("ann", &[("1", "clerk", "2025-01-01", "")])).await;
    let include = json!([{ "op": "add", "path": "include", "value": [
        { "value": ann, "reason": "stands in", "until": "2026-02-28" }] }]);
    town.patch(&town.admin(), "Rule", &rule, include).await.expect("saved");
    wake(town).await;
    assert_eq!((standing(town, &ann).await, has(town, &ann).await), (vec!["hand withheld".into()], vec![]));
    let add = json!([{ "op": "add", "path": "entitlements", "value": [{ "value": "suite" }] }]);
    let other = entered(town, works("bea", &[("1", "clerk", "2025-01-01", "")])).await;
    assert!(matches!(town.patch(&town.admin(), "User", &other, add).await, Err(Error::Denied(_))));
    let mut maj = works("maj", &[("1", "nurse", "2025-01-01", "")]);
    maj[PERSON]["leaves"] = json!([
        { "employmentId": "1", "type": "study", "from": "2026-02-01", "to": "2026-02-28", "keepAccess": true }]);
    let maj = entered(town, maj).await;
    assert_eq!(has(town, &maj).await, ["suite"]);
    town.wait_until("2026-02-01").await;
    assert_eq!((seat(town, &maj).await, has(town, &maj).await), ("reserved resting".into(), vec![]));
    town.wait_until("2026-03-01").await;
    assert_eq!((seat(town, &maj).await, has(town, &maj).await), ("assigned".into(), vec!["suite".to_owned()]));
    assert_eq!(counts(town, &suite).await, [1, 0, 0, 0, 0]);
    check(town).await;
}

async fn seats_are_not_for_clients_to_write(town: &Town) {
    let suite = with_pool(town, 1, json!({})).await;
    gives(town, "staff", "userType eq \"staff\"", json!({})).await;
    let user = entered(town, json!({ "userName": "u", "userType": "staff" })).await;
    let seat_id = assignments(town, "user pr").await[0]["id"].as_str().expect("an id").to_owned();
    assert!(matches!(town.create(&town.admin(), "Assignment", json!({})).await, Err(Error::Denied(_))));
    assert!(matches!(town.delete(&town.admin(), "Assignment", &seat_id).await, Err(Error::Denied(_))));
    let patch = json!([{ "op": "replace", "path": "state", "value": "free" }]);
    assert!(town.patch(&town.admin(), "Assignment", &seat_id, patch).await.is_err());
    // What is counted is the server's to say, and an entitlement goes when nobody has it.
    let lie = json!([{ "op": "replace", "path": "totalAssignmentsUsed", "value": 0 }]);
    town.patch(&town.admin(), "Entitlement", &suite, lie).await.expect("taken");
    assert_eq!(counts(town, &suite).await, [1, 0, 0, 0, 0]);
    let refused = town.delete(&town.admin(), "Entitlement", &suite).await.expect_err("in use");
    assert!(matches!(refused, Error::Scim(error) if error.status == 409));
    let wrong = json!({ "value": "x", "limitedAssignmentsPermitted": true });
    let refused: Result<_, Error> = town.create(&town.admin(), "Entitlement", wrong).await;
    assert!(refused.expect_err("how many").to_string().contains("totalAssignmentsPermitted"));
    // An account that goes gives its seat back.
    town.delete(&town.admin(), "User", &user).await.expect("purged");
    assert_eq!(counts(town, &suite).await, [0; 5]);
    town.delete(&town.admin(), "Entitlement", &suite).await.expect("nobody has it");
    let other: Value = found(town, "Entitlement", &entitlement(town, "other", 3, json!({})).await).await;
    assert_eq!(other["totalAssignmentsUsed"], 0);
    check(town).await;
}

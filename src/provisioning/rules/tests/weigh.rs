//! Rights that stand against each other, and what is to change: by cases, and by properties over random people.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use super::super::*;
use super::{day, document, rule};

const AT: &str = "2026-06-15";

/// A User with one employment for each of the tasks, begun one after the other.
fn with_tasks(tasks: &[&str]) -> Map<String, Value> {
    let employment = |(index, task): (usize, &&str)| json!({ "employmentId": format!("{index}"), "start": format!("2026-01-{:02}", index + 1), "taskCode": task });
    document(json!({ "employments": tasks.iter().enumerate().map(employment).collect::<Vec<_>>() }))
}

fn for_task(task: &str, more: Value) -> Arc<Rule> {
    Arc::new(rule(task, &format!("employments[taskCode eq \"{task}\"]"), more))
}

fn target(gives: &Gives, _: &Ground, _: &When) -> Result<String, String> {
    match gives.value.as_str() {
        "nowhere-group" => Err("there is no group nowhere-group".to_owned()),
        value => Ok(value.to_owned()),
    }
}

fn held(kind: Kind, target: &str, ground: &str, since: i64) -> Held {
    Held { target: target.to_owned(), kind, ground: ground.to_owned(), since, state: State::Held }
}

fn judge(rules: &[Arc<Rule>], tasks: &[&str], held: &[Held], account: Account) -> Vec<Judged> {
    let document = with_tasks(tasks);
    let case = Case::new("u", &document, day(AT));
    weigh(claims(rules, &case, target), &case, held, &[], &[], account)
}

fn standings(judged: &[Judged]) -> Vec<(String, Standing)> {
    judged.iter().map(|one| (one.claim.rule.name.clone(), one.standing.clone())).collect()
}

fn withheld(rule: &str) -> Standing {
    Standing::Withheld(format!("it must not be combined with the rule {rule}"))
}

#[test]
fn in_a_family_the_highest_rank_gives_and_the_others_say_by_what_they_are_superseded() {
    let rules = [
        for_task("low", json!({ "family": "f", "rank": 1 })),
        for_task("high", json!({ "family": "F", "rank": 3 })),
        for_task("mid", json!({ "family": "f", "rank": 2 })),
        for_task("alien", json!({ "family": "g", "rank": 1 })),
    ];
    let judged = judge(&rules, &["low", "mid", "alien"], &[], Account::Holds);
    let expected = [("low", Standing::Superseded("mid".into())), ("mid", Standing::Held), ("alien", Standing::Held)];
    assert_eq!(standings(&judged), expected.map(|(name, standing)| (name.to_owned(), standing)));
    // Somebody who gets the higher one loses the lower one, and not before.
    let had = [held(Kind::Rule, "low-group", "low/0", 1)];
    let judged = self::judge(&rules, &["low", "high"], &had, Account::Holds);
    let plan = plan(&judged, &had, Account::Holds);
    assert_eq!((plan.take, plan.give), (vec!["low-group".to_owned()], vec!["high-group".to_owned()]));
}

#[test]
fn of_duties_that_must_not_meet_the_older_right_stays_and_the_new_one_is_withheld() {
    let rules = [for_task("pays", json!({ "notWith": ["Approves"] })), for_task("approves", json!({}))];
    for (had, expected) in [
        (held(Kind::Rule, "approves-group", "approves/1", 5), [withheld("approves"), Standing::Held]),
        (held(Kind::Rule, "pays-group", "pays/0", 5), [Standing::Held, withheld("pays")]),
    ] {
        let judged = judge(&rules, &["pays", "approves"], &[had], Account::Holds);
        assert_eq!(judged.iter().map(|one| one.standing.clone()).collect::<Vec<_>>(), expected);
    }
    // New at once: the earlier employment.
    let judged = judge(&rules, &["approves", "pays"], &[], Account::Holds);
    assert_eq!(
        judged.iter().map(|one| one.standing.clone()).collect::<Vec<_>>(),
        [withheld("approves"), Standing::Held]
    );
}

#[test]
fn where_it_says_so_or_is_restricted_a_conflict_costs_both() {
    for more in [json!({ "notWith": ["b"], "onConflict": "denyBoth" }), json!({ "notWith": ["b"], "restricted": true })]
    {
        let rules = [for_task("a", more), for_task("b", json!({}))];
        let judged = judge(&rules, &["a", "b"], &[held(Kind::Rule, "a-group", "a/0", 1)], Account::Holds);
        assert!(judged.iter().all(|one| matches!(one.standing, Standing::Withheld(_))), "{judged:?}");
    }
}

#[test]
fn what_was_given_by_hand_counts_for_what_must_not_be_combined() {
    let rules = [for_task("pays", json!({ "notWith": ["approves"] })), for_task("approves", json!({}))];
    let document = with_tasks(&["pays"]);
    let case = Case::new("u", &document, day(AT));
    let by_hand = [(Arc::clone(&rules[1]), 3)];
    let judged = weigh(claims(&rules, &case, target), &case, &[], &[], &by_hand, Account::Holds);
    assert!(matches!(&judged[0].standing, Standing::Withheld(reason) if reason.contains("by hand")), "{judged:?}");
}

/// What another account of the same person claims by a rule.
fn other(user: &str, rule: &Arc<Rule>, since: Option<i64>) -> Other {
    let target = format!("{}-group", rule.name);
    Other { user: user.to_owned(), rule: rule.clone(), target, since, from: None, is_reserved: false }
}

#[test]
fn a_rule_of_the_person_gives_to_one_of_its_accounts() {
    let one = for_task("licence", json!({ "scope": "person" }));
    let document = with_tasks(&["licence"]);
    let case = Case::new("m", &document, day(AT));
    let judge = |rule: &Arc<Rule>, held: &[Held], others: &Others| {
        let judged = weigh(claims(std::slice::from_ref(rule), &case, target), &case, held, others, &[], Account::Holds);
        judged[0].standing.clone()
    };
    let mine = |since| [held(Kind::Rule, "licence-group", "licence/0", since)];
    let kept = Standing::Held;
    let theirs = Standing::Withheld("another account of the same person has it (z)".into());
    // Whoever has it longest keeps it; who has it goes before who does not.
    assert_eq!(judge(&one, &[], &[other("z", &one, Some(3))]), theirs);
    assert_eq!(judge(&one, &mine(5), &[other("z", &one, Some(3))]), theirs);
    assert_eq!(judge(&one, &mine(3), &[other("z", &one, Some(5))]), kept);
    assert_eq!(judge(&one, &mine(3), &[other("z", &one, None)]), kept);
    // Of two that are new, the earlier ground, and one that is active before one that is not.
    assert_eq!(judge(&one, &[], &[other("z", &one, None)]), theirs);
    let late = Other { from: Some(day("2026-06-01")), ..other("z", &one, None) };
    assert_eq!(judge(&one, &[], std::slice::from_ref(&late)), kept);
    assert_eq!(judge(&one, &[], &[Other { is_reserved: true, ..other("z", &one, None) }]), kept);
    // What the other account may not have for another reason is not in the way.
    let pays = for_task("pays", json!({ "notWith": ["licence"] }));
    assert_eq!(
        judge(&one, &[], &[other("z", &one, None), other("z", &pays, Some(1))]),
        Standing::Withheld(
            "it must not be combined with the rule pays that another account of the same person has".into()
        )
    );
    let alone = for_task("licence", json!({}));
    assert_eq!(judge(&alone, &[], &[other("z", &alone, Some(3))]), kept);
}

#[test]
fn duties_are_kept_apart_in_one_human_being_whichever_account_is_asked() {
    let rules = |more: Value| [for_task("pays", more), for_task("approves", json!({ "notWith": ["pays"] }))];
    let judge = |user: &str, task: &str, rule: &Arc<Rule>, held: &[Held], others: &Others| {
        let document = with_tasks(&[task]);
        let case = Case::new(user, &document, day(AT));
        let judged = weigh(claims(std::slice::from_ref(rule), &case, target), &case, held, others, &[], Account::Holds);
        matches!(judged[0].standing, Standing::Held)
    };
    let [pays, approves] = rules(json!({}));
    let has = |rule: &str, since| [held(Kind::Rule, &format!("{rule}-group"), &format!("{rule}/0"), since)];
    // The older stays, asked of either.
    assert!(judge("a", "pays", &pays, &has("pays", 1), &[other("b", &approves, Some(2))]));
    assert!(!judge("b", "approves", &approves, &has("approves", 2), &[other("a", &pays, Some(1))]));
    // Of two that are new exactly one gives.
    let from = |user: &str, rule: &Arc<Rule>| Other { from: Some(day("2026-01-01")), ..other(user, rule, None) };
    let first = judge("a", "pays", &pays, &[], &[from("b", &approves)]);
    let second = judge("b", "approves", &approves, &[], &[from("a", &pays)]);
    assert!(first != second, "{first} {second}");
    // Where both are denied, both are, and stay so when nothing is held any more.
    let [pays, approves] = rules(json!({ "onConflict": "denyBoth" }));
    for held in [has("pays", 1).to_vec(), Vec::new()] {
        let since = held.first().map(|held| held.since);
        assert!(!judge("a", "pays", &pays, &held, &[from("b", &approves)]));
        assert!(!judge("b", "approves", &approves, &[], &[Other { since, ..from("a", &pays) }]));
    }
}

#[test]
fn an_exclusion_takes_out_and_an_inclusion_gives_until_its_last_day() {
    let out = json!({ "exclude": [{ "value": "u", "reason": "under inquiry", "until": "2026-06-15" }] });
    let judged = judge(&[for_task("a", out.clone())], &["a"], &[], Account::Holds);
    assert_eq!(judged[0].standing, Standing::Excluded("under inquiry (until 2026-06-15)".into()));
    let past = json!({ "exclude": [{ "value": "u", "reason": "under inquiry", "until": "2026-06-14" }] });
    assert_eq!(judge(&[for_task("a", past)], &["a"], &[], Account::Holds)[0].standing, Standing::Held);
    let include = |until: &str| {
        for_task(
            "a",
            json!({ "include": [{ "value": "u", "reason": "helps out", "until": until, "by": "c", "at": "2026-01-01T00:00:00Z" }] }),
        )
    };
    let given = judge(&[include("2026-06-15")], &["b"], &[], Account::Holds);
    assert_eq!((given[0].claim.ground.kind, &given[0].standing), (Kind::Hand, &Standing::Held));
    assert!(judge(&[include("2026-06-14")], &["b"], &[], Account::Holds).is_empty());
    // Twelve months, whatever was asked for.
    let long = judge(&[include("2036-01-01")], &["b"], &[], Account::Holds);
    assert_eq!(long[0].claim.ground.to, Some(day("2027-01-02")));
}

#[test]
fn rights_go_with_the_state_of_the_account_and_what_was_given_by_hand_comes_back_from_rest_but_not_from_the_end() {
    let rules = [
        for_task("a", json!({ "include": [] })),
        for_task("b", json!({ "include": [{ "value": "u", "reason": "x", "until": "2026-12-31" }] })),
    ];
    let had = vec![
        held(Kind::Rule, "a-group", "a/0", 1),
        held(Kind::Hand, "b-group", "b", 2),
        held(Kind::Hand, "plain-group", "", 3),
        held(Kind::Inherited, "old-group", "", 4),
    ];
    let change = |held: &[Held], account: Account| plan(&judge(&rules, &["a"], held, account), held, account);
    assert!(change(&had, Account::Holds).is_empty());
    assert!(
        change(&had[2..], Account::Reserves).is_empty(),
        "who is staged gets nothing and loses nothing that was put by hand"
    );
    let rest = change(&had, Account::Rests);
    assert_eq!(rest.end, [(0, None), (1, Some(State::Rests)), (2, Some(State::Rests)), (3, Some(State::Rests))]);
    assert_eq!((rest.take.len(), rest.give.len()), (4, 0));
    let resting: Vec<Held> = had[1..].iter().map(|one| Held { state: State::Rests, ..one.clone() }).collect();
    assert!(change(&resting, Account::Rests).is_empty());
    let back = change(&resting, Account::Holds);
    assert_eq!((back.resume, back.begin.len()), (vec![0, 1, 2], 1), "and what the rule gives begins anew");
    assert_eq!(back.give.len(), 4);
    let gone = change(&had, Account::Gone);
    assert_eq!(gone.end, [(0, None), (1, Some(State::Lapsed)), (2, Some(State::Lapsed)), (3, None)]);
    assert_eq!(change(&resting, Account::Gone).end.len(), 3);
    let lapsed: Vec<Held> = had[1..3].iter().map(|one| Held { state: State::Lapsed, ..one.clone() }).collect();
    let again = change(&lapsed, Account::Holds);
    assert_eq!((again.resume.len(), again.give), (0, vec!["a-group".to_owned()]));
}

#[test]
fn a_right_with_a_ground_before_and_after_is_never_taken_and_given_again() {
    let rules = [
        for_task("a", json!({ "grants": [{ "type": "group", "value": "g" }] })),
        for_task("b", json!({ "grants": [{ "type": "group", "value": "g" }] })),
    ];
    let had = [held(Kind::Rule, "g", "a/7", 1)];
    let judged = judge(&rules, &["b"], &had, Account::Holds);
    let plan = plan(&judged, &had, Account::Holds);
    assert_eq!((plan.end.len(), plan.begin.len()), (1, 1), "the ground is another one");
    assert_eq!((plan.take.len(), plan.give.len()), (0, 0), "the right is the same");
}

#[test]
fn a_member_put_by_hand_stays_when_the_rule_ends() {
    let rules = [for_task("a", json!({}))];
    let had = [held(Kind::Hand, "a-group", "", 1), held(Kind::Rule, "a-group", "a/0", 2)];
    let judged = judge(&rules, &["b"], &had, Account::Holds);
    let plan = plan(&judged, &had, Account::Holds);
    assert_eq!((plan.end, plan.take.len()), (vec![(1, None)], 0));
}

#[test]
fn what_there_is_not_is_reported_and_gives_nothing() {
    let judged = judge(&[for_task("nowhere", json!({}))], &["nowhere"], &[], Account::Holds);
    assert_eq!(judged[0].standing, Standing::Missing("there is no group nowhere-group".into()));
    assert!(plan(&judged, &[], Account::Holds).is_empty());
}

/// Carries a plan out.
fn apply(held: &[Held], judged: &[Judged], plan: &Plan, now: i64) -> Vec<Held> {
    let mut after: Vec<Held> = Vec::new();
    for (index, one) in held.iter().enumerate() {
        match plan.end.iter().find(|(at, _)| *at == index) {
            Some((_, Some(state))) => after.push(Held { state: *state, ..one.clone() }),
            Some((_, None)) => {}
            None if plan.resume.contains(&index) => after.push(Held { state: State::Held, since: now, ..one.clone() }),
            None => after.push(one.clone()),
        }
    }
    for index in &plan.begin {
        let claim = &judged[*index].claim;
        let target = claim.target.clone().expect("a target");
        after.push(Held {
            target,
            kind: claim.ground.kind,
            ground: claim.ground.id.clone(),
            since: now,
            state: State::Held,
        });
    }
    after
}

fn rules_of_chance() -> Vec<Arc<Rule>> {
    let gives = |group: &str| json!([{ "type": "group", "value": group }]);
    vec![
        Arc::new(rule(
            "g",
            "employments[start pr] and not (employments[taskCode eq \"a\"])",
            json!({ "grants": gives("g6"), "before": 6, "after": 19 }),
        )),
        Arc::new(rule(
            "h",
            "employments[taskCode eq \"b\"] and employments[taskCode eq \"c\"]",
            json!({ "grants": gives("g7"), "before": 2 }),
        )),
        for_task("a", json!({ "grants": gives("g1"), "before": 5, "after": 9 })),
        for_task("b", json!({ "grants": gives("g1"), "notWith": ["c"] })),
        for_task("c", json!({ "grants": gives("g2"), "after": 40 })),
        for_task("d", json!({ "grants": gives("g3"), "family": "f", "rank": 1 })),
        Arc::new(rule(
            "e",
            "employments[start pr and current eq true]",
            json!({ "grants": gives("g4"), "family": "f", "rank": 2, "before": 3 }),
        )),
        Arc::new(rule(
            "f",
            "employments[start pr]",
            json!({ "grants": gives("g5"), "restricted": true, "notWith": ["a"] }),
        )),
    ]
}

prop_compose! {
    fn employment()(start in 0..120i64, length in prop::option::of(0..60i64), task in 0..4usize, leave in prop::option::of((0..60i64, 0..20i64))) -> Job {
        (start, length, task, leave)
    }
}

/// First day, length, task, and a leave by its first day and length.
type Job = (i64, Option<i64>, usize, Option<(i64, i64)>);

fn person_of(employments: &[Job]) -> Map<String, Value> {
    let date = |offset: i64| crate::calendar::plus(day("2026-01-01"), offset).to_string();
    let mut list = Vec::new();
    let mut leaves = Vec::new();
    for (index, (start, length, task, leave)) in employments.iter().enumerate() {
        let task = ["a", "b", "c", "d"][*task];
        let mut one = json!({ "employmentId": format!("{index}"), "start": date(*start), "taskCode": task });
        if let Some(length) = length {
            one["end"] = date(start + length).into();
        }
        list.push(one);
        if let Some((from, length)) = leave {
            leaves.push(json!({ "employmentId": format!("{index}"), "from": date(start + from), "to": date(start + from + length) }));
        }
    }
    document(json!({ "employments": list, "leaves": leaves }))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    /// Day by day gives what looking at the days that the rules name gives: nothing happens in between. A plan that was
    /// carried out leaves nothing to do, and no right without a living ground.
    #[test]
    fn looking_only_at_the_days_that_are_named_is_enough(employments in prop::collection::vec(employment(), 0..4)) {
        let rules = rules_of_chance();
        let document = person_of(&employments);
        let (mut daily, mut named): (Vec<Held>, Vec<Held>) = (Vec::new(), Vec::new());
        let mut next = Some(day("2025-12-01"));
        for offset in 0..260 {
            let today = crate::calendar::plus(day("2025-12-01"), offset);
            let case = Case::new("u", &document, today);
            let step = |held: &[Held]| {
                let judged = weigh(claims(&rules, &case, target), &case, held, &[], &[], Account::Holds);
                let change = plan(&judged, held, Account::Holds);
                let after = apply(held, &judged, &change, offset);
                let judged = weigh(claims(&rules, &case, target), &case, &after, &[], &[], Account::Holds);
                prop_assert!(plan(&judged, &after, Account::Holds).is_empty(), "{today}: settled once more it changes");
                for right in &after {
                    prop_assert!(judged.iter().any(|one| right.is_by(&one.claim) && one.standing == Standing::Held), "{today}: {right:?} has no ground");
                }
                Ok(after)
            };
            daily = step(&daily)?;
            if next == Some(today) {
                named = step(&named)?;
                next = rules.iter().filter_map(|rule| rule.next_turn(&case)).min();
            }
            let key = |held: &[Held]| { let mut all: Vec<_> = held.iter().map(|one| (one.target.clone(), one.ground.clone(), one.since)).collect(); all.sort(); all };
            prop_assert_eq!(key(&daily), key(&named), "{}", today);
        }
    }
}

//! Lives by table, in a zone with summer time; and that what is told of the next change is the first one, whatever the
//! dates are.

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::calendar::date;
use crate::facts::{Employment, Enrolment, Leave};

const HOUR: i64 = 3_600_000_000;

fn day(text: &str) -> Date {
    date(text).expect(text)
}

/// The beginning of a day, or an instant.
fn at(text: &str) -> i64 {
    match date(text) {
        Some(day) => helsinki().start_of(day),
        None => text.parse::<Timestamp>().expect(text).as_microsecond(),
    }
}

fn helsinki() -> Calendar {
    Calendar::of("Europe/Helsinki").expect("a zone")
}

fn terms() -> Terms {
    let substitute = Offsets { bridge: 30, ..Offsets::default() };
    let teacher = Offsets { bridge: 90, limbo_after: 60, ..Offsets::default() };
    let elected = Offsets { stage_before: 3, ending_before: 0, limbo_after: 10, bridge: 0 };
    Terms {
        calendar: helsinki(),
        kinds: vec![("substitute".into(), substitute), ("teacher".into(), teacher), ("elected".into(), elected)],
        ..Terms::default()
    }
}

fn period(from: &str, to: &str) -> Period {
    Period { from: day(from), to: (!to.is_empty()).then(|| day(to)) }
}

fn employment(id: &str, kind: &str, from: &str, to: &str) -> Employment {
    Employment {
        id: id.into(),
        period: period(from, to),
        kind: Some(kind.into()),
        percentage: None,
        preferred: false,
        unit: None,
        title: None,
        task: None,
        manager: None,
        cost_center: None,
    }
}

fn leave(of: &str, from: &str, to: &str, keep_access: bool) -> Leave {
    Leave { employment: of.into(), period: period(from, to), kind: None, keep_access }
}

fn employed(employments: &[(&str, &str, &str)]) -> Facts {
    let employments = employments.iter().enumerate();
    Facts {
        employments: employments.map(|(n, (kind, from, to))| employment(&n.to_string(), kind, from, to)).collect(),
        ..Facts::default()
    }
}

/// The turns of a life from an instant on, as the scheduler comes to them.
fn life(terms: &Terms, facts: &Facts, mut standing: Standing, from: i64) -> Vec<(String, &'static str)> {
    let mut told = Vec::new();
    let mut now = from;
    loop {
        let verdict = judge(terms, facts, standing, now);
        let when = terms.calendar.day_of(now);
        let is_midnight = terms.calendar.start_of(when) == now;
        let when = if is_midnight { when.to_string() } else { format!("{when}*") };
        told.push((when, verdict.state.as_str()));
        standing.held = Some((verdict.state, verdict.since));
        match verdict.next {
            Some((next, at)) => {
                assert!(at > now, "{told:?}");
                assert_ne!(next, verdict.state);
                now = at;
            }
            None => return told,
        }
    }
}

fn told(facts: &Facts, from: &str) -> Vec<(String, &'static str)> {
    life(&terms(), facts, Standing::default(), at(from))
}

fn is(told: &[(String, &'static str)], expected: &[(&str, &str)]) {
    let told: Vec<(&str, &str)> = told.iter().map(|(when, state)| (when.as_str(), *state)).collect();
    assert_eq!(told, expected);
}

#[test]
fn a_life_goes_through_its_states_at_midnight_of_the_zone() {
    let facts = employed(&[("permanent", "2026-03-02", "2026-10-31")]);
    is(
        &told(&facts, "2026-01-01"),
        &[
            ("2026-01-01", "planned"),
            ("2026-02-16", "staged"),
            ("2026-03-02", "active"),
            ("2026-10-24", "ending"),
            ("2026-11-01", "disabled"),
            ("2026-12-01", "limbo"),
        ],
    );
    // The last day is the person's to its end, in winter time and in summer time.
    let state = |text: &str| judge(&terms(), &facts, Standing::default(), at(text)).state;
    assert_eq!(state("2026-03-01T21:59:59.999999Z"), State::Staged);
    assert_eq!(state("2026-03-01T22:00:00Z"), State::Active);
    assert_eq!(state("2026-10-31T21:59:59.999999Z"), State::Ending);
    assert_eq!(state("2026-10-31T22:00:00Z"), State::Disabled);
    let summer = employed(&[("permanent", "2026-03-29", "2026-10-25")]);
    let state = |text: &str| judge(&terms(), &summer, Standing::default(), at(text)).state;
    assert_eq!(state("2026-03-28T21:59:59Z"), State::Staged);
    assert_eq!(state("2026-03-28T22:00:00Z"), State::Active, "the day on which the clock is put forward");
    assert_eq!(state("2026-10-25T21:59:59Z"), State::Ending, "the day on which it is put back has 25 hours");
    assert_eq!(state("2026-10-25T22:00:00Z"), State::Disabled);
}

#[test]
fn a_policy_that_purges_does_so_so_many_days_after_limbo_began() {
    let terms = Terms { purge_after: Some(100), ..terms() };
    let facts = employed(&[("permanent", "2026-03-02", "2026-10-31")]);
    let told = life(&terms, &facts, Standing::default(), at("2026-10-31"));
    is(
        &told,
        &[("2026-10-31", "ending"), ("2026-11-01", "disabled"), ("2026-12-01", "limbo"), ("2027-03-11", "purged")],
    );
    // An end that is told years late is acted upon now, and limbo lasts as long as any.
    let told = life(&terms, &facts, Standing::default(), at("2030-01-01"));
    is(&told, &[("2030-01-01", "limbo"), ("2030-04-11", "purged")]);
    // Who is to come back is not purged, however long that takes.
    let facts = employed(&[("permanent", "2026-03-02", "2026-10-31"), ("permanent", "2029-01-01", "")]);
    let told = life(&terms, &facts, Standing::default(), at("2026-12-01"));
    is(&told, &[("2026-12-01", "limbo"), ("2028-12-18", "staged"), ("2029-01-01", "active")]);
}

#[test]
fn contracts_without_a_gap_never_disable_anyone_and_a_bridge_keeps_the_account_over_one() {
    let seamless = employed(&[("fixedTerm", "2026-01-01", "2026-03-31"), ("fixedTerm", "2026-04-01", "2026-06-30")]);
    is(
        &told(&seamless, "2026-01-01"),
        &[("2026-01-01", "active"), ("2026-06-23", "ending"), ("2026-07-01", "disabled"), ("2026-07-31", "limbo")],
    );
    let gap = employed(&[("fixedTerm", "2026-01-01", "2026-03-31"), ("fixedTerm", "2026-04-20", "2026-06-30")]);
    is(
        &told(&gap, "2026-03-01"),
        &[
            ("2026-03-01", "active"),
            ("2026-03-24", "ending"),
            ("2026-04-01", "disabled"),
            ("2026-04-06", "staged"),
            ("2026-04-20", "active"),
            ("2026-06-23", "ending"),
            ("2026-07-01", "disabled"),
            ("2026-07-31", "limbo"),
        ],
    );
    let bridged = employed(&[("substitute", "2026-01-01", "2026-03-31"), ("substitute", "2026-04-20", "2026-06-30")]);
    is(
        &told(&bridged, "2026-03-01"),
        &[("2026-03-01", "active"), ("2026-06-23", "ending"), ("2026-07-31", "disabled"), ("2026-08-30", "limbo")],
    );
    // The next contract is one day too late for the bridge, and a day earlier it is not.
    let late = employed(&[("substitute", "2026-01-01", "2026-03-31"), ("substitute", "2026-05-02", "2026-06-30")]);
    assert!(told(&late, "2026-04-01").contains(&("2026-05-01".into(), "staged")));
    let just = employed(&[("substitute", "2026-01-01", "2026-03-31"), ("substitute", "2026-05-01", "2026-06-30")]);
    assert_eq!(told(&just, "2026-04-01")[1], ("2026-06-23".into(), "ending"));
    let summer = employed(&[("teacher", "2025-08-10", "2026-06-05"), ("teacher", "2026-08-10", "2027-06-05")]);
    assert_eq!(told(&summer, "2026-05-01")[1], ("2027-05-29".into(), "ending"));
}

#[test]
fn of_two_employments_the_one_that_lasts_holds_and_the_longest_offset_applies() {
    let facts = employed(&[("permanent", "2026-01-01", "2026-03-31"), ("elected", "2026-02-01", "2026-09-30")]);
    is(
        &told(&facts, "2026-02-01"),
        &[("2026-02-01", "active"), ("2026-09-30", "ending"), ("2026-10-01", "disabled"), ("2026-10-11", "limbo")],
    );
    // Both end on one day: notices by the longer offset, limbo by the longer too.
    let facts = employed(&[("permanent", "2026-01-01", "2026-09-30"), ("elected", "2026-02-01", "2026-09-30")]);
    is(
        &told(&facts, "2026-02-01"),
        &[("2026-02-01", "active"), ("2026-09-23", "ending"), ("2026-10-01", "disabled"), ("2026-10-31", "limbo")],
    );
    let endless = employed(&[("permanent", "2026-01-01", "2026-03-31"), ("elected", "2026-02-01", "")]);
    is(&told(&endless, "2026-02-01"), &[("2026-02-01", "active")]);
    let elected = employed(&[("elected", "2026-02-01", "")]);
    is(&told(&elected, "2026-01-01"), &[("2026-01-01", "planned"), ("2026-01-29", "staged"), ("2026-02-01", "active")]);
}

#[test]
fn an_account_rests_when_every_employment_does() {
    let mut facts = employed(&[("permanent", "2026-01-01", ""), ("permanent", "2026-03-01", "2026-12-31")]);
    facts.leaves = vec![leave("0", "2026-04-01", "2026-06-30", false), leave("1", "2026-05-01", "2026-05-31", false)];
    is(&told(&facts, "2026-03-01"), &[("2026-03-01", "active"), ("2026-05-01", "suspended"), ("2026-06-01", "active")]);
    facts.leaves = vec![leave("0", "2026-04-01", "", false), leave("1", "2026-12-01", "", false)];
    is(&told(&facts, "2026-03-01"), &[("2026-03-01", "active"), ("2026-12-01", "suspended")]);
    // A leave that keeps access keeps the account, unless the policy says that none does.
    let mut facts = employed(&[("permanent", "2026-01-01", "2026-12-31")]);
    facts.leaves = vec![leave("0", "2026-04-01", "2026-06-30", true)];
    assert_eq!(told(&facts, "2026-03-01")[1], ("2026-12-24".into(), "ending"));
    let strict = Terms { keep_access: false, ..terms() };
    let lived = life(&strict, &facts, Standing::default(), at("2026-03-01"));
    assert_eq!(lived[1..3], [("2026-04-01".into(), "suspended"), ("2026-07-01".into(), "active")]);
    // A leave beyond the last day ends with the employment.
    let mut facts = employed(&[("permanent", "2026-01-01", "2026-05-31")]);
    facts.leaves = vec![leave("0", "2026-04-01", "2026-12-31", false)];
    is(
        &told(&facts, "2026-03-01"),
        &[("2026-03-01", "active"), ("2026-04-01", "suspended"), ("2026-06-01", "disabled"), ("2026-07-01", "limbo")],
    );
    // Who also goes to school does not rest.
    let school = Enrolment {
        id: "a".into(),
        period: period("2026-01-01", ""),
        school_unit: None,
        school_type: None,
        class: None,
    };
    let facts = Facts { enrolments: vec![school], ..facts };
    is(&told(&facts, "2026-03-01"), &[("2026-03-01", "active")]);
}

#[test]
fn what_is_told_late_is_acted_upon_now_as_one_change() {
    let ended = employed(&[("permanent", "2026-01-01", "2026-05-31")]);
    let held = Standing { held: Some((State::Active, at("2026-01-01"))), was_dated: true, ..Standing::default() };
    let noon = at("2026-06-10") + 12 * HOUR;
    let verdict = judge(&terms(), &ended, held, noon);
    assert_eq!((verdict.state, verdict.since), (State::Disabled, noon));
    assert_eq!(verdict.next, Some((State::Limbo, at("2026-07-01"))), "limbo counts from the last day");
    let verdict = judge(&terms(), &ended, held, at("2027-01-01"));
    assert_eq!((verdict.state, verdict.next), (State::Limbo, None));
}

#[test]
fn a_start_that_moves_moves_what_follows_and_one_that_is_cancelled_leaves_no_account() {
    let staged = Standing { held: Some((State::Staged, at("2026-02-16"))), was_dated: true, ..Standing::default() };
    let moved = employed(&[("permanent", "2026-05-01", "")]);
    let lived = life(&terms(), &moved, staged, at("2026-02-20"));
    is(&lived, &[("2026-02-20", "planned"), ("2026-04-17", "staged"), ("2026-05-01", "active")]);
    let earlier = employed(&[("permanent", "2026-02-20", "")]);
    is(&life(&terms(), &earlier, staged, at("2026-02-20")), &[("2026-02-20", "active")]);
    // Who was there already is not as if there had been nobody.
    let active = Standing { held: Some((State::Active, at("2026-02-16"))), ..staged };
    let lived = life(&terms(), &moved, active, at("2026-02-20"));
    is(
        &lived,
        &[("2026-02-20", "disabled"), ("2026-03-23", "limbo"), ("2026-04-17", "staged"), ("2026-05-01", "active")],
    );
    // The row is gone.
    is(&life(&terms(), &Facts::default(), staged, at("2026-02-20")), &[("2026-02-20", "planned")]);
    let gone = Standing { withdrawn: Some(at("2026-02-20")), ..staged };
    is(&life(&terms(), &moved, gone, at("2026-02-20")), &[("2026-02-20", "limbo")]);
    is(&life(&terms(), &Facts::default(), gone, at("2026-02-20")), &[("2026-02-20", "limbo")]);
}

#[test]
fn work_whose_rows_are_gone_has_ended() {
    let none = Facts::default();
    let active = Standing { held: Some((State::Active, at("2026-01-01"))), was_dated: true, ..Standing::default() };
    let noon = at("2026-06-10") + 12 * HOUR;
    let lived = life(&terms(), &none, active, noon);
    is(&lived, &[("2026-06-10*", "disabled"), ("2026-07-11", "limbo")]);
    // Looked at again it is the same.
    let later = Standing { held: Some((State::Disabled, noon)), was_dated: false, ..active };
    is(&life(&terms(), &none, later, noon + HOUR), &[("2026-06-10*", "disabled"), ("2026-07-11", "limbo")]);
    let limbo = Standing { held: Some((State::Limbo, at("2026-07-11"))), was_dated: false, ..active };
    is(&life(&terms(), &none, limbo, at("2026-08-11")), &[("2026-08-11", "limbo")]);
}

#[test]
fn an_account_without_dates_is_active_until_it_is_withdrawn_or_blocked() {
    let none = Facts::default();
    is(&told(&none, "2026-01-01"), &[("2026-01-01", "active")]);
    let active = Standing { held: Some((State::Active, at("2026-01-01"))), ..Standing::default() };
    is(&life(&terms(), &none, active, at("2026-02-01")), &[("2026-02-01", "active")]);
    let blocked = Standing { is_blocked: true, ..active };
    is(&life(&terms(), &none, blocked, at("2026-02-01")), &[("2026-02-01", "suspended")]);
    let freed = Standing { held: Some((State::Suspended, at("2026-02-01"))), ..Standing::default() };
    is(&life(&terms(), &none, freed, at("2026-03-01")), &[("2026-03-01", "active")]);
    let noon = at("2026-06-10") + 12 * HOUR;
    let gone = Standing { withdrawn: Some(noon), ..active };
    let back = Standing { held: Some((State::Disabled, noon)), is_back: true, ..Standing::default() };
    is(&life(&terms(), &none, back, at("2026-06-20"))[..1], &[("2026-06-20", "active")]);
    is(&life(&terms(), &none, gone, noon), &[("2026-06-10*", "disabled"), ("2026-07-11", "limbo")]);
}

#[test]
fn what_is_withdrawn_is_disabled_at_once_and_no_date_brings_it_back() {
    let facts = employed(&[("permanent", "2026-01-01", "2026-06-15"), ("permanent", "2026-09-01", "")]);
    let noon = at("2026-06-10") + 12 * HOUR;
    let gone = Standing { withdrawn: Some(noon), ..Standing::default() };
    is(&life(&terms(), &facts, gone, noon), &[("2026-06-10*", "disabled"), ("2026-07-11", "limbo")]);
    // It was over by its dates before: it is not over any later.
    let late = Standing { withdrawn: Some(at("2026-07-10") + HOUR), ..Standing::default() };
    is(&life(&terms(), &facts, late, at("2026-07-10") + HOUR), &[("2026-07-10*", "disabled"), ("2026-07-16", "limbo")]);
    let purging = Terms { purge_after: Some(10), ..terms() };
    assert_eq!(life(&purging, &facts, gone, noon).last(), Some(&("2026-07-21".into(), "purged")));
}

#[test]
fn a_block_suspends_what_would_be_active_and_nothing_else() {
    let facts = employed(&[("permanent", "2026-03-02", "2026-10-31")]);
    let blocked = Standing { is_blocked: true, ..Standing::default() };
    is(
        &life(&terms(), &facts, blocked, at("2026-01-01")),
        &[
            ("2026-01-01", "planned"),
            ("2026-02-16", "staged"),
            ("2026-03-02", "suspended"),
            ("2026-11-01", "disabled"),
            ("2026-12-01", "limbo"),
        ],
    );
}

#[test]
fn a_state_reads_back_as_it_is_written() {
    for state in State::ALL {
        assert_eq!(State::parse(state.as_str()), Some(state));
    }
    assert_eq!(State::parse("retired"), None);
    assert!(State::Ending.is_active() && !State::Suspended.is_active());
    assert!(State::Disabled.is_shown() && !State::Limbo.is_shown() && !State::Staged.is_shown());
}

/// Any facts within some years.
fn any_facts() -> impl Strategy<Value = Facts> {
    let span = (0_i64..900, prop::option::of(0_i64..300));
    let period = span.prop_map(|(from, length)| {
        let from = plus(day("2025-01-01"), from);
        Period { from, to: length.map(|length| plus(from, length)) }
    });
    let kind = prop::sample::select(vec!["permanent", "substitute", "teacher", "elected"]);
    let one = (kind, period.clone());
    let leave = (0_usize..4, period.clone(), any::<bool>());
    let all = (prop::collection::vec(one, 0..4), prop::collection::vec(leave, 0..4), prop::option::of(period));
    all.prop_map(|(employments, leaves, school)| Facts {
        employments: employments
            .into_iter()
            .enumerate()
            .map(|(n, (kind, period))| Employment { period, ..employment(&n.to_string(), kind, "2025-01-01", "") })
            .collect(),
        leaves: leaves
            .into_iter()
            .map(|(of, period, keep_access)| Leave { employment: of.to_string(), period, kind: None, keep_access })
            .collect(),
        enrolments: school
            .map(|period| Enrolment { id: "a".into(), period, school_unit: None, school_type: None, class: None })
            .into_iter()
            .collect(),
        is_protected: false,
    })
}

fn any_standing() -> impl Strategy<Value = Standing> {
    let withdrawn = prop::option::weighted(0.3, (0_i64..1000, 0_i64..24));
    (withdrawn, any::<bool>()).prop_map(|(withdrawn, is_blocked)| Standing {
        withdrawn: withdrawn.map(|(days, hours)| at("2025-01-01") + (days * 24 + hours) * HOUR),
        is_blocked,
        ..Standing::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Going from one due moment to the next comes to the states that looking at any moment afresh comes to.
    #[test]
    fn whoever_waits_for_what_is_due_knows_the_state_of_every_moment(facts in any_facts(), standing in any_standing()) {
        prop_assume!(!facts.is_empty());
        let terms = terms();
        let mut held = standing;
        let mut verdict = judge(&terms, &facts, held, at("2024-06-01"));
        for n in 0..1_000 {
            let now = at("2024-06-01") + n * 35 * HOUR;
            while let Some((next, due)) = verdict.next.filter(|(_, due)| *due <= now) {
                held.held = Some((verdict.state, verdict.since));
                verdict = judge(&terms, &facts, held, due);
                prop_assert_eq!((verdict.state, verdict.since), (next, due));
            }
            let afresh = judge(&terms, &facts, standing, now);
            prop_assert_eq!((afresh.state, afresh.next), (verdict.state, verdict.next), "at {}", now);
        }
    }

    /// Without bridges, leaves and blocks an account is active on the days of its employments, and on no others.
    #[test]
    fn an_account_is_active_while_somebody_works(facts in any_facts(), n in 0_i64..1_500) {
        prop_assume!(!facts.is_empty());
        let facts = Facts { leaves: Vec::new(), ..facts };
        let terms = Terms { kinds: Vec::new(), ..terms() };
        let today = plus(day("2024-06-01"), n);
        let works = facts.current(today).next().is_some() || facts.enrolled(today).next().is_some();
        let verdict = judge(&terms, &facts, Standing::default(), terms.calendar.start_of(today) + HOUR);
        prop_assert_eq!(verdict.state.is_active(), works);
    }
}

#[test]
fn what_is_on_hold_is_not_purged_and_is_when_the_hold_is_gone() {
    let terms = Terms { purge_after: Some(100), ..terms() };
    let facts = employed(&[("permanent", "2025-01-01", "2025-12-31")]);
    let limbo = Standing { held: Some((State::Limbo, at("2026-02-01"))), was_dated: true, ..Standing::default() };
    let held = Standing { is_on_hold: true, ..limbo };
    let now = at("2026-03-01");
    assert_eq!(judge(&terms, &facts, limbo, now).next, Some((State::Purged, at("2026-05-12"))));
    let verdict = judge(&terms, &facts, held, now);
    assert_eq!((verdict.state, verdict.since, verdict.next), (State::Limbo, at("2026-02-01"), None));
    // However long it lasts; then it is over at once, if its time has come meanwhile.
    assert_eq!(judge(&terms, &facts, held, at("2030-01-01")).state, State::Limbo);
    assert_eq!(judge(&terms, &facts, limbo, at("2030-01-01")).state, State::Purged);
    assert_eq!(judge(&terms, &facts, limbo, at("2026-05-01")).next, Some((State::Purged, at("2026-05-12"))));
}

//! Seats step by step, the order of the queue, and what reclaims were worth.

use jiff::civil::date;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::calendar::Calendar;

fn terms(more: &Value) -> Terms {
    let mut document = json!({
        "value": "suite", "limitedAssignmentsPermitted": true, "totalAssignmentsPermitted": 2, LICENCE: more,
    });
    let document = document.as_object_mut().expect("an object");
    Terms::read(document).expect("terms").expect("limited")
}

fn at(text: &str) -> i64 {
    text.parse::<jiff::Timestamp>().expect("an instant").as_microsecond()
}

#[test]
fn what_is_agreed_on_is_read_and_what_is_wrong_is_named() {
    let read = |document: Value| Terms::read(document.as_object().expect("an object"));
    assert_eq!(read(json!({ "value": "mail" })), Ok(None));
    let table = [
        (json!({ "limitedAssignmentsPermitted": true }), "totalAssignmentsPermitted"),
        (json!({ "limitedAssignmentsPermitted": true, "totalAssignmentsPermitted": -1 }), "totalAssignmentsPermitted"),
        (json!({ LICENCE: { "freeAt": "never" } }), "freeAt"),
        (json!({ LICENCE: { "leaveDays": -1 } }), "leaveDays"),
        (json!({ LICENCE: { "retentionMonths": 0 } }), "retentionMonths"),
        (json!({ LICENCE: { "retentionMonths": 1_201 } }), "retentionMonths"),
        (json!({ LICENCE: { "price": -1 } }), "price"),
        (json!({ LICENCE: { "price": 1, "period": "week" } }), "period"),
    ];
    for (document, named) in table {
        let error = read(document.clone()).expect_err("refused");
        assert!(error.detail.contains(named), "{document}: {}", error.detail);
    }
}

#[test]
fn a_seat_goes_its_way() {
    let plain = terms(&json!({}));
    let confirmed = terms(&json!({ "confirmation": true }));
    let room = |free, before| Room { free, before, is_open: true };
    let seat = |stage| Some(Seat { stage, since: 0, is_resting: false });
    let rests = Some(Seat { stage: Stage::Reserved, since: 0, is_resting: true });
    let to = |stage| Step::Become { stage, is_resting: false };
    let table = [
        (&plain, None, Wish::Now, room(1, 0), to(Stage::Assigned)),
        (&plain, None, Wish::Now, room(1, 1), to(Stage::Waiting)),
        (&plain, None, Wish::Now, room(-3, 0), to(Stage::Waiting)),
        (&plain, None, Wish::Now, Room { is_open: false, ..room(9, 0) }, to(Stage::Waiting)),
        (&plain, None, Wish::Later, room(1, 0), to(Stage::Reserved)),
        (&plain, None, Wish::Never, room(1, 0), Step::Stay),
        (&plain, seat(Stage::Waiting), Wish::Now, room(0, 0), Step::Stay),
        (&plain, seat(Stage::Waiting), Wish::Now, room(1, 0), to(Stage::Assigned)),
        (&plain, seat(Stage::Waiting), Wish::Rests, room(1, 0), Step::Leave),
        (&plain, seat(Stage::Waiting), Wish::Never, room(1, 0), Step::Leave),
        (&plain, seat(Stage::Reserved), Wish::Now, room(-1, 0), to(Stage::Assigned)),
        (&plain, seat(Stage::Reserved), Wish::Never, room(0, 0), Step::Free),
        (&confirmed, seat(Stage::Reserved), Wish::Never, room(0, 0), Step::Free),
        (&confirmed, rests, Wish::Never, room(0, 0), to(Stage::Reclaiming)),
        (&plain, seat(Stage::Assigned), Wish::Now, room(-1, 0), Step::Stay),
        (&plain, seat(Stage::Assigned), Wish::Kept, room(0, 0), Step::Stay),
        (&plain, seat(Stage::Assigned), Wish::Never, room(0, 0), Step::Free),
        (&confirmed, seat(Stage::Assigned), Wish::Never, room(0, 0), to(Stage::Reclaiming)),
        (&confirmed, seat(Stage::Reclaiming), Wish::Never, room(0, 0), Step::Stay),
        (&confirmed, seat(Stage::Reclaiming), Wish::Now, room(-1, 0), to(Stage::Assigned)),
    ];
    for (terms, seat, wish, room, expected) in table {
        let (step, _) = next(Some(terms), seat, wish, room, 10, &Calendar::UTC);
        assert_eq!(step, expected, "{seat:?} {wish:?} {room:?}");
    }
    let (step, _) = next(None, seat(Stage::Assigned), Wish::Now, room(0, 0), 10, &Calendar::UTC);
    assert_eq!(step, Step::Leave, "what is not limited any more has no seats");
}

#[test]
fn a_seat_is_kept_for_so_many_days_of_a_leave() {
    let day = Calendar::of("Europe/Helsinki").expect("a zone");
    let (begins, ends) = (day.start_of(date(2026, 3, 20)), day.start_of(date(2026, 4, 19)));
    let room = Room { free: 0, before: 0, is_open: true };
    let assigned = Some(Seat { stage: Stage::Assigned, since: 0, is_resting: false });
    let resting = Some(Seat { stage: Stage::Reserved, since: begins, is_resting: true });
    let kept = Step::Become { stage: Stage::Reserved, is_resting: true };
    let thirty = terms(&json!({ "leaveDays": 30 }));
    assert_eq!(next(Some(&thirty), assigned, Wish::Rests, room, begins, &day), (kept, Some(ends)));
    assert_eq!(next(Some(&thirty), resting, Wish::Rests, room, ends - 1, &day), (Step::Stay, Some(ends)));
    assert_eq!(next(Some(&thirty), resting, Wish::Rests, room, ends, &day), (Step::Free, None));
    let at_once = terms(&json!({ "leaveDays": 0 }));
    assert_eq!(next(Some(&at_once), assigned, Wish::Rests, room, begins, &day), (Step::Free, None));
    let forever = terms(&json!({}));
    assert_eq!(next(Some(&forever), assigned, Wish::Rests, room, begins, &day), (kept, None));
    assert_eq!(next(Some(&forever), resting, Wish::Rests, room, i64::MAX / 2, &day), (Step::Stay, None));
}

#[test]
fn the_queue_goes_by_priority_then_start_then_who_asked_first() {
    let queue = [
        turn(7, date(2026, 9, 1), 90, "z"),
        turn(5, date(-1, 1, 1), 9, "y"),
        turn(5, date(2026, 8, 1), -1, "z"),
        turn(5, date(2026, 8, 1), 2, "a"),
        turn(5, date(2026, 8, 1), 2, "b"),
        turn(5, date(2026, 8, 2), 1, "a"),
        turn(0, date(2020, 1, 1), 0, "a"),
        turn(-5, date(2020, 1, 1), 0, "a"),
        turn(i64::MIN, date(2020, 1, 1), 0, "a"),
    ];
    assert!(queue.is_sorted(), "{queue:#?}");
    assert_eq!(turn(i64::MAX, date(2026, 1, 1), 0, "").len(), queue[1].len() - 1);
}

#[test]
fn a_reclaimed_seat_saves_from_its_next_use_on_by_the_month() {
    let day = Calendar::of("Europe/Helsinki").expect("a zone");
    let price = Price { amount: 120.0, period: Period::Year, currency: "EUR".into() };
    let reclaim = Reclaim {
        freed: day.start_of(date(2026, 4, 16)),
        used_from: Some(day.start_of(date(2026, 5, 1))),
        used_until: Some(day.start_of(date(2026, 6, 16))),
        given_up: None,
        price,
    };
    let all = worth(&reclaim, i64::MIN / 4, day.start_of(date(2026, 12, 1)), &day);
    let rows: Vec<_> = all.iter().map(|one| (one.month.to_string(), one.saved, one.idle)).collect();
    let row = |month: &str, saved, idle| (month.to_owned(), saved, idle);
    let expected = [row("2026-04-01", 0, 5_000_000), row("2026-05-01", 10_000_000, 0), row("2026-06-01", 5_000_000, 0)];
    assert_eq!(rows, expected);
    let until = day.start_of(date(2026, 5, 1));
    let open = Reclaim { used_from: None, used_until: None, ..reclaim.clone() };
    assert_eq!(worth(&open, reclaim.freed, until, &day).len(), 1, "what lies idle saves nothing");
    let given_up = Reclaim { given_up: Some(reclaim.freed), ..open };
    assert!(worth(&given_up, 0, until, &day).is_empty());
    assert!(worth(&reclaim, at("2027-01-01T00:00:00Z"), at("2028-01-01T00:00:00Z"), &day).is_empty());
}

/// A pool by hand: what the store keeps, as lists.
struct Pool {
    terms: Terms,
    seats: Vec<Option<Seat>>,
    turns: Vec<String>,
}

impl Pool {
    fn used(&self) -> i64 {
        self.seats.iter().flatten().filter(|seat| seat.stage.occupies()).count().try_into().expect("few")
    }

    fn waits(&self, who: usize) -> bool {
        self.seats[who].is_some_and(|seat| seat.stage == Stage::Waiting)
    }

    fn step(&mut self, who: usize, wish: Wish, now: i64, is_open: bool) -> bool {
        let before = (0..self.seats.len()).filter(|other| self.waits(*other) && self.turns[*other] < self.turns[who]);
        let room = Room {
            free: self.terms.permitted - self.used(),
            before: before.count().try_into().expect("few"),
            is_open: is_open || self.waits(who),
        };
        let (step, _) = next(Some(&self.terms), self.seats[who], wish, room, now, &Calendar::UTC);
        self.seats[who] = match step {
            Step::Stay => self.seats[who],
            Step::Become { stage, is_resting } => Some(Seat { stage, since: now, is_resting }),
            Step::Free | Step::Leave => None,
        };
        step != Step::Stay
    }
}

fn wish() -> impl Strategy<Value = Wish> {
    prop_oneof![
        Just(Wish::Now),
        Just(Wish::Now),
        Just(Wish::Later),
        Just(Wish::Rests),
        Just(Wish::Kept),
        Just(Wish::Never)
    ]
}

proptest! {
    #[test]
    fn assigned_never_exceeds_permitted_and_the_first_in_the_queue_is_the_next(
        permitted in 0_i64..5,
        confirms: bool,
        starts in prop::collection::vec((-2_i64..3, 1_i8..28), 8),
        events in prop::collection::vec((0_usize..8, wish(), any::<bool>()), 1..80),
    ) {
        let mut terms = terms(&json!({ "confirmation": confirms, "leaveDays": 1 }));
        terms.permitted = permitted;
        let turns = starts.iter().enumerate();
        let turns = turns.map(|(who, (priority, day))| turn(*priority, date(2026, 1, *day), 0, &who.to_string()));
        let mut pool = Pool { terms, seats: vec![None; 8], turns: turns.collect() };
        let mut wishes = [Wish::Never; 8];
        for (now, (who, wish, is_open)) in (0..).map(|n| n * 86_400_000_000).zip(events) {
            wishes[who] = wish;
            pool.step(who, wish, now, is_open);
            prop_assert!(pool.used() <= permitted, "{:?}", pool.seats);
            // What follows: whoever waits is asked in order, until nothing changes.
            loop {
                let mut queue: Vec<usize> = (0..8).filter(|who| pool.waits(*who)).collect();
                queue.sort_by(|one, other| pool.turns[*one].cmp(&pool.turns[*other]));
                let Some(first) = queue.first().copied() else { break };
                if !pool.step(first, wishes[first], now, false) {
                    prop_assert!(pool.used() >= permitted, "somebody waits beside a free seat: {:?}", pool.seats);
                    break;
                }
                prop_assert!(queue[1..].iter().all(|other| pool.waits(*other)));
                prop_assert!(pool.used() <= permitted, "{:?}", pool.seats);
            }
            // Nothing is done twice.
            let seats = pool.seats.clone();
            for (who, wish) in wishes.iter().enumerate().filter(|(_, wish)| **wish != Wish::Rests) {
                pool.step(who, *wish, now, true);
            }
            prop_assert_eq!(&seats, &pool.seats);
        }
    }
}

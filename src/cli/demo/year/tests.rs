//! A year is the same every time, in order, and has all that a year has.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

fn year(seed: u64) -> Year {
    Year::begin(seed, 60, 30, date(2026, 1, 1))
}

#[test]
fn the_same_seed_gives_the_same_year() {
    let (one, other): (Vec<Event>, Vec<Event>) = (year(7).collect(), year(7).collect());
    assert_eq!(one, other);
    assert_ne!(one, year(8).collect::<Vec<_>>());
}

#[test]
fn days_come_in_order_and_lie_in_the_year() {
    let days: Vec<Date> = year(3).map(|event| event.day).collect();
    assert!(days.is_sorted());
    assert!(days.iter().all(|day| (date(2026, 1, 1)..=date(2026, 12, 31)).contains(day)));
}

#[test]
fn all_that_happens_happens_in_a_small_town_too() {
    // What has to wait for another, or finds nobody, may not come in every year.
    let happened: BTreeSet<What> = (0..3).flat_map(year).map(|event| event.what).collect();
    let drawn = What::DRAWN.map(|(what, ..)| what);
    for what in drawn.into_iter().chain([What::UnitMoved, What::SchoolYear, What::Mended]) {
        assert!(happened.contains(&what), "{what:?} in {happened:?}");
    }
}

#[test]
fn what_is_said_at_last_is_what_the_rows_are() {
    let mut year = year(5);
    let mut known: BTreeMap<(Source, String), Value> = BTreeMap::new();
    let key = |source: Source, row: &Value| {
        let name = match source {
            Source::Units => "code",
            Source::School => "id",
            Source::Staff | Source::Phones => "number",
        };
        (source, row[name].as_str().expect("a key").to_owned())
    };
    for source in [Source::Units, Source::Staff, Source::School] {
        known.extend(year.rows(source).map(|row| (key(source, &row), row)));
    }
    for event in year.by_ref() {
        match event.says {
            Some(row) if event.source != Source::Phones => drop(known.insert(key(event.source, &row), row)),
            Some(_) => {}
            None => drop(known.remove(&(event.source, event.key))),
        }
    }
    for source in [Source::Units, Source::Staff, Source::School] {
        let rows: Vec<Value> = year.rows(source).collect();
        assert_eq!(rows.len(), known.keys().filter(|(of, _)| *of == source).count(), "{source:?}");
        for row in rows {
            assert_eq!(known.get(&key(source, &row)), Some(&row));
        }
    }
}

#[test]
fn names_are_in_their_right_letters_but_where_they_are_dirty() {
    let garbled = year(2).find(|event| event.what == What::Garbled).and_then(|event| event.says).expect("one");
    assert!(garbled["family"].is_string());
    let letters: String =
        year(1).rows(Source::Staff).filter_map(|row| row["family"].as_str().map(str::to_owned)).collect();
    assert!(letters.contains('ä') && letters.contains('ö'), "{letters}");
}

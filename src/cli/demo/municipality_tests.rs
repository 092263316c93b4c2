//! The sample municipality is complete, plausible and the same every time.

use std::collections::HashSet;

use super::super::names::ORIGINS;
use super::*;

#[test]
fn the_same_seed_gives_the_same_town() {
    assert_eq!(Municipality::generate(7, 500), Municipality::generate(7, 500));
    assert_ne!(Municipality::generate(7, 500).people, Municipality::generate(8, 500).people);
}

#[test]
fn two_thousand_people_have_a_hundred_and_twenty_units() {
    let town = Municipality::generate(1, 2000);
    assert_eq!((town.people.len(), town.units.len()), (2000, 120));
}

#[test]
fn any_size_has_a_town_and_as_many_people_as_asked_for() {
    for (people, units) in [(0, 1), (1, 1), (16, 1), (40, 2), (100, 6), (450, 27), (5000, 300), (20_000, 1200)] {
        let town = Municipality::generate(3, people);
        assert_eq!((town.people.len(), town.units.len()), (people, units), "{people} people");
    }
}

#[test]
fn what_must_be_unique_is() {
    let town = Municipality::generate(2, 20_000);
    let distinct = |values: Vec<&str>| values.iter().map(|value| value.to_lowercase()).collect::<HashSet<_>>().len();
    assert_eq!(distinct(town.people.iter().map(|person| person.user_name.as_str()).collect()), 20_000);
    assert_eq!(distinct(town.people.iter().map(|person| person.employee_number.as_str()).collect()), 20_000);
    assert_eq!(distinct(town.units.iter().map(|unit| unit.code.as_str()).collect()), town.units.len());
    assert_eq!(distinct(town.units.iter().map(|unit| unit.name.as_str()).collect()), town.units.len());
}

#[test]
fn units_and_managers_come_before_those_below_them() {
    let town = Municipality::generate(4, 3000);
    for (number, unit) in town.units.iter().enumerate() {
        assert_eq!(unit.parent.is_none(), number == 0, "only the town is on top");
        assert!(unit.parent.is_none_or(|parent| parent < number), "{}", unit.name);
    }
    for (number, person) in town.people.iter().enumerate() {
        assert_eq!(person.manager.is_none(), number == 0, "only the head of the town has no manager");
        assert!(person.manager.is_none_or(|manager| manager < number), "{}", person.user_name);
    }
}

#[test]
fn everybody_works_somewhere_and_every_unit_has_somebody() {
    let town = Municipality::generate(5, 2000);
    let people = town.people_by_unit();
    assert_eq!(people.iter().map(Vec::len).sum::<usize>(), 2000);
    assert!(people.iter().all(|people| !people.is_empty()));
    assert_eq!(town.units_by_parent().iter().map(Vec::len).sum::<usize>(), 119);
}

#[test]
fn a_person_reads_as_a_scim_user() {
    let town = Municipality::generate(6, 200);
    let enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
    for person in &town.people {
        let user = person.to_scim();
        assert_eq!(user["userName"], user["emails"][0]["value"]);
        assert_eq!(user["schemas"][1], enterprise);
        assert_eq!(user[enterprise]["employeeNumber"], user["externalId"]);
        assert!(user[enterprise]["costCenter"].as_str().is_some_and(|code| !code.is_empty()));
        assert!(user.get("id").is_none() && user[enterprise].get("manager").is_none());
        assert!(!user.to_string().contains("null"), "{user}");
    }
}

#[test]
fn every_name_folds_to_letters_and_hyphens() {
    assert_eq!(ORIGINS.iter().map(|origin| origin.share).sum::<usize>(), 100);
    for name in ORIGINS.iter().flat_map(|origin| origin.given.iter().chain(origin.family)) {
        let letters = name.chars().filter(|letter| letter.is_alphabetic() || *letter == '-').count();
        assert_eq!(fold(name).len(), letters, "{name} becomes {}", fold(name));
    }
    assert_eq!(fold("von Sandbäck-Öhman"), "vonsandback-ohman");
}

#[test]
fn names_come_from_several_languages() {
    let town = Municipality::generate(1, 2000);
    let swedish = town.people.iter().filter(|person| person.language == "sv-FI").count();
    assert!((500..=1000).contains(&swedish), "{swedish} of 2000 read Swedish");
    for sign in ["å", "ä", "ö", "-", "von ", "af ", "á"] {
        assert!(town.people.iter().any(|person| person.family_name.contains(sign) || person.given_name.contains(sign)));
    }
    assert!(town.people.iter().any(|person| person.user_name.contains("2@")), "some share a name");
    assert!(town.people.iter().any(|person| !person.active));
}

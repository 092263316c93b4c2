//! The sealing of cursors.

use std::sync::Arc;

use proptest::prelude::*;
use store::TenantId;

use super::*;

const HOUR: u64 = 3_600;
const NOW: i64 = 1_800_000_000_000_000;

fn key(n: u8) -> SealKey {
    SealKey([n; 32])
}

fn ctx(tenant: i64) -> Ctx {
    Ctx::system(TenantId(tenant), NOW, Random::seeded(1))
}

fn cursor(from: Cut) -> Cursor {
    Cursor { issued_at: NOW, epoch: 0, count: Some(10), backwards: false, part: 0, from }
}

fn place(key: Option<&str>) -> Place {
    Place { key: key.map(str::to_owned), id: ResourceId(uuid::Uuid::from_u128(7)) }
}

fn keyword(result: Result<Cursor, Error>) -> &'static str {
    match result {
        Err(Error::Scim(error)) => error.scim_type.map_or("", ScimType::as_str),
        Err(other) => panic!("{other}"),
        Ok(_) => "opened",
    }
}

proptest! {
    #[test]
    fn a_cursor_comes_back_as_it_went_in_unreserved_characters(
        issued_at: i64, epoch: i64, count: Option<u64>, backwards: bool, part: u16, id: u128, kind in 0..4, text in "\\PC{0,128}", keyed: bool,
    ) {
        let place = Place { key: keyed.then(|| text.clone()), id: ResourceId(uuid::Uuid::from_u128(id)) };
        let from = match kind { 0 => Cut::Start, 1 => Cut::Before(place), 2 => Cut::After(place), _ => Cut::End };
        let cursor = Cursor { issued_at, epoch, count, backwards, part, from };
        let binding = Binding::new(&ctx(1), ["User"]);
        let sealed = cursor.seal(&key(1), &binding, &Random::os()).unwrap();
        let unreserved = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
        prop_assert!(sealed.chars().all(unreserved) && sealed.len() <= LONGEST);
        prop_assert_eq!(unseal(&sealed, &key(1), &binding), Some(cursor));
    }
}

#[test]
fn the_longest_place_fits() {
    let longest = "\u{10FFFD}".repeat(128);
    let binding = Binding::new(&ctx(1), []);
    let sealed = cursor(Cut::After(place(Some(&longest)))).seal(&key(1), &binding, &Random::os()).unwrap();
    assert!(sealed.len() <= LONGEST && unseal(&sealed, &key(1), &binding).is_some());
}

#[test]
fn whatever_is_changed_in_it_a_cursor_is_invalid() {
    let binding = Binding::new(&ctx(1), ["User"]);
    let sealed = cursor(Cut::After(place(Some("maj")))).seal(&key(1), &binding, &Random::seeded(3)).unwrap();
    for (at, letter) in sealed.char_indices() {
        let other = if letter == 'A' { "B" } else { "A" };
        let changed = format!("{}{other}{}", &sealed[..at], &sealed[at + 1..]);
        let opened = Cursor::open(&changed, &key(1), &binding, Some(10), (NOW, 0, HOUR));
        assert_eq!(keyword(opened), "invalidCursor", "{changed}");
    }
    for cut in 1..sealed.len() {
        let opened = Cursor::open(&sealed[..cut], &key(1), &binding, Some(10), (NOW, 0, HOUR));
        assert_eq!(keyword(opened), "invalidCursor", "{cut}");
    }
    for text in [format!("{sealed}A"), format!("{sealed}="), "x".repeat(100_000), "å".into(), " ".into(), "1".into()] {
        let opened = Cursor::open(&text, &key(1), &binding, Some(10), (NOW, 0, HOUR));
        assert_eq!(keyword(opened), "invalidCursor");
    }
}

#[test]
fn a_cursor_of_another_tenant_client_role_view_query_or_key_is_invalid() {
    let own = Binding::new(&ctx(1), ["User", "a"]);
    let sealed = cursor(Cut::Start).seal(&key(1), &own, &Random::os()).unwrap();
    let mut client = ctx(1);
    Arc::make_mut(&mut client.caller).id = ResourceId(uuid::Uuid::from_u128(9));
    let mut role = ctx(1);
    Arc::make_mut(&mut role.caller).role = super::super::Role::Consumer;
    let mut view = ctx(1);
    let narrowed = scim::view::View::new(None, Some(["userName".to_owned()].into()));
    view.views = Arc::new(scim::view::Views::alike(narrowed));
    let bindings = [
        Binding::new(&ctx(2), ["User", "a"]),
        Binding::new(&client, ["User", "a"]),
        Binding::new(&role, ["User", "a"]),
        Binding::new(&view, ["User", "a"]),
        Binding::new(&ctx(1), ["User", "b"]),
        Binding::new(&ctx(1), ["Usera", ""]),
        Binding::new(&ctx(1), ["User"]),
    ];
    for binding in bindings {
        assert_eq!(keyword(Cursor::open(&sealed, &key(1), &binding, Some(10), (NOW, 0, HOUR))), "invalidCursor");
    }
    assert_eq!(keyword(Cursor::open(&sealed, &key(2), &own, Some(10), (NOW, 0, HOUR))), "invalidCursor");
    assert_eq!(keyword(Cursor::open(&sealed, &key(1), &own, Some(10), (NOW, 0, HOUR))), "opened");
}

#[test]
fn a_cursor_expires_and_its_count_stays() {
    let binding = Binding::new(&ctx(1), ["User"]);
    let sealed = cursor(Cut::Start).seal(&key(1), &binding, &Random::os()).unwrap();
    let open = |count, now| keyword(Cursor::open(&sealed, &key(1), &binding, count, (now, 0, HOUR)));
    assert_eq!(open(Some(10), NOW + 3_600_000_000), "opened");
    assert_eq!(open(Some(10), NOW + 3_601_000_000), "expiredCursor");
    assert_eq!(open(Some(11), NOW), "invalidCount");
    assert_eq!(open(None, NOW), "invalidCount");
    // Another node's clock may be a little behind.
    assert_eq!(open(Some(10), NOW - 5_000_000), "opened");
}

#[test]
fn a_cursor_of_another_epoch_has_expired() {
    let binding = Binding::new(&ctx(1), []);
    let sealed = cursor(Cut::Start).seal(&key(1), &binding, &Random::os()).unwrap();
    let open = |epoch| keyword(Cursor::open(&sealed, &key(1), &binding, Some(10), (NOW, epoch, HOUR)));
    assert_eq!((open(0), open(NOW)), ("opened", "expiredCursor"));
}

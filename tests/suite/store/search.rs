//! Searches: SQLite, PostgreSQL and a naive look at every resource answer alike, whatever is asked and whoever asks.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::collection::{hash_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use scim::filter::{Checked, Filter, Target};
use scim::key;
use scim::schema::Definition;
use scim::view::{View, Views};
use serde_json::{Map, Value};
use store::scan::{Hit, Page, Query, Sort};
use store::{Derived, Error, ResourceId, assemble, format_instant};

use super::harness::{Fixture, START, group, id, on_both, user};
use super::world::{ALL, Step, history, live, texts};

/// A question as a client might ask it.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) kind: &'static str,
    filter: Option<String>,
    sort: Option<(&'static str, bool)>,
    page: (u64, u64),
    view_filter: Option<String>,
    released: Option<BTreeSet<String>>,
}

/// What a path is compared with.
#[derive(Clone, Copy)]
enum Values {
    Text,
    Id,
    Instant,
    Flag,
    One(&'static [&'static str]),
}

type Path = (&'static str, Values);

const USER: &[Path] = &[
    ("id", Values::Id),
    ("externalId", Values::One(&["1", "2", "X", "x", "å"])),
    ("meta.lastModified", Values::Instant),
    ("meta.created", Values::Instant),
    ("meta.version", Values::One(&["W/\"1", "W/\"2", "W/"])),
    ("meta.resourceType", Values::One(&["User", "Group"])),
    ("userName", Values::One(&["anna", "ANNA", "b", "bo", "åsa", "\u{ff22}O", "d"])),
    ("displayName", Values::Text),
    ("name.familyName", Values::Text),
    ("name.givenName", Values::Text),
    ("title", Values::Text),
    ("active", Values::Flag),
    ("emails", Values::Text),
    ("emails.value", Values::Text),
    ("emails.type", Values::One(&["work", "HOME", "h"])),
    ("emails.primary", Values::Flag),
    ("groups", Values::Id),
    ("groups.value", Values::Id),
    ("groups.display", Values::Text),
    ("groups.type", Values::One(&["direct", "indirect"])),
    ("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber", Values::Text),
    ("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department", Values::Text),
    ("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager", Values::Id),
    ("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value", Values::Id),
];

const GROUP: &[Path] = &[
    ("id", Values::Id),
    ("externalId", Values::One(&["1", "2", "X", "x", "å"])),
    ("meta.lastModified", Values::Instant),
    ("displayName", Values::Text),
    ("members", Values::Id),
    ("members.value", Values::Id),
    ("members.display", Values::One(&["anna", "b", "å"])),
    ("members.type", Values::One(&["User", "group"])),
];

const ELEMENTS: &[(&str, &str, &[Path])] = &[
    ("User", "emails", &[("value", Values::Text), ("type", Values::One(&["work", "home"])), ("primary", Values::Flag)]),
    ("User", "groups", &[("value", Values::Id), ("display", Values::Text), ("type", Values::One(&["direct"]))]),
    ("User", "name", &[("familyName", Values::Text), ("givenName", Values::Text)]),
    ("User", "meta", &[("lastModified", Values::Instant), ("version", Values::One(&["W/\"1"]))]),
    (
        "Group",
        "members",
        &[("value", Values::Id), ("display", Values::Text), ("type", Values::One(&["User", "Group"]))],
    ),
];

fn value(values: Values) -> BoxedStrategy<String> {
    let quoted = |text: String| Value::String(text).to_string();
    match values {
        Values::Text => select(texts()).prop_map(quoted).boxed(),
        Values::Id => prop_oneof![
            9 => (0..ALL).prop_map(|n| id(n).to_string()),
            1 => select(vec!["nobody", "00000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-00000000000A"])
                .prop_map(str::to_owned),
        ]
        .prop_map(quoted)
        .boxed(),
        Values::Instant => (0..30_i64).prop_map(move |n| quoted(format_instant(START + n * 500_000))).boxed(),
        Values::Flag => select(vec!["true", "false"]).prop_map(str::to_owned).boxed(),
        Values::One(texts) => select(texts).prop_map(move |text| quoted(text.to_owned())).boxed(),
    }
}

fn atom((path, values): Path) -> BoxedStrategy<String> {
    let ops = match values {
        Values::Flag => vec!["eq", "ne"],
        Values::Instant => vec!["eq", "ne", "gt", "ge", "lt", "le"],
        // Identity is asked for most, and answered in ways of its own.
        Values::Id => vec!["eq", "eq", "eq", "ne", "sw", "gt"],
        _ => vec!["eq", "eq", "eq", "ne", "co", "sw", "sw", "ew", "gt", "ge", "lt", "le"],
    };
    prop_oneof![
        1 => Just(format!("{path} pr")),
        6 => (select(ops), value(values)).prop_map(move |(op, value)| format!("{path} {op} {value}")),
    ]
    .boxed()
}

fn logical(leaf: BoxedStrategy<String>, depth: u32) -> BoxedStrategy<String> {
    leaf.prop_recursive(depth, 8, 3, |part| {
        prop_oneof![
            3 => vec(part.clone(), 2..4).prop_map(|parts| format!("({})", parts.join(" and "))),
            2 => vec(part.clone(), 2..4).prop_map(|parts| format!("({})", parts.join(" or "))),
            1 => part.prop_map(|part| format!("not ({part})")),
        ]
    })
    .boxed()
}

fn filter(kind: &'static str) -> BoxedStrategy<String> {
    let paths = if kind == "User" { USER } else { GROUP };
    let atoms = proptest::strategy::Union::new(paths.iter().map(|path| atom(*path)));
    let elements = ELEMENTS.iter().filter(|(of, ..)| *of == kind).map(|(_, attribute, subs)| {
        let inner = proptest::strategy::Union::new(subs.iter().map(|sub| atom(*sub)));
        logical(inner.boxed(), 2).prop_map(move |inner| format!("{attribute}[{inner}]"))
    });
    let elements = proptest::strategy::Union::new(elements.map(Strategy::boxed).collect::<Vec<_>>());
    logical(prop_oneof![2 => atoms, 1 => elements].boxed(), 2)
}

pub(crate) fn question() -> impl Strategy<Value = Question> {
    select(vec!["User", "User", "Group"]).prop_flat_map(|kind| {
        let paths: Vec<&'static str> =
            if kind == "User" { USER } else { GROUP }.iter().map(|(path, _)| *path).collect();
        let released: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
        (
            option::weighted(0.9, filter(kind)),
            option::of((select(paths), any::<bool>())),
            (select(vec![1, 1, 1, 2, 5, 40]), select(vec![0, 1, 3, 100, 100])),
            option::weighted(0.3, filter(kind)),
            option::weighted(0.3, hash_set(select(released), 0..8)),
        )
            .prop_map(move |(filter, sort, page, view_filter, released)| {
                let released = released.map(|paths| paths.into_iter().collect());
                Question { kind, filter, sort, page, view_filter, released }
            })
    })
}

pub(crate) fn check(definition: &Definition, text: &str) -> Filter<Checked> {
    Filter::parse(text).and_then(|filter| filter.check(definition)).unwrap_or_else(|error| panic!("{text}: {error}"))
}

impl Question {
    pub(crate) fn query(&self, fixture: &Fixture) -> Query {
        let query = fixture.query(self.kind);
        let definition = query.definition.clone();
        let view_filter = self.view_filter.as_deref().map(|text| check(&definition, text));
        Query {
            filter: self.filter.as_deref().map(|text| check(&definition, text)),
            views: Arc::new(Views::alike(View::new(view_filter, self.released.clone()))),
            sort: self.sort.map(|(path, descending)| {
                let target = Target::resolve(&definition, path).unwrap();
                Sort { target: target.comparable().unwrap().clone(), descending }
            }),
            start: self.page.0,
            count: self.page.1,
            ..query
        }
    }

    /// The answer by looking at everything: the total, and the ids of the page.
    pub(crate) fn naive(&self, query: &Query, world: &[(ResourceId, Map<String, Value>)]) -> (u64, Vec<ResourceId>) {
        let mut places: Vec<(Option<String>, ResourceId)> = Vec::new();
        let sort = query.sort.as_ref().filter(|sort| query.view().sees(&sort.target.canonical));
        for (id, document) in world {
            let mut seen = document.clone();
            query.view().project(&mut seen);
            if query.view().admits(document) && query.filter.as_ref().is_none_or(|filter| filter.matches(&seen)) {
                let key = sort.map(|sort| {
                    let key = sort.target.sort_key(document).unwrap_or_else(|| key::ABSENT.to_owned());
                    key::cut(&key).into_owned()
                });
                places.push((key, *id));
            }
        }
        places.sort();
        if sort.is_some_and(|sort| sort.descending) {
            places.reverse();
        }
        let total = places.len() as u64;
        let skip = usize::try_from(query.start - 1).unwrap();
        let page = places.into_iter().map(|(_, id)| id).skip(skip).take(usize::try_from(query.count).unwrap());
        (total, page.collect())
    }
}

fn document(fixture: &Fixture, query: &Query, hit: &Hit) -> Map<String, Value> {
    let derived = Derived {
        base_url: &query.base_url,
        external: hit.external.as_deref(),
        groups: hit.groups.as_deref(),
        members: hit.members.as_deref(),
        member_names: true,
        etag: &hit.etag,
    };
    assemble(&hit.record, &derived, fixture.store.registry()).unwrap()
}

/// Every living resource of a kind, whole, found by id.
pub(crate) async fn world(fixture: &Fixture, kind: &str) -> Vec<(ResourceId, Map<String, Value>)> {
    let query = fixture.query(kind);
    let asked = query.clone();
    let ids: Vec<_> = (0..ALL).map(id).collect();
    let hits = fixture.read(move |reader, tenant| reader.hits(tenant, &ids, &asked)).await.unwrap();
    let of_kind = hits.iter().filter(|hit| hit.record.kind == kind);
    of_kind.map(|hit| (hit.record.id, document(fixture, &query, hit))).collect()
}

pub(crate) async fn search(fixture: &Fixture, query: &Query) -> Page {
    let query = query.clone();
    fixture.read(move |reader, tenant| reader.search(tenant, &query)).await.unwrap()
}

async fn compare(databases: [&Fixture; 2], steps: &[Step], questions: &[Question]) -> Result<(), TestCaseError> {
    let [sqlite, postgres] = databases;
    prop_assert_eq!(live(sqlite, steps).await, live(postgres, steps).await);
    let mut worlds = Vec::new();
    for kind in ["User", "Group"] {
        let (one, other) = (world(sqlite, kind).await, world(postgres, kind).await);
        prop_assert_eq!(&one, &other);
        worlds.push((kind, one));
    }
    for question in questions {
        let query = question.query(sqlite);
        let (one, other) = (search(sqlite, &query).await, search(postgres, &query).await);
        let ids = |page: &Page| page.hits.iter().map(|hit| hit.record.id).collect::<Vec<_>>();
        let documents = |page: &Page| page.hits.iter().map(|hit| document(sqlite, &query, hit)).collect::<Vec<_>>();
        let (_, world) = worlds.iter().find(|(kind, _)| *kind == question.kind).unwrap();
        let naive = question.naive(&query, world);
        prop_assert_eq!((one.total, ids(&one)), naive.clone(), "SQLite: {:?}", question);
        prop_assert_eq!((other.total, ids(&other)), naive, "PostgreSQL: {:?}", question);
        prop_assert_eq!(documents(&one), documents(&other), "{:?}", question);
        for (id, document) in ids(&one).iter().zip(documents(&one)) {
            let whole = world.iter().find(|(known, _)| known == id).map(|(_, document)| document);
            prop_assert_eq!(Some(&document), whole, "{:?}", question);
        }
    }
    Ok(())
}

#[test]
fn sqlite_postgres_and_a_naive_scan_answer_alike() {
    let cases = std::env::var("MATRIKEL_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(40);
    let databases = RefCell::new([Fixture::sqlite(), Fixture::postgres()]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 300, ..Config::default() };
    let outcome = TestRunner::new(config).run(&(history(20..80), vec(question(), 80)), |(steps, questions)| {
        let mut databases = databases.borrow_mut();
        let slug = uuid::Uuid::new_v4().to_string();
        databases.iter_mut().for_each(|fixture| fixture.new_tenant(&slug));
        runtime.block_on(compare(databases.each_ref(), &steps, &questions))
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

on_both! {
    a_search_that_would_look_at_too_much_is_refused,
    a_page_beyond_the_end_is_empty_and_knows_the_total,
    keys_that_were_cut_are_found_from_both_sides,
    signs_that_sql_has_for_itself_are_signs_like_others,
    another_member_than_the_one_named_is_found,
}

async fn total(fixture: &Fixture, kind: &str, text: &str) -> u64 {
    let query = fixture.query(kind);
    let filter = Some(check(&query.definition, text));
    search(fixture, &Query { filter, ..query }).await.total
}

/// Two bytes of the first name's last character fit the index, none of the second's three: so their cut keys lie the
/// other way round.
async fn keys_that_were_cut_are_found_from_both_sides(fixture: Fixture) {
    let stem = "x".repeat(510);
    let (lower, higher) = (format!("{stem}éa"), format!("{stem}€"));
    for (n, name) in [(1, &lower), (2, &higher)] {
        let mut draft = user(n, &format!("u{n}"));
        Arc::make_mut(&mut draft.doc).insert("displayName".into(), Value::String(name.clone()));
        fixture.create(draft).await.unwrap();
    }
    for (filter, expected) in [
        (format!("displayName le \"{higher}\""), 2),
        (format!("displayName lt \"{higher}\""), 1),
        (format!("displayName ge \"{lower}\""), 2),
        (format!("displayName gt \"{lower}\""), 1),
        (format!("displayName sw \"{stem}é\""), 1),
        (format!("displayName sw \"{stem}\""), 2),
        (format!("displayName sw \"{lower}b\""), 0),
        (format!("displayName eq \"{lower}\""), 1),
        (format!("displayName eq \"{stem}\""), 0),
        ("displayName co \"xéa\"".to_owned(), 1),
        ("displayName ew \"x€\"".to_owned(), 1),
        ("displayName ew \"xé\"".to_owned(), 0),
        ("displayName co \"éb\"".to_owned(), 0),
    ] {
        assert_eq!(total(&fixture, "User", &filter).await, expected, "{} …", &filter[..16]);
    }
}

async fn signs_that_sql_has_for_itself_are_signs_like_others(fixture: Fixture) {
    for (n, name) in (1..).zip(["100% _sure!", "100 per cent", "a_b", "ab", "oh!", "oh!%"]) {
        let mut draft = user(n, &format!("u{n}"));
        Arc::make_mut(&mut draft.doc).insert("displayName".into(), Value::String(name.to_owned()));
        fixture.create(draft).await.unwrap();
    }
    for (filter, expected) in [
        ("co \"%\"", 2),
        ("co \"0%\"", 1),
        ("co \"_\"", 2),
        ("co \"A_B\"", 1),
        ("co \"!\"", 3),
        ("ew \"!\"", 2),
        ("ew \"%\"", 1),
        ("ew \"%%\"", 0),
        ("co \"'\"", 0),
        ("co \"\"", 6),
    ] {
        assert_eq!(total(&fixture, "User", &format!("displayName {filter}")).await, expected, "{filter}");
        let mixed = format!("displayName {filter} and userName sw \"u\"");
        assert_eq!(total(&fixture, "User", &mixed).await, expected, "{mixed}");
    }
}

async fn another_member_than_the_one_named_is_found(fixture: Fixture) {
    for n in 1..=2 {
        fixture.create(user(n, &format!("u{n}"))).await.unwrap();
    }
    fixture.create(group(10, "both", &[1, 2])).await.unwrap();
    fixture.create(group(11, "one", &[1])).await.unwrap();
    fixture.create(group(12, "none", &[])).await.unwrap();
    for (filter, expected) in [
        ("members[value ne \"@\"]", 1),
        ("not (members[value ne \"@\"])", 2),
        ("members[not (value eq \"@\")]", 1),
        ("members.value ne \"@\"", 1),
        ("members[value eq \"@\"]", 2),
        ("not (members.value eq \"@\")", 1),
    ] {
        let filter = filter.replace('@', &id(1).to_string());
        assert_eq!(total(&fixture, "Group", &filter).await, expected, "{filter}");
    }
}

async fn many(fixture: &Fixture) {
    for n in 0..30 {
        fixture.create(user(n, &format!("u{n}"))).await.unwrap();
    }
}

async fn a_search_that_would_look_at_too_much_is_refused(fixture: Fixture) {
    many(&fixture).await;
    let ask = async |text: &str, limit| {
        let query = fixture.query("User");
        let query = Query { filter: Some(check(&query.definition, text)), limit, ..query };
        fixture.read(move |reader, tenant| reader.search(tenant, &query)).await.map(|page| page.total)
    };
    assert!(matches!(ask("title pr", 29).await, Err(Error::TooMany { limit: 29 })));
    assert_eq!(ask("title pr", 30).await.unwrap(), 0);
    assert!(matches!(ask("userName sw \"u\"", 29).await, Err(Error::TooMany { limit: 29 })));
    assert_eq!(ask("userName sw \"u2\"", 29).await.unwrap(), 11);
    assert_eq!(ask("userName sw \"u\" and userName eq \"u7\"", 29).await.unwrap(), 1);
}

async fn a_page_beyond_the_end_is_empty_and_knows_the_total(fixture: Fixture) {
    many(&fixture).await;
    for filter in [None, Some("userName sw \"u\""), Some("userName co \"u\"")] {
        for (start, count, expected) in
            [(31, 10, 0), (30, 10, 1), (1, 0, 0), (u64::MAX, u64::MAX, 0), (1, u64::MAX, 30)]
        {
            let query = fixture.query("User");
            let filter = filter.map(|text| check(&query.definition, text));
            let page = search(&fixture, &Query { filter, start, count, ..query }).await;
            assert_eq!((page.total, page.hits.len()), (30, expected));
        }
    }
}

//! On data that nobody changes, a walk by cursor, a walk by index and a naive answer are the same, whatever the filter,
//! the order, the page size and the limit on what a page may test.

use std::sync::atomic::{AtomicUsize, Ordering};

use matrikel::directory::Limits;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use scim::filter::{Filter, Target};
use scim::key;
use scim::query::SearchRequest;
use serde_json::{Map, Value, json};

use super::world::{World, backwards, forwards};

const USERS: usize = 150;
const SORTS: [Option<&str>; 9] = [
    None,
    Some("id"),
    Some("userName"),
    Some("displayName"),
    Some("name.familyName"),
    Some("meta.lastModified"),
    Some("nickName"),
    Some("emails"),
    Some("externalId"),
];
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// Attributes that no index orders.
fn is_unindexed(sort: Option<&str>) -> bool {
    matches!(sort, Some("nickName" | "emails" | "externalId"))
}

fn filters(group: &str) -> Vec<Option<String>> {
    let texts = [
        "active eq true",
        "displayName eq \"Bo\"",
        "displayName sw \"A\"",
        "userName sw \"u1\"",
        "userName ge \"u05\" and userName lt \"u120\"",
        "name.familyName pr and not (name.familyName eq \"Ek\")",
        "nickName pr",
        "nickName co \"i\" or displayName eq \"Ada\"",
        "emails[type eq \"work\" and value ew \"example\"]",
        "meta.lastModified gt \"2020-01-01T00:00:00Z\"",
        "meta.lastModified lt \"2020-01-01T00:00:00Z\"",
        "userName eq \"u007\" or userName eq \"u077\" or id eq \"nobody\"",
        "externalId sw \"x1\"",
    ];
    let mut filters: Vec<Option<String>> = texts.map(|text| Some(text.to_owned())).into();
    filters.push(Some(format!("{ENTERPRISE}:department eq \"IT\"")));
    filters.push(Some(format!("groups.value eq \"{group}\"")));
    filters.push(None);
    filters
}

pub(super) async fn fill(world: &World) -> String {
    let mut members = Vec::new();
    for n in 0..USERS {
        let mut body = json!({ "userName": format!("u{n:03}"), "active": n % 3 != 0 });
        // Few values and many without one, so that the id decides often.
        if n % 4 != 0 {
            body["displayName"] = json!(["Ada", "Bo", "bo", "Cai", "Äpple"][n * 7 % 5]);
        }
        if n % 5 != 0 {
            body["name"] = json!({ "familyName": (["Ek", "Al", "Ask"][n * 11 % 3]) });
        }
        if n % 2 == 0 {
            body["nickName"] = json!(["Nisse", "Pim", "Ullis"][n * 5 % 3]);
            body["emails"] = json!([{ "value": format!("{n}@kommun.example"), "type": "work" }]);
        }
        if n % 3 == 0 {
            body["externalId"] = json!(format!("x{n}"));
        }
        if n % 6 != 0 {
            body[ENTERPRISE] = json!({ "department": (["IT", "Skola"][n * 13 % 2]) });
        }
        let id = world.user(body).await;
        if n % 2 == 1 {
            members.push(json!({ "value": id }));
        }
    }
    let schemas = json!(["urn:ietf:params:scim:schemas:core:2.0:Group"]);
    for n in 0..7 {
        world.create("Group", json!({ "schemas": schemas, "displayName": format!("G{n}") })).await;
    }
    world.create("Group", json!({ "schemas": schemas, "displayName": "IT", "members": members })).await
}

/// Every document of a type, as the filter sees it.
pub(super) async fn documents(world: &World, kind: &str) -> Vec<Map<String, Value>> {
    let definition = world.definition(kind);
    let request = SearchRequest { count: Some(1_000), ..SearchRequest::default() };
    let found = world.directory.search(&world.ctx(), &[definition], &request).await.unwrap();
    let body: Value = serde_json::from_str(&found.body).unwrap();
    body["Resources"].as_array().unwrap().iter().map(|one| one.as_object().unwrap().clone()).collect()
}

pub(super) fn id_of(document: &Map<String, Value>) -> String {
    document["id"].as_str().unwrap().to_owned()
}

/// The ids that the answer holds, in order.
fn naive(world: &World, documents: &[Map<String, Value>], request: &SearchRequest) -> Vec<String> {
    let definition = world.definition("User");
    let filter = request.filter.as_deref().map(|text| Filter::parse(text).unwrap().check(&definition).unwrap());
    let sort = request.sort_by.as_deref().map(|path| Target::resolve(&definition, path).unwrap());
    let sort = sort.and_then(|target| target.comparable().cloned());
    let mut found: Vec<(String, String)> = documents
        .iter()
        .filter(|document| filter.as_ref().is_none_or(|filter| filter.matches(document)))
        .map(|document| {
            let sort_key = sort.as_ref().map(|target| target.sort_key(document).unwrap_or(key::ABSENT.to_owned()));
            (sort_key.unwrap_or_default(), id_of(document))
        })
        .collect();
    found.sort_unstable();
    if sort.is_some() && request.descending {
        found.reverse();
    }
    found.into_iter().map(|(_, id)| id).collect()
}

fn walks_agree(mut world: World) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let group = runtime.block_on(fill(&world));
    let documents = runtime.block_on(documents(&world, "User"));
    assert_eq!(documents.len(), USERS);
    let filters = filters(&group);
    // With so small a limit the walk goes along indexes and its pages come out short.
    for scan in [100_000, 40] {
        let limits = Limits { scan, ..Limits::default() };
        world.restart(limits);
        let cases = AtomicUsize::new(0);
        let strategy = (0..filters.len(), 0..SORTS.len(), any::<bool>(), 1..60_u64);
        let mut runner = TestRunner::new(Config { cases: 60, failure_persistence: None, ..Config::default() });
        runner
            .run(&strategy, |(filter, sort, descending, count)| {
                if scan == 40 && is_unindexed(SORTS[sort]) {
                    return Ok(());
                }
                let request = SearchRequest {
                    filter: filters[filter].clone(),
                    sort_by: SORTS[sort].map(str::to_owned),
                    descending,
                    count: Some(count),
                    ..SearchRequest::default()
                };
                let expected = naive(&world, &documents, &request);
                let (there, back) = runtime.block_on(world.walk(&["User"], &request));
                prop_assert_eq!(&forwards(&there), &expected, "forwards {:?}", request);
                prop_assert_eq!(&backwards(&there, &back), &expected, "backwards {:?}", request);
                for page in there.iter().chain(&back) {
                    prop_assert!(page.ids.len() as u64 <= count);
                    prop_assert!(page.total.is_none_or(|total| total == expected.len() as u64));
                    prop_assert!(page.total.is_some() || request.filter.is_some());
                }
                if scan > 40 {
                    prop_assert_eq!(there.len() as u64, (expected.len() as u64).div_ceil(count).max(1));
                    let by_index = runtime.block_on(walk_by_index(&world, &request));
                    prop_assert_eq!(&by_index, &expected, "by index {:?}", request);
                }
                cases.fetch_add(1, Ordering::Relaxed);
                Ok(())
            })
            .unwrap();
        assert!(cases.into_inner() > 30);
    }
}

async fn walk_by_index(world: &World, request: &SearchRequest) -> Vec<String> {
    let mut request = request.clone();
    let mut ids = Vec::new();
    loop {
        let page = world.page(&["User"], &request).await;
        let total = page.total.unwrap();
        request.start_index += page.ids.len() as u64;
        ids.extend(page.ids);
        if request.start_index > total {
            return ids;
        }
    }
}

#[test]
fn by_cursor_by_index_and_naively_the_answer_is_the_same_on_sqlite() {
    walks_agree(World::sqlite());
}

#[test]
fn by_cursor_by_index_and_naively_the_answer_is_the_same_on_postgres() {
    walks_agree(World::postgres());
}

/// A walk goes through one type after the other, and a page may hold the end of one and the beginning of the next.
async fn types_follow_each_other(world: World) {
    fill(&world).await;
    let kinds = ["User", "Group", "Client"];
    let mut expected = Vec::new();
    for kind in kinds {
        expected.extend(documents(&world, kind).await.iter().map(id_of));
    }
    for (count, filter) in [(1, None), (7, None), (50, None), (79, None), (158, None), (200, None), (9, Some("id pr"))]
    {
        let filter = filter.map(str::to_owned);
        let request = SearchRequest { count: Some(count), filter, ..SearchRequest::default() };
        let (there, back) = world.walk(&kinds, &request).await;
        assert_eq!(forwards(&there), expected, "{count}");
        assert_eq!(backwards(&there, &back), expected, "{count}");
        assert_eq!(there.len() as u64, (expected.len() as u64).div_ceil(count));
        let mut by_index = request.clone();
        let mut found = Vec::new();
        while by_index.start_index <= expected.len() as u64 {
            let page = world.page(&kinds, &by_index).await;
            assert_eq!(page.total, Some(expected.len() as u64));
            by_index.start_index += page.ids.len() as u64;
            found.extend(page.ids);
        }
        assert_eq!(found, expected, "by index {count}");
    }
}

#[tokio::test]
async fn types_are_walked_one_after_the_other_on_sqlite() {
    types_follow_each_other(World::sqlite()).await;
}

#[tokio::test]
async fn types_are_walked_one_after_the_other_on_postgres() {
    types_follow_each_other(World::postgres()).await;
}

//! Totals that are kept: right after any history, on every node, and cheap for whoever goes through a list page by page.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::Value;
use store::scan::{Page, Query, Sort};
use store::{Error, Store};

use super::harness::{Fixture, on_both, user};
use super::search::{Question, check, question, search, world};
use super::world::{Step, history, live};

on_both! {
    each_page_of_a_walk_costs_what_one_page_costs,
    a_total_whose_history_was_erased_is_counted_anew,
    a_total_is_advanced_and_not_counted,
    an_order_that_no_index_has_is_kept_and_brought_up_to_date,
}

async fn total(node: &Store, fixture: &Fixture, query: &Query) -> u64 {
    let (query, tenant) = (Query { count: 0, ..query.clone() }, fixture.tenant);
    let read = node.read(move |reader| Ok::<_, Error>(reader.search(tenant, &query)?.total)).await;
    read.unwrap()
}

async fn agree(databases: [&Fixture; 2], steps: &[Step], questions: &[Question]) -> Result<(), TestCaseError> {
    for fixture in databases {
        let other = fixture.another_node();
        let part = steps.len().div_ceil(4);
        for (n, steps) in steps.chunks(part).enumerate() {
            live(fixture, steps).await;
            let worlds = [("User", world(fixture, "User").await), ("Group", world(fixture, "Group").await)];
            for question in questions {
                let query = question.query(fixture);
                let (_, world) = worlds.iter().find(|(kind, _)| *kind == question.kind).unwrap();
                let (expected, ids) = question.naive(&query, world);
                let page = search(fixture, &query).await;
                let found: Vec<_> = page.hits.iter().map(|hit| hit.record.id).collect();
                prop_assert_eq!((page.total, found), (expected, ids), "a page: {:?}", question);
                prop_assert_eq!(total(&fixture.store, fixture, &query).await, expected, "count=0: {:?}", question);
                // The other node is asked now and then, so that it has more to catch up with.
                if n % 2 == 1 {
                    prop_assert_eq!(total(&other, fixture, &query).await, expected, "another node: {:?}", question);
                }
            }
        }
        other.close();
    }
    Ok(())
}

#[test]
fn a_kept_total_is_what_a_naive_count_says_after_any_history() {
    let cases = std::env::var("MATRIKEL_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(5);
    let databases = RefCell::new([Fixture::sqlite(), Fixture::postgres()]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 100, ..Config::default() };
    let outcome = TestRunner::new(config).run(&(history(20..80), vec(question(), 20)), |(steps, questions)| {
        let mut databases = databases.borrow_mut();
        let slug = uuid::Uuid::new_v4().to_string();
        databases.iter_mut().for_each(|fixture| fixture.new_tenant(&slug));
        runtime.block_on(agree(databases.each_ref(), &steps, &questions))
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

fn titled(n: u32) -> store::work::Draft {
    let mut draft = user(n, &format!("u{n:05}"));
    Arc::make_mut(&mut draft.doc)
        .insert("title".into(), Value::String(if n.is_multiple_of(2) { "Teacher" } else { "Cook" }.into()));
    draft
}

async fn people(fixture: &Fixture, many: u32) {
    futures_util::future::try_join_all((0..many).map(|n| fixture.create(titled(n)))).await.unwrap();
}

fn asked(fixture: &Fixture, filter: Option<&str>, sort: Option<&str>, count: u64) -> Query {
    let query = fixture.query("User");
    let definition = query.definition.clone();
    let target = |path| scim::filter::Target::resolve(&definition, path).unwrap();
    let sort = sort.map(|path| Sort { target: target(path), descending: false });
    Query { filter: filter.map(|text| check(&query.definition, text)), sort, count, ..query }
}

/// Every page of a walk by index, each from the mark of the one before it.
async fn walk(fixture: &Fixture, mut query: Query) -> Vec<Page> {
    let mut pages: Vec<Page> = Vec::new();
    loop {
        let page = search(fixture, &query).await;
        query.start += page.hits.len() as u64;
        query.mark = page.end.clone();
        let is_last = query.start > page.total;
        pages.push(page);
        if is_last {
            return pages;
        }
    }
}

async fn each_page_of_a_walk_costs_what_one_page_costs(fixture: Fixture) {
    let many = 1_200;
    people(&fixture, many).await;
    let teacher = Some("title eq \"Teacher\"");
    for (filter, sort, expected) in [
        (None, None, many),
        (None, Some("userName"), many),
        (Some("userName sw \"u\""), Some("userName"), many),
        (teacher, None, many / 2),
        (teacher, Some("userName"), many / 2),
    ] {
        let pages = walk(&fixture, asked(&fixture, filter, sort, 20)).await;
        let ids: std::collections::BTreeSet<_> =
            pages.iter().flat_map(|page| page.hits.iter().map(|hit| hit.record.id)).collect();
        assert_eq!(ids.len(), expected as usize, "{filter:?} {sort:?}: somebody is missing");
        assert_eq!(pages.iter().map(|page| page.hits.len()).sum::<usize>(), ids.len(), "somebody came twice");
        assert!(pages.iter().all(|page| page.total == u64::from(expected)));
        // The first page counts. None after it touches more than its share of what is tested on the way, wherever it lies.
        let most = pages.iter().skip(1).map(|page| page.touched).max().unwrap();
        assert!(most <= 200, "{filter:?} {sort:?}: a page touched {most} rows");
    }
}

async fn a_total_is_advanced_and_not_counted(fixture: Fixture) {
    people(&fixture, 400).await;
    let query = asked(&fixture, Some("title eq \"Teacher\""), None, 0);
    let first = search(&fixture, &query).await;
    assert_eq!(first.total, 200);
    assert!(first.touched >= 400);
    let again = search(&fixture, &query).await;
    assert_eq!((again.total, again.touched), (200, 0));

    fixture.create(titled(1_000)).await.unwrap();
    fixture.create(titled(1_001)).await.unwrap();
    fixture.remove(super::harness::id(2)).await.unwrap();
    fixture.remove(super::harness::id(1_000)).await.unwrap();
    let mut cook = titled(4);
    Arc::make_mut(&mut cook.doc).insert("title".into(), Value::String("Cook".into()));
    fixture.update(cook).await.unwrap();
    let advanced = search(&fixture, &query).await;
    assert_eq!(advanced.total, 198);
    assert!(advanced.touched <= 20, "{} rows for five changes", advanced.touched);
}

async fn an_order_that_no_index_has_is_kept_and_brought_up_to_date(fixture: Fixture) {
    people(&fixture, 400).await;
    // In the order of a title that hardly tells them apart, of those whom another index names.
    let query = Query { start: 191, ..asked(&fixture, Some("userName sw \"u\""), Some("title"), 20) };
    let names = |page: &Page| page.hits.iter().map(|hit| hit.record.label.clone()).collect::<Vec<_>>();
    let expected = |titles: &BTreeMap<u32, &str>| {
        let mut all: Vec<_> = titles.iter().map(|(n, title)| (*title, super::harness::id(*n), *n)).collect();
        all.sort_unstable();
        all.iter().skip(190).take(20).map(|(.., n)| format!("u{n:05}")).collect::<Vec<_>>()
    };
    let mut titles: BTreeMap<u32, &str> = (0..400).map(|n| (n, if n % 2 == 0 { "Teacher" } else { "Cook" })).collect();
    let first = search(&fixture, &query).await;
    assert_eq!((first.total, names(&first)), (400, expected(&titles)));
    let again = search(&fixture, &query).await;
    assert_eq!((names(&again), again.touched), (names(&first), 0), "it is cut out of what was kept");

    fixture.create(titled(1_001)).await.unwrap();
    fixture.remove(super::harness::id(383)).await.unwrap();
    let mut cook = titled(0);
    Arc::make_mut(&mut cook.doc).insert("title".into(), Value::String("Cook".into()));
    fixture.update(cook).await.unwrap();
    titles.extend([(0, "Cook"), (1_001, "Cook")]);
    titles.remove(&383);
    let now = search(&fixture, &query).await;
    assert_eq!((now.total, names(&now)), (400, expected(&titles)));
    assert!(now.touched <= 10, "{} rows for three changes", now.touched);
}

async fn a_total_whose_history_was_erased_is_counted_anew(fixture: Fixture) {
    people(&fixture, 10).await;
    let query = asked(&fixture, Some("title eq \"Teacher\""), None, 0);
    assert_eq!(search(&fixture, &query).await.total, 5);
    let mut cook = titled(4);
    Arc::make_mut(&mut cook.doc).insert("title".into(), Value::String("Cook".into()));
    fixture.update(cook).await.unwrap();
    fixture.execute("UPDATE change SET doc = NULL, salt = NULL");
    assert_eq!(search(&fixture, &query).await.total, 4);
}

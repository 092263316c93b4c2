//! The promise of a walk while others write: whatever exists and matches throughout appears exactly once, forwards and
//! backwards; with `sortBy` if its sort key does not change. What comes and goes appears at most once in id order.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use scim::query::SearchRequest;
use serde_json::json;

use super::world::{Page, World, backwards, forwards};

const STABLE: usize = 120;

/// Creates, renames and deletes users, and touches the stable ones where it does not matter, until told to stop.
async fn churn(world: Arc<World>, writer: usize, stable: Vec<String>, stop: Arc<AtomicBool>) -> usize {
    let mut own: Vec<String> = Vec::new();
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        n += 1;
        match n % 4 {
            0 => world.set(&stable[(n * 31 + writer) % stable.len()], "nickName", json!(format!("n{n}"))).await,
            1 | 2 if own.len() < 40 => {
                // All over the order, before and behind the walker.
                let name = format!("{:02}-w{writer}-{n}", n * 37 % 100);
                own.push(world.user(json!({ "userName": name, "displayName": "Far", "active": true })).await);
            }
            1 | 2 => world.remove(&own.remove(n * 13 % own.len())).await,
            _ => {
                let moved = &own[n * 17 % own.len()];
                world.set(moved, "userName", json!(format!("{:02}-m{writer}-{n}", n * 53 % 100))).await;
            }
        }
        // The writers of a test share two processors with the walker.
        tokio::task::yield_now().await;
    }
    n
}

fn count_each(ids: &[String]) -> HashMap<&str, usize> {
    ids.iter().fold(HashMap::new(), |mut seen, id| {
        *seen.entry(id.as_str()).or_default() += 1;
        seen
    })
}

async fn the_promise_holds(world: World) {
    let mut stable = Vec::new();
    for n in 0..STABLE {
        let name = format!("{:02}-stable-{n}", n * 83 % 100);
        stable.push(world.user(json!({ "userName": name, "displayName": "Far", "active": true })).await);
    }
    let world = Arc::new(world);
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> =
        (0..3).map(|writer| tokio::spawn(churn(world.clone(), writer, stable.clone(), stop.clone()))).collect();
    for (filter, sort_by, descending) in [
        (None, None, false),
        (Some("active eq true"), None, false),
        (Some("displayName eq \"far\""), None, false),
        (None, Some("userName"), false),
        (Some("active eq true"), Some("userName"), true),
        (Some("userName co \"-\""), Some("userName"), false),
    ] {
        let request = SearchRequest {
            filter: filter.map(str::to_owned),
            sort_by: sort_by.map(str::to_owned),
            descending,
            count: Some(9),
            ..SearchRequest::default()
        };
        let (there, back) = walk_slowly(&world, &request, &stable).await;
        for ids in [forwards(&there), backwards(&there, &back)] {
            let seen = count_each(&ids);
            for id in &stable {
                assert_eq!(seen.get(id.as_str()), Some(&1), "{request:?}");
            }
            if sort_by.is_none() {
                assert!(seen.values().all(|times| *times == 1), "{request:?}");
            }
        }
    }
    stop.store(true, Ordering::Relaxed);
    let mut written = 0;
    for writer in writers {
        written += writer.await.unwrap();
    }
    assert!(written > 100, "the writers wrote while the walker walked: {written}");
}

/// New ids come at the end, so that a walk in id order follows the writers for ever: it turns back some pages after it
/// has seen the last that stays.
async fn walk_slowly(world: &World, request: &SearchRequest, stable: &[String]) -> (Vec<Page>, Vec<Page>) {
    let mut request = request.clone();
    request.cursor = Some(String::new());
    let mut there: Vec<Page> = Vec::new();
    let mut missing: HashSet<&String> = stable.iter().collect();
    let mut more = 5;
    while request.cursor.is_some() && more > 0 && there.len() < 500 {
        let page = world.page(&["User"], &request).await;
        missing.retain(|id| !page.ids.contains(*id));
        if missing.is_empty() && request.sort_by.is_none() {
            more -= 1;
        }
        request.cursor = page.next.clone();
        there.push(page);
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    let mut back = Vec::new();
    request.cursor = there.last().and_then(|page| page.previous.clone());
    while request.cursor.is_some() {
        let page = world.page(&["User"], &request).await;
        request.cursor = page.previous.clone();
        back.push(page);
    }
    (there, back)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_stays_appears_exactly_once_while_others_write_on_sqlite() {
    the_promise_holds(World::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_stays_appears_exactly_once_while_others_write_on_postgres() {
    the_promise_holds(World::postgres()).await;
}

/// Whoever goes on with the next startIndex goes on behind what was shown, whatever has come or gone before it.
async fn an_index_walk_goes_on_where_it_was(world: World) {
    for sort_by in [None, Some("userName")] {
        let mut ids = Vec::new();
        for n in 0..30 {
            ids.push(world.user(json!({ "userName": format!("b{n:02}") })).await);
        }
        let sorted = sort_by.map(str::to_owned);
        let mut request = SearchRequest { sort_by: sorted, count: Some(10), ..SearchRequest::default() };
        assert_eq!(world.page(&["User"], &request).await.ids, ids[..10]);
        for id in &ids[2..5] {
            world.remove(id).await;
        }
        let early = world.user(json!({ "userName": "a" })).await;
        request.start_index = 11;
        let second = world.page(&["User"], &request).await;
        assert_eq!(second.ids, ids[10..20], "behind the first page, nothing skipped and nothing twice");
        assert_eq!(second.total, Some(28));
        // A jump counts, as RFC 7644 section 3.4.2.4 has it.
        request.start_index = 12;
        let jumped = world.page(&["User"], &request).await;
        let skipped = if sort_by.is_some() { 13 } else { 14 };
        assert_eq!(jumped.ids, ids[skipped..skipped + 10]);
        for id in ids.iter().take(2).chain(&ids[5..]).chain([&early]) {
            world.remove(id).await;
        }
    }
}

#[tokio::test]
async fn a_walk_by_index_goes_on_behind_what_it_has_shown_on_sqlite() {
    an_index_walk_goes_on_where_it_was(World::sqlite()).await;
}

#[tokio::test]
async fn a_walk_by_index_goes_on_behind_what_it_has_shown_on_postgres() {
    an_index_walk_goes_on_where_it_was(World::postgres()).await;
}

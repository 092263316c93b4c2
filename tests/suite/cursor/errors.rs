//! What a cursor is refused for, and what it survives.

use std::sync::Arc;

use matrikel::directory::{Ctx, Error, Limits, Random, Role};
use scim::query::SearchRequest;
use scim::view::{View, Views};
use serde_json::json;

use super::world::{NOW, Page, World, client, forwards};

async fn filled() -> World {
    fill(World::sqlite()).await
}

async fn fill(world: World) -> World {
    for n in 0..25 {
        world.user(json!({ "userName": format!("u{n:02}"), "active": true })).await;
    }
    world
}

fn request(cursor: Option<&str>) -> SearchRequest {
    SearchRequest { cursor: cursor.map(str::to_owned), count: Some(10), ..SearchRequest::default() }
}

fn refusal(answer: Result<Page, Error>) -> (String, String) {
    match answer {
        Err(Error::Scim(error)) => {
            assert_eq!(error.status, 400);
            (error.scim_type.map_or("", |kind| kind.as_str()).to_owned(), error.detail)
        }
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn whatever_is_wrong_with_a_cursor_the_answer_is_the_same() {
    let world = filled().await;
    let next = world.page(&["User"], &request(Some(""))).await.next.unwrap();
    let other_tenant = world.directory.store().create_tenant("two", "Two", NOW).unwrap().id;
    let own = world.ctx();
    let mut foreign = own.clone();
    Arc::make_mut(&mut foreign.caller).id = client(5);
    let mut elsewhere = own.clone();
    elsewhere.tenant = other_tenant;
    let mut demoted = own.clone();
    Arc::make_mut(&mut demoted.caller).role = Role::Consumer;
    let mut narrowed = own.clone();
    narrowed.views = Arc::new(Views::alike(View::new(None, Some(["userName".to_owned()].into()))));
    let changed = |change: fn(&mut SearchRequest)| {
        let mut request = request(Some(&next));
        change(&mut request);
        request
    };
    let same = request(Some(&next));
    let mut answers = Vec::new();
    for ctx in [&foreign, &elsewhere, &demoted, &narrowed] {
        answers.push(refusal(world.ask(ctx, &["User"], &same).await));
    }
    for request in [
        changed(|request| request.filter = Some("active eq true".into())),
        changed(|request| request.sort_by = Some("userName".into())),
        changed(|request| request.descending = true),
        changed(|request| request.attributes = vec!["userName".into()]),
        changed(|request| request.excluded = vec!["userName".into()]),
        changed(|request| request.cursor = Some("YkU3OF86Pz0rGv".into())),
        changed(|request| request.cursor = Some("%".into())),
        changed(|request| request.cursor.as_mut().unwrap().push('A')),
    ] {
        answers.push(refusal(world.ask(&own, &["User"], &request).await));
    }
    answers.push(refusal(world.ask(&own, &["Group"], &same).await));
    answers.push(refusal(world.ask(&own, &["User", "Group"], &same).await));
    assert_eq!(answers[0].0, "invalidCursor");
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
}

#[tokio::test]
async fn a_filter_may_be_spelled_otherwise_but_not_be_another() {
    let world = filled().await;
    let ask = |filter: &str, cursor: &str| SearchRequest { filter: Some(filter.into()), ..request(Some(cursor)) };
    let next = world.page(&["User"], &ask("userName sw \"u\"", "")).await.next.unwrap();
    let page = world.page(&["User"], &ask("(USERNAME SW \"u\")", &next)).await;
    assert_eq!(page.ids.len(), 10);
    let answer = world.ask(&world.ctx(), &["User"], &ask("userName sw \"u0\"", &next)).await;
    assert_eq!(refusal(answer).0, "invalidCursor");
}

#[tokio::test]
async fn a_cursor_expires_when_its_time_is_over() {
    let world = filled().await;
    let first = world.page(&["User"], &request(Some(""))).await;
    let later = |seconds: i64| Ctx { now: NOW + seconds * 1_000_000, ..world.ctx() };
    let next = request(first.next.as_deref());
    let second = world.ask(&later(3_600), &["User"], &next).await.unwrap();
    let (keyword, detail) = refusal(world.ask(&later(3_601), &["User"], &next).await);
    assert_eq!(keyword, "expiredCursor");
    assert!(detail.contains("3600"), "{detail}");
    // Each page gives new time.
    let third = world.ask(&later(7_200), &["User"], &request(second.next.as_deref())).await.unwrap();
    assert_eq!(third.ids.len(), 5);
    // To somebody else an old cursor is no cursor at all.
    let mut foreign = later(4_000);
    Arc::make_mut(&mut foreign.caller).id = client(5);
    assert_eq!(refusal(world.ask(&foreign, &["User"], &next).await).0, "invalidCursor");
}

#[tokio::test]
async fn the_count_stays_from_page_to_page() {
    let world = filled().await;
    let next = world.page(&["User"], &request(Some(""))).await.next;
    for count in [None, Some(0), Some(9), Some(11), Some(u64::MAX)] {
        let request = SearchRequest { count, ..request(next.as_deref()) };
        assert_eq!(refusal(world.ask(&world.ctx(), &["User"], &request).await).0, "invalidCount", "{count:?}");
    }
}

#[tokio::test]
async fn a_count_of_zero_asks_for_the_total_alone() {
    let world = filled().await;
    for filter in [None, Some("userName sw \"u0\"".to_owned())] {
        let total = if filter.is_some() { 10 } else { 25 };
        let request = SearchRequest { count: Some(0), filter, ..request(Some("")) };
        let page = world.page(&["User"], &request).await;
        assert_eq!((page.ids.len(), page.total, page.next, page.previous), (0, Some(total), None, None));
    }
}

#[tokio::test]
async fn more_than_the_largest_page_is_answered_with_the_largest_page() {
    let mut world = filled().await;
    world.restart(Limits { page_max: 8, page_default: 4, ..Limits::default() });
    let all = SearchRequest { count: Some(1_000), ..request(None) };
    let (there, _) = world.walk(&["User"], &all).await;
    assert_eq!(there.iter().map(|page| page.ids.len()).collect::<Vec<_>>(), [8, 8, 8, 1]);
    let (there, _) = world.walk(&["User"], &SearchRequest { count: None, ..request(None) }).await;
    assert_eq!(there[0].ids.len(), 4);
}

#[tokio::test]
async fn without_a_cursor_the_answer_is_paged_by_index() {
    let world = filled().await;
    let page = world.page(&["User"], &request(None)).await;
    assert!(page.next.is_none() && page.previous.is_none() && page.feed_position.is_none());
    assert_eq!(page.total, Some(25));
}

#[tokio::test]
async fn the_first_page_names_the_newest_change_it_has_seen() {
    let world = filled().await;
    let page = world.page(&["User"], &request(Some(""))).await;
    assert_eq!(page.feed_position, Some(25));
    world.remove(&page.ids[0]).await;
    assert_eq!(world.page(&["User"], &request(Some(""))).await.feed_position, Some(26));
}

async fn a_walk_survives(mut world: World) {
    let (whole, _) = world.walk(&["User"], &request(None)).await;
    let first = world.page(&["User"], &request(Some(""))).await;
    world.restart(Limits::default());
    let second = world.page(&["User"], &request(first.next.as_deref())).await;
    assert_eq!(second.ids, whole[1].ids);
    // Another node takes over, and walks back.
    let node = world.node(Limits::default());
    let definition = world.definition("User");
    let ctx = Ctx::system(world.tenant, NOW, Random::os());
    let found = node.search(&ctx, &[definition], &request(second.previous.as_deref())).await.unwrap();
    node.store().close();
    assert!(first.ids.iter().all(|id| found.body.contains(id)));
    assert_eq!(forwards(&whole).len(), 25);
}

#[tokio::test]
async fn a_walk_survives_a_restart_and_goes_on_at_another_node_on_sqlite() {
    a_walk_survives(filled().await).await;
}

#[tokio::test]
async fn a_walk_survives_a_restart_and_goes_on_at_another_node_on_postgres() {
    a_walk_survives(fill(World::postgres()).await).await;
}

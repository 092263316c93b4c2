//! A search over several resource types with one order: by cursor there and back, by index from page to page and with a
//! jump, the merged answer is the one that sorting everything gives.

use scim::filter::Target;
use scim::key;
use scim::query::SearchRequest;

use super::agreement::{documents, fill, id_of};
use super::world::{World, backwards, forwards};

const KINDS: [&str; 3] = ["User", "Group", "Client"];

/// Every resource, sorted by its key and id, whatever its type.
async fn naive(world: &World, path: &str, descending: bool) -> Vec<String> {
    let mut found: Vec<(String, String)> = Vec::new();
    for kind in KINDS {
        let target = Target::resolve(&world.definition(kind), path);
        let target = target.and_then(|target| target.comparable().cloned());
        for document in documents(world, kind).await {
            let sort_key = target.as_ref().and_then(|target| target.sort_key(&document));
            found.push((sort_key.unwrap_or_else(|| key::ABSENT.to_owned()), id_of(&document)));
        }
    }
    found.sort_unstable();
    if descending {
        found.reverse();
    }
    found.into_iter().map(|(_, id)| id).collect()
}

async fn types_are_merged(world: World) {
    fill(&world).await;
    // `displayName` is in two types, `emails` in one and without an index, the last two in all.
    for path in ["displayName", "emails", "meta.lastModified", "id"] {
        for descending in [false, true] {
            let request =
                SearchRequest { sort_by: Some(path.to_owned()), descending, count: Some(17), ..Default::default() };
            let expected = naive(&world, path, descending).await;
            let (there, back) = world.walk(&KINDS, &request).await;
            assert_eq!(forwards(&there), expected, "{path} {descending} forwards");
            assert_eq!(backwards(&there, &back), expected, "{path} {descending} backwards");
            assert!(there.iter().all(|page| page.total == Some(expected.len() as u64)));

            let (mut by_index, mut found) = (request.clone(), Vec::new());
            while by_index.start_index <= expected.len() as u64 {
                let page = world.page(&KINDS, &by_index).await;
                assert_eq!(page.total, Some(expected.len() as u64));
                by_index.start_index += page.ids.len() as u64;
                found.extend(page.ids);
            }
            assert_eq!(found, expected, "{path} {descending} by index");
            // Nobody has asked for pages of this size, so no mark helps.
            let jump = SearchRequest { start_index: 100, count: Some(13), ..request.clone() };
            assert_eq!(world.page(&KINDS, &jump).await.ids, expected[99..112], "{path} {descending} by a jump");
            let beyond = SearchRequest { start_index: 1_000, ..request };
            assert_eq!(world.page(&KINDS, &beyond).await.ids, Vec::<String>::new());
        }
    }
}

#[tokio::test]
async fn several_types_are_sorted_as_one_on_sqlite() {
    types_are_merged(World::sqlite()).await;
}

#[tokio::test]
async fn several_types_are_sorted_as_one_on_postgres() {
    types_are_merged(World::postgres()).await;
}

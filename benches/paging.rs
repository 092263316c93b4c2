//! How long a page takes at the beginning and at the end of a walk: by cursor and by index, with and without an order and
//! a filter. `cargo bench --bench paging [-- USERS]`; 100,000 unless told.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a measurement: it prints, and stops at the first fault"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use matrikel::directory::{Ctx, Directory, Limits, Random};
use scim::query::SearchRequest;
use scim::resource::Projection;
use scim::schema::{Definition, Registry};
use serde_json::{Value, json};
use store::{Options, Store};

const NOW: i64 = 1_800_000_000_000_000;
const PAGE: u64 = 100;

async fn load(directory: &Directory, ctx: &Ctx, definition: &Arc<Definition>, users: usize) {
    let projection = Projection::parse(definition, &["id".to_owned()], &[]).unwrap();
    let numbers: Vec<usize> = (0..users).collect();
    for numbers in numbers.chunks(1_000) {
        let writes = numbers.iter().map(|n| {
            let ctx = Ctx { now: NOW + *n as i64 * 1_000, ..ctx.clone() };
            let body = json!({
                "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
                "userName": format!("{:07}@kommun.example", n * 7_919 % users),
                "displayName": format!("Person {}", n % 5_000),
                "active": n % 2 == 0,
                "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": { "department": format!("D{}", n % 10) },
            });
            let projection = projection.clone();
            async move { directory.create(&ctx, definition, body, &projection).await.unwrap() }
        });
        join_all(writes).await;
    }
}

/// Pages a second over the first, the middle and the last fifty pages.
fn report(name: &str, times: &[Duration]) {
    let rate = |times: &[Duration]| times.len() as f64 / times.iter().sum::<Duration>().as_secs_f64();
    let (some, middle) = (50.min(times.len()), times.len() / 2);
    println!(
        "{name:52} {:5} pages  first {:7.1}/s  middle {:7.1}/s  last {:7.1}/s",
        times.len(),
        rate(times.get(..some).unwrap()),
        rate(times.get(middle.saturating_sub(some / 2)..).unwrap().get(..some).unwrap()),
        rate(times.get(times.len() - some..).unwrap()),
    );
}

async fn walk(directory: &Directory, ctx: &Ctx, definition: &Arc<Definition>, mut request: SearchRequest) {
    request.count = Some(PAGE);
    let name = format!(
        "{} filter {} sort {}",
        if request.cursor.is_some() { "cursor" } else { "index" },
        request.filter.as_deref().unwrap_or("-"),
        request.sort_by.as_deref().unwrap_or("-"),
    );
    let (mut times, mut seen) = (Vec::new(), 0);
    loop {
        let begun = Instant::now();
        let found = directory.search(ctx, std::slice::from_ref(definition), &request).await.unwrap();
        times.push(begun.elapsed());
        let body: Value = serde_json::from_str(&found.body).unwrap();
        let items = body["itemsPerPage"].as_u64().unwrap();
        seen += items;
        match (&request.cursor, body.get("nextCursor")) {
            (Some(_), Some(next)) => request.cursor = next.as_str().map(str::to_owned),
            (None, _) if seen < body["totalResults"].as_u64().unwrap() => request.start_index += items,
            _ => break,
        }
        if request.cursor.is_none() && request.filter.is_some() && times.len() >= 5 {
            // A filtered answer by index is worked out whole for each page; a few of them say enough.
            break;
        }
    }
    report(&name, &times);
}

async fn jump(directory: &Directory, ctx: &Ctx, definition: &Arc<Definition>, users: usize) {
    for start_index in [users as u64 / 2, users as u64 - PAGE] {
        let request = SearchRequest { start_index, count: Some(PAGE), ..SearchRequest::default() };
        let begun = Instant::now();
        directory.search(ctx, std::slice::from_ref(definition), &request).await.unwrap();
        println!("jump to startIndex={start_index}: {:?}", begun.elapsed());
    }
}

fn main() {
    let users = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(100_000);
    let folder = tempfile::TempDir::new().unwrap();
    let url = format!("sqlite:{}", folder.path().join("register.db").display());
    store::migrate(&url).unwrap();
    let registry = Arc::new(Registry::builtin().unwrap());
    let store = Store::open(&Options::new(url), registry.clone()).unwrap();
    let directory = Directory::new(store.clone(), registry.clone(), Limits::default());
    let tenant = store.create_tenant("one", "One", NOW).unwrap().id;
    let ctx = Ctx::system(tenant, NOW, Random::os());
    let definition = registry.definition("User").unwrap().clone();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let begun = Instant::now();
        load(&directory, &ctx, &definition, users).await;
        println!("{users} users in {:?}", begun.elapsed());
        jump(&directory, &ctx, &definition, users).await;
        let department = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department eq \"D3\"";
        let texts = [(None, None), (None, Some("userName")), (Some("active eq true"), None)];
        let more = [(Some("active eq true"), Some("userName")), (Some(department), None)];
        for (filter, sort_by) in texts.into_iter().chain(more) {
            for cursor in [Some(String::new()), None] {
                let (filter, sort_by) = (filter.map(str::to_owned), sort_by.map(str::to_owned));
                walk(&directory, &ctx, &definition, SearchRequest { filter, sort_by, cursor, ..Default::default() })
                    .await;
            }
        }
    });
    store.close();
}

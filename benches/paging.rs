//! How long a page takes at the beginning and at the end of a walk: by cursor and by index, with and without an order and
//! a filter; how fast everybody is exported; what a search by a prefix or a part of a name costs.
//! `cargo bench --bench paging [-- USERS] [URL] [quick]`; 100,000 and a SQLite file of its own unless told. The database
//! that a URL names is filled if it is empty. `quick` leaves the walks out. CPU is that of the whole process, so that a busy machine does not matter much.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a measurement: it prints, and stops at the first fault"
)]

use std::sync::Arc;
use std::time::Instant;

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
                "externalId": format!("e{n}"),
                "displayName": format!("Person {}", n % 5_000),
                "name": { "familyName": format!("Family{:05}", n % 997 * 31 % 10_007), "givenName": format!("Given{}", n % 501) },
                "emails": [{ "value": format!("p{n}@kommun.example"), "type": "work", "primary": true }],
                "active": n % 2 == 0,
                "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": { "department": format!("D{}", n % 10) },
            });
            let projection = projection.clone();
            async move { directory.create(&ctx, definition, body, &projection).await.unwrap() }
        });
        join_all(writes).await;
    }
}

/// CPU that a page takes, in ms: the very first, and the mean of the first, the middle and the last fifty after it.
fn report(name: &str, times: &[f64]) {
    let (very_first, times) = times.split_first().unwrap();
    if times.is_empty() {
        println!("{name:52} one page {:8.3} ms", very_first * 1e3);
        return;
    }
    let rate = |times: &[f64]| times.iter().sum::<f64>() * 1e3 / times.len() as f64;
    let (some, middle) = (50.min(times.len()), times.len() / 2);
    println!(
        "{name:52} {:5} pages  very first {:9.3} ms  first {:7.3} ms  middle {:7.3} ms  last {:7.3} ms",
        times.len() + 1,
        very_first * 1e3,
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
        let used = cpu();
        let found = directory.search(ctx, std::slice::from_ref(definition), &request).await.unwrap();
        times.push(cpu() - used);
        let body: Value = serde_json::from_str(&found.body).unwrap();
        let items = body["itemsPerPage"].as_u64().unwrap();
        seen += items;
        match (&request.cursor, body.get("nextCursor")) {
            (Some(_), Some(next)) => request.cursor = next.as_str().map(str::to_owned),
            (None, _) if seen < body["totalResults"].as_u64().unwrap() => request.start_index += items,
            _ => break,
        }
    }
    report(&name, &times);
}

/// Seconds of CPU that this process has used.
fn cpu() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let of = |task: std::io::Result<std::fs::DirEntry>| -> f64 {
        let text = std::fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|nanoseconds| nanoseconds.parse::<f64>().ok()).unwrap_or_default() / 1e9
    };
    tasks.map(of).sum()
}

/// Everybody, in pages of 1,000 by cursor. The answer is not parsed: that is the client's work.
async fn export(directory: &Directory, ctx: &Ctx, definition: &Arc<Definition>) {
    let mut request = SearchRequest { count: Some(1_000), cursor: Some(String::new()), ..SearchRequest::default() };
    let (begun, used) = (Instant::now(), cpu());
    let (mut persons, mut bytes, mut times) = (0, 0, Vec::new());
    loop {
        let page = cpu();
        let body = directory.search(ctx, std::slice::from_ref(definition), &request).await.unwrap().body;
        times.push(cpu() - page);
        let field = |name: &str| body.split_once(name).map(|(_, rest)| rest);
        let items = field("\"itemsPerPage\":").unwrap().split([',', '}']).next().unwrap();
        persons += items.parse::<u64>().unwrap();
        bytes += body.len();
        let Some(next) = field("\"nextCursor\":\"") else { break };
        request.cursor = next.split('"').next().map(str::to_owned);
    }
    let (wall, used) = (begun.elapsed().as_secs_f64(), cpu() - used);
    println!(
        "export: {persons} persons, {} MB: {:.0} persons/s; CPU {:.2} us a person = {:.0} persons/s of CPU",
        bytes / 1_000_000,
        persons as f64 / wall,
        used * 1e6 / persons as f64,
        persons as f64 / used,
    );
    report("export, pages of 1,000", &times);
}

/// What one search costs, asked again and again.
async fn ask(directory: &Directory, ctx: &Ctx, definition: &Arc<Definition>, filter: &str, sort_by: Option<&str>) {
    let (filter, sort_by) = (Some(filter.to_owned()), sort_by.map(str::to_owned));
    let request = SearchRequest { filter, sort_by, count: Some(100), ..SearchRequest::default() };
    let times: u32 = 50;
    let (begun, used) = (Instant::now(), cpu());
    let mut body = String::new();
    for _ in 0..times {
        body = match directory.search(ctx, std::slice::from_ref(definition), &request).await {
            Ok(found) => found.body,
            Err(error) => format!("{error}"),
        };
    }
    let total = body.split_once("\"totalResults\":").and_then(|(_, rest)| rest.split(',').next()).unwrap_or(&body);
    println!(
        "{:52} sort {:10} {total:>8} hits: CPU {:8.3} ms, wall {:8.3} ms",
        request.filter.as_deref().unwrap_or_default(),
        request.sort_by.as_deref().unwrap_or("-"),
        (cpu() - used) * 1e3 / f64::from(times),
        begun.elapsed().as_secs_f64() * 1e3 / f64::from(times),
    );
}

async fn jump(directory: &Directory, ctx: &Ctx, definition: &Arc<Definition>, users: usize) {
    for start_index in [users as u64 / 2, users as u64 - PAGE] {
        let request = SearchRequest { start_index, count: Some(PAGE), ..SearchRequest::default() };
        let used = cpu();
        directory.search(ctx, std::slice::from_ref(definition), &request).await.unwrap();
        println!("jump to startIndex={start_index}: CPU {:.3} ms", (cpu() - used) * 1e3);
    }
}

fn main() {
    let users = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(100_000_usize);
    let given = std::env::args().skip(1).find(|argument| argument.contains(':'));
    let quick = std::env::args().any(|argument| argument == "quick");
    let folder = tempfile::TempDir::new().unwrap();
    let url = given.unwrap_or_else(|| format!("sqlite:{}", folder.path().join("register.db").display()));
    store::migrate(&url).unwrap();
    let registry = Arc::new(Registry::builtin().unwrap());
    let store = Store::open(&Options::new(url), registry.clone()).unwrap();
    let directory = Directory::new(store.clone(), registry.clone(), Limits::default());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let known = runtime.block_on(store.tenant_by_slug("one")).unwrap();
    let is_new = known.is_none();
    let tenant = known.unwrap_or_else(|| store.create_tenant("one", "One", NOW).unwrap()).id;
    let ctx = Ctx::system(tenant, NOW, Random::os());
    let definition = registry.definition("User").unwrap().clone();
    runtime.block_on(async {
        if is_new {
            let begun = Instant::now();
            load(&directory, &ctx, &definition, users).await;
            println!("{users} users in {:?}, CPU {:.1} us a user", begun.elapsed(), cpu() * 1e6 / users as f64);
        }
        if let Ok(file) = std::fs::metadata(folder.path().join("register.db")) {
            println!("file: {} bytes a user", file.len() / users as u64);
        }
        for _ in 0..3 {
            export(&directory, &ctx, &definition).await;
        }
        // Names are seven digits: a thousand users share the first four.
        let prefix = format!("userName sw \"{}\"", "0".repeat(4));
        ask(&directory, &ctx, &definition, &prefix, Some("userName")).await;
        ask(&directory, &ctx, &definition, &prefix, None).await;
        for filter in [
            "userName eq \"0000007@kommun.example\"",
            "emails.value eq \"p77@kommun.example\"",
            "externalId eq \"e77\"",
        ] {
            ask(&directory, &ctx, &definition, filter, None).await;
        }
        for part in ["userName co \"00777\"", "displayName co \"son 77\"", "emails.value co \"777@\""] {
            ask(&directory, &ctx, &definition, part, None).await;
        }
        if quick {
            return;
        }
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

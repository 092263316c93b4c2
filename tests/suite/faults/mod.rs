//! What was promised, while the database fails: nothing acknowledged is lost, nothing is there by half, what cannot be
//! done is 503 or 507 with `Retry-After`, and nothing needs a restart.

mod files;
mod outage;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use scim::schema::Registry;
use serde_json::json;
use store::{Options, Store};
use tokio::task::JoinSet;

use crate::support::api::verify;
use crate::support::client::{Answer, Client};
use crate::support::messages::{add_members, group, set, user, user_with};
use crate::support::server::Server;

/// It says what is wrong, and when to come back.
fn is_told(answer: &Answer) {
    assert!([503, 507].contains(&answer.status), "{} {}", answer.status, answer.text);
    assert_eq!(answer.header("retry-after"), "1");
    assert!(answer.json()["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
}

async fn names(client: &Client) -> BTreeSet<String> {
    let page = client.get("/Users?count=1000&attributes=userName").await.expect(200).json();
    let users = page["Resources"].as_array().cloned().unwrap_or_default();
    users.iter().map(|user| user["userName"].as_str().expect("a name").to_owned()).collect()
}

/// Asks until the server can again.
async fn until_it_can(client: &Client, name: &str) -> Answer {
    for _ in 0..2_400 {
        let answer = client.post("/Users", &user(name)).await;
        if answer.status == 201 {
            return answer;
        }
        is_told(&answer);
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("the server does not come back");
}

const PASS: u8 = 0;
/// The COMMIT does not reach PostgreSQL.
const CUT_BEFORE: u8 = 1;
/// It does, and its answer does not come back.
const CUT_AFTER: u8 = 2;

/// Stands between a server and PostgreSQL and cuts a connection at its next COMMIT, if it is told to.
struct Proxy {
    port: u16,
    cut: Arc<AtomicU8>,
}

impl Proxy {
    fn before(database: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let cut = Arc::new(AtomicU8::new(PASS));
        let armed = cut.clone();
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let far = TcpStream::connect(&database).expect("PostgreSQL is there");
                let pairs = [(near.try_clone(), far.try_clone(), true), (far.try_clone(), near.try_clone(), false)];
                for (from, to, is_asking) in pairs {
                    let (from, to) = (from.expect("a socket"), to.expect("a socket"));
                    let armed = armed.clone();
                    std::thread::spawn(move || pass(from, to, is_asking.then_some(&*armed)));
                }
            }
        });
        Proxy { port, cut }
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, armed: Option<&AtomicU8>) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        let said = &bytes[..count];
        let is_commit = armed.is_some() && said.windows(7).any(|window| window == b"COMMIT\0");
        let cut = if is_commit { armed.map_or(PASS, |armed| armed.swap(PASS, Ordering::SeqCst)) } else { PASS };
        if cut != CUT_BEFORE && to.write_all(said).is_err() {
            break;
        }
        if cut != PASS {
            // The near end first, so that no answer comes through.
            let _ = from.shutdown(Shutdown::Both);
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Write));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_outcome_of_a_commit_that_was_cut_off_is_looked_up_before_the_answer() {
    let direct = Server::postgres();
    let token = direct.tenant("town");
    let (_, place) = direct.database_url().split_once('@').expect("a host");
    let (address, database) = place.split_once('/').expect("a database");
    let proxy = Proxy::before(address.to_owned());
    let server = direct.beside_at(format!("postgres://postgres@127.0.0.1:{}/{database}", proxy.port));
    let client = Client::new(&server.base_url, &token);
    let mut there = BTreeSet::new();
    for n in 0..12 {
        let (name, cut) = (format!("u{n}"), [PASS, CUT_BEFORE, CUT_AFTER][n % 3]);
        proxy.cut.store(cut, Ordering::SeqCst);
        let answer = client.post("/Users", &user(&name)).await;
        assert_eq!(proxy.cut.load(Ordering::SeqCst), PASS, "it was cut");
        if cut == CUT_BEFORE {
            is_told(&answer);
        } else {
            answer.expect(201);
            there.insert(name);
        }
    }
    assert_eq!(names(&Client::new(&direct.base_url, &token)).await, there);
    // With a key the client need not know: the same request is answered as if nothing had been.
    for (n, cut) in [(20, CUT_BEFORE), (21, CUT_AFTER)] {
        let key = format!("key{n}");
        let headers = [("content-type", "application/scim+json"), ("idempotency-key", key.as_str())];
        let body = || Some(user(&key).to_string().into_bytes());
        proxy.cut.store(cut, Ordering::SeqCst);
        let first = client.send("POST", "/Users", &headers, body()).await;
        let again = client.send("POST", "/Users", &headers, body()).await.expect(201);
        assert_eq!(again.header("matrikel-replayed") == "true", first.status == 201);
    }
    // Many at a time share a commit: whoever has an answer can rely on it.
    let mut asked: JoinSet<(String, Answer)> = JoinSet::new();
    for n in 100..160 {
        let client = client.clone();
        asked.spawn(async move { (format!("u{n}"), client.post("/Users", &user(&format!("u{n}"))).await) });
        if n % 20 == 0 {
            proxy.cut.store([CUT_BEFORE, CUT_AFTER][(n / 20) % 2], Ordering::SeqCst);
        }
    }
    let answers = asked.join_all().await;
    let found = names(&client).await;
    for (name, answer) in answers {
        assert_eq!(answer.status == 201, found.contains(&name), "{name}: {} {}", answer.status, answer.text);
    }
    verify(&direct).await;
}

#[tokio::test]
async fn a_postgres_that_may_lose_what_it_commits_is_warned_of() {
    // The cluster of the tests is set for speed.
    let said = Server::postgres().said_at_least(1, "may lose writes").await;
    assert!(said.contains("fsync = off, full_page_writes = off, synchronous_commit = off"), "{said}");
    let server = Server::sqlite();
    Client::new(&server.base_url, &server.tenant("town")).get("/Users").await.expect(200);
    assert!(!server.said().contains("may lose writes"));
}

#[tokio::test]
async fn an_embedded_database_that_lies_in_memory_is_warned_of() {
    let folder = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
    let url = format!("sqlite:{}/matrikel.db", folder.path().display());
    let said = Server::sqlite().beside_at(url).said_at_least(1, "answered writes may be lost").await;
    assert!(said.contains("memory (tmpfs)"), "{said}");
}

/// Clients are spread over several processes on one database, and a poller reads along.
async fn nodes_keep_what_one_keeps(count: usize) {
    let first = Server::postgres();
    let token = first.tenant("town");
    let more: Vec<Server> = (1..count).map(|_| first.beside()).collect();
    let nodes: Vec<String> = std::iter::once(&first).chain(&more).map(|server| server.base_url.clone()).collect();
    let client = Client::new(&nodes[0], &token);
    let crew = client.post("/Groups", &group("crew", &[])).await.expect(201).id();
    let counted = client.post("/Users", &user_with("counted", &json!({ "title": "0" }))).await.expect(201).id();

    let before = first.number("SELECT COUNT(*) FROM change");
    let registry = Arc::new(Registry::builtin().expect("the documents"));
    let store = Store::open(&Options::new(first.database_url()), registry).expect("the database");
    let tenant = store.tenants().await.expect("tenants")[0].id;
    let writers_left = Arc::new(AtomicU8::new(8));
    let polled = tokio::spawn({
        let (store, left) = (store.clone(), writers_left.clone());
        async move {
            let mut seen = 0;
            loop {
                let is_last = left.load(Ordering::SeqCst) == 0;
                let read = store.read(move |reader| reader.changes(tenant, seen, None, 1_000)).await;
                let changes = read.unwrap_or_else(|error: store::Error| panic!("{error}"));
                for stored in &changes {
                    seen += 1;
                    assert_eq!(stored.change.seq, seen, "a number appears after all before it");
                }
                if is_last && changes.is_empty() {
                    return seen;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    });
    let mut writers: JoinSet<i64> = JoinSet::new();
    for writer in 0..8 {
        let client = Client::new(&nodes[writer % count], &token);
        let (crew, counted, left) = (format!("/Groups/{crew}"), format!("/Users/{counted}"), writers_left.clone());
        writers.spawn(async move {
            let mut added = 0;
            for n in 0..12 {
                let made = client.post("/Users", &user(&format!("u{writer}-{n}"))).await.expect(201);
                client.patch(&crew, &add_members(&[&made.id()])).await.expect(204);
                // What was acknowledged by one process is seen by all.
                loop {
                    let now = client.get(&counted).await.expect(200);
                    let number: i64 = now.json()["title"].as_str().expect("a title").parse().expect("a number");
                    let next = set("title", &json!((number + 1).to_string()));
                    match client.patch_if(&counted, now.header("etag"), &next).await.status {
                        200 => break,
                        status => assert_eq!(status, 412),
                    }
                }
                added += 1;
            }
            left.fetch_sub(1, Ordering::SeqCst);
            added
        });
    }
    let added: i64 = writers.join_all().await.into_iter().sum();
    let seen = polled.await.expect("the poller saw no gap");
    assert_eq!(seen, before + 3 * added, "each write is one change");
    for node in &nodes {
        let client = Client::new(node, &token);
        let person = client.get(&format!("/Users/{counted}")).await.expect(200).json();
        assert_eq!(person["title"], added.to_string(), "no update is lost");
        let members =
            client.get(&format!("/Groups/{crew}")).await.expect(200).json()["members"].as_array().map(Vec::len);
        assert_eq!(members, usize::try_from(added).ok());
    }
    store.close();
    verify(&first).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_keep_what_one_keeps() {
    nodes_keep_what_one_keeps(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_nodes_keep_what_one_keeps() {
    nodes_keep_what_one_keeps(4).await;
}

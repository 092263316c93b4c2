//! kill -9 under load: what was acknowledged is there, and nothing is there by half. `make torture` runs it for long, as
//! `TORTURE_ROUNDS` or `TORTURE_MINUTES` says.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use scim::schema::Registry;
use store::Store;
use tokio::task::JoinSet;

use crate::support::client::Client;
use crate::support::messages::{add_members, group, set, user};
use crate::support::server::Server;

const ROUNDS: u64 = 5;
/// After so many rounds another register is begun, so that a long run does not spend its time on reading back.
const FRESH: u64 = 20;
/// Clients that write in a round; every third has one, whose writes are made on the thread that serves it where the disk is
/// quick.
fn writers(round: u64) -> usize {
    if round % 3 == 2 { 1 } else { 8 }
}

/// Path → the newest version that was acknowledged; `None`: its deletion was.
type Acknowledged = Arc<Mutex<BTreeMap<String, Option<i64>>>>;

/// Writes until the connection breaks, and notes every acknowledgement.
async fn write(client: Client, acknowledged: Acknowledged, writer: String) {
    let note = |path: &str, version: Option<i64>| {
        acknowledged.lock().expect("nobody has panicked").insert(path.to_owned(), version);
    };
    let json = [("content-type", "application/scim+json")];
    let send = |method: &'static str, path: String, body: Option<serde_json::Value>| {
        let client = client.clone();
        async move {
            let body = body.map(|body| body.to_string().into_bytes());
            let answer = client.attempt(method, &path, &json, body).await.ok()?;
            assert!(answer.status < 300, "{method} {path}: {}", answer.text);
            Some(answer)
        }
    };
    let Some(made) = send("POST", "/Groups".into(), Some(group(&writer, &[]))).await else { return };
    let crew = format!("/Groups/{}", made.id());
    note(&crew, Some(made.version()));
    for n in 0.. {
        let Some(made) = send("POST", "/Users".into(), Some(user(&format!("{writer}-{n}")))).await else { return };
        let path = format!("/Users/{}", made.id());
        note(&path, Some(made.version()));
        let title = set("title", &serde_json::json!(format!("title {n}")));
        let Some(patched) = send("PATCH", path.clone(), Some(title)).await else { return };
        note(&path, Some(patched.version()));
        let Some(joined) = send("PATCH", crew.clone(), Some(add_members(&[&made.id()]))).await else { return };
        note(&crew, Some(joined.version()));
        if n % 3 == 2 {
            if send("DELETE", path.clone(), None).await.is_none() {
                // It may or may not have been carried out.
                acknowledged.lock().expect("nobody has panicked").remove(&path);
                return;
            }
            note(&path, None);
        }
    }
}

/// What is acknowledged is there with its version or a later one, and the change rows are whole.
async fn check(server: &Server, client: &Client, acknowledged: &Acknowledged) {
    let acknowledged = acknowledged.lock().expect("nobody has panicked").clone();
    for (path, version) in acknowledged {
        match version {
            Some(version) => {
                let answer = client.get(&path).await.expect(200);
                assert!(
                    answer.version() >= version,
                    "{path}: {} was acknowledged, found {}",
                    version,
                    answer.version()
                );
            }
            None => drop(client.get(&path).await.expect(404)),
        }
    }
    let registry = Arc::new(Registry::builtin().expect("the schemas"));
    let store = Store::open(&store::Options::new(server.database_url()), registry).expect("the store");
    let tenant = store.tenants().await.expect("tenants").last().expect("the newest").id;
    let findings =
        store.read(move |reader| reader.verify(tenant)).await.unwrap_or_else(|error: store::Error| panic!("{error}"));
    store.close();
    assert_eq!(findings, [], "every index, key and membership row follows from the documents, and the chain holds");
}

/// How long it goes on.
pub(crate) struct Span {
    rounds: u64,
    end: Option<Instant>,
}

impl Span {
    /// As the environment says, else so many rounds.
    pub(crate) fn asked(short: u64) -> Self {
        let asked = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
        let end = asked("TORTURE_MINUTES").map(|minutes| Instant::now() + Duration::from_secs(60 * minutes));
        let default = if end.is_some() { u64::MAX } else { short };
        Span { rounds: asked("TORTURE_ROUNDS").unwrap_or(default), end }
    }

    pub(crate) fn is_over(&self, round: u64) -> bool {
        round >= self.rounds || self.end.is_some_and(|end| Instant::now() >= end)
    }
}

pub(crate) fn say(line: &str) {
    writeln!(std::io::stderr(), "{line}").expect("standard error is open");
}

async fn acknowledged_writes_survive(mut server: Server) {
    let (span, began) = (Span::asked(ROUNDS), Instant::now());
    let database = if server.is_postgres() { "PostgreSQL" } else { "SQLite" };
    let mut token = server.tenant("town");
    let mut acknowledged = Acknowledged::default();
    let (mut round, mut total) = (0, 0);
    while !span.is_over(round) {
        if round > 0 && round % FRESH == 0 {
            total += acknowledged.lock().expect("nobody has panicked").len();
            say(&format!("{database}: {round} rounds, {total} resources, {} s", began.elapsed().as_secs()));
            token = server.tenant(&format!("town{round}"));
            acknowledged = Acknowledged::default();
        }
        let client = Client::new(&server.base_url, &token);
        let writers: JoinSet<()> =
            (0..writers(round)).map(|n| write(client.clone(), acknowledged.clone(), format!("w{round}-{n}"))).collect();
        // Any moment will do: this only spreads them.
        let before = acknowledged.lock().expect("nobody has panicked").len();
        let enough = before + 5 + usize::try_from(RandomState::new().hash_one(round) % 60).expect("small");
        while acknowledged.lock().expect("nobody has panicked").len() < enough {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(Duration::from_micros(RandomState::new().hash_one(round) % 20_000)).await;
        server.kill();
        writers.join_all().await;
        server.restart();
        check(&server, &Client::new(&server.base_url, &token), &acknowledged).await;
        round += 1;
    }
    total += acknowledged.lock().expect("nobody has panicked").len();
    say(&format!("{database}: {round} rounds of kill -9, {total} resources acknowledged, all of them there"));
    // It goes on as if nothing had been.
    let client = Client::new(&server.base_url, &token);
    client.post("/Users", &user("after")).await.expect(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_writes_survive_on_sqlite() {
    acknowledged_writes_survive(Server::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_writes_survive_on_postgres() {
    acknowledged_writes_survive(Server::postgres()).await;
}

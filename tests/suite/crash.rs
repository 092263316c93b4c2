//! kill -9 under load: what was acknowledged is there, and nothing is there by half.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use scim::schema::Registry;
use store::Store;
use tokio::task::JoinSet;

use crate::support::client::Client;
use crate::support::messages::{add_members, group, set, user};
use crate::support::server::Server;

const ROUNDS: u64 = 5;
const WRITERS: usize = 8;

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
    let tenant = store.tenants().await.expect("tenants")[0].id;
    let findings =
        store.read(move |reader| reader.verify(tenant)).await.unwrap_or_else(|error: store::Error| panic!("{error}"));
    store.close();
    assert_eq!(findings, [], "every index, key and membership row follows from the documents, and the chain holds");
}

async fn acknowledged_writes_survive(mut server: Server) {
    let token = server.tenant("town");
    let acknowledged = Acknowledged::default();
    for round in 0..ROUNDS {
        let client = Client::new(&server.base_url, &token);
        let writers: JoinSet<()> =
            (0..WRITERS).map(|n| write(client.clone(), acknowledged.clone(), format!("w{round}-{n}"))).collect();
        // Any moment will do: this only spreads them.
        let before = acknowledged.lock().expect("nobody has panicked").len();
        let enough = before + 5 + usize::try_from(round * 13 + u64::from(std::process::id()) % 17).expect("small");
        while acknowledged.lock().expect("nobody has panicked").len() < enough {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        server.kill();
        writers.join_all().await;
        server.restart();
        check(&server, &Client::new(&server.base_url, &token), &acknowledged).await;
    }
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

//! PostgreSQL that stops under load: started again at its place, or its standby takes over.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::sql_types::Text;
use diesel::{Connection, PgConnection, QueryableByName, RunQueryDsl};
use tokio::task::JoinSet;

use super::{is_told, names, until_it_can};
use crate::support::api::verify;
use crate::support::client::Client;
use crate::support::messages::user;
use crate::support::postgres::{script, start_cluster};
use crate::support::server::{Server, command};

#[derive(QueryableByName)]
struct Answer {
    #[diesel(sql_type = Text)]
    answer: String,
}

fn owner(cluster: &str) -> PgConnection {
    PgConnection::establish(&format!("{cluster}/postgres")).expect("a connection")
}

fn ask(owner: &mut PgConnection, question: &str) -> String {
    diesel::sql_query(question).get_result::<Answer>(owner).expect("an answer").answer
}

/// A cluster that keeps what it commits: its URL, port and data folder.
fn keeping_cluster() -> (String, String, String) {
    let cluster = start_cluster();
    let port = cluster.rsplit(':').next().expect("a port").to_owned();
    let mut owner = owner(&cluster);
    for setting in ["fsync", "full_page_writes", "synchronous_commit"] {
        owner.batch_execute(&format!("ALTER SYSTEM SET {setting} = on")).expect("the owner may");
    }
    owner.batch_execute("SELECT pg_reload_conf()").expect("it is read again");
    let folder = ask(&mut owner, "SELECT current_setting('data_directory') AS answer");
    (cluster, port, folder)
}

type Acknowledged = Arc<Mutex<BTreeSet<String>>>;

fn count(acknowledged: &Acknowledged) -> usize {
    acknowledged.lock().expect("sound").len()
}

/// People are created by several at a time; the outage comes when that is well under way.
async fn write_through(client: &Client, round: &str, acknowledged: &Acknowledged, outage: impl AsyncFnOnce()) {
    let mut writers = JoinSet::new();
    for writer in 0..6 {
        let (client, acknowledged, round) = (client.clone(), acknowledged.clone(), round.to_owned());
        writers.spawn(async move {
            for n in 0..60 {
                let name = format!("u{round}-{writer}-{n}");
                let answer = client.post("/Users", &user(&name)).await;
                if answer.status == 201 {
                    acknowledged.lock().expect("sound").insert(name);
                } else {
                    is_told(&answer);
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        });
    }
    let enough = count(acknowledged) + 30;
    while count(acknowledged) < enough {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    outage().await;
    writers.join_all().await;
    let name = format!("after{round}");
    until_it_can(client, &name).await;
    acknowledged.lock().expect("sound").insert(name);
}

async fn nothing_is_lost(server: &Server, client: &Client, acknowledged: &Acknowledged) {
    for _ in 0..40 {
        // A connection of a reader that was lost says so once.
        if client.get("/Users").await.status == 200 {
            break;
        }
    }
    let found = names(client).await;
    let acknowledged = acknowledged.lock().expect("sound").clone();
    assert_eq!(acknowledged.difference(&found).collect::<Vec<_>>(), Vec::<&String>::new());
    verify(server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_is_stopped_and_started_under_load_and_nothing_needs_a_restart() {
    let (cluster, port, folder) = keeping_cluster();
    let url = format!("{cluster}/postgres");
    command(&url, &["migrate"]);
    let server = Server::postgres().beside_at(url);
    let client = Client::new(&server.base_url, &server.tenant("town"));
    let acknowledged = Acknowledged::default();
    for round in 0..2 {
        let outage = async || {
            script(&["stop", &folder]);
            is_told(&client.post("/Users", &user("nobody")).await);
            is_told(&client.get("/Users").await);
            script(&["again", &folder, &port]);
        };
        write_through(&client, &round.to_string(), &acknowledged, outage).await;
    }
    nothing_is_lost(&server, &client, &acknowledged).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_takes_over_under_load_and_nothing_acknowledged_is_lost() {
    let (cluster, port, folder) = keeping_cluster();
    let standby = script(&["standby", &std::process::id().to_string(), &port]);
    let (standby_port, standby_folder) = standby.split_once(' ').expect("a port and a folder");
    let mut owner = owner(&cluster);
    // A commit is answered when the standby has it too: without that, whatever it has not got is lost with the primary.
    owner.batch_execute("ALTER SYSTEM SET synchronous_standby_names = '*'").expect("the owner may");
    owner.batch_execute("SELECT pg_reload_conf()").expect("it is read again");
    let state = "SELECT COALESCE(string_agg(sync_state, ','), '') AS answer FROM pg_stat_replication";
    for _ in 0..2_400 {
        if ask(&mut owner, state) == "sync" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert_eq!(ask(&mut owner, state), "sync");

    let hosts = format!("127.0.0.1:{port},127.0.0.1:{standby_port}");
    let url = format!("postgres://postgres@{hosts}/postgres?target_session_attrs=read-write");
    command(&url, &["migrate"]);
    let server = Server::postgres().beside_at(url);
    let client = Client::new(&server.base_url, &server.tenant("town"));
    let acknowledged = Acknowledged::default();
    let outage = async || {
        script(&["stop", &folder]);
        is_told(&client.post("/Users", &user("nobody")).await);
        script(&["promote", standby_folder]);
    };
    write_through(&client, "", &acknowledged, outage).await;
    nothing_is_lost(&server, &client, &acknowledged).await;
}

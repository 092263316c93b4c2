//! Clients that say nothing, say it a byte at a time, or do not listen: others are served meanwhile, and they are let go.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::support::client::Client;
use crate::support::messages::user;
use crate::support::server::Server;

/// How many of each kind.
const SILENT: usize = 300;
const SLOW: usize = 20;
/// Connections that say nothing.
const IDLE: usize = 10_000;
/// Nothing takes so long; what does never ends.
const NEVER: Duration = Duration::from_secs(60);
/// Between two bytes.
const PAUSE: Duration = Duration::from_millis(50);

fn address(server: &Server) -> String {
    server.base_url.trim_start_matches("http://").trim_end_matches("/scim/v2").to_owned()
}

/// Sends a beginning at once and the same byte for ever, until the server has closed; what it said.
async fn trickle(address: String, beginning: String) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(beginning.as_bytes()).await.expect("it is taken");
    let (mut reader, mut writer) = stream.split();
    let mut said = Vec::new();
    let write = async {
        while writer.write_all(b"a").await.is_ok() {
            tokio::time::sleep(PAUSE).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        // A connection that is reset has ended too.
        _ = reader.read_to_end(&mut said) => {}
        () = write => {}
    }
    String::from_utf8_lossy(&said).into_owned()
}

async fn connections(server: &Server) -> String {
    let answer = reqwest::get(format!("http://{}/metrics", server.metrics_address())).await.expect("an answer");
    let text = answer.text().await.expect("text");
    let open = text.lines().find_map(|line| line.strip_prefix("matrikel_http_connections "));
    open.unwrap_or_else(|| panic!("the gauge in {text}")).to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_and_slow_clients_cost_others_nothing_and_are_let_go() {
    let server = Server::sqlite_with(&[
        ("MATRIKEL_HEAD_SECONDS", "3"),
        ("MATRIKEL_BODY_SECONDS", "3"),
        ("MATRIKEL_IDLE_SECONDS", "3"),
        ("MATRIKEL_METRICS_LISTEN", "127.0.0.1:0"),
    ]);
    let (token, place) = (server.tenant("slow"), address(&server));
    let mut silent = JoinSet::new();
    for n in 0..SILENT {
        let mut stream = TcpStream::connect(&place).await.expect("a connection");
        silent.spawn(async move {
            if n % 2 == 0 {
                // One answer, and then nothing more is asked.
                stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("it is taken");
            }
            let mut said = Vec::new();
            let ended = tokio::time::timeout(NEVER, stream.read_to_end(&mut said)).await;
            (ended.is_ok(), String::from_utf8_lossy(&said).starts_with("HTTP/1.1 200") == (n % 2 == 0))
        });
    }
    let mut slow = JoinSet::new();
    for n in 0..SLOW {
        let length = if n % 2 == 0 { "Content-Length: 100000" } else { "Transfer-Encoding: chunked" };
        let chunk = if n % 2 == 0 { "" } else { "ffff\r\n" };
        let body = format!(
            "POST /scim/v2/Users HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/scim+json\r\n{length}\r\n\r\n{chunk}"
        );
        slow.spawn(tokio::time::timeout(NEVER, trickle(place.clone(), body.replace("Bearer mk", "Bearer"))));
        slow.spawn(tokio::time::timeout(NEVER, trickle(place.clone(), body)));
        slow.spawn(tokio::time::timeout(NEVER, trickle(place.clone(), "GET /healthz HTTP/1.1\r\nX-A: ".to_owned())));
    }
    // All of them are there, and a client among them does not notice.
    let client = Client::new(&server.base_url, &token);
    for n in 0..30 {
        let made = client.post("/Users", &user(&format!("quick{n}"))).await.expect(201);
        client.get(&format!("/Users/{}", made.id())).await.expect(200);
    }
    while let Some(ended) = slow.join_next().await {
        let said = ended.expect("not cancelled").expect("it has ended");
        // Without a token the body is not waited for.
        assert!(said.starts_with("HTTP/1.1 408 ") || said.starts_with("HTTP/1.1 401 "), "{said:?}");
    }
    while let Some(outcome) = silent.join_next().await {
        assert_eq!(outcome.expect("not cancelled"), (true, true));
    }
    client.get("/Users").await.expect(200);
    drop(client);
    wait_for_nobody(&server).await;
}

/// As many as there are to be, or as the files that one process may have open leave room for.
fn idle_wanted() -> usize {
    let said = std::process::Command::new("prlimit").args(["--nofile", "--output", "SOFT", "--noheadings"]).output();
    let soft = String::from_utf8(said.expect("prlimit (util-linux) is there").stdout).expect("text");
    soft.trim().parse().map_or(IDLE, |soft: usize| IDLE.min(soft.saturating_sub(400)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_idle_connections_cost_little_memory_and_nobody_time() {
    let server = Server::sqlite_with(&[
        ("MATRIKEL_HEAD_SECONDS", "600"),
        ("MATRIKEL_IDLE_SECONDS", "600"),
        ("MATRIKEL_METRICS_LISTEN", "127.0.0.1:0"),
    ]);
    let (token, place) = (server.tenant("idle"), address(&server));
    let client = Client::new(&server.base_url, &token);
    let made = client.post("/Users", &user("kept")).await.expect(201).id();
    let before = server.memory();
    let wanted = idle_wanted();
    assert!(wanted >= 500, "room for {wanted} connections alone");
    let mut idle = Vec::new();
    while idle.len() < wanted {
        idle.push(TcpStream::connect(&place).await.expect("a connection"));
    }
    // The last one is taken before others are served among all of them.
    let last = idle.last_mut().expect("a connection");
    last.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("it is taken");
    let mut said = [0; 12];
    last.read_exact(&mut said).await.expect("an answer");
    assert_eq!(&said, b"HTTP/1.1 200");
    for n in 0..20 {
        client.post("/Users", &user(&format!("u{n}"))).await.expect(201);
        client.get(&format!("/Users/{made}")).await.expect(200);
    }
    let open: usize = connections(&server).await.parse().expect("a number");
    assert!(open > wanted, "{open} of {wanted} and one more are open");
    let each = server.memory().saturating_sub(before) / wanted as u64;
    assert!(each < 64 * 1024, "a connection costs {each} bytes");
    drop((idle, client));
    wait_for_nobody(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_takes_nothing_of_its_answers_is_let_go() {
    let server = Server::sqlite_with(&[("MATRIKEL_STALLED_SECONDS", "2"), ("MATRIKEL_METRICS_LISTEN", "127.0.0.1:0")]);
    let token = server.tenant("deaf");
    let mut stream = TcpStream::connect(address(&server)).await.expect("a connection");
    let request = format!("GET /scim/v2/Schemas HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n");
    // Answers gather until the system takes no more of them, then requests do.
    let ask = async { while stream.write_all(request.as_bytes()).await.is_ok() {} };
    let client = Client::new(&server.base_url, &token);
    let others = async {
        for _ in 0..20 {
            client.get("/Users").await.expect(200);
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        ended = tokio::time::timeout(NEVER, ask) => ended.expect("the connection has ended"),
        () = others => {}
    }
    drop(client);
    wait_for_nobody(&server).await;
}

/// Until no connection is open any more.
async fn wait_for_nobody(server: &Server) {
    for _ in 0..600 {
        if connections(server).await == "0" {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
    panic!("{} connections stay open", connections(server).await);
}

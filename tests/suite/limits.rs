//! How much clients and tenants may ask for, whence, and that one tenant's load is its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::json;

use crate::support::client::Client;
use crate::support::messages::{set, user, user_with};
use crate::support::server::{Server, command};

/// Asks until it is told to wait, which must come within so many requests.
async fn refused(client: &Client, within: usize) -> crate::support::client::Answer {
    for _ in 0..within {
        let answer = client.get("/Users?count=0").await;
        if answer.status == 429 {
            return answer;
        }
        answer.expect(200);
    }
    panic!("not refused within {within} requests");
}

async fn run_rates(server: &Server) {
    server.tenant("town");
    let slow = server.client_with("town", "slow", "consumer", &["--rate", "1", "--burst", "5"]);
    let slow = Client::new(&server.base_url, &slow);
    let other = Client::new(&server.base_url, &server.client("town", "other", "consumer"));
    let answer = refused(&slow, 100).await;
    assert!(answer.header("retry-after").parse::<u32>().is_ok_and(|seconds| seconds >= 1));
    assert_eq!(answer.header("content-type"), "application/scim+json");
    assert!(answer.json()["detail"].as_str().is_some_and(|detail| detail.contains("this client")), "{}", answer.text);
    other.get("/Users").await.expect(200);
    command(server.database_url(), &["client", "set", "--tenant", "town", "slow", "--clear", "rateLimit"]);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    // A running server notices within seconds, and then as many as one likes are served.
    'again: loop {
        assert!(std::time::Instant::now() < deadline, "the limit is still there");
        for _ in 0..20 {
            if slow.get("/Users?count=0").await.status != 200 {
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                continue 'again;
            }
        }
        break;
    }
}

#[tokio::test]
async fn a_client_that_asks_too_often_is_told_to_wait_on_sqlite() {
    run_rates(&Server::sqlite()).await;
}

#[tokio::test]
async fn a_client_that_asks_too_often_is_told_to_wait_on_postgres() {
    run_rates(&Server::postgres()).await;
}

#[tokio::test]
async fn a_tenant_has_a_rate_of_its_own() {
    let server = Server::sqlite_with(&[("MATRIKEL_TENANT_REQUESTS", "5")]);
    let (one, other) = (server.tenant("one"), server.tenant("other"));
    let answer = refused(&Client::new(&server.base_url, &one), 500).await;
    assert!(answer.text.contains("this organisation"), "{}", answer.text);
    Client::new(&server.base_url, &other).get("/Users").await.expect(200);
}

#[tokio::test]
async fn a_client_asks_from_its_networks_alone() {
    let server = Server::sqlite();
    let admin = server.tenant("town");
    let of = |name: &str, network: &str| {
        Client::new(&server.base_url, &server.client_with("town", name, "consumer", &["--network", network]))
    };
    of("near", "127.0.0.0/8").get("/Users").await.expect(200);
    let away = of("away", "192.0.2.0/24").get("/Users").await.expect(401);
    let unknown = Client::new(&server.base_url, &admin).with_authorization("Bearer x").get("/Users").await.expect(401);
    assert_eq!(away.text, unknown.text, "a stolen token tells nothing");
}

#[tokio::test]
async fn who_fails_to_authenticate_is_slowed_down_and_who_is_known_is_not() {
    let server = Server::sqlite_with(&[("MATRIKEL_FAILED_ATTEMPTS", "20")]);
    let known = Client::new(&server.base_url, &server.tenant("town"));
    known.get("/Users").await.expect(200);
    let stranger = known.with_authorization("Bearer mk_1_00000000000000000000000000000000_x");
    let mut braked = None;
    for _ in 0..200 {
        let answer = stranger.get("/Users").await;
        if answer.status == 429 {
            braked = Some(answer);
            break;
        }
        answer.expect(401);
    }
    let braked = braked.expect("a brake");
    assert!(braked.header("retry-after").parse::<u32>().is_ok_and(|seconds| seconds >= 1));
    known.get("/Users").await.expect(200);
    // Who shows nothing has tried nothing.
    Client::anonymous(&server.base_url).get("/Users").await.expect(401);
}

/// One tenant floods, another asks for little: all that the other asks for is answered while the flood lasts.
async fn run_fairness(server: &Server) {
    let flooding = Client::new(&server.base_url, &server.tenant("loud"));
    let quiet = Client::new(&server.base_url, &server.tenant("quiet"));
    let names: Vec<_> = (0..200).map(|n| user_with(&format!("u{n}"), &json!({ "title": format!("t{n}") }))).collect();
    for body in &names {
        flooding.post("/Users", body).await.expect(201);
    }
    let anna = format!("/Users/{}", quiet.post("/Users", &user("anna")).await.expect(201).id());
    let (is_over, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let floods: Vec<_> = (0..32)
        .map(|n| {
            let (client, is_over, served) = (flooding.clone(), Arc::clone(&is_over), Arc::clone(&served));
            tokio::spawn(async move {
                let mut round = 0;
                while !is_over.load(Ordering::Relaxed) {
                    round += 1;
                    let filter = [("filter", "title co \"t\" and not (nickName pr)"), ("sortBy", "name.givenName")];
                    let answer = match n % 2 {
                        0 => client.find("/Users", &filter).await,
                        _ => client.post("/Users", &user(&format!("flood-{n}-{round}"))).await,
                    };
                    assert!([200, 201, 429, 503].contains(&answer.status), "{}", answer.text);
                    served.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    while served.load(Ordering::Relaxed) < 64 {
        tokio::task::yield_now().await;
    }
    let mut before = served.load(Ordering::Relaxed);
    let mut between = Vec::new();
    for round in 0..30 {
        quiet.get(&anna).await.expect(200);
        quiet.find("/Users", &[("filter", "userName sw \"a\"")]).await.expect(200);
        quiet.patch(&anna, &set("title", &json!(format!("r{round}")))).await.expect(200);
        let now = served.load(Ordering::Relaxed);
        between.push(now - before);
        before = now;
    }
    is_over.store(true, Ordering::Relaxed);
    for flood in floods {
        flood.await.expect("the flood ends");
    }
    between.sort_unstable();
    // Three requests of the one take no more turns than a few rounds of the other's 32 connections.
    assert!(between[between.len() / 2] < 32 * 3 * 4, "the quiet one waits for the loud one: {between:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_tenants_load_does_not_starve_another_on_sqlite() {
    run_fairness(&Server::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_tenants_load_does_not_starve_another_on_postgres() {
    run_fairness(&Server::postgres()).await;
}

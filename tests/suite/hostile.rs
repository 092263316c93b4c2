//! Requests that mean harm or make no sense: each gets its exact error, changes nothing, and costs the server no memory
//! that it does not give back.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::catalogue::{Case, Catalogue};
use crate::support::pattern::Variables;
use crate::support::raw::Request;
use crate::support::server::Server;

/// How often everything is sent, to see what memory it costs.
const ROUNDS: usize = 20;
/// What the server may hold more after the last round than after the second.
const GROWTH: u64 = 64 << 20;

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";

/// A tenant with a user, a group and a client, and how to reach it.
struct Tenant {
    address: String,
    token: String,
    variables: Variables,
}

impl Tenant {
    async fn new(server: &Server, name: &str) -> Self {
        let address = server.base_url.trim_start_matches("http://").split('/').next().unwrap_or_default().to_owned();
        let token = server.tenant(name);
        let consumer = server.client(name, "reader", "consumer");
        let mut tenant = Tenant { address, token: token.clone(), variables: Variables::new() };
        let user = json!({
            "schemas": [USER], "userName": "maj@kommun.example", "externalId": "4711", "active": true,
            "password": "Vinter-och-sommar-2026", "name": { "familyName": "Lind" },
            "emails": [{ "value": "maj@kommun.example", "type": "work" }, { "value": "maj@hem.example", "type": "home" }],
        });
        let user = tenant.create("/Users", &user).await;
        let group = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "Norr",
            "members": [{ "value": user }],
        });
        let group = tenant.create("/Groups", &group).await;
        let other = json!({ "schemas": [USER], "userName": "per@kommun.example" });
        tenant.create("/Users", &other).await;
        let urn = "urn:example:scim:schemas:1.0:Badge";
        let document = tenant.create("/Schemas", &json!({ "id": urn, "attributes": [{ "name": "number" }] })).await;
        assert_eq!(document, urn);
        let cursor = tenant.cursor(&token).await;
        let consumers = tenant.cursor(&consumer).await;
        let interop = server.client_with(name, "strict", "source", &["--profile", "interop-01"]);
        let ipsie = server.client_with(name, "stricter", "source", &["--profile", "ipsie"]);
        let clients = tenant.ask("/Clients").await;
        let client = clients["Resources"][0]["id"].clone();
        for (name, value) in [
            ("token", token.into()),
            ("consumer", consumer.into()),
            ("user", user),
            ("group", group),
            ("client", client),
            ("cursor", cursor),
            ("consumers", consumers),
            ("interop", interop.into()),
            ("ipsie", ipsie.into()),
        ] {
            tenant.variables.insert(name.to_owned(), value);
        }
        tenant
    }

    fn headers(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        vec![
            (b"Host".to_vec(), b"127.0.0.1".to_vec()),
            (b"Authorization".to_vec(), format!("Bearer {}", self.token).into_bytes()),
            (b"Content-Type".to_vec(), b"application/scim+json".to_vec()),
        ]
    }

    async fn create(&self, path: &str, body: &Value) -> Value {
        let target = format!("/scim/v2{path}");
        let request = Request::new(b"POST", target.as_bytes(), &self.headers(), body.to_string().as_bytes());
        let answer = request.send(&self.address).await;
        assert_eq!(answer.status, 201, "{}", answer.show());
        answer.json()["id"].clone()
    }

    /// A cursor of whoever has that token: to the second page of all users, one a page, by name.
    async fn cursor(&self, token: &str) -> Value {
        let holder = Tenant { address: self.address.clone(), token: token.to_owned(), variables: Variables::new() };
        holder.ask("/Users?count=1&sortBy=userName&cursor=").await["nextCursor"].clone()
    }

    async fn ask(&self, path: &str) -> Value {
        let target = format!("/scim/v2{path}");
        let answer = Request::new(b"GET", target.as_bytes(), &self.headers(), b"").send(&self.address).await;
        assert_eq!(answer.status, 200, "{}", answer.show());
        answer.json()
    }

    /// Totals, and each resource with its version.
    async fn state(&self) -> BTreeSet<String> {
        let mut state = BTreeSet::new();
        for path in ["/Users", "/Groups", "/Clients"] {
            let list = self.ask(&format!("{path}?count=1000&attributes=meta.version")).await;
            state.insert(format!("{path} {}", list["totalResults"]));
            let resources = list["Resources"].as_array().expect("resources");
            state.extend(resources.iter().map(|one| format!("{} {}", one["id"], one["meta"]["version"])));
        }
        for path in ["/Schemas", "/ResourceTypes"] {
            state.insert(self.ask(path).await.to_string());
        }
        state
    }

    /// Sends a request and says what is wrong with the answer.
    async fn refuse(&self, case: &Case) -> Option<String> {
        case.fault(&case.request.send(&self.address).await)
    }
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/hostile");
    let files = std::fs::read_dir(folder).expect("the catalogue").map(|entry| entry.expect("a file").path());
    let mut files: Vec<PathBuf> = files.filter(|file| file.extension().is_some_and(|end| end == "json")).collect();
    files.sort();
    files
}

async fn run(server: &Server) {
    let mut tenant = Tenant::new(server, "attacked").await;
    let neighbour = Tenant::new(server, "neighbour").await;
    tenant.variables.insert("foreign".to_owned(), neighbour.variables["cursor"].clone());
    let state = tenant.state().await;
    let (mut faults, mut quick, mut slow) = (Vec::new(), Vec::new(), Vec::new());
    for file in files() {
        let catalogue = Catalogue::read(&file);
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let cases = catalogue.cases(&tenant.variables);
        if catalogue.slow {
            slow.extend(cases);
            continue;
        }
        for case in &cases {
            faults.extend(tenant.refuse(case).await.map(|fault| format!("{name}: {fault}")));
        }
        let changed: Vec<String> = tenant.state().await.symmetric_difference(&state).cloned().collect();
        if !changed.is_empty() {
            faults.push(format!("{name}: changed {changed:?}"));
        }
        quick.extend(cases);
    }
    let distinct: BTreeSet<&[u8]> = quick.iter().chain(&slow).map(|case| case.request.bytes.as_slice()).collect();
    assert!(distinct.len() >= 300, "only {} distinct requests", distinct.len());
    let patience = futures_util::future::join_all(slow.iter().map(|case| tenant.refuse(case)));
    let (late, ()) = tokio::join!(patience, repeat(server, &tenant, &quick));
    faults.extend(late.into_iter().flatten());
    assert!(faults.is_empty(), "{} of {} requests\n{}", faults.len(), distinct.len(), faults.join("\n"));
    assert_eq!(tenant.state().await, state, "something has changed");
    println!("{} distinct requests", distinct.len());
}

/// Sends everything again and again and watches the server's memory.
async fn repeat(server: &Server, tenant: &Tenant, cases: &[Case]) {
    let mut settled = 0;
    for round in 1..ROUNDS {
        for case in cases {
            case.request.send(&tenant.address).await;
        }
        if round == 2 {
            settled = server.memory();
        }
    }
    let growth = server.memory().saturating_sub(settled);
    assert!(growth < GROWTH, "the server holds {} MiB more than at first", growth >> 20);
}

#[tokio::test]
async fn the_hostile_catalogue_does_no_harm_on_sqlite() {
    run(&Server::sqlite()).await;
}

#[tokio::test]
async fn the_hostile_catalogue_does_no_harm_on_postgres() {
    run(&Server::postgres()).await;
}

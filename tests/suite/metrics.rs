//! What is exported for Prometheus: what OPERATIONS.md lists and nothing else, true to what was done, and nothing that
//! tells of a person or a resource.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::{Value, json};

use crate::support::both::on_both_databases;
use crate::support::client::Client;
use crate::support::messages::{set, user};
use crate::support::server::Server;

const METRICS: &[(&str, &str)] = &[("MATRIKEL_METRICS_LISTEN", "127.0.0.1:0")];

/// What was exported: the type of each metric, and each sample by name and labels.
struct Scraped {
    kinds: BTreeMap<String, String>,
    samples: Vec<(String, BTreeMap<String, String>, f64)>,
    text: String,
}

impl Scraped {
    /// All samples of that name with these labels together.
    fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let fits = |of: &BTreeMap<String, String>| {
            labels.iter().all(|(label, value)| of.get(*label).is_some_and(|is| is == value))
        };
        self.samples.iter().filter(|(known, of, _)| known == name && fits(of)).map(|(_, _, value)| value).sum()
    }

    /// The metric that a sample belongs to: a histogram and a summary have several names of samples.
    fn metric<'n>(&self, sample: &'n str) -> &'n str {
        let mut stems = ["_bucket", "_sum", "_count"].iter().filter_map(|suffix| sample.strip_suffix(suffix));
        stems.find(|stem| self.kinds.contains_key(*stem)).unwrap_or(sample)
    }
}

async fn scrape(server: &Server) -> Scraped {
    let answer = reqwest::get(format!("http://{}/metrics", server.metrics_address())).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let text = answer.text().await.expect("text");
    let mut scraped = Scraped { kinds: BTreeMap::new(), samples: Vec::new(), text: text.clone() };
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect(line);
            assert_eq!(scraped.kinds.insert(name.to_owned(), kind.to_owned()), None, "{line} stands twice");
        } else if !line.starts_with("# HELP ") {
            let (series, value) = line.rsplit_once(' ').expect(line);
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let labels = labels.strip_suffix('}').expect(line).split("\",").filter(|label| !label.is_empty());
            let labels = labels.map(|label| label.trim_end_matches('"').split_once("=\"").expect(line));
            let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            scraped.samples.push((name.to_owned(), labels, value.parse().expect(line)));
        }
    }
    scraped
}

/// Asks a bit of everything that leaves a trace. As long as the client lives, a connection of its does.
async fn be_busy(server: &Server) -> Client {
    let client = Client::new(&server.base_url, &server.tenant("counted"));
    let made = client.post("/Users", &user("anna.berg")).await.expect(201).id();
    let path = format!("/Users/{made}");
    for _ in 0..3 {
        client.get(&path).await.expect(200);
    }
    client.patch(&path, &set("title", &json!("Head nurse"))).await.expect(200);
    let mut habit = set("title", &json!("Nurse"));
    habit["Operations"][0]["op"] = json!("Replace");
    client.patch(&path, &habit).await.expect(200);
    client.find("/Users", &[("filter", "userName eq \"anna.berg\"")]).await.expect(200);
    client.get("/Nothing").await.expect(404);
    client.get("//nowhere").await.expect(404);
    Client::anonymous(&server.base_url).get("/Users").await.expect(401);
    let bulk = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": [
        { "method": "POST", "path": "/Users", "bulkId": "a", "data": user("bo.ek") }
    ] });
    let headers = [("content-type", "application/scim+json"), ("prefer", "respond-async")];
    client.send("POST", "/Bulk", &headers, Some(bulk.to_string().into_bytes())).await.expect(202);
    client
}

/// A section of OPERATIONS.md.
fn section_of_guide(title: &str) -> String {
    let guide = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/OPERATIONS.md")).expect("the guide");
    let section = guide.split(&format!("\n## {title}\n")).nth(1).expect("the section").to_owned();
    section.split("\n## ").next().unwrap_or_default().to_owned()
}

/// Name, type and labels of each line of the table.
fn documented() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let section = section_of_guide("Metrics");
    let lines = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let rows = lines.map(|line| {
        let mut cells = line.split('|').map(str::trim);
        let name = cells.next().expect(line).trim_end_matches('`').to_owned();
        let kind = cells.next().expect(line).to_owned();
        let labels = cells.next().expect(line);
        let labels = labels.split(", ").filter(|label| !label.is_empty());
        (name, (kind, labels.map(|label| label.trim_matches('`').to_owned()).collect()))
    });
    rows.collect()
}

async fn what_is_exported_is_what_the_guide_lists(server: &Server) {
    let _client = be_busy(server).await;
    let (scraped, listed) = (scrape(server).await, documented());
    let kinds: BTreeMap<_, _> = listed.iter().map(|(name, (kind, _))| (name.clone(), kind.clone())).collect();
    assert_eq!(scraped.kinds, kinds, "OPERATIONS.md (right) and what is exported (left)");
    for (sample, labels, _) in &scraped.samples {
        let name = scraped.metric(sample);
        let (kind, known) = listed.get(name).unwrap_or_else(|| panic!("{sample} has no type"));
        let labels: BTreeSet<_> =
            labels.keys().filter(|label| !(kind == "histogram" && *label == "le")).cloned().collect();
        assert_eq!(&labels, known, "{sample}");
    }
    let seen: BTreeSet<_> = scraped.samples.iter().map(|(sample, _, _)| scraped.metric(sample)).collect();
    for name in kinds.keys().filter(|name| !seen.contains(name.as_str())) {
        let of_sqlite = ["matrikel_store_database_bytes", "matrikel_store_log_bytes"].contains(&name.as_str());
        assert!(name.contains("expiry") || (of_sqlite && server.is_postgres()), "{name} never has a value");
    }
}

async fn the_counts_are_true_and_tell_of_nobody(server: &Server) {
    let _client = be_busy(server).await;
    let scraped = scrape(server).await;
    let requests = "matrikel_http_request_duration_seconds_count";
    let one = "/scim/v2/{endpoint}/{id}";
    for (labels, count) in [
        (&[("route", one), ("method", "GET"), ("status", "2xx")][..], 3.0),
        (&[("route", one), ("method", "PATCH"), ("status", "2xx")], 2.0),
        (&[("route", "/scim/v2/{endpoint}"), ("method", "POST"), ("status", "2xx")], 1.0),
        (&[("route", "/scim/v2/{endpoint}"), ("method", "GET"), ("status", "4xx")], 2.0),
        (&[("route", "(none)"), ("status", "4xx")], 1.0),
        (&[("route", "/scim/v2/Bulk"), ("status", "2xx")], 1.0),
    ] {
        assert_eq!(scraped.sum(requests, labels), count, "{labels:?}");
    }
    let client = [("tenant", "1"), ("client", "admin")];
    assert_eq!(scraped.sum("matrikel_client_requests_total", &client), 9.0);
    assert_eq!(scraped.sum("matrikel_client_request_duration_seconds_count", &client), 9.0);
    assert!(scraped.sum("matrikel_client_request_duration_seconds_sum", &client) > 0.0);
    let tolerance = [client[0], client[1], ("tolerance", "op-case")];
    assert_eq!(scraped.sum("matrikel_client_tolerances_total", &tolerance), 1.0);
    assert_eq!(scraped.sum("matrikel_http_refused_total", &[("status", "401")]), 1.0);
    assert_eq!(scraped.sum("matrikel_http_refused_total", &[]), 1.0);
    assert_eq!(scraped.sum("matrikel_deferred_accepted_total", &[]), 1.0);
    assert!(scraped.sum("matrikel_store_batch_operations_sum", &[]) >= 3.0);
    assert!(scraped.sum("matrikel_store_commit_duration_seconds_count", &[]) >= 3.0);
    assert!(scraped.sum("matrikel_http_connections", &[]) >= 1.0);
    for secret in ["anna", "berg", "nurse", "userName", "mk_", "counted"] {
        assert!(!scraped.text.to_lowercase().contains(&secret.to_lowercase()), "{secret} is exported");
    }
    let ids: Vec<_> =
        scraped.text.split(['"', '/', '{', '}']).filter(|word| uuid::Uuid::parse_str(word).is_ok()).collect();
    assert!(ids.is_empty(), "{ids:?}");
}

/// Servers that export metrics.
struct Counted;

impl Counted {
    fn sqlite() -> Server {
        Server::sqlite_with(METRICS)
    }

    fn postgres() -> Server {
        Server::postgres_with(METRICS)
    }
}

on_both_databases!(Counted: what_is_exported_is_what_the_guide_lists, the_counts_are_true_and_tell_of_nobody);

#[tokio::test]
async fn metrics_are_served_at_their_own_address_alone_and_only_if_wanted() {
    let server = Server::sqlite_with(METRICS);
    Client::anonymous(&server.base_url).get("//metrics").await.expect(404);
    let beside = reqwest::get(format!("http://{}/healthz", server.metrics_address())).await.expect("an answer");
    assert_eq!(beside.status(), 404);
    let silent = Server::sqlite();
    assert!(!silent.said().contains("metrics"), "{}", silent.said());
    Client::anonymous(&silent.base_url).get("//metrics").await.expect(404);
}

#[tokio::test]
async fn the_line_of_a_request_has_the_fields_that_the_guide_lists() {
    let server = Server::sqlite();
    let _client = be_busy(&server).await;
    let section = section_of_guide("Logs");
    let cells = section.lines().filter(|line| line.starts_with("| `")).filter_map(|line| line.split('|').nth(1));
    let listed: BTreeSet<_> =
        cells.flat_map(|cell| cell.split(", ")).map(|name| name.trim_matches([' ', '`'])).collect();
    let said = server.said();
    let lines = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let requests: Vec<Value> = lines.filter(|line| line["message"] == "request").collect();
    assert!(!requests.is_empty());
    for request in &requests {
        let fields: BTreeSet<_> = request.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(fields, listed, "OPERATIONS.md (right) and a line of the log (left)");
    }
    for secret in ["anna", "bo.ek", "nurse", "filter", "mk_"] {
        assert!(!said.to_lowercase().contains(secret), "{secret} is in the log");
    }
}

#[test]
fn the_dashboard_asks_for_what_is_exported() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/grafana/matrikel.json");
    let dashboard: Value = serde_json::from_str(&fs::read_to_string(file).expect("the dashboard")).expect("JSON");
    let listed = documented();
    let mut asked = BTreeSet::new();
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let variables = dashboard["templating"]["list"].as_array().expect("variables");
    let queries =
        targets.map(|target| &target["expr"]).chain(variables.iter().map(|variable| &variable["query"]["query"]));
    for query in queries.filter_map(Value::as_str) {
        let words = query.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        for word in words.filter(|word| word.starts_with("matrikel_") || word.starts_with("process_")) {
            let stems = ["_bucket", "_sum", "_count"].iter().filter_map(|suffix| word.strip_suffix(suffix));
            let name = stems.chain([word]).find(|name| listed.contains_key(*name));
            asked.insert(name.unwrap_or_else(|| panic!("{word} is not exported: {query}")).to_owned());
        }
    }
    let left: Vec<_> = listed.keys().filter(|name| !asked.contains(*name)).collect();
    assert!(left.is_empty(), "the dashboard does not show {left:?}");
}

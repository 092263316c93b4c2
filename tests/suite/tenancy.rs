//! Tenants beside the token: by path, by host name, and erased.

use crate::support::both::on_both_databases;
use crate::support::client::Client;
use crate::support::messages::{group, user_with};
use crate::support::server::{Server, attempt, command};

on_both_databases!(Server:
    a_tenant_is_named_by_path_or_host_and_no_other_gets_in,
    an_erased_tenant_leaves_nothing_but_its_number,
);

async fn a_tenant_is_named_by_path_or_host_and_no_other_gets_in(server: &Server) {
    let (one, other) = (server.tenant("one"), server.tenant("other"));
    let origin = server.base_url.trim_end_matches("/scim/v2");
    let by_path = |slug: &str, token: &str| Client::new(&format!("{origin}/t/{slug}/scim/v2"), token);
    let client = by_path("one", &one);
    let anna = client.post("/Users", &user_with("anna", &serde_json::json!({ "title": "x" }))).await.expect(201);
    let location = anna.header("location").to_owned();
    assert_eq!(location, format!("{origin}/t/one/scim/v2/Users/{}", anna.id()));
    assert_eq!(anna.json()["meta"]["location"].as_str(), Some(location.as_str()));
    client.find("/Users", &[("filter", "userName eq \"anna\"")]).await.expect(200);
    // The plain path leads to the same resource.
    Client::new(&server.base_url, &one).get(&format!("/Users/{}", anna.id())).await.expect(200);
    let strangers =
        [by_path("one", &other), by_path("nobody", &one), by_path("one", "mk_x"), by_path("nobody", "mk_x")];
    let mut told = Vec::new();
    for stranger in strangers {
        told.push(stranger.get("/Users").await.expect(401).text);
    }
    told.dedup();
    assert_eq!(told.len(), 1, "nobody learns which tenants there are: {told:?}");
    Client::anonymous(&format!("{origin}/t/one/elsewhere")).get("/Users").await.expect(404);

    command(server.database_url(), &["tenant", "set", "one", "--host", "id.one.example"]);
    assert!(attempt(server.database_url(), &["tenant", "set", "other", "--host", "ID.one.example"]).is_err());
    assert!(attempt(server.database_url(), &["tenant", "set", "other", "--host", "https://x/"]).is_err());
    let at = |token: &str| Client::new(&server.base_url, token);
    let host = [("host", "ID.One.example:8443")];
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while at(&other).send("GET", "/Users", &host, None).await.status != 401 {
        assert!(std::time::Instant::now() < deadline, "the host name is not noticed");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let own = at(&one).send("GET", &format!("/Users/{}", anna.id()), &host, None).await.expect(200);
    assert_eq!(own.header("location"), format!("http://ID.One.example:8443/scim/v2/Users/{}", anna.id()));
    at(&other).get("/Users").await.expect(200);
    at(&other).send("GET", "/Users", &[("host", "elsewhere.example")], None).await.expect(200);

    // Whose name it was hears of it.
    let anonymous = Client::anonymous(&server.base_url);
    anonymous.send("GET", "/Users", &[host[0], ("x-request-id", "by-host")], None).await.expect(401);
    let filter = "kind eq \"denied\" and requestId eq \"by-host\"";
    while at(&one).find("/AuditEvents", &[("filter", filter)]).await.expect(200).json()["totalResults"] != 1 {
        assert!(std::time::Instant::now() < deadline, "the refusal is not in the audit");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

async fn an_erased_tenant_leaves_nothing_but_its_number(server: &Server) {
    let (gone, kept) = (server.tenant("gone"), server.tenant("kept"));
    let (client, other) = (Client::new(&server.base_url, &gone), Client::new(&server.base_url, &kept));
    for client in [&client, &other] {
        let anna =
            client.post("/Users", &user_with("anna", &serde_json::json!({ "externalId": "7" }))).await.expect(201);
        client.post("/Groups", &group("crew", &[&anna.id()])).await.expect(201);
    }
    command(server.database_url(), &["tenant", "set", "gone", "--host", "id.gone.example"]);
    let refused = attempt(server.database_url(), &["tenant", "erase", "gone", "--confirm", "kept"]);
    assert!(refused.is_err_and(|said| said.contains("Nothing was erased")));
    client.get("/Users").await.expect(200);
    command(server.database_url(), &["tenant", "erase", "gone", "--confirm", "gone"]);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while client.get("/Users").await.status != 401 {
        assert!(std::time::Instant::now() < deadline, "a running server does not notice");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    for table in ["resource", "change", "membership", "unique_key", "credential", "route", "attr_index", "tenant_clock"]
    {
        assert_eq!(server.number(&format!("SELECT COUNT(*) FROM {table} WHERE tenant_id = 1")), 0, "{table}");
    }
    assert_eq!(other.get("/Users").await.expect(200).json()["totalResults"], 1);
    assert_eq!(server.number("SELECT COUNT(*) FROM audit WHERE tenant_id = 1"), 1, "the act is told");
    let acts = command(server.database_url(), &["audit", "list", "--tenant", "erased:1", "--json"]);
    let acts: serde_json::Value = serde_json::from_str(&acts).expect("JSON");
    assert_eq!((&acts[0]["operation"], &acts[0]["resource"]["value"]), (&"tenantErase".into(), &"gone".into()));
    command(server.database_url(), &["audit", "verify", "--tenant", "erased:1"]);
    assert!(attempt(server.database_url(), &["tenant", "erase", "erased:1", "--confirm", "erased:1"]).is_err());
    let listed = command(server.database_url(), &["tenant", "list"]);
    assert!(listed.contains("kept") && !listed.contains("gone") && !listed.contains("erased"), "{listed}");
    // The name is free again, the number is not.
    let new = server.tenant("gone");
    assert!(new.starts_with("mk_3_"), "{}", &new[..6]);
    assert_eq!(Client::new(&server.base_url, &new).get("/Users").await.expect(200).json()["totalResults"], 0);
}

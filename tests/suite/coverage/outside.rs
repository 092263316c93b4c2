//! Every route of openapi.yaml, asked about what is outside the view of who asks: each answer is that to an id that nobody
//! has, byte for byte but for ids and moments. Asked by a client that may read and write all there is, and by an administrator.

use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Operation, operations};
use crate::support::both::on_both_databases;
use crate::support::client::{Answer, Client};
use crate::support::messages::{add_members, group, patch, set, user, user_with};
use crate::support::server::Server;

on_both_databases!(Server: what_is_outside_a_view_is_answered_like_what_is_not_there);

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const SEARCH: &str = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";
const BULK: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
const MEMBERSHIP: &str = "urn:ietf:params:scim:schemas:core:2.0:GroupMembership";
/// Headers that differ between any two answers; a connection is closed when a body that nobody reads is still on its way.
const PASSING: [&str; 4] = ["date", "x-request-id", "matrikel-feed-position", "connection"];

/// What the two questions are about.
#[derive(Clone, Copy)]
struct About<'i> {
    user: &'i str,
    group: &'i str,
}

impl About<'_> {
    /// The id that stands in the path of an operation.
    fn id(self, path: &str) -> String {
        let simple = |id: &str| id.replace('-', "");
        match path {
            path if path.contains("/GroupMemberships/") => format!("{}{}", simple(self.group), simple(self.user)),
            path if path.contains("/Groups/") => self.group.to_owned(),
            path if path.contains("/AuditEvents/") => format!("change-{}", self.user),
            _ => self.user.to_owned(),
        }
    }

    /// The query and the body with which an operation asks about it.
    fn question(self, operation: &Operation, seen: &str) -> (String, Option<Value>) {
        let About { user: id, group: hidden_group } = self;
        let name = Uuid::now_v7().to_string();
        let (method, path) = (operation.method.as_str(), operation.path.as_str());
        let nothing = String::new();
        let about_id = if path.contains("/Groups") { hidden_group } else { id };
        match (method, path) {
            ("GET" | "HEAD", path) if path.contains("/Groups") && !path.contains('{') => {
                (format!("?filter=id%20eq%20%22{hidden_group}%22%20or%20members.value%20eq%20%22{id}%22"), None)
            }
            ("GET" | "HEAD", "/scim/v2/GroupMemberships") => (format!("?filter=member.value%20eq%20%22{id}%22"), None),
            ("GET" | "HEAD", "/scim/v2" | "/scim/v2/Users") => (format!("?filter=id%20eq%20%22{id}%22"), None),
            // Both questions are remembered too, and are no part of the answer.
            ("GET" | "HEAD", "/scim/v2/AuditEvents") => (format!("?filter=id%20eq%20%22change-{id}%22"), None),
            ("POST", "/scim/v2/AuditEvents/.search") => {
                (nothing, Some(json!({ "schemas": [SEARCH], "filter": format!("id eq \"change-{id}\"") })))
            }
            ("POST", path) if path.ends_with("/GroupMemberships/.search") => {
                (nothing, Some(json!({ "schemas": [SEARCH], "filter": format!("member.value eq \"{id}\"") })))
            }
            ("POST", path) if path.ends_with("/.search") => {
                (nothing, Some(json!({ "schemas": [SEARCH], "filter": format!("id eq \"{about_id}\"") })))
            }
            ("POST", "/scim/v2/Users") => {
                (nothing, Some(user_with(&name, &json!({ ENTERPRISE: { "manager": { "value": id } } }))))
            }
            ("POST", "/scim/v2/Groups") => (nothing, Some(group(&name, &[id]))),
            ("POST", "/scim/v2/GroupMemberships") => {
                let ends = json!({ "group": { "value": seen }, "member": { "value": id } });
                let mut body = json!({ "schemas": [MEMBERSHIP] });
                body.as_object_mut().expect("an object").extend(ends.as_object().expect("an object").clone());
                (nothing, Some(body))
            }
            ("POST", "/scim/v2/Bulk") => {
                let one = format!("/Users/{id}");
                let operations = json!([
                    { "method": "PATCH", "path": one, "data": set("title", &json!("t")) },
                    { "method": "PUT", "path": one, "data": user(&name) },
                    { "method": "DELETE", "path": one },
                    { "method": "DELETE", "path": format!("/Groups/{hidden_group}") },
                    { "method": "POST", "path": "/Groups", "bulkId": "g", "data": group(&name, &[id]) },
                ]);
                (nothing, Some(json!({ "schemas": [BULK], "Operations": operations })))
            }
            ("POST", path) if path.ends_with("/credentials") => (nothing, Some(json!({ "kind": "token" }))),
            ("PUT", path) if path.contains("/Groups/") => (nothing, Some(group(&name, &[]))),
            ("PATCH", path) if path.contains("/Groups/") => (nothing, Some(set("displayName", &json!(name)))),
            ("PUT", _) => (nothing, Some(user(&name))),
            ("PATCH", _) => (nothing, Some(set("title", &json!("t")))),
            ("POST", _) => (nothing, Some(json!({}))),
            _ => (nothing, None),
        }
    }
}

/// An answer without what differs between any two.
fn told(answer: &Answer, headers: &HeaderMap) -> String {
    let kept = headers.iter().filter(|(name, _)| !PASSING.contains(&name.as_str()));
    let mut kept: Vec<String> =
        kept.map(|(name, value)| format!("{name}: {}", plain(value.to_str().expect("text")))).collect();
    // Their order is drawn anew for each answer.
    kept.sort();
    format!("{}\n{}\n\n{}", answer.status, kept.join("\n"), plain(&answer.text))
}

/// The text with `ID` for every id, `T` for every moment and `V` for every version.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut run = String::new();
    for character in text.chars().chain([' ']) {
        if character.is_ascii_alphanumeric() || "-.:+".contains(character) {
            run.push(character);
            continue;
        }
        let is_hex = |text: &str| text.chars().all(|digit| digit.is_ascii_hexdigit() || digit == '-');
        let is_version = run
            .split_once('.')
            .is_some_and(|(number, digest)| number.parse::<u32>().is_ok() && digest.len() == 10 && is_hex(digest));
        plain.push_str(match run.trim_start_matches("change-") {
            id if id.len() >= 32 && is_hex(id) => "ID",
            moment if moment.len() > 18 && moment.starts_with("20") && moment.ends_with('Z') => "T",
            _ if is_version => "V",
            _ => run.as_str(),
        });
        plain.push(character);
        run.clear();
    }
    plain
}

async fn what_is_outside_a_view_is_answered_like_what_is_not_there(server: &Server) {
    let admin = Client::new(&server.base_url, &server.tenant("town"));
    let made = async |path: &str, body: &Value| admin.post(path, body).await.expect(201).id();
    let maj = made("/Users", &user_with("maj", &json!({ "userType": "staff" }))).await;
    let bo = made("/Users", &user_with("bo", &json!({ "userType": "guest" }))).await;
    let crew = made("/Groups", &group("crew", &[&maj])).await;
    let secret = made("/Groups", &group("secret", &[&maj, &bo])).await;
    let types = json!([
        { "type": "User", "filter": "not (userType eq \"guest\")" },
        { "type": "Group", "filter": "displayName ne \"secret\"" },
    ]);
    let view = json!({ "schemas": ["urn:matrikel:scim:schemas:1.0:View"], "name": "staff", "types": types });
    let view = made("/Views", &view).await;
    let hidden = About { user: &bo, group: &secret };
    let nobody = [Uuid::now_v7().to_string(), Uuid::now_v7().to_string()];
    let absent = About { user: &nobody[0], group: &nobody[1] };
    let before = (admin.get(&format!("/Users/{bo}")).await.text, admin.get(&format!("/Groups/{secret}")).await.text);
    let mut asked = 0;
    for (name, role) in [("hr", "source"), ("deputy", "administrator")] {
        let viewer = Client::new(&server.base_url, &server.client("town", name, role));
        let me = admin.find("/Clients", &[("filter", &format!("name eq \"{name}\""))]).await.expect(200);
        admin.patch(&format!("/Clients/{}", me.ids()[0]), &set("view", &json!(view))).await.expect(200);
        let compare = async |method: &str, path: [String; 2], body: [Option<Value>; 2], what: &str| {
            let mut answers = Vec::new();
            for (path, body) in path.iter().zip(body) {
                let body = body.map(|body| body.to_string().into_bytes());
                let headers = [("content-type", "application/scim+json"), ("accept", "application/scim+json")];
                answers.push(viewer.send(method, path, &headers, body).await);
            }
            let [one, other] = &answers[..] else { panic!("two answers") };
            assert_eq!(told(one, &one.headers), told(other, &other.headers), "{name}: {what}");
            one.status
        };
        for operation in operations().iter().filter(|operation| !operation.is_open) {
            let path = |about: About, query: &str| {
                let id = about.id(&operation.path);
                // `//` is from the root on.
                let path = operation.path.replace("{id}", &id).replace("{credential}", about.user);
                format!("/{}{query}", path.replace("{urn}", about.user).replace("{name}", about.user))
            };
            let (query, body) = hidden.question(operation, &crew);
            let (other_query, other_body) = absent.question(operation, &crew);
            let paths = [path(hidden, &query), path(absent, &other_query)];
            let status = compare(&operation.method, paths, [body, other_body], &format!("{operation:?}")).await;
            let is_of_view = ["/Users/{id}", "/Groups/{id}", "/GroupMemberships/{id}"];
            if is_of_view.iter().any(|end| operation.path.ends_with(end)) {
                assert_eq!(status, 404, "{name}: {operation:?}");
            }
            asked += 1;
        }
        // What leads there from what is seen.
        for (path, body) in [
            (format!("/Groups/{crew}"), (|id| add_members(&[id])) as fn(&str) -> Value),
            (format!("/Groups/{crew}"), |id| {
                patch(&json!([{ "op": "remove", "path": format!("members[value eq \"{id}\"]") }]))
            }),
            (format!("/Users/{maj}"), |id| set(&format!("{ENTERPRISE}:manager.value"), &json!(id))),
        ] {
            let bodies = [Some(body(hidden.user)), Some(body(absent.user))];
            compare("PATCH", [path.clone(), path], bodies, "PATCH of what is seen").await;
        }
    }
    assert!(asked > 120, "{asked} questions");
    let after = (admin.get(&format!("/Users/{bo}")).await.text, admin.get(&format!("/Groups/{secret}")).await.text);
    assert_eq!(before, after, "nothing of it was touched");
}

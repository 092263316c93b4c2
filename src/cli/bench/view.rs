//! What views cost: the same reads by clients that see a part of the register, in turn with one that sees everything through
//! its view. Views, clients and tokens are made over SCIM as an administrator would.

use anyhow::{Context, ensure};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde_json::{Value, json};
use uuid::Uuid;

use super::measure::Link;
use super::read::ids;
use super::scenario::{Run, scatter};
use super::verify::{self, Known};
use super::wire::{Connection, Writer};
use super::world::{DIRECT, INDIRECT, READERS, World};

const VIEW: &str = "urn:matrikel:scim:schemas:1.0:View";
const CLIENT: &str = "urn:matrikel:scim:schemas:1.0:Client";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
/// Clients that ask in turn, each through a view of its own.
const CLIENTS: u64 = 1_000;
/// What such a view releases, beside four attributes of the enterprise extension.
const RELEASED: [&str; 16] = [
    "userName",
    "name.formatted",
    "name.familyName",
    "name.givenName",
    "displayName",
    "title",
    "userType",
    "preferredLanguage",
    "active",
    "emails.value",
    "emails.type",
    "emails.primary",
    "phoneNumbers.value",
    "phoneNumbers.type",
    "externalId",
    "groups",
];

/// GET of a user through a view with a filter and 20 attributes, in turn with the same through a view of everything.
pub(super) async fn get(run: &Run<'_>) -> anyhow::Result<()> {
    let world = run.bench.world;
    let part = learn(run, &client(world, &part_of(world, None)).await?, true).await?;
    let all = json!([{ "type": "User" }, { "type": "Group" }]);
    let all = learn(run, &client(world, &all).await?, false).await?;
    for _ in 0..run.bench.settings.rounds {
        run.enter("", run.drive_known(&part).await?);
        run.enter("view of everything", run.drive_known(&all).await?);
    }
    Ok(())
}

/// The same by 1,000 clients in turn, each with a view that no other has, against one of them alone.
pub(super) async fn get_of_many(run: &Run<'_>) -> anyhow::Result<()> {
    let world = run.bench.world;
    // In a register of a few, as many as there are people.
    let clients: Vec<Writer> = stream::iter(0..CLIENTS.min(world.people.size))
        .map(|number| async move { client(world, &part_of(world, Some(number))).await })
        .buffered(16)
        .try_collect()
        .await?;
    let one = learn(run, clients.first().context("no client")?, true).await?;
    let (ids, mut many) = (ids(run)?, Vec::with_capacity(clients.len()));
    let mut connection = Connection::open(world.subject.address).await?;
    for (n, writer) in clients.iter().enumerate() {
        let place = scatter(n as u64, one.len());
        let (id, known) = ids.get(place).zip(one.get(place)).context("nobody")?;
        let request = writer.plain("GET", &format!("/Users/{id}"));
        let answer = connection.send(&request).await?;
        verify::status(&answer, 200)?;
        let (found, expected): (Value, Value) =
            (serde_json::from_slice(answer.body)?, serde_json::from_slice(&known.body)?);
        // The entity tag alone is another one through each view.
        ensure!(found.get("userName") == expected.get("userName"), "client {n} is shown somebody else: {found}");
        many.push(Known { request, status: 200, body: answer.body.to_vec() });
    }
    for _ in 0..run.bench.settings.rounds {
        run.enter("", run.drive_known(&many).await?);
        run.enter("one client", run.drive_known(&one).await?);
    }
    Ok(())
}

/// What a client sees through a view with a filter and 20 attributes. With a number, its filter is that of no other.
pub(super) fn part_of(world: &World, number: Option<u64>) -> Value {
    let extension = ["employeeNumber", "costCenter", "division", "department"];
    let extension = extension.iter().map(|name| format!("{ENTERPRISE}:{name}"));
    let released: Vec<String> = RELEASED.iter().map(|&name| name.to_owned()).chain(extension).collect();
    let filter = match number {
        None => "active eq true and userType eq \"Employee\"".to_owned(),
        Some(number) => format!("active eq true and userName ne \"nobody.{number}.{}\"", world.people.seed),
    };
    json!([{ "type": "User", "filter": filter, "attributes": released }, { "type": "Group" }])
}

/// A new client with a view of its own.
async fn client(world: &World, types: &Value) -> anyhow::Result<Writer> {
    client_with(world, types, &json!({})).await
}

/// The same, of whose view more is said.
pub(super) async fn client_with(world: &World, types: &Value, more: &Value) -> anyhow::Result<Writer> {
    let writer = &world.subject.writer;
    let name = format!("bench-{}", Uuid::new_v4());
    let post = async |path: &str, body: Value| {
        let (status, made) = world.ask(&writer.json("POST", path, &body.to_string())).await?;
        ensure!(status == 201, "POST of {path} is answered {status}: {made}");
        anyhow::Ok(made)
    };
    let text = |body: &Value, name: &str| {
        body.get(name).and_then(Value::as_str).map(str::to_owned).with_context(|| format!("an answer without {name}"))
    };
    let mut view = json!({ "schemas": [VIEW], "name": name, "types": types });
    if let (Some(view), Some(more)) = (view.as_object_mut(), more.as_object()) {
        view.extend(more.clone());
    }
    let view = post("/Views", view).await?;
    let document = json!({ "schemas": [CLIENT], "name": name, "role": "consumer", "view": text(&view, "id")? });
    let made = post("/Clients", document).await?;
    let path = format!("/Clients/{}/credentials", text(&made, "id")?);
    let token = text(&post(&path, json!({ "kind": "token" })).await?, "token")?;
    Ok(Writer { token, ..writer.clone() })
}

/// The readers as the client sees them.
pub(super) async fn learn(run: &Run<'_>, writer: &Writer, is_part: bool) -> anyhow::Result<Vec<Known>> {
    let world = run.bench.world;
    let requests = ids(run)?.into_iter().map(|id| writer.plain("GET", &format!("/Users/{id}")));
    run.learn(requests.collect(), 200, |n, body| {
        let wanted = world.people.user(world.of_pool(READERS, n as u64));
        let same = |path: &str| body.pointer(path).is_some() && body.pointer(path) == wanted.pointer(path);
        ensure!(same("/userName") && same("/name") && same("/emails"), "another person, or less: {body}");
        let extension = body.get(ENTERPRISE).context("no extension")?;
        let hidden = extension.get("organization").is_none();
        ensure!(hidden == is_part && extension.get("department").is_some(), "another part: {body}");
        let groups = body.get("groups").and_then(Value::as_array).map_or(0, Vec::len);
        ensure!(groups == DIRECT + INDIRECT, "in {groups} groups");
        Ok(())
    })
    .await
}

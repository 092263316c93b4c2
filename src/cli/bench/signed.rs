//! What a signed token costs against a static one: the same reads with an access token of the server's own, for which a secret
//! is made over SCIM as an administrator would.

use anyhow::{Context, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::read::{against_get, ids};
use super::scenario::Run;
use super::verify;
use super::wire::Writer;
use super::world::{READERS, World};

/// GET of a user by id with a signed token, in turn with the same by the static one.
pub(super) async fn get(run: &Run<'_>) -> anyhow::Result<()> {
    let world = run.bench.world;
    let writer = Writer { token: token(world).await?, ..world.subject.writer.clone() };
    let requests = ids(run)?.into_iter().map(|id| writer.plain("GET", &format!("/Users/{id}")));
    let known = run
        .learn(requests.collect(), 200, |n, body| {
            let number = world.of_pool(READERS, n as u64);
            verify::person(body, &world.people, number, world.id(number)?, true)
        })
        .await?;
    against_get(run, &known).await
}

/// An access token for the client of the bench. It lasts longer than the scenario unless the server is told otherwise.
async fn token(world: &World) -> anyhow::Result<String> {
    let writer = &world.subject.writer;
    let (status, me) = world.ask(&writer.plain("GET", "/Me")).await?;
    ensure!(status == 200, "the client of the bench is answered {status}");
    let path = format!("/Clients/{}/credentials", text(&me, "id")?);
    let (status, secret) = world.ask(&writer.json("POST", &path, "{\"kind\":\"secret\"}")).await?;
    ensure!(status == 201, "a secret is answered {status}");
    let credentials = STANDARD.encode(format!("{}:{}", text(&secret, "clientId")?, text(&secret, "secret")?));
    let root = writer.base.strip_suffix("/scim/v2").unwrap_or_default();
    let form = "grant_type=client_credentials";
    let request = format!(
        "POST {root}/oauth/token HTTP/1.1\r\nHost: {}\r\nAuthorization: Basic {credentials}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        writer.host,
        form.len()
    );
    let (status, given) = world.ask(request.as_bytes()).await?;
    ensure!(status == 200, "a token is answered {status}: {given}");
    text(&given, "access_token")
}

fn text(body: &Value, name: &str) -> anyhow::Result<String> {
    let value = body.get(name).and_then(Value::as_str);
    value.map(str::to_owned).with_context(|| format!("an answer without {name}"))
}

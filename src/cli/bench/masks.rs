//! What masks and notes cost: reads through a view with a filter, 20 attributes, `protected: mask` and `leaving: inactive`, in turn
//! with one that shows everything, in a register that knows protected people and has one. The extension for them is
//! installed by the command line, as an operator does it beside a server that runs.

use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::read::{PAGE, QUESTIONS};
use super::register::TENANT;
use super::scenario::Run;
use super::verify::{self, Known};
use super::view::{client_with, learn, part_of};
use super::wire::{Writer, escape};
use super::world::{World, id_of};
use crate::cli::output;

const PERSON: &str = "urn:matrikel:scim:schemas:1.0:Person";
/// How long a server may take to notice what was installed.
const PATIENCE: u32 = 2_400;
const TICK: Duration = Duration::from_millis(25);

/// GET of a user.
pub(super) async fn get(run: &Run<'_>) -> anyhow::Result<()> {
    let world = run.bench.world;
    let protected = protect(world).await?;
    let (part, all) = clients(world).await?;
    let (part, all) = (learn(run, &part, true).await?, learn(run, &all, false).await?);
    measure(run, &part, &all).await?;
    forget(world, protected).await
}

/// A page of a search.
pub(super) async fn page(run: &Run<'_>) -> anyhow::Result<()> {
    let world = run.bench.world;
    let protected = protect(world).await?;
    let (part, all) = clients(world).await?;
    let (part, all) = (pages(run, &part).await?, pages(run, &all).await?);
    measure(run, &part, &all).await?;
    forget(world, protected).await
}

async fn measure(run: &Run<'_>, part: &[Known], all: &[Known]) -> anyhow::Result<()> {
    for _ in 0..run.bench.settings.rounds {
        run.enter("", run.drive_known(part).await?);
        run.enter("view of everything", run.drive_known(all).await?);
    }
    Ok(())
}

/// A client that sees a part, and one that sees everything, protected people too.
async fn clients(world: &World) -> anyhow::Result<(Writer, Writer)> {
    let less = json!({ "protected": "mask", "leaving": "inactive", "leavingDays": 30 });
    let part = client_with(world, &part_of(world, None), &less).await?;
    let types = json!([{ "type": "User" }, { "type": "Group" }]);
    Ok((part, client_with(world, &types, &json!({ "protected": "include" })).await?))
}

/// Sees to it that the register has a protected person. Of a server that is not ours it is left as it is, and views have
/// nobody to mask; `None` then.
async fn protect(world: &World) -> anyhow::Result<Option<String>> {
    let writer = &world.subject.writer;
    let Some(_installing) = world.subject.command(&["schema", "install", "--tenant", TENANT, "person"])? else {
        output::remark("Protected people are not known to this server unless person is installed.")?;
        return Ok(None);
    };
    // Its end is not waited for: it works on indexes then that nobody asks for here.
    let look = writer.plain("GET", "/ResourceTypes/User");
    let mut tries = 0;
    while !world.ask(&look).await?.1.to_string().contains(PERSON) {
        tries += 1;
        ensure!(tries < PATIENCE, "the server does not notice what was installed");
        tokio::time::sleep(TICK).await;
    }
    let person = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", PERSON], "userName": "protected@kommun.example",
        PERSON: { "protectedIdentity": "sekretess" },
    });
    let (status, made) = world.ask(&writer.json("POST", "/Users", &person.to_string())).await?;
    ensure!(status == 201, "a protected person is answered {status}: {made}");
    Ok(Some(id_of(&made)?.to_string()))
}

async fn forget(world: &World, protected: Option<String>) -> anyhow::Result<()> {
    let Some(id) = protected else { return Ok(()) };
    let (status, said) = world.ask(&world.subject.writer.plain("DELETE", &format!("/Users/{id}"))).await?;
    ensure!(status == 204, "the protected person is answered {status}: {said}");
    Ok(())
}

/// Pages of people whose userName begins alike, as the client sees them.
async fn pages(run: &Run<'_>, writer: &Writer) -> anyhow::Result<Vec<Known>> {
    let people = run.bench.world.people;
    let prefixes: Vec<u64> = (0..people.prefixes().min(QUESTIONS)).collect();
    let requests = prefixes.iter().map(|prefix| {
        let filter = escape(&format!("userName sw \"{}\"", people.prefix(*prefix)));
        writer.plain("GET", &format!("/Users?filter={filter}&sortBy=name.familyName&count={PAGE}"))
    });
    run.learn(requests.collect(), 200, |n, body| {
        let prefix = people.prefix(prefixes.get(n).copied().unwrap_or_default());
        let total = body.get("totalResults").and_then(Value::as_u64).context("no total")?;
        let found = verify::list(body, total, total.min(PAGE))?;
        // Some were changed meanwhile, and are no more in the view.
        ensure!(total > 0, "nobody begins with {prefix}");
        let fits =
            |user: &Value| user.get("userName").and_then(Value::as_str).is_some_and(|name| name.starts_with(&prefix));
        ensure!(found.iter().all(fits), "one does not begin with {prefix}");
        Ok(())
    })
    .await
}

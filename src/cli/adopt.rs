//! `matrikel import accounts` and `import report`: what there was before the register is taken in by the same readers, maps
//! and runs as any feed, before anything is generated; and what became of it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context;
use provisioning::person;
use scim::query::SearchRequest;
use serde_json::{Value, json};

use super::{Shared, feed, now, open, output};
use crate::config::ConfigError;
use crate::directory::{Ctx, Directory, Random};

/// The resource type.
const ADOPTION: &str = "Adoption";
const EMPLOYEE_NUMBER: &str = "employeeNumber";

/// Arguments of `matrikel import accounts`.
#[derive(clap::Args)]
#[command(
    long_about = "Takes in accounts as they were before the register: user names, addresses, aliases, memberships, for the \
                  person with an employee number or identity number; without a number, names that nobody is to be given. The \
                  map is one of a feed whose resources are of kind Adoption. Do this before the first file of people: who \
                  comes with the number has these names, and the groups as inherited until a rule gives them too.",
    after_long_help = "Examples:\n  matrikel schema install --tenant storstad municipality\n  \
                       matrikel import accounts --tenant storstad ad.csv --map ad.toml --client hr\n  \
                       matrikel import report --tenant storstad --json\n\n\
                       Exit codes: 0 done · 1 failed or held · 2 wrong usage or configuration"
)]
pub(super) struct Accounts {
    /// Short name of the tenant
    #[arg(long, value_name = "SLUG")]
    tenant: String,
    /// The file
    file: PathBuf,
    #[command(flatten)]
    feed: feed::Arguments,
    /// Answer as JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `matrikel import report`.
#[derive(clap::Args)]
#[command(after_long_help = "Examples:\n  matrikel import report --tenant storstad\n\n\
                             Exit codes: 0 told · 1 failed · 2 wrong usage or configuration")]
pub(super) struct Report {
    /// Short name of the tenant
    #[arg(long, value_name = "SLUG")]
    tenant: String,
    /// Answer as JSON: every account and membership
    #[arg(long)]
    json: bool,
}

pub(super) fn import(shared: &Shared, arguments: &Accounts) -> anyhow::Result<()> {
    let map = arguments.feed.map.as_deref();
    let map = map.ok_or_else(|| ConfigError::new("Say with --map MAP.toml which column is what."))?;
    let asked =
        feed::Asked { tenant: &arguments.tenant, file: &arguments.file, json: arguments.json, only: Some(ADOPTION) };
    feed::import(shared, &asked, &arguments.feed, map)
}

pub(super) fn report(shared: &Shared, arguments: &Report) -> anyhow::Result<()> {
    open::run(&shared.load()?, async |directory| {
        let tenant = open::tenant(directory.store(), &arguments.tenant).await?.id;
        let ctx = Ctx::system(tenant, now(), Random::os());
        let all = adoptions(directory, &ctx).await?;
        let counts = count(&all);
        if arguments.json {
            return Ok(output::say(json!({ "counts": counts, "accounts": all.iter().map(told).collect::<Vec<_>>() }))?);
        }
        for (name, count) in &counts {
            output::say(format!("{name:<12} {count}"))?;
        }
        for one in &all {
            for membership in memberships(one).filter(|one| text(one, "state") != "confirmed") {
                let (name, number) = (text(one, "userName"), text(one, EMPLOYEE_NUMBER));
                let (group, state) = (text(membership, "display"), text(membership, "state"));
                output::say(format!("{state:<12} {group}  {name} {number}"))?;
            }
        }
        Ok(())
    })
}

/// Every adoption of the tenant.
async fn adoptions(directory: &Directory, ctx: &Ctx) -> anyhow::Result<Vec<Value>> {
    let catalog = directory.fresh_catalog(ctx.tenant, ctx.now).await?;
    let definition = catalog.registry().definition(ADOPTION).cloned();
    let definition = definition
        .context("this register has no accounts of before: matrikel schema install --tenant SLUG adoption")?;
    let (mut all, mut cursor) = (Vec::new(), Some(String::new()));
    while let Some(next) = cursor.take() {
        let request =
            SearchRequest { count: Some(directory.limits().page_max), cursor: Some(next), ..SearchRequest::default() };
        let found = directory.search(ctx, std::slice::from_ref(&definition), &request).await?;
        let mut page: Value = serde_json::from_str(&found.body)?;
        if let Some(Value::Array(resources)) = page.get_mut("Resources").map(Value::take) {
            all.extend(resources);
        }
        cursor = page.get("nextCursor").and_then(Value::as_str).map(str::to_owned);
    }
    Ok(all)
}

/// `reserved`: names for nobody; `waiting`: the person has not come; `adopted`: somebody has it.
fn state(adoption: &Value) -> &'static str {
    let has = |name: &str| adoption.get(name).is_some();
    // An identity number is told to nobody here, but that there is one is.
    let schemas = adoption.get("schemas").and_then(Value::as_array);
    let is_known = schemas.is_some_and(|schemas| schemas.iter().any(|urn| urn == person::URN));
    match (has("user"), has(EMPLOYEE_NUMBER) || is_known) {
        (true, _) => "adopted",
        (false, true) => "waiting",
        (false, false) => "reserved",
    }
}

fn memberships(adoption: &Value) -> impl Iterator<Item = &Value> {
    adoption.get("memberships").and_then(Value::as_array).into_iter().flatten()
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn count(all: &[Value]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for one in all {
        *counts.entry(state(one).to_owned()).or_default() += 1;
        for membership in memberships(one) {
            *counts.entry(text(membership, "state").to_owned()).or_default() += 1;
        }
    }
    counts
}

fn told(adoption: &Value) -> Value {
    let part = |name: &str| adoption.get(name).cloned().unwrap_or_default();
    json!({
        "id": part("id"), "state": state(adoption), "userName": part("userName"),
        EMPLOYEE_NUMBER: part(EMPLOYEE_NUMBER), "user": part("user").get("value"),
        "memberships": memberships(adoption).collect::<Vec<_>>(),
    })
}

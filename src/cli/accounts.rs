//! `matrikel export accounts`: user name and address of each account by the key of the source that it came from, so that
//! HR can take them in. Over SCIM it is an ordinary query, see docs/guide/feeds.md; this is the same one.

use std::io::{BufWriter, Write};

use anyhow::Context;
use jiff::Timestamp;
use scim::query::SearchRequest;
use serde_json::{Value, json};

use super::{Shared, now, open};
use crate::config::ConfigError;
use crate::directory::{Ctx, Directory, Random, clients};

/// Arguments of `matrikel export accounts`.
#[derive(clap::Args)]
#[command(
    long_about = "Writes the accounts of a source to standard output: its own key, user name, primary address and whether \
                  the account is active. With --since only those that have changed since then, in whatever way.",
    after_long_help = "Examples:\n  matrikel export accounts --tenant storstad --client hr > accounts.csv\n  \
                       matrikel export accounts --tenant storstad --client hr --format jsonl --since 2026-08-01T00:00:00Z\n\n\
                       Exit codes: 0 written · 1 failed · 2 wrong usage or configuration"
)]
pub(super) struct Arguments {
    /// Short name of the tenant
    #[arg(long, value_name = "SLUG")]
    tenant: String,
    /// The client whose keys are meant
    #[arg(long, value_name = "NAME")]
    client: String,
    /// How it is written
    #[arg(long, value_enum, default_value = "csv")]
    format: Form,
    /// Only accounts that have changed since (RFC 3339)
    #[arg(long, value_name = "INSTANT")]
    since: Option<Timestamp>,
}

/// How the file is written.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Form {
    /// Text with semicolons.
    Csv,
    /// One JSON object a line.
    Jsonl,
}

pub(super) fn export(shared: &Shared, arguments: &Arguments) -> anyhow::Result<()> {
    open::run(&shared.load()?, async |directory| write(directory, arguments).await)
}

async fn write(directory: &Directory, arguments: &Arguments) -> anyhow::Result<()> {
    let tenant = open::tenant(directory.store(), &arguments.tenant).await?.id;
    let system = Ctx::system(tenant, now(), Random::os());
    let unknown = || {
        ConfigError::new(format!("There is no client {}. `matrikel client list` shows which are.", arguments.client))
    };
    let client = clients::find(directory, &system, &arguments.client).await?.ok_or_else(unknown)?;
    let caller = directory.caller(tenant, client).await?.context("the client is not active")?;
    let catalog = directory.fresh_catalog(tenant, system.now).await?;
    let definition = catalog.registry().definition("User").cloned().context("there is no resource type User")?;
    let ctx = Ctx {
        views: caller.outlook.views(catalog.registry(), directory.veil(tenant, &caller)),
        caller: caller.into(),
        ..system
    };
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut page_text = page_of(arguments.format, &[["externalId", "userName", "email", "active"]], true)?;
    let mut cursor = Some(String::new());
    while let Some(next) = cursor.take() {
        let request = SearchRequest {
            filter: arguments.since.map(|since| format!("meta.lastModified ge \"{since}\"")),
            count: Some(directory.limits().page_max),
            cursor: Some(next),
            attributes: ["externalId", "userName", "emails", "active"].map(str::to_owned).to_vec(),
            ..SearchRequest::default()
        };
        let found = directory.search(&ctx, std::slice::from_ref(&definition), &request).await?;
        let page: Value = serde_json::from_str(&found.body)?;
        let users = page.get("Resources").and_then(Value::as_array).into_iter().flatten();
        let rows = users.filter_map(|user| {
            // What the source has no key for did not come from it.
            let key = user.get("externalId")?.as_str()?;
            let name = user.get("userName").and_then(Value::as_str).unwrap_or_default();
            let is_active = user.get("active").and_then(Value::as_bool).unwrap_or(true);
            Some([key, name, address(user).unwrap_or_default(), if is_active { "true" } else { "false" }])
        });
        page_text.extend(page_of(arguments.format, &rows.collect::<Vec<_>>(), false)?);
        out.write_all(&page_text)?;
        page_text.clear();
        cursor = page.get("nextCursor").and_then(Value::as_str).map(str::to_owned);
    }
    Ok(out.flush()?)
}

/// Accounts as they are written. The names of columns go before those of CSV, lines of JSON have them each.
fn page_of(form: Form, rows: &[[&str; 4]], is_header: bool) -> anyhow::Result<Vec<u8>> {
    match form {
        Form::Csv => {
            let mut table = csv::WriterBuilder::new().delimiter(b';').from_writer(Vec::new());
            rows.iter().try_for_each(|row| table.write_record(row))?;
            Ok(table.into_inner()?)
        }
        Form::Jsonl if is_header => Ok(Vec::new()),
        Form::Jsonl => {
            let line = |[key, name, email, active]: &[&str; 4]| {
                let line = json!({ "externalId": key, "userName": name, "email": email, "active": *active == "true" });
                format!("{line}\n")
            };
            Ok(rows.iter().map(line).collect::<String>().into_bytes())
        }
    }
}

/// The primary address, else the first one.
fn address(user: &Value) -> Option<&str> {
    let emails = user.get("emails")?.as_array()?;
    let is_primary = |email: &&Value| email.get("primary") == Some(&Value::Bool(true));
    emails.iter().find(is_primary).or_else(|| emails.first())?.get("value")?.as_str()
}

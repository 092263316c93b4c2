//! `matrikel check`: whether registers are whole, and the repair of what is derived.

use anyhow::Context;
use serde_json::{Value, json};
use store::work::Origin;
use store::{By, Mending, Random, Report, ResourceId, Store, Tenant};

use super::{Shared, now, open, output, progress, wait};

/// Arguments of `matrikel check`.
#[derive(clap::Args)]
#[command(
    long_about = "Reads everything and compares it both ways: index rows, unique keys, external ids and memberships against \
                  documents, counts against rows, every link of the chain of changes, and each document against its newest \
                  change. What is wrong is told by ids, never by values.\n\nServers may go on serving. With --repair what is \
                  derived is made anew in slices between their writes, and what points nowhere goes; documents and \
                  changes are never touched.",
    after_long_help = "Examples:\n  matrikel check\n  matrikel check --tenant storstad --repair\n  \
                       matrikel check --json | jq '.tenants[].findings'\n\n\
                       Exit codes: 0 all is well, or was repaired · 1 something is wrong · 2 wrong usage or configuration"
)]
pub(super) struct Arguments {
    /// Short name of the tenant; all when left out
    #[arg(long, value_name = "SLUG")]
    tenant: Option<String>,
    /// Make anew what is derived: index rows, unique keys, counts; take away what points nowhere
    #[arg(long)]
    repair: bool,
    /// Answer as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(shared: &Shared, arguments: &Arguments) -> anyhow::Result<()> {
    let config = shared.load()?;
    let directory = open::migrated(&config, false)?;
    let outcome = wait(perform(directory.store(), arguments));
    directory.store().close();
    outcome
}

async fn perform(store: &Store, arguments: &Arguments) -> anyhow::Result<()> {
    let tenants = match &arguments.tenant {
        Some(slug) => vec![open::tenant(store, slug).await?],
        None => store.tenants().await?,
    };
    let (mut documents, mut wrong) = (Vec::new(), 0);
    for tenant in tenants {
        let mut report = look(store, &tenant, arguments.json).await?;
        let mut mended = None;
        if arguments.repair && !report.is_clean() {
            tell(&tenant, &report, None, arguments.json)?;
            mended = Some(repair(store, &tenant, arguments.json).await?);
            report = look(store, &tenant, arguments.json).await?;
        }
        wrong += report.findings.len() as u64 + report.more;
        tell(&tenant, &report, mended, arguments.json)?;
        documents.push(document(&tenant, &report, mended));
    }
    if arguments.json {
        output::say(json!({ "clean": wrong == 0, "tenants": documents }))?;
    }
    match (wrong, arguments.repair) {
        (0, _) => Ok(()),
        (wrong, false) => anyhow::bail!("{wrong} findings. `matrikel check --repair` mends what is derived"),
        (wrong, true) => anyhow::bail!(
            "{wrong} findings are left that cannot be mended from what is there. Restore a backup, and keep this database \
             for whoever looks into it"
        ),
    }
}

async fn look(store: &Store, tenant: &Tenant, json: bool) -> anyhow::Result<Report> {
    let (id, mut watch) = (tenant.id, progress::stages(json));
    let checked = store.read(move |reader| reader.check(id, &mut watch)).await;
    checked.with_context(|| format!("{} could not be checked", tenant.slug))
}

async fn repair(store: &Store, tenant: &Tenant, json: bool) -> anyhow::Result<u64> {
    let mut watch = progress::stages(json);
    let mut mending = Mending::default();
    while !mending.is_done() {
        let origin = Origin {
            actor: ResourceId::SYSTEM,
            cause: "operator",
            by: By::default(),
            now: now(),
            random: Random::os(),
        };
        let so_far = mending.clone();
        let slice = store.write(tenant.id, origin, move |work| work.mend(&so_far));
        mending = slice.await.map_err(|error: store::Error| error).context("the repair broke off; begin it again")?;
        watch("Mending", mending.looked, mending.looked.saturating_add(1));
    }
    Ok(mending.mended)
}

fn tell(tenant: &Tenant, report: &Report, mended: Option<u64>, json: bool) -> anyhow::Result<()> {
    if json {
        return Ok(());
    }
    for finding in &report.findings {
        output::say(format!("{}: {finding}", tenant.slug))?;
    }
    if report.more > 0 {
        output::say(format!("{}: and {} more", tenant.slug, report.more))?;
    }
    if let Some(mended) = mended {
        output::say(format!("{}: {mended} rows were put right", tenant.slug))?;
    }
    if report.is_clean() {
        let Report { resources, changes, .. } = report;
        output::say(format!("{}: all is well: {resources} resources, {changes} changes", tenant.slug))?;
    }
    Ok(())
}

fn document(tenant: &Tenant, report: &Report, mended: Option<u64>) -> Value {
    let findings = report.findings.iter().map(|found| json!({ "table": found.table, "detail": found.detail }));
    json!({
        "tenant": tenant.slug,
        "resources": report.resources,
        "changes": report.changes,
        "findings": findings.collect::<Vec<_>>(),
        "more": report.more,
        "mended": mended,
    })
}

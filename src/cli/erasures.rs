//! `matrikel erasures`: of whom nothing is kept any more, as a list of ids that is kept elsewhere, and what is done with such a
//! list on a copy that is older: those whom it names are erased there again.

pub(super) mod list;

use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::Context;
use serde_json::{Value, json};
use store::tenant::{ACTIVE, SUSPENDED};

use self::list::Lists;
use super::{Shared, now, open, output, progress, schedule};
use crate::config::ConfigError;
use crate::directory::erasure::Replayed;
use crate::directory::{Ctx, Directory, Random};

/// Erasures that are read at a time.
const PAGE: i64 = 1_000;

/// Arguments of `matrikel erasures`.
#[derive(clap::Args)]
#[command(
    long_about = "Lists of whom nothing is kept any more: ids, types and moments, and nothing that tells of a person. A \
                  backup that is brought back knows those people still; with this list they are erased there again: by \
                  `matrikel restore --erasures FILE`, or by `matrikel erase --list FILE` on either database.\n\nThe list is \
                  of use where it outlives the database: write it often (from cron, say) to another machine. A file that is \
                  there is added to, so that what it lists stays, also when the database is older than the file.",
    after_long_help = "Examples:\n  matrikel erasures --output /srv/elsewhere/erasures.jsonl\n  \
                       matrikel erasures --tenant storstad --since 2026-07-30\n  \
                       matrikel --database-url sqlite:backup/2026-07-30.db erasures > erasures.jsonl\n\n\
                       Exit codes: 0 written · 1 failed · 2 wrong usage or configuration"
)]
pub(super) struct Arguments {
    /// Short name of the tenant; all of them where none is named
    #[arg(long, value_name = "SLUG")]
    tenant: Option<String>,
    /// Those since a day (UTC), or an instant such as 2026-07-30T06:00:00Z, alone
    #[arg(long, value_name = "DATE")]
    since: Option<String>,
    /// A file instead of standard output; what it lists already stays
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// With --output: how many, as JSON
    #[arg(long, requires = "output")]
    json: bool,
}

pub(super) fn run(shared: &Shared, arguments: &Arguments) -> anyhow::Result<()> {
    let since = arguments.since.as_deref().map(|since| schedule::moment(since, "UTC")).transpose();
    let since = since.map_err(|error| ConfigError::new(error.to_string()))?;
    let lists = open::run(&shared.load()?, async |directory| {
        let tenants = match &arguments.tenant {
            Some(slug) => vec![open::tenant(directory.store(), slug).await?],
            None => directory.store().tenants().await?,
        };
        let mut lists = Lists::default();
        for tenant in tenants {
            lists.name(&tenant.slug);
            let (id, mut last) = (tenant.id, None);
            loop {
                let page = directory.store().read_for(id, move |reader| reader.erasures(id, last, PAGE)).await;
                let page = page.map_err(|error: store::Error| error)?;
                let Some((end, _)) = page.last() else { break };
                last = Some(*end);
                let wanted = page.into_iter().filter(|(_, erasure)| since.is_none_or(|since| erasure.at >= since));
                wanted.for_each(|(id, erasure)| lists.add(&tenant.slug, id, erasure.kind, erasure.at));
            }
        }
        Ok(lists)
    })?;
    let Some(path) = &arguments.output else {
        let mut out = BufWriter::new(std::io::stdout().lock());
        lists.write(&mut out)?;
        return Ok(out.flush()?);
    };
    let found = lists.len();
    let mut all = if path.exists() { Lists::read(path)? } else { Lists::default() };
    all.extend(lists);
    all.store(path)?;
    let file = path.display();
    if arguments.json {
        return Ok(output::say(json!({ "file": file.to_string(), "erasures": found, "listed": all.len() }))?);
    }
    Ok(output::say(format!("{file} lists {} erasures; {found} of them are known here.", all.len()))?)
}

/// What became of a list in one tenant.
pub(super) struct Told {
    tenant: String,
    replayed: Replayed,
}

/// Erases again whom lists name, in the tenants that they name, or in one of them. Fails before anything is done where no
/// list is of a tenant that is here.
pub(super) async fn replay(
    directory: &Directory,
    lists: &Lists,
    only: Option<&str>,
    as_json: bool,
) -> anyhow::Result<Vec<Told>> {
    let is_usable = |state: &str| [ACTIVE, SUSPENDED].contains(&state);
    let tenants = directory.store().tenants().await?.into_iter();
    let tenants = tenants.filter(|tenant| is_usable(&tenant.state) && only.is_none_or(|only| only == tenant.slug));
    let mut known: Vec<_> = tenants.filter_map(|tenant| Some((lists.of(&tenant.slug)?, tenant))).collect();
    if known.is_empty() {
        let listed = lists.tenants().collect::<Vec<_>>().join(", ");
        let whose = only.map_or_else(|| "any tenant of this database".to_owned(), |only| format!("tenant {only}"));
        anyhow::bail!("the list is not of {whose} but of {listed}. Nobody is erased");
    }
    for strange in lists.tenants().filter(|slug| !known.iter().any(|(_, tenant)| tenant.slug == *slug)) {
        if only.is_none() {
            output::remark(format!("Tenant {strange} of the list is not here."))?;
        }
    }
    let mut told = Vec::new();
    for (list, tenant) in known.drain(..) {
        let ctx = Ctx::system(tenant.id, now(), Random::os());
        directory.fresh_catalog(tenant.id, ctx.now).await?;
        let mut watch = progress::stages(as_json);
        let replayed = directory.replay_erasures(&ctx, list, &mut watch).await;
        let replayed = replayed.with_context(|| {
            format!("not all whom the list of {} names are erased; the same command goes on", tenant.slug)
        })?;
        told.push(Told { tenant: tenant.slug, replayed });
    }
    Ok(told)
}

impl Told {
    /// As JSON.
    pub(super) fn document(&self) -> Value {
        let Replayed { listed, purged, past, already, unknown, held, beside, kept, waiting } = &self.replayed;
        let held: Vec<String> = held.iter().map(ToString::to_string).collect();
        json!({
            "tenant": self.tenant, "listed": listed, "purged": purged, "past": past, "already": already,
            "unknown": unknown, "held": held, "beside": beside, "kept": kept, "waiting": waiting,
        })
    }

    /// In words, and on standard error who is not erased.
    pub(super) fn say(&self) -> anyhow::Result<()> {
        let Replayed { listed, purged, past, already, unknown, held, beside, kept, waiting } = &self.replayed;
        output::say(format!(
            "{}, {listed} listed. People who were there and are erased: {purged}; who were gone, and whose past is erased: \
             {past}; who were erased before: {already}; who never were here: {unknown}; on legal hold and not erased: {}. \
             What went with people: {beside} erased, {kept} still there.",
            self.tenant,
            held.len()
        ))?;
        for id in held {
            output::remark(format!(
                "{id} is on legal hold here and is not erased. Take the hold away and give the list again."
            ))?;
        }
        if *waiting > 0 {
            output::remark(format!("Of {waiting} the scheduler erases the rest, which somebody is at just now."))?;
        }
        Ok(())
    }
}

//! A tenant made ready for a town: what a municipality needs is installed, its sources are clients, and a policy and some rules
//! say what follows. Usable by whoever wants such a register: the demo, the bench.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use anyhow::Context;
use scim::resource::Projection;
use serde_json::{Map as Object, Value, json};

use super::super::year::Source;
use super::maps;
use crate::cli::client::Issued;
use crate::cli::schema;
use crate::directory::{Ctx, Directory, Profile, Random, Role, TenantId, clients};
use crate::intake::{Intake, Submission, Watch};
use crate::schedule::{Done, Pace, Scheduler};

/// A tenant and the moment it is there.
#[derive(Clone)]
pub struct Town {
    /// The authority.
    pub directory: Directory,
    /// Whose register it is.
    pub tenant: TenantId,
    now: Arc<AtomicI64>,
    scheduler: Scheduler,
}

/// What became of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ran {
    /// Runs that were held and then allowed.
    pub held: u64,
    /// Keys that were refused.
    pub refused: u64,
    /// Resources that are new or another.
    pub changed: u64,
}

impl Town {
    /// At a moment, µs since 1970.
    pub fn at(directory: Directory, tenant: TenantId, now: i64) -> anyhow::Result<Self> {
        let scheduler = Scheduler::new(directory.clone(), &Random::os())?;
        Ok(Town { directory, tenant, now: Arc::new(AtomicI64::new(now)), scheduler })
    }

    /// The moment.
    pub fn now(&self) -> i64 {
        self.now.load(Ordering::Relaxed)
    }

    /// The operator at that moment.
    pub fn ctx(&self) -> Ctx {
        Ctx::system(self.tenant, self.now(), Random::os())
    }

    /// Installs what a municipality needs, makes the clients that are not there, and writes the policy.
    pub async fn prepare(&self, policy: Value) -> anyhow::Result<()> {
        let ctx = self.ctx();
        schema::bring(&self.directory, &ctx, &["municipality".to_owned()], |_, _, _| Ok(())).await?;
        let staff = json!({ "names": "generated", "accountDomain": "administration" });
        let school = json!({ "names": "generated", "accountDomain": "education" });
        for (name, more) in [("hr", staff), ("school", school), ("phones", json!({}))] {
            let more = more.as_object().cloned().unwrap_or_default();
            match clients::find(&self.directory, &ctx, name).await? {
                Some(_) if more.is_empty() => {}
                Some(id) => clients::set(&self.directory, &ctx, id, more).await?,
                None => {
                    let credential = Issued::new(self.tenant, None)?.credential;
                    let profile = Profile::default();
                    clients::create_with(&self.directory, &ctx, name, Role::Source, profile, more, credential).await?;
                }
            }
        }
        self.create("Policy", policy).await?;
        Ok(())
    }

    /// Creates a resource as the operator; its id.
    pub async fn create(&self, kind: &str, body: Value) -> anyhow::Result<String> {
        let ctx = self.ctx();
        let catalog = self.directory.fresh_catalog(self.tenant, ctx.now).await?;
        let definition = catalog.registry().definition(kind).cloned().with_context(|| format!("there is no {kind}"))?;
        let written = self.directory.create(&ctx, &definition, body, &Projection::whole(&definition)).await?;
        let document: Value = serde_json::from_str(&written.body)?;
        Ok(document.get("id").and_then(Value::as_str).context("a resource without id")?.to_owned())
    }

    /// Days pass, and on the way happens what falls due.
    pub async fn wait_until(&self, moment: i64) -> anyhow::Result<Done> {
        let run = self.scheduler.run(self.tenant, || self.now(), moment, Pace::AsItWas, |_, _| {});
        let done = run.await?.context("another process looks after the days of this tenant")?;
        self.now.fetch_max(moment, Ordering::Relaxed);
        Ok(done)
    }

    /// A source sends a file of such lines. A run that is held is looked at and allowed.
    pub async fn send(
        &self,
        source: Source,
        rows: impl IntoIterator<Item = Value>,
        is_full: bool,
        watch: Watch,
    ) -> anyhow::Result<Ran> {
        self.send_file(source, lines(rows)?, is_full, watch).await
    }

    /// The same with a file that is there already, see [`lines`].
    pub async fn send_file(&self, source: Source, file: File, is_full: bool, watch: Watch) -> anyhow::Result<Ran> {
        let (client, map) = maps::of(source, is_full);
        let clock = Arc::clone(&self.now);
        let clock = Arc::new(move || clock.load(Ordering::Relaxed));
        let intake = Intake { directory: self.directory.clone(), ctx: self.ctx(), clock, watch };
        let feed = intake.directory.put_feed(&intake.ctx, client, &map).await?;
        let mut submission = Submission {
            file,
            format: crate::directory::feeds::map::Format::JsonLines,
            mode: None,
            extracted: Some(self.now()),
            otherwise: self.now(),
            simulate: false,
            at_once: true,
        };
        let run = intake.submit(&feed, &mut submission).await?.id();
        let mut ran = Ran::default();
        let mut document = intake.carry(run, Some(submission.file)).await?.unwrap_or_default();
        if document.get("state").and_then(Value::as_str) == Some("held") {
            ran.held += 1;
            crate::cli::run::decide(&self.directory, &self.ctx(), run, "allow", Some("as planned")).await?;
            document = intake.carry(run, None).await?.unwrap_or_default();
        }
        let state = document.get("state").and_then(Value::as_str).unwrap_or_default();
        if state != "applied" {
            let reason = document.get("reason").and_then(Value::as_str).unwrap_or_default();
            anyhow::bail!("a file of {client} is {state}: {reason}");
        }
        let count = |name: &str| count(&document, name);
        ran.refused = count("rejected") + count("open");
        ran.changed = count("created") + count("updated") + count("disabled") + count("deleted");
        Ok(ran)
    }
}

/// A file of such lines. It has no name, and is gone when nobody has it open.
pub fn lines(rows: impl IntoIterator<Item = Value>) -> anyhow::Result<File> {
    let mut file = BufWriter::new(tempfile::tempfile()?);
    for row in rows {
        writeln!(file, "{row}")?;
    }
    Ok(file.into_inner()?)
}

fn count(document: &Object<String, Value>, name: &str) -> u64 {
    document.get("counts").and_then(|counts| counts.get(name)).and_then(Value::as_u64).unwrap_or_default()
}

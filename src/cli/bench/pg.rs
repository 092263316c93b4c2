//! The raw database where it is PostgreSQL: pgbench reads and inserts the same rows, if it is installed.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};
use store::TenantId;
use store::baseline::PostgresBaseline;

use super::measure::Sample;
use super::raw::newcomers;
use super::world::World;

/// Rows read in a round.
const READS: usize = 16_000;

/// Ready to be measured by pgbench.
pub(super) struct Pgbench {
    url: String,
    baseline: RefCell<PostgresBaseline>,
    select: PathBuf,
    insert: PathBuf,
}

impl Pgbench {
    /// Prepares tables and scripts; `None` where there is no pgbench.
    pub(super) async fn prepare(world: &World, url: &str, folder: &Path) -> anyhow::Result<Option<Self>> {
        if Command::new("pgbench").arg("--version").output().is_err() {
            return Ok(None);
        }
        let ids = newcomers(world).await?;
        let baseline = PostgresBaseline::prepare(url, TenantId(world.loaded.tenant), &ids)?;
        let (select, insert) = (folder.join("select.sql"), folder.join("insert.sql"));
        std::fs::write(&select, baseline.select_script())?;
        std::fs::write(&insert, baseline.insert_script())?;
        Ok(Some(Pgbench { url: url.to_owned(), baseline: RefCell::new(baseline), select, insert }))
    }

    /// Reads one row a transaction.
    pub(super) fn select(&self, connections: usize) -> anyhow::Result<Sample> {
        // A number of them and not a time: pgbench counts time in whole seconds.
        self.run(connections, &self.select, ["-t", &(READS / connections).max(1).to_string()])
    }

    /// Inserts all rows of one resource a transaction, until all have been.
    pub(super) fn insert(&self, connections: usize) -> anyhow::Result<Sample> {
        let each = self.baseline.borrow().staged() / connections;
        let sample = self.run(connections, &self.insert, ["-t", &each.to_string()])?;
        let inserted = self.baseline.borrow_mut().clear()?;
        ensure!(inserted == each * connections, "{inserted} resources inserted instead of {}", each * connections);
        Ok(sample)
    }

    fn run(&self, connections: usize, script: &Path, length: [&str; 2]) -> anyhow::Result<Sample> {
        let mut command = Command::new("pgbench");
        command.args(["-n", "-M", "prepared", "-j", "1", "-c", &connections.to_string()]);
        let output = command.args(length).arg("-f").arg(script).arg(&self.url).output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            bail!("pgbench failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let after = |name: &str| {
            let line = said.lines().find_map(|line| line.strip_prefix(name)?.trim_start().split(' ').next());
            line.and_then(|number| number.split('/').next()?.parse::<f64>().ok())
                .with_context(|| format!("no {name} in {said}"))
        };
        let (rate, latency) = (after("tps =")?, after("latency average =")?);
        let done = after("number of transactions actually processed:")? as u64;
        // pgbench tells the mean alone.
        let p50 = latency * 1_000.0;
        Ok(Sample { done, seconds: done as f64 / rate, p50, p95: p50, p99: p50, max: p50, ..Sample::default() })
    }
}

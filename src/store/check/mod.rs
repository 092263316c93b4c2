//! Whether a register is what it must be: every index, key and membership row is a function of the documents and nothing
//! lies beside them, the counts are those of the rows, and the chain of changes holds and tells of what is there. It
//! reads, within one snapshot and in slices, and mends nothing; what it says names rows by ids and never by a value.

mod chain;
pub(crate) mod references;
pub(crate) mod rows;
mod seats;

use std::collections::BTreeMap;
use std::fmt;

use diesel::sql_types::{BigInt, Text};

use crate::clock::Clock;
use crate::reader::Reader;
use crate::statement::Statement;
use crate::{Error, TenantId, dialect, tenant};

/// Something that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The table.
    pub table: &'static str,
    /// What is wrong, for the operator: ids and numbers, no values.
    pub detail: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.table, self.detail)
    }
}

/// What a check of one tenant looked at and found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What is wrong, at most 1,000.
    pub findings: Vec<Finding>,
    /// Findings beyond those.
    pub more: u64,
    /// Resources that live.
    pub resources: u64,
    /// Changes since the tenant came to be.
    pub changes: u64,
}

impl Report {
    /// Whether nothing was found.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty() && self.more == 0
    }
}

/// Is told how far a long work has come: what is being done, how much of it is, and how much there is.
pub type Watch<'w> = dyn FnMut(&'static str, u64, u64) + Send + 'w;

/// Resources or changes read at a time.
const SLICE: i64 = 256;
/// Rows of narrow tables read at a time.
const ROWS: i64 = 1_000;
/// Most findings that are kept.
const MOST: usize = 1_000;

impl Reader {
    /// Checks a tenant as it stands at one moment. No finding: all is well.
    pub fn verify(&mut self, tenant: TenantId) -> Result<Vec<Finding>, Error> {
        Ok(self.check(tenant, &mut |_, _, _| {})?.findings)
    }

    /// The same, with what was looked at; `watch` is told how far it has come.
    pub fn check(&mut self, tenant: TenantId, watch: &mut Watch<'_>) -> Result<Report, Error> {
        self.snapshot(|reader| {
            dialect::take_time(&mut reader.db)?;
            Check { reader, tenant, watch, report: Report::default() }.run()
        })
    }
}

struct Check<'c, 'w> {
    reader: &'c mut Reader,
    tenant: TenantId,
    watch: &'c mut Watch<'w>,
    report: Report,
}

impl Check<'_, '_> {
    fn run(mut self) -> Result<Report, Error> {
        if tenant::by_id(&mut self.reader.db, self.tenant)?.is_some_and(|known| known.state == tenant::IMPORTING) {
            // Half of a register is not whole, and nothing is wrong with it.
            self.find("tenant", "an import is not finished");
            return Ok(self.report);
        }
        let clock = Clock::read(&mut self.reader.db, self.tenant)?;
        // Without its paths nothing can be said of the rows.
        if self.paths()? {
            self.rows(&clock)?;
        }
        self.counts(&clock)?;
        self.references(&clock)?;
        self.chain(&clock)?;
        Ok(self.report)
    }

    fn find(&mut self, table: &'static str, detail: impl Into<String>) {
        if self.report.findings.len() < MOST {
            self.report.findings.push(Finding { table, detail: detail.into() });
        } else {
            self.report.more += 1;
        }
    }

    /// The counts in the clock row are those of the rows.
    fn counts(&mut self, clock: &Clock) -> Result<(), Error> {
        let living = living(&mut self.reader.db, self.tenant)?;
        let mut counts = clock.counts.clone();
        counts.retain(|_, count| *count != 0);
        if counts != living {
            self.find("tenant_clock", format!("counts {counts:?}, but {living:?} live"));
        }
        self.report.resources = living.values().sum::<i64>().unsigned_abs();
        Ok(())
    }
}

/// Living resources by kind, counted.
pub(crate) fn living(db: &mut crate::db::Db, tenant: TenantId) -> Result<BTreeMap<String, i64>, Error> {
    let rows = Statement::<(Text, BigInt)>::new("SELECT kind, COUNT(*) FROM resource WHERE tenant_id = ")
        .bind(tenant)
        .sql(" GROUP BY kind")
        .load::<(String, i64)>(db)?;
    Ok(rows.into_iter().collect())
}

//! The chain of changes: every number is there, every link holds, and whoever came and did not go lives. The chain of the
//! audit holds too.

use diesel::sql_types::{BigInt, Binary};

use super::{Check, ROWS};
use crate::clock::Clock;
use crate::record::resource_id;
use crate::statement::Statement;
use crate::{Error, audit};

impl Check<'_, '_> {
    pub(super) fn chain(&mut self, clock: &Clock) -> Result<(), Error> {
        let db = &mut self.reader.db;
        let (changes, findings) = audit::follow_changes(db, self.tenant, clock, self.watch)?;
        self.report.changes = changes;
        findings.into_iter().for_each(|finding| self.find("change", finding));
        let (_, finding) = audit::follow(&mut self.reader.db, self.tenant, self.watch)?;
        if let Some(finding) = finding {
            self.find("audit", finding);
        }
        self.lost()?;
        self.loose_deltas()
    }

    /// Resources that came, never went, and are not there.
    fn lost(&mut self) -> Result<(), Error> {
        let rows = Statement::<(BigInt, Binary)>::new(
            "SELECT c.seq, c.resource_id FROM change c \
             LEFT JOIN resource r ON r.tenant_id = c.tenant_id AND r.resource_id = c.resource_id \
             WHERE c.op = 'create' AND r.resource_id IS NULL AND NOT EXISTS (SELECT 1 FROM change d \
             WHERE d.tenant_id = c.tenant_id AND d.resource_id = c.resource_id AND d.op = 'delete' AND d.seq > c.seq) \
             AND c.tenant_id = ",
        )
        .bind(self.tenant)
        .sql(" ORDER BY c.seq LIMIT ")
        .bind(ROWS)
        .load::<(i64, Vec<u8>)>(&mut self.reader.db)?;
        for (seq, id) in rows {
            let id = resource_id(&id)?;
            self.find("resource", format!("{id} came with change {seq}, was never deleted and is not there"));
        }
        Ok(())
    }

    /// Member deltas without a change.
    fn loose_deltas(&mut self) -> Result<(), Error> {
        let rows = Statement::<BigInt>::new(
            "SELECT m.seq FROM change_member m LEFT JOIN change c ON c.tenant_id = m.tenant_id AND c.seq = m.seq \
             WHERE c.seq IS NULL AND m.tenant_id = ",
        )
        .bind(self.tenant)
        .sql(" ORDER BY m.seq LIMIT ")
        .bind(ROWS)
        .load::<i64>(&mut self.reader.db)?;
        for seq in rows {
            self.find("change_member", format!("of change {seq}, which is not there"));
        }
        Ok(())
    }
}

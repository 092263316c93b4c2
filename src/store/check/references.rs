//! What points at a resource points at one that lives.

use diesel::sql_types::{BigInt, Binary};

use super::{Check, ROWS};
use crate::clock::Clock;
use crate::db::Db;
use crate::record::resource_id;
use crate::statement::Statement;
use crate::{Error, ResourceId, TenantId};

/// A membership that cannot be: of a dead group that is not being swept, of a dead member, or of one of another type.
pub(crate) const DANGLING: &str = "FROM membership m \
     LEFT JOIN resource g ON g.tenant_id = m.tenant_id AND g.resource_id = m.group_id \
     LEFT JOIN resource r ON r.tenant_id = m.tenant_id AND r.resource_id = m.member_id AND r.kind = m.member_kind \
     LEFT JOIN sweep s ON s.tenant_id = m.tenant_id AND s.group_id = m.group_id \
     WHERE s.group_id IS NULL AND (g.resource_id IS NULL OR r.resource_id IS NULL) AND m.tenant_id = ";
/// An external id that belongs to nobody.
pub(crate) const ORPHANED: &str = "FROM external_id e LEFT JOIN resource r ON r.tenant_id = e.tenant_id AND \
     r.resource_id = e.resource_id AND r.kind = e.kind WHERE r.resource_id IS NULL AND e.tenant_id = ";
/// A group that lives and is to be swept as if it were dead.
pub(crate) const SWEPT_ALIVE: &str = "FROM sweep s JOIN resource g ON g.tenant_id = s.tenant_id AND \
     g.resource_id = s.group_id WHERE s.tenant_id = ";
/// A member whose row does not know of the newest of its groups.
pub(crate) const UNTOUCHED: &str = "FROM membership m JOIN resource r ON r.tenant_id = m.tenant_id AND \
     r.resource_id = m.member_id AND r.groups_seq < m.since_seq \
     JOIN resource g ON g.tenant_id = m.tenant_id AND g.resource_id = m.group_id WHERE m.tenant_id = ";
/// Notes of requests that are not waiting.
pub(crate) const STALE_NOTES: &str = "FROM deferred_outcome o LEFT JOIN deferred d ON d.tenant_id = o.tenant_id AND \
     d.request_id = o.request_id AND d.expires_at IS NULL WHERE d.request_id IS NULL AND o.tenant_id = ";

/// A resource that is to be looked at again, is not there, and is not to be erased either.
pub(crate) const NOT_DUE: &str = "FROM due d LEFT JOIN resource r ON r.tenant_id = d.tenant_id AND \
     r.resource_id = d.resource_id LEFT JOIN erasure e ON e.tenant_id = d.tenant_id AND \
     e.resource_id = d.resource_id WHERE r.resource_id IS NULL AND e.resource_id IS NULL AND d.tenant_id = ";
/// What a feed has said that is not there.
const SAID_BY_NOBODY: &str = "FROM feed_record f LEFT JOIN resource r ON r.tenant_id = f.tenant_id AND \
     r.resource_id = f.feed_id AND r.kind = 'Feed' WHERE r.resource_id IS NULL AND f.tenant_id = ";
/// What a run, or a simulation, has left that is not there.
const LEFT_BY_NOBODY: &str = "FROM (SELECT DISTINCT tenant_id, run_id FROM run_item) i LEFT JOIN resource r ON \
     r.tenant_id = i.tenant_id AND r.resource_id = i.run_id WHERE r.resource_id IS NULL AND i.tenant_id = ";
/// A right that somebody holds who is not there.
const HELD_BY_NOBODY: &str = "FROM grant_ h LEFT JOIN resource r ON r.tenant_id = h.tenant_id AND \
     r.resource_id = h.user_id WHERE r.resource_id IS NULL AND h.until IS NULL AND h.tenant_id = ";

/// Two ids of each row that a condition finds, at most a thousand.
pub(crate) fn pairs(
    db: &mut Db,
    tenant: TenantId,
    columns: &'static str,
    condition: &'static str,
) -> Result<Vec<(ResourceId, ResourceId)>, Error> {
    let rows = Statement::<(Binary, Binary)>::new("SELECT ")
        .sql(columns)
        .sql(" ")
        .sql(condition)
        .bind(tenant)
        .sql(" LIMIT ")
        .bind(ROWS)
        .load::<(Vec<u8>, Vec<u8>)>(db)?;
    rows.into_iter().map(|(one, other)| Ok((resource_id(&one)?, resource_id(&other)?))).collect()
}

impl Check<'_, '_> {
    pub(super) fn references(&mut self, clock: &Clock) -> Result<(), Error> {
        (self.watch)("References", 0, 1);
        for (id, domain) in self.pairs("e.resource_id, e.domain_id", ORPHANED)? {
            self.find("external_id", format!("of {id} in domain {domain}: it is not there"));
        }
        for (group, member) in self.pairs("m.group_id, m.member_id", DANGLING)? {
            self.find("membership", format!("of {member} in {group}: one of them is not there"));
        }
        for (group, _) in self.pairs("s.group_id, s.group_id", SWEPT_ALIVE)? {
            self.find("sweep", format!("{group} lives, and its members are to be cleared"));
        }
        for (member, group) in self.pairs("m.member_id, m.group_id", UNTOUCHED)? {
            self.find("resource", format!("{member} does not know of having joined {group}"));
        }
        for (request, _) in self.pairs("o.request_id, o.request_id", STALE_NOTES)? {
            self.find("deferred_outcome", format!("of request {request}, which does not wait"));
        }
        for (feed, resource) in self.pairs("f.feed_id, f.resource_id", SAID_BY_NOBODY)? {
            self.find("feed_record", format!("of {resource} by feed {feed}, which is not there"));
        }
        for (run, _) in self.pairs("i.run_id, i.run_id", LEFT_BY_NOBODY)? {
            self.find("run_item", format!("of run {run}, which is not there"));
        }
        // What stands for everybody is nobody's row.
        for (id, _) in
            self.pairs("d.resource_id, d.resource_id", NOT_DUE)?.into_iter().filter(|(id, _)| *id != ResourceId::SYSTEM)
        {
            self.find("due", format!("{id} is not there"));
        }
        for (user, target) in self.pairs("h.user_id, h.target_id", HELD_BY_NOBODY)? {
            self.find("grant_", format!("of {target} to {user}, who is not there, has not ended"));
        }
        self.doubled_externals()?;
        self.ahead(clock)?;
        (self.watch)("References", 1, 1);
        Ok(())
    }

    fn pairs(&mut self, columns: &'static str, from: &'static str) -> Result<Vec<(ResourceId, ResourceId)>, Error> {
        pairs(&mut self.reader.db, self.tenant, columns, from)
    }

    /// A domain gives a resource one `externalId`.
    fn doubled_externals(&mut self) -> Result<(), Error> {
        let rows = Statement::<(Binary, Binary, BigInt)>::new(
            "SELECT resource_id, domain_id, COUNT(*) FROM external_id WHERE tenant_id = ",
        )
        .bind(self.tenant)
        .sql(" GROUP BY resource_id, domain_id HAVING COUNT(*) > 1 LIMIT ")
        .bind(ROWS)
        .load::<(Vec<u8>, Vec<u8>, i64)>(&mut self.reader.db)?;
        for (id, domain, count) in rows {
            let (id, domain) = (resource_id(&id)?, resource_id(&domain)?);
            self.find("external_id", format!("{id} has {count} in domain {domain}"));
        }
        Ok(())
    }

    /// Nothing is newer than the clock.
    fn ahead(&mut self, clock: &Clock) -> Result<(), Error> {
        let resources = Statement::<BigInt>::new("SELECT COUNT(*) FROM resource WHERE tenant_id = ")
            .bind(self.tenant)
            .sql(" AND (seq > ")
            .bind(clock.seq)
            .sql(" OR groups_seq > ")
            .bind(clock.seq)
            .sql(" OR modified_at > ")
            .bind(clock.last_at)
            .sql(")")
            .get_result::<i64>(&mut self.reader.db)?;
        let memberships = Statement::<BigInt>::new("SELECT COUNT(*) FROM membership WHERE tenant_id = ")
            .bind(self.tenant)
            .sql(" AND since_seq > ")
            .bind(clock.seq)
            .get_result::<i64>(&mut self.reader.db)?;
        for (table, count) in [("resource", resources), ("membership", memberships)] {
            if count > 0 {
                self.find(table, format!("{count} are newer than the clock, which stands at {}", clock.seq));
            }
        }
        if clock.book_seq > clock.seq {
            self.find("tenant_clock", format!("book {} is newer than change {}", clock.book_seq, clock.seq));
        }
        if clock.nesting_seq > clock.seq {
            self.find("tenant_clock", format!("nesting {} is newer than change {}", clock.nesting_seq, clock.seq));
        }
        Ok(())
    }
}

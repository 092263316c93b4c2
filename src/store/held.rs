//! What many resources hold, for who asks about everybody: a slice of them, their direct groups, their grants, and who made
//! the changes that put them there. A few statements for hundreds, never one for each. Reads only.

use std::collections::HashMap;

use diesel::sql_types::{BigInt, Binary};

use crate::change::{ByRow, ByTypes, HeaderRow, HeaderTypes, read_header};
use crate::reader::Reader;
use crate::record::resource_id;
use crate::statement::{LIST, Statement};
use crate::{Change, Error, Grant, Record, ResourceId, Seq, TenantId, grant, record};

/// A direct membership of a living group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holding {
    /// Who is in it.
    pub member: ResourceId,
    /// The group.
    pub group: ResourceId,
    /// Number of the change that put the member there.
    pub since: Seq,
}

impl Reader {
    /// The next resources of a kind in id order, at most `limit`.
    pub fn records_after(
        &mut self,
        tenant: TenantId,
        kind: &str,
        after: Option<ResourceId>,
        limit: i64,
    ) -> Result<Vec<Record>, Error> {
        record::slice(&mut self.db, tenant, kind, after, limit)
    }

    /// The living groups that each of these is a direct member of.
    pub fn holdings(&mut self, tenant: TenantId, members: &[ResourceId]) -> Result<Vec<Holding>, Error> {
        let mut found = Vec::new();
        for members in members.chunks(LIST) {
            let rows = Statement::<(Binary, Binary, BigInt)>::new(
                "SELECT m.member_id, m.group_id, m.since_seq FROM membership m \
                 JOIN resource g ON g.tenant_id = m.tenant_id AND g.resource_id = m.group_id WHERE m.tenant_id = ",
            )
            .bind(tenant)
            .sql(" AND m.member_id IN ")
            .list(members.iter().copied())
            .sql(" ORDER BY m.member_id, m.group_id")
            .load::<(Vec<u8>, Vec<u8>, i64)>(&mut self.db)?;
            for (member, group, since) in rows {
                found.push(Holding { member: resource_id(&member)?, group: resource_id(&group)?, since });
            }
        }
        Ok(found)
    }

    /// Every grant of each of these users, ended ones too, in the order of their keys.
    pub fn grants_of_all(&mut self, tenant: TenantId, users: &[ResourceId]) -> Result<Vec<Grant>, Error> {
        let mut found = Vec::new();
        for users in users.chunks(LIST) {
            found.extend(grant::of_users(&mut self.db, tenant, users)?);
        }
        Ok(found)
    }

    /// Type and name of each of these that exists.
    pub fn named(
        &mut self,
        tenant: TenantId,
        ids: &[ResourceId],
    ) -> Result<HashMap<ResourceId, (String, String)>, Error> {
        record::kinds(&mut self.db, tenant, ids)
    }

    /// The changes of these numbers, without their content.
    pub fn headers(&mut self, tenant: TenantId, numbers: &[Seq]) -> Result<HashMap<Seq, Change>, Error> {
        let mut found = HashMap::with_capacity(numbers.len());
        for numbers in numbers.chunks(LIST) {
            let rows = Statement::<(HeaderTypes, ByTypes)>::new(
                "SELECT seq, resource_id, kind, op, version, at, actor, txn, cause, credential, address, request \
                 FROM change WHERE tenant_id = ",
            )
            .bind(tenant)
            .sql(" AND seq IN ")
            .list(numbers.iter().copied())
            .load::<(HeaderRow, ByRow)>(&mut self.db)?;
            for (header, by) in rows {
                let change = read_header(tenant, header, by)?;
                found.insert(change.seq, change);
            }
        }
        Ok(found)
    }
}

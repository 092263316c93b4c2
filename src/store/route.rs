//! Where to look when a request shows something that names no tenant: a certificate, an issuer, a host name. Besides the
//! tenants themselves the one table without a tenant prefix; a key belongs to one tenant only.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};

use crate::db::Db;
use crate::record::resource_id;
use crate::statement::{Statement, insert};
use crate::{Error, ResourceId, TenantId};

/// Keys that one statement removes.
const RUN: usize = 500;

/// What a key leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The tenant.
    pub tenant: TenantId,
    /// What of the tenant, such as a client; `None`: the tenant itself.
    pub target: Option<ResourceId>,
}

type Row = (i64, Option<Vec<u8>>);
type Types = (BigInt, Nullable<Binary>);

/// Where the key leads.
pub(crate) fn find(db: &mut Db, key: &str) -> Result<Option<Route>, Error> {
    let row = Statement::<Types>::new("SELECT tenant_id, target FROM route WHERE key = ")
        .bind(key)
        .get_result::<Row>(db)
        .optional()?;
    row.map(|(tenant, target)| {
        let target = target.map(|target| resource_id(&target)).transpose()?;
        Ok(Route { tenant: TenantId(tenant), target })
    })
    .transpose()
}

/// Whether any key begins with `prefix`, in which nothing has a meaning for LIKE. The order of texts differs between
/// databases, so no range is asked for; there are few keys.
pub(crate) fn any(db: &mut Db, prefix: &str) -> Result<bool, Error> {
    let found = Statement::<Text>::new("SELECT key FROM route WHERE key LIKE ")
        .bind(format!("{prefix}%"))
        .sql(" LIMIT 1")
        .get_result::<String>(db)
        .optional()?;
    Ok(found.is_some())
}

/// The keys that lead to a tenant, in order, each with what of it.
pub(crate) fn of_tenant(db: &mut Db, tenant: TenantId) -> Result<Vec<(String, Option<ResourceId>)>, Error> {
    let rows = Statement::<(Text, Nullable<Binary>)>::new("SELECT key, target FROM route WHERE tenant_id = ")
        .bind(tenant)
        .sql(" ORDER BY key")
        .load::<(String, Option<Vec<u8>>)>(db)?;
    rows.into_iter().map(|(key, target)| Ok((key, target.map(|target| resource_id(&target)).transpose()?))).collect()
}

/// Writes what became of a tenant's keys; `None` takes one away. A key of another tenant stays as it is, and the statement
/// fails.
pub(crate) fn store(
    db: &mut Db,
    tenant: TenantId,
    changes: impl IntoIterator<Item = (String, Option<Option<ResourceId>>)>,
) -> Result<(), Error> {
    let (mut gone, mut rows) = (Vec::new(), Vec::new());
    for (key, target) in changes {
        // Taken away first in any case, so that an own key may lead elsewhere while another tenant's is refused.
        gone.push(key.clone());
        if let Some(target) = target {
            rows.push(vec![key.into(), tenant.into(), target.map(|id| id.0.as_bytes().to_vec()).into()]);
        }
    }
    for run in gone.chunks(RUN) {
        let mut remove = Statement::<()>::new("DELETE FROM route WHERE tenant_id = ").bind(tenant).sql(" AND key IN (");
        for (place, key) in run.iter().enumerate() {
            remove = remove.sql(if place == 0 { "" } else { ", " }).bind(key.as_str());
        }
        remove.sql(")").run(db)?;
    }
    insert(db, "INSERT INTO route (key, tenant_id, target)", rows, "")?;
    Ok(())
}

//! Unique keys: one row for each value that only one resource of a namespace may hold.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary};
use sha2::{Digest, Sha256};

use crate::db::Db;
use crate::fixed::{self, Writing};
use crate::record::resource_id;
use crate::statement::{Statement, Value, delete, insert};
use crate::{Error, ResourceId, TenantId};

/// A value within a namespace. Never cut: a value too long for an index entry becomes a prefix and its digest.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct UniqueKey {
    pub(crate) namespace: String,
    pub(crate) value: String,
}

/// Longest value stored as it is, in bytes.
const WHOLE: usize = 512;

impl UniqueKey {
    /// The key of a namespace and an order-preserving value key (`scim::key`).
    pub(crate) fn new(namespace: &str, value: &str) -> Self {
        let value = if value.len() <= WHOLE {
            value.to_owned()
        } else {
            let digest: String = Sha256::digest(value).iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{}\u{1}{digest}", scim::key::cut(value))
        };
        UniqueKey { namespace: namespace.to_owned(), value }
    }

    fn row(&self, tenant: TenantId) -> Vec<Value> {
        vec![tenant.into(), self.namespace.as_str().into(), self.value.as_str().into()]
    }
}

/// Who holds the key.
pub(crate) fn holder(db: &mut Db, tenant: TenantId, key: &UniqueKey) -> Result<Option<ResourceId>, Error> {
    Statement::<Binary>::new("SELECT resource_id FROM unique_key WHERE tenant_id = ")
        .bind(tenant)
        .sql(" AND namespace = ")
        .bind(key.namespace.as_str())
        .sql(" AND value = ")
        .bind(key.value.as_str())
        .fixed::<Find>()
        .get_result::<Vec<u8>>(db)
        .optional()?
        .map(|id| resource_id(&id))
        .transpose()
}

/// The statement that finds who holds a key.
struct Find;

/// Stores what became of each key: a holder, or nobody.
pub(crate) fn store(
    db: &mut Db,
    tenant: TenantId,
    mut keys: Vec<(UniqueKey, Option<ResourceId>)>,
) -> Result<(), Error> {
    keys.sort_unstable();
    let freed = keys.iter().filter(|(_, holder)| holder.is_none()).map(|(key, _)| key.row(tenant)).collect();
    delete(db, "unique_key", &["tenant_id", "namespace", "value"], freed)?;
    let rows = keys
        .iter()
        .filter_map(|(key, holder)| {
            let mut row = key.row(tenant);
            row.push((*holder)?.into());
            Some(row)
        })
        .collect();
    // One that was let go and taken within the batch has its old holder still.
    fixed::insert::<Held>(db, rows)?;
    Ok(())
}

/// Keys, and who holds them now.
struct Held;

impl Writing for Held {
    const INTO: &'static str = "unique_key (tenant_id, namespace, value, resource_id)";
    const TAIL: &'static str =
        " ON CONFLICT (tenant_id, namespace, value) DO UPDATE SET resource_id = excluded.resource_id";
}

/// Writes new keys; fails when one of them is held.
pub(crate) fn add(db: &mut Db, tenant: TenantId, keys: Vec<(UniqueKey, ResourceId)>) -> Result<(), Error> {
    let row = |(key, id): (UniqueKey, ResourceId)| {
        let mut row = key.row(tenant);
        row.push(id.into());
        row
    };
    let head = "INSERT INTO unique_key (tenant_id, namespace, value, resource_id)";
    insert(db, head, keys.into_iter().map(row).collect(), "")?;
    Ok(())
}

/// How many keys of a namespace begin with a text; it is not empty, and its last letter is ASCII.
pub(crate) fn beginning(db: &mut Db, tenant: TenantId, namespace: &str, prefix: &str) -> Result<i64, Error> {
    let mut after = prefix.to_owned();
    let last = after.pop().filter(char::is_ascii).and_then(|last| char::from_u32(u32::from(last) + 1));
    after.extend(last);
    let statement = Statement::<BigInt>::new("SELECT COUNT(*) FROM unique_key WHERE tenant_id = ").bind(tenant);
    let statement = statement.sql(" AND namespace = ").bind(namespace).sql(" AND value >= ").bind(prefix);
    statement.sql(" AND value < ").bind(after.as_str()).get_result::<i64>(db).map_err(Error::from)
}

/// Lets go of every key of a namespace.
pub(crate) fn clear(db: &mut Db, tenant: TenantId, namespace: &str) -> Result<(), Error> {
    let clear = Statement::<()>::new("DELETE FROM unique_key WHERE tenant_id = ").bind(tenant);
    clear.sql(" AND namespace = ").bind(namespace).run(db)?;
    Ok(())
}

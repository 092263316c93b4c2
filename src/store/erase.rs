//! Erasing a tenant: all that it has goes, slice by slice so that nobody else waits long, and in an order in which nothing
//! new can come to be. What was begun is finished by doing it again. Only the tenant's number stays, as a row without a
//! name, and one entry in its audit, which tells that it was erased: the number is never given to another, so that nothing that was handed out or is remembered leads to another's data.

use crate::audit::Entry;
use crate::db::Db;
use crate::statement::Statement;
use crate::{Error, Random, TenantId, audit, dialect};

/// Rows that go at a time.
const SLICE: i64 = 2_000;

/// A tenant that is being erased.
pub const ERASING: &str = "erasing";
/// A tenant of which only the number is left.
pub const ERASED: &str = "erased";

/// Every table of tenants with its key. The clock is the first: without it nothing can be written.
const TABLES: [(&str, &str); 29] = [
    ("tenant_clock", "tenant_id"),
    ("route", "key"),
    ("credential", "credential_id"),
    ("seal_key", "purpose"),
    ("sealing_key", "purpose, key_id"),
    ("deferred", "request_id"),
    ("deferred_outcome", "request_id, place"),
    ("idempotency", "client_id, key"),
    ("feed_record", "feed_id, kind, key"),
    ("run_item", "run_id, list, place"),
    ("import_state", "tenant_id"),
    ("lease", "name"),
    ("guard_count", "client_id, sort, hour"),
    ("guard_pass", "client_id, sort"),
    ("due", "resource_id"),
    ("grant_", "user_id, target_id, ground_kind, ground_id, since"),
    ("tombstone", "namespace, value"),
    ("erasure", "resource_id"),
    ("sweep", "group_id"),
    ("membership", "group_id, member_id"),
    ("unique_key", "namespace, value"),
    ("external_id", "domain_id, kind, value"),
    ("attr_index", "path_id, value, resource_id"),
    ("attr_path", "path_id"),
    ("resource", "resource_id"),
    ("change_member", "seq, chunk"),
    ("change", "seq"),
    ("audit", "n"),
    ("audit_head", "tenant_id"),
];

/// Erases what the tenant has and leaves `act`, which tells of it; `told` hears how many rows have gone so far. Fails with
/// [`Error::NotFound`] when there is no such tenant, or no more than its number.
pub(crate) fn erase(
    db: &mut Db,
    tenant: TenantId,
    act: Entry,
    random: &Random,
    mut told: impl FnMut(u64),
) -> Result<u64, Error> {
    let found = Statement::<()>::new("UPDATE tenant SET state = ")
        .bind(ERASING)
        .sql(" WHERE tenant_id = ")
        .bind(tenant)
        .sql(" AND state <> ")
        .bind(ERASED);
    if found.run(db)? == 0 {
        return Err(Error::NotFound);
    }
    let mut gone = 0;
    for (table, key) in TABLES {
        loop {
            dialect::begin_write(db)?;
            let slice = Statement::<()>::new(format!("DELETE FROM {table} WHERE tenant_id = "))
                .bind(tenant)
                .sql(format!(" AND ({key}) IN (SELECT {key} FROM {table} WHERE tenant_id = "))
                .bind(tenant)
                .sql(" LIMIT ")
                .bind(SLICE)
                .sql(")")
                .run(db);
            let rows = match slice {
                Ok(rows) => rows,
                Err(error) => {
                    dialect::rollback(db);
                    return Err(error.into());
                }
            };
            dialect::commit(db)?;
            gone += rows as u64;
            told(gone);
            if (rows as i64) < SLICE {
                break;
            }
        }
    }
    dialect::begin_write(db)?;
    match conclude(db, tenant, act, random) {
        Ok(()) => dialect::commit(db)?,
        Err(error) => {
            dialect::rollback(db);
            return Err(error);
        }
    }
    Ok(gone)
}

/// Takes the name away, and begins the audit anew with what was done.
fn conclude(db: &mut Db, tenant: TenantId, act: Entry, random: &Random) -> Result<(), Error> {
    Statement::<()>::new("UPDATE tenant SET slug = ")
        .bind(format!("{ERASED}:{}", tenant.0))
        .sql(", name = '', state = ")
        .bind(ERASED)
        .sql(" WHERE tenant_id = ")
        .bind(tenant)
        .run(db)?;
    audit::append(db, tenant, vec![act], random)
}

#[cfg(test)]
mod tests {
    use super::TABLES;

    #[test]
    fn every_table_of_tenants_is_erased() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations/sqlite");
        let mut of_tenants = Vec::new();
        for migration in std::fs::read_dir(folder).expect("the migrations") {
            let text = std::fs::read_to_string(migration.expect("a migration").path().join("up.sql")).expect("up.sql");
            for table in text.split("CREATE TABLE ").skip(1) {
                let (name, columns) = table.split_once('(').expect("columns");
                let columns = columns.split(");").next().unwrap_or_default();
                if columns.contains("tenant_id") && name.trim() != "tenant" {
                    of_tenants.push(name.trim().to_owned());
                }
            }
        }
        of_tenants.sort();
        // One that was laid out anew.
        of_tenants.dedup();
        let mut erased: Vec<_> = TABLES.iter().map(|(table, _)| (*table).to_owned()).collect();
        erased.sort();
        assert_eq!(of_tenants, erased);
    }
}

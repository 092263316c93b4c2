//! Who looks after a tenant for a while. A lease keeps several processes from doing the same work at the same time; that
//! nothing is done twice does not hang on it.

use uuid::Uuid;

use crate::db::{Db, Purpose};
use crate::statement::Statement;
use crate::store::Store;
use crate::{Error, TenantId};

impl Store {
    /// Takes a lease of that name until `until`, or prolongs it; `false`: somebody else has it at `now` (µs since 1970).
    /// Blocks for one statement.
    pub fn take_lease(&self, tenant: TenantId, name: &str, holder: Uuid, now: i64, until: i64) -> Result<bool, Error> {
        let mut db = Db::open(self.address(), Purpose::Write).map_err(|error| Error::Unavailable(error.to_string()))?;
        let taken = Statement::<()>::new("INSERT INTO lease (tenant_id, name, holder, until) VALUES (")
            .bind(tenant)
            .sql(", ")
            .bind(name)
            .sql(", ")
            .bind(holder.as_bytes().to_vec())
            .sql(", ")
            .bind(until)
            .sql(
                ") ON CONFLICT (tenant_id, name) DO UPDATE SET holder = excluded.holder, until = excluded.until \
                 WHERE lease.tenant_id = excluded.tenant_id AND (lease.holder = excluded.holder OR lease.until <= ",
            )
            .bind(now)
            .sql(")")
            .run(&mut db)?;
        Ok(taken > 0)
    }

    /// Gives a lease back.
    pub fn drop_lease(&self, tenant: TenantId, name: &str, holder: Uuid) -> Result<(), Error> {
        let mut db = Db::open(self.address(), Purpose::Write).map_err(|error| Error::Unavailable(error.to_string()))?;
        Statement::<()>::new("DELETE FROM lease WHERE tenant_id = ")
            .bind(tenant)
            .sql(" AND name = ")
            .bind(name)
            .sql(" AND holder = ")
            .bind(holder.as_bytes().to_vec())
            .run(&mut db)?;
        Ok(())
    }
}

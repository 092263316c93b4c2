//! Of whom nothing is kept any more: a list of ids and instants that says nothing else of anybody, and so may stay for ever,
//! and what of a resource's past is taken away, a slice at a time. The header of a change and its link in the chain stay:
//! content and salt go together, so that the chain verifies as before.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};

use crate::db::Db;
use crate::reader::Reader;
use crate::record::resource_id;
use crate::statement::{Statement, delete, insert};
use crate::{Error, ResourceId, Seq, TenantId};

/// Something of which nothing is to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erasure {
    /// Its resource type.
    pub kind: String,
    /// Since when it is to be erased, µs since 1970.
    pub at: i64,
    /// When it was looked for in what runs and simulations have left; `None`: not yet.
    pub runs_at: Option<i64>,
    /// When nothing was left but evidence that is kept; `None`: not yet.
    pub done_at: Option<i64>,
}

impl Erasure {
    /// One of which nothing is done yet.
    pub fn new(kind: &str, at: i64) -> Self {
        Erasure { kind: kind.to_owned(), at, runs_at: None, done_at: None }
    }
}

type Types = (Binary, Text, BigInt, Nullable<BigInt>, Nullable<BigInt>);
type Row = (Vec<u8>, String, i64, Option<i64>, Option<i64>);

const SELECT: &str = "SELECT resource_id, kind, at, runs_at, done_at FROM erasure WHERE tenant_id = ";

fn from_row((id, kind, at, runs_at, done_at): Row) -> Result<(ResourceId, Erasure), Error> {
    Ok((resource_id(&id)?, Erasure { kind, at, runs_at, done_at }))
}

/// How far the erasure of a resource has come; `None`: it is not to be erased.
pub(crate) fn find(db: &mut Db, tenant: TenantId, id: ResourceId) -> Result<Option<Erasure>, Error> {
    let found = Statement::<Types>::new(SELECT).bind(tenant).sql(" AND resource_id = ").bind(id);
    Ok(found.get_result::<Row>(db).optional()?.map(from_row).transpose()?.map(|(_, erasure)| erasure))
}

/// A slice of a tenant's erasures in the order of ids.
pub(crate) fn slice(
    db: &mut Db,
    tenant: TenantId,
    after: Option<ResourceId>,
    limit: i64,
) -> Result<Vec<(ResourceId, Erasure)>, Error> {
    let mut rows = Statement::<Types>::new(SELECT).bind(tenant);
    if let Some(after) = after {
        rows = rows.sql(" AND resource_id > ").bind(after);
    }
    let rows = rows.sql(" ORDER BY resource_id LIMIT ").bind(limit);
    rows.load::<Row>(db)?.into_iter().map(from_row).collect()
}

/// Writes erasures, new ones and how far others have come.
pub(crate) fn store(
    db: &mut Db,
    tenant: TenantId,
    erasures: impl IntoIterator<Item = (ResourceId, Erasure)>,
) -> Result<(), Error> {
    let rows = erasures.into_iter().map(|(id, Erasure { kind, at, runs_at, done_at })| {
        vec![tenant.into(), id.into(), kind.into(), at.into(), runs_at.into(), done_at.into()]
    });
    insert(
        db,
        "INSERT INTO erasure (tenant_id, resource_id, kind, at, runs_at, done_at)",
        rows.collect(),
        "ON CONFLICT (tenant_id, resource_id) DO UPDATE SET runs_at = excluded.runs_at, done_at = excluded.done_at",
    )?;
    Ok(())
}

/// Takes content and salt of the oldest changes of a resource that have them, of at most `limit`. Of how many that was.
pub(crate) fn changes(db: &mut Db, tenant: TenantId, id: ResourceId, limit: i64) -> Result<usize, Error> {
    let seqs = Statement::<BigInt>::new("SELECT seq FROM change WHERE tenant_id = ")
        .bind(tenant)
        .sql(" AND resource_id = ")
        .bind(id)
        .sql(" AND salt IS NOT NULL ORDER BY seq LIMIT ")
        .bind(limit)
        .load::<i64>(db)?;
    let (Some(first), Some(last)) = (seqs.first().copied(), seqs.last().copied()) else { return Ok(0) };
    within("DELETE FROM change_member WHERE tenant_id = ", tenant, (first, last))
        .sql(" AND seq IN (SELECT seq FROM change WHERE tenant_id = ")
        .bind(tenant)
        .sql(" AND resource_id = ")
        .bind(id)
        .sql(")")
        .run(db)?;
    within(
        "UPDATE change SET doc = NULL, external = NULL, secret = NULL, salt = NULL, credential = NULL, address = NULL, \
         request = NULL WHERE tenant_id = ",
        tenant,
        (first, last),
    )
    .sql(" AND resource_id = ")
    .bind(id)
    .run(db)?;
    Ok(seqs.len())
}

fn within(head: &'static str, tenant: TenantId, (first, last): (Seq, Seq)) -> Statement<()> {
    Statement::<()>::new(head).bind(tenant).sql(" AND seq >= ").bind(first).sql(" AND seq <= ").bind(last)
}

/// Takes away every right that somebody had, and what tells of it.
pub(crate) fn grants(db: &mut Db, tenant: TenantId, user: ResourceId) -> Result<(), Error> {
    Statement::<()>::new("DELETE FROM grant_ WHERE tenant_id = ")
        .bind(tenant)
        .sql(" AND user_id = ")
        .bind(user)
        .run(db)?;
    Ok(())
}

/// What feeds have said of a resource: which feed, its type, the key, and what became of it.
pub(crate) type Said = (Vec<u8>, String, String, String);

/// What feeds have said of a resource.
pub(crate) fn said(db: &mut Db, tenant: TenantId, id: ResourceId) -> Result<Vec<Said>, Error> {
    Ok(Statement::<(Binary, Text, Text, Text)>::new(
        "SELECT feed_id, kind, key, op FROM feed_record WHERE tenant_id = ",
    )
    .bind(tenant)
    .sql(" AND resource_id = ")
    .bind(id)
    .load::<Said>(db)?)
}

/// Forgets that feeds have said something.
pub(crate) fn unsay(db: &mut Db, tenant: TenantId, said: Vec<Said>) -> Result<(), Error> {
    let keys = said.into_iter().map(|(feed, kind, key, _)| vec![tenant.into(), feed.into(), kind.into(), key.into()]);
    delete(db, "feed_record", &["tenant_id", "feed_id", "kind", "key"], keys.collect())?;
    Ok(())
}

/// A place in what runs have left: the run, the list, where in it.
pub type Left = (ResourceId, String, i64);

/// Forgets places of what runs have left.
pub(crate) fn unleave(db: &mut Db, tenant: TenantId, left: &[Left]) -> Result<(), Error> {
    let keys = left.iter();
    let keys = keys.map(|(run, list, place)| vec![tenant.into(), (*run).into(), list.as_str().into(), (*place).into()]);
    delete(db, "run_item", &["tenant_id", "run_id", "list", "place"], keys.collect())?;
    Ok(())
}

impl Reader {
    /// How far the erasure of a resource has come; `None`: it is not to be erased.
    pub fn erasure(&mut self, tenant: TenantId, id: ResourceId) -> Result<Option<Erasure>, Error> {
        find(&mut self.db, tenant, id)
    }

    /// Erasures that were not looked for in what runs have left, at most `limit`.
    pub fn erasures_begun(&mut self, tenant: TenantId, limit: i64) -> Result<Vec<(ResourceId, Erasure)>, Error> {
        let rows = Statement::<Types>::new(SELECT).bind(tenant).sql(" AND runs_at IS NULL ORDER BY resource_id LIMIT ");
        rows.bind(limit).load::<Row>(&mut self.db)?.into_iter().map(from_row).collect()
    }

    /// A slice of a tenant's erasures in the order of ids, after one.
    pub fn erasures(
        &mut self,
        tenant: TenantId,
        after: Option<ResourceId>,
        limit: i64,
    ) -> Result<Vec<(ResourceId, Erasure)>, Error> {
        slice(&mut self.db, tenant, after, limit)
    }

    /// What a resource was last said to be: the type and the newest document that its changes have. `None`: there never was
    /// one.
    pub fn last_said(&mut self, tenant: TenantId, id: ResourceId) -> Result<Option<(String, Option<String>)>, Error> {
        Ok(Statement::<(Text, Nullable<Text>)>::new("SELECT kind, doc FROM change WHERE tenant_id = ")
            .bind(tenant)
            .sql(" AND resource_id = ")
            .bind(id)
            .sql(" ORDER BY CASE WHEN doc IS NULL THEN 1 ELSE 0 END, seq DESC LIMIT 1")
            .get_result::<(String, Option<String>)>(&mut self.db)
            .optional()?)
    }

    /// By which keys of theirs sources knew a resource: externalIds that it ever had, and keys of feeds.
    pub fn keys_of_sources(&mut self, tenant: TenantId, id: ResourceId) -> Result<Vec<String>, Error> {
        let externals =
            Statement::<Text>::new("SELECT DISTINCT external FROM change WHERE external IS NOT NULL AND tenant_id = ")
                .bind(tenant)
                .sql(" AND resource_id = ")
                .bind(id)
                .load::<String>(&mut self.db)?;
        let mut keys = Vec::new();
        for external in externals {
            let external: serde_json::Value =
                serde_json::from_str(&external).map_err(|error| Error::Corrupt(error.to_string()))?;
            keys.extend(external.get("value").and_then(serde_json::Value::as_str).map(str::to_owned));
        }
        keys.extend(said(&mut self.db, tenant, id)?.into_iter().map(|(_, _, key, _)| key));
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }

    /// What a run has left but for files, in the order of lists and places, after one; at most `limit`.
    pub fn left_by(
        &mut self,
        tenant: TenantId,
        run: ResourceId,
        files: &str,
        after: Option<(String, i64)>,
        limit: i64,
    ) -> Result<Vec<(String, i64, Vec<u8>)>, Error> {
        let mut rows =
            Statement::<(Text, BigInt, Binary)>::new("SELECT list, place, body FROM run_item WHERE tenant_id = ")
                .bind(tenant)
                .sql(" AND run_id = ")
                .bind(run)
                .sql(" AND list <> ")
                .bind(files);
        if let Some((list, place)) = after {
            rows = rows.sql(" AND (list, place) > (").bind(list).sql(", ").bind(place).sql(")");
        }
        let rows = rows.sql(" ORDER BY list, place LIMIT ").bind(limit);
        Ok(rows.load::<(String, i64, Vec<u8>)>(&mut self.db)?)
    }
}

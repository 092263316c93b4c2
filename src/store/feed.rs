//! What a feed has said so far, key by key, and what belongs to one run of it. A row of the first is written in the
//! transaction of the resource it is about, so that a run which broke off goes on where it was. What a run holds is sealed
//! by the caller; here it is bytes.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};

use crate::db::Db;
use crate::record::resource_id;
use crate::statement::{Statement, insert};
use crate::{Error, Reader, ResourceId, TenantId};

/// What names one resource in a feed: the feed, the resource type, the source's own key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FeedKey {
    /// The feed.
    pub feed: ResourceId,
    /// Name of the resource type.
    pub kind: String,
    /// The source's own key.
    pub key: String,
}

/// What a feed last said about one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedRecord {
    /// The resource that it became.
    pub resource: ResourceId,
    /// A digest of what it said.
    pub digest: Vec<u8>,
    /// The run that wrote this.
    pub run: ResourceId,
    /// What the run did, in the caller's words.
    pub op: String,
    /// What it names that leads nowhere yet, as the caller writes it; `None`: nothing.
    pub open: Option<String>,
}

/// A run, one of its lists, and where in it.
type Place = (ResourceId, &'static str, i64);
type Types = (Text, Text, Binary, Binary, Binary, Text, Nullable<Text>);
type Row = (String, String, Vec<u8>, Vec<u8>, Vec<u8>, String, Option<String>);

const SELECT: &str = "SELECT kind, key, resource_id, digest, run_id, op, open FROM feed_record WHERE tenant_id = ";

fn from_row(feed: ResourceId, row: Row) -> Result<(FeedKey, FeedRecord), Error> {
    let (kind, key, resource, digest, run, op, open) = row;
    let record = FeedRecord { resource: resource_id(&resource)?, digest, run: resource_id(&run)?, op, open };
    Ok((FeedKey { feed, kind, key }, record))
}

/// What a feed last said about a key.
pub(crate) fn find(db: &mut Db, tenant: TenantId, key: &FeedKey) -> Result<Option<FeedRecord>, Error> {
    let found = Statement::<Types>::new(SELECT)
        .bind(tenant)
        .sql(" AND feed_id = ")
        .bind(key.feed)
        .sql(" AND kind = ")
        .bind(key.kind.as_str())
        .sql(" AND key = ")
        .bind(key.key.as_str())
        .get_result::<Row>(db)
        .optional()?;
    found.map(|row| Ok(from_row(key.feed, row)?.1)).transpose()
}

/// The next `limit` records of a feed in the order of their keys. With `open`, those alone that name what is not there.
pub(crate) fn page(
    db: &mut Db,
    tenant: TenantId,
    feed: ResourceId,
    after: Option<&FeedKey>,
    (open, limit): (bool, i64),
) -> Result<Vec<(FeedKey, FeedRecord)>, Error> {
    let mut statement = Statement::<Types>::new(SELECT).bind(tenant).sql(" AND feed_id = ").bind(feed);
    if open {
        statement = statement.sql(" AND open IS NOT NULL");
    }
    if let Some(after) = after {
        statement =
            statement.sql(" AND (kind, key) > (").bind(after.kind.as_str()).sql(", ").bind(after.key.as_str()).sql(")");
    }
    let rows = statement.sql(" ORDER BY kind, key LIMIT ").bind(limit).load::<Row>(db)?;
    rows.into_iter().map(|row| from_row(feed, row)).collect()
}

/// One slice of the records of all feeds, in the order of feeds and keys.
pub(crate) fn slice(
    db: &mut Db,
    tenant: TenantId,
    after: Option<&FeedKey>,
    limit: i64,
) -> Result<Vec<(FeedKey, FeedRecord)>, Error> {
    type Whole = (Binary, Text, Text, Binary, Binary, Binary, Text, Nullable<Text>);
    type WholeRow = (Vec<u8>, String, String, Vec<u8>, Vec<u8>, Vec<u8>, String, Option<String>);
    let mut statement = Statement::<Whole>::new(
        "SELECT feed_id, kind, key, resource_id, digest, run_id, op, open FROM feed_record WHERE tenant_id = ",
    )
    .bind(tenant);
    if let Some(after) = after {
        statement = statement.sql(" AND (feed_id, kind, key) > (").bind(after.feed).sql(", ");
        statement = statement.bind(after.kind.as_str()).sql(", ").bind(after.key.as_str()).sql(")");
    }
    let rows = statement.sql(" ORDER BY feed_id, kind, key LIMIT ").bind(limit).load::<WholeRow>(db)?;
    let read = |(feed, kind, key, resource, digest, run, op, open): WholeRow| {
        from_row(resource_id(&feed)?, (kind, key, resource, digest, run, op, open))
    };
    rows.into_iter().map(read).collect()
}

/// How many records of a feed a run wrote, by what it did.
pub(crate) fn counts(
    db: &mut Db,
    tenant: TenantId,
    feed: ResourceId,
    run: ResourceId,
) -> Result<Vec<(String, i64)>, Error> {
    Ok(Statement::<(Text, BigInt)>::new("SELECT op, COUNT(*) FROM feed_record WHERE tenant_id = ")
        .bind(tenant)
        .sql(" AND feed_id = ")
        .bind(feed)
        .sql(" AND run_id = ")
        .bind(run)
        .sql(" GROUP BY op ORDER BY op")
        .load::<(String, i64)>(db)?)
}

/// What a run holds in one of its lists, in order, after a place.
pub(crate) fn items(
    db: &mut Db,
    tenant: TenantId,
    run: ResourceId,
    list: &str,
    (after, limit): (i64, i64),
) -> Result<Vec<(i64, Vec<u8>)>, Error> {
    Ok(Statement::<(BigInt, Binary)>::new("SELECT place, body FROM run_item WHERE tenant_id = ")
        .bind(tenant)
        .sql(" AND run_id = ")
        .bind(run)
        .sql(" AND list = ")
        .bind(list)
        .sql(" AND place > ")
        .bind(after)
        .sql(" ORDER BY place LIMIT ")
        .bind(limit)
        .load::<(i64, Vec<u8>)>(db)?)
}

impl Reader {
    /// The next `limit` records of a feed in the order of their keys. With `open`, those alone that name what is not
    /// there yet.
    pub fn feed_records(
        &mut self,
        tenant: TenantId,
        feed: ResourceId,
        after: Option<&FeedKey>,
        (open, limit): (bool, i64),
    ) -> Result<Vec<(FeedKey, FeedRecord)>, Error> {
        page(&mut self.db, tenant, feed, after, (open, limit))
    }

    /// How many records of a feed a run wrote, by what it did.
    pub fn feed_counts(
        &mut self,
        tenant: TenantId,
        feed: ResourceId,
        run: ResourceId,
    ) -> Result<Vec<(String, i64)>, Error> {
        counts(&mut self.db, tenant, feed, run)
    }

    /// The first run after one, in the order of their ids, that holds anything.
    pub fn run_with_items(&mut self, tenant: TenantId, after: Option<ResourceId>) -> Result<Option<ResourceId>, Error> {
        let mut statement = Statement::<(Binary,)>::new("SELECT run_id FROM run_item WHERE tenant_id = ").bind(tenant);
        if let Some(after) = after {
            statement = statement.sql(" AND run_id > ").bind(after);
        }
        let found = statement.sql(" ORDER BY run_id LIMIT 1").get_result::<(Vec<u8>,)>(&mut self.db).optional()?;
        found.map(|(run,)| crate::record::resource_id(&run)).transpose()
    }

    /// What a run holds in one of its lists: at most `limit`, after a place.
    pub fn run_items(
        &mut self,
        tenant: TenantId,
        run: ResourceId,
        list: &str,
        (after, limit): (i64, i64),
    ) -> Result<Vec<(i64, Vec<u8>)>, Error> {
        items(&mut self.db, tenant, run, list, (after, limit))
    }
}

/// Writes what feeds have said.
pub(crate) fn store(db: &mut Db, tenant: TenantId, records: Vec<(FeedKey, FeedRecord)>) -> Result<(), Error> {
    let mut records = records;
    // In the order of the table: neighbours share pages.
    records.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    let rows = records.into_iter().map(|(key, record)| {
        vec![
            tenant.into(),
            key.feed.into(),
            key.kind.into(),
            key.key.into(),
            record.resource.into(),
            record.digest.into(),
            record.run.into(),
            record.op.into(),
            record.open.into(),
        ]
    });
    insert(
        db,
        "INSERT INTO feed_record (tenant_id, feed_id, kind, key, resource_id, digest, run_id, op, open)",
        rows.collect(),
        "ON CONFLICT (tenant_id, feed_id, kind, key) DO UPDATE SET resource_id = excluded.resource_id, \
         digest = excluded.digest, run_id = excluded.run_id, op = excluded.op, open = excluded.open",
    )?;
    Ok(())
}

/// Forgets lists of runs, then writes what was put into them.
pub(crate) fn store_items(
    db: &mut Db,
    tenant: TenantId,
    dropped: Vec<(ResourceId, &'static str)>,
    items: Vec<(Place, Vec<u8>)>,
) -> Result<(), Error> {
    for (run, list) in dropped {
        Statement::<()>::new("DELETE FROM run_item WHERE tenant_id = ")
            .bind(tenant)
            .sql(" AND run_id = ")
            .bind(run)
            .sql(" AND list = ")
            .bind(list)
            .run(db)?;
    }
    let rows = items
        .into_iter()
        .map(|((run, list, place), body)| vec![tenant.into(), run.into(), list.into(), place.into(), body.into()]);
    insert(
        db,
        "INSERT INTO run_item (tenant_id, run_id, list, place, body)",
        rows.collect(),
        "ON CONFLICT (tenant_id, run_id, list, place) DO UPDATE SET body = excluded.body",
    )?;
    Ok(())
}

/// Forgets what a feed has said: it is no more.
pub(crate) fn forget(db: &mut Db, tenant: TenantId, feed: ResourceId) -> Result<(), Error> {
    Statement::<()>::new("DELETE FROM feed_record WHERE tenant_id = ")
        .bind(tenant)
        .sql(" AND feed_id = ")
        .bind(feed)
        .run(db)?;
    Ok(())
}

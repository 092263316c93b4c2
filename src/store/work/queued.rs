//! How a write walks a queue that lies in an index: resources whose text at a path begins with a prefix, in the order of the
//! texts. Like every read of a write it sees what the batch has written before it.

use std::collections::{BTreeMap, BTreeSet};

use diesel::sql_types::{BigInt, Binary, Text};
use scim::key;

use super::Work;
use crate::index::IndexedPath;
use crate::record::resource_id;
use crate::statement::Statement;
use crate::{Error, ResourceId, TenantId};

impl Work<'_> {
    /// The first resources of a kind whose text at an indexed path begins with `prefix/`, in the order of the texts, at most
    /// `limit`; texts of one resource are told apart by their ends. `None`: the path has no index.
    pub fn in_order(
        &mut self,
        kind: &str,
        path: &str,
        prefix: &str,
        limit: usize,
    ) -> Result<Option<Vec<ResourceId>>, Error> {
        let indexes = self.indexes.of(kind)?.clone();
        let Some(path) = indexes.path(path) else { return Ok(None) };
        let (low, high) = bounds(path, prefix);
        let (written, ids) = self.written(kind, path, &low, &high);
        let rows = Statement::<(Text, Binary)>::new("SELECT value, resource_id FROM attr_index WHERE tenant_id = ");
        let rows = between(rows, self.tenant, path, (&low, &high))
            .sql(" ORDER BY value, resource_id LIMIT ")
            .bind(i64::try_from(limit.saturating_add(ids.len())).unwrap_or(i64::MAX))
            .load::<(String, Vec<u8>)>(self.db)?;
        let mut found: BTreeSet<(String, ResourceId)> = written.into_iter().map(|(id, value)| (value, id)).collect();
        for (value, id) in rows {
            let id = resource_id(&id)?;
            if !ids.contains(&id) {
                found.insert((value, id));
            }
        }
        Ok(Some(found.into_iter().take(limit).map(|(_, id)| id).collect()))
    }

    /// How many resources of a kind have a text at an indexed path that begins with `prefix/` and comes before `text`; of more
    /// than `limit` no more are counted. Without an index none are.
    pub fn count_before(
        &mut self,
        kind: &str,
        path: &str,
        prefix: &str,
        text: Option<&str>,
        limit: i64,
    ) -> Result<i64, Error> {
        let indexes = self.indexes.of(kind)?.clone();
        let Some(path) = indexes.path(path) else { return Ok(0) };
        let (low, high) = bounds(path, prefix);
        let high = text.map_or(high, |text| key::of_text(text, path.target.rule));
        let (written, ids) = self.written(kind, path, &low, &high);
        // What the database says of those that the batch has written does not count.
        let mut stale = 0_i64;
        for id in &ids {
            let Some(before) = self.seen.get(id).cloned().flatten() else { continue };
            let document = self.stored_document(&before)?;
            let was = path.target.keys(&document).into_iter().any(|value| low <= value && value < high);
            stale += i64::from(was);
        }
        let most = limit.max(0).saturating_add(stale);
        let stored =
            Statement::<BigInt>::new("SELECT COUNT(*) FROM (SELECT 1 AS one FROM attr_index WHERE tenant_id = ");
        let stored = between(stored, self.tenant, path, (&low, &high))
            .sql(" LIMIT ")
            .bind(most)
            .sql(") found")
            .get_result::<i64>(self.db)?;
        let found =
            stored.saturating_sub(stale).max(0).saturating_add(i64::try_from(written.len()).unwrap_or(i64::MAX));
        Ok(found.min(limit.max(0)))
    }

    /// What the batch has written: which texts lie between, and which resources are others than the database says.
    fn written(
        &self,
        kind: &str,
        path: &IndexedPath,
        low: &str,
        high: &str,
    ) -> (BTreeMap<ResourceId, String>, BTreeSet<ResourceId>) {
        let (mut texts, mut ids) = (BTreeMap::new(), BTreeSet::new());
        for layer in [&self.settled, &self.open] {
            for (id, record) in &layer.resources {
                let document = match record {
                    Some(record) if record.kind != kind => continue,
                    Some(_) => layer.documents.get(id),
                    None => None,
                };
                ids.insert(*id);
                let keys = document.map(|document| path.target.keys(document)).unwrap_or_default();
                match keys.into_iter().find(|value| low <= &**value && &**value < high) {
                    Some(value) => drop(texts.insert(*id, value.to_string())),
                    None => drop(texts.remove(id)),
                }
            }
        }
        (texts, ids)
    }
}

/// A statement on the index, up to the tenant, goes on to the rows of a path from `low` to before `high`.
fn between<Row>(
    statement: Statement<Row>,
    tenant: TenantId,
    path: &IndexedPath,
    (low, high): (&str, &str),
) -> Statement<Row> {
    let statement = statement.bind(tenant).sql(" AND path_id = ").bind(path.id);
    statement.sql(" AND value >= ").bind(low).sql(" AND value < ").bind(high)
}

/// From `prefix/` to what comes after everything that begins so.
fn bounds(path: &IndexedPath, prefix: &str) -> (String, String) {
    let rule = path.target.rule;
    (key::of_text(&format!("{prefix}/"), rule), key::of_text(&format!("{prefix}0"), rule))
}

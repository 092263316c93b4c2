//! How a write finds resources by what they say at an indexed path. The index in the database knows nothing of the batch that
//! is under way, so what its settled operations wrote is kept by value beside it, a column for each path that was asked
//! about: a look-up costs what it finds, however much the batch has written.

use std::collections::{BTreeSet, HashMap};

use diesel::sql_types::Binary;
use scim::filter::Target;
use scim::key;
use serde_json::{Map, Value};

use super::Work;
use super::layer::Layer;
use crate::index::IndexedPath;
use crate::record::resource_id;
use crate::statement::Statement;
use crate::{Error, ResourceId};

/// What the settled operations of a batch wrote, by the paths that were asked about.
#[derive(Default)]
pub(super) struct Columns(HashMap<i64, Column>);

/// What the documents of one kind have at one path.
struct Column {
    kind: String,
    target: Target,
    values: HashMap<ResourceId, BTreeSet<String>>,
    holders: HashMap<String, BTreeSet<ResourceId>>,
}

impl Columns {
    /// Takes in what an operation wrote, before its layer is settled.
    pub(super) fn follow(&mut self, open: &Layer) {
        self.0.values_mut().for_each(|column| column.follow(open));
    }

    /// The column of a path, made of what is settled when nobody has asked before.
    fn of(&mut self, kind: &str, path: &IndexedPath, settled: &Layer) -> &Column {
        self.0.entry(path.id).or_insert_with(|| {
            let mut column = Column {
                kind: kind.to_owned(),
                target: path.target.clone(),
                values: HashMap::new(),
                holders: HashMap::new(),
            };
            column.follow(settled);
            column
        })
    }
}

impl Column {
    fn follow(&mut self, layer: &Layer) {
        for (id, document) in layer.documents_of(&self.kind) {
            let values = keys(&self.target, document);
            for gone in self.values.remove(&id).into_iter().flatten() {
                if let Some(holders) = self.holders.get_mut(&gone) {
                    holders.remove(&id);
                }
            }
            for value in &values {
                self.holders.entry(value.clone()).or_default().insert(id);
            }
            self.values.insert(id, values);
        }
    }

    /// Mends what was found under it.
    fn cover(&self, wanted: &BTreeSet<String>, found: &mut BTreeSet<ResourceId>) {
        found.retain(|id| self.values.get(id).is_none_or(|values| !values.is_disjoint(wanted)));
        found.extend(wanted.iter().filter_map(|value| self.holders.get(value)).flatten());
    }
}

/// The keys of a document at a path, as the index has them.
fn keys(target: &Target, document: &Map<String, Value>) -> BTreeSet<String> {
    target.keys(document).iter().map(|value| key::cut(value).into_owned()).collect()
}

impl Work<'_> {
    /// Resources of a kind that have one of these texts at an indexed path, in id order after `after`, at most `limit`;
    /// what the batch has written comes besides. `None`: the path has no index that is ready.
    pub fn having(
        &mut self,
        kind: &str,
        path: &str,
        texts: &[String],
        after: Option<ResourceId>,
        limit: i64,
    ) -> Result<Option<Vec<ResourceId>>, Error> {
        let indexes = self.indexes.of(kind)?.clone();
        let Some(path) = indexes.path(path) else { return Ok(None) };
        let wanted: BTreeSet<String> =
            texts.iter().map(|text| key::cut(&key::of_text(text, path.target.rule)).into_owned()).collect();
        if wanted.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let mut statement = Statement::<Binary>::new("SELECT DISTINCT resource_id FROM attr_index WHERE tenant_id = ")
            .bind(self.tenant)
            .sql(" AND path_id = ")
            .bind(path.id)
            .sql(" AND value IN ")
            .list(wanted.iter().map(String::as_str));
        if let Some(after) = after {
            statement = statement.sql(" AND resource_id > ").bind(after);
        }
        let rows = statement.sql(" ORDER BY resource_id LIMIT ").bind(limit).load::<Vec<u8>>(self.db)?;
        let mut found = rows.iter().map(|id| resource_id(id)).collect::<Result<BTreeSet<_>, _>>()?;
        self.columns.of(kind, path, &self.settled).cover(&wanted, &mut found);
        found.retain(|id| !self.settled.is_gone(*id));
        for (id, document) in self.open.documents_of(kind) {
            if keys(&path.target, document).is_disjoint(&wanted) {
                found.remove(&id)
            } else {
                found.insert(id)
            };
        }
        found.retain(|id| !self.open.is_gone(*id) && after.is_none_or(|after| *id > after));
        Ok(Some(found.into_iter().collect()))
    }
}

//! How a write finds other resources by what they say: by a unique value, by the key that any source has for them.
//! Like every read of a write it goes to the overlay first.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use diesel::sql_types::{BigInt, Binary};
use serde_json::{Map, Value};

use super::Work;
use crate::external::{self, ExternalKey};
use crate::record::resource_id;
use crate::statement::Statement;
use crate::{Error, ResourceId, Seq};

impl Work<'_> {
    /// The resources that were changed after a number, each once, and before the open operation; those that are gone too.
    pub fn changed_since(&mut self, seq: Seq) -> Result<BTreeSet<ResourceId>, Error> {
        let changed = Statement::<Binary>::new("SELECT DISTINCT resource_id FROM change WHERE tenant_id = ")
            .bind(self.tenant)
            .sql(" AND seq > ")
            .bind(seq)
            .load::<Vec<u8>>(self.db)?;
        let mut found = changed.iter().map(|id| resource_id(id)).collect::<Result<BTreeSet<_>, _>>()?;
        found.extend(self.settled.changes.iter().filter(|change| change.seq > seq).map(|change| change.resource));
        Ok(found)
    }

    /// Whether a resource has come further than a version by others than those who have this request.
    pub fn is_changed_by_others(&mut self, id: ResourceId, version: i64, request: &str) -> Result<bool, Error> {
        let mut batched =
            self.settled.changes.iter().filter(|change| change.resource == id && change.version > version);
        if batched.any(|change| change.by.request.as_deref() != Some(request)) {
            return Ok(true);
        }
        let found = Statement::<BigInt>::new("SELECT seq FROM change WHERE tenant_id = ")
            .bind(self.tenant)
            .sql(" AND resource_id = ")
            .bind(id)
            .sql(" AND version > ")
            .bind(version)
            .sql(" AND (request IS NULL OR request <> ")
            .bind(request)
            .sql(") LIMIT 1")
            .load::<i64>(self.db)?;
        Ok(!found.is_empty())
    }

    /// The resource that holds a unique value of this document, which may have that value alone.
    pub fn holder_of(&mut self, kind: &str, document: &Map<String, Value>) -> Result<Option<ResourceId>, Error> {
        for (key, _) in self.indexes.of(kind)?.clone().unique_keys(kind, document) {
            if let Some(holder) = self.holder(&key)? {
                return Ok(Some(holder));
            }
        }
        Ok(None)
    }

    /// The resources of a kind that a source, whichever, has this key for.
    pub fn called(&mut self, kind: &str, key: &str) -> Result<BTreeSet<ResourceId>, Error> {
        let mut domains: BTreeSet<ResourceId> = external::domains(self.db, self.tenant)?.into_iter().collect();
        for layer in [&self.settled, &self.open] {
            domains.extend(layer.external.keys().map(|key| key.domain));
        }
        let mut found = BTreeSet::new();
        for domain in domains {
            let key = ExternalKey { domain, kind: kind.to_owned(), value: key.to_owned() };
            found.extend(self.external_holder(&key)?);
        }
        Ok(found)
    }

    /// What sources call the resources of a kind.
    pub fn calls(&mut self, kind: &str) -> Result<BTreeSet<(ResourceId, String)>, Error> {
        let mut known: HashMap<ExternalKey, Option<ResourceId>> = HashMap::new();
        for domain in external::domains(self.db, self.tenant)? {
            let of_domain = external::of_kind(self.db, self.tenant, domain, kind)?;
            known.extend(of_domain.into_iter().map(|(key, id)| (key, Some(id))));
        }
        for layer in [&self.settled, &self.open] {
            let written = layer.external.iter().filter(|(key, _)| key.kind == kind);
            known.extend(written.map(|(key, holder)| (key.clone(), *holder)));
        }
        Ok(known.into_iter().filter_map(|(key, holder)| Some((holder?, key.value))).collect())
    }

    /// What sources call one resource.
    pub fn calls_of(&mut self, id: ResourceId) -> Result<BTreeSet<String>, Error> {
        Ok(self.externals_of(id)?.into_iter().map(|key| key.value).collect())
    }

    /// The domains whose sources have a key for one resource.
    pub fn domains_of(&mut self, id: ResourceId) -> Result<BTreeSet<ResourceId>, Error> {
        Ok(self.externals_of(id)?.into_iter().map(|key| key.domain).collect())
    }

    /// The document of a living resource.
    pub fn document_of(&mut self, id: ResourceId) -> Result<Option<Arc<Map<String, Value>>>, Error> {
        self.record(id)?.map(|record| self.document(&record)).transpose()
    }
}

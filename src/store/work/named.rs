//! By what a write finds resources beside their ids: a value of an attribute, or what a provisioning domain calls them.

use serde_json::{Map, Value};

use diesel::sql_types::Binary;
use scim::filter::Target;
use scim::key;

use super::Work;
use crate::external::{self, ExternalKey};
use crate::record::resource_id;
use crate::statement::Statement;
use crate::unique::UniqueKey;
use crate::{Error, ResourceId};

impl Work<'_> {
    /// The living resources of a kind that hold a text at a path, by id. Quick where the path is indexed or unique.
    pub fn holding(&mut self, kind: &str, path: &str, text: &str) -> Result<Vec<ResourceId>, Error> {
        let catalog = self.catalog.clone();
        let definition = catalog.registry().definition(kind);
        let target = definition.and_then(|definition| Target::resolve(definition, path));
        let Some(target) = target else { return Ok(Vec::new()) };
        let Some(wanted) = key::of(&Value::from(text), target.kind, target.rule) else { return Ok(Vec::new()) };
        let indexes = self.indexes.of(kind)?.clone();
        if indexes.is_unique(&target.canonical) {
            let namespace = format!("{kind}:{}", target.canonical);
            return Ok(self.holder(&UniqueKey::new(&namespace, &wanted))?.into_iter().collect());
        }
        let mut found = match indexes.path(&target.canonical) {
            Some(indexed) => Statement::<Binary>::new("SELECT resource_id FROM attr_index WHERE tenant_id = ")
                .bind(self.tenant)
                .sql(" AND path_id = ")
                .bind(indexed.id)
                .sql(" AND value = ")
                .bind(key::cut(&wanted).into_owned())
                .load::<Vec<u8>>(self.db)?
                .into_iter()
                .map(|id| resource_id(&id))
                .collect::<Result<Vec<_>, _>>()?,
            None => self.records_of(kind)?.into_iter().map(|record| record.id).collect(),
        };
        for layer in [&self.settled, &self.open] {
            found.extend(layer.resources.iter().filter(|(_, record)| record.is_some()).map(|(id, _)| *id));
        }
        found.sort_unstable();
        found.dedup();
        let mut holding = Vec::new();
        for id in found {
            let Some(record) = self.record(id)?.filter(|record| record.kind == kind) else { continue };
            if target.keys(&*self.document(&record)?).contains(&wanted) {
                holding.push(id);
            }
        }
        Ok(holding)
    }

    /// The resource of a kind that a provisioning domain calls by that `externalId`.
    pub fn known_as(&mut self, domain: ResourceId, kind: &str, value: &str) -> Result<Option<ResourceId>, Error> {
        let key = ExternalKey { domain, kind: kind.to_owned(), value: value.to_owned() };
        match self.open.external.get(&key).or_else(|| self.settled.external.get(&key)) {
            Some(holder) => Ok(*holder),
            None => external::holder(self.db, self.tenant, &key),
        }
    }

    /// The document of a living resource.
    pub fn document_of(&mut self, id: ResourceId) -> Result<Option<std::sync::Arc<Map<String, Value>>>, Error> {
        self.record(id)?.map(|record| self.document(&record)).transpose()
    }
}

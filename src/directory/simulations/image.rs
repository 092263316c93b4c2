//! What a resource is at a moment of a work that is thrown away, and what is told of two such moments: of a User with the
//! memberships and rights that begin and end, of anything else what its document says.

use std::collections::BTreeSet;

use serde_json::{Map as Object, Value};
use store::work::document_of;
use store::{Record, ResourceId, Work};

use super::item::Item;
use super::slice::Teller;
use crate::directory::settle::{Foreseen, USER, has};
use crate::directory::{Error, differences};

/// A resource as it is.
pub(super) struct Image {
    record: Option<Record>,
    document: Option<Object<String, Value>>,
    has: BTreeSet<ResourceId>,
}

impl Image {
    pub(super) fn of(kind: &str, id: ResourceId, work: &mut Work<'_>) -> Result<Self, Error> {
        let record = work.record(id)?;
        let document = record.as_ref().map(document_of).transpose()?;
        let has = if kind == USER && record.is_some() { has(work, id)? } else { BTreeSet::new() };
        Ok(Image { record, document, has })
    }

    pub(super) fn is_there(&self) -> bool {
        self.record.is_some()
    }

    fn label(&self) -> Option<String> {
        self.record.as_ref().map(|record| record.label.clone())
    }

    fn version(&self) -> i64 {
        self.record.as_ref().map(|record| record.version).unwrap_or_default()
    }

    /// An item that tells nothing yet of a resource that was this and is the other one now.
    pub(super) fn bare(&self, after: &Image, id: ResourceId) -> Item {
        Item::of(id, self.label().or_else(|| after.label()).unwrap_or_default(), self.version())
    }

    /// What is told of a resource that was this and is the other one now; without a word for what was done to it. `None`: there is
    /// nothing to tell.
    pub(super) fn told(
        &self,
        after: &Image,
        (kind, id): (&str, ResourceId),
        teller: &mut Teller<'_>,
        work: &mut Work<'_>,
    ) -> Result<Option<Item>, Error> {
        let was = self.document.clone().unwrap_or_default();
        if kind == USER {
            let foreseen = Foreseen {
                label: self.label().or_else(|| after.label()).unwrap_or_default(),
                version: self.version(),
                before: was,
                after: after.document.clone(),
                begins: after.has.difference(&self.has).copied().collect(),
                ends: self.has.difference(&after.has).copied().collect(),
                waits: Default::default(),
                grants: work.grants_of(id)?,
            };
            return teller.tell(id, &foreseen, work);
        }
        let definition = work.catalog().registry().definition(kind).cloned();
        let changes = match (definition, &after.document) {
            (Some(definition), Some(after)) => differences(&definition, Some(&was), Some(after)),
            _ => Vec::new(),
        };
        let is_same = changes.is_empty() && self.is_there() == after.is_there();
        Ok((!is_same).then(|| Item { changes, ..self.bare(after, id) }))
    }
}

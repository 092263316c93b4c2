//! A seat as it is stored, read; and for whom and how dearly one was paid.

use provisioning::facts::Facts;
use provisioning::licences::{Price, Seat, Stage, Terms};
use scim::key;
use serde_json::{Map, Value};
use store::work::document_of;
use store::{Record, ResourceId, Work};

use super::{ASSIGNMENT, Error};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// A seat or a place in the queue, as it is stored.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) id: ResourceId,
    pub(super) document: Map<String, Value>,
}

impl Known {
    pub(super) fn find(work: &mut Work<'_>, id: ResourceId) -> Result<Option<Known>, Error> {
        let record = work.record(id)?.filter(|record| record.kind == ASSIGNMENT);
        let known = |record: Record| Ok(Known { id, document: document_of(&record)? });
        record.map(known).transpose()
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.document.get(name).and_then(Value::as_str)
    }

    fn end(&self, name: &str) -> Option<ResourceId> {
        self.document.get(name)?.get("value")?.as_str()?.parse().ok()
    }

    pub(super) fn user(&self) -> Option<ResourceId> {
        self.end("user")
    }

    pub(super) fn entitlement(&self) -> Option<ResourceId> {
        self.end("entitlement")
    }

    pub(super) fn stage(&self) -> Option<Stage> {
        self.text("state").and_then(Stage::parse)
    }

    pub(super) fn person(&self) -> Option<ResourceId> {
        self.text("person")?.parse().ok()
    }

    pub(super) fn is_shared(&self) -> bool {
        self.document.get("shared") == Some(&Value::Bool(true))
    }

    pub(super) fn seat(&self) -> Option<Seat> {
        Some(Seat {
            stage: self.stage()?,
            since: self.moment("since").unwrap_or_default(),
            is_resting: self.document.get("resting") == Some(&Value::Bool(true)),
        })
    }

    pub(super) fn moment(&self, name: &str) -> Option<i64> {
        key::instant(self.text(name)?)
    }

    pub(super) fn reclaim(&self) -> Option<ResourceId> {
        self.text("reclaim")?.parse().ok()
    }
}

/// For whom and how dearly a seat was paid, as it is taken back.
#[derive(Clone, Debug, Default)]
pub(super) struct Payer {
    unit: Option<String>,
    cost_center: Option<String>,
    price: Option<Price>,
}

impl Payer {
    /// The unit and cost centre of a User on a day: of the leading employment, else what the enterprise extension says.
    pub(super) fn of(document: &Map<String, Value>, day: jiff::civil::Date, terms: Option<&Terms>) -> Self {
        let facts = Facts::of(document);
        let leading = facts.leading(day);
        let said = |name: &str| document.get(ENTERPRISE).and_then(|part| part.get(name)?.as_str()).map(str::to_owned);
        Payer {
            unit: leading.and_then(|one| one.unit.clone()).or_else(|| said("department")),
            cost_center: leading
                .and_then(|one| one.cost_center.clone())
                .or_else(|| said("costCenter"))
                .or_else(|| terms.and_then(|terms| terms.cost_center.clone())),
            price: terms.and_then(|terms| terms.price.clone()),
        }
    }

    pub(super) fn put(&self, document: &mut Map<String, Value>) {
        let texts = [("unit", &self.unit), ("costCenter", &self.cost_center)];
        for (name, text) in texts {
            if let Some(text) = text {
                document.insert(name.to_owned(), text.as_str().into());
            }
        }
        if let Some(price) = &self.price {
            document.insert("price".to_owned(), price.amount.into());
            document.insert("period".to_owned(), price.period.as_str().into());
            if !price.currency.is_empty() {
                document.insert("currency".to_owned(), price.currency.as_str().into());
            }
        }
    }
}

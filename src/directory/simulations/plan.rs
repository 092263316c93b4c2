//! What a simulation is about: the rules and policies as they would be, whom it looks at and until when. Read from its
//! document, and done to a work that is thrown away.

use provisioning::rules::Stage;
use provisioning::units::KIND as UNIT;
use scim::filter::{Checked, Filter};
use scim::resource::normalise;
use scim::schema::Definition;
use serde_json::{Map as Object, Value, json};
use store::work::{Draft, document_of};
use store::{ResourceId, Work};

use super::instant;
use super::proposals::Proposals;
use super::subject;
use crate::directory::settle::{self, POLICY, RULE};
use crate::directory::{Ctx, Error, rules, units};

/// A rule that would be another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) rule: ResourceId,
    pub(super) to: Stage,
}

/// What would be done, with the rules that it is about as they are now.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    pub(super) changes: Vec<Change>,
    /// Policies and units that would be others.
    pub(super) proposals: Proposals,
    /// Until when it looks ahead, µs since 1970; `None`: it does not.
    pub(super) until: Option<i64>,
}

/// The ids of a list of rules.
pub(super) fn rules_of(document: &Object<String, Value>, list: &str) -> Result<Vec<ResourceId>, scim::Error> {
    let listed = document.get(list).and_then(Value::as_array).into_iter().flatten();
    let id = |(place, one): (usize, &Value)| {
        let value = one.get("value").and_then(Value::as_str).unwrap_or_default();
        let unknown = || scim::Error::invalid_value(format!("{list}[{place}].value: there is no rule {value}."));
        value.parse::<ResourceId>().map_err(|()| unknown())
    };
    listed.enumerate().map(id).collect()
}

/// The filter that says whom it looks at. It goes by the stored document. Errors are 400 invalidValue.
pub(super) fn covered(
    document: &Object<String, Value>,
    user: &Definition,
) -> Result<Option<Filter<Checked>>, scim::Error> {
    let Some(text) = document.get("filter").and_then(Value::as_str) else { return Ok(None) };
    let refuse = |detail: &str| scim::Error::invalid_value(format!("filter: {detail}"));
    let filter = Filter::parse(text).and_then(|filter| filter.check(user)).map_err(|error| refuse(&error.detail))?;
    let paths = filter.attributes();
    let elsewhere = ["id", "meta", "externalId", "groups", "password", "schemas"];
    let is_elsewhere = |path: &&&str| elsewhere.contains(&path.split('.').next().unwrap_or_default());
    if let Some(path) = paths.iter().find(is_elsewhere) {
        return Err(refuse(&format!("{path} cannot decide: it is not in the document.")));
    }
    match user.secrets().iter().find(|secret| paths.contains(&*secret.path)) {
        Some(secret) => Err(refuse(&format!("{} is secret, and cannot decide.", secret.path))),
        None => Ok(Some(filter)),
    }
}

impl Plan {
    /// What the document of a simulation says, of the rules as they are. Fails with 400 for a rule that is not there, not
    /// proposed where it is to be activated, or not active where it is to be deprecated.
    pub(super) fn of(document: &Object<String, Value>, work: &mut Work<'_>) -> Result<Plan, Error> {
        if subject::is_own(document) {
            return Ok(Plan::default());
        }
        let mut changes = Vec::new();
        let (activate, deprecate) = (rules_of(document, "activate")?, rules_of(document, "deprecate")?);
        let listed = [("activate", activate, Stage::Proposed, Stage::Active)];
        for (list, ids, is, to) in
            listed.into_iter().chain([("deprecate", deprecate, Stage::Active, Stage::Deprecated)])
        {
            for rule in ids {
                let record = work.record(rule)?.filter(|record| record.kind == RULE);
                let unfit = |why: String| Error::from(scim::Error::invalid_value(format!("{list}: {why}.")));
                let record = record.ok_or_else(|| unfit(format!("there is no rule {rule}")))?;
                if rules::stage(&document_of(&record)?) != is {
                    return Err(unfit(format!("the rule {} is not {}", record.label, is.as_str())));
                }
                changes.push(Change { rule, to });
            }
        }
        let proposals = Proposals::of(document, work)?;
        if changes.is_empty() && proposals.is_empty() {
            for record in work.records_of(RULE)? {
                if rules::stage(&document_of(&record)?) == Stage::Proposed {
                    changes.push(Change { rule: record.id, to: Stage::Active });
                }
            }
        }
        Ok(Plan { changes, proposals, until: instant(document.get("asOf")) })
    }

    /// Makes rules, policies and units what they would be, and moves units as is planned until then. Fails for rules that
    /// cannot be together. Nobody's consent is asked: it is of no effect.
    pub(super) fn pretend(&self, ctx: &Ctx, work: &mut Work<'_>) -> Result<(), Error> {
        for change in &self.changes {
            let record = work.record(change.rule)?.ok_or(store::Error::NotFound)?;
            let mut document = document_of(&record)?;
            document.insert("lifecycle".into(), change.to.as_str().into());
            let registry = work.catalog().registry().clone();
            rules::check(&registry, &document)?;
            rules::check_among(record.id, &document, work)?;
            if let Some(definition) = registry.definition(RULE) {
                normalise(definition, &mut document);
            }
            work.update(Draft {
                id: record.id,
                kind: record.kind,
                label: record.label,
                doc: document.into(),
                secret: record.secret,
                members: Vec::new(),
                external: None,
            })?;
            settle::note_change(ctx, work, RULE);
        }
        self.proposals.pretend(ctx, work)?;
        match self.until.filter(|until| *until > ctx.now) {
            Some(until) => units::move_all(ctx, work, until),
            None => Ok(()),
        }
    }

    /// Every rule and policy, and the units that would be others, each with its version, as the simulation tells them.
    pub(super) fn versions(&self, work: &mut Work<'_>) -> Result<Vec<Value>, Error> {
        let mut versions = Vec::new();
        for kind in [POLICY, RULE] {
            for record in work.records_of(kind)? {
                let id = record.id.to_string();
                let mut told = json!({ "value": id, "type": kind, "display": record.label, "version": record.version });
                let change = self.changes.iter().find(|change| change.rule == record.id);
                if let (Some(change), Some(told)) = (change, told.as_object_mut()) {
                    let word = if change.to == Stage::Active { "activate" } else { "deprecate" };
                    told.insert("change".into(), word.into());
                }
                if let (Some(word), Some(told)) = (self.proposals.word_of(record.id), told.as_object_mut()) {
                    told.insert("change".into(), word.into());
                }
                versions.push(told);
            }
        }
        for id in self.proposals.units() {
            let Some(record) = work.record(id)? else { continue };
            let (id, display) = (id.to_string(), record.label);
            let told = json!({ "value": id, "type": UNIT, "display": display, "version": record.version, "change": "replace" });
            versions.push(told);
        }
        versions.extend(self.proposals.new_ones());
        Ok(versions)
    }
}

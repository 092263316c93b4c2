//! What was there before the register, taken over by the person with the number: names that are never made anew, and
//! memberships that are inherited until a rule gives the same. Reads the adoption of a User, writes the rows of what it
//! inherits, and notes with the adoption what became of it.

use std::collections::{BTreeMap, BTreeSet};

use provisioning::names::employee_number;
use provisioning::person;
use provisioning::rules::Kind;
use serde_json::{Map, Value, json};
use store::work::document_of;
use store::{Grant, GrantKey, Record, ResourceId, Work};

use super::super::adoptions::{self, ADOPTION, EMPLOYEE_NUMBER, MEMBER_OF, are_there};
use super::super::rules::{GROUP, target};
use super::super::{Ctx, Error};
use super::Follow;
use super::depart::rewrite;

/// An account as it was before.
pub(super) struct Adopting {
    record: Record,
    document: Map<String, Value>,
    /// Whether it is taken over already.
    is_taken: bool,
}

/// What there was of a User before the register: what it has taken over already, else what waits for its employee number or
/// its identity number. `number` stands for one that the document has in clear.
pub(super) fn find(
    work: &mut Work<'_>,
    id: ResourceId,
    document: &Map<String, Value>,
    number: Option<&str>,
) -> Result<Option<Adopting>, Error> {
    if !are_there(work) {
        return Ok(None);
    }
    let sealed = document.get(person::URN).and_then(|person| person.get(person::NUMBER)).and_then(Value::as_str);
    let identity = format!("{}:{}", person::URN, person::NUMBER);
    let own = id.to_string();
    let employee = employee_number(document);
    let places = [
        ("user.value", own.as_str()),
        (EMPLOYEE_NUMBER, &employee),
        (&identity, number.or(sealed).unwrap_or_default()),
    ];
    for (path, value) in places.into_iter().filter(|(_, value)| !value.is_empty()) {
        for record in having(work, path, value)? {
            let document = document_of(&record)?;
            let user = document.get("user").and_then(|user| user.get("value")).and_then(Value::as_str);
            if user.is_none_or(|user| user == own) {
                return Ok(Some(Adopting { is_taken: user.is_some(), record, document }));
            }
        }
    }
    Ok(None)
}

fn having(work: &mut Work<'_>, path: &str, value: &str) -> Result<Vec<Record>, Error> {
    if let Some(ids) = work.having(ADOPTION, path, &[value.to_owned()], None, 2)? {
        let records = ids.into_iter().map(|id| work.record(id)).collect::<Result<Vec<_>, _>>()?;
        return Ok(records.into_iter().flatten().collect());
    }
    // Not indexed yet: all are looked at.
    let registry = work.catalog().registry().clone();
    let definition = registry.definition(ADOPTION);
    let target = definition.and_then(|definition| scim::filter::Target::resolve(definition, path));
    let Some(target) = target else { return Ok(Vec::new()) };
    let key = target.keys(&put(path, value));
    let mut found = Vec::new();
    for record in work.records_of(ADOPTION)? {
        if target.keys(&document_of(&record)?) == key {
            found.push(record);
        }
    }
    Ok(found)
}

/// A document that has this value alone.
fn put(path: &str, value: &str) -> Map<String, Value> {
    let document = match path.strip_prefix(person::URN).and_then(|rest| rest.strip_prefix(':')) {
        Some(name) => json!({ person::URN: { name: value } }),
        None => match path.split_once('.') {
            Some((name, sub)) => json!({ name: { sub: value } }),
            None => json!({ path: value }),
        },
    };
    document.as_object().cloned().unwrap_or_default()
}

impl Adopting {
    pub(super) fn id(&self) -> ResourceId {
        self.record.id
    }

    fn text(&self, name: &str) -> Option<String> {
        self.document.get(name).and_then(Value::as_str).map(str::to_owned)
    }

    fn texts(&self, name: &str) -> impl Iterator<Item = String> {
        let texts = self.document.get(name).and_then(Value::as_array).into_iter().flatten();
        texts.filter_map(|text| text.as_str().map(str::to_owned)).collect::<Vec<_>>().into_iter()
    }

    pub(super) fn user_name(&self) -> Option<String> {
        self.text("userName")
    }

    pub(super) fn address(&self) -> Option<String> {
        self.text("address")
    }

    pub(super) fn aliases(&self) -> impl Iterator<Item = String> {
        self.texts("aliases")
    }

    pub(super) fn has_names(&self) -> bool {
        self.user_name().is_some() || self.address().is_some()
    }

    /// The groups that it was in, by what it says; `None`: there is none of that name, or several.
    fn groups(&self, work: &mut Work<'_>) -> Result<Vec<(String, Option<ResourceId>)>, Error> {
        let mut groups = Vec::new();
        for text in self.texts(MEMBER_OF) {
            let found = match text.parse::<ResourceId>() {
                Ok(id) => work.record(id)?.filter(|record| record.kind == GROUP).map(|record| record.id),
                Err(()) => match target::called(GROUP, "displayName", &text, work)?.as_slice() {
                    [one] => Some(*one),
                    _ => None,
                },
            };
            groups.push((text, found));
        }
        Ok(groups)
    }

    /// Writes the rights that a User inherits, once; whether it does.
    pub(super) fn take_over(&self, ctx: &Ctx, work: &mut Work<'_>, user: ResourceId) -> Result<bool, Error> {
        if self.is_taken {
            return Ok(false);
        }
        let groups: BTreeSet<ResourceId> = self.groups(work)?.into_iter().filter_map(|(_, id)| id).collect();
        for target in &groups {
            let (ground_kind, ground_id) = (Kind::Inherited.as_str().to_owned(), self.record.id.to_string());
            work.put_grant(Grant {
                key: GrantKey { user, target: *target, ground_kind, ground_id, since: ctx.now },
                until: None,
                ground_from: None,
                ground_until: None,
                rule_version: 0,
                facts: json!({ "note": "it was there before the register" }).to_string(),
            });
        }
        Ok(!groups.is_empty())
    }

    /// Notes with the adoption whose it is, and what became of the memberships.
    pub(super) fn report(self, ctx: &Ctx, work: &mut Work<'_>, user: ResourceId, follow: &Follow) -> Result<(), Error> {
        let mut grants: BTreeMap<GrantKey, Grant> =
            work.grants_of(user)?.into_iter().map(|grant| (grant.key.clone(), grant)).collect();
        grants.extend(follow.grants.iter().map(|grant| (grant.key.clone(), grant.clone())));
        let held = |kind: Kind| -> BTreeSet<ResourceId> {
            let of_kind =
                grants.values().filter(|grant| grant.until.is_none() && grant.key.ground_kind == kind.as_str());
            of_kind.map(|grant| grant.key.target).collect()
        };
        let (ruled, inherited) = (held(Kind::Rule), held(Kind::Inherited));
        let mut told: BTreeMap<String, Value> = BTreeMap::new();
        let mut named = BTreeSet::new();
        for (text, group) in self.groups(work)? {
            let Some(id) = group else {
                told.insert(text.clone(), json!({ "display": text, "state": "unknown" }));
                continue;
            };
            named.insert(id);
            let state = match (ruled.contains(&id), inherited.contains(&id)) {
                (true, _) => "confirmed",
                (false, true) => "unexplained",
                (false, false) => "ended",
            };
            told.insert(
                id.to_string(),
                json!({ "value": id.to_string(), "display": label(work, id)?, "state": state }),
            );
        }
        for id in ruled.difference(&named) {
            if work.record(*id)?.is_some_and(|record| record.kind == GROUP) {
                let one = json!({ "value": id.to_string(), "display": label(work, *id)?, "state": "missing" });
                told.insert(id.to_string(), one);
            }
        }
        let mut after = self.document.clone();
        after.insert("user".into(), json!({ "value": user.to_string(), "$ref": format!("../Users/{user}") }));
        match told.is_empty() {
            true => drop(after.shift_remove("memberships")),
            false => drop(after.insert("memberships".into(), told.into_values().collect())),
        }
        if after != self.document {
            rewrite(ctx, work, &self.record, after)?;
        }
        Ok(())
    }
}

/// What there was of a User that is deleted goes with it; whose its names are from then on is the policy's to say.
pub(super) fn forget(work: &mut Work<'_>, user: ResourceId) -> Result<(), Error> {
    if !are_there(work) {
        return Ok(());
    }
    for record in having(work, "user.value", &user.to_string())? {
        adoptions::free(work, record.id, &document_of(&record)?, &[])?;
        work.remove(record.id)?;
    }
    Ok(())
}

fn label(work: &mut Work<'_>, id: ResourceId) -> Result<String, Error> {
    Ok(work.record(id)?.map(|record| record.label).unwrap_or_default())
}

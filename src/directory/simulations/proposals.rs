//! Policies and organisational units that a simulation proposes: another one in the place of one that is there, a new one, a
//! policy that is deleted. Each is the text of what a client would send to `/Policies` or `/OrganizationalUnits`, read and
//! checked as there. Done to a work that is thrown away, or, where the simulation is applied, by the very steps of PUT, POST
//! and DELETE.

use std::sync::Arc;

use provisioning::units::{KIND as UNIT, check as check_unit};
use scim::resource::{Notes, Strictness, replace, validate};
use scim::schema::{Definition, Registry};
use serde_json::{Map as Object, Value, json};
use store::work::{Draft, document_of};
use store::{ResourceId, Work};

use crate::directory::create::Creation;
use crate::directory::derive::derive;
use crate::directory::remove::Removal;
use crate::directory::replace::replacing;
use crate::directory::revise::Revising;
use crate::directory::settle::{self, POLICY};
use crate::directory::{Ctx, Directory, Error, Precondition, particular, units};

/// The lists of what is proposed, with what is in them.
const LISTS: [(&str, &str); 2] = [("policies", POLICY), ("units", UNIT)];

/// A policy or unit as it would be.
#[derive(Clone, Debug)]
pub(super) struct Proposal {
    /// Its type.
    kind: &'static str,
    /// The one in whose place it would be; `None`: it would be new.
    of: Option<ResourceId>,
    body: Value,
}

/// What would become of policies and units.
#[derive(Clone, Debug, Default)]
pub(super) struct Proposals {
    all: Vec<Proposal>,
    withdrawn: Vec<ResourceId>,
}

/// What the document of a simulation proposes, as far as it says that by itself. Errors are 400 invalidValue.
fn read(document: &Object<String, Value>) -> Result<Proposals, scim::Error> {
    let listed = |list: &str| document.get(list).and_then(Value::as_array).cloned().unwrap_or_default();
    let id = |list: &str, place: usize, one: &Value| {
        let value = one.get("value").and_then(Value::as_str);
        let unknown = |value: &str| scim::Error::invalid_value(format!("{list}[{place}].value: there is no {value}."));
        value.map(|value| value.parse::<ResourceId>().map_err(|()| unknown(value))).transpose()
    };
    let mut proposals = Proposals::default();
    for (list, kind) in LISTS {
        for (place, one) in listed(list).iter().enumerate() {
            let text = one.get("document").and_then(Value::as_str).unwrap_or_default();
            let body: Result<Value, _> = serde_json::from_str(text);
            let body = body.ok().filter(Value::is_object);
            let none =
                || scim::Error::invalid_value(format!("{list}[{place}].document is not the text of a JSON object."));
            proposals.all.push(Proposal { kind, of: id(list, place, one)?, body: body.ok_or_else(none)? });
        }
    }
    for (place, one) in listed("withdraw").iter().enumerate() {
        proposals.withdrawn.extend(id("withdraw", place, one)?);
    }
    let named: Vec<ResourceId> =
        proposals.all.iter().filter_map(|one| one.of).chain(proposals.withdrawn.iter().copied()).collect();
    match named.iter().enumerate().find(|(at, id)| named.iter().take(*at).any(|known| known == *id)) {
        Some((_, twice)) => Err(scim::Error::invalid_value(format!("{twice} is named twice."))),
        None => Ok(proposals),
    }
}

/// Checks what the document of a simulation proposes against the tenant's User. Errors are 400 invalidValue.
pub(super) fn check(registry: &Registry, document: &Object<String, Value>) -> Result<(), scim::Error> {
    let all = read(document)?.all;
    for (list, kind) in LISTS {
        for (place, one) in all.iter().filter(|one| one.kind == kind).enumerate() {
            let at = |error: scim::Error| scim::Error::invalid_value(format!("{list}[{place}]: {}", error.detail));
            let canonical = canonical(definition(registry, kind)?, &one.body).map_err(at)?;
            match kind {
                POLICY => settle::check_policy(registry, &canonical).map_err(at)?,
                _ => check_unit(&canonical).map_err(at)?,
            }
        }
    }
    Ok(())
}

fn definition<'r>(registry: &'r Registry, kind: &str) -> Result<&'r Arc<Definition>, scim::Error> {
    let none = || scim::Error::invalid_value(format!("There is no resource type {kind}."));
    registry.definition(kind).filter(|found| kind != UNIT || units::are(found)).ok_or_else(none)
}

fn canonical(definition: &Definition, body: &Value) -> Result<Object<String, Value>, scim::Error> {
    let mut document = validate(definition, body, Strictness::Tolerant, &mut Notes::new())?;
    ["id", "meta", "externalId"].into_iter().for_each(|name| drop(document.shift_remove(name)));
    Ok(document)
}

impl Proposals {
    /// What the document of a simulation proposes. Fails with 400 for a policy or unit that is not there.
    pub(super) fn of(document: &Object<String, Value>, work: &mut Work<'_>) -> Result<Self, Error> {
        let proposals = read(document)?;
        let named = proposals.all.iter().filter_map(|one| Some((one.of?, one.kind)));
        for (id, kind) in named.chain(proposals.withdrawn.iter().map(|id| (*id, POLICY))) {
            if work.record(id)?.is_none_or(|record| record.kind != kind) {
                return Err(scim::Error::invalid_value(format!("There is no {kind} {id}.")).into());
            }
        }
        Ok(proposals)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty() && self.withdrawn.is_empty()
    }

    /// The units that would be others.
    pub(super) fn units(&self) -> impl Iterator<Item = ResourceId> {
        self.all.iter().filter(|one| one.kind == UNIT).filter_map(|one| one.of)
    }

    /// What becomes of a policy or unit that is there.
    pub(super) fn word_of(&self, id: ResourceId) -> Option<&'static str> {
        match () {
            () if self.withdrawn.contains(&id) => Some("withdraw"),
            () if self.all.iter().any(|one| one.of == Some(id)) => Some("replace"),
            () => None,
        }
    }

    /// The policies and units that would come to be, as the simulation tells them.
    pub(super) fn new_ones(&self) -> impl Iterator<Item = Value> {
        let new = self.all.iter().filter(|one| one.of.is_none());
        new.map(|one| {
            let name = one.body.get(if one.kind == UNIT { "code" } else { "name" });
            json!({ "type": one.kind, "display": name, "change": "create" })
        })
    }

    /// Makes the policies and units what they would be.
    pub(super) fn pretend(&self, ctx: &Ctx, work: &mut Work<'_>) -> Result<(), Error> {
        let registry = work.catalog().registry().clone();
        for one in &self.all {
            let definition = definition(&registry, one.kind)?.clone();
            let before = match one.of {
                Some(id) => Some(work.record(id)?.ok_or(store::Error::NotFound)?),
                None => None,
            };
            let was = before.as_ref().map(document_of).transpose()?;
            let mut doc = match &was {
                Some(was) => replace(&definition, was, &one.body, Strictness::Tolerant, &mut Notes::new())?,
                None => canonical(&definition, &one.body)?,
            };
            ["id", "meta", "externalId"].into_iter().for_each(|name| drop(doc.shift_remove(name)));
            let label = derive(&registry, &definition, &mut doc, was.as_ref(), ctx.now)?;
            let id = match &before {
                Some(record) => record.id,
                None => ctx.random.resource_id(ctx.now)?,
            };
            let write = particular::Write { ctx, definition: &definition, id, before: before.as_ref(), external: None };
            let particular = match particular::of(&definition) {
                Some(attend) => attend(&write, Some(&mut doc), work)?,
                None => None,
            };
            let draft = Draft {
                id,
                kind: one.kind.to_owned(),
                label,
                doc: doc.into(),
                secret: before.as_ref().and_then(|record| record.secret.clone()),
                members: Vec::new(),
                external: None,
            };
            let record = match &before {
                Some(_) => work.update(draft)?,
                None => work.create(draft)?,
            };
            if let Some(follow) = particular {
                follow(&write, Some(&record), work)?;
            }
        }
        for id in &self.withdrawn {
            work.remove(*id)?;
            settle::note_change(ctx, work, POLICY);
        }
        Ok(())
    }
}

/// What is done to policies and units where a simulation is applied, with all done that needs no lock.
#[derive(Default)]
pub(super) struct Steps {
    revisions: Vec<Revising>,
    creations: Vec<Creation>,
    removals: Vec<Removal>,
}

impl Steps {
    /// Carries them out. May run twice.
    pub(super) fn run(&self, ctx: &Ctx, work: &mut Work<'_>) -> Result<(), Error> {
        for revising in &self.revisions {
            revising.run(ctx, &mut Notes::new(), work)?;
        }
        for creation in &self.creations {
            creation.run(ctx, work)?;
        }
        for removal in &self.removals {
            removal.run(ctx, work)?;
        }
        Ok(())
    }
}

impl Directory {
    /// The steps that make policies and units what is proposed.
    pub(super) async fn steps_to(&self, ctx: &Ctx, proposals: &Proposals) -> Result<Steps, Error> {
        let mut steps = Steps::default();
        let registry = self.registry_of(ctx.tenant);
        let (none, mut notes) = (Precondition::none(), Notes::new());
        for one in &proposals.all {
            let definition = definition(&registry, one.kind)?.clone();
            match one.of {
                Some(id) => {
                    let revision = replacing(ctx, &definition, one.body.clone())?;
                    steps.revisions.push(self.prepare_revising(ctx, &definition, id, revision, &none).await?);
                }
                None => {
                    let id = ctx.random.resource_id(ctx.now)?;
                    let creation = self.prepare_creation(ctx, &definition, id, &one.body, &mut notes).await?;
                    steps.creations.push(creation);
                }
            }
        }
        for id in &proposals.withdrawn {
            let definition = definition(&registry, POLICY)?.clone();
            steps.removals.push(Directory::prepare_removal(&definition, &id.to_string(), &none)?);
        }
        Ok(steps)
    }
}

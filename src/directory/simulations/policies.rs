//! Policies that a simulation proposes: another one in the place of one that is there, a new one, one that is deleted. Each is
//! the text of what a client would send to `/Policies`, read and checked as there. Done to a work that is thrown away, or,
//! where the simulation is applied, by the very steps of PUT, POST and DELETE.

use std::sync::Arc;

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
use crate::directory::{Ctx, Directory, Error, Precondition};

/// A policy as it would be.
#[derive(Clone, Debug)]
pub(super) struct Proposal {
    /// The one in whose place it would be; `None`: it would be new.
    of: Option<ResourceId>,
    body: Value,
}

/// What would become of policies.
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
        let unknown =
            |value: &str| scim::Error::invalid_value(format!("{list}[{place}].value: there is no policy {value}."));
        value.map(|value| value.parse::<ResourceId>().map_err(|()| unknown(value))).transpose()
    };
    let mut proposals = Proposals::default();
    for (place, one) in listed("policies").iter().enumerate() {
        let text = one.get("document").and_then(Value::as_str).unwrap_or_default();
        let body: Result<Value, _> = serde_json::from_str(text);
        let body = body.ok().filter(Value::is_object);
        let none =
            || scim::Error::invalid_value(format!("policies[{place}].document is not the text of a JSON object."));
        proposals.all.push(Proposal { of: id("policies", place, one)?, body: body.ok_or_else(none)? });
    }
    for (place, one) in listed("withdraw").iter().enumerate() {
        proposals.withdrawn.extend(id("withdraw", place, one)?);
    }
    let named: Vec<ResourceId> =
        proposals.all.iter().filter_map(|one| one.of).chain(proposals.withdrawn.iter().copied()).collect();
    match named.iter().enumerate().find(|(at, id)| named.iter().take(*at).any(|known| known == *id)) {
        Some((_, twice)) => Err(scim::Error::invalid_value(format!("The policy {twice} is named twice."))),
        None => Ok(proposals),
    }
}

/// Checks what the document of a simulation proposes against the tenant's User. Errors are 400 invalidValue.
pub(super) fn check(registry: &Registry, document: &Object<String, Value>) -> Result<(), scim::Error> {
    for (place, one) in read(document)?.all.iter().enumerate() {
        let at = |error: scim::Error| scim::Error::invalid_value(format!("policies[{place}]: {}", error.detail));
        settle::check_policy(registry, &canonical(definition(registry)?, &one.body).map_err(at)?).map_err(at)?;
    }
    Ok(())
}

fn definition(registry: &Registry) -> Result<&Arc<Definition>, scim::Error> {
    let none = || scim::Error::invalid_value("There is no resource type Policy.");
    registry.definition(POLICY).ok_or_else(none)
}

fn canonical(definition: &Definition, body: &Value) -> Result<Object<String, Value>, scim::Error> {
    let mut document = validate(definition, body, Strictness::Tolerant, &mut Notes::new())?;
    ["id", "meta", "externalId"].into_iter().for_each(|name| drop(document.shift_remove(name)));
    Ok(document)
}

impl Proposals {
    /// What the document of a simulation proposes. Fails with 400 for a policy that is not there.
    pub(super) fn of(document: &Object<String, Value>, work: &mut Work<'_>) -> Result<Self, Error> {
        let proposals = read(document)?;
        for id in proposals.all.iter().filter_map(|one| one.of).chain(proposals.withdrawn.iter().copied()) {
            if work.record(id)?.is_none_or(|record| record.kind != POLICY) {
                return Err(scim::Error::invalid_value(format!("There is no policy {id}.")).into());
            }
        }
        Ok(proposals)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty() && self.withdrawn.is_empty()
    }

    /// What becomes of a policy that is there.
    pub(super) fn word_of(&self, id: ResourceId) -> Option<&'static str> {
        match () {
            () if self.withdrawn.contains(&id) => Some("withdraw"),
            () if self.all.iter().any(|one| one.of == Some(id)) => Some("replace"),
            () => None,
        }
    }

    /// The policies that would come to be, as the simulation tells them.
    pub(super) fn new_ones(&self) -> impl Iterator<Item = Value> {
        let new = self.all.iter().filter(|one| one.of.is_none());
        new.map(|one| json!({ "type": POLICY, "display": one.body.get("name"), "change": "create" }))
    }

    /// Makes the policies what they would be.
    pub(super) fn pretend(&self, ctx: &Ctx, work: &mut Work<'_>) -> Result<(), Error> {
        if self.is_empty() {
            return Ok(());
        }
        let registry = work.catalog().registry().clone();
        let definition = definition(&registry)?.clone();
        for one in &self.all {
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
            let draft = Draft {
                id,
                kind: POLICY.to_owned(),
                label,
                doc: doc.into(),
                secret: before.as_ref().and_then(|record| record.secret.clone()),
                members: Vec::new(),
                external: None,
            };
            match before {
                Some(_) => work.update(draft)?,
                None => work.create(draft)?,
            };
        }
        for id in &self.withdrawn {
            work.remove(*id)?;
        }
        settle::note_change(ctx, work, POLICY);
        Ok(())
    }
}

/// What is done to policies where a simulation is applied, with all done that needs no lock.
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
    /// The steps that make policies what is proposed.
    pub(super) async fn policy_steps(&self, ctx: &Ctx, proposals: &Proposals) -> Result<Steps, Error> {
        let mut steps = Steps::default();
        if proposals.is_empty() {
            return Ok(steps);
        }
        let definition = definition(&self.registry_of(ctx.tenant))?.clone();
        let (none, mut notes) = (Precondition::none(), Notes::new());
        for one in &proposals.all {
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
            steps.removals.push(Directory::prepare_removal(&definition, &id.to_string(), &none)?);
        }
        Ok(steps)
    }
}

//! What of a bulk request can be done before the lock: who may do what, the ids of what is created, and each operation
//! worked out as for a request of its own.

use std::collections::HashMap;
use std::num::NonZero;
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use serde_json::Value;

use scim::bulk::{BulkRequest, Method, Operation};
use scim::resource::Notes;
use scim::schema::Definition;
use store::ResourceId;

use crate::directory::create::Creation;
use crate::directory::membership::{Joining, Leaving, is_membership, written_id};
use crate::directory::patch::patching;
use crate::directory::remove::Removal;
use crate::directory::replace::replacing;
use crate::directory::revise::Revising;
use crate::directory::shape::id_of;
use crate::directory::{Ctx, Directory, Error, Precondition, Tags};

/// Where an operation leads.
pub(super) struct Plan {
    definition: Arc<Definition>,
    /// The id drawn for a POST.
    created: Option<ResourceId>,
    body: Value,
}

/// An operation after all that needs no lock.
pub(super) struct Prepared {
    pub(super) step: Result<Step, Error>,
    /// Tolerances used so far.
    pub(super) notes: Notes,
}

/// An operation with all done that needs no lock.
pub(super) enum Step {
    Create(Creation),
    Revise(Revising),
    Remove(Removal),
    Join(Joining),
    Leave(Leaving),
}

impl Directory {
    /// Finds each operation's resource type, asks for permission, draws ids and puts them in the place of bulkIds.
    /// `draw` has the id for the POST at an index. The bodies move from the request into the plans.
    pub(super) fn plans(
        &self,
        ctx: &Ctx,
        mut request: BulkRequest,
        permit: impl Fn(&Definition) -> Result<(), String>,
        draw: impl Fn(usize) -> Result<ResourceId, store::Error>,
    ) -> Result<(BulkRequest, Vec<Result<Plan, Error>>), Error> {
        let mut plans = Vec::with_capacity(request.operations.len());
        let mut created = HashMap::new();
        for (index, operation) in request.operations.iter().enumerate() {
            let definition = self.definition_of(ctx, operation, &permit);
            let id = match (operation.method, &definition) {
                // The id of a membership follows from what it joins.
                (Method::Post, Ok(definition)) if !is_membership(definition) => {
                    let id = draw(index)?;
                    let location = format!("{}/{}/{id}", ctx.base_url, definition.endpoint());
                    created.insert(index, (id.to_string(), location));
                    Some(id)
                }
                _ => None,
            };
            plans.push(definition.map(|definition| Plan { definition, created: id, body: Value::Null }));
        }
        request.resolve(|index| created.get(&index).cloned());
        for (operation, plan) in request.operations.iter_mut().zip(&mut plans) {
            if let Ok(plan) = plan {
                plan.body = operation.data.take();
                operation.id = match operation.method {
                    Method::Post if is_membership(&plan.definition) => written_id(&plan.body).map(|id| id.to_string()),
                    _ => plan.created.map(|id| id.to_string()).or_else(|| operation.id.take()),
                };
            }
        }
        Ok((request, plans))
    }

    fn definition_of(
        &self,
        ctx: &Ctx,
        operation: &Operation,
        permit: impl Fn(&Definition) -> Result<(), String>,
    ) -> Result<Arc<Definition>, Error> {
        if let Some(fault) = &operation.fault {
            return Err(fault.clone().into());
        }
        let endpoint = &operation.endpoint;
        let definition = self.registry_of(ctx.tenant).at_endpoint(endpoint).cloned();
        let definition =
            definition.ok_or_else(|| scim::Error::status(404, format!("There is no endpoint /{endpoint}.")))?;
        permit(&definition).map_err(Error::Denied)?;
        Ok(definition)
    }

    /// Works each operation out, several at a time: a password takes a processor tens of milliseconds. An operation
    /// whose path names a POST that cannot be carried out is left to the table.
    pub(super) async fn prepare_steps(
        &self,
        ctx: &Ctx,
        request: &BulkRequest,
        plans: Vec<Result<Plan, Error>>,
    ) -> Vec<Prepared> {
        let width = std::thread::available_parallelism().map_or(1, NonZero::get);
        let ctx = Arc::new(ctx.clone());
        let mut steps = Vec::with_capacity(plans.len());
        for (operation, plan) in request.operations.iter().zip(plans) {
            let (directory, ctx, operation) = (self.clone(), ctx.clone(), operation.clone());
            steps.push(async move {
                let mut notes = Notes::new();
                let step = match plan {
                    Ok(plan) => directory.prepare_step(&ctx, &operation, plan, &mut notes).await,
                    Err(error) => Err(error),
                };
                Prepared { step, notes }
            });
        }
        stream::iter(steps).buffered(width).collect().await
    }

    async fn prepare_step(
        &self,
        ctx: &Ctx,
        operation: &Operation,
        plan: Plan,
        notes: &mut Notes,
    ) -> Result<Step, Error> {
        let Plan { definition, created, body } = plan;
        let id = operation.id.as_deref().unwrap_or_default();
        let if_match = match (&operation.version, operation.method) {
            (Some(version), Method::Put | Method::Patch | Method::Delete) => Some(Tags::parse(version)?),
            _ => None,
        };
        let precondition = Precondition { if_match, if_none_match: None };
        Ok(match operation.method {
            Method::Post if is_membership(&definition) => {
                Step::Join(self.prepare_joining(ctx, &definition, &body, notes).await?)
            }
            Method::Delete if is_membership(&definition) => {
                Step::Leave(self.prepare_leaving(ctx, id, &precondition).await?)
            }
            Method::Put | Method::Patch if is_membership(&definition) => {
                let detail = "A membership cannot be changed. Delete it, and create another.";
                return Err(scim::Error::status(405, detail).into());
            }
            Method::Post => {
                let id = created.ok_or_else(|| store::Error::Corrupt("no id was drawn for a POST".into()))?;
                Step::Create(self.prepare_creation(ctx, &definition, id, &body, notes).await?)
            }
            Method::Delete => Step::Remove(Directory::prepare_removal(&definition, id, &precondition)?),
            Method::Put | Method::Patch => {
                let resource = id_of(definition.name(), id)?;
                let revision = match operation.method {
                    Method::Put => replacing(ctx, &definition, body)?,
                    _ => patching(ctx, &definition, id, &body, notes)?,
                };
                Step::Revise(self.prepare_revising(ctx, &definition, resource, revision, &precondition).await?)
            }
        })
    }
}

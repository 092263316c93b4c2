//! What was decided on and says the same is done: rules and policies are changed on behalf of whoever decided, by the steps of
//! PATCH, PUT, POST and DELETE, in one write with the end of the simulation. People follow as the scheduler comes to them.

use std::sync::Arc;

use scim::resource::Notes;
use serde_json::{Value, json};
use store::{ResourceId, TenantId};

use super::carry::{Found, Passed, Simulator};
use super::record::{Document, Hold, end};
use super::strict::{self, Recorded};
use super::{State, attempts, lists};
use crate::directory::patch::patching;
use crate::directory::revise::Revising;
use crate::directory::settle::{POLICY, RULE};
use crate::directory::{Error, Precondition};

impl Simulator {
    /// Changes rules and policies on behalf of whoever decided, together with the simulation. With `recorded`, only where
    /// nothing of that has moved.
    pub(super) async fn apply(
        &self,
        tenant: TenantId,
        hold: &Hold,
        document: &Document,
        (found, recorded): (Found, Option<Recorded>),
    ) -> Result<Passed, Error> {
        let decided = |name: &str| document.get("decided")?.get(name)?.as_str()?.parse::<ResourceId>().ok();
        let mut ctx = self.ctx(tenant);
        let caller = Arc::make_mut(&mut ctx.caller);
        caller.id = decided("by").unwrap_or(ResourceId::SYSTEM);
        caller.user = decided("user");
        let definition = self.directory.registry_of(tenant).definition(RULE).cloned();
        let definition = definition.ok_or_else(|| store::Error::Corrupt("there is no resource type Rule".into()))?;
        let mut revisions = Vec::new();
        for change in found.plan.iter().flat_map(|plan| &plan.changes) {
            let message = json!({
                "schemas": [scim::patch::PATCH_OP_URN],
                "Operations": [{ "op": "replace", "path": "lifecycle", "value": change.to.as_str() }],
            });
            let revision = patching(&ctx, &definition, &change.rule.to_string(), &message, &mut Notes::new())?;
            revisions.push(Revising::new(definition.clone(), change.rule, revision, Precondition::none()));
        }
        let proposals = found.plan.as_ref().map(|plan| plan.proposals.clone()).unwrap_or_default();
        let steps = self.directory.steps_to(&ctx, &proposals).await?;
        let mut ending = self.told(State::Applied, document, &found);
        if let Some(ending) = ending.as_object_mut() {
            ending.insert("decision".into(), Value::Null);
        }
        let old = lists(attempts(document));
        let (caller, moment, hold) = (ctx.clone(), (found.seq, found.book), hold.clone());
        let write = self.directory.store().write(tenant, ctx.origin(), move |work| {
            let (record, document) = match strict::unmoved(&hold, moment, recorded.as_ref(), work)? {
                Ok(found) => found,
                Err(passed) => return Ok(passed),
            };
            for revising in &revisions {
                revising.run(&caller, &mut Notes::new(), work)?;
            }
            steps.run(&caller, work)?;
            end(&caller, work, &record, document, &ending, &[old.objects, old.targets])?;
            Ok::<_, Error>(Passed::Over)
        });
        let passed = write.await?;
        if let Some(policy) = self.directory.registry_of(tenant).definition(POLICY) {
            self.directory.note_policy(tenant, policy);
        }
        Ok(passed)
    }
}

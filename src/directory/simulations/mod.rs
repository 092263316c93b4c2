//! Simulations (`/Simulations`): what rules and policies would make of everybody, now or on a day to come. Worked out by the code that
//! would do it, slice by slice over snapshots that are thrown away, so that no writer waits for it; what is found is kept
//! as sealed items that go with the simulation, and expires, being personal data. To apply one is to work it out again:
//! only when it says the same are the rules changed, by the same steps as a PATCH of `/Rules`, and the scheduler does the
//! rest. Nothing here writes Users.

mod apply;
mod carry;
mod compare;
mod image;
mod item;
pub mod page;
mod plan;
mod proposals;
mod record;
mod sight;
mod slice;
mod strict;
mod subject;
mod undo;
mod writes;

use scim::schema::Registry;
use serde_json::{Map as Object, Value};
use store::work::document_of;
use store::{Record, Work, format_instant};

use super::feeds::{instant, object};
use super::particular::{Follow, Write};
use super::settle::USER;
use super::{Ctx, Error, ResourceId, rules, work_items};
use plan::{Plan, covered, rules_of};

pub use carry::{Clock, Simulator, Watch};
pub(super) use item::plain;
pub use item::{Difference, Item, Reason, Target, Turn, cells, heads};
pub use sight::InView;
pub use undo::Conflict;
pub(super) use writes::{LIST as ENCLOSED, body};

/// The resource type of simulations.
pub const SIMULATION: &str = "Simulation";

/// The list of what would become of each User.
pub const OBJECTS: &str = "object";
/// The list of groups and entitlements with how much begins and ends.
pub const TARGETS: &str = "target";
/// The list of what became another result when it was to be applied.
pub const DIFFERENCES: &str = "difference";
/// The list of what was left as it is when a run was undone, since it had moved or could not be turned back.
pub const SKIPPED: &str = "skipped";
/// The list of what was done of an undo so far, place by place of the result.
const DONE: &str = "done";

/// A simulation is kept for so long, µs: 30 days.
const KEPT: i64 = 30 * 86_400 * 1_000_000;
/// And at most for so long, µs: a year.
const KEPT_MOST: i64 = 366 * 86_400 * 1_000_000;

/// How far a simulation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It waits for its turn.
    Waiting,
    /// It is being worked out.
    Running,
    /// The result is there.
    Ready,
    /// It is to be applied, and is worked out once more.
    Checking,
    /// It says something else than when it was decided on: a person decides again.
    Changed,
    /// It is being applied, resource by resource.
    Applying,
    /// It is done.
    Applied,
    /// It could not be worked out, or not be applied.
    Failed,
    /// The result was erased.
    Expired,
}

impl State {
    const ALL: [State; 9] = [
        State::Waiting,
        State::Running,
        State::Ready,
        State::Checking,
        State::Changed,
        State::Applying,
        State::Applied,
        State::Failed,
        State::Expired,
    ];

    /// The name in the schema.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Waiting => "waiting",
            State::Running => "running",
            State::Ready => "ready",
            State::Checking => "checking",
            State::Changed => "changed",
            State::Applying => "applying",
            State::Applied => "applied",
            State::Failed => "failed",
            State::Expired => "expired",
        }
    }

    /// What the document of a simulation says.
    pub fn of(document: &Object<String, Value>) -> Option<Self> {
        let name = document.get("state")?.as_str()?;
        State::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// Whether somebody has still to work at it.
    pub fn is_open(self) -> bool {
        matches!(self, State::Waiting | State::Running | State::Checking | State::Applying)
    }
}

/// The lists that the results of one attempt lie in. The next attempt has the other ones, so that the result which was
/// shown stays until the next is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lists {
    objects: &'static str,
    targets: &'static str,
}

const EVEN: Lists = Lists { objects: OBJECTS, targets: TARGETS };
const ODD: Lists = Lists { objects: "object2", targets: "target2" };
/// All that goes with a simulation.
const ALL_LISTS: [&str; 8] =
    [EVEN.objects, EVEN.targets, ODD.objects, ODD.targets, DIFFERENCES, SKIPPED, DONE, writes::LIST];

/// How often it was worked out to the end.
fn attempts(document: &Object<String, Value>) -> u64 {
    document.get("attempt").and_then(Value::as_u64).unwrap_or_default()
}

fn lists(attempt: u64) -> Lists {
    if attempt.is_multiple_of(2) { EVEN } else { ODD }
}

/// When it expires, µs since 1970.
fn expires(document: &Object<String, Value>) -> Option<i64> {
    instant(document.get("expires"))
}

/// Checks the document of a simulation against the tenant's User. Errors are 400 invalidValue.
pub(super) fn check(registry: &Registry, document: &Object<String, Value>) -> Result<(), scim::Error> {
    let user = registry.definition(USER);
    let user = user.ok_or_else(|| scim::Error::invalid_value("There is no resource type User."))?;
    covered(document, user)?;
    proposals::check(registry, document)?;
    sight::named(document)?;
    undo::check_alone(document)?;
    writes::check(document)?;
    let (activate, deprecate) = (rules_of(document, "activate")?, rules_of(document, "deprecate")?);
    match activate.iter().find(|id| deprecate.contains(id)) {
        Some(both) => Err(scim::Error::invalid_value(format!("The rule {both} cannot be activated and deprecated."))),
        None => Ok(()),
    }
}

/// Sees to a simulation that is written or removed: its subject stays, a client decides on one that has a result, and what
/// goes with it goes. Whoever works at one that is deleted finds that out and stops.
pub(super) fn attend(
    write: &Write<'_>,
    after: Option<&mut Object<String, Value>>,
    work: &mut Work<'_>,
) -> Result<Option<Follow>, Error> {
    match (write.before, after) {
        (None, Some(document)) => begin(write.ctx, document, work)?,
        (Some(before), Some(document)) => decide(write.ctx, before, document, work)?,
        (before, None) => {
            if before.map(document_of).transpose()?.as_ref().and_then(State::of) == Some(State::Applying) {
                let detail = "The simulation is being applied. Reject its run to stop it where it is.";
                return Err(scim::Error::status(409, detail).into());
            }
            ALL_LISTS.iter().for_each(|list| work.drop_run_items(write.id, list));
            work_items::close(write.ctx, work, work_items::Kind::Simulation, write.id, true)?;
        }
    }
    Ok(None)
}

/// What the server says of a simulation that is created. Called under the lock. Fails with 400 for a rule that is not
/// there, or is not proposed or active as it must be, and for moments that have passed.
fn begin(ctx: &Ctx, document: &mut Object<String, Value>, work: &mut Work<'_>) -> Result<(), Error> {
    let refuse = |detail: &str| Error::from(scim::Error::invalid_value(detail.to_owned()));
    if document.contains_key("decision") {
        return Err(refuse("decision comes once the result is there."));
    }
    // A client's clock may be a little ahead of ours.
    if instant(document.get("asOf")).is_some_and(|at| at < ctx.now - 86_400_000_000) {
        return Err(refuse("asOf has passed. A simulation looks ahead; what was, the audit tells."));
    }
    let expires = expires(document).unwrap_or(ctx.now.saturating_add(KEPT));
    if expires <= ctx.now || expires - ctx.now > KEPT_MOST {
        return Err(refuse("expires lies ahead, and no further than a year."));
    }
    document.insert("expires".into(), format_instant(expires).into());
    document.insert("state".into(), State::Waiting.as_str().into());
    sight::Onlookers::of(ctx, document, work)?;
    undo::begin(document, work)?;
    Plan::of(document, work).map(drop)
}

/// What a client writes of a simulation: its name, and the decision on one that has a result. Called under the lock, with
/// what it was before. Fails with 409 where there is nothing to decide, and as denied for who may not activate the rules.
fn decide(ctx: &Ctx, before: &Record, document: &mut Object<String, Value>, work: &mut Work<'_>) -> Result<(), Error> {
    let known = document_of(before)?;
    keep_subject(&known, document)?;
    let decision = document.get("decision").and_then(Value::as_str);
    if known.get("decision").and_then(Value::as_str) == decision {
        return Ok(());
    }
    if decision != Some("apply") {
        return Err(scim::Error::invalid_value("decision is apply.").into());
    }
    let is_current = expires(&known).is_some_and(|expires| expires > ctx.now);
    if !matches!(State::of(&known), Some(State::Ready | State::Changed)) || !is_current {
        return Err(scim::Error::status(409, "Only a simulation with a result is decided on.").into());
    }
    decide_limits(&known, document)?;
    for change in Plan::of(document, work)?.changes {
        let record = work.record(change.rule)?.ok_or(store::Error::NotFound)?;
        let was = document_of(&record)?;
        let mut is = was.clone();
        is.insert("lifecycle".into(), change.to.as_str().into());
        rules::stamp(ctx, Some(&was), &mut is)?;
    }
    let mut decided = Object::from_iter([("at".to_owned(), format_instant(ctx.now).into())]);
    if ctx.caller.id != ResourceId::SYSTEM {
        decided.insert("by".into(), ctx.caller.id.to_string().into());
    }
    if let Some(user) = ctx.caller.user {
        decided.insert("user".into(), user.to_string().into());
    }
    document.insert("decided".into(), Value::Object(decided));
    document.insert("state".into(), State::Checking.as_str().into());
    work_items::close(ctx, work, work_items::Kind::Simulation, before.id, true)
}

/// Looks at the decision on one that exceeds limits: whoever decides has to say so. Fails with 409.
fn decide_limits(known: &Object<String, Value>, document: &Object<String, Value>) -> Result<(), Error> {
    let tripped = known.get("tripped").and_then(Value::as_array).map(Vec::len).unwrap_or_default();
    if !subject::is_own(known) || tripped == 0 || document.get("beyondLimits") == Some(&Value::Bool(true)) {
        return Ok(());
    }
    let detail = "Applying it would exceed limits of the guard (tripped). Who has looked at them and wants it says \
                  beyondLimits with the decision.";
    Err(scim::Error::status(409, detail).into())
}

/// What a simulation is about stays, also what was not said of it. Fails with 400 mutability for another.
fn keep_subject(known: &Object<String, Value>, document: &mut Object<String, Value>) -> Result<(), scim::Error> {
    let subject = [
        "asOf",
        "activate",
        "deprecate",
        "policies",
        "units",
        "withdraw",
        "undo",
        "operations",
        "views",
        "filter",
        "expires",
    ];
    for name in subject {
        match (known.get(name), document.get(name)) {
            (Some(was), None) => drop(document.insert(name.to_owned(), was.clone())),
            (was, is) if was == is => {}
            _ => {
                let detail = format!("{name} stays as it is. Ask with another simulation.");
                return Err(scim::Error::new(scim::ScimType::Mutability, detail));
            }
        }
    }
    Ok(())
}

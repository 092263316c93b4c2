//! The account of a User by the policy that covers it: what its clients say of `active` becomes blocks, what they delete is
//! withdrawn, and the state follows. Decides nothing by itself: `provisioning::lifecycle` judges, and this writes it down.

use provisioning::facts::Facts;
use provisioning::lifecycle::{Standing, State, Terms, Verdict, judge};
use serde_json::{Map, Value};
use store::ResourceId;

use super::super::Ctx;
use super::standing;

/// What became of the account.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Life {
    /// When its state changes next by itself, µs since 1970.
    pub(super) next: Option<i64>,
    /// Whether it is to be purged.
    pub(super) is_over: bool,
}

/// Takes the state out of an account that no policy covers.
pub(super) fn forget(after: &mut Map<String, Value>) -> Life {
    standing::unwrite(after);
    Life::default()
}

/// Writes the state that follows.
pub(super) fn tell(
    ctx: &Ctx,
    terms: &Terms,
    before: Option<&Map<String, Value>>,
    after: &mut Map<String, Value>,
) -> Life {
    let withdrawn = standing::withdrawn(after);
    let was_withdrawn = before.and_then(standing::withdrawn);
    let is_back = was_withdrawn.is_some() && withdrawn.is_none();
    let standing = Standing {
        held: before.and_then(standing::held),
        was_dated: before.is_some_and(|before| !Facts::of(before).is_empty()),
        withdrawn,
        is_back,
        is_blocked: standing::is_blocked(after),
        is_on_hold: standing::is_on_hold(after),
    };
    let verdict = judge(terms, &Facts::of(after), standing, ctx.now);
    if verdict.state == State::Purged {
        // Nobody's write erases an account: that is left to the scheduler, which is told that it is time.
        let since = standing.held.map_or(ctx.now, |(_, since)| since);
        let kept = Verdict { state: State::Limbo, since, next: Some((State::Purged, ctx.now)) };
        standing::write(after, &kept_as_it_is(&kept, before));
        return Life { next: Some(ctx.now), is_over: true };
    }
    standing::write(after, &verdict);
    Life { next: verdict.next.map(|(_, at)| at), is_over: false }
}

/// What is over is not written once more with another moment at which it was to be.
fn kept_as_it_is(kept: &Verdict, before: Option<&Map<String, Value>>) -> Verdict {
    match before.and_then(standing::next) {
        Some((State::Purged, at)) => Verdict { next: Some((State::Purged, at)), ..*kept },
        _ => *kept,
    }
}

/// What the caller has said of `active`: the account is not, which blocks it, or it is, which lifts its own block and an
/// administrator everybody's. Who leaves `active` as it is has said nothing.
pub(super) fn hear(ctx: &Ctx, before: Option<&Map<String, Value>>, after: &mut Map<String, Value>) {
    let client = ctx.caller.id;
    if client == ResourceId::SYSTEM {
        return;
    }
    let active = |document: &Map<String, Value>| document.get("active").and_then(Value::as_bool);
    let said = active(after);
    match before {
        None => {
            standing::change_source(after, client, |source| source.hold(ctx.now));
            if said == Some(false) {
                standing::change_source(after, client, |source| source.block(ctx.now));
            }
        }
        Some(before) if active(before) == said => {}
        Some(_) if said == Some(false) => standing::change_source(after, client, |source| source.block(ctx.now)),
        Some(_) if ctx.caller.scopes.is_admin() => standing::lift_all(after),
        Some(_) => standing::change_source(after, client, standing::Source::lift),
    }
}

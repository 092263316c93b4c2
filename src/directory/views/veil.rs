//! What of accounts a client does not see for the sake of their lives, beside what its view hides: a source what it has
//! withdrawn, and whoever pulls what is not there yet and what is there no longer. A view that asks about the states of
//! accounts decides that for itself. Where no policy lets accounts have states, nothing is hidden.

use provisioning::lifecycle::State;
use provisioning::person::{URN, USER};
use scim::filter::{Checked, Filter};
use scim::schema::Definition;
use store::{ResourceId, TenantId};

use super::super::scope::Access;
use super::super::{Caller, Directory};

/// What of accounts a client does not see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Veil {
    /// It sees all of them.
    #[default]
    None,
    /// It pulls: it sees neither those that are planned, staged or in limbo.
    Consumer,
    /// It pushes: it does not see what it has withdrawn.
    Source(ResourceId),
}

impl Veil {
    /// The filter over User that it comes to. `own` is what the client's view asks.
    pub(super) fn filter(self, user: &Definition, own: Option<&Filter<Checked>>) -> Option<Filter<Checked>> {
        let text = match self {
            Veil::None => return None,
            Veil::Source(client) => format!("not ({URN}:sources[value eq \"{client}\" and withdrawn pr])"),
            Veil::Consumer => {
                let states = format!("{URN}:lifecycle.state");
                if own.is_some_and(|own| own.attributes().contains(states.as_str())) {
                    return None;
                }
                let hidden = [State::Planned, State::Staged, State::Limbo];
                let hidden = hidden.map(|state| format!("{states} eq \"{}\"", state.as_str()));
                format!("not ({})", hidden.join(" or "))
            }
        };
        // Without the extension no account has a state.
        Filter::parse(&text).and_then(|filter| filter.check(user)).ok()
    }
}

impl Directory {
    /// What of accounts a caller does not see. Asks nothing: whether there is a policy was seen with the tenant's catalog.
    pub fn veil(&self, tenant: TenantId, caller: &Caller) -> Veil {
        match () {
            () if caller.scopes.is_admin() || !self.has_policies(tenant) => Veil::None,
            () if caller.scopes.allow(USER, Access::Write) => Veil::Source(caller.id),
            () => Veil::Consumer,
        }
    }
}

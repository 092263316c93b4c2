//! On whose behalf a use case runs.

use std::sync::{Arc, Mutex, PoisonError};

use scim::resource::Strictness;
use scim::schema::{Definition, Registry};
use scim::view::{View, Views};
use sha2::{Digest, Sha256};
use store::work::Origin;
use store::{By, Random, ResourceId, TenantId};

use super::audit::Released;
use super::authority::Writes;
use super::licences::Winners;
use super::once::Once;
use super::scope::Scopes;
use super::views::Outlook;
use crate::network::Network;

/// What a client is here for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Pushes.
    Source,
    /// Pulls.
    Consumer,
    /// May do everything.
    Administrator,
}

impl Role {
    /// The role of that name.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "source" => Some(Role::Source),
            "consumer" => Some(Role::Consumer),
            "administrator" => Some(Role::Administrator),
            _ => None,
        }
    }

    /// The name in the client's schema.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Source => "source",
            Role::Consumer => "consumer",
            Role::Administrator => "administrator",
        }
    }
}

/// How strictly the protocol is read for a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// RFC 7643 and 7644, and the habits of real clients understood.
    #[default]
    Rfc,
    /// RFC 7643 and 7644 and nothing later: for clients that take no answer with a member they do not know.
    Core,
    /// The interoperability profile, draft 01.
    Interop01,
    /// The IPSIE identity lifecycle profile: the interoperability profile, and no passwords.
    Ipsie,
    /// The Swedish school profile.
    Egil,
}

impl Profile {
    /// The profile of that name.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "rfc" => Some(Profile::Rfc),
            "core" => Some(Profile::Core),
            "interop-01" => Some(Profile::Interop01),
            "ipsie" => Some(Profile::Ipsie),
            "egil" => Some(Profile::Egil),
            _ => None,
        }
    }

    /// The name in the client's schema.
    pub fn as_str(self) -> &'static str {
        match self {
            Profile::Rfc => "rfc",
            Profile::Core => "core",
            Profile::Interop01 => "interop-01",
            Profile::Ipsie => "ipsie",
            Profile::Egil => "egil",
        }
    }

    /// Whether it is the interoperability profile or one built on it.
    pub fn is_interop(self) -> bool {
        matches!(self, Profile::Interop01 | Profile::Ipsie)
    }

    /// Whether answers may hold what an RFC later than 7644 has added to a message of theirs.
    pub fn knows_additions(self) -> bool {
        self != Profile::Core
    }

    /// Whether its clients put their own `externalId` where an id stands.
    pub fn has_names(self) -> bool {
        self == Profile::Egil
    }

    /// Whether users have a `password`. Without it, it is an unknown attribute.
    pub fn has_passwords(self) -> bool {
        self != Profile::Ipsie
    }

    /// How a body that strays from the standard is met.
    pub fn strictness(self) -> Strictness {
        match self {
            Profile::Rfc | Profile::Core | Profile::Egil => Strictness::Tolerant,
            Profile::Interop01 | Profile::Ipsie => Strictness::Strict,
        }
    }
}

/// The client that asks.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Its client resource; [`ResourceId::SYSTEM`] for the operator at the command line.
    pub id: ResourceId,
    /// The user that a token of a foreign issuer names.
    pub user: Option<ResourceId>,
    /// Its name, for logs.
    pub name: Arc<str>,
    /// What it is here for.
    pub role: Role,
    /// What it may do.
    pub scopes: Scopes,
    /// How strictly it is read.
    pub profile: Profile,
    /// Its provisioning domain: whose `externalId` values it sees and sets.
    pub domain: ResourceId,
    /// Canonical paths of attributes that it must not filter by in a URL (RFC 7644 section 7.5.2).
    pub sensitive: Arc<[String]>,
    /// What it may see; [`Ctx::views`] says what that is of the resource types of the moment.
    pub outlook: Arc<Outlook>,
    /// What of resources it may write.
    pub writes: Arc<Writes>,
    /// Whence it may ask; empty: from anywhere.
    pub networks: Arc<[Network]>,
    /// How much it may ask for.
    pub rate: Rate,
    /// The account domain of the Users that it creates.
    pub account_domain: Option<Arc<str>>,
    /// Whether the names of Users are made by a policy, and not by it.
    pub generates_names: bool,
}

/// How much a client may ask for; `None`: as much as the server is configured with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    /// Requests a second in the long run.
    pub per_second: Option<u32>,
    /// Requests at once after a pause.
    pub burst: Option<u32>,
    /// Requests under way at a time.
    pub concurrent: Option<u32>,
}

/// The liberties that were taken in understanding a request, whether it was carried out or not. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Tolerances(Arc<Mutex<Vec<&'static str>>>, Arc<Mutex<Vec<String>>>);

impl Tolerances {
    /// Notes the paths of what a request would have changed outside of its client's authority and has not.
    pub fn ignore(&self, paths: &[String]) {
        let mut ignored = self.1.lock().unwrap_or_else(PoisonError::into_inner);
        for path in paths {
            if !ignored.contains(path) {
                ignored.push(path.clone());
            }
        }
    }

    /// Those paths, each once.
    pub fn ignored(&self) -> Vec<String> {
        self.1.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes in what a body made use of.
    pub fn take_in(&self, quirks: impl IntoIterator<Item = &'static str>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(quirks);
    }

    /// The quirks in the order of use; one used twice stands twice.
    pub fn used(&self) -> Vec<&'static str> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The context of a use case.
#[derive(Clone, Debug)]
pub struct Ctx {
    /// The register.
    pub tenant: TenantId,
    /// Who asks.
    pub caller: Arc<Caller>,
    /// What it may see of each resource type.
    pub views: Arc<Views>,
    /// µs since 1970.
    pub now: i64,
    /// Source of ids and salts.
    pub random: Random,
    /// Base of every location; no slash at its end.
    pub base_url: Arc<str>,
    /// By what means, beside the caller: what the audit tells of the request.
    pub by: By,
    /// The request's id, in logs and answers.
    pub request_id: Arc<str>,
    /// Grows with every change of the tenant's own schemas and resource types; 0 without any.
    pub schemas: i64,
    /// The tenant's resource types when a read began, which is short; `None`: as they were last seen.
    pub registry: Option<Arc<Registry>>,
    /// The key under which the request is done once, if it has one.
    pub once: Option<Arc<Once>>,
    /// Work everything out and store nothing.
    pub simulate: bool,
    /// Whether it is part of something that was weighed as a whole: it is counted, and not weighed by itself.
    pub weighed: bool,
    /// Where the liberties that the request needs are noted.
    pub tolerances: Tolerances,
    /// Who is given a seat of a limited entitlement, if it is not for the register to say: in simulations.
    pub winners: Option<Winners>,
    /// The protected people that the answer shows.
    pub released: Released,
    /// Whether nobody but the request waits for the thread that asks.
    pub is_alone: fn() -> bool,
}

/// Moves when a schema that is shipped changes what an unchanged resource looks like.
const SCHEMA_REVISION: u8 = 1;

impl Ctx {
    /// The operator at the command line: sees and may do everything.
    pub fn system(tenant: TenantId, now: i64, random: Random) -> Self {
        let caller = Caller {
            id: ResourceId::SYSTEM,
            user: None,
            name: "operator".into(),
            role: Role::Administrator,
            scopes: Scopes::admin(),
            profile: Profile::Rfc,
            domain: ResourceId::SYSTEM,
            sensitive: Arc::default(),
            writes: Arc::default(),
            networks: Arc::default(),
            rate: Rate::default(),
            outlook: Outlook::everything(),
            account_domain: None,
            generates_names: false,
        };
        Ctx {
            tenant,
            caller: Arc::new(caller),
            views: Views::everything(),
            now,
            random,
            base_url: "".into(),
            by: By::default(),
            request_id: "operator".into(),
            schemas: 0,
            registry: None,
            once: None,
            simulate: false,
            weighed: false,
            tolerances: Tolerances::default(),
            winners: None,
            released: Released::default(),
            is_alone: || false,
        }
    }

    /// The same within a run: the journal tells of each change that it is the run's.
    pub fn within(mut self, run: ResourceId) -> Self {
        self.by.request = Some(run.to_string().into());
        self
    }

    /// What the caller may see of a resource type.
    pub fn view(&self, definition: &Definition) -> &Arc<View> {
        self.views.of(definition.name())
    }

    /// The origin of the changes this context makes.
    pub(super) fn origin(&self) -> Origin {
        let cause = match self.weighed {
            _ if self.caller.id == ResourceId::SYSTEM => "operator",
            true => "feed",
            false => "request",
        };
        Origin { actor: self.caller.id, cause, by: self.by.clone(), now: self.now, random: self.random.clone() }
    }

    /// What of the answer depends on who asks, as a number: part of every entity tag.
    pub(super) fn lens(&self) -> u64 {
        let mut digest = Sha256::new().chain_update([SCHEMA_REVISION, self.caller.profile as u8]);
        if self.schemas != 0 {
            digest.update(self.schemas.to_be_bytes());
        }
        if !self.views.are_everything() {
            digest.update(self.views.digest().to_be_bytes());
        }
        digest.finalize().iter().take(8).fold(0, |lens, byte| lens << 8 | u64::from(*byte))
    }
}

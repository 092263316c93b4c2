//! Scopes: what a client may do with resources of a type, as texts that OAuth uses too.
//!
//! `User:read` and `User:write` are about one resource type, `*:read` and `*:write` about every type that holds
//! identities, `admin` is everything. Writing does not include reading. What administers the register itself (clients,
//! views, the audit) is not among `*`: it may be read by a scope that names the type, and changed with `admin` alone,
//! for whoever changes clients can give itself any scope. `User:block` lets a client block people, or lift that, beside
//! what it writes of them; `User:pin` lets it correct values by hand for a while; `WorkItem:decide` lets it see and decide the work
//! items that are its own. Says nothing of single resources or attributes: that is the
//! view's business and the [authority](scim::authority)'s.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::Role;

/// Resource types that administer the register.
const ADMINISTRATIVE: [&str; 11] =
    ["Client", "View", "Issuer", "Policy", "Authority", "Rule", "Feed", "Run", "Simulation", "WorkItem", "AuditEvent"];

/// The scope that includes all others.
pub const ADMIN: &str = "admin";
/// The type whose resources can be blocked.
const BLOCKABLE: &str = "User";
/// The type of what somebody has to decide.
const DECIDABLE: &str = "WorkItem";
/// Stands for every type that holds identities.
const ANY: &str = "*";

/// What a request wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// GET and `.search`.
    Read,
    /// POST, PUT, PATCH and DELETE.
    Write,
    /// Of Users: that they are not active from this moment on, whatever their sources say.
    Block,
    /// Corrections by hand that stay for a while, whatever sources say.
    Pin,
    /// Of work items: to see those that are one's own, and to say that they are done.
    Decide,
}

impl Access {
    /// As scopes write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Access::Read => "read",
            Access::Write => "write",
            Access::Block => "block",
            Access::Pin => "pin",
            Access::Decide => "decide",
        }
    }
}

/// What may be done with one type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Grant {
    read: bool,
    write: bool,
    block: bool,
    pin: bool,
    decide: bool,
}

impl Grant {
    const ALL: Grant = Grant { read: true, write: true, block: false, pin: false, decide: false };

    fn has(self, access: Access) -> bool {
        match access {
            // Whoever decides its own reads them first, and writes that it has.
            Access::Read => self.read || self.decide,
            Access::Write => self.write || self.decide,
            Access::Block => self.block,
            Access::Pin => self.pin,
            Access::Decide => self.decide,
        }
    }

    /// Whether it was said by name, and does not only follow.
    fn says(self, access: Access) -> bool {
        match access {
            Access::Read => self.read,
            Access::Write => self.write,
            other => self.has(other),
        }
    }

    fn add(&mut self, access: Access) {
        match access {
            Access::Read => self.read = true,
            Access::Write => self.write = true,
            Access::Block => self.block = true,
            Access::Pin => self.pin = true,
            Access::Decide => self.decide = true,
        }
    }

    fn and(self, other: Grant) -> Grant {
        Grant {
            read: self.read && other.read,
            write: self.write && other.write,
            block: self.block && other.block,
            pin: self.pin && other.pin,
            decide: self.decide && other.decide,
        }
    }

    fn or(self, other: Grant) -> Grant {
        Grant {
            read: self.read || other.read,
            write: self.write || other.write,
            block: self.block || other.block,
            pin: self.pin || other.pin,
            decide: self.decide || other.decide,
        }
    }

    fn is_empty(self) -> bool {
        self == Grant::default()
    }
}

/// A set of scopes. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes {
    is_admin: bool,
    any: Grant,
    /// Types that are named, by name.
    named: Arc<BTreeMap<String, Grant>>,
}

impl Scopes {
    /// Every scope.
    pub fn admin() -> Self {
        Scopes { is_admin: true, any: Grant::ALL, named: Arc::default() }
    }

    /// What a role stands for.
    pub fn of(role: Role) -> Self {
        match role {
            Role::Administrator => Scopes::admin(),
            Role::Source => Scopes { any: Grant::ALL, ..Scopes::default() },
            Role::Consumer => Scopes { any: Grant { read: true, ..Grant::default() }, ..Scopes::default() },
        }
    }

    /// Reads scopes. Fails with the first text that is none; whether its type exists is not asked.
    pub fn parse<'t>(texts: impl IntoIterator<Item = &'t str>) -> Result<Self, &'t str> {
        let mut scopes = Scopes::default();
        let mut named: BTreeMap<String, Grant> = BTreeMap::new();
        for text in texts {
            if text == ADMIN {
                (scopes.is_admin, scopes.any) = (true, Grant::ALL);
                continue;
            }
            let (kind, access) = split(text).ok_or(text)?;
            match kind {
                ANY => scopes.any.add(access),
                kind => named.entry(kind.to_owned()).or_default().add(access),
            }
        }
        scopes.named = Arc::new(named);
        Ok(scopes)
    }

    /// Whether it is everything.
    pub fn is_admin(&self) -> bool {
        self.is_admin
    }

    /// Whether they let a client do that with resources of a type, by the type's name.
    pub fn allow(&self, kind: &str, access: Access) -> bool {
        let kind = owner_of(kind);
        self.is_admin
            || (self.any.has(access) && !is_administrative(kind))
            || (!self.named.is_empty() && self.named.get(kind).is_some_and(|grant| grant.has(access)))
    }

    /// Whether they let a client write anything at all.
    pub fn allow_writing(&self) -> bool {
        self.any.write || self.named.values().any(|grant| grant.has(Access::Write))
    }

    /// Whether they let a client see those resources of a type alone that are its own to decide.
    pub fn are_of_own(&self, kind: &str) -> bool {
        !self.is_admin && self.named.get(kind).is_some_and(|grant| grant.decide && !grant.read)
    }

    /// Those of both: what a token may do that asked for less than its client has.
    #[must_use]
    pub fn narrow(&self, other: &Scopes) -> Scopes {
        if self.is_admin && other.is_admin {
            return Scopes::admin();
        }
        let of = |scopes: &Scopes, kind: &str| {
            let own = scopes.named.get(kind).copied().unwrap_or_default();
            match scopes.is_admin {
                true => Grant { block: true, pin: true, decide: true, ..Grant::ALL },
                false if is_administrative(kind) => own,
                false => own.or(scopes.any),
            }
        };
        let kinds = self.named.keys().chain(other.named.keys());
        let named = kinds.map(|kind| (kind.clone(), of(self, kind).and(of(other, kind))));
        let named = named.filter(|(_, grant)| !grant.is_empty()).collect();
        Scopes { is_admin: false, any: self.any.and(other.any), named: Arc::new(named) }
    }

    /// The types that are named.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.named.keys().map(String::as_str)
    }

    /// The scopes as texts, in order.
    pub fn texts(&self) -> Vec<String> {
        if self.is_admin {
            return vec![ADMIN.to_owned()];
        }
        let all = [(ANY, self.any)].into_iter().chain(self.named.iter().map(|(kind, grant)| (kind.as_str(), *grant)));
        let each = all.flat_map(|(kind, grant)| {
            let access = [Access::Read, Access::Write, Access::Block, Access::Pin, Access::Decide]
                .into_iter()
                .filter(move |access| grant.says(*access));
            access.map(move |access| name(kind, access))
        });
        each.collect()
    }
}

/// As OAuth writes them: separated by spaces (RFC 6749 section 3.3).
impl fmt::Display for Scopes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.texts().join(" "))
    }
}

/// The scope that a request needs, for a sentence that names it.
pub fn needed(kind: &str, access: Access) -> String {
    let kind = owner_of(kind);
    match (is_administrative(kind), access) {
        (true, Access::Write) => ADMIN.to_owned(),
        _ => name(kind, access),
    }
}

/// Whether resources of the type administer the register.
pub fn is_administrative(kind: &str) -> bool {
    ADMINISTRATIVE.contains(&kind)
}

fn name(kind: &str, access: Access) -> String {
    format!("{kind}:{}", access.as_str())
}

/// The type whose scope is asked: a membership is part of its group.
fn owner_of(kind: &str) -> &str {
    if kind == store::GROUP_MEMBERSHIP { "Group" } else { kind }
}

fn split(text: &str) -> Option<(&str, Access)> {
    let (kind, access) = text.split_once(':')?;
    let access = match access {
        "read" => Access::Read,
        "write" => Access::Write,
        // Blocking is about people.
        "block" if kind == BLOCKABLE => Access::Block,
        "pin" if kind != ANY && !is_administrative(kind) => Access::Pin,
        "decide" if kind == DECIDABLE => Access::Decide,
        _ => return None,
    };
    let is_name = kind == ANY
        || (!kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_$".contains(&byte)));
    let is_admins = is_administrative(kind) && access == Access::Write;
    (is_name && !is_admins).then_some((kind, access))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(text: &str) -> Scopes {
        Scopes::parse(text.split_whitespace()).expect(text)
    }

    #[test]
    fn scopes_allow_what_the_table_says() {
        use Access::{Block, Decide, Pin, Read, Write};
        let table = [
            ("*:read *:write", "User", Read, true),
            ("*:read *:write", "User", Write, true),
            ("*:read *:write", "Client", Read, false),
            ("*:read *:write", "Client", Write, false),
            ("*:read *:write", "View", Read, false),
            ("*:read", "Group", Write, false),
            ("*:write", "Group", Read, false),
            ("User:write", "User", Write, true),
            ("User:write", "User", Read, false),
            ("User:write", "Group", Write, false),
            ("Group:write", "GroupMembership", Write, true),
            ("GroupMembership:write", "GroupMembership", Write, false),
            ("*:read User:write", "Group", Read, true),
            ("Client:read", "Client", Read, true),
            ("AuditEvent:read", "AuditEvent", Read, true),
            ("admin", "Client", Write, true),
            ("admin", "User", Read, true),
            ("User:write", "User", Block, false),
            ("*:read *:write", "User", Block, false),
            ("User:block", "User", Block, true),
            ("User:write", "User", Pin, false),
            ("User:pin", "User", Pin, true),
            ("User:pin", "User", Write, false),
            ("admin", "User", Pin, true),
            ("User:block", "User", Write, false),
            ("admin", "User", Block, true),
            ("*:read *:write", "Policy", Read, false),
            ("Policy:read", "Policy", Read, true),
            ("WorkItem:decide", "WorkItem", Decide, true),
            ("WorkItem:decide", "WorkItem", Read, true),
            ("WorkItem:decide", "WorkItem", Write, true),
            ("WorkItem:read", "WorkItem", Decide, false),
            ("WorkItem:read", "WorkItem", Write, false),
            ("WorkItem:decide", "Run", Write, false),
            ("", "User", Read, false),
        ];
        for (text, kind, access, allowed) in table {
            assert_eq!(scopes(text).allow(kind, access), allowed, "{text:?} {kind} {access:?}");
        }
    }

    #[test]
    fn what_is_no_scope_is_named() {
        for text in [
            "User",
            "User:",
            "User:delete",
            ":read",
            "User:read:write",
            "administrator",
            "Us er:read",
            "å:read",
            "Client:write",
            "Policy:write",
            "Group:block",
            "*:block",
            "*:pin",
            "Client:pin",
            "Run:decide",
            "*:decide",
        ] {
            assert_eq!(Scopes::parse(["*:read", text]).err(), Some(text));
        }
    }

    #[test]
    fn scopes_read_back_as_they_are_shown() {
        for text in [
            "admin",
            "*:read",
            "*:read *:write",
            "*:read User:write",
            "Group:read User:read User:write User:block",
            "WorkItem:decide",
            "",
        ] {
            assert_eq!(scopes(text).to_string(), text);
        }
        assert_eq!(scopes("User:write *:read admin").to_string(), "admin", "it includes all others");
    }

    #[test]
    fn a_token_that_asks_for_less_has_less_and_never_more() {
        let table = [
            ("admin", "*:read", "*:read"),
            ("admin", "admin", "admin"),
            ("admin", "Client:read", "Client:read"),
            ("*:read *:write", "admin", "*:read *:write"),
            ("*:read *:write", "User:read", "User:read"),
            ("*:read", "User:read User:write", "User:read"),
            ("User:read", "*:read *:write", "User:read"),
            ("User:read Group:write", "Group:read", ""),
            ("*:read", "Client:read", ""),
            ("*:read User:write", "*:read", "*:read User:read"),
            ("admin", "User:write User:block", "User:write User:block"),
            ("User:write", "User:block", ""),
        ];
        for (has, asks, gets) in table {
            assert_eq!(scopes(has).narrow(&scopes(asks)).to_string(), gets, "{has} / {asks}");
        }
    }

    #[test]
    fn roles_are_shorthand() {
        let table = [(Role::Administrator, "admin"), (Role::Source, "*:read *:write"), (Role::Consumer, "*:read")];
        for (role, text) in table {
            assert_eq!(Scopes::of(role), scopes(text));
        }
    }

    #[test]
    fn the_scope_that_is_missing_is_named() {
        assert_eq!(needed("User", Access::Read), "User:read");
        assert_eq!(needed("GroupMembership", Access::Write), "Group:write");
        assert_eq!(needed("Client", Access::Write), "admin");
        assert_eq!(needed("Client", Access::Read), "Client:read");
    }
}

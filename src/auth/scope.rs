//! Whether a client's scopes let it do what it asks for: the one place where they are asked, for every route. Decides by
//! scopes and resource type only; which resources a client sees is the view's business, which attributes it may write
//! the directory's.

use scim::schema::Definition;

use crate::directory::Caller;
use crate::directory::audit::AUDIT_EVENT;
use crate::directory::scope::{self, Access};

/// Whether the client may know of the resource type at all. What holds identities is no secret, even to who may not
/// read it: its schema is public.
pub fn knows(caller: &Caller, definition: &Definition) -> bool {
    let kind = definition.name();
    !scope::is_administrative(kind) || caller.scopes.allow(kind, Access::Read)
}

/// Whether the client may do that with resources of the type; the error is the sentence for it.
pub fn permit(caller: &Caller, definition: &Definition, access: Access) -> Result<(), String> {
    if definition.name() == AUDIT_EVENT && access == Access::Write {
        return Err("Nobody writes audit events: they tell of what was done.".to_owned());
    }
    if caller.scopes.allow(definition.name(), access) {
        return Ok(());
    }
    Err(lacks(&scope::needed(definition.name(), access)))
}

/// Whether it may write anything at all; the error is the sentence for it.
pub fn permit_writing(caller: &Caller) -> Result<(), String> {
    match caller.scopes.allow_writing() {
        true => Ok(()),
        false => Err("This client may only read: it lacks a scope such as User:write.".to_owned()),
    }
}

/// Whether it may do what administers the register; the error is the sentence for it.
pub fn permit_administering(caller: &Caller) -> Result<(), String> {
    if caller.scopes.is_admin() { Ok(()) } else { Err(lacks(scope::ADMIN)) }
}

fn lacks(scope: &str) -> String {
    format!("This client lacks the scope {scope}.")
}

#[cfg(test)]
mod tests {
    use scim::schema::Registry;

    use super::*;
    use crate::directory::scope::Scopes;
    use crate::directory::{Ctx, Random};

    fn caller(scopes: &str) -> Caller {
        let system = (*Ctx::system(store::TenantId(1), 0, Random::os()).caller).clone();
        Caller { scopes: Scopes::parse(scopes.split_whitespace()).expect("scopes"), ..system }
    }

    #[test]
    fn a_refusal_names_the_scope_that_is_missing() {
        let registry = Registry::builtin().expect("documents");
        let table = [
            ("*:read", "User", Access::Write, "User:write"),
            ("User:read", "Group", Access::Read, "Group:read"),
            ("*:read *:write", "GroupMembership", Access::Write, ""),
            ("*:read", "GroupMembership", Access::Write, "Group:write"),
            ("*:read *:write", "Client", Access::Read, "Client:read"),
            ("*:read Client:read", "Client", Access::Write, "admin"),
            ("admin", "Client", Access::Write, ""),
        ];
        for (scopes, kind, access, missing) in table {
            let definition = registry.definition(kind).expect("a resource type");
            let expected = if missing.is_empty() { Ok(()) } else { Err(lacks(missing)) };
            assert_eq!(permit(&caller(scopes), definition, access), expected, "{scopes} {kind} {access:?}");
        }
    }

    #[test]
    fn only_who_may_read_what_administers_the_register_knows_of_it() {
        let registry = Registry::builtin().expect("documents");
        let (client, user) =
            (registry.definition("Client").expect("known"), registry.definition("User").expect("known"));
        assert!(knows(&caller("admin"), client) && knows(&caller("Client:read"), client));
        assert!(!knows(&caller("*:read *:write"), client));
        assert!(knows(&caller("Group:read"), user));
    }
}

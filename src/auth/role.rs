//! What a client's role may do at an endpoint. A source reads and writes identities, a consumer reads them, an
//! administrator may do everything and alone may touch the clients themselves. Decides by role and resource type only;
//! which resources a client sees is the view's business.

use scim::schema::Definition;

use crate::directory::Role;

/// The resource type that holds the clients; only administrators may see or change it.
const CLIENT: &str = "Client";
/// The resource type of what is remembered; only administrators may see it, and nobody writes it.
const AUDIT_EVENT: &str = "AuditEvent";

/// What a request wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// GET and `.search`.
    Read,
    /// POST, PUT, PATCH and DELETE.
    Write,
}

/// Whether the role may see resources of the type at all.
pub fn sees(role: Role, definition: &Definition) -> bool {
    role == Role::Administrator || ![CLIENT, AUDIT_EVENT].contains(&definition.name())
}

/// Whether the role may do that; the error is the sentence for the client.
pub fn permit(role: Role, definition: &Definition, access: Access) -> Result<(), String> {
    if !sees(role, definition) {
        return Err(format!("Only an administrator may use /{}.", definition.endpoint()));
    }
    match access {
        Access::Read => Ok(()),
        Access::Write if definition.name() == AUDIT_EVENT => {
            Err("Nobody writes audit events: they tell of what was done.".to_owned())
        }
        Access::Write => permit_writing(role),
    }
}

/// Whether the role may write at all; the error is the sentence for the client.
pub fn permit_writing(role: Role) -> Result<(), String> {
    match role {
        Role::Consumer => {
            Err("This client is a consumer: it may read but not write. Use the credentials of a source.".to_owned())
        }
        Role::Source | Role::Administrator => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use scim::schema::Registry;

    use super::*;

    #[test]
    fn roles_may_do_what_the_table_says() {
        use Access::{Read, Write};
        use Role::{Administrator, Consumer, Source};
        let registry = Registry::builtin().expect("documents");
        let table = [
            (Source, "User", Read, true),
            (Source, "User", Write, true),
            (Source, "Client", Read, false),
            (Source, "Client", Write, false),
            (Consumer, "Group", Read, true),
            (Consumer, "Group", Write, false),
            (Consumer, "Client", Read, false),
            (Administrator, "User", Write, true),
            (Administrator, "Client", Write, true),
            (Administrator, "AuditEvent", Read, true),
            (Administrator, "AuditEvent", Write, false),
            (Source, "AuditEvent", Read, false),
        ];
        for (role, kind, access, allowed) in table {
            let definition = registry.definition(kind).expect("a resource type");
            assert_eq!(permit(role, definition, access).is_ok(), allowed, "{role:?} {access:?} {kind}");
        }
    }
}

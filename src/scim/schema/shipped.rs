//! Schemas and resource types that are shipped for tenants to install, each by a name of its own (`schemas/install/`). What
//! bears a URN of Matrikel's own cannot be brought by anybody in another wording.

use serde_json::Value;

use super::Registry;

/// What is installed together.
#[derive(Clone, Copy, Debug)]
pub struct Shipped {
    /// What it is asked for by.
    pub name: &'static str,
    /// What it is, for people.
    pub about: &'static str,
    /// The schema document.
    pub schema: &'static str,
    /// The resource type document. One without an endpoint adds its extension to a type of the server's own.
    pub resource_type: &'static str,
    /// What is asked for so often that it is indexed: resource types and paths.
    pub indexes: &'static [(&'static str, &'static str)],
}

macro_rules! document {
    ($name:literal) => {
        include_str!(concat!("../../../schemas/install/", $name, ".json"))
    };
}

/// All of it.
pub const SHIPPED: [Shipped; 10] = [
    Shipped {
        name: "device",
        about: "devices on a network (RFC 9944), at /Devices",
        schema: document!("device"),
        resource_type: document!("types/device"),
        indexes: &[],
    },
    Shipped {
        name: "role",
        about: "roles that can be given (draft roles and entitlements), at /Roles",
        schema: document!("role"),
        resource_type: document!("types/role"),
        indexes: &[],
    },
    Shipped {
        name: "entitlement",
        about: "entitlements that can be given (draft roles and entitlements), at /Entitlements",
        schema: document!("entitlement"),
        resource_type: document!("types/entitlement"),
        indexes: &[],
    },
    Shipped {
        name: "licence",
        about: "price, queue and reclaim of entitlements of which there are only so many",
        schema: document!("licence"),
        resource_type: document!("types/licence"),
        indexes: &[],
    },
    Shipped {
        name: "assignment",
        about: "seats of limited entitlements and who waits for one, at /Assignments",
        schema: document!("assignment"),
        resource_type: document!("types/assignment"),
        indexes: &[
            ("Assignment", "entitlement.value"),
            ("Assignment", "user.value"),
            ("Assignment", "person"),
            ("Assignment", "turn"),
            ("Assignment", "idle"),
            ("Assignment", "reclaim"),
        ],
    },
    Shipped {
        name: "person",
        about: "what HR and schools know of a user: number, employments, leaves, enrolments, lifecycle",
        schema: document!("person"),
        resource_type: document!("types/user-person"),
        indexes: &[
            ("User", "urn:matrikel:scim:schemas:1.0:Person:personalNumber"),
            ("User", "urn:matrikel:scim:schemas:1.0:Person:employments.unit"),
            ("User", "urn:matrikel:scim:schemas:1.0:Person:employments.unitPath"),
            ("User", "urn:matrikel:scim:schemas:1.0:Person:employments.manager"),
            ("User", "urn:matrikel:scim:schemas:1.0:Person:managerFrom.key"),
            ("User", "urn:matrikel:scim:schemas:1.0:Person:managersPassed.key"),
            ("User", "urn:matrikel:scim:schemas:1.0:Person:sponsor.value"),
        ],
    },
    Shipped {
        name: "organizational-unit",
        about: "the units of an organisation as a tree, at /OrganizationalUnits",
        schema: document!("organizational-unit"),
        resource_type: document!("types/organizational-unit"),
        indexes: &[
            ("OrganizationalUnit", "parent.value"),
            ("OrganizationalUnit", "parent.code"),
            ("OrganizationalUnit", "path"),
            ("OrganizationalUnit", "manager"),
        ],
    },
    Shipped {
        name: "people",
        about: "human beings and the accounts that are linked as theirs, at /Persons",
        schema: document!("people"),
        resource_type: document!("types/people"),
        indexes: &[("Person", "accounts.value")],
    },
    Shipped {
        name: "sources",
        about: "what several sources say of the same values of a user, and what is pinned by hand",
        schema: document!("sources"),
        resource_type: document!("types/user-sources"),
        indexes: &[],
    },
    Shipped {
        name: "adoption",
        about: "accounts as they were before the register, for a first load, at /Adoptions; needs person",
        schema: document!("adoption"),
        resource_type: document!("types/adoption"),
        indexes: &[
            ("Adoption", "employeeNumber"),
            ("Adoption", "urn:matrikel:scim:schemas:1.0:Person:personalNumber"),
            ("Adoption", "user.value"),
        ],
    },
];

/// What a municipality needs, in the order it is installed.
pub const MUNICIPALITY: [&str; 8] =
    ["person", "organizational-unit", "people", "entitlement", "licence", "assignment", "sources", "adoption"];

/// What is shipped by that name.
pub fn of_name(name: &str) -> Option<&'static Shipped> {
    SHIPPED.iter().find(|shipped| shipped.name == name)
}

/// The shipped schema document of a URN, in any case.
pub fn schema(urn: &str) -> Option<Value> {
    let mut documents = SHIPPED.iter().filter_map(|shipped| serde_json::from_str::<Value>(shipped.schema).ok());
    documents.find(|document| has(document, "id", urn))
}

/// Whether a tenant has the shipped resource type of that name, and not one of its own that is called so.
pub fn is_installed(registry: &Registry, kind: &str, schema: &str) -> bool {
    registry.definition(kind).is_some_and(|definition| definition.core.id == schema)
}

fn has(document: &Value, member: &str, value: &str) -> bool {
    document.get(member).and_then(Value::as_str).is_some_and(|known| known.eq_ignore_ascii_case(value))
}

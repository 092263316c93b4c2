//! The set of schemas and resource types that a server speaks. [`Registry::builtin`] holds the documents that are
//! shipped in `schemas/`; [`Registry::new`] builds one from any documents and refuses a set that contradicts itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::{Attribute, Definition, amendment};

/// A schema document (RFC 7643 section 7) and its parsed attributes.
#[derive(Clone, Debug)]
pub struct Schema {
    /// The URN.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// Attributes in the document's order.
    pub attributes: Vec<Attribute>,
    /// The document as it is served, without `meta`.
    pub document: Value,
}

impl Schema {
    /// The attribute of that name, in any case.
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        // Most are told apart by their length, at once.
        let is_it = |known: &str| known.len() == name.len() && known.eq_ignore_ascii_case(name);
        self.attributes.iter().find(|attribute| is_it(&attribute.name))
    }
}

/// An extension of a resource type (RFC 7643 section 6).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SchemaExtension {
    /// URN of the extension's schema.
    pub schema: String,
    /// Whether every resource of the type must have it.
    pub required: bool,
}

/// A resource type document (RFC 7643 section 6).
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceType {
    /// Identifier; equal to the name.
    pub id: String,
    /// Name, such as `User`.
    pub name: String,
    /// Endpoint relative to the base URL, such as `/Users`.
    pub endpoint: String,
    /// URN of the core schema.
    pub schema: String,
    /// Extensions in the document's order.
    #[serde(default)]
    pub schema_extensions: Vec<SchemaExtension>,
    /// The document as it is served, without `meta`.
    #[serde(skip)]
    pub document: Value,
}

/// Why a set of documents cannot be a registry.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// A document is not a schema or resource type.
    #[error("{name} is not a valid document: {reason}")]
    Document {
        /// The document's id, or its place in the list.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A resource type names a schema that is not there.
    #[error("resource type {resource_type} names the unknown schema {schema}")]
    UnknownSchema {
        /// The resource type.
        resource_type: String,
        /// The schema it names.
        schema: String,
    },
}

/// Schemas by URN and resource types by name. Cheap to clone behind an [`Arc`].
#[derive(Clone, Debug)]
pub struct Registry {
    schemas: BTreeMap<String, Arc<Schema>>,
    definitions: Vec<Arc<Definition>>,
    /// URNs, in lower case, and names of what [`Registry::extend`] added.
    own: BTreeSet<String>,
    /// Names of resource types that [`Registry::extend`] found here and gave extensions.
    amended: BTreeSet<String>,
    revision: i64,
}

const SCHEMAS: &[&str] = &[
    include_str!("../../../schemas/user.json"),
    include_str!("../../../schemas/enterprise-user.json"),
    include_str!("../../../schemas/group.json"),
    include_str!("../../../schemas/group-membership.json"),
    include_str!("../../../schemas/client.json"),
    include_str!("../../../schemas/view.json"),
    include_str!("../../../schemas/policy.json"),
    include_str!("../../../schemas/authority.json"),
    include_str!("../../../schemas/issuer.json"),
    include_str!("../../../schemas/feed.json"),
    include_str!("../../../schemas/run.json"),
    include_str!("../../../schemas/simulation.json"),
    include_str!("../../../schemas/work-item.json"),
    include_str!("../../../schemas/audit-event.json"),
    include_str!("../../../schemas/rule.json"),
    include_str!("../../../schemas/schema.json"),
    include_str!("../../../schemas/resource-type.json"),
    include_str!("../../../schemas/service-provider-config.json"),
];

const RESOURCE_TYPES: &[&str] = &[
    include_str!("../../../schemas/types/user.json"),
    include_str!("../../../schemas/types/group.json"),
    include_str!("../../../schemas/types/group-membership.json"),
    include_str!("../../../schemas/types/client.json"),
    include_str!("../../../schemas/types/view.json"),
    include_str!("../../../schemas/types/policy.json"),
    include_str!("../../../schemas/types/authority.json"),
    include_str!("../../../schemas/types/rule.json"),
    include_str!("../../../schemas/types/issuer.json"),
    include_str!("../../../schemas/types/feed.json"),
    include_str!("../../../schemas/types/run.json"),
    include_str!("../../../schemas/types/simulation.json"),
    include_str!("../../../schemas/types/work-item.json"),
    include_str!("../../../schemas/types/audit-event.json"),
];

impl Registry {
    /// The registry of the documents that are shipped with the server.
    pub fn builtin() -> Result<Self, RegistryError> {
        let parse = |texts: &[&str]| {
            texts
                .iter()
                .map(|text| {
                    serde_json::from_str(text)
                        .map_err(|error| RegistryError::Document { name: "schemas/".into(), reason: error.to_string() })
                })
                .collect::<Result<Vec<Value>, _>>()
        };
        Registry::new(parse(SCHEMAS)?, parse(RESOURCE_TYPES)?)
    }

    /// Builds a registry from schema and resource type documents.
    pub fn new(schemas: Vec<Value>, resource_types: Vec<Value>) -> Result<Self, RegistryError> {
        let nothing = Registry {
            schemas: BTreeMap::new(),
            definitions: Vec::new(),
            own: BTreeSet::new(),
            amended: BTreeSet::new(),
            revision: 0,
        };
        Ok(Registry { own: BTreeSet::new(), ..nothing.extend(schemas, resource_types, 0)? })
    }

    /// This registry and more documents: a tenant's own beside the built-in ones. A resource type that bears the name of
    /// one that is here amends it, see [`amendment`]. `revision` is a number that grows with every change of the
    /// documents.
    pub fn extend(
        &self,
        schemas: Vec<Value>,
        resource_types: Vec<Value>,
        revision: i64,
    ) -> Result<Self, RegistryError> {
        let mut registry = Registry { revision, ..self.clone() };
        for document in schemas {
            let schema = parse_schema(document)?;
            registry.own.insert(schema.id.to_ascii_lowercase());
            registry.schemas.insert(schema.id.to_ascii_lowercase(), Arc::new(schema));
        }
        for document in resource_types {
            let name = document.get("name").and_then(Value::as_str).unwrap_or_default();
            let here = self.definitions.iter().position(|known| known.name() == name);
            match here.and_then(|at| Some((at, self.definitions.get(at)?))) {
                Some((at, known)) => {
                    registry.amended.insert(name.to_owned());
                    let definition = registry.amend(known, &document)?;
                    if let Some(place) = registry.definitions.get_mut(at) {
                        *place = Arc::new(definition);
                    }
                }
                None => {
                    let resource_type = parse_resource_type(document)?;
                    registry.own.insert(resource_type.name.clone());
                    let definition = registry.define(resource_type)?;
                    registry.definitions.push(Arc::new(definition));
                }
            }
        }
        Ok(registry)
    }

    /// Whether the schema of that URN, or the resource type of that name, was added to the built-in ones.
    pub fn is_own(&self, id: &str) -> bool {
        self.own.contains(id) || self.own.contains(&id.to_ascii_lowercase())
    }

    /// Whether the resource type of that name was here already and was given extensions by [`Registry::extend`].
    pub fn is_amended(&self, name: &str) -> bool {
        self.amended.contains(name)
    }

    /// Grows with every change of the documents that were added; 0 without any.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// The schema of that URN; URNs compare case-insensitively (RFC 7643 section 2.1).
    pub fn schema(&self, urn: &str) -> Option<&Arc<Schema>> {
        self.schemas.get(&urn.to_ascii_lowercase())
    }

    /// Every schema, ordered by URN.
    pub fn schemas(&self) -> impl Iterator<Item = &Arc<Schema>> {
        self.schemas.values()
    }

    /// Every resource type, in the documents' order.
    pub fn definitions(&self) -> &[Arc<Definition>] {
        &self.definitions
    }

    /// The resource type of that name, such as `User`.
    pub fn definition(&self, name: &str) -> Option<&Arc<Definition>> {
        self.definitions.iter().find(|definition| definition.name() == name)
    }

    /// The resource type served at that endpoint, such as `Users` (no slash).
    pub fn at_endpoint(&self, endpoint: &str) -> Option<&Arc<Definition>> {
        self.definitions
            .iter()
            .find(|definition| definition.resource_type.endpoint.trim_start_matches('/').eq(endpoint))
    }

    /// A resource type that was here, with what a document adds to it.
    fn amend(&mut self, known: &Definition, document: &Value) -> Result<Definition, RegistryError> {
        let unique = amendment::unique(document);
        if !unique.is_empty() {
            let core = amendment::with_unique(&known.core, &unique);
            self.schemas.insert(core.id.to_ascii_lowercase(), Arc::new(core));
        }
        self.define(parse_resource_type(amendment::amended(&known.resource_type, document))?)
    }

    fn define(&self, resource_type: ResourceType) -> Result<Definition, RegistryError> {
        let find = |urn: &str| {
            self.schema(urn).cloned().ok_or_else(|| RegistryError::UnknownSchema {
                resource_type: resource_type.name.clone(),
                schema: urn.to_owned(),
            })
        };
        let core = find(&resource_type.schema)?;
        let extensions = resource_type
            .schema_extensions
            .iter()
            .map(|extension| Ok((find(&extension.schema)?, extension.required)))
            .collect::<Result<Vec<_>, RegistryError>>()?;
        Ok(Definition::new(resource_type, core, extensions))
    }
}

fn parse_schema(document: Value) -> Result<Schema, RegistryError> {
    #[derive(Deserialize)]
    struct Wire {
        id: String,
        name: String,
        attributes: Vec<Attribute>,
    }
    let name = document.get("id").and_then(Value::as_str).unwrap_or("a schema without id").to_owned();
    let wire = Wire::deserialize(&document)
        .map_err(|error| RegistryError::Document { name: name.clone(), reason: error.to_string() })?;
    Ok(Schema { id: wire.id, name: wire.name, attributes: wire.attributes, document })
}

fn parse_resource_type(document: Value) -> Result<ResourceType, RegistryError> {
    let name = document.get("name").and_then(Value::as_str).unwrap_or("a resource type without name").to_owned();
    let mut resource_type = ResourceType::deserialize(&document)
        .map_err(|error| RegistryError::Document { name, reason: error.to_string() })?;
    resource_type.document = document;
    Ok(resource_type)
}

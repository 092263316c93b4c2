//! One resource type with its schemas resolved: where an attribute name or URN leads.

use std::sync::{Arc, LazyLock, OnceLock};

use serde_json::{Map, Value};

use super::{Attribute, Mutability, ResourceType, Returned, Schema, Type, Uniqueness};
use crate::key::TextRule;
use crate::resource::Projection;

/// Everything the protocol needs to know of one resource type.
#[derive(Debug)]
pub struct Definition {
    /// The resource type document.
    pub resource_type: ResourceType,
    /// The core schema; its attributes lie at the top level of a document.
    pub core: Arc<Schema>,
    /// Extension schemas, each with whether it is required; their attributes lie under the URN.
    pub extensions: Vec<(Arc<Schema>, bool)>,
    /// The attributes whose values are sealed.
    secrets: Vec<SecretPath>,
    /// What is answered to who asks for nothing special, once it was worked out.
    pub(crate) whole: OnceLock<Projection>,
    /// Whether resources have no `externalId`, as far as this is told.
    without_external: bool,
}

/// A secret attribute: a single text of the core schema or of an extension.
#[derive(Clone, Debug, PartialEq)]
pub struct SecretPath {
    /// The canonical path.
    pub path: String,
    /// URN of the extension it lies in.
    pub extension: Option<String>,
    /// Name of the attribute.
    pub name: String,
    /// How its values compare.
    pub rule: TextRule,
}

impl SecretPath {
    /// The value in a document.
    pub fn value<'d>(&self, document: &'d Map<String, Value>) -> Option<&'d str> {
        let value = match &self.extension {
            Some(urn) => document.get(urn)?.get(&self.name)?,
            None => document.get(&self.name)?,
        };
        value.as_str()
    }

    /// Puts a value in the place of the one in a document.
    pub fn put(&self, document: &mut Map<String, Value>, value: String) {
        let slot = match &self.extension {
            Some(urn) => document.get_mut(urn).and_then(|fields| fields.get_mut(&self.name)),
            None => document.get_mut(&self.name),
        };
        if let Some(slot) = slot {
            *slot = Value::String(value);
        }
    }
}

fn secrets(core: &Schema, extensions: &[(Arc<Schema>, bool)]) -> Vec<SecretPath> {
    let of = |schema: &Schema, extension: Option<&Schema>| -> Vec<SecretPath> {
        let secret = schema.attributes.iter().filter(|attribute| attribute.secret);
        let path = |attribute: &Attribute| SecretPath {
            path: Place { extension, attribute: Some(attribute), sub: None }.canonical(),
            extension: extension.map(|schema| schema.id.clone()),
            name: attribute.name.clone(),
            rule: if attribute.case_exact { TextRule::Exact } else { TextRule::Fold },
        };
        secret.map(path).collect()
    };
    let added = extensions.iter().flat_map(|(schema, _)| of(schema, Some(schema)));
    of(core, None).into_iter().chain(added).collect()
}

/// Where a path leads within a [`Definition`].
#[derive(Clone, Copy, Debug)]
pub struct Place<'d> {
    /// The extension the attribute lies in; `None` for core and common attributes.
    pub extension: Option<&'d Schema>,
    /// The attribute; `None` when the path is an extension's URN alone.
    pub attribute: Option<&'d Attribute>,
    /// The sub-attribute, when the path names one.
    pub sub: Option<&'d Attribute>,
}

impl Place<'_> {
    /// The canonical path: the schema's own case, core attributes without their URN.
    pub fn canonical(&self) -> String {
        let mut path = String::new();
        if let Some(extension) = self.extension {
            path.push_str(&extension.id);
            if self.attribute.is_some() {
                path.push(':');
            }
        }
        if let Some(attribute) = self.attribute {
            path.push_str(&attribute.name);
        }
        if let Some(sub) = self.sub {
            path.push('.');
            path.push_str(&sub.name);
        }
        path
    }
}

impl Definition {
    /// Joins a resource type and its schemas.
    pub fn new(resource_type: ResourceType, core: Arc<Schema>, extensions: Vec<(Arc<Schema>, bool)>) -> Self {
        let secrets = secrets(&core, &extensions);
        Definition { resource_type, core, extensions, secrets, whole: OnceLock::new(), without_external: false }
    }

    /// The same as if what `sees` denies did not exist; it is asked for the canonical paths of attributes and
    /// sub-attributes. An extension of which nothing is left is none of the type's.
    pub fn narrow(&self, sees: impl Fn(&str) -> bool) -> Self {
        let narrow = |prefix: &str, attributes: &[Attribute]| {
            let mut kept = Vec::with_capacity(attributes.len());
            for attribute in attributes {
                let path = format!("{prefix}{}", attribute.name);
                if sees(&path) {
                    kept.push(attribute.clone());
                    continue;
                }
                let subs = attribute.sub_attributes.iter().filter(|sub| sees(&format!("{path}.{}", sub.name)));
                let sub_attributes: Vec<Attribute> = subs.cloned().collect();
                if !sub_attributes.is_empty() {
                    kept.push(Attribute { sub_attributes, ..attribute.clone() });
                }
            }
            kept
        };
        let schema = |prefix: &str, schema: &Schema| {
            Arc::new(Schema { attributes: narrow(prefix, &schema.attributes), ..schema.clone() })
        };
        let extensions = self.extensions.iter().map(|(known, required)| {
            let prefix = format!("{}:", known.id);
            (schema(&prefix, known), *required)
        });
        let extensions = extensions.filter(|(schema, _)| !schema.attributes.is_empty()).collect();
        let narrowed = Definition::new(self.resource_type.clone(), schema("", &self.core), extensions);
        Definition { without_external: self.without_external || !sees(EXTERNAL_ID), ..narrowed }
    }

    /// Whether the other one says the same, document for document.
    pub fn says_the_same(&self, other: &Definition) -> bool {
        let same = |one: &Arc<Schema>, other: &Arc<Schema>| Arc::ptr_eq(one, other) || one.document == other.document;
        self.resource_type.document == other.resource_type.document
            && same(&self.core, &other.core)
            && self.extensions.len() == other.extensions.len()
            && self.extensions.iter().zip(&other.extensions).all(|((one, _), (other, _))| same(one, other))
    }

    /// The attributes whose values are sealed where they are stored.
    pub fn secrets(&self) -> &[SecretPath] {
        &self.secrets
    }

    /// The resource type's name, such as `User`.
    pub fn name(&self) -> &str {
        &self.resource_type.name
    }

    /// The endpoint without its slash, such as `Users`.
    pub fn endpoint(&self) -> &str {
        self.resource_type.endpoint.trim_start_matches('/')
    }

    /// The extension of that URN, in any case.
    pub fn extension(&self, urn: &str) -> Option<&Schema> {
        self.extensions.iter().map(|(schema, _)| schema.as_ref()).find(|schema| schema.id.eq_ignore_ascii_case(urn))
    }

    /// A top-level attribute of the core schema, or a common one (`schemas`, `id`, `externalId`, `meta`).
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.core.attribute(name).or_else(|| self.common().find(|attribute| attribute.name.eq_ignore_ascii_case(name)))
    }

    /// Every top-level attribute: the common ones, then the core schema's.
    pub fn attributes(&self) -> impl Iterator<Item = &Attribute> + Clone {
        self.common().chain(self.core.attributes.iter())
    }

    fn common(&self) -> impl Iterator<Item = &Attribute> + Clone {
        COMMON.iter().filter(|attribute| !self.without_external || attribute.name != EXTERNAL_ID)
    }

    /// Resolves `attr`, `attr.sub`, `urn:attr`, `urn:attr.sub` or an extension's URN alone; names in any case.
    /// The URN of the core schema may stand before core attributes. `None`: the definition has no such place.
    pub fn resolve(&self, path: &str) -> Option<Place<'_>> {
        if let Some(extension) = self.extension(path) {
            return Some(Place { extension: Some(extension), attribute: None, sub: None });
        }
        let (urn, name) = match path.rfind(':') {
            Some(colon) if path.get(..4).is_some_and(|scheme| scheme.eq_ignore_ascii_case("urn:")) => {
                (Some(path.get(..colon)?), path.get(colon + 1..)?)
            }
            _ => (None, path),
        };
        // A sub-attribute of an extension whose URN ends in a dotted version still has its dot after the last colon.
        let (name, sub) = match name.split_once('.') {
            Some((name, sub)) => (name, Some(sub)),
            None => (name, None),
        };
        let (extension, attribute) = match urn {
            None => (None, self.attribute(name)?),
            Some(urn) if urn.eq_ignore_ascii_case(&self.core.id) => (None, self.attribute(name)?),
            Some(urn) => {
                let extension = self.extension(urn)?;
                (Some(extension), extension.attribute(name)?)
            }
        };
        let sub = match sub {
            Some(sub) => Some(attribute.sub(sub)?),
            None => None,
        };
        Some(Place { extension, attribute: Some(attribute), sub })
    }
}

const EXTERNAL_ID: &str = "externalId";

/// The common attributes of RFC 7643 sections 3 and 3.1, which no schema document lists.
static COMMON: LazyLock<Vec<Attribute>> = LazyLock::new(|| {
    let meta = vec![
        common("resourceType", Type::String, true, Mutability::ReadOnly),
        common("created", Type::DateTime, false, Mutability::ReadOnly),
        common("lastModified", Type::DateTime, false, Mutability::ReadOnly),
        common("location", Type::Reference, true, Mutability::ReadOnly),
        common("version", Type::String, true, Mutability::ReadOnly),
    ];
    vec![
        Attribute {
            multi_valued: true,
            required: true,
            returned: Returned::Always,
            ..common("schemas", Type::Reference, true, Mutability::ReadWrite)
        },
        Attribute {
            returned: Returned::Always,
            uniqueness: Uniqueness::Server,
            ..common("id", Type::String, true, Mutability::ReadOnly)
        },
        common(EXTERNAL_ID, Type::String, true, Mutability::ReadWrite),
        Attribute { sub_attributes: meta, ..common("meta", Type::Complex, false, Mutability::ReadOnly) },
    ]
});

fn common(name: &str, kind: Type, case_exact: bool, mutability: Mutability) -> Attribute {
    Attribute {
        name: name.to_owned(),
        kind,
        multi_valued: false,
        description: String::new(),
        required: false,
        canonical_values: Vec::new(),
        case_exact,
        mutability,
        returned: Returned::Default,
        uniqueness: Uniqueness::None,
        secret: false,
        reference_types: Vec::new(),
        sub_attributes: Vec::new(),
    }
}

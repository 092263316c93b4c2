//! What of a resource leads to another one: a user's `manager`, its `groups`, a group's `members`. One that leads to a
//! resource outside the client's view is left out, and so is one that leads nowhere: nothing tells the two apart.

use serde_json::{Map, Value};

use super::Views;
use crate::resource::MEMBERS;
use crate::schema::{Attribute, Definition, Registry};

/// Parts of a reference that say what the other end is called.
const NAMES: [&str; 2] = ["display", "displayName"];
/// How each of them begins in the text of a document.
const NAMED: &str = "\"display";

/// Whether values of an attribute lead to resources of such a kind.
fn leads_to(attribute: &Attribute, wanted: impl Fn(&str) -> bool) -> bool {
    let leads = attribute.sub("$ref").is_some_and(|to| to.reference_types.iter().any(|kind| wanted(kind)));
    leads && attribute.sub("value").is_some()
}

/// An attribute whose values lead to other resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// URN of the extension that it lies in.
    extension: Option<String>,
    attribute: String,
    /// Canonical path.
    path: String,
    /// The name as it stands in the text of a document.
    member: String,
}

impl Reference {
    /// Those of a type that are seen and lead to types of which the views do not show all.
    pub(crate) fn all_of(definition: &Definition, registry: &Registry, views: &Views) -> Vec<Reference> {
        let closed = |kind: &str| registry.definition(kind).is_some() && !views.of(kind).is_open();
        let closed = |attribute: &Attribute| leads_to(attribute, closed);
        let all = Reference::of(definition, closed);
        all.into_iter().filter(|reference| views.of(definition.name()).sees(&reference.path)).collect()
    }

    /// Those of a type that may say what a resource of a kind is called, as far as `shows` their names: a path and a part.
    pub fn naming(definition: &Definition, kind: &str, shows: impl Fn(&str, &str) -> bool) -> Vec<Reference> {
        let all = Reference::of(definition, |attribute| leads_to(attribute, |known| known == kind));
        let shown = |reference: &Reference| NAMES.into_iter().any(|sub| shows(&reference.path, sub));
        all.into_iter().filter(shown).collect()
    }

    fn of(definition: &Definition, leads: impl Fn(&Attribute) -> bool) -> Vec<Reference> {
        let core = definition.core.attributes.iter().map(|attribute| (None, attribute));
        let extensions = definition
            .extensions
            .iter()
            .flat_map(|(schema, _)| schema.attributes.iter().map(|attribute| (Some(schema.id.as_str()), attribute)));
        let reference = |(extension, attribute): (Option<&str>, &Attribute)| {
            if !leads(attribute) {
                return None;
            }
            let path = match extension {
                Some(urn) => format!("{urn}:{}", attribute.name),
                None => attribute.name.clone(),
            };
            let (extension, attribute) = (extension.map(str::to_owned), attribute.name.clone());
            let member = format!("\"{attribute}\"");
            Some(Reference { extension, attribute, path, member })
        };
        core.chain(extensions).filter_map(reference).collect()
    }

    /// Canonical path of the attribute.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether it is worked out for each answer, and never stored in a document.
    pub fn is_derived(&self) -> bool {
        self.extension.is_none() && ["groups", MEMBERS].contains(&self.attribute.as_str())
    }

    /// Whether a stored document may lead anywhere by it; `false`: it does not.
    pub fn may_be_in(&self, doc: &str) -> bool {
        doc.contains(&self.member)
    }

    /// Whether a stored document may say what somebody is called to whom it leads; `false`: it does not.
    pub fn may_name_in(&self, doc: &str) -> bool {
        let mut places = doc.split(&self.member);
        places.next();
        places.any(|rest| {
            let end = if rest.starts_with(":[") { ']' } else { '}' };
            let value = rest.split_once(end).map_or(rest, |(value, _)| value);
            // A bracket within a text does not end the value.
            let is_whole = !value.contains('\\') && value.matches('"').count() % 2 == 0;
            !is_whole || value.contains(NAMED)
        })
    }

    /// Whether it lies in an extension.
    pub fn is_of_extension(&self) -> bool {
        self.extension.is_some()
    }

    /// The ids that a document names.
    pub fn ids<'d>(&self, document: &'d Map<String, Value>) -> impl Iterator<Item = &'d str> {
        self.elements(document).iter().filter_map(|element| element.get("value")?.as_str())
    }

    /// The ids of those of which a document says what they are called.
    pub fn called<'d>(&self, document: &'d Map<String, Value>) -> impl Iterator<Item = &'d str> {
        let is_named = |element: &&Value| {
            NAMES.into_iter().any(|sub| element.get(sub).and_then(Value::as_str).is_some_and(|name| !name.is_empty()))
        };
        let named = self.elements(document).iter().filter(is_named);
        named.filter_map(|element| element.get("value")?.as_str())
    }

    fn elements<'d>(&self, document: &'d Map<String, Value>) -> &'d [Value] {
        let value = match &self.extension {
            Some(urn) => document.get(urn).and_then(|extension| extension.get(&self.attribute)),
            None => document.get(&self.attribute),
        };
        match value {
            Some(Value::Array(elements)) => elements.as_slice(),
            Some(single) => std::slice::from_ref(single),
            None => &[],
        }
    }

    /// Removes what leads to where `name` says `None`; otherwise it says what the other resource is called, or `None` for
    /// what stands there already.
    pub fn prune(&self, document: &mut Map<String, Value>, name: impl Fn(&str) -> Option<Option<String>>) {
        let keep = |element: &mut Value| {
            let Some(id) = element.get("value").and_then(Value::as_str) else { return true };
            let Some(name) = name(id) else { return false };
            if let (Some(name), Some(element)) = (name, element.as_object_mut()) {
                for sub in NAMES {
                    match name.is_empty() {
                        true => drop(element.shift_remove(sub)),
                        false => {
                            if let Some(known) = element.get_mut(sub) {
                                *known = name.clone().into();
                            }
                        }
                    }
                }
            }
            true
        };
        let container = match &self.extension {
            Some(urn) => document.get_mut(urn).and_then(Value::as_object_mut),
            None => Some(&mut *document),
        };
        let Some(container) = container else { return };
        let stays = match container.get_mut(&self.attribute) {
            Some(Value::Array(elements)) => {
                elements.retain_mut(keep);
                !elements.is_empty()
            }
            Some(single) => keep(single),
            None => true,
        };
        if !stays {
            container.shift_remove(&self.attribute);
        }
        if let Some(urn) = &self.extension
            && document.get(urn).and_then(Value::as_object).is_some_and(Map::is_empty)
        {
            document.shift_remove(urn);
            if let Some(Value::Array(schemas)) = document.get_mut("schemas") {
                schemas.retain(|known| known.as_str() != Some(urn));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

    #[test]
    fn a_text_that_may_say_a_name_is_told_from_one_that_does_not() {
        let registry = Registry::builtin().expect("documents");
        let user = registry.definition("User").expect("a type");
        let named = Reference::naming(user, "User", |_, sub| sub == "displayName");
        let [manager] = named.as_slice() else { panic!("{named:?}") };
        assert!(Reference::naming(user, "User", |_, _| false).is_empty());
        for (value, may) in [
            (json!(null), false),
            (json!({ "value": "m", "$ref": "../Users/m" }), false),
            (json!({ "value": "m", "displayName": "Maj" }), true),
            (json!({ "value": "a}b", "displayName": "Maj" }), true),
            (json!({ "value": "a\"}b", "displayName": "Maj" }), true),
            (json!([{ "value": "a" }, { "value": "b]", "display": "Maj" }]), true),
        ] {
            let document = json!({ "displayName": "x", ENTERPRISE: { "manager": value }, "name": { "display": "y" } });
            assert_eq!(manager.may_name_in(&document.to_string()), may, "{document}");
            let says = manager.called(document.as_object().expect("one")).count() > 0;
            assert!(!says || may, "{document}");
        }
        assert!(!manager.may_name_in(&json!({ "displayName": "x" }).to_string()));
    }
}

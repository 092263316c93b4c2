//! What a source says of one resource, put into the resource's document: what the map names is the source's, all else
//! stays as it is. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use provisioning::sources::Site;
use scim::patch::RelationChange;
use scim::resource::{Notes, Strictness, replace};
use scim::schema::Definition;
use serde_json::{Map as Object, Value};

use super::map::{Element, List, Mode, Part, Reference, Said};
use crate::directory::revise::Revision;

/// What a source says of one resource.
#[derive(Clone, Debug)]
pub struct Saying {
    /// What each column of the part says, by its place.
    pub said: Vec<Option<Said>>,
    /// The elements of each list of the part, by its place.
    pub elements: Vec<Vec<Element>>,
}

impl Saying {
    /// The keys of other resources that it names.
    pub fn references(&self, part: &Part) -> Vec<Reference> {
        let columns = part.columns.iter().zip(&self.said).enumerate();
        let references = columns.filter_map(|(column, (by, said))| match said {
            Some(Said::Key(key)) => Some(Reference { column, kind: by.refers.clone()?, key: key.clone() }),
            _ => None,
        });
        references.collect()
    }
}

/// A change of a document by what a source says.
pub(super) struct Amendment {
    pub(super) part: Arc<Part>,
    /// As far as the source's client sees it.
    pub(super) definition: Arc<Definition>,
    pub(super) strictness: Strictness,
    pub(super) change: Change,
}

/// What is said.
pub(super) enum Change {
    /// Of the resource.
    Say {
        saying: Arc<Saying>,
        mode: Mode,
        /// Where its references lead, by their columns.
        leads: HashMap<usize, String>,
        /// Whether it comes back, or is new.
        revive: bool,
    },
    /// Of its references alone.
    Refer(HashMap<usize, String>),
    /// That it is gone.
    Disable,
}

impl Amendment {
    /// The document that follows.
    pub(super) fn amend(&self, current: &Object<String, Value>) -> Object<String, Value> {
        let mut document = current.clone();
        let part = &*self.part;
        match &self.change {
            Change::Say { saying, mode, leads, revive } => {
                for (place, (column, said)) in part.columns.iter().zip(&saying.said).enumerate() {
                    let value = match said {
                        Some(Said::Value(value)) => Some(value.clone()),
                        Some(Said::Key(_)) => leads.get(&place).map(|id| Value::from(id.as_str())),
                        None => None,
                    };
                    column.spot.put(&mut document, value);
                }
                for (list, elements) in part.lists.iter().zip(&saying.elements) {
                    amend_list(list, elements, *mode, &mut document);
                }
                if *revive && part.says_active {
                    document.insert("active".into(), true.into());
                }
            }
            Change::Refer(leads) => {
                for (place, id) in leads {
                    if let Some(column) = part.columns.get(*place) {
                        column.spot.put(&mut document, Some(id.as_str().into()));
                    }
                }
            }
            Change::Disable => drop(document.insert("active".into(), false.into())),
        }
        let mut schemas = vec![Value::from(self.definition.core.id.as_str())];
        let extensions = self.definition.extensions.iter().map(|(schema, _)| schema.id.as_str());
        schemas.extend(extensions.filter(|urn| document.contains_key(*urn)).map(Value::from));
        document.insert("schemas".into(), schemas.into());
        document
    }
}

/// Elements that are named take the place of those with their keys. Of the others a snapshot keeps those outside of its
/// scope, and what is no snapshot all.
fn amend_list(list: &List, elements: &[Element], mode: Mode, document: &mut Object<String, Value>) {
    let mut left: Vec<&Element> = elements.iter().collect();
    let before = list.spot.value(document).and_then(Value::as_array).cloned().unwrap_or_default();
    let mut after = Vec::with_capacity(before.len().max(elements.len()));
    for element in before {
        let key = element.get(&list.key).and_then(Value::as_str);
        match left.iter().position(|named| Some(named.key.as_str()) == key) {
            Some(place) => {
                let mut element = match element {
                    Value::Object(element) => element,
                    _ => Object::new(),
                };
                let named = left.remove(place);
                for column in &list.columns {
                    column.spot.put(&mut element, column.spot.value(&named.object).cloned());
                }
                after.push(Value::Object(element));
            }
            None => {
                let is_outside = list.scope.as_ref().is_some_and(|scope| !scope.matches_element(&element));
                if mode == Mode::Delta || is_outside {
                    after.push(element);
                }
            }
        }
    }
    after.extend(left.into_iter().map(|element| Value::Object(element.object.clone())));
    list.spot.put(document, (!after.is_empty()).then_some(Value::Array(after)));
}

impl Revision for Amendment {
    fn document(
        &self,
        current: &Object<String, Value>,
        notes: &mut Notes,
    ) -> Result<Object<String, Value>, scim::Error> {
        let body = Value::Object(self.amend(current));
        replace(&self.definition, current, &body, self.strictness, notes)
    }

    fn relation(&self) -> &[RelationChange] {
        &[]
    }

    fn passwords(&self) -> Vec<String> {
        Vec::new()
    }

    /// A file says what stands in its columns; it does not send back what it has read.
    fn names(&self, site: &Site) -> bool {
        let Change::Say { .. } = self.change else { return false };
        let columns = self.part.columns.iter().map(|column| &column.spot);
        let lists = self.part.lists.iter().map(|list| &list.spot);
        columns.chain(lists).any(|spot| {
            let attribute = match &spot.extension {
                Some(urn) => format!("{urn}:{}", spot.attribute),
                None => spot.attribute.clone(),
            };
            let like = Value::Object(spot.like.iter().cloned().collect());
            site.is_named_by(&attribute, None, spot.sub.as_deref()) || site.is_of(&attribute, &like)
        })
    }
}

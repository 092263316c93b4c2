//! Where a checked path leads, and the values that lie there.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::eval::Scope;
use super::{Checked, Filter};
use crate::key::{self, TextRule};
use crate::mapping::Mapping;
use crate::schema::{Attribute, Definition, Place, Schema, Type};

/// Where a stored document says which views the resource has left and is still shown by, beside all attributes. No path that a
/// client writes leads there, as no name of an attribute begins so.
pub const NOTES: &str = "~leaving";
/// The id of the view within such a note.
pub const NOTED_VIEW: &str = "view";
/// What stands for a path to the ids of these views, where indexes are kept.
pub const NOTED: &str = "~leaving.view";

const USER_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:User";

/// An attribute or sub-attribute of a resource type, resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// URN of the extension it lies in, in the schema's own case.
    pub extension: Option<Arc<str>>,
    /// Name of the top-level attribute.
    pub attr: Arc<str>,
    /// Name of the sub-attribute. Within a value filter it is always given.
    pub sub: Option<Arc<str>>,
    /// Data type of what the path leads to.
    pub kind: Type,
    /// How its texts compare.
    pub rule: TextRule,
    /// Whether a resource can have several values there.
    pub multi: bool,
    /// The canonical path (see [`Place::canonical`]), such as `emails.value`.
    pub canonical: Arc<str>,
    /// The sub-attributes, when the target is complex; otherwise empty.
    pub subs: Arc<[Target]>,
    /// What stands in the place of the attribute's own value, where a view shows another form of it.
    pub mapping: Option<Arc<Mapping>>,
    /// Resources that have no value there to who asks: only where something is ordered.
    pub unless: Option<Arc<Filter<Checked>>>,
    /// Resources that have another value there to who asks: only where something is ordered.
    pub instead: Option<Arc<(Filter<Checked>, Value)>>,
}

impl Target {
    /// Where a path leads in a definition; names in any case. `None`: nowhere, or to an extension as a whole.
    pub fn resolve(definition: &Definition, path: &str) -> Option<Target> {
        Target::at(definition, &definition.resolve(path)?)
    }

    /// The target of a place of that definition; `None` when the place is an extension as a whole.
    pub fn at(definition: &Definition, place: &Place<'_>) -> Option<Target> {
        let attribute = place.attribute?;
        let target = Target::of(place.extension, attribute);
        let target = match place.sub {
            None => target,
            Some(sub) => target.subs.iter().find(|known| known.sub.as_deref() == Some(sub.name.as_str())).cloned()?,
        };
        let is_user_name = place.extension.is_none()
            && place.sub.is_none()
            && attribute.name == "userName"
            && definition.core.id.eq_ignore_ascii_case(USER_URN);
        Some(if is_user_name { Target { rule: TextRule::Username, ..target } } else { target })
    }

    /// The target of a whole attribute, not knowing the resource type.
    pub(super) fn of(extension: Option<&Schema>, attribute: &Attribute) -> Target {
        let place = Place { extension, attribute: Some(attribute), sub: None };
        let urn: Option<Arc<str>> = extension.map(|schema| schema.id.as_str().into());
        let attr: Arc<str> = attribute.name.as_str().into();
        let subs = attribute.sub_attributes.iter().map(|sub| Target {
            extension: urn.clone(),
            attr: attr.clone(),
            sub: Some(sub.name.as_str().into()),
            kind: sub.kind,
            rule: TextRule::of(sub),
            multi: attribute.multi_valued || sub.multi_valued,
            canonical: Place { sub: Some(sub), ..place }.canonical().into(),
            subs: Arc::default(),
            mapping: None,
            unless: None,
            instead: None,
        });
        Target {
            subs: subs.collect(),
            extension: urn.clone(),
            attr: attr.clone(),
            sub: None,
            kind: attribute.kind,
            rule: TextRule::of(attribute),
            multi: attribute.multi_valued,
            canonical: place.canonical().into(),
            mapping: None,
            unless: None,
            instead: None,
        }
    }

    /// The views that a resource has left and is still shown by. Never what a client asks about.
    pub fn noted() -> Target {
        Target {
            extension: None,
            attr: NOTES.into(),
            sub: Some(NOTED_VIEW.into()),
            kind: Type::String,
            rule: TextRule::Exact,
            multi: true,
            canonical: NOTED.into(),
            subs: Arc::default(),
            mapping: None,
            unless: None,
            instead: None,
        }
    }

    /// The same attribute in another form. Its canonical path is the mapping's text.
    pub fn mapped(self, mapping: Arc<Mapping>) -> Target {
        Target { canonical: mapping.text().into(), mapping: Some(mapping), ..self }
    }

    /// The same attribute to order by, without a value of the resources that fit. No index is kept for that.
    pub fn unless(self, who: Filter<Checked>) -> Target {
        let canonical = format!("{} unless {who}", self.canonical).into();
        Target { canonical, unless: Some(Arc::new(who)), ..self }
    }

    /// The same attribute to order by, with this value of the resources that fit. No index is kept for that.
    pub fn instead(self, who: Filter<Checked>, value: Value) -> Target {
        let canonical = format!("{} is {value} if {who}", self.canonical).into();
        Target { canonical, instead: Some(Arc::new((who, value))), ..self }
    }

    /// Whether its canonical path is no path.
    pub fn is_made(&self) -> bool {
        self.mapping.is_some() || self.unless.is_some() || self.instead.is_some()
    }

    /// Where the path of an index leads: a path, the notes, or the text of a mapping. Never for what a client asks about.
    pub fn indexed(definition: &Definition, path: &str) -> Option<Target> {
        if path == NOTED {
            return Some(Target::noted());
        }
        if !Mapping::is_text(path) {
            return Target::resolve(definition, path);
        }
        let mapping = Mapping::read(definition, path)?;
        Some(Target::resolve(definition, mapping.path())?.mapped(Arc::new(mapping)))
    }

    /// What a comparison or sort with this path means: itself, or for a complex attribute its `value`, if there is one.
    pub fn comparable(&self) -> Option<&Target> {
        match self.kind {
            Type::Complex => self.subs.iter().find(|sub| sub.sub.as_deref() == Some("value")),
            _ => Some(self),
        }
    }

    /// The names in a document of what the target's values follow from: the attribute, or the extension that it lies in.
    pub fn tops(&self) -> BTreeSet<&str> {
        let mut tops = match &self.mapping {
            Some(mapping) => mapping.tops(),
            None => BTreeSet::from([self.extension.as_deref().unwrap_or(&self.attr)]),
        };
        tops.extend(self.unless.iter().flat_map(|who| who.tops()));
        tops.extend(self.instead.iter().flat_map(|instead| instead.0.tops()));
        tops
    }

    /// Whether its values may follow from one of these names of a document; see [`Target::tops`].
    pub fn hangs_on(&self, names: &[&str]) -> bool {
        match self.is_made() {
            true => self.tops().into_iter().any(|top| names.contains(&top)),
            false => names.contains(&self.extension.as_deref().unwrap_or(&self.attr)),
        }
    }

    /// Whether all that follows from the path is the same in two documents, as far as that is seen at once.
    pub fn is_same(&self, one: &Map<String, Value>, other: &Map<String, Value>) -> bool {
        match &self.mapping {
            _ if self.is_made() => self.tops().into_iter().all(|name| one.get(name) == other.get(name)),
            _ => Scope::Document(one).attribute(self) == Scope::Document(other).attribute(self),
        }
    }

    /// The keys (see [`crate::key`]) of every value of a document that the path leads to, in the document's order, uncut,
    /// with repetitions; values of another kind have none.
    pub fn keys(&self, document: &Map<String, Value>) -> Vec<String> {
        let mut keys = Vec::new();
        Scope::Document(document).any(self, |value| {
            keys.extend(key::of(value, self.kind, self.rule));
            false
        });
        keys
    }

    /// The key that a resource sorts by (RFC 7644 section 3.4.2.3): of several values the primary one's, else the
    /// first's. `None`: no value, which sorts as [`key::ABSENT`].
    pub fn sort_key(&self, document: &Map<String, Value>) -> Option<String> {
        if let Some((who, value)) = self.instead.as_deref()
            && who.matches(document)
        {
            return key::of(value, self.kind, self.rule);
        }
        if self.unless.as_ref().is_some_and(|who| who.matches(document)) {
            return None;
        }
        if let Some(mapping) = &self.mapping {
            return key::of(&mapping.value(document)?, self.kind, self.rule);
        }
        let attribute = Scope::Document(document).attribute(self)?;
        let primary = |element: &&Value| element.get("primary") == Some(&Value::Bool(true));
        let chosen = match attribute {
            Value::Array(elements) => elements.iter().find(primary).or(elements.first())?,
            single => single,
        };
        let value = match &self.sub {
            Some(sub) => chosen.get(&**sub)?,
            None => chosen,
        };
        key::of(value, self.kind, self.rule)
    }
}

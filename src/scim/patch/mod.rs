//! PATCH (RFC 7644 section 3.5.2) in two steps. [`parse`] reads a PatchOp message against a resource type: paths are
//! resolved, values have their types checked, and the habits of real clients are turned into plain operations.
//! [`apply`] carries those out on a document, all or nothing, and never sees the message.
//!
//! Operations on `members` are kept apart as [`RelationChange`]s, so that a large group is changed without being read.
//!
//! Where the RFC is silent or at odds with itself:
//! - A value filter that selects nothing is 400 noTarget for `remove` too (table 9), except that removing by value, and
//!   removing a member, succeeds when there is nothing to remove.
//! - In a tolerant profile `add` or `replace` on `attr[filter].sub`, and `add` on `attr[filter]`, make the element that
//!   the filter describes when it only compares with `eq` and `and`.
//! - `replace` on `attr[filter]` puts the given element in the place of each selected one; `add` merges into them.
//!   Sub-attributes that are written once or by the server alone stay.
//! - `replace` on a singular complex attribute merges in a tolerant profile and replaces the whole in a strict one.
//! - `attr.sub` of an attribute with several values needs a value filter, as it would say the same of all of them:
//!   400 invalidPath.
//! - `replace` with `null` or `[]` is `remove`, `add` with them does nothing.
//! - When the `value` of a complex attribute changes by merging, its `$ref` and what the server set beside it go, as
//!   they spoke of the old one.
//! - Sub-attributes that only the server sets are ignored within a value; as the target of a path they are 400
//!   mutability.
//! - A member is added or removed as a whole; changing one in place is 400 mutability. Removing `members[…].value`
//!   removes the members.

mod apply;
mod element;
mod parse;
mod quirks;
mod strict;

#[cfg(test)]
mod chaos;
#[cfg(test)]
mod tests;

use serde_json::Value;

use crate::Error;
use crate::filter::{Checked, Filter};
use crate::resource::Strictness;

pub use apply::apply;
pub use parse::parse;

/// URN of the PATCH message (RFC 7644 section 3.5.2).
pub const PATCH_OP_URN: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// Most operations in one message.
pub const MAX_OPERATIONS: usize = 1_000;

/// A PatchOp message, read against a resource type.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Patch {
    /// What happens to the document, in order.
    pub document: Vec<Operation>,
    /// What happens to the members, in order.
    pub relation: Vec<RelationChange>,
    /// An `id` that a path-less value repeats. It must be the resource's own: else 400 mutability, see
    /// [`Patch::check_id`].
    pub claims_id: Option<String>,
}

impl Patch {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.document.is_empty() && self.relation.is_empty()
    }

    /// The texts that are set as the value of a core attribute without sub-attributes.
    pub fn texts_of<'p>(&'p self, attribute: &'p str) -> impl Iterator<Item = &'p str> {
        let about = move |operation: &&Operation| {
            operation.extension.is_none() && operation.attribute.as_deref() == Some(attribute)
        };
        self.document.iter().filter(about).filter_map(|operation| operation.value.as_ref()?.as_str())
    }

    /// 400 mutability when the message repeats an `id` that is not the resource's own.
    pub fn check_id(&self, id: &str) -> Result<(), Error> {
        match &self.claims_id {
            Some(claimed) if claimed != id => Err(Error::mutability("id is set by the server alone.")),
            _ => Ok(()),
        }
    }
}

/// One change of a relation to other resources. Values are canonical elements, each an object whose `value` is a
/// text that is not empty.
#[derive(Clone, Debug, PartialEq)]
pub enum RelationChange {
    /// Adds those that are not there.
    Add(Vec<Value>),
    /// Puts these, at least one, in the place of all.
    Replace(Vec<Value>),
    /// Removes those with these ids; one that is not there is no error. May be empty, and then removes none.
    RemoveValues(Vec<String>),
    /// Removes those that the filter selects.
    RemoveWhere(Filter<Checked>),
    /// Removes all.
    RemoveAll,
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// RFC 7644 section 3.5.2.1.
    Add,
    /// RFC 7644 section 3.5.2.2.
    Remove,
    /// RFC 7644 section 3.5.2.3.
    Replace,
}

/// One operation on one attribute, resolved and typed; only [`parse`] makes them.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// Its place in the message, for error details.
    index: usize,
    verb: Verb,
    /// URN of the extension the attribute lies in.
    extension: Option<String>,
    /// The attribute; `None` only to remove an extension as a whole.
    attribute: Option<String>,
    filter: Option<Filter<Checked>>,
    sub: Option<String>,
    /// Canonical and of the target's type; `None` only for `remove`. With `remove`, the elements to remove.
    value: Option<Value>,
    strictness: Strictness,
}

impl Operation {
    /// What it does.
    pub fn verb(&self) -> Verb {
        self.verb
    }

    /// What it is about: the top-level attribute as [`Operation::attribute`] says it, what its elements are like, and the
    /// sub-attribute.
    pub fn target(&self) -> (String, Option<&Filter<Checked>>, Option<&str>) {
        (self.attribute(), self.filter.as_ref(), self.sub.as_deref())
    }

    /// The elements that it brings.
    pub fn elements(&self) -> impl Iterator<Item = &Value> {
        self.value.as_ref().and_then(Value::as_array).into_iter().flatten()
    }

    /// Canonical path of the top-level attribute that it changes, or the URN of an extension that it removes.
    pub fn attribute(&self) -> String {
        match (&self.extension, &self.attribute) {
            (Some(urn), Some(name)) => format!("{urn}:{name}"),
            (Some(urn), None) => urn.clone(),
            (None, name) => name.clone().unwrap_or_default(),
        }
    }
}

/// Says which operation of the message an error is about.
fn within(index: usize, error: &Error) -> Error {
    Error { detail: format!("Operations[{index}]: {}", error.detail), ..*error }
}

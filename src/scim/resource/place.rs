//! Where in a body something is wrong: a path that is written out only when an error needs it.

use std::fmt;

use crate::schema::{Attribute, Schema};

/// A place in a document, as error details name it: `emails[1].value`, `urn:…:User:manager.value`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Spot<'a> {
    /// An attribute at the top level or within an extension.
    Attribute(Option<&'a str>, &'a str),
    /// An extension as a whole, or any key that is no attribute.
    Key(&'a str),
    /// A sub-attribute.
    Sub(&'a Spot<'a>, &'a str),
    /// An element of an array, counted from 0.
    Element(&'a Spot<'a>, usize),
}

impl<'a> Spot<'a> {
    /// The place of an attribute of the core schema or of an extension.
    pub(crate) fn of(extension: Option<&'a Schema>, attribute: &'a Attribute) -> Self {
        Spot::Attribute(extension.map(|schema| schema.id.as_str()), &attribute.name)
    }
}

impl fmt::Display for Spot<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Spot::Attribute(None, name) | Spot::Key(name) => out.write_str(name),
            Spot::Attribute(Some(urn), name) => write!(out, "{urn}:{name}"),
            Spot::Sub(parent, name) => write!(out, "{parent}.{name}"),
            Spot::Element(parent, index) => write!(out, "{parent}[{index}]"),
        }
    }
}

//! Filters (RFC 7644 section 3.4.2.2): the one predicate language of queries, value paths, views and rules.
//!
//! A [`Filter`] is read by [`Filter::parse`], tied to a resource type by [`Filter::check`] and then tests documents in
//! canonical form with [`Filter::matches`]. The stage is part of the type: a filter that was not checked cannot be run.
//!
//! What the RFC leaves open is settled here:
//! - `ne` is `not eq`: true without a value, and of several values when none is equal. Every other operator is false
//!   without a value, and of several values true when any one fits.
//! - An empty text is a value that can be compared, but `pr` does not count it.
//! - `eq null` is `not (… pr)`, `ne null` is `… pr`.
//! - `gt`, `ge`, `lt`, `le` on text follow the order of [`crate::key`].

mod check;
mod conceal;
mod eval;
mod lex;
mod parse;
mod print;
mod rewrite;
mod target;
#[cfg(test)]
pub(crate) mod tests;

use std::fmt;

use serde_json::{Number, Value};

pub use conceal::{refusal, secret};
pub(crate) use eval::fits;
pub(crate) use lex::Fault;
pub(crate) use parse::Parser;
pub use target::{NOTED, NOTED_VIEW, NOTES, Target};

/// Longest filter or path in bytes.
pub const MAX_BYTES: usize = 16_384;
/// Deepest nesting of parentheses and brackets.
pub const MAX_DEPTH: usize = 32;
/// Most nodes: comparisons, value paths and logical expressions together.
pub const MAX_NODES: usize = 512;

/// How far a filter has come: what its paths and literals are. Only [`Parsed`] and [`Checked`] exist.
pub trait Stage: Clone + fmt::Debug + PartialEq + sealed::Print {
    /// What stands before the operator.
    type Path: Clone + fmt::Debug + PartialEq;
    /// What stands after it.
    type Value: Clone + fmt::Debug + PartialEq;
}

mod sealed {
    use std::fmt;

    /// Printing differs by stage; outside code needs neither to call nor to implement it.
    pub trait Print {
        /// Writes a path; `inside` brackets it is the sub-attribute alone.
        fn path(path: &Self::Path, inside: bool, out: &mut fmt::Formatter<'_>) -> fmt::Result
        where
            Self: super::Stage;
        /// Writes a literal as JSON.
        fn value(value: &Self::Value, out: &mut fmt::Formatter<'_>) -> fmt::Result
        where
            Self: super::Stage;
    }
}

/// Stage of a filter that is well-formed, and no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parsed;

/// Stage of a filter whose attributes exist, may be filtered and fit their operators and literals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked;

impl Stage for Parsed {
    type Path = WrittenPath;
    type Value = Literal;
}

impl Stage for Checked {
    type Path = Target;
    type Value = Operand;
}

/// A filter expression. Within an [`Filter::Element`] paths are relative to the element.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter<S: Stage> {
    /// Every part holds.
    And(Vec<Filter<S>>),
    /// Some part holds.
    Or(Vec<Filter<S>>),
    /// The part does not hold.
    Not(Box<Filter<S>>),
    /// `attr pr`: there is a value that is not empty.
    Present(S::Path),
    /// `attr op literal`.
    Compare(S::Path, Op, S::Value),
    /// `attr[…]`: one and the same element fits all of it.
    Element(S::Path, Box<Filter<S>>),
    /// Always or never; made by rewriting, and by checking leniently. It has no syntax and prints as `true` or `false`.
    Const(bool),
}

/// A comparison operator (RFC 7644 table 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Contains.
    Co,
    /// Starts with.
    Sw,
    /// Ends with.
    Ew,
    /// Greater than; later.
    Gt,
    /// Greater than or equal.
    Ge,
    /// Less than; earlier.
    Lt,
    /// Less than or equal.
    Le,
}

impl Op {
    /// Every operator.
    pub const ALL: [Op; 9] = [Op::Eq, Op::Ne, Op::Co, Op::Sw, Op::Ew, Op::Gt, Op::Ge, Op::Lt, Op::Le];

    /// The operator of that keyword, in any case.
    pub fn parse(word: &str) -> Option<Op> {
        Op::ALL.into_iter().find(|op| op.as_str().eq_ignore_ascii_case(word))
    }

    /// The keyword.
    pub fn as_str(self) -> &'static str {
        match self {
            Op::Eq => "eq",
            Op::Ne => "ne",
            Op::Co => "co",
            Op::Sw => "sw",
            Op::Ew => "ew",
            Op::Gt => "gt",
            Op::Ge => "ge",
            Op::Lt => "lt",
            Op::Le => "le",
        }
    }
}

/// An attribute path as the client wrote it. Two are equal when their texts are, wherever they stood.
#[derive(Clone, Debug)]
pub struct WrittenPath {
    /// Such as `name.familyName` or `urn:…:User:manager.value`.
    pub text: String,
    /// Where it begins: characters from the start of the filter, the first being 1.
    pub position: usize,
}

impl PartialEq for WrittenPath {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// A literal as the client wrote it.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// A quoted text.
    Text(String),
    /// A number.
    Number(Number),
    /// `true` or `false`.
    Boolean(bool),
    /// `null`: no value.
    Null,
}

/// A literal that fits its attribute.
#[derive(Clone, Debug, PartialEq)]
pub struct Operand {
    /// Its order-preserving key under the attribute's type and rule (see [`crate::key`]), uncut.
    pub key: String,
    /// The value, of the attribute's JSON type.
    pub raw: Value,
}

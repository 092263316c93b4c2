//! Rewritings that keep a filter's meaning, for planners and views.

use super::{Checked, Filter, Op, Stage};

impl<S: Stage> Filter<S> {
    /// The parts that must all hold: nested `and`s flattened, any other filter itself.
    pub fn conjuncts(&self) -> Vec<&Filter<S>> {
        match self {
            Filter::And(parts) => parts.iter().flat_map(Filter::conjuncts).collect(),
            other => vec![other],
        }
    }

    /// Every part holds; constants are folded away.
    pub fn all(parts: impl IntoIterator<Item = Filter<S>>) -> Filter<S> {
        Self::fold(parts, true, Filter::And)
    }

    /// Some part holds; constants are folded away.
    pub fn any(parts: impl IntoIterator<Item = Filter<S>>) -> Filter<S> {
        Self::fold(parts, false, Filter::Or)
    }

    /// `neutral` parts vanish, the opposite constant decides.
    fn fold(
        parts: impl IntoIterator<Item = Filter<S>>,
        neutral: bool,
        join: fn(Vec<Filter<S>>) -> Filter<S>,
    ) -> Filter<S> {
        let mut kept = Vec::new();
        for part in parts {
            match part {
                Filter::Const(value) if value == neutral => {}
                Filter::Const(value) => return Filter::Const(value),
                other => kept.push(other),
            }
        }
        match kept.pop() {
            None => Filter::Const(neutral),
            Some(only) if kept.is_empty() => only,
            Some(last) => {
                kept.push(last);
                join(kept)
            }
        }
    }
}

impl Filter<Checked> {
    /// The same filter with every `not` directly above `pr`, a comparison or a value path (de Morgan); `not eq`
    /// becomes `ne` and `not ne` becomes `eq`. Value filters are rewritten within; constants are folded away.
    pub fn push_not(self) -> Filter<Checked> {
        self.push(false)
    }

    fn push(self, negate: bool) -> Filter<Checked> {
        let leaf = |filter: Filter<Checked>| if negate { Filter::Not(Box::new(filter)) } else { filter };
        match self {
            Filter::Not(part) => part.push(!negate),
            Filter::And(parts) if negate => Filter::any(parts.into_iter().map(|part| part.push(true))),
            Filter::And(parts) => Filter::all(parts.into_iter().map(|part| part.push(false))),
            Filter::Or(parts) if negate => Filter::all(parts.into_iter().map(|part| part.push(true))),
            Filter::Or(parts) => Filter::any(parts.into_iter().map(|part| part.push(false))),
            Filter::Compare(target, Op::Eq, operand) if negate => Filter::Compare(target, Op::Ne, operand),
            Filter::Compare(target, Op::Ne, operand) if negate => Filter::Compare(target, Op::Eq, operand),
            Filter::Element(target, part) => match part.push(false) {
                Filter::Const(false) => Filter::Const(negate),
                part => leaf(Filter::Element(target, Box::new(part))),
            },
            Filter::Const(value) => Filter::Const(value != negate),
            other @ (Filter::Present(_) | Filter::Compare(..)) => leaf(other),
        }
    }
}

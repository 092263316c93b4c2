//! Filters as text: the shortest form with double quotes, lower-case keywords and only the parentheses that are needed.
//! Reading the text again gives the same filter, for everything that has a syntax.

use std::fmt::{Display, Formatter, Result};

use super::sealed::Print;
use super::{Checked, Filter, Literal, Op, Operand, Parsed, Stage, Target, WrittenPath};

impl<S: Stage> Display for Filter<S> {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        write(self, false, out)
    }
}

impl Display for Op {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        out.write_str(self.as_str())
    }
}

impl Display for Literal {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        match self {
            Literal::Text(text) => write_text(text, out),
            Literal::Number(number) => write!(out, "{number}"),
            Literal::Boolean(value) => write!(out, "{value}"),
            Literal::Null => out.write_str("null"),
        }
    }
}

impl Print for Parsed {
    fn path(path: &WrittenPath, _inside: bool, out: &mut Formatter<'_>) -> Result {
        out.write_str(&path.text)
    }

    fn value(value: &Literal, out: &mut Formatter<'_>) -> Result {
        value.fmt(out)
    }
}

impl Print for Checked {
    fn path(path: &Target, inside: bool, out: &mut Formatter<'_>) -> Result {
        match &path.sub {
            Some(sub) if inside => out.write_str(sub),
            _ => out.write_str(&path.canonical),
        }
    }

    fn value(value: &Operand, out: &mut Formatter<'_>) -> Result {
        write!(out, "{}", value.raw)
    }
}

fn write<S: Stage>(filter: &Filter<S>, inside: bool, out: &mut Formatter<'_>) -> Result {
    match filter {
        Filter::And(parts) => {
            write_chain(parts, " and ", inside, out, |part| matches!(part, Filter::And(_) | Filter::Or(_)))
        }
        Filter::Or(parts) => write_chain(parts, " or ", inside, out, |part| matches!(part, Filter::Or(_))),
        Filter::Not(part) => {
            out.write_str("not (")?;
            write(part, inside, out)?;
            out.write_str(")")
        }
        Filter::Present(path) => {
            S::path(path, inside, out)?;
            out.write_str(" pr")
        }
        Filter::Compare(path, op, value) => {
            S::path(path, inside, out)?;
            write!(out, " {op} ")?;
            S::value(value, out)
        }
        Filter::Element(path, part) => {
            S::path(path, inside, out)?;
            out.write_str("[")?;
            write(part, true, out)?;
            out.write_str("]")
        }
        Filter::Const(value) => write!(out, "{value}"),
    }
}

fn write_chain<S: Stage>(
    parts: &[Filter<S>],
    between: &str,
    inside: bool,
    out: &mut Formatter<'_>,
    needs_parentheses: fn(&Filter<S>) -> bool,
) -> Result {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            out.write_str(between)?;
        }
        if needs_parentheses(part) {
            out.write_str("(")?;
            write(part, inside, out)?;
            out.write_str(")")?;
        } else {
            write(part, inside, out)?;
        }
    }
    Ok(())
}

fn write_text(text: &str, out: &mut Formatter<'_>) -> Result {
    // serde_json writes text with the escapes that the lexer reads.
    write!(out, "{}", serde_json::Value::from(text))
}

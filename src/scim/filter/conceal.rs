//! Secrets in filters: what a client compares a secret attribute with gives way to what stands for it in the register
//! (a keyed hash), so that a secret can be found by its whole value and by nothing less. Everything else about a secret
//! would tell of it piece by piece, and is refused. Knows no key: whoever calls does.

use super::{Filter, Literal, Op, Parsed, WrittenPath};
use crate::Error;
use crate::error::ScimType;
use crate::key::of_text;
use crate::schema::{Definition, SecretPath};

impl Filter<Parsed> {
    /// The filter with the values of secret attributes replaced: `stands_for` is given the canonical path and the value in
    /// the form it is compared in, and answers with all that may stand for it.
    ///
    /// Fails with 403 sensitive for any other question about a secret than `eq` and `pr`.
    pub fn conceal<E: From<Error>>(
        self,
        definitions: &[&Definition],
        stands_for: &mut impl FnMut(&str, &str) -> Result<Vec<String>, E>,
    ) -> Result<Self, E> {
        let mut each = |parts: Vec<Self>| {
            parts.into_iter().map(|part| part.conceal(definitions, stands_for)).collect::<Result<Vec<_>, E>>()
        };
        match self {
            Filter::And(parts) => Ok(Filter::And(each(parts)?)),
            Filter::Or(parts) => Ok(Filter::Or(each(parts)?)),
            Filter::Not(part) => Ok(Filter::Not(Box::new(part.conceal(definitions, stands_for)?))),
            Filter::Compare(path, op, literal) => match (secret(definitions, &path.text), op, literal) {
                (None, op, literal) => Ok(Filter::Compare(path, op, literal)),
                (Some(_), Op::Eq | Op::Ne, Literal::Null) => Ok(Filter::Compare(path, op, Literal::Null)),
                (Some(secret), Op::Eq, Literal::Text(text)) => {
                    let same = |value| Filter::Compare(path.clone(), Op::Eq, Literal::Text(value));
                    let mut any: Vec<Self> =
                        stands_for(&secret.path, &of_text(&text, secret.rule))?.into_iter().map(same).collect();
                    Ok(if any.len() == 1 { any.remove(0) } else { Filter::Or(any) })
                }
                (Some(secret), ..) => Err(refusal(secret).into()),
            },
            other => Ok(other),
        }
    }

    /// The first secret attribute that the filter asks about.
    pub fn secret<'d>(&self, definitions: &[&'d Definition]) -> Option<&'d SecretPath> {
        match self {
            Filter::And(parts) | Filter::Or(parts) => parts.iter().find_map(|part| part.secret(definitions)),
            Filter::Not(part) => part.secret(definitions),
            Filter::Present(path) | Filter::Compare(path, ..) | Filter::Element(path, _) => at(definitions, path),
            Filter::Const(_) => None,
        }
    }
}

fn at<'d>(definitions: &[&'d Definition], path: &WrittenPath) -> Option<&'d SecretPath> {
    secret(definitions, &path.text)
}

/// The secret attribute that a path leads to in one of the definitions.
pub fn secret<'d>(definitions: &[&'d Definition], path: &str) -> Option<&'d SecretPath> {
    definitions.iter().filter(|definition| !definition.secrets().is_empty()).find_map(|definition| {
        let canonical = definition.resolve(path)?.canonical();
        definition.secrets().iter().find(|secret| secret.path == canonical)
    })
}

/// 403 for a question about a secret that is not answered.
pub fn refusal(secret: &SecretPath) -> Error {
    let detail = format!("{} is secret: it can be found by eq and pr, and in no other way.", secret.path);
    Error::new(ScimType::Sensitive, detail)
}

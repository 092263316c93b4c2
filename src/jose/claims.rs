//! What a token says (RFC 7519 section 4), and whether it says it in time. The time is an argument.

use std::borrow::Cow;

use serde_json::{Map, Number, Value};

const SECOND: i64 = 1_000_000;

/// Deepest path into claims.
const STEPS: usize = 8;

/// The claims of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims(pub Map<String, Value>);

/// The moment of a token is not now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untimely {
    /// `exp` is missing or no number, or another date is no number.
    #[error("the token does not say when it ends")]
    Undated,
    /// `exp` has passed.
    #[error("the token has ended")]
    Over,
    /// `nbf` or `iat` lies ahead.
    #[error("the token is not valid yet")]
    Early,
}

impl Claims {
    /// A claim that is a text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// A claim that is a date, in µs since 1970; `None`: it is missing or no date.
    pub fn instant(&self, name: &str) -> Option<i64> {
        numeric_date(self.0.get(name)?.as_number()?)
    }

    /// Whom the token is for (RFC 7519 section 4.1.3); empty when it says nobody, or says it in another form.
    pub fn audiences(&self) -> Vec<&str> {
        match self.0.get("aud") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(several)) if several.iter().all(Value::is_string) => {
                several.iter().filter_map(Value::as_str).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Tests `exp`, `nbf` and `iat` at a moment in µs since 1970, with so much patience in µs, and returns the end.
    pub fn check_times(&self, now: i64, leeway: i64) -> Result<i64, Untimely> {
        let end = self.instant("exp").ok_or(Untimely::Undated)?;
        if end.saturating_add(leeway) <= now {
            return Err(Untimely::Over);
        }
        for name in ["nbf", "iat"] {
            let begins = match self.0.get(name) {
                None => continue,
                Some(_) => self.instant(name).ok_or(Untimely::Undated)?,
            };
            if begins.saturating_sub(leeway) > now {
                return Err(Untimely::Early);
            }
        }
        Ok(end)
    }

    /// The values at a path: a claim's own name, or names with dots between them that lead into objects. A list gives each
    /// of its values; numbers and booleans give their text.
    pub fn values_at(&self, path: &str) -> Vec<Cow<'_, str>> {
        let found = match self.0.get(path) {
            Some(found) => Some(found),
            None => {
                let mut steps = path.split('.').take(STEPS);
                let first = steps.next().and_then(|name| self.0.get(name));
                steps.fold(first, |value, name| value?.get(name))
            }
        };
        match found {
            Some(Value::Array(values)) => values.iter().filter_map(plain).collect(),
            Some(value) => plain(value).into_iter().collect(),
            None => Vec::new(),
        }
    }
}

fn plain(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(_) | Value::Bool(_) => Some(Cow::Owned(value.to_string())),
        _ => None,
    }
}

/// Seconds since 1970, with or without a fraction (RFC 7519 section 2), in µs.
fn numeric_date(number: &Number) -> Option<i64> {
    if let Some(seconds) = number.as_i64() {
        return seconds.checked_mul(SECOND);
    }
    let micros = number.as_f64()? * SECOND as f64;
    // Beyond these a date has no meaning; within them it fits.
    (micros.abs() < 9e18).then_some(micros as i64)
}

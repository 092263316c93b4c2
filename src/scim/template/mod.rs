//! Templates: a text made of values (`{{ givenName }}.{{ familyName | lower }}`). The one place where the template
//! language, that of minijinja, is bound: whoever fills in a name, a target or a mapping does it here.
//!
//! A template is a pure function of the values it is given. It reads no file, no clock and no other template, and knows
//! no loops, so that what it costs is bounded by its length. A value that is not there is an error and never an empty
//! text; `default` says what stands in its place. Errors never hold a value.

mod filter;
mod words;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::sync::{Arc, LazyLock};

use minijinja::value::Serde;
use minijinja::{Environment, ErrorKind, UndefinedBehavior};
use serde_json::Value;

/// Longest source, in bytes.
pub const MAX_SOURCE: usize = 2_000;
/// Longest text that comes of it, in bytes.
pub const MAX_TEXT: usize = 16_384;
/// Steps that it may take.
const FUEL: u64 = 10_000;
const NAME: &str = "template";

/// What the language can do, without a template.
static LANGUAGE: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut language = Environment::empty();
    language.set_undefined_behavior(UndefinedBehavior::Strict);
    language.set_fuel(Some(FUEL));
    language.set_recursion_limit(32);
    filter::add(&mut language);
    language
});

/// Why a template gives no text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It is none: what is wrong with it, for whoever wrote it.
    #[error("{0}")]
    Malformed(String),
    /// It asks for a value that is not there.
    #[error("The template asks for a value that is not there.")]
    Undefined,
    /// It takes too many steps, or its text is too long.
    #[error("The template does too much.")]
    TooMuch,
    /// It does with a value what cannot be done with it.
    #[error("The template does with a value what cannot be done with it.")]
    Unfit,
}

/// A template that was read.
#[derive(Clone)]
pub struct Template {
    source: Arc<str>,
    environment: Arc<Environment<'static>>,
    /// Paths of the values it asks for, with dots: `name.givenName`.
    paths: BTreeSet<String>,
    literals: BTreeSet<String>,
}

impl Template {
    /// Reads a template. Fails as malformed for what is none, for statements other than conditions, and for filters and
    /// tests that there are not.
    pub fn parse(source: &str) -> Result<Self, TemplateError> {
        if source.len() > MAX_SOURCE {
            let detail = format!("A template has at most {MAX_SOURCE} bytes; this one has {}.", source.len());
            return Err(TemplateError::Malformed(detail));
        }
        let mut environment = LANGUAGE.clone();
        let malformed = |error: minijinja::Error| {
            let line = error.line().map(|line| format!(" in line {line}")).unwrap_or_default();
            let detail = error.detail().unwrap_or("it cannot be read");
            TemplateError::Malformed(format!("The template is none{line}: {detail}."))
        };
        environment.add_template_owned(NAME, source.to_owned()).map_err(malformed)?;
        let literals = words::check(source).map_err(TemplateError::Malformed)?;
        let paths = environment.get_template(NAME).map_err(malformed)?.undeclared_variables(true);
        Ok(Template {
            source: source.into(),
            environment: Arc::new(environment),
            paths: paths.into_iter().collect(),
            literals,
        })
    }

    /// As it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Paths of the values that it may ask for, with dots as far as they are known: `name.givenName`.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.paths.iter().map(String::as_str)
    }

    /// Names of the values that it may ask for: the first parts of its paths, each once.
    pub fn names(&self) -> BTreeSet<&str> {
        self.paths.iter().map(|path| path.split('.').next().unwrap_or(path)).collect()
    }

    /// The texts in quotes within its expressions.
    pub fn literals(&self) -> impl Iterator<Item = &str> {
        self.literals.iter().map(String::as_str)
    }

    /// The text that it gives of the values that `value` knows by their names. `null` is no value.
    pub fn render<'v>(&self, value: impl Fn(&str) -> Option<Cow<'v, Value>>) -> Result<String, TemplateError> {
        let known = self.names().into_iter().filter_map(|name| {
            let value = value(name).filter(|value| !value.is_null())?;
            Some((name.to_owned(), minijinja::Value::from(Serde(&*value))))
        });
        let known: BTreeMap<String, minijinja::Value> = known.collect();
        let template = self.environment.get_template(NAME).map_err(|_| TemplateError::Unfit)?;
        let mut text = Bounded(Vec::new());
        template.render_captured_to(minijinja::Value::from(known), &mut text).map_err(|error| match error.kind() {
            ErrorKind::UndefinedError => TemplateError::Undefined,
            ErrorKind::OutOfFuel | ErrorKind::WriteFailure => TemplateError::TooMuch,
            _ => TemplateError::Unfit,
        })?;
        String::from_utf8(text.0).map_err(|_| TemplateError::Unfit)
    }
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Template").field(&self.source).finish()
    }
}

/// Takes no more than [`MAX_TEXT`].
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_TEXT {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;

//! Paths of PATCH operations (RFC 7644 figure 7): `attr`, `attr.sub`, `attr[filter]`, `attr[filter].sub`, each also
//! behind a URN, or an extension's URN alone. Split here; what the parts name is for the schema to say.

use std::fmt;

use crate::Error;
use crate::filter::{Fault, Filter, Parsed, Parser};

/// A path, taken apart.
#[derive(Clone, Debug, PartialEq)]
pub struct PatchPath {
    /// What stands before the brackets, or all of it, as written: `members`, `name.familyName`, `urn:…:User:manager`.
    pub attr: String,
    /// What stands between the brackets.
    pub filter: Option<Filter<Parsed>>,
    /// The name behind the brackets, without its dot.
    pub sub: Option<String>,
}

impl PatchPath {
    /// Reads a path. Fails with 400 invalidPath; the detail says at which character and what was expected.
    pub fn parse(text: &str) -> Result<PatchPath, Error> {
        let parse = || {
            let mut parser = Parser::new(text)?;
            let attr = parser.attribute()?.text;
            let filter = parser.brackets()?;
            let sub = match filter {
                Some(_) => parser.sub()?.map(|path| path.text),
                None => None,
            };
            parser.end("the end of the path")?;
            Ok(PatchPath { attr, filter, sub })
        };
        parse().map_err(|fault: Fault| Error::invalid_path(fault.detail()))
    }
}

impl fmt::Display for PatchPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.attr)?;
        if let Some(filter) = &self.filter {
            write!(out, "[{filter}]")?;
        }
        if let Some(sub) = &self.sub {
            write!(out, ".{sub}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

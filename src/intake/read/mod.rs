//! Rows out of a file, one after the other: CSV in any encoding, sheets of workbooks, lines of JSON. A row that cannot be
//! read is told as one and the rest goes on; only a file that is none of its kind breaks off.

mod csv;
mod lines;
mod text;
mod xlsx;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Seek};
use std::sync::Arc;

use crate::directory::feeds::map::{Format, Header, Map, Row};
pub(super) use text::is_mojibake;

/// Why a file cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("the file cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It is not what the map says it is.
    #[error("{0}")]
    Unfit(String),
    /// Who listens wants no more.
    #[error("broken off")]
    BrokenOff,
}

/// A row that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// Its line, or its row of a sheet.
    pub number: u64,
    /// Why, as a sentence.
    pub reason: String,
}

/// What is told of a file as it is read.
pub enum Told<'r> {
    /// The names of its columns. Lines of JSON have none.
    Header(&'r Header),
    /// A row.
    Row(Row),
    /// A row that cannot be read.
    Unread(Unread),
}

/// Reads a file from its beginning and tells each row; `false` of the listener breaks it off.
pub fn read(
    file: &mut File,
    format: Format,
    map: &Map,
    mut told: impl FnMut(Told<'_>) -> bool,
) -> Result<(), ReadError> {
    file.rewind()?;
    let mut told = |what: Told<'_>| if told(what) { Ok(()) } else { Err(ReadError::BrokenOff) };
    match format {
        Format::Csv => csv::read(file, map, &mut told),
        Format::Xlsx => xlsx::read(file, map, &mut told),
        Format::JsonLines => lines::read(file, map, &mut told),
    }
}

/// Who listens to a reader.
type Listener<'l> = dyn FnMut(Told<'_>) -> Result<(), ReadError> + 'l;

/// The names of columns, each once, with all that the map reads among them.
fn header(map: &Map, names: Vec<String>, told: &mut Listener<'_>) -> Result<Arc<Header>, ReadError> {
    let header = Header::new(names).map_err(ReadError::Unfit)?;
    let missing: Vec<&str> = map.columns().filter(|name| !header.has(name)).collect();
    if !missing.is_empty() {
        let there: Vec<&str> = header.names().iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
        return Err(ReadError::Unfit(format!(
            "The file has no column {}. There are: {}.",
            missing.join(", "),
            there.join(", ")
        )));
    }
    told(Told::Header(&header))?;
    Ok(Arc::new(header))
}

//! Text with a delimiter (RFC 4180), in whatever encoding the map says.

use std::fs::File;
use std::io::{BufReader, Read as _};

use csv::{ErrorKind, ReaderBuilder, StringRecord, Terminator, Trim};

use super::text::Decoding;
use super::{Listener, ReadError, Told, Unread, header};
use crate::directory::feeds::map::{Map, Row};

/// Reads it.
pub(super) fn read(file: &mut File, map: &Map, told: &mut Listener<'_>) -> Result<(), ReadError> {
    // So that the last row ends as all others do.
    let text = BufReader::with_capacity(1 << 16, Decoding::new(file, map.encoding).chain(&b"\n"[..]));
    let mut reader = ReaderBuilder::new()
        .delimiter(map.delimiter)
        // What stands before it is trimmed, and lines are counted right.
        .terminator(Terminator::Any(b'\n'))
        .has_headers(false)
        .flexible(true)
        .trim(Trim::All)
        .from_reader(text);
    let mut record = StringRecord::new();
    let mut names = None;
    while advance(&mut reader, &mut record)? {
        if record.len() == 1 && record.get(0).is_some_and(str::is_empty) {
            continue;
        }
        // The reader stands behind the row; one with line breaks in quotes is known by its first line.
        let within = record.iter().map(|field| field.matches('\n').count() as u64).sum::<u64>();
        let number = reader.position().line().saturating_sub(1 + within);
        let Some(columns) = &names else {
            // Lines before the line of names are a title.
            if number > map.skip {
                names = Some(header(map, record.iter().map(str::to_owned).collect(), told)?);
            }
            continue;
        };
        let (has, needs) = (record.len(), columns.names().len());
        if has != needs {
            let reason = format!(
                "The row has {has} fields, the line of names has {needs}. Is a text with a delimiter or a line break in it without quotes?"
            );
            told(Told::Unread(Unread { number, reason }))?;
            continue;
        }
        told(Told::Row(Row::cells(number, columns.clone(), record.iter().map(str::to_owned).collect())))?;
    }
    if names.is_none() {
        return Err(ReadError::Unfit("The file is empty: it has not even a line of names.".into()));
    }
    Ok(())
}

fn advance(reader: &mut csv::Reader<impl std::io::Read>, record: &mut StringRecord) -> Result<bool, ReadError> {
    reader.read_record(record).map_err(|error| match error.into_kind() {
        ErrorKind::Io(error) => ReadError::Io(error),
        other => ReadError::Unfit(format!("The file cannot be read as CSV: {other:?}")),
    })
}

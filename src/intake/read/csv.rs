//! Text with a delimiter (RFC 4180), in whatever encoding the map says.

use std::fs::File;
use std::io::BufReader;

use csv::{ErrorKind, ReaderBuilder, StringRecord, Trim};

use super::text::Decoding;
use super::{Listener, ReadError, Told, Unread, header};
use crate::directory::feeds::map::{Map, Row};

/// Reads it.
pub(super) fn read(file: &mut File, map: &Map, told: &mut Listener<'_>) -> Result<(), ReadError> {
    let text = BufReader::with_capacity(1 << 16, Decoding::new(file, map.encoding));
    let mut reader = ReaderBuilder::new()
        .delimiter(map.delimiter)
        .has_headers(false)
        .flexible(true)
        .trim(Trim::All)
        .from_reader(text);
    let mut record = StringRecord::new();
    let mut names = None;
    while advance(&mut reader, &mut record)? {
        let number = record.position().map_or(0, csv::Position::line);
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

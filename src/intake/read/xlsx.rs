//! A sheet of a workbook (Office Open XML), cell by cell. Texts that cells share are in memory, rows are not. Dates are
//! told as ISO 8601, whole numbers without decimals.

use std::fs::File;
use std::io::BufReader;
use std::sync::Arc;

use calamine::{DataRef, ExcelDateTime, Reader, Xlsx, XlsxError};

use super::{Listener, ReadError, Told, header};
use crate::directory::feeds::map::{Header, Map, Row};

/// Most columns of a sheet that is read.
const MAX_COLUMNS: usize = 1_000;

/// Reads it.
pub(super) fn read(file: &mut File, map: &Map, told: &mut Listener<'_>) -> Result<(), ReadError> {
    let mut book: Xlsx<_> = Xlsx::new(BufReader::new(file.try_clone()?)).map_err(unfit)?;
    let names = book.sheet_names();
    let sheet = match &map.sheet {
        Some(sheet) if names.contains(sheet) => sheet.clone(),
        Some(sheet) => {
            return Err(ReadError::Unfit(format!("There is no sheet {sheet:?}. There are: {}.", names.join(", "))));
        }
        None => names.first().cloned().ok_or_else(|| ReadError::Unfit("The workbook has no sheet.".into()))?,
    };
    let mut cells = book.worksheet_cells_reader(&sheet).map_err(unfit)?;
    let mut sheet = Sheet { map, header: None, number: 0, row: Vec::new() };
    while let Some(cell) = cells.next_cell().map_err(unfit)? {
        let (row, column) = cell.get_position();
        let (number, column) = (u64::from(row) + 1, column as usize);
        if number != sheet.number {
            sheet.finish(told)?;
            sheet.number = number;
        }
        let text = text_of(cell.get_value());
        if column < MAX_COLUMNS && !text.is_empty() {
            if sheet.row.len() <= column {
                sheet.row.resize(column + 1, String::new());
            }
            if let Some(place) = sheet.row.get_mut(column) {
                *place = text;
            }
        }
    }
    sheet.finish(told)?;
    match sheet.header {
        Some(_) => Ok(()),
        None => Err(ReadError::Unfit("The sheet is empty: it has not even a row of names.".into())),
    }
}

struct Sheet<'m> {
    map: &'m Map,
    header: Option<Arc<Header>>,
    number: u64,
    row: Vec<String>,
}

impl Sheet<'_> {
    /// Tells the row that has come to its end. One without a text is none.
    fn finish(&mut self, told: &mut Listener<'_>) -> Result<(), ReadError> {
        let mut row = std::mem::take(&mut self.row);
        if row.iter().all(String::is_empty) || self.number <= self.map.skip {
            return Ok(());
        }
        match &self.header {
            None => {
                self.header = Some(header(self.map, row, told)?);
                Ok(())
            }
            Some(header) => {
                row.resize(header.names().len(), String::new());
                told(Told::Row(Row::cells(self.number, header.clone(), row)))
            }
        }
    }
}

fn text_of(value: &DataRef<'_>) -> String {
    match value {
        DataRef::String(text) | DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => text.trim().to_owned(),
        DataRef::SharedString(text) => text.trim().to_owned(),
        DataRef::Int(number) => number.to_string(),
        // Every number of a sheet is one with decimals; a float is shown without when it has none.
        DataRef::Float(number) => number.to_string(),
        DataRef::Bool(flag) => flag.to_string(),
        DataRef::DateTime(moment) => moment_of(moment),
        DataRef::Error(_) | DataRef::Empty => String::new(),
    }
}

fn moment_of(moment: &ExcelDateTime) -> String {
    let (year, month, day, hour, minute, second, _) = moment.to_ymd_hms_milli();
    match (hour, minute, second) {
        (0, 0, 0) => format!("{year:04}-{month:02}-{day:02}"),
        _ => format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is the error of a result")]
fn unfit(error: XlsxError) -> ReadError {
    ReadError::Unfit(format!("The file cannot be read as a workbook: {error}"))
}

//! One JSON object a line. An empty line is passed over, one that is no object is told as a row that cannot be read.

use std::fs::File;
use std::io::{BufRead, BufReader};

use serde_json::Value;

use super::text::Decoding;
use super::{Listener, ReadError, Told, Unread};
use crate::directory::feeds::map::{Map, Row};

/// Longest line in bytes.
const MAX_LINE: usize = 1 << 20;

/// Reads it.
pub(super) fn read(file: &mut File, map: &Map, told: &mut Listener<'_>) -> Result<(), ReadError> {
    let mut text = BufReader::with_capacity(1 << 16, Decoding::new(file, map.encoding));
    let mut line = Vec::new();
    let mut number = 0;
    loop {
        line.clear();
        number += 1;
        let length = std::io::Read::take(&mut text, MAX_LINE as u64).read_until(b'\n', &mut line)?;
        if length == 0 {
            return Ok(());
        }
        if length == MAX_LINE && line.last() != Some(&b'\n') {
            return Err(ReadError::Unfit(format!(
                "Line {number} is longer than {MAX_LINE} bytes. Is each object on a line of its own?"
            )));
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        match serde_json::from_slice(&line) {
            Ok(Value::Object(object)) => told(Told::Row(Row::object(number, object)))?,
            Ok(_) => told(Told::Unread(Unread { number, reason: "The line is no JSON object.".into() }))?,
            Err(error) => {
                let reason = format!("The line is not JSON: at character {}.", error.column());
                told(Told::Unread(Unread { number, reason }))?;
            }
        }
    }
}

//! The first way through a file: which keys it names and what it says of each, as digests, and what of it cannot be
//! read. Compared with what the feed has said before, it tells what is new, what has changed and what is missing, without
//! a resource being read.

use std::collections::HashMap;
use std::fs::File;

use serde_json::{Map as Object, Value};
use sha2::{Digest, Sha256};
use store::feed::FeedRecord;

use super::read::{self, ReadError, Told};
use super::{IntakeError, Reject};
use crate::directory::feeds::is_gone;
use crate::directory::feeds::map::{Format, Map, Row};

/// Rows of a preview.
const PREVIEWED: usize = 10;

/// What a file says of one key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// The part of the map.
    pub(super) part: u8,
    /// How many rows name it.
    pub(super) rows: u32,
    /// The digests of its rows, added up: their order does not count.
    sum: u128,
    pub(super) standing: Standing,
}

/// How a key stands to what was said before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing was.
    New,
    /// Something else was.
    Changed,
    /// It was withdrawn.
    Returned,
    /// The same.
    Unchanged,
    /// A row of it cannot be read, or stands twice: it is there, and stays as it is.
    Refused,
}

impl Seen {
    /// What is kept of what was said: another map, or another number of rows, says something else.
    pub(super) fn digest(&self, map: &Map) -> Vec<u8> {
        self.sum.wrapping_add(u128::from(self.rows)).wrapping_add(map.digest).to_be_bytes().to_vec()
    }

    /// Whether something is to be done for it.
    pub(super) fn is_due(&self) -> bool {
        matches!(self.standing, Standing::New | Standing::Changed | Standing::Returned)
    }
}

/// What a file says.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// By [`hash`].
    pub(super) seen: HashMap<u128, Seen>,
    /// Rows that were read.
    pub(super) rows: u64,
    /// Rows that look as if they were read in a wrong encoding.
    pub(super) misread: u64,
    /// Rows without a key that cannot be read.
    pub(super) lost: u64,
    /// Keys that stand more often than they may.
    pub(super) duplicates: u64,
}

impl Scan {
    /// Keys of which something cannot be read.
    pub(super) fn refused(&self) -> u64 {
        self.seen.values().filter(|seen| seen.standing == Standing::Refused).count() as u64
    }

    /// Compares with what the feed has said of a key. Returns whether the key is missing.
    pub(super) fn compare(&mut self, map: &Map, kind: &str, key: &str, record: &FeedRecord) -> bool {
        let Some(seen) = self.seen.get_mut(&hash(kind, key)) else { return !is_gone(&record.op) };
        if seen.standing != Standing::Refused {
            seen.standing = match is_gone(&record.op) {
                true => Standing::Returned,
                false if record.digest == seen.digest(map) => Standing::Unchanged,
                false => Standing::Changed,
            };
        }
        false
    }
}

/// A key, short enough to be kept by the hundred thousand.
pub(super) fn hash(kind: &str, key: &str) -> u128 {
    let digest = Sha256::new().chain_update(kind).chain_update([0]).chain_update(key).finalize();
    digest.iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte))
}

/// Goes through a file. `refused` hears of what cannot be read, with the part it is of; `warned` of what should be looked
/// at; `passed` of each row.
pub(super) fn scan(
    file: &mut File,
    format: Format,
    map: &Map,
    mut refused: impl FnMut(usize, Reject) -> bool,
    mut warned: impl FnMut(Reject) -> bool,
    mut passed: impl FnMut(u64),
) -> Result<Scan, ReadError> {
    let mut scan = Scan::default();
    let secrets: Vec<&str> = map.secrets().collect();
    read::read(file, format, map, |told| match told {
        Told::Header(_) => true,
        Told::Unread(unread) => {
            scan.rows += 1;
            scan.lost += 1;
            let reject =
                Reject { row: unread.number, kind: None, key: None, reason: unread.reason, raw: Object::new() };
            refused(0, reject)
        }
        Told::Row(row) => {
            scan.rows += 1;
            passed(scan.rows);
            let goes_on = scan.take(map, &row, &secrets, &mut refused);
            goes_on && scan.look(map, &row, &secrets, &mut warned)
        }
    })?;
    Ok(scan)
}

impl Scan {
    fn take(
        &mut self,
        map: &Map,
        row: &Row,
        secrets: &[&str],
        refused: &mut impl FnMut(usize, Reject) -> bool,
    ) -> bool {
        for (place, part) in map.parts.iter().enumerate() {
            let kind = part.definition.name();
            let reject = |key: Option<&str>, reason: String| Reject {
                row: row.number,
                kind: Some(kind.to_owned()),
                key: key.map(str::to_owned),
                reason,
                raw: row.shown(map.columns(), secrets),
            };
            let key = match part.key_of(row) {
                Ok(None) => continue,
                Ok(Some(key)) => key,
                Err(reason) => {
                    self.lost += 1;
                    if !refused(place, reject(None, reason)) {
                        return false;
                    }
                    continue;
                }
            };
            let mapped = part.map(row, key.clone());
            let new = Seen { part: u8::try_from(place).unwrap_or(u8::MAX), rows: 0, sum: 0, standing: Standing::New };
            let seen = self.seen.entry(hash(kind, &key)).or_insert(new);
            seen.rows = seen.rows.saturating_add(1);
            let reason = match mapped {
                Err(reason) => Some(reason),
                Ok(_) if seen.rows > 1 && (part.lists.is_empty() || usize::from(seen.part) != place) => {
                    if seen.rows == 2 {
                        self.duplicates += 1;
                    }
                    Some(format!("{key} stands {} times.", seen.rows))
                }
                Ok(mapped) => {
                    seen.sum = seen.sum.wrapping_add(mapped.digest);
                    None
                }
            };
            if let Some(reason) = reason {
                seen.standing = Standing::Refused;
                if !refused(place, reject(Some(&key), reason)) {
                    return false;
                }
            }
        }
        true
    }

    /// Warns of a row that looks as if it were read in a wrong encoding.
    fn look(&mut self, map: &Map, row: &Row, secrets: &[&str], warned: &mut impl FnMut(Reject) -> bool) -> bool {
        let columns = || map.columns();
        if !columns().any(|name| row.text(name).is_some_and(|text| read::is_mojibake(&text))) {
            return true;
        }
        self.misread += 1;
        let reason = "This looks like UTF-8 that was read as Latin-1. Is the encoding of the map right?".to_owned();
        warned(Reject { row: row.number, kind: None, key: None, reason, raw: row.shown(columns(), secrets) })
    }
}

/// The first rows of a file, mapped.
#[derive(Clone, Debug, Default)]
pub struct Preview {
    /// The names of its columns.
    pub columns: Vec<String>,
    /// What each row says, resource by resource, or why it cannot be read.
    pub rows: Vec<(u64, Vec<Result<Value, String>>)>,
    /// When the source made it, as a column says.
    pub extracted: Option<String>,
}

/// Reads the first rows of a file and shows what the map makes of them.
pub fn preview(file: &mut File, format: Format, map: &Map) -> Result<Preview, IntakeError> {
    let mut preview = Preview::default();
    let read = read::read(file, format, map, |told| {
        match told {
            Told::Header(header) => preview.columns = header.names().to_vec(),
            Told::Unread(unread) => preview.rows.push((unread.number, vec![Err(unread.reason)])),
            Told::Row(row) => {
                if let Some(extracted) = &map.extracted
                    && preview.extracted.is_none()
                {
                    preview.extracted = row.text(&extracted.column).map(std::borrow::Cow::into_owned);
                }
                preview.rows.push((row.number, shown(map, &row)));
            }
        }
        preview.rows.len() < PREVIEWED
    });
    match read {
        Ok(()) | Err(ReadError::BrokenOff) => Ok(preview),
        Err(error) => Err(error.into()),
    }
}

fn shown(map: &Map, row: &Row) -> Vec<Result<Value, String>> {
    let of = |part: &crate::directory::feeds::map::Part| {
        let key = part.key_of(row).transpose()?;
        Some(key.and_then(|key| part.map(row, key)).map(|mapped| mapped.shown(part)))
    };
    map.parts.iter().filter_map(of).collect()
}

//! The second way through a file: the rows of each resource that something is to be done for are put together, wherever
//! they stand. How many there are is known by then, so that a resource is complete as soon as its last row was read.

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;

use super::Reject;
use super::read::{self, ReadError, Told};
use super::scan::{Scan, Standing, hash};
use crate::directory::feeds::map::{Element, Format, Map, Mapped, Part, Row, Said};
use crate::directory::feeds::{Entry, Saying, Wish};

/// What the rows of one resource say together.
pub(super) enum Gathered {
    /// This.
    Entry(Entry),
    /// They contradict each other, or name an element twice.
    Refused { part: usize, reject: Reject, is_duplicate: bool },
}

struct Group {
    first: u64,
    rows: u32,
    said: Vec<Option<Said>>,
    elements: Vec<Vec<Element>>,
    /// Why they cannot stand together, and whether it is that something stands twice.
    fault: Option<(u64, String, bool)>,
}

/// Goes through a file for one part of its map and tells each resource as soon as it is complete.
pub(super) fn gather(
    file: &mut File,
    format: Format,
    map: &Map,
    place: usize,
    scan: &Scan,
    mut told: impl FnMut(Gathered) -> bool,
) -> Result<(), ReadError> {
    let Some(part) = map.parts.get(place) else { return Ok(()) };
    let secrets: Vec<&str> = map.secrets().collect();
    let mut open: HashMap<u128, Group> = HashMap::new();
    read::read(file, format, map, |row| {
        let Told::Row(row) = row else { return true };
        // What cannot be read was told by the scan.
        let Ok(Some(key)) = part.key_of(&row) else { return true };
        let hash = hash(part.definition.name(), &key);
        let Some(seen) = scan.seen.get(&hash).filter(|seen| seen.is_due() && usize::from(seen.part) == place) else {
            return true;
        };
        let Ok(mapped) = part.map(&row, key) else { return true };
        let key = mapped.key.clone();
        let mut group = match open.remove(&hash) {
            None => Group { first: row.number, rows: 1, said: mapped.said, elements: mapped.elements, fault: None },
            Some(mut group) => {
                group.add(part, &row, mapped);
                group
            }
        };
        if group.rows < seen.rows {
            open.insert(hash, group);
            return true;
        }
        group.check(part, row.number);
        told(match group.fault {
            None => Gathered::Entry(Entry {
                part: place,
                key,
                row: group.first,
                wish: Wish::Say {
                    saying: Arc::new(Saying { said: group.said, elements: group.elements }),
                    digest: seen.digest(map),
                    revive: seen.standing == Standing::Returned,
                },
            }),
            Some((number, reason, is_duplicate)) => Gathered::Refused {
                part: place,
                reject: Reject {
                    row: number,
                    kind: Some(part.definition.name().to_owned()),
                    key: Some(key),
                    reason,
                    raw: row.shown(map.columns(), &secrets),
                },
                is_duplicate,
            },
        })
    })
}

impl Group {
    fn add(&mut self, part: &Part, row: &Row, mapped: Mapped) {
        self.rows += 1;
        let mut differing = part.columns.iter().zip(self.said.iter().zip(&mapped.said));
        if let Some((column, _)) = differing.find(|(_, (one, other))| one != other)
            && self.fault.is_none()
        {
            let reason =
                format!("Rows {} and {} of the same key disagree about {}.", self.first, row.number, column.path);
            self.fault = Some((row.number, reason, false));
        }
        for (known, more) in self.elements.iter_mut().zip(mapped.elements) {
            known.extend(more);
        }
    }

    /// No element may stand twice.
    fn check(&mut self, part: &Part, last: u64) {
        for (list, elements) in part.lists.iter().zip(&self.elements) {
            let mut keys: Vec<&str> = elements.iter().map(|element| element.key.as_str()).collect();
            keys.sort_unstable();
            let twice = keys.windows(2).find(|pair| matches!(pair, [one, other] if one == other));
            if let (Some([key, ..]), None) = (twice, &self.fault) {
                let reason = format!("{} {key} stands twice in {}.", list.key, list.spot.attribute);
                self.fault = Some((last, reason, true));
            }
        }
    }
}

//! A group with very many members in little memory: who they are is read in one snapshot, some twenty bytes each, and
//! the text is written from that a slice at a time. No text of the whole group ever exists, and no transaction is open
//! while a client reads.

use std::sync::Arc;

use serde_json::{Map, Value};

use scim::schema::Registry;

use crate::assemble::{Shown, endpoint, head_of, meta_of, push_member};
use crate::{Derived, Error, MemberRef, Record, ResourceId};

/// Members in one slice of text.
const SLICE: usize = 512;

/// The members of a group in id order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roll {
    /// Each resource type once.
    kinds: Vec<String>,
    /// Who, and the place of its type in `kinds`.
    members: Vec<(ResourceId, u16)>,
    /// What they are called, where that is wanted; else empty.
    labels: Vec<Box<str>>,
}

impl Roll {
    /// How many members there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The members of a type of which it is known what they are called.
    pub fn named(&self, kind: &str) -> impl Iterator<Item = ResourceId> {
        let kind = self.kinds.iter().position(|known| known == kind).and_then(|place| u16::try_from(place).ok());
        let all = self.members.iter().zip(&self.labels);
        all.filter(move |((_, of), label)| Some(*of) == kind && !label.is_empty()).map(|((id, _), _)| *id)
    }

    /// Adds the next member. Fails with [`Error::Corrupt`] where there are more resource types than can be.
    pub(crate) fn add(&mut self, member: MemberRef, with_label: bool) -> Result<(), Error> {
        let place = self.kinds.iter().position(|kind| *kind == member.kind).unwrap_or_else(|| {
            self.kinds.push(member.kind);
            self.kinds.len() - 1
        });
        let place = u16::try_from(place).map_err(|_| Error::Corrupt("a group of too many types".into()))?;
        self.members.push((member.id, place));
        if with_label {
            self.labels.push(member.label.into());
        }
        Ok(())
    }
}

/// The text of a group, slice by slice.
#[derive(Debug)]
pub struct Slices {
    roll: Roll,
    shown: Shown,
    base_url: Box<str>,
    registry: Arc<Registry>,
    /// What stands before the members; taken with the first slice.
    head: String,
    /// What stands after them; taken with the last.
    tail: String,
    next: usize,
}

impl Slices {
    /// All of the group, as [`crate::render`] writes it. `derived` is without members.
    pub fn whole(record: &Record, derived: &Derived<'_>, registry: &Arc<Registry>, roll: Roll) -> Self {
        let head = head_of(record, derived, registry);
        let tail = meta_of(record, derived, registry);
        let shown = Shown { display: derived.member_names, ..Shown::default() };
        Slices { roll, shown, base_url: derived.base_url.into(), registry: registry.clone(), head, tail, next: 0 }
    }

    /// A document of which its client gets a part, and its members with these fields. Fails with [`Error::Corrupt`]
    /// for a document that cannot be written.
    pub fn part(
        document: &Map<String, Value>,
        shown: Shown,
        base_url: &str,
        registry: &Arc<Registry>,
        roll: Roll,
    ) -> Result<Self, Error> {
        let mut head = serde_json::to_string(document).map_err(|error| Error::Corrupt(error.to_string()))?;
        head.pop();
        let registry = registry.clone();
        Ok(Slices { roll, shown, base_url: base_url.into(), registry, head, tail: "}".into(), next: 0 })
    }

    /// How many members it has.
    pub fn members(&self) -> usize {
        self.roll.len()
    }
}

impl Iterator for Slices {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        if self.tail.is_empty() {
            return None;
        }
        let mut out = std::mem::take(&mut self.head);
        let begin = self.next;
        let end = (begin + SLICE).min(self.roll.len());
        if begin == 0 && end > 0 {
            // An object with nothing in it is never answered, but its text would be no place for a comma.
            out.push_str(if out.ends_with('{') { "\"members\":[" } else { ",\"members\":[" });
        }
        for (n, (id, place)) in self.roll.members.iter().enumerate().take(end).skip(begin) {
            if n > 0 {
                out.push(',');
            }
            let kind = self.roll.kinds.get(usize::from(*place)).map_or("", String::as_str);
            let label = self.roll.labels.get(n).map_or("", |label| label);
            push_member(&mut out, *id, kind, label, self.shown, &self.base_url, endpoint(&self.registry, kind));
        }
        self.next = end;
        if end == self.roll.len() {
            if end > 0 {
                out.push(']');
            }
            out.push_str(&std::mem::take(&mut self.tail));
        }
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render;

    fn record() -> Record {
        Record {
            id: ResourceId(uuid::Uuid::from_u128(7)),
            kind: "Group".into(),
            version: 3,
            seq: 9,
            groups_seq: 0,
            created_at: 0,
            modified_at: 0,
            label: "crew".into(),
            doc:
                r#"{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"crew"}"#.to_owned().into(),
            secret: None,
        }
    }

    #[test]
    fn the_slices_together_are_the_text_and_none_of_them_is_long() {
        let registry = Arc::new(Registry::builtin().expect("documents"));
        for count in [0, 1, SLICE - 1, SLICE, SLICE + 1, 5_000] {
            let members: Vec<MemberRef> = (0..count)
                .map(|n| MemberRef {
                    id: ResourceId(uuid::Uuid::from_u128(n as u128)),
                    kind: if n % 3 == 0 { "Group" } else { "User" }.into(),
                    label: format!("\"{n}\""),
                })
                .collect();
            for member_names in [false, true] {
                let mut roll = Roll::default();
                members.iter().for_each(|member| roll.add(member.clone(), member_names).expect("added"));
                let bare = Derived {
                    base_url: "https://x",
                    external: None,
                    groups: None,
                    members: None,
                    member_names,
                    etag: "e",
                };
                let slices: Vec<String> = Slices::whole(&record(), &bare, &registry, roll.clone()).collect();
                assert!(slices.iter().all(|slice| slice.len() < 300 * SLICE));
                assert_eq!(slices.len(), count.div_ceil(SLICE).max(1));
                let full = Derived { members: Some(&members), ..bare };
                assert_eq!(slices.concat(), render(&record(), &full, &registry), "{count}");

                let shown = Shown { reference: false, kind: false, display: member_names, ..Shown::default() };
                let document = Map::from_iter([("id".to_owned(), Value::from("7"))]);
                let part = Slices::part(&document, shown, "https://x", &registry, roll).expect("written");
                let part: Value = serde_json::from_str(&part.collect::<String>()).expect("JSON");
                assert_eq!(part["members"].as_array().map_or(0, Vec::len), count);
                assert!(
                    count == 0 || part["members"][0].as_object().expect("one").len() == 1 + usize::from(member_names)
                );
            }
        }
    }
}

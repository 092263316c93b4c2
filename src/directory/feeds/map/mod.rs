//! The map of a feed: which column becomes which attribute of which resource. It is TOML, checked against the tenant's
//! schemas with the line of every fault ([`Map::read`]), and then pure: a [`Row`] goes in, what its source says of one
//! resource comes out ([`Part::map`]). Never reads a file, never knows what is stored.

mod read;
mod row;
mod sheet;
mod spot;
mod value;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use provisioning::guard::{Sort, Threshold};
use scim::filter::{Checked, Filter};
use scim::schema::Definition;

pub use row::{Element, Header, Mapped, Reference, Row};
pub use sheet::Fault;
pub use spot::Spot;
pub use value::{Column, From, Said};

/// How the rows of a feed are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text with a delimiter (RFC 4180).
    Csv,
    /// A sheet of an Office Open XML workbook.
    Xlsx,
    /// One JSON object a line.
    JsonLines,
}

impl Format {
    /// The format of that name, as maps write it.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "csv" => Some(Format::Csv),
            "xlsx" => Some(Format::Xlsx),
            "jsonl" => Some(Format::JsonLines),
            _ => None,
        }
    }

    /// The name in maps.
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::Xlsx => "xlsx",
            Format::JsonLines => "jsonl",
        }
    }
}

/// What of the source a feed holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// All of it, within the scope: what is not there is withdrawn.
    Full,
    /// What has changed: nothing is withdrawn.
    Delta,
}

impl Mode {
    /// The mode of that name.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "full" => Some(Mode::Full),
            "delta" => Some(Mode::Delta),
            _ => None,
        }
    }

    /// The name in maps and runs.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Full => "full",
            Mode::Delta => "delta",
        }
    }
}

/// What becomes of a resource that its source no longer names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withdrawal {
    /// `active` becomes false.
    Disable,
    /// The resource is deleted, which under a policy withdraws the source's record alone.
    Delete,
    /// Nothing but a note that it is gone.
    Keep,
}

/// When a run is held.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Resources that would come to be.
    pub creates: Threshold,
    /// Resources whose `active` would become false.
    pub disables: Threshold,
    /// Resources that would be deleted.
    pub deletes: Threshold,
    /// Percent of all keys that may be refused.
    pub rejects: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            creates: Sort::Creates.usual(),
            disables: Sort::Disables.usual(),
            deletes: Sort::Deletes.usual(),
            rejects: 5.0,
        }
    }
}

/// When the source made the feed, as a column says.
#[derive(Clone, Debug)]
pub struct Extracted {
    /// The column.
    pub column: String,
    /// How it is written, in the terms of strptime; RFC 3339 without.
    pub format: Option<String>,
}

/// One sort of resource within a feed.
#[derive(Clone, Debug)]
pub struct Part {
    /// The resource type.
    pub definition: Arc<Definition>,
    /// The columns that are the source's own key, joined by a slash.
    pub key: Vec<String>,
    /// What a row must be like to be about such a resource.
    pub when: Vec<Condition>,
    /// Attributes, in the order of the map.
    pub columns: Vec<Column>,
    /// Attributes that are lists with an element a row.
    pub lists: Vec<List>,
    /// Which resources a snapshot is about; without it all of the feed's.
    pub scope: Option<Filter<Checked>>,
    /// What becomes of those it leaves out.
    pub withdraw: Withdrawal,
    /// Whether a row that leaves `active` unsaid means an active resource.
    pub says_active: bool,
}

/// A list with one element a row, or one for each object of a list within a JSON row.
#[derive(Clone, Debug)]
pub struct List {
    /// The attribute.
    pub spot: Spot,
    /// The sub-attribute that tells elements apart.
    pub key: String,
    /// In rows of JSON, the member that holds a list of objects, which the columns are relative to.
    pub from: Option<String>,
    /// Sub-attributes.
    pub columns: Vec<Column>,
    /// Which elements a snapshot is about, relative to the element; without it all.
    pub scope: Option<Filter<Checked>>,
}

/// What a row must be like.
#[derive(Clone, Debug)]
pub struct Condition {
    /// The column.
    pub column: String,
    /// The texts that it may have; none: anything but nothing.
    pub is: Vec<String>,
    /// Whether it must be otherwise.
    pub not: bool,
}

/// A map that was checked against the schemas of a tenant.
#[derive(Clone, Debug)]
pub struct Map {
    /// Name of the feed.
    pub source: String,
    /// How rows are written; without it as the file's name or the media type says.
    pub format: Option<Format>,
    /// Between the columns of CSV.
    pub delimiter: u8,
    /// Label of the encoding of text, such as `windows-1252`; without it UTF-8.
    pub encoding: Option<&'static encoding_rs::Encoding>,
    /// The sheet of a workbook; without it the first.
    pub sheet: Option<String>,
    /// Lines before the line of names.
    pub skip: u64,
    /// Whether a feed is a snapshot unless it says otherwise.
    pub mode: Mode,
    /// When the source made it.
    pub extracted: Option<Extracted>,
    /// When a run is held.
    pub limits: Limits,
    /// In the order in which they are carried out: units, persons, users, the rest.
    pub parts: Vec<Part>,
    /// Another map has another: what it says of a row is compared anew.
    pub digest: u128,
}

impl Map {
    /// Every column that the map reads.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        let extracted = self.extracted.iter().map(|extracted| extracted.column.as_str());
        extracted.chain(self.parts.iter().flat_map(Part::names))
    }

    /// Columns whose values are secret: they are never shown where a row is.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let columns = self
            .parts
            .iter()
            .flat_map(|part| part.columns.iter().chain(part.lists.iter().flat_map(|list| list.columns.iter())));
        columns.filter(|column| column.is_secret).flat_map(Column::names)
    }
}

impl Part {
    fn names(&self) -> impl Iterator<Item = &str> {
        let keys = self.key.iter().map(String::as_str);
        let conditions = self.when.iter().map(|condition| condition.column.as_str());
        // Columns of a list within a row of JSON are relative to it.
        let lists = self.lists.iter().filter(|list| list.from.is_none()).flat_map(|list| list.columns.iter());
        let within = self.lists.iter().filter_map(|list| list.from.as_deref());
        keys.chain(conditions).chain(self.columns.iter().chain(lists).flat_map(Column::names)).chain(within)
    }
}

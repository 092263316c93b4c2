//! The whole resource from its row and what is derived: `id`, `externalId`, `groups`, `members` and `meta` are joined to
//! the document's text without parsing it.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use scim::filter::NOTES;
use scim::schema::Registry;

use crate::{Error, Record, ResourceId, Seq, secret};

/// A group as it stands in a member's `groups`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRef {
    /// The group.
    pub id: ResourceId,
    /// Its name.
    pub label: Arc<str>,
    /// Whether the membership is direct, and not through a group within it.
    pub direct: bool,
}

/// A member as it stands in a group's `members`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberRef {
    /// The member.
    pub id: ResourceId,
    /// Its resource type.
    pub kind: String,
    /// Its name.
    pub label: String,
}

/// What a row alone does not say. An attribute that is `None` is left out.
#[derive(Clone, Copy, Debug)]
pub struct Derived<'d> {
    /// Base of every location, without a slash at its end.
    pub base_url: &'d str,
    /// The caller's `externalId`.
    pub external: Option<&'d str>,
    /// The groups it is in.
    pub groups: Option<&'d [GroupRef]>,
    /// The members it has.
    pub members: Option<&'d [MemberRef]>,
    /// Whether the members' names are given too.
    pub member_names: bool,
    /// `meta.version`; see [`etag`].
    pub etag: &'d str,
}

/// Which fields of a member are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// `value`.
    pub value: bool,
    /// `$ref`.
    pub reference: bool,
    /// `type`.
    pub kind: bool,
    /// `display`.
    pub display: bool,
}

impl Default for Shown {
    /// What is returned by default: all but the name.
    fn default() -> Self {
        Shown { value: true, reference: true, kind: true, display: false }
    }
}

/// The resource as JSON text, with every attribute that is stored or given.
pub fn render(record: &Record, derived: &Derived<'_>, registry: &Registry) -> String {
    render_as(record, &without_notes(&record.doc), derived, registry)
}

/// A stored document without what it says of views that the resource has left, which is nobody's to read. It stands in
/// front, so that of others no more than the beginning is looked at.
fn without_notes(doc: &str) -> Cow<'_, str> {
    let noted =
        doc.strip_prefix("{\"").and_then(|doc| doc.strip_prefix(NOTES)).and_then(|doc| doc.strip_prefix("\":["));
    // Ids and instants hold no bracket.
    match noted.and_then(|noted| noted.split_once(']')) {
        Some((_, rest)) => format!("{{{}", rest.trim_start_matches(',')).into(),
        None => doc.into(),
    }
}

/// The document with its notes, if it has any, in the place where they are looked for.
pub(crate) fn notes_first(document: &Map<String, Value>) -> Cow<'_, Map<String, Value>> {
    let Some(notes) = document.get(NOTES) else { return Cow::Borrowed(document) };
    if document.keys().next().is_some_and(|first| first == NOTES) {
        return Cow::Borrowed(document);
    }
    let mut ordered = document.clone();
    ordered.shift_remove(NOTES);
    ordered.shift_insert(0, NOTES.to_owned(), notes.clone());
    Cow::Owned(ordered)
}

/// The same with another text in the place of the stored document: what is seen of it.
pub fn render_as(record: &Record, doc: &str, derived: &Derived<'_>, registry: &Registry) -> String {
    let mut out = head_with(record, doc, derived, registry);
    if let Some(members) = derived.members.filter(|members| !members.is_empty()) {
        push_members(&mut out, members, derived.member_names, derived.base_url, registry);
    }
    push_meta(&mut out, record, derived, registry);
    out
}

/// The resource's text up to where its members stand.
pub(crate) fn head_of(record: &Record, derived: &Derived<'_>, registry: &Registry) -> String {
    head_with(record, &record.doc, derived, registry)
}

fn head_with(record: &Record, doc: &str, derived: &Derived<'_>, registry: &Registry) -> String {
    let (base, groups) = (derived.base_url.len(), derived.groups.unwrap_or_default());
    let listed = groups.iter().map(|group| base + group.label.len() + 144).sum::<usize>();
    let mut out = String::with_capacity(doc.len() + listed + base + 512);
    out.push_str("{\"id\":\"");
    push(&mut out, record.id);
    out.push('"');
    if let Some(external) = derived.external {
        out.push_str(",\"externalId\":");
        push_text(&mut out, external);
    }
    let inner = doc.trim().trim_start_matches('{').strip_suffix('}').unwrap_or_default();
    if !inner.is_empty() {
        out.push(',');
        out.push_str(inner);
    }
    if let Some(groups) = derived.groups.filter(|groups| !groups.is_empty()) {
        push_groups(&mut out, groups, derived.base_url, endpoint(registry, "Group"));
    }
    out
}

/// The resource's text after its members.
pub(crate) fn meta_of(record: &Record, derived: &Derived<'_>, registry: &Registry) -> String {
    let mut out = String::with_capacity(320);
    push_meta(&mut out, record, derived, registry);
    out
}

fn push_meta(out: &mut String, record: &Record, derived: &Derived<'_>, registry: &Registry) {
    out.push_str(",\"meta\":{\"resourceType\":");
    push_text(out, &record.kind);
    out.push_str(",\"created\":\"");
    push_instant(out, record.created_at);
    out.push_str("\",\"lastModified\":\"");
    push_instant(out, record.modified_at);
    out.push_str("\",\"version\":");
    push_text(out, derived.etag);
    out.push_str(",\"location\":");
    push_location(out, derived.base_url, endpoint(registry, &record.kind), record.id);
    out.push_str("}}");
}

/// The resource as a document in canonical form.
pub fn assemble(record: &Record, derived: &Derived<'_>, registry: &Registry) -> Result<Map<String, Value>, Error> {
    let document = serde_json::from_str(&render_as(record, &record.doc, derived, registry));
    let mut document = document.map_err(|error| Error::Corrupt(error.to_string()))?;
    secret::put_tokens(record.secret.as_deref(), &mut document)?;
    Ok(document)
}

/// What is derived and never in the stored document.
const DERIVED: [&str; 5] = ["id", "externalId", "groups", "members", "meta"];

/// The same with no other top-level attributes than these; the rest is passed over, not made.
pub(crate) fn assemble_part(
    record: &Record,
    derived: &Derived<'_>,
    registry: &Registry,
    names: &[&str],
) -> Result<Map<String, Value>, Error> {
    let is_stored = !names.iter().any(|name| DERIVED.contains(name));
    let whole = || render_as(record, &record.doc, derived, registry);
    let text = if is_stored { Cow::Borrowed(record.doc.as_str()) } else { whole().into() };
    let mut text = serde_json::Deserializer::from_str(&text);
    let part = Part(names).deserialize(&mut text).and_then(|part| text.end().map(|()| part));
    let mut part = part.map_err(|error| Error::Corrupt(error.to_string()))?;
    secret::put_tokens(record.secret.as_deref(), &mut part)?;
    Ok(part)
}

/// Reads the members of an object that have one of these names.
struct Part<'n>(&'n [&'n str]);

impl<'de> DeserializeSeed<'de> for Part<'_> {
    type Value = Map<String, Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Part<'_> {
    type Value = Map<String, Value>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut part = Map::with_capacity(self.0.len());
        while let Some(wanted) = members.next_key_seed(Name(self.0))? {
            match wanted {
                Some(name) => drop(part.insert(name.to_owned(), members.next_value()?)),
                None => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        Ok(part)
    }
}

/// Reads which of these names a member has.
struct Name<'n>(&'n [&'n str]);

impl<'de, 'n> DeserializeSeed<'de> for Name<'n> {
    type Value = Option<&'n str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'n> Visitor<'_> for Name<'n> {
    type Value = Option<&'n str>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().find(|wanted| **wanted == name).copied())
    }
}

/// The weak entity tag: the version, and a digest of what is derived for this caller, so that either moving shows.
/// `nesting_seq` matters only to who is in a group; `lens` stands for the view, the profile and the schema revision.
pub fn etag(record: &Record, in_groups: bool, nesting_seq: Seq, lens: u64) -> String {
    // Leaving the last group by its deletion must show too, though the row is not touched then.
    let nesting = if in_groups { nesting_seq } else { -1 };
    let digest = Sha256::new()
        .chain_update(record.groups_seq.to_be_bytes())
        .chain_update(nesting.to_be_bytes())
        .chain_update(lens.to_be_bytes())
        .finalize();
    let version = record.version.to_string();
    let mut etag = String::with_capacity(version.len() + 15);
    etag.push_str("W/\"");
    etag.push_str(&version);
    etag.push('.');
    for digit in digest.iter().take(5).flat_map(|byte| [byte >> 4, byte & 15]) {
        etag.push(char::from_digit(digit.into(), 16).unwrap_or('0'));
    }
    etag.push('"');
    etag
}

/// An instant as RFC 3339 in UTC with microseconds.
pub fn format_instant(micros: i64) -> String {
    let mut out = String::with_capacity(27);
    push_instant(&mut out, micros);
    out
}

fn push_instant(out: &mut String, micros: i64) {
    let Ok(instant) = jiff::Timestamp::from_microsecond(micros) else { return };
    let at = jiff::tz::Offset::UTC.to_datetime(instant);
    let Ok(year) = u32::try_from(at.year()) else { return out.push_str(&format!("{instant:.6}")) };
    // Two of these stand in every answer, and the formatting machinery takes longer than the rest of `meta`.
    let part = |number: i8| u32::try_from(number).unwrap_or_default();
    push_digits(out, year, 4);
    for (before, number) in
        [("-", at.month()), ("-", at.day()), ("T", at.hour()), (":", at.minute()), (":", at.second())]
    {
        out.push_str(before);
        push_digits(out, part(number), 2);
    }
    out.push('.');
    push_digits(out, u32::try_from(micros.rem_euclid(1_000_000)).unwrap_or_default(), 6);
    out.push('Z');
}

fn push_digits(out: &mut String, number: u32, width: u32) {
    for place in (0..width).rev() {
        let digit = number / 10_u32.pow(place) % 10;
        out.push(char::from_digit(digit, 10).unwrap_or('0'));
    }
}

fn push_groups(out: &mut String, groups: &[GroupRef], base: &str, endpoint: &str) {
    let mut to = String::with_capacity(base.len() + endpoint.len() + 4);
    push_text(&mut to, &[base, "/", endpoint, "/"].concat());
    // What comes before the id, still within its quotes.
    to.pop();
    out.push_str(",\"groups\":[");
    let mut buffer = uuid::Uuid::encode_buffer();
    for (n, group) in groups.iter().enumerate() {
        let id: &str = group.id.0.hyphenated().encode_lower(&mut buffer);
        out.push_str(if n == 0 { "{\"value\":\"" } else { ",{\"value\":\"" });
        out.push_str(id);
        out.push_str("\",\"$ref\":");
        out.push_str(&to);
        out.push_str(id);
        out.push('"');
        // What has no name that may be seen is not called anything.
        if !group.label.is_empty() {
            out.push_str(",\"display\":");
            push_text(out, &group.label);
        }
        out.push_str(if group.direct { ",\"type\":\"direct\"}" } else { ",\"type\":\"indirect\"}" });
    }
    out.push(']');
}

fn push_members(out: &mut String, members: &[MemberRef], names: bool, base: &str, registry: &Registry) {
    out.push_str(",\"members\":[");
    let shown = Shown { display: names, ..Shown::default() };
    for (n, member) in members.iter().enumerate() {
        if n > 0 {
            out.push(',');
        }
        push_member(out, member.id, &member.kind, &member.label, shown, base, endpoint(registry, &member.kind));
    }
    out.push(']');
}

/// Members as they stand in a group's document.
pub fn members_of(members: &[MemberRef], names: bool, base: &str, registry: &Registry) -> Result<Value, Error> {
    let mut out = String::new();
    push_members(&mut out, members, names, base, registry);
    let (_, array) = out.split_once(':').unwrap_or_default();
    serde_json::from_str(array).map_err(|error| Error::Corrupt(error.to_string()))
}

/// One member as an object.
pub(crate) fn push_member(
    out: &mut String,
    id: ResourceId,
    kind: &str,
    label: &str,
    shown: Shown,
    base: &str,
    endpoint: &str,
) {
    let mut open = '{';
    let mut name = |out: &mut String, name: &str| {
        out.push(std::mem::replace(&mut open, ','));
        out.push_str(name);
    };
    if shown.value {
        name(out, "\"value\":\"");
        push(out, id);
        out.push('"');
    }
    if shown.reference {
        name(out, "\"$ref\":");
        push_location(out, base, endpoint, id);
    }
    if shown.kind {
        name(out, "\"type\":");
        push_text(out, kind);
    }
    // What has no name, or none that may be seen, is not called anything.
    if shown.display && !label.is_empty() {
        name(out, "\"display\":");
        push_text(out, label);
    }
    out.push_str(if open == '{' { "{}" } else { "}" });
}

pub(crate) fn endpoint<'r>(registry: &'r Registry, kind: &str) -> &'r str {
    registry.definition(kind).map_or("", |definition| definition.endpoint())
}

fn push(out: &mut String, id: ResourceId) {
    let mut buffer = uuid::Uuid::encode_buffer();
    out.push_str(id.0.hyphenated().encode_lower(&mut buffer));
}

/// Where a resource is, as a JSON string.
fn push_location(out: &mut String, base: &str, endpoint: &str, id: ResourceId) {
    if !(is_plain(base) && is_plain(endpoint)) {
        return push_text(out, &format!("{base}/{endpoint}/{id}"));
    }
    out.push('"');
    out.push_str(base);
    out.push('/');
    out.push_str(endpoint);
    out.push('/');
    push(out, id);
    out.push('"');
}

/// Whether a text stands in JSON as it is.
fn is_plain(text: &str) -> bool {
    // To the end whatever is found, so that many bytes are compared at a time.
    text.bytes().fold(true, |is_plain, byte| is_plain & (byte >= b' ') & (byte != b'"') & (byte != b'\\'))
}

fn push_text(out: &mut String, text: &str) {
    if is_plain(text) {
        out.push('"');
        out.push_str(text);
        out.push('"');
        return;
    }
    // Where more is to be escaped than the quotes of an entity tag the JSON library does it, so that it is right.
    if text.bytes().any(|byte| byte < b' ') {
        return out.push_str(&Value::String(text.to_owned()).to_string());
    }
    out.push('"');
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            out.push('\\');
        }
        out.push(character);
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_written_as_the_library_writes_it() {
        let mut micros: i64 = -62_200_000_000_000_000;
        while micros < 253_402_300_799_999_999 {
            let expected = jiff::Timestamp::from_microsecond(micros).map(|at| format!("{at:.6}")).unwrap_or_default();
            assert_eq!(format_instant(micros), expected, "{micros}");
            micros += 31_536_007_654_321 * 11;
        }
        assert_eq!(format_instant(-1), "1969-12-31T23:59:59.999999Z");
        assert_eq!(format_instant(i64::MAX), "", "what is no instant has no text");
    }

    #[test]
    fn a_text_that_needs_escapes_gets_them() {
        for text in ["", "plain å", "a\"b", "a\\b", "\u{1}", "\u{7f}", "line\nfeed", "\u{2028}"] {
            let mut out = String::new();
            push_text(&mut out, text);
            assert_eq!(out, Value::String(text.to_owned()).to_string());
            let (mut location, id) = (String::new(), ResourceId::SYSTEM);
            push_location(&mut location, text, "Users", id);
            assert_eq!(location, Value::String(format!("{text}/Users/{id}")).to_string());
        }
    }
}

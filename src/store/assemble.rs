//! The whole resource from its row and what is derived: `id`, `externalId`, `groups`, `members` and `meta` are joined to
//! the document's text without parsing it.

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use scim::schema::Registry;

use crate::{Error, Record, ResourceId, Seq};

/// A group as it stands in a member's `groups`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRef {
    /// The group.
    pub id: ResourceId,
    /// Its name.
    pub label: String,
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
    let mut out = head_of(record, derived, registry);
    if let Some(members) = derived.members.filter(|members| !members.is_empty()) {
        push_members(&mut out, members, derived.member_names, derived.base_url, registry);
    }
    out.push_str(&meta_of(record, derived, registry));
    out
}

/// The resource's text up to where its members stand.
pub(crate) fn head_of(record: &Record, derived: &Derived<'_>, registry: &Registry) -> String {
    let mut out = String::with_capacity(record.doc.len() + 384);
    out.push_str("{\"id\":\"");
    push(&mut out, record.id);
    out.push('"');
    if let Some(external) = derived.external {
        out.push_str(",\"externalId\":");
        push_text(&mut out, external);
    }
    let inner = record.doc.trim().trim_start_matches('{').strip_suffix('}').unwrap_or_default();
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
    let (mut out, base) = (String::with_capacity(320), derived.base_url);
    out.push_str(",\"meta\":{\"resourceType\":");
    push_text(&mut out, &record.kind);
    out.push_str(",\"created\":\"");
    out.push_str(&format_instant(record.created_at));
    out.push_str("\",\"lastModified\":\"");
    out.push_str(&format_instant(record.modified_at));
    out.push_str("\",\"version\":");
    push_text(&mut out, derived.etag);
    out.push_str(",\"location\":");
    push_text(&mut out, &format!("{base}/{}/{}", endpoint(registry, &record.kind), record.id));
    out.push_str("}}");
    out
}

/// The resource as a document in canonical form.
pub fn assemble(record: &Record, derived: &Derived<'_>, registry: &Registry) -> Result<Map<String, Value>, Error> {
    serde_json::from_str(&render(record, derived, registry)).map_err(|error| Error::Corrupt(error.to_string()))
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
    let mut tag = format!("W/\"{}.", record.version);
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or_default();
    for byte in digest.iter().take(5) {
        tag.push(digit(byte >> 4));
        tag.push(digit(byte & 15));
    }
    tag.push('"');
    tag
}

/// An instant as RFC 3339 in UTC with microseconds.
pub fn format_instant(micros: i64) -> String {
    jiff::Timestamp::from_microsecond(micros).map(|instant| format!("{instant:.6}")).unwrap_or_default()
}

fn push_groups(out: &mut String, groups: &[GroupRef], base: &str, endpoint: &str) {
    out.push_str(",\"groups\":[");
    for (n, group) in groups.iter().enumerate() {
        out.push_str(if n == 0 { "{\"value\":\"" } else { ",{\"value\":\"" });
        push(out, group.id);
        out.push_str("\",\"$ref\":");
        push_text(out, &format!("{base}/{endpoint}/{}", group.id));
        out.push_str(",\"display\":");
        push_text(out, &group.label);
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
        push_text(out, &format!("{base}/{endpoint}/{id}"));
    }
    if shown.kind {
        name(out, "\"type\":");
        push_text(out, kind);
    }
    if shown.display {
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

fn push_text(out: &mut String, text: &str) {
    if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        // A JSON string is written by the JSON library, so that its escapes are right.
        out.push_str(&Value::String(text.to_owned()).to_string());
    }
}

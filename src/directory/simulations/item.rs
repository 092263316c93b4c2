//! What a simulation tells of one User, of one target and of one difference: as it is kept, and as rows of a table.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{Map as Object, Value};
use sha2::{Digest, Sha256};
use store::ResourceId;

use super::sight::InView;
use super::undo::Conflict;

/// Why something begins or ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// `rule`, `hand`, `inherited` or `source`.
    pub kind: String,
    /// The rule, if one is behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// What the rule is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// From when on the dates behind it speak for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// The facts that it goes by.
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    pub facts: Object<String, Value>,
}

/// A membership or right that begins or ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    /// The resource type of what is held: Group or Entitlement.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its id; without, it would only now come to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Its name.
    pub display: String,
    /// Why.
    pub reasons: Vec<Reason>,
}

/// What would become of one User; where a run is undone, of any resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// The User, or the resource.
    pub id: String,
    /// Its type, where it is no User.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// What people call it.
    pub display: String,
    /// The version that it is worked out from; it is no part of what the item says.
    pub version: i64,
    /// `changed`, `purged` or `failed`; where a run is undone also `restored`, and `kept` for what stays as it is.
    pub op: String,
    /// Attribute by attribute what it is and would be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Value>,
    /// What it would have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub begins: Vec<Turn>,
    /// What it would have no more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ends: Vec<Turn>,
    /// What it would only wait for, since there is not enough of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits: Vec<Turn>,
    /// In which views it would appear, change or no longer be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub views: Vec<InView>,
    /// What stays as it is, since it was changed after the run that is undone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<Conflict>,
    /// The number of the last change that is undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undoes: Option<i64>,
    /// Why it cannot be worked out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A group or an entitlement, and how many get and lose it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The resource type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its id; without, it would only now come to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Its name.
    pub display: String,
    /// How many would get it.
    pub begins: u64,
    /// How many would lose it.
    pub ends: u64,
    /// How many would only wait for it.
    #[serde(default)]
    pub waits: u64,
}

/// A User of whom something else would change than was shown; with `strict` also what has only moved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The User.
    pub id: String,
    /// What people call it.
    pub display: String,
    /// Its type, where it is no User: a rule, policy, unit or pool that has moved.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Its version by now, where that alone is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
    /// What was shown; without: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<Item>,
    /// What it would be now; without: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is: Option<Item>,
}

impl Item {
    /// One of whom nothing is told yet.
    pub(super) fn of(id: ResourceId, display: String, version: i64) -> Self {
        Item {
            id: id.to_string(),
            kind: None,
            display,
            version,
            op: String::new(),
            changes: Vec::new(),
            begins: Vec::new(),
            ends: Vec::new(),
            waits: Vec::new(),
            views: Vec::new(),
            conflicts: Vec::new(),
            undoes: None,
            reason: None,
        }
    }

    /// What people call it, or what it is where nobody calls it anything.
    pub fn called(&self) -> Cow<'_, str> {
        match (&self.kind, self.display.as_str()) {
            (Some(kind), "") => Cow::Owned(format!("{kind} {}", self.id)),
            _ => Cow::Borrowed(&self.display),
        }
    }

    /// Takes what the item says into a digest. `moment` is when it was worked out, as its texts write it: what happens just
    /// then is the same whenever that is.
    pub(super) fn digest(&self, moment: &str, digest: &mut Sha256) {
        digest.update(self.said(moment).to_string());
        digest.update([0]);
    }

    /// Its place among the items of a result.
    pub(super) fn order(&self) -> (Option<std::cmp::Reverse<i64>>, &str) {
        (self.undoes.map(std::cmp::Reverse), &self.id)
    }

    /// What the item says, whatever the moment at which it was worked out and the version it was worked out from.
    pub(super) fn said(&self, moment: &str) -> Value {
        let mut said = serde_json::to_value(self).unwrap_or_default();
        if let Some(said) = said.as_object_mut() {
            said.shift_remove("version");
        }
        without(&mut said, moment);
        said
    }
}

/// Takes a moment out of all texts.
fn without(value: &mut Value, moment: &str) {
    match value {
        Value::String(text) if text == moment => *text = "now".into(),
        Value::Array(elements) => elements.iter_mut().for_each(|element| without(element, moment)),
        Value::Object(object) => object.values_mut().for_each(|value| without(value, moment)),
        _ => {}
    }
}

/// The heads of the columns of [`cells`].
pub fn heads() -> [&'static str; 8] {
    ["id", "user", "what", "path", "before", "after", "rule", "facts"]
}

/// An item as rows of a table: one for each attribute that changes and each ground of what begins or ends. No cell is a
/// formula for the program that opens it.
pub fn cells(item: &Item) -> Vec<[String; 8]> {
    let mut rows = Vec::new();
    let mut row = |what: &str, rest: [String; 5]| {
        let [path, before, after, rule, facts] = rest;
        rows.push(
            [item.id.clone(), item.called().into_owned(), what.to_owned(), path, before, after, rule, facts].map(plain),
        );
    };
    if item.op != "changed" {
        row(
            &item.op,
            [String::new(), String::new(), String::new(), String::new(), item.reason.clone().unwrap_or_default()],
        );
    }
    for change in &item.changes {
        let path = change.get("path").and_then(Value::as_str).unwrap_or_default().to_owned();
        row("attribute", [path, text(change.get("before")), text(change.get("after")), String::new(), String::new()]);
    }
    for Conflict { path, reason } in &item.conflicts {
        let path = path.clone().unwrap_or_default();
        row("conflict", [path, String::new(), String::new(), String::new(), reason.clone()]);
    }
    for (what, turns) in [("begins", &item.begins), ("ends", &item.ends), ("waits", &item.waits)] {
        for turn in turns {
            let path = format!("{} {}", turn.kind, turn.display);
            if turn.reasons.is_empty() {
                row(what, [path.clone(), String::new(), String::new(), String::new(), String::new()]);
            }
            for reason in &turn.reasons {
                let facts = if reason.facts.is_empty() {
                    String::new()
                } else {
                    Value::Object(reason.facts.clone()).to_string()
                };
                let rule = reason.name.clone().or_else(|| reason.rule.clone()).unwrap_or_else(|| reason.kind.clone());
                let (from, until) = (reason.from.clone().unwrap_or_default(), reason.until.clone().unwrap_or_default());
                row(what, [path.clone(), from, until, rule, facts]);
            }
        }
    }
    rows
}

fn text(value: Option<&Value>) -> String {
    match value {
        None => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// A cell that a spreadsheet takes for text.
pub(in crate::directory) fn plain(cell: String) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{cell}") } else { cell }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn item(since: &str) -> Item {
        serde_json::from_value(json!({
            "id": "u-1", "display": "=Anna", "version": 3, "op": "changed",
            "changes": [{ "path": "active", "before": true, "after": false }, { "path": "x:since", "after": since }],
            "begins": [{ "type": "Group", "display": "nurses", "reasons": [
                { "kind": "rule", "rule": "r-1", "name": "care" }, { "kind": "rule", "rule": "r-2" },
            ] }],
        }))
        .expect("an item")
    }

    #[test]
    fn the_moment_and_the_version_are_no_part_of_what_is_said() {
        let (mut one, two) = (item("2026-01-01T00:00:00Z"), item("2026-01-02T00:00:00Z"));
        one.version = 9;
        assert_eq!(one.said("2026-01-01T00:00:00Z"), two.said("2026-01-02T00:00:00Z"));
        assert_ne!(one.said("2026-01-03T00:00:00Z"), two.said("2026-01-02T00:00:00Z"));
        let sum = |item: &Item, moment: &str| {
            let mut digest = Sha256::new();
            item.digest(moment, &mut digest);
            digest.finalize()
        };
        assert_eq!(sum(&one, "2026-01-01T00:00:00Z"), sum(&two, "2026-01-02T00:00:00Z"));
    }

    #[test]
    fn a_table_has_a_row_for_each_change_and_each_ground_and_no_formula() {
        let rows = cells(&item("2026-01-01T00:00:00Z"));
        let told: Vec<&str> = rows.iter().map(|row| row[2].as_str()).collect();
        assert_eq!(told, ["attribute", "attribute", "begins", "begins"]);
        assert_eq!(rows[0][..6], ["u-1", "'=Anna", "attribute", "active", "true", "false"]);
        assert_eq!((rows[2][6].as_str(), rows[3][6].as_str()), ("care", "r-2"));
    }
}

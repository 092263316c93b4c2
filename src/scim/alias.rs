//! Ids that stand for resources, wherever a client may read or write one: in references (`members[].value`, `manager.value`,
//! any attribute with `value` and `$ref`), in filters about them and in PATCH operations. [`Ids`] goes through all of these
//! places and has each id replaced by what its caller says stands for it, so that a client can know resources by other names.
//!
//! It never says which names there are. What is no reference by its schema is passed over, whatever it looks like.

use serde_json::{Map, Value};

use crate::filter::{Filter, Literal, Parsed};
use crate::path::PatchPath;
use crate::schema::{Attribute, Definition};

const VALUE: &str = "value";
const REF: &str = "$ref";
const ID: &str = "id";

/// What stands for an id: of resources of one of these types, the text as it stands there. `None`: it stays.
pub type Rename<'r> = dyn FnMut(&[String], &str) -> Option<String> + 'r;

/// The places of resources of one type where ids stand.
#[derive(Clone, Copy, Debug)]
pub struct Ids<'d>(pub &'d Definition);

/// The types that an attribute leads to; `None`: it is no reference.
fn kinds(attribute: &Attribute) -> Option<&[String]> {
    attribute.sub(VALUE)?;
    Some(&attribute.sub(REF)?.reference_types)
}

/// The text of an address with another id at its end.
fn readdressed(address: &str, kinds: &[String], rename: &mut Rename<'_>) -> Option<String> {
    let (base, id) = match address.rsplit_once('/') {
        Some((base, id)) => (Some(base), id),
        None => (None, address),
    };
    let renamed = rename(kinds, id)?;
    Some(base.map_or(renamed.clone(), |base| format!("{base}/{renamed}")))
}

fn replace(value: &mut Value, rename: impl FnOnce(&str) -> Option<String>) {
    if let Some(renamed) = value.as_str().and_then(rename) {
        *value = renamed.into();
    }
}

/// An attribute's value: an element or several, each an object or, as some clients write it, the id alone.
fn elements(value: &mut Value, kinds: &[String], rename: &mut Rename<'_>) {
    match value {
        Value::Array(several) => several.iter_mut().for_each(|one| elements(one, kinds, rename)),
        Value::Object(element) => {
            for (name, value) in element {
                if name.eq_ignore_ascii_case(VALUE) {
                    replace(value, |id| rename(kinds, id));
                } else if name.eq_ignore_ascii_case(REF) {
                    replace(value, |address| readdressed(address, kinds, rename));
                }
            }
        }
        id => replace(id, |id| rename(kinds, id)),
    }
}

impl Ids<'_> {
    /// The references of a document, stored, answered or sent: names in any case.
    pub fn of_document(&self, document: &mut Map<String, Value>, rename: &mut Rename<'_>) {
        self.walk("", document, rename);
    }

    fn walk(&self, prefix: &str, members: &mut Map<String, Value>, rename: &mut Rename<'_>) {
        for (name, value) in members {
            let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}:{name}") };
            self.at(&path, value, rename);
        }
    }

    /// What is written at a path.
    fn at(&self, path: &str, value: &mut Value, rename: &mut Rename<'_>) {
        let Some(place) = self.0.resolve(path) else { return };
        match (place.attribute, place.sub) {
            (None, _) => {
                if let Value::Object(members) = value {
                    self.walk(path, members, rename);
                }
            }
            (Some(attribute), sub) => {
                let Some(kinds) = kinds(attribute) else { return };
                match sub.map(|sub| sub.name.as_str()) {
                    None | Some(VALUE) => elements(value, kinds, rename),
                    Some(REF) => replace(value, |address| readdressed(address, kinds, rename)),
                    Some(_) => {}
                }
            }
        }
    }

    /// The message of a PATCH (RFC 7644 section 3.5.2). One that cannot be read stays as it is, for whoever reads it then.
    pub fn of_patch(&self, message: &mut Value, rename: &mut Rename<'_>) {
        let Some(message) = message.as_object_mut() else { return };
        let Some(operations) = member(message, "Operations").and_then(Value::as_array_mut) else { return };
        for operation in operations.iter_mut().filter_map(Value::as_object_mut) {
            let path = member(operation, "path").and_then(|path| path.as_str().map(str::to_owned));
            let Some(path) = path.filter(|path| !path.is_empty()) else {
                if let Some(Value::Object(value)) = member(operation, VALUE) {
                    self.of_document(value, rename);
                }
                continue;
            };
            let Ok(PatchPath { attr, filter, sub }) = PatchPath::parse(&path) else { continue };
            let place = sub.as_ref().map_or_else(|| attr.clone(), |sub| format!("{attr}.{sub}"));
            if let Some(value) = member(operation, VALUE) {
                self.at(&place, value, rename);
            }
            let Some(mut filter) = filter else { continue };
            if self.of_conditions(&mut filter, Some(&attr), rename)
                && let Some(path) = member(operation, "path")
            {
                *path = PatchPath { attr, filter: Some(filter), sub }.to_string().into();
            }
        }
    }

    /// The conditions of a filter about ids; whether any is another one then.
    pub fn of_filter(&self, filter: &mut Filter<Parsed>, rename: &mut Rename<'_>) -> bool {
        self.of_conditions(filter, None, rename)
    }

    fn of_conditions(&self, filter: &mut Filter<Parsed>, within: Option<&str>, rename: &mut Rename<'_>) -> bool {
        match filter {
            Filter::And(parts) | Filter::Or(parts) => {
                parts.iter_mut().fold(false, |moved, part| self.of_conditions(part, within, rename) | moved)
            }
            Filter::Not(part) => self.of_conditions(part, within, rename),
            Filter::Element(path, inner) => {
                let path = path.text.clone();
                self.of_conditions(inner, Some(&path), rename)
            }
            Filter::Compare(path, _, Literal::Text(text)) => {
                let path = within.map_or_else(|| path.text.clone(), |attr| format!("{attr}.{}", path.text));
                match self.meant(&path, text, rename) {
                    Some(renamed) => {
                        *text = renamed;
                        true
                    }
                    None => false,
                }
            }
            Filter::Present(_) | Filter::Compare(..) | Filter::Const(_) => false,
        }
    }

    fn meant(&self, path: &str, text: &str, rename: &mut Rename<'_>) -> Option<String> {
        let place = self.0.resolve(path)?;
        let attribute = place.attribute?;
        match place.sub.map(|sub| sub.name.as_str()) {
            None if attribute.name == ID && place.extension.is_none() => rename(&[self.0.name().to_owned()], text),
            None | Some(VALUE) => rename(kinds(attribute)?, text),
            Some(REF) => readdressed(text, kinds(attribute)?, rename),
            Some(_) => None,
        }
    }
}

fn member<'m>(members: &'m mut Map<String, Value>, wanted: &str) -> Option<&'m mut Value> {
    members.iter_mut().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::Registry;

    const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

    /// Upper case for the ids of these types.
    fn shout(only: &'static [&str]) -> impl FnMut(&[String], &str) -> Option<String> {
        move |kinds, id| kinds.iter().any(|kind| only.contains(&kind.as_str())).then(|| id.to_uppercase())
    }

    fn with(kind: &str, run: impl FnOnce(Ids<'_>)) {
        let registry = Registry::builtin().expect("documents");
        run(Ids(registry.definition(kind).expect("a type")));
    }

    #[test]
    fn references_of_a_document_are_renamed_and_nothing_else() {
        with("User", |ids| {
            let mut user = json!({
                "id": "u", "userName": "value", "externalId": "x", "emails": [{ "value": "a@b", "type": "work" }],
                "Groups": [{ "value": "g", "$ref": "https://h/Groups/g", "display": "g" }],
                ENTERPRISE: { "department": "d", "manager": { "value": "m", "$ref": "Users/m", "displayName": "m" } },
            });
            ids.of_document(user.as_object_mut().expect("one"), &mut shout(&["User"]));
            assert_eq!(user["Groups"][0]["value"], "g", "of another type");
            ids.of_document(user.as_object_mut().expect("one"), &mut shout(&["Group"]));
            assert_eq!(user["Groups"][0], json!({ "value": "G", "$ref": "https://h/Groups/G", "display": "g" }));
            let manager = &user[ENTERPRISE]["manager"];
            assert_eq!(*manager, json!({ "value": "M", "$ref": "Users/M", "displayName": "m" }));
            assert_eq!((&user["id"], &user["emails"][0]["value"]), (&json!("u"), &json!("a@b")));
        });
    }

    #[test]
    fn filters_about_ids_are_renamed_and_nothing_else() {
        for (kind, text, expected) in [
            (
                "Group",
                r#"members.value eq "a" and displayName eq "a""#,
                r#"members.value eq "A" and displayName eq "a""#,
            ),
            (
                "Group",
                r#"not (members[value eq "a" and type eq "a"])"#,
                r#"not (members[value eq "A" and type eq "a"])"#,
            ),
            ("Group", r#"id eq "a" or externalId eq "a""#, r#"id eq "A" or externalId eq "a""#),
            (
                "User",
                r#"groups.value ne "a" or groups.$ref eq "Groups/a""#,
                r#"groups.value ne "A" or groups.$ref eq "Groups/A""#,
            ),
            (
                "User",
                &format!(r#"{ENTERPRISE}:manager.value eq "a" or emails.value eq "a""#),
                &format!(r#"{ENTERPRISE}:manager.value eq "A" or emails.value eq "a""#),
            ),
        ] {
            with(kind, |ids| {
                let mut filter = Filter::parse(text).expect("a filter");
                assert!(ids.of_filter(&mut filter, &mut shout(&["User", "Group"])));
                assert_eq!(filter.to_string(), expected);
                assert!(!ids.of_filter(&mut filter, &mut |_, _| None));
            });
        }
    }

    #[test]
    fn operations_of_a_patch_are_renamed_wherever_an_id_stands() {
        let cases = json!([
            ["Group", { "op": "add", "path": "members", "value": [{ "value": "a" }] },
                { "op": "add", "path": "members", "value": [{ "value": "A" }] }],
            ["Group", { "op": "remove", "path": "members[value eq \"a\"]" }, { "op": "remove", "path": "members[value eq \"A\"]" }],
            ["Group", { "op": "add", "Value": { "members": [{ "value": "a" }], "displayName": "a" } },
                { "op": "add", "Value": { "members": [{ "value": "A" }], "displayName": "a" } }],
            ["User", { "op": "replace", "path": format!("{ENTERPRISE}:manager"), "value": "a" },
                { "op": "replace", "path": format!("{ENTERPRISE}:manager"), "value": "A" }],
            ["User", { "op": "replace", "path": format!("{ENTERPRISE}:manager.value"), "value": "a" },
                { "op": "replace", "path": format!("{ENTERPRISE}:manager.value"), "value": "A" }],
            ["User", { "op": "replace", "value": { (ENTERPRISE): { "manager": { "value": "a" } } } },
                { "op": "replace", "value": { (ENTERPRISE): { "manager": { "value": "A" } } } }],
            ["User", { "op": "replace", "path": "emails[type eq \"work\"].value", "value": "a" },
                { "op": "replace", "path": "emails[type eq \"work\"].value", "value": "a" }],
            ["User", { "op": "remove", "path": "members[value eq" }, { "op": "remove", "path": "members[value eq" }],
        ]);
        for case in cases.as_array().expect("cases") {
            with(case[0].as_str().expect("a type"), |ids| {
                let mut message = json!({ "operations": [case[1]] });
                ids.of_patch(&mut message, &mut shout(&["User", "Group"]));
                assert_eq!(message["operations"][0], case[2]);
            });
        }
    }
}

//! What is said, as lines of a source's file (flat columns, with lists of objects) and as the SCIM resources that the same
//! source would send.

use serde_json::{Map, Value, json};

use super::super::municipality::Level;
use super::Source;
use super::cast::{Cast, Employee, Employment, Enrolment, Leave, Pupil, Spelling};

/// The extension that says what is known of a person.
pub const PERSON: &str = "urn:matrikel:scim:schemas:1.0:Person";
/// The enterprise extension.
pub const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
/// Units.
pub const UNIT: &str = "urn:matrikel:scim:schemas:1.0:OrganizationalUnit";
const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";

impl Employee {
    /// The line of the file; `None`: the source has none.
    pub(super) fn row(&self, _: &Cast) -> Option<Value> {
        if self.is_gone {
            return None;
        }
        let mut row = json!({
            "number": self.number, "given": spell(&self.given, self.spelling), "family": spell(&self.family, self.spelling),
            "language": self.language,
            "employments": self.employments.iter().map(employment).collect::<Vec<_>>(),
            "leaves": self.leaves.iter().map(leave).collect::<Vec<_>>(),
        });
        put(&mut row, "personal", self.personal.clone());
        // Some could be Swedish numbers too.
        put(&mut row, "personalType", self.personal.is_some().then(|| "fi".to_owned()));
        put(&mut row, "protected", self.is_protected.then(|| "turvakielto".to_owned()));
        put(&mut row, "former", (!self.former.is_empty()).then(|| self.former.join("|")));
        Some(row)
    }
}

impl Pupil {
    /// The line of the file.
    pub(super) fn row(&self) -> Value {
        let mut row = json!({
            "id": self.key, "given": self.given, "family": self.family,
            "enrolments": self.enrolments.iter().map(enrolment).collect::<Vec<_>>(),
        });
        put(&mut row, "personal", self.personal.clone());
        // Some could be Swedish numbers too.
        put(&mut row, "personalType", self.personal.is_some().then(|| "fi".to_owned()));
        row
    }
}

impl Cast {
    /// The line of a unit.
    pub(super) fn unit(&self, place: usize) -> Option<Value> {
        let unit = self.town.units.get(place)?;
        let level = match unit.level {
            Level::Town => "town",
            Level::Sector => "sector",
            Level::Department => "department",
            Level::Workplace => "workplace",
        };
        let mut row = json!({ "code": unit.code, "name": unit.name, "level": level });
        let above = unit.parent.and_then(|parent| self.town.units.get(parent));
        put(&mut row, "above", above.map(|unit| unit.code.clone()));
        Some(row)
    }
}

fn put(row: &mut Value, name: &str, value: Option<String>) {
    if let (Some(row), Some(value)) = (row.as_object_mut(), value) {
        row.insert(name.to_owned(), value.into());
    }
}

fn employment(one: &Employment) -> Value {
    let mut row = json!({
        "employmentId": one.id, "type": one.kind, "start": one.start.to_string(), "unit": one.unit, "title": one.title,
        "taskCode": one.task, "percentage": one.percent, "costCenter": one.unit.replace('-', ""),
    });
    put(&mut row, "end", one.end.map(|end| end.to_string()));
    put(&mut row, "endReason", one.reason.map(str::to_owned));
    put(&mut row, "manager", one.manager.clone());
    row
}

fn leave(one: &Leave) -> Value {
    json!({
        "employmentId": one.employment, "from": one.from.to_string(), "to": one.to.to_string(), "type": "parental",
        "keepAccess": one.keeps,
    })
}

fn enrolment(one: &Enrolment) -> Value {
    let mut row = json!({
        "enrolmentId": one.id, "schoolUnit": one.school, "class": one.class, "year": one.year,
        "from": one.from.to_string(),
    });
    put(&mut row, "to", one.to.map(|to| to.to_string()));
    row
}

/// A name as it is written just now.
fn spell(name: &str, spelling: Spelling) -> String {
    match spelling {
        Spelling::Right => name.to_owned(),
        Spelling::Capitals => name.to_uppercase(),
        // UTF-8 that somebody has read as Latin-1.
        Spelling::Garbled => encoding_rs::WINDOWS_1252.decode(name.as_bytes()).0.into_owned(),
    }
}

/// The resource that a source sends for a line of its file, with its own key as `externalId`: a User, a unit, or of a phone
/// the message that makes it the number of the User.
pub fn to_scim(source: Source, row: &Value) -> Value {
    let said = |name: &str| row.get(name).cloned().unwrap_or_default();
    let mut person = Map::new();
    let mut set = |name: &str, value: Value| {
        if !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty()) {
            person.insert(name.to_owned(), value);
        }
    };
    match source {
        Source::Units => {
            let mut unit = json!({
                "schemas": [UNIT], "externalId": said("code"), "code": said("code"), "displayName": said("name"),
                "level": said("level"),
            });
            if let (Some(unit), Some(above)) = (unit.as_object_mut(), row.get("above")) {
                unit.insert("parent".to_owned(), json!({ "code": above }));
            }
            unit
        }
        Source::Staff => {
            set("personalNumber", said("personal"));
            set("personalNumberType", said("personalType"));
            set("protectedIdentity", said("protected"));
            let former = said("former").as_str().map(|names| names.split('|').collect::<Vec<_>>().into());
            set("formerNames", former.unwrap_or_default());
            set("employments", said("employments"));
            set("leaves", said("leaves"));
            json!({
                "schemas": [USER, ENTERPRISE, PERSON], "externalId": said("number"), "userName": said("number"),
                "name": { "givenName": said("given"), "familyName": said("family") }, "userType": "Employee",
                "preferredLanguage": said("language"),
                ENTERPRISE: { "employeeNumber": said("number") }, PERSON: person,
            })
        }
        Source::School => {
            set("personalNumber", said("personal"));
            set("personalNumberType", said("personalType"));
            set("enrolments", said("enrolments"));
            json!({
                "schemas": [USER, PERSON], "externalId": said("id"), "userName": said("id"),
                "name": { "givenName": said("given"), "familyName": said("family") }, "userType": "Pupil",
                PERSON: person,
            })
        }
        Source::Phones => json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{ "op": "replace", "path": "phoneNumbers",
                "value": [{ "type": said("type"), "value": said("value") }] }],
        }),
    }
}

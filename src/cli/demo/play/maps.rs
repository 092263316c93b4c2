//! The maps by which the sources' lines of JSON are read.

use super::super::year::{ENTERPRISE, PERSON, Source};

/// The client that a source is, and the map of its files.
pub(super) fn of(source: Source, is_full: bool) -> (&'static str, String) {
    let mode = if is_full { "full" } else { "delta" };
    let head = |name: &str| format!("source = \"{name}\"\nformat = \"jsonl\"\n\n[snapshot]\nmode = \"{mode}\"\n");
    match source {
        Source::Units => ("hr", format!("{}{UNITS}", head("units"))),
        Source::Staff => ("hr", format!("{}{}", head("staff"), staff())),
        Source::School | Source::Phones => ("school", format!("{}{}", head("pupils"), pupils())),
    }
}

const UNITS: &str = r#"
[[resource]]
kind = "OrganizationalUnit"
key = "code"

[resource.columns]
code = "code"
displayName = "name"
"parent.code" = "above"
level = "level"
"#;

fn staff() -> String {
    format!(
        r#"
[[resource]]
kind = "User"
key = "number"
withdraw = "delete"

[resource.columns]
"name.givenName" = "given"
"name.familyName" = "family"
preferredLanguage = "language"
userType = {{ constant = "Employee" }}
"{ENTERPRISE}:employeeNumber" = "number"
"{PERSON}:personalNumber" = {{ column = "personal", secret = true }}
"{PERSON}:personalNumberType" = "personalType"
"{PERSON}:protectedIdentity" = "protected"
"{PERSON}:formerNames" = {{ column = "former", split = "|" }}

[[resource.list]]
path = "{PERSON}:employments"
key = "employmentId"
from = "employments"
[resource.list.columns]
employmentId = "employmentId"
type = "type"
start = {{ column = "start", date = "%Y-%m-%d" }}
end = {{ column = "end", date = "%Y-%m-%d" }}
endReason = "endReason"
unit = "unit"
title = "title"
taskCode = "taskCode"
percentage = "percentage"
costCenter = "costCenter"
manager = "manager"

[[resource.list]]
path = "{PERSON}:leaves"
key = "from"
from = "leaves"
[resource.list.columns]
employmentId = "employmentId"
from = {{ column = "from", date = "%Y-%m-%d" }}
to = {{ column = "to", date = "%Y-%m-%d" }}
type = "type"
keepAccess = "keepAccess"
"#
    )
}

fn pupils() -> String {
    format!(
        r#"
[[resource]]
kind = "User"
key = "id"
withdraw = "delete"

[resource.columns]
"name.givenName" = "given"
"name.familyName" = "family"
userType = {{ constant = "Pupil" }}
"{PERSON}:personalNumber" = {{ column = "personal", secret = true }}
"{PERSON}:personalNumberType" = "personalType"

[[resource.list]]
path = "{PERSON}:enrolments"
key = "enrolmentId"
from = "enrolments"
[resource.list.columns]
enrolmentId = "enrolmentId"
schoolUnit = "schoolUnit"
class = "class"
year = "year"
from = {{ column = "from", date = "%Y-%m-%d" }}
to = {{ column = "to", date = "%Y-%m-%d" }}
"#
    )
}

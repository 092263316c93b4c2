//! What a User says of the person behind it (`urn:matrikel:scim:schemas:1.0:Person`): numbers in one form, dates that are
//! dates, keys that tell employments apart. Pure: from a document and the day. What follows from these data is not
//! worked out here.

use std::collections::BTreeSet;

use jiff::civil::Date;
use serde_json::{Map, Value};

use crate::number::{self, Kind};

/// The resource type that the extension belongs to.
pub const USER: &str = "User";
/// The extension of User.
pub const URN: &str = "urn:matrikel:scim:schemas:1.0:Person";
/// The identity number, sealed where it is stored.
pub const NUMBER: &str = "personalNumber";
/// What kind of number it is.
const KIND: &str = "personalNumberType";
/// The person's employments.
pub const EMPLOYMENTS: &str = "employments";
/// Times in which employments rest.
pub const LEAVES: &str = "leaves";
/// Places at schools.
pub const ENROLMENTS: &str = "enrolments";
/// That the person's data are protected, and how.
pub const PROTECTED: &str = "protectedIdentity";

/// Brings the extension of a User, if it has one, into its final form. `before` is the document as it is stored, in which
/// something else may stand for the number; `today` decides the century of a number that does not say it.
///
/// Errors with 400 invalidValue that names the path: no identity number, or one that could be two; what is no date, or
/// ends before it begins; a key that two have, or of an employment that is not there.
pub fn settle(
    document: &mut Map<String, Value>,
    before: Option<&Map<String, Value>>,
    today: Date,
) -> Result<(), scim::Error> {
    let user_name = document.get("userName").and_then(Value::as_str).map(str::to_owned);
    let Some(Value::Object(person)) = document.get_mut(URN) else { return Ok(()) };
    if let Some(Value::Object(names)) = person.get_mut("names")
        && names.get("userName").and_then(Value::as_str) != user_name.as_deref()
    {
        // Of a name that somebody else has given nobody knows what it tells.
        names.shift_remove(NEUTRAL);
    }
    settle_number(person, before.and_then(|before| before.get(URN)?.as_object()), today)?;
    if let Some(born) = text(person, "birthDate") {
        date("birthDate", born)?;
    }
    let employments = parts(person, "employments", "employmentId", ["start", "end"])?;
    parts(person, "enrolments", "enrolmentId", ["from", "to"])?;
    for leave in objects(person, "leaves") {
        period("leaves", leave, ["from", "to"])?;
        let of = text(leave, "employmentId").unwrap_or_default();
        if !employments.contains(of) {
            return Err(refuse(&format!("leaves.employmentId: there is no employment {of:?}")));
        }
    }
    for employment in objects(person, "employments") {
        let share = employment.get("percentage").and_then(Value::as_f64);
        if share.is_some_and(|share| !(0.0..=100.0).contains(&share)) {
            return Err(refuse("employments.percentage is not between 0 and 100"));
        }
    }
    Ok(())
}

/// The forms in which a number may be kept that was written like that; none for what is no number.
pub fn spellings(number: &str, today: Date) -> Vec<String> {
    number::read(number, today).into_iter().map(|number| number.text).collect()
}

/// Of `names`: that the user name was made to tell nothing of the person.
pub const NEUTRAL: &str = "neutral";

/// Whether the person's data are protected (design: people who are protected).
pub fn is_protected(document: &Map<String, Value>) -> bool {
    document.get(URN).and_then(|person| person.get("protectedIdentity")).is_some_and(|value| !value.is_null())
}

fn settle_number(
    person: &mut Map<String, Value>,
    before: Option<&Map<String, Value>>,
    today: Date,
) -> Result<(), scim::Error> {
    let wanted = match text(person, KIND) {
        Some(name) => {
            Some(Kind::parse(name).ok_or_else(|| refuse("personalNumberType is none of: fi, se, temporary"))?)
        }
        None => None,
    };
    let Some(given) = text(person, NUMBER) else {
        // Without a number there is nothing that a kind could be said of.
        person.shift_remove(KIND);
        return Ok(());
    };
    // What stands for the stored number has been checked when that was written.
    if let Some(before) = before.filter(|before| text(before, NUMBER) == Some(given)) {
        let kind = text(before, KIND);
        if wanted.is_some_and(|wanted| kind != Some(wanted.as_str())) {
            return Err(refuse("personalNumberType is another one than that of the number; write personalNumber too"));
        }
        if let Some(kind) = kind {
            person.insert(KIND.into(), kind.into());
        }
        return Ok(());
    }
    let mut ways = number::read(given, today);
    // A kind that stands there from the number before says nothing of a number of another kind.
    let is_left_over = before.and_then(|before| text(before, KIND)) == wanted.map(Kind::as_str);
    let fits = |number: &number::Number| wanted.is_none_or(|wanted| wanted == number.kind);
    if !is_left_over || ways.iter().any(fits) {
        ways.retain(fits);
    }
    // A number is never repeated in an error: errors are logged and shown.
    match ways.as_slice() {
        [one] => {
            let (kind, text) = (one.kind.as_str(), one.text.clone());
            person.insert(NUMBER.into(), text.into());
            person.insert(KIND.into(), kind.into());
            Ok(())
        }
        [] => Err(refuse("personalNumber is no personal identity number: its date or its check character is wrong")),
        _ => Err(refuse("personalNumber could be read in two ways; say which with personalNumberType")),
    }
}

/// Checks the keys and dates of employments or enrolments, and says which keys there are.
fn parts(
    person: &Map<String, Value>,
    name: &str,
    key: &str,
    dates: [&str; 2],
) -> Result<BTreeSet<String>, scim::Error> {
    let mut keys = BTreeSet::new();
    for part in objects(person, name) {
        period(name, part, dates)?;
        let Some(id) = text(part, key).filter(|id| !id.trim().is_empty()) else {
            return Err(refuse(&format!("{name}.{key} is missing")));
        };
        if !keys.insert(id.to_owned()) {
            return Err(refuse(&format!("{name}.{key}: {id:?} is there twice")));
        }
    }
    Ok(keys)
}

/// First and last day of a part; the last may be open.
fn period(name: &str, part: &Map<String, Value>, [first, last]: [&str; 2]) -> Result<(), scim::Error> {
    let Some(from) = text(part, first) else { return Err(refuse(&format!("{name}.{first} is missing"))) };
    let from = date(&format!("{name}.{first}"), from)?;
    let Some(to) = text(part, last) else { return Ok(()) };
    if date(&format!("{name}.{last}"), to)? < from {
        return Err(refuse(&format!("{name}.{last} is before {name}.{first}")));
    }
    Ok(())
}

fn date(path: &str, text: &str) -> Result<Date, scim::Error> {
    let is_plain = text.len() == 10;
    let date = is_plain.then(|| text.parse::<Date>().ok()).flatten();
    date.ok_or_else(|| refuse(&format!("{path} is not a date such as 2026-08-01")))
}

fn objects<'p>(person: &'p Map<String, Value>, name: &str) -> impl Iterator<Item = &'p Map<String, Value>> {
    person.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object)
}

fn text<'o>(object: &'o Map<String, Value>, name: &str) -> Option<&'o str> {
    object.get(name).and_then(Value::as_str)
}

fn refuse(sentence: &str) -> scim::Error {
    scim::Error::invalid_value(format!("{URN}:{sentence}."))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TODAY: Date = Date::constant(2026, 11, 22);

    fn settled(person: Value) -> Result<Value, String> {
        let mut document = Map::from_iter([(URN.to_owned(), person)]);
        settle(&mut document, None, TODAY).map_err(|error| error.detail.to_string())?;
        Ok(document.remove(URN).unwrap_or_default())
    }

    #[test]
    fn a_number_is_kept_in_one_form_and_says_what_it_is() {
        let person = settled(json!({ "personalNumber": "811218-9876" })).expect("a number");
        assert_eq!(person, json!({ "personalNumber": "198112189876", "personalNumberType": "se" }));
        let wrong = settled(json!({ "personalNumber": "811218-9875" })).expect_err("no number");
        assert!(wrong.contains("personalNumber is no") && !wrong.contains("9875"), "{wrong}");
        assert!(settled(json!({ "personalNumber": "811218-9876", "personalNumberType": "fi" })).is_err());
        assert!(settled(json!({ "personalNumberType": "xx" })).is_err());
    }

    #[test]
    fn what_stands_for_a_stored_number_is_not_read_as_one() {
        let again = |before: Value, after: Value| {
            let before = Map::from_iter([(URN.to_owned(), before)]);
            let mut after = Map::from_iter([(URN.to_owned(), after)]);
            settle(&mut after, Some(&before), TODAY).map_err(|error| error.detail.to_string())?;
            Ok::<_, String>(after.remove(URN).unwrap_or_default())
        };
        let stored = json!({ "personalNumber": "s1.00ff", "personalNumberType": "se" });
        assert_eq!(again(stored.clone(), json!({ "personalNumber": "s1.00ff" })), Ok(stored.clone()));
        assert_eq!(again(stored.clone(), stored.clone()), Ok(stored.clone()));
        assert!(again(stored.clone(), json!({ "personalNumber": "s1.00fe" })).is_err());
        assert!(again(stored.clone(), json!({ "personalNumber": "s1.00ff", "personalNumberType": "fi" })).is_err());
        assert!(again(json!({}), json!({ "personalNumber": "s1.00ff" })).is_err());
        assert_eq!(again(stored.clone(), json!({ "personalNumberType": "se" })), Ok(json!({})));
        // A temporary number is replaced by a real one.
        let temporary = json!({ "personalNumber": "s1.aa", "personalNumberType": "temporary" });
        let real = json!({ "personalNumber": "198112189876", "personalNumberType": "se" });
        assert_eq!(again(temporary.clone(), json!({ "personalNumber": "811218-9876" })), Ok(real.clone()));
        let patched = json!({ "personalNumber": "811218-9876", "personalNumberType": "temporary" });
        assert_eq!(again(temporary, patched.clone()), Ok(real));
        assert!(again(json!({}), patched).is_err());
    }

    #[test]
    fn employments_have_keys_of_their_own_and_dates_in_order() {
        let good = json!({
            "employments": [
                { "employmentId": "1", "start": "2026-01-01", "percentage": 60.0 },
                { "employmentId": "2", "start": "2026-01-01", "end": "2026-01-01", "percentage": 40 },
            ],
            "leaves": [{ "employmentId": "2", "from": "2026-01-01" }],
            "enrolments": [{ "enrolmentId": "1", "from": "2026-08-01", "to": "2027-06-05" }],
            "birthDate": "1981-12-18",
        });
        assert_eq!(settled(good.clone()), Ok(good));
        let table = [
            (json!({ "employments": [{ "employmentId": "1" }] }), "employments.start is missing"),
            (json!({ "employments": [{ "start": "2026-01-01" }] }), "employments.employmentId is missing"),
            (
                json!({ "employments": [{ "employmentId": "1", "start": "2026-02-30" }] }),
                "employments.start is not a date",
            ),
            (
                json!({ "employments": [{ "employmentId": "1", "start": "2026-02-01T00:00:00Z" }] }),
                "employments.start is not a date",
            ),
            (
                json!({ "employments": [{ "employmentId": "1", "start": "2026-02-02", "end": "2026-02-01" }] }),
                "employments.end is before",
            ),
            (
                json!({ "employments": [
                    { "employmentId": "1", "start": "2026-02-02" }, { "employmentId": "1", "start": "2026-02-02" },
                ] }),
                "is there twice",
            ),
            (
                json!({ "employments": [{ "employmentId": "1", "start": "2026-02-02", "percentage": 101 }] }),
                "between 0 and 100",
            ),
            (json!({ "leaves": [{ "employmentId": "1", "from": "2026-02-02" }] }), "there is no employment"),
            (json!({ "birthDate": "18.12.1981" }), "birthDate is not a date"),
        ];
        for (person, expected) in table {
            let said = settled(person.clone()).expect_err("refused");
            assert!(said.contains(expected), "{person}: {said}");
        }
    }

    #[test]
    fn without_the_extension_nothing_is_asked() {
        let mut document = Map::new();
        settle(&mut document, None, TODAY).expect("nothing");
        assert!(document.is_empty() && !is_protected(&document));
        let marked = json!({ URN: { "protectedIdentity": "sekretess" } });
        assert!(is_protected(marked.as_object().expect("an object")));
    }
}

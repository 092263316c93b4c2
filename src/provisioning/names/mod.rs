//! User names and addresses that are made of a person's names: ordered templates, the letters an organisation writes them
//! in, what is too long, reserved or taken. Says which come into question and in which order; whether one is taken is asked
//! by whoever has the register under its lock.

mod letters;
mod same;
mod scheme;

use serde_json::{Map, Value};

pub use letters::Letters;
pub use same::is_same;
pub use scheme::{OnChange, Scheme};

/// How often a name that is taken is tried with another number behind it.
const TRIES: u32 = 9_999;

/// What templates know of a person, as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    /// Every given name.
    pub given: String,
    /// The one that the person goes by, else the first of them.
    pub first: String,
    /// The family name.
    pub family: String,
    /// The number at the employer.
    pub employee_number: String,
    /// Tells nothing of the person, and is another one for each.
    pub code: String,
}

impl Person {
    /// What a User's document says; `id`: its id, of which the code is made.
    pub fn of(document: &Map<String, Value>, id: &str) -> Self {
        let name = |part: &str| text(document.get("name").and_then(|name| name.get(part)));
        let call = text(document.get(crate::person::URN).and_then(|person| person.get("callName")));
        let given = name("givenName");
        let first = match call.trim() {
            "" => given.split_whitespace().next().unwrap_or_default().to_owned(),
            call => call.to_owned(),
        };
        let digits: String = id.chars().filter(char::is_ascii_alphanumeric).collect();
        // The end of an id is random, its beginning is the time.
        let code = digits.get(digits.len().saturating_sub(8)..).unwrap_or_default().to_owned();
        Person { given, first, family: name("familyName"), employee_number: employee_number(document), code }
    }

    /// Whether the family name is another one, and not the same in capitals or garbled.
    pub fn has_another_family_name(&self, before: &Person) -> bool {
        !self.family.trim().is_empty() && !is_same(&before.family, &self.family)
    }
}

/// What a User's document says of the number at the employer.
pub fn employee_number(document: &Map<String, Value>) -> String {
    const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
    text(document.get(ENTERPRISE).and_then(|enterprise| enterprise.get("employeeNumber")))
}

fn text(value: Option<&Value>) -> String {
    value.and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The names that come into question, the best first: those of the templates in order, then the first of them with numbers
/// from 2 behind it. Reserved ones are left out.
pub(crate) fn candidates(
    bases: Vec<String>,
    longest: usize,
    reserved: &[String],
) -> impl Iterator<Item = String> + use<> {
    let first = bases.first().cloned();
    let numbered = first.into_iter().flat_map(move |base| {
        (2..=TRIES).map(move |n| {
            let number = n.to_string();
            format!("{}{number}", cut(&base, longest.saturating_sub(number.len())))
        })
    });
    let plain = bases.into_iter().map(move |base| cut(&base, longest).to_owned());
    let reserved: Vec<String> = reserved.to_vec();
    plain.chain(numbered).filter(move |name| !name.is_empty() && !reserved.iter().any(|known| known == name))
}

/// No longer than that, and without a sign at its end. Names are ASCII by now.
fn cut(name: &str, longest: usize) -> &str {
    name.get(..longest).unwrap_or(name).trim_end_matches(['.', '-', '_'])
}

#[cfg(test)]
mod tests;

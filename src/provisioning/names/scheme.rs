//! How names are made, as a policy has it (`Policy.names`).

use std::borrow::Cow;

use scim::template::Template;
use serde_json::{Map, Value};

use super::{Letters, Person, candidates};

/// Longest name if the policy does not say: what an account of Active Directory may have.
const LONGEST: usize = 20;
/// Longest local part of an address (RFC 5321 section 4.5.3.1.1).
const LONGEST_LOCAL: usize = 64;
/// Months that an old address goes on leading to its owner.
const ALIAS_MONTHS: i64 = 12;
/// Names that belong to nobody.
const RESERVED: [&str; 12] = [
    "admin",
    "administrator",
    "root",
    "postmaster",
    "hostmaster",
    "webmaster",
    "abuse",
    "security",
    "guest",
    "system",
    "noreply",
    "no-reply",
];
/// What templates may ask for.
const KNOWN: [&str; 6] = ["givenName", "firstName", "familyName", "employeeNumber", "code", "userName"];

/// What becomes of a name when the family name changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnChange {
    /// It stays.
    #[default]
    Keep,
    /// A new one is made; the old address goes on as an alias for a while.
    Rename,
}

/// How names are made.
#[derive(Clone, Debug, PartialEq)]
pub struct Scheme {
    user_name: Vec<Template>,
    address: Vec<Template>,
    neutral: Vec<Template>,
    domain: Option<String>,
    letters: Letters,
    longest: usize,
    reserved: Vec<String>,
    /// When a family name changes.
    pub on_change: OnChange,
    /// Months that an old address goes on as an alias.
    pub alias_months: i64,
}

impl Default for Scheme {
    fn default() -> Self {
        // What is usual can be read.
        Scheme::read(&Map::new()).unwrap_or(Scheme {
            user_name: Vec::new(),
            address: Vec::new(),
            neutral: Vec::new(),
            domain: None,
            letters: Letters::default(),
            longest: LONGEST,
            reserved: Vec::new(),
            on_change: OnChange::Keep,
            alias_months: ALIAS_MONTHS,
        })
    }
}

impl Scheme {
    /// Reads what a policy says. Errors with 400 invalidValue that names the path below `names`.
    pub fn read(names: &Map<String, Value>) -> Result<Self, scim::Error> {
        let letters = Letters::parse(texts(names, "letters"));
        let letters = letters.map_err(|text| {
            refuse("letters", &format!("{text:?} is no letter and what it becomes, such as \"ä=ae\""))
        })?;
        let user_name = templates(names, "userName", &["{{ firstName }}.{{ familyName }}"])?;
        let address = templates(names, "address", &["{{ userName }}"])?;
        let neutral = templates(names, "neutral", &["u{{ code }}"])?;
        if let Some(template) = user_name.iter().chain(&neutral).find(|one| one.names().contains("userName")) {
            return Err(refuse("userName", &format!("{:?} asks for the name that it is to make", template.source())));
        }
        let longest = match names.get("longest").and_then(Value::as_i64) {
            None => LONGEST,
            Some(longest) => usize::try_from(longest)
                .ok()
                .filter(|longest| (4..=LONGEST_LOCAL).contains(longest))
                .ok_or_else(|| refuse("longest", &format!("it must be 4 to {LONGEST_LOCAL}")))?,
        };
        let domain = names.get("domain").and_then(Value::as_str).map(str::to_lowercase);
        if domain.as_ref().is_some_and(|domain| !is_domain(domain)) {
            return Err(refuse("domain", "it must be the part of an address behind the @, such as storstad.fi"));
        }
        let on_change = match names.get("familyNameChange").and_then(Value::as_str) {
            None | Some("keep") => OnChange::Keep,
            Some("rename") => OnChange::Rename,
            Some(_) => return Err(refuse("familyNameChange", "it must be keep or rename")),
        };
        let alias_months = names.get("aliasMonths").and_then(Value::as_i64).unwrap_or(ALIAS_MONTHS);
        if !(0..=1_200).contains(&alias_months) {
            return Err(refuse("aliasMonths", "it must be 0 to 1200"));
        }
        let reserved = texts(names, "reserved").map(|text| letters.fold(text));
        let reserved = reserved.chain(RESERVED.map(str::to_owned)).collect();
        Ok(Scheme { user_name, address, neutral, domain, letters, longest, reserved, on_change, alias_months })
    }

    /// User names that come into question, the best first. A protected person's tell nothing of the person.
    pub fn user_names(&self, person: &Person, is_protected: bool) -> impl Iterator<Item = String> + use<> {
        let templates = if is_protected { &self.neutral } else { &self.user_name };
        candidates(self.bases(templates, person, ""), self.longest, &self.reserved)
    }

    /// The template that made a user name of a person; `None`: it was made otherwise, such as one that was had before.
    pub fn made_by(&self, person: &Person, is_protected: bool, name: &str) -> Option<&str> {
        let stem = name.trim_end_matches(|letter: char| letter.is_ascii_digit());
        let makes = |template: &&Template| {
            let bases = self.bases(std::slice::from_ref(*template), person, "");
            bases.iter().any(|base| base == name || (!stem.is_empty() && base.starts_with(stem)))
        };
        let usual = if is_protected { &self.neutral } else { &self.user_name };
        usual.iter().chain(&self.neutral).find(makes).map(Template::source)
    }

    /// Whether the two people have the same best name, so that a name of one fits the other.
    pub fn makes_the_same(&self, one: &Person, other: &Person) -> bool {
        self.bases(&self.user_name, one, "").first() == self.bases(&self.user_name, other, "").first()
    }

    /// Addresses that come into question for who has that user name; none without a mail domain.
    pub fn addresses(
        &self,
        person: &Person,
        user_name: &str,
        is_protected: bool,
    ) -> impl Iterator<Item = String> + use<> {
        let bases = match (&self.domain, is_protected) {
            (None, _) => Vec::new(),
            (Some(_), true) => vec![self.letters.fold(user_name)],
            (Some(_), false) => self.bases(&self.address, person, user_name),
        };
        let domain = self.domain.clone().unwrap_or_default();
        candidates(bases, LONGEST_LOCAL, &self.reserved).map(move |local| format!("{local}@{domain}"))
    }

    /// What the templates make of a person, each text once; those that ask for what is not there make nothing.
    fn bases(&self, templates: &[Template], person: &Person, user_name: &str) -> Vec<String> {
        let value = |name: &str| {
            let text = match name {
                "givenName" => &person.given,
                "firstName" => &person.first,
                "familyName" => &person.family,
                "employeeNumber" => &person.employee_number,
                "code" => &person.code,
                "userName" => user_name,
                _ => return None,
            };
            let folded = self.letters.fold(text);
            (!folded.is_empty()).then(|| Cow::Owned(Value::String(folded)))
        };
        let mut bases: Vec<String> = Vec::new();
        for template in templates {
            let Ok(text) = template.render(value) else { continue };
            let base = tidy(&self.letters.fold(&text));
            if !base.is_empty() && !bases.contains(&base) {
                bases.push(base);
            }
        }
        bases
    }
}

/// Signs stand alone and between letters.
fn tidy(name: &str) -> String {
    let mut tidy = String::with_capacity(name.len());
    for letter in name.chars() {
        let is_sign = !letter.is_ascii_alphanumeric();
        if is_sign && (tidy.is_empty() || tidy.ends_with(['.', '-', '_'])) {
            continue;
        }
        tidy.push(letter);
    }
    tidy.trim_end_matches(['.', '-', '_']).to_owned()
}

fn templates(names: &Map<String, Value>, member: &str, usual: &[&str]) -> Result<Vec<Template>, scim::Error> {
    let mut given: Vec<&str> = texts(names, member).collect();
    if given.is_empty() {
        given = usual.to_vec();
    }
    let mut templates = Vec::with_capacity(given.len());
    for source in given {
        let template = Template::parse(source).map_err(|error| refuse(member, &error.to_string()))?;
        if let Some(unknown) = template.names().into_iter().find(|name| !KNOWN.contains(name)) {
            return Err(refuse(member, &format!("there is no {unknown}; there is {}", KNOWN.join(", "))));
        }
        templates.push(template);
    }
    Ok(templates)
}

fn texts<'n>(names: &'n Map<String, Value>, member: &str) -> impl Iterator<Item = &'n str> {
    let (single, several) = match names.get(member) {
        Some(Value::String(text)) => (Some(text.as_str()), None),
        Some(Value::Array(texts)) => (None, Some(texts)),
        _ => (None, None),
    };
    single.into_iter().chain(several.into_iter().flatten().filter_map(Value::as_str))
}

fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.chars().all(|letter| letter.is_alphanumeric() || letter == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.contains('.') && text.split('.').all(label)
}

fn refuse(member: &str, reason: &str) -> scim::Error {
    let reason = reason.trim_end_matches('.');
    scim::Error::invalid_value(format!("names.{member}: {reason}."))
}

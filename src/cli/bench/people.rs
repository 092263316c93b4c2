//! Everybody that is loaded: who the person of a number is follows from the number and the seed alone, so that
//! answers can be checked without keeping the people. Each has two e-mails and the enterprise extension.

use serde_json::{Value, json};

use crate::cli::demo::person::{draw_name, fold};
use crate::cli::demo::random::Random;

/// Consonants, so that a code of them is part of no name.
const LETTERS: &[u8; 20] = b"bcdfghjklmnpqrstvwxz";
const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// People of one seed and size. Numbers below the size are loaded; those above are created while measuring.
#[derive(Clone, Copy, Debug)]
pub(super) struct People {
    /// How many are loaded.
    pub(super) size: u64,
    /// What the names are drawn with.
    pub(super) seed: u64,
}

impl People {
    /// How many prefixes of userName the loaded share: about a thousand people to each.
    pub(super) fn prefixes(&self) -> u64 {
        (self.size / 1_000).max(1)
    }

    /// The prefix with that number.
    pub(super) fn prefix(&self, number: u64) -> String {
        format!("{}.", code(number.wrapping_mul(7_919).wrapping_add(3_571), 4))
    }

    /// How many of the loaded have a prefix.
    pub(super) fn with_prefix(&self, number: u64) -> u64 {
        (self.size + self.prefixes() - 1 - number) / self.prefixes()
    }

    /// How many marks there are in the middle of a userName: about twenty people share one.
    pub(super) fn marks(&self) -> u64 {
        (self.size / 20).max(1)
    }

    /// The mark with that number.
    pub(super) fn mark(&self, number: u64) -> String {
        format!("x{}x", code(number.wrapping_mul(104_729).wrapping_add(17), 4))
    }

    /// The loaded that share a mark.
    pub(super) fn marked(&self, number: u64) -> impl Iterator<Item = u64> + use<> {
        (number..self.size).step_by(usize::try_from(self.marks()).unwrap_or(usize::MAX))
    }

    /// The userName, which is the e-mail at work too.
    pub(super) fn user_name(&self, number: u64) -> String {
        let (given, family) = self.name(number);
        let (given, family) = (fold(&given), fold(&family));
        if number < self.size {
            let (prefix, mark) = (self.prefix(number % self.prefixes()), self.mark(number % self.marks()));
            format!("{prefix}{given}.{family}.{mark}.{number}@kommun.example")
        } else {
            format!("{}new.{given}.{family}.{number}@kommun.example", code(number.wrapping_mul(7_919), 4))
        }
    }

    /// The e-mail at home.
    pub(super) fn home_email(&self, number: u64) -> String {
        let (given, family) = self.name(number);
        format!("{}.{}.{number}@home.example", fold(&given), fold(&family))
    }

    /// The externalId and the employee number.
    pub(super) fn external_id(&self, number: u64) -> String {
        format!("{}", 1_000_000 + number)
    }

    /// The title that a person is loaded with.
    pub(super) fn title(&self, number: u64) -> String {
        format!("Coordinator {}", number % 97)
    }

    fn name(&self, number: u64) -> (String, String) {
        let mut random = Random::new(self.seed ^ number.wrapping_mul(0x2545_f491_4f6c_dd1d));
        let named = draw_name(&mut random);
        (named.given, named.family)
    }

    /// The SCIM User (RFC 7643 sections 4.1 and 4.3).
    pub(super) fn user(&self, number: u64) -> Value {
        self.user_with(number, &self.title(number))
    }

    /// The same with another title.
    pub(super) fn user_with(&self, number: u64, title: &str) -> Value {
        let (given, family) = self.name(number);
        let (user_name, external_id) = (self.user_name(number), self.external_id(number));
        let formatted = format!("{given} {family}");
        json!({
            "schemas": [USER, ENTERPRISE],
            "externalId": external_id,
            "userName": user_name,
            "name": { "formatted": formatted, "familyName": family, "givenName": given },
            "displayName": formatted,
            "title": title,
            "userType": "Employee",
            "preferredLanguage": "sv-SE",
            "active": true,
            "emails": [
                { "value": user_name, "type": "work", "primary": true },
                { "value": self.home_email(number), "type": "home" },
            ],
            "phoneNumbers": [{ "value": format!("tel:+46-31-390-06-{:02};ext={number:07}", number % 100), "type": "work" }],
            ENTERPRISE: {
                "employeeNumber": external_id,
                "costCenter": format!("{:05}", number % 389),
                "organization": "Storstads kommun",
                "division": format!("Sector {}", number % 7),
                "department": format!("Department {}", number % 53),
            },
        })
    }
}

/// A number as that many letters.
fn code(mut number: u64, length: usize) -> String {
    let mut code = String::with_capacity(length);
    for _ in 0..length {
        let letter = LETTERS.get(usize::try_from(number % 20).unwrap_or_default()).copied().unwrap_or(b'b');
        code.push(char::from(letter));
        number /= 20;
    }
    code
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn everybody_is_somebody_else_and_the_same_every_time() {
        let people = People { size: 20_000, seed: 1 };
        let names: HashSet<String> = (0..25_000).map(|n| people.user_name(n)).collect();
        assert_eq!(names.len(), 25_000);
        assert_eq!(people.user(77), People { size: 20_000, seed: 1 }.user(77));
        assert_ne!(people.user(77), People { size: 20_000, seed: 2 }.user(77));
    }

    #[test]
    fn it_is_known_how_many_a_prefix_and_a_mark_find() {
        for size in [200, 1_000, 20_000, 20_030] {
            let people = People { size, seed: 3 };
            let names: Vec<String> = (0..size + 100).map(|n| people.user_name(n)).collect();
            for number in [0, people.prefixes() - 1] {
                let prefix = people.prefix(number);
                let found = names.iter().filter(|name| name.starts_with(&prefix)).count();
                assert_eq!(found as u64, people.with_prefix(number), "{size} {prefix}");
            }
            for number in [0, people.marks() - 1] {
                let mark = people.mark(number);
                let found: Vec<u64> =
                    (0..).zip(&names).filter(|(_, name)| name.contains(&mark)).map(|(n, _)| n).collect();
                assert_eq!(found, people.marked(number).collect::<Vec<_>>(), "{size} {mark}");
            }
        }
    }
}

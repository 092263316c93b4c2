//! One employee of the sample municipality: who it is, how it is reached and how that reads as a SCIM User (RFC 7643
//! sections 4.1 and 4.3). Mail goes to reserved domains, telephone numbers come from ranges set aside for fiction.

use serde_json::{Map, Value, json};

use super::names::{ORIGINS, Origin};
use super::random::Random;

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// An employee.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Unique, such as `asa.ohman@kommun.example`; also the address at work.
    pub user_name: String,
    /// Given name, the one in daily use.
    pub given_name: String,
    /// Family name, with `von`, `af` and hyphens.
    pub family_name: String,
    /// Private address; a few have given theirs.
    pub home_email: Option<String>,
    /// Telephone number at work, RFC 3966.
    pub work_phone: String,
    /// Mobile number at work, RFC 3966.
    pub mobile_phone: Option<String>,
    /// Title in the person's own language.
    pub title: String,
    /// `sv-FI` or `fi-FI`.
    pub language: &'static str,
    /// `Employee` or `Substitute`.
    pub user_type: &'static str,
    /// Whether the account may be used.
    pub active: bool,
    /// Unique, six digits or more.
    pub employee_number: String,
    /// Number of the unit in [`units`](super::municipality::Municipality::units).
    pub unit: usize,
    /// Number of the manager in [`people`](super::municipality::Municipality::people), always lower than the person's
    /// own: who creates people in order knows the manager's id. `None` for the head of the town.
    pub manager: Option<usize>,
    /// What the enterprise extension says of the place of work.
    pub workplace: Workplace,
}

/// The place of work as the enterprise extension has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workplace {
    /// Name of the town.
    pub organization: String,
    /// Name of the sector; the town's own office has none.
    pub division: Option<String>,
    /// Name of the department; a sector's own office has none.
    pub department: Option<String>,
    /// Cost centre of the unit.
    pub cost_center: String,
}

impl Person {
    /// The SCIM User that a source would send, without `id` and without the manager, whose id only the server knows.
    pub fn to_scim(&self) -> Value {
        let formatted = format!("{} {}", self.given_name, self.family_name);
        let mut emails = vec![json!({ "value": self.user_name, "type": "work", "primary": true })];
        emails.extend(self.home_email.iter().map(|address| json!({ "value": address, "type": "home" })));
        let mut phones = vec![json!({ "value": self.work_phone, "type": "work" })];
        phones.extend(self.mobile_phone.iter().map(|number| json!({ "value": number, "type": "mobile" })));
        let mut enterprise = Map::new();
        enterprise.insert("employeeNumber".into(), self.employee_number.clone().into());
        enterprise.insert("costCenter".into(), self.workplace.cost_center.clone().into());
        enterprise.insert("organization".into(), self.workplace.organization.clone().into());
        if let Some(division) = &self.workplace.division {
            enterprise.insert("division".into(), division.clone().into());
        }
        if let Some(department) = &self.workplace.department {
            enterprise.insert("department".into(), department.clone().into());
        }
        json!({
            "schemas": [USER, ENTERPRISE],
            "externalId": self.employee_number,
            "userName": self.user_name,
            "name": { "formatted": formatted, "familyName": self.family_name, "givenName": self.given_name },
            "displayName": formatted,
            "title": self.title,
            "userType": self.user_type,
            "preferredLanguage": self.language,
            "active": self.active,
            "emails": emails,
            "phoneNumbers": phones,
            ENTERPRISE: enterprise,
        })
    }
}

/// A name and the language that the person reads.
pub(in crate::cli) struct Named {
    pub(in crate::cli) given: String,
    pub(in crate::cli) family: String,
    pub(super) swedish: bool,
}

/// Draws a name.
pub(in crate::cli) fn draw_name(random: &mut Random) -> Named {
    let Some(origin) = ORIGINS.get(random.weighted(ORIGINS.iter().map(|origin| origin.share))) else {
        return Named { given: String::new(), family: String::new(), swedish: false };
    };
    Named {
        given: random.pick(origin.given).to_owned(),
        family: draw_family(random, origin),
        swedish: random.chance(origin.swedish),
    }
}

fn draw_family(random: &mut Random, origin: &Origin) -> String {
    let family = random.pick(origin.family);
    // Some keep both names when they marry; a name with a particle keeps its own form.
    let others = random.pick(ORIGINS).family;
    let other = random.pick(others);
    if random.chance(4) && other != family && !family.contains([' ', '-']) && !other.contains([' ', '-']) {
        format!("{family}-{other}")
    } else {
        family.to_owned()
    }
}

/// Numbers that no subscriber has: one exchange with extensions, and mobile numbers from a short range for fiction.
pub(super) fn draw_phones(random: &mut Random) -> (String, Option<String>) {
    let work = format!("tel:+46-31-390-06-{:02};ext={:04}", random.below(100), random.below(10_000));
    let mobile = format!("tel:+46-70-174-06-{:02}", 5 + random.below(95));
    (work, Some(mobile).filter(|_| random.chance(30)))
}

/// The name as it can stand before the `@`: ASCII letters and hyphens, lower case.
pub(in crate::cli) fn fold(name: &str) -> String {
    let mut folded = String::with_capacity(name.len());
    for letter in name.chars().flat_map(char::to_lowercase) {
        match letter {
            'a'..='z' | '-' => folded.push(letter),
            'à' | 'á' | 'â' | 'ä' | 'å' | 'ã' | 'ạ' | 'ầ' => folded.push('a'),
            'ç' | 'č' => folded.push('c'),
            'đ' => folded.push('d'),
            'é' | 'è' | 'ê' | 'ë' | 'ė' | 'ễ' => folded.push('e'),
            'í' | 'ı' | 'ï' => folded.push('i'),
            'ñ' | 'ŋ' => folded.push('n'),
            'ó' | 'ö' | 'õ' | 'ô' => folded.push('o'),
            'š' | 'ş' => folded.push('s'),
            'ŧ' => folded.push('t'),
            'ú' | 'ü' | 'ũ' => folded.push('u'),
            'ý' | 'ỳ' => folded.push('y'),
            'ž' => folded.push('z'),
            // Spaces and apostrophes, and the dot that lower case leaves over a Turkish capital.
            _ => {}
        }
    }
    folded
}

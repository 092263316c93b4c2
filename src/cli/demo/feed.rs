//! The municipality as its systems would send it: files with several rows a person, in the encodings they come in, and with the
//! dirty facts that such files have. The maps lie beside them. Knows nothing of the server.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context;

use super::municipality::{Level, Municipality, Person};
use super::random::Random;

const PERSON: &str = "urn:matrikel:scim:schemas:1.0:Person";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
/// One file for whoever asks what the rest is.
const README: &str = "Files of a made-up municipality, and the maps that read them, in this order:

  matrikel schema install --tenant T municipality
  matrikel import --tenant T units.csv  --map units.toml  --client hr
  matrikel import --tenant T staff.csv  --map staff.toml  --client hr
  matrikel import --tenant T pupils.csv --map pupils.toml --client school

A first load is held: look at it, then matrikel run allow. The staff have what such files have: names in capitals and
in a wrong encoding, a person under two numbers, an unknown unit, managers in a circle, a date that is none, a row that
stands twice, a number that is missing, overlapping contracts, an end that came late.
";

/// Writes the files of a town into a folder, which is made.
pub(super) fn write(town: &Municipality, seed: u64, folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("the folder {} cannot be made", folder.display()))?;
    let put = |name: &str, bytes: &[u8]| {
        std::fs::write(folder.join(name), bytes).with_context(|| format!("{name} cannot be written"))
    };
    put("README", README.as_bytes())?;
    put("units.csv", units(town).as_bytes())?;
    put("units.toml", UNITS.as_bytes())?;
    // As the oldest of the three systems writes it.
    put("staff.csv", &encoding_rs::WINDOWS_1252.encode(&staff(town, seed)).0)?;
    put("staff.toml", staff_map().as_bytes())?;
    put("pupils.csv", format!("\u{FEFF}{}", pupils(town, seed)).as_bytes())?;
    put("pupils.toml", pupils_map().as_bytes())
}

const UNITS: &str = r#"source = "units"

[snapshot]
mode = "full"

[[resource]]
kind = "OrganizationalUnit"
key = "Code"

[resource.columns]
code = "Code"
displayName = "Name"
"parent.code" = "Above"
level = { column = "Level", values = { 0 = "town", 1 = "sector", 2 = "department", 3 = "workplace" } }
"#;

fn units(town: &Municipality) -> String {
    let mut text = String::from("Code;Name;Above;Level\n");
    for unit in &town.units {
        let above = unit.parent.and_then(|parent| town.units.get(parent)).map_or("", |parent| parent.code.as_str());
        let level = match unit.level {
            Level::Town => 0,
            Level::Sector => 1,
            Level::Department => 2,
            Level::Workplace => 3,
        };
        let _ = writeln!(text, "{};{};{above};{level}", unit.code, unit.name);
    }
    text
}

fn staff_map() -> String {
    format!(
        r#"source = "staff"
encoding = "windows-1252"
delimiter = ";"

[snapshot]
mode = "full"

[[resource]]
kind = "User"
key = "Nummer"

[resource.columns]
userName = "Nummer"
"name.familyName" = "Efternamn"
"name.givenName" = "Förnamn"
userType = {{ constant = "Employee" }}
"{ENTERPRISE}:employeeNumber" = "Nummer"
"{ENTERPRISE}:manager.value" = {{ column = "Chef", refers = "User" }}

[[resource.list]]
path = "{PERSON}:employments"
key = "employmentId"

[resource.list.columns]
employmentId = "Anställning"
type = {{ column = "Typ", values = {{ T = "permanent", V = "substitute" }} }}
start = {{ column = "Från", date = "%d.%m.%Y" }}
end = {{ column = "Till", date = "%d.%m.%Y" }}
percentage = "Procent"
unit = "Enhet"
title = "Titel"
"#
    )
}

/// The files' rows, a few of them dirty.
fn staff(town: &Municipality, seed: u64) -> String {
    let mut random = Random::new(seed ^ 0x5747_4146);
    let mut text = String::from("Nummer;Förnamn;Efternamn;Chef;Anställning;Typ;Från;Till;Procent;Enhet;Titel\n");
    let last = town.people.len().saturating_sub(1);
    for (n, person) in town.people.iter().enumerate() {
        let (mut family, mut chief, mut from) =
            (person.family_name.clone(), chief(town, person), day(&mut random, 2005, 20));
        let mut unit = town.units.get(person.unit).map_or("", |unit| unit.code.as_str()).to_owned();
        match n % 500 {
            11 => family = family.to_uppercase(),
            // UTF-8 that somebody has read as Latin-1.
            23 => family = encoding_rs::WINDOWS_1252.decode(family.as_bytes()).0.into_owned(),
            37 => unit = "99-999".to_owned(),
            41 => from = "31.02.2026".to_owned(),
            _ => {}
        }
        // A circle: whoever leads the town is led by the last of them.
        if n == 0 && last > 0 {
            chief = town.people.get(last).map_or_else(String::new, |person| person.employee_number.clone());
        }
        let number = if n % 500 == 53 { "" } else { &person.employee_number };
        let mut row = |employment: String, kind: char, from: &str, to: &str, percent: &str| {
            let _ = writeln!(
                text,
                "{number};{};{family};{chief};{employment};{kind};{from};{to};{percent};{unit};\"{}\"",
                person.given_name, person.title
            );
        };
        let id = &person.employee_number;
        match n % 500 {
            // Two contracts that overlap, the second one in another half.
            67 | 167 | 267 => {
                row(format!("{id}-1"), 'V', "01.08.2026", "31.12.2026", "50");
                row(format!("{id}-2"), 'V', "01.10.2026", "15.06.2027", "50,5");
            }
            // Over since long, told late.
            71 => row(format!("{id}-1"), 'T', &from, "30.06.2026", "100"),
            // Twice the same.
            83 => {
                row(format!("{id}-1"), 'T', &from, "", "100");
                row(format!("{id}-1"), 'T', &from, "", "100");
            }
            _ => row(format!("{id}-1"), 'T', &from, "", if random.chance(20) { "80" } else { "100" }),
        }
        if n % 500 == 97 {
            let _ = writeln!(
                text,
                "9{id};{};{family};{chief};9{id}-1;V;01.09.2026;;40;{unit};\"{}\"",
                person.given_name, person.title
            );
        }
    }
    text
}

fn chief(town: &Municipality, person: &Person) -> String {
    let chief = person.manager.and_then(|manager| town.people.get(manager));
    chief.map_or_else(String::new, |chief| chief.employee_number.clone())
}

/// A day of one of `years` years from `first`.
fn day(random: &mut Random, first: usize, years: usize) -> String {
    format!("{:02}.{:02}.{}", 1 + random.below(28), 1 + random.below(12), first + random.below(years))
}

fn pupils_map() -> String {
    format!(
        r#"source = "pupils"

[snapshot]
mode = "full"

[[resource]]
kind = "User"
key = "Id"

[resource.columns]
userName = "Id"
"name.familyName" = "Efternamn"
"name.givenName" = "Förnamn"
userType = {{ constant = "Pupil" }}

[[resource.list]]
path = "{PERSON}:enrolments"
key = "enrolmentId"

[resource.list.columns]
enrolmentId = "Inskrivning"
schoolUnit = "Skola"
class = "Klass"
year = "Årskurs"
from = "Från"
"#
    )
}

/// Three pupils for each employee, in classes of the workplaces.
fn pupils(town: &Municipality, seed: u64) -> String {
    let mut random = Random::new(seed ^ 0x50_5550);
    let schools: Vec<&str> =
        town.units.iter().filter(|unit| unit.level == Level::Workplace).map(|unit| unit.code.as_str()).collect();
    let mut text = String::from("Id;Förnamn;Efternamn;Inskrivning;Skola;Klass;Årskurs;Från\n");
    for (n, person) in town.people.iter().cycle().take(town.people.len() * 3).enumerate() {
        // Names of the town, put together anew.
        let other = town.people.get(random.below(town.people.len()));
        let family = other.map_or("", |other| other.family_name.as_str());
        let (year, school) = (random.below(10), random.pick(&schools));
        let class = char::from(b'A' + u8::try_from(random.below(4)).unwrap_or_default());
        let _ = writeln!(text, "p{n};{};{family};p{n}-1;{school};{year}{class};{year};2026-08-10", person.given_name);
    }
    text
}

//! Six questions that a register should answer, as curl lines over the data of this very municipality.

use anyhow::Context;
use serde_json::json;

use super::client::Client;
use super::municipality::{Level, Municipality};

const DEPARTMENT: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department";

/// The lines, with what they need set first.
pub(super) async fn questions(client: &Client, town: &Municipality) -> anyhow::Result<String> {
    let unit = town.units.iter().find(|unit| unit.level == Level::Workplace).or(town.units.first());
    let unit = &unit.context("a town without units")?.name;
    let person = town.people.last().context("a town without people")?;
    let department = town.people.iter().rev().find_map(|person| person.workplace.department.as_deref());
    let found = client.find("Users", &format!("userName eq {}", json!(person.user_name))).await?;
    let id = found.first().context("a person who was pushed cannot be found")?;
    let morning = morning();
    let lines = [
        (
            format!("Who works in {unit}?"),
            ask("/Users", &[&filter("groups.display eq", unit), "attributes=displayName,title"]),
        ),
        (
            "Who changed since this morning?".to_owned(),
            ask("/Users", &[&filter("meta.lastModified ge", &morning), "attributes=userName,meta", "count=5"]),
        ),
        (
            format!("Which groups is {} {} in?", person.given_name, person.family_name),
            ask(&format!("/Users/{id}"), &["attributes=groups"]),
        ),
        (format!("Who is {}?", person.user_name), ask("/Users", &[&filter("userName eq", &person.user_name)])),
        (
            "Who works in a department, by name?".to_owned(),
            ask(
                "/Users",
                &[
                    &filter(&format!("{DEPARTMENT} eq"), department.unwrap_or(unit)),
                    "sortBy=name.familyName",
                    "attributes=name,title",
                ],
            ),
        ),
        ("How many are active?".to_owned(), ask("/Users", &["filter=active eq true", "count=0"])),
    ];
    let mut text = String::from("\nSix questions to ask (set BASE to the address and TOKEN to a token above first):\n");
    for (question, line) in lines {
        text.push_str(&format!("\n  # {question}\n  {line}\n"));
    }
    Ok(text.trim_end().to_owned())
}

fn filter(condition: &str, value: &str) -> String {
    format!("filter={condition} {}", json!(value))
}

fn ask(path: &str, parameters: &[&str]) -> String {
    let mut line = format!("curl -sG -H \"Authorization: Bearer $TOKEN\" \"$BASE{path}\"");
    for parameter in parameters {
        line.push_str(&format!(" --data-urlencode '{}'", parameter.replace('\'', "'\\''")));
    }
    line
}

/// Today's first moment where the operator is, as SCIM writes it.
#[expect(clippy::disallowed_methods, reason = "an example for the operator to read; decides nothing")]
fn morning() -> String {
    let now = jiff::Zoned::now();
    now.start_of_day().map_or_else(|_| now.timestamp(), |morning| morning.timestamp()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_survives_the_shell_whatever_a_name_holds() {
        let line = ask("/Users", &[&filter("displayName eq", "O'Brien \"Bo\"")]);
        assert_eq!(
            line,
            r#"curl -sG -H "Authorization: Bearer $TOKEN" "$BASE/Users" --data-urlencode 'filter=displayName eq "O'\''Brien \"Bo\""'"#
        );
    }
}

//! Whether an answer is right. What can be known beforehand is fetched once, read as JSON and checked in every detail;
//! every later answer must be the same to the byte. What cannot, such as the answer to a create, is searched for the
//! members that it must have.

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use uuid::Uuid;

use super::people::People;
use super::wire::{Answer, find};
use super::world::{DIRECT, INDIRECT};

/// A request whose answer is known.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// The request.
    pub(super) request: Vec<u8>,
    /// The status of its answer.
    pub(super) status: u16,
    /// The body of its answer.
    pub(super) body: Vec<u8>,
}

impl Known {
    /// Fails unless the answer is the known one.
    pub(super) fn check(&self, answer: &Answer<'_>) -> anyhow::Result<()> {
        status(answer, self.status)?;
        ensure!(answer.body == self.body, "another answer than before: {}", answer.excerpt());
        Ok(())
    }
}

/// Fails unless the answer has that status.
pub(super) fn status(answer: &Answer<'_>, wanted: u16) -> anyhow::Result<()> {
    ensure!(answer.status == wanted, "{} instead of {wanted}: {}", answer.status, answer.excerpt());
    Ok(())
}

/// Fails unless the body holds a member with that text as its value.
pub(super) fn holds(answer: &Answer<'_>, name: &str, value: &str) -> anyhow::Result<()> {
    let text = format!("\"{name}\":\"{value}\"");
    ensure!(find(answer.body, text.as_bytes()).is_some(), "{text} is missing: {}", answer.excerpt());
    Ok(())
}

/// The id in the body: the first member `id`.
pub(super) fn id(answer: &Answer<'_>) -> anyhow::Result<Uuid> {
    let begin = find(answer.body, b"\"id\":\"").context("an answer without id")? + 6;
    let text = answer.body.get(begin..begin + 36).context("an answer without id")?;
    Ok(Uuid::try_parse_ascii(text)?)
}

/// Every id of a list's resources, in order. People have no other member `id`.
pub(super) fn ids(body: &[u8], mut each: impl FnMut(Uuid)) -> anyhow::Result<()> {
    let mut rest = body;
    while let Some(at) = find(rest, b"\"id\":\"") {
        let (Some(text), Some(after)) = (rest.get(at + 6..at + 42), rest.get(at + 42..)) else {
            bail!("an id that is cut off")
        };
        each(Uuid::try_parse_ascii(text)?);
        rest = after;
    }
    Ok(())
}

/// The value of a member that is a text without escapes.
pub(super) fn text<'b>(body: &'b [u8], name: &str) -> Option<&'b str> {
    let key = format!("\"{name}\":\"");
    let rest = body.get(find(body, key.as_bytes())? + key.len()..)?;
    std::str::from_utf8(rest.get(..find(rest, b"\"")?)?).ok()
}

/// The value of a member that is a number.
pub(super) fn number(body: &[u8], name: &str) -> Option<u64> {
    let key = format!("\"{name}\":");
    let rest = body.get(find(body, key.as_bytes())? + key.len()..)?;
    let length = rest.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(rest.get(..length)?).ok()?.parse().ok()
}

/// Fails unless the resource is that person in full, with all of a reader's groups if one is meant.
pub(super) fn person(resource: &Value, people: &People, number: u64, id: Uuid, is_reader: bool) -> anyhow::Result<()> {
    let wanted = people.user(number);
    ensure!(resource.get("id").and_then(Value::as_str) == Some(id.to_string().as_str()), "not {id}: {resource}");
    for (name, value) in wanted.as_object().context("a person that is no object")? {
        ensure!(resource.get(name) == Some(value), "{name} of {id} is not as it was written: {resource}");
    }
    let groups = resource.get("groups").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let of_type = |kind: &str| groups.iter().filter(|group| group.get("type").is_some_and(|of| of == kind)).count();
    let found = (of_type("direct"), of_type("indirect"));
    let wanted = if is_reader { (DIRECT, INDIRECT) } else { (0, 0) };
    ensure!(found == wanted, "{id} is in {found:?} groups, direct and indirect, instead of {wanted:?}");
    Ok(())
}

/// The resources of a list, which must have that total and be so many.
pub(super) fn list(body: &Value, total: u64, count: u64) -> anyhow::Result<&[Value]> {
    let found = body.get("totalResults").and_then(Value::as_u64);
    ensure!(found == Some(total), "a total of {found:?} instead of {total}");
    let resources = body.get("Resources").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    ensure!(resources.len() as u64 == count, "{} resources instead of {count}", resources.len());
    Ok(resources)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: Uuid = Uuid::from_u128(7);

    fn reader(people: &People) -> Value {
        let mut user = people.user(3);
        user["id"] = ID.to_string().into();
        let group = |kind: &str| json!({ "value": "g", "type": kind });
        user["groups"] = (0..DIRECT).map(|_| group("direct")).chain((0..INDIRECT).map(|_| group("indirect"))).collect();
        user
    }

    fn answer(body: &str) -> Answer<'_> {
        Answer { status: 200, head: b"", body: body.as_bytes() }
    }

    #[test]
    fn a_wrong_person_is_noticed() {
        let people = People { size: 100, seed: 1 };
        let right = reader(&people);
        person(&right, &people, 3, ID, true).expect("right");
        person(&right, &people, 4, ID, true).expect_err("somebody else");
        person(&right, &people, 3, Uuid::nil(), true).expect_err("another id");
        person(&right, &people, 3, ID, false).expect_err("in groups");
        let changes: [fn(&mut Value); 4] = [
            |user| user["title"] = "Mayor".into(),
            |user| drop(user["emails"].as_array_mut().expect("e-mails").pop()),
            |user| drop(user["groups"].as_array_mut().expect("groups").pop()),
            |user| drop(user.as_object_mut().expect("an object").remove("active")),
        ];
        for change in changes {
            let mut wrong = right.clone();
            change(&mut wrong);
            person(&wrong, &people, 3, ID, true).expect_err("changed");
        }
    }

    #[test]
    fn a_list_that_lacks_somebody_is_noticed() {
        let body = json!({ "totalResults": 2, "Resources": [{}, {}] });
        assert_eq!(list(&body, 2, 2).expect("right").len(), 2);
        list(&body, 3, 2).expect_err("another total");
        list(&body, 2, 1).expect_err("another count");
    }

    #[test]
    fn an_answer_that_changes_or_fails_is_noticed() {
        let known = Known { request: Vec::new(), status: 200, body: b"{}".to_vec() };
        known.check(&answer("{}")).expect("the same");
        known.check(&answer("{ }")).expect_err("another body");
        known.check(&Answer { status: 500, ..answer("{}") }).expect_err("another status");
        holds(&answer(r#"{"title":"A"}"#), "title", "A").expect("it is there");
        holds(&answer(r#"{"title":"AB"}"#), "title", "A").expect_err("it is longer");
    }

    #[test]
    fn members_are_read_out_of_a_body() {
        let body = format!(r#"{{"totalResults":12,"nextCursor":"c","Resources":[{{"id":"{ID}"}},{{"id":"{ID}"}}]}}"#);
        let mut found = Vec::new();
        ids(body.as_bytes(), |id| found.push(id)).expect("ids");
        assert_eq!(found, [ID, ID]);
        assert_eq!(
            (number(body.as_bytes(), "totalResults"), text(body.as_bytes(), "nextCursor")),
            (Some(12), Some("c"))
        );
        assert_eq!(id(&answer(&body)).expect("an id"), ID);
        ids(br#"{"id":"short"}"#, drop).expect_err("cut off");
    }
}

//! Looking for people who are erased in what runs and simulations have left: what was refused, what is to be looked at, what
//! would become of each. It is sealed, so it is opened and read outside of any lock; what is about one of them goes, and the
//! counts of the run stay. Files are left alone: one that is not decided yet is what its source says now, and goes when it is.

use std::collections::HashSet;

use provisioning::names::employee_number;
use serde_json::{Map, Value};
use store::erasure::Left;
use store::{Erasure, Reader, ResourceId, TenantId};

use super::super::feeds::BODY;
use super::super::{Ctx, Directory, Error};
use super::origin;

/// People that are looked for at a time.
const MANY: i64 = 256;
/// Items read at a time.
const PAGE: i64 = 500;
/// A text that is shorter is found where it is the key alone: it stands in many places that mean something else.
const LONG: usize = 4;

impl Directory {
    /// Forgets in what runs have left all that is about people who are to be erased, and notes that it was done.
    pub async fn forget_in_runs(&self, ctx: &Ctx) -> Result<(), Error> {
        let tenant = ctx.tenant;
        loop {
            let found = self.store.read_for(tenant, move |reader| wanted(reader, tenant)).await;
            let (people, marks) = found.map_err(|error: store::Error| error)?;
            if people.is_empty() {
                return Ok(());
            }
            self.forget_marked(ctx, &marks).await?;
            let now = ctx.now;
            let note = self.store.write(tenant, origin(ctx), move |work| {
                for (id, _) in &people {
                    // Another process may have come further meanwhile.
                    if let Some(erasure) = work.erasure(*id)?.filter(|erasure| erasure.runs_at.is_none()) {
                        work.put_erasure(*id, Erasure { runs_at: Some(now), ..erasure });
                    }
                }
                Ok::<_, Error>(())
            });
            note.await?;
        }
    }

    async fn forget_marked(&self, ctx: &Ctx, marks: &HashSet<String>) -> Result<(), Error> {
        let (tenant, mut last) = (ctx.tenant, None::<ResourceId>);
        loop {
            let run = self.store.read_for(tenant, move |reader| reader.run_with_items(tenant, last)).await;
            let Some(run) = run.map_err(|error: store::Error| error)? else { return Ok(()) };
            last = Some(run);
            let envelope = self.run_envelope(ctx, run).await?;
            let mut after = None::<(String, i64)>;
            loop {
                let from = after.take();
                let page =
                    self.store.read_for(tenant, move |reader| reader.left_by(tenant, run, BODY, from, PAGE)).await;
                let page = page.map_err(|error: store::Error| error)?;
                let Some((list, place, _)) = page.last() else { break };
                after = Some((list.clone(), *place));
                let about = page.into_iter().filter(|(_, _, body)| {
                    // What does not open is read by nobody.
                    let item = envelope.open(body).and_then(|text| serde_json::from_slice(&text).ok());
                    item.is_some_and(|item: Value| is_about(&item, marks))
                });
                let left: Vec<Left> = about.map(|(list, place, _)| (run, list, place)).collect();
                if !left.is_empty() {
                    let forget = self.store.write(tenant, origin(ctx), move |work| Ok(work.erase_left(&left)?));
                    forget.await.map_err(|error: Error| error)?;
                }
            }
        }
    }
}

/// Erasures that have begun, with whom each is of, and the texts by which they are known.
type Wanted = (Vec<(ResourceId, Erasure)>, HashSet<String>);

/// Who is to be looked for, and by which texts.
fn wanted(reader: &mut Reader, tenant: TenantId) -> Result<Wanted, store::Error> {
    let people = reader.erasures_begun(tenant, MANY)?;
    let mut marks = HashSet::new();
    for (id, _) in &people {
        marks.insert(id.to_string());
        marks.extend(reader.keys_of_sources(tenant, *id)?);
        let Some((_, Some(text))) = reader.last_said(tenant, *id)? else { continue };
        let Ok(document) = serde_json::from_str::<Map<String, Value>>(&text) else { continue };
        marks.extend(document.get("userName").and_then(Value::as_str).map(str::to_owned));
        marks.insert(employee_number(&document));
        let emails = document.get("emails").and_then(Value::as_array).into_iter().flatten();
        marks.extend(emails.filter_map(|email| email.get("value")?.as_str()).map(str::to_owned));
    }
    marks.remove("");
    Ok((people, marks))
}

/// Whether an item is about somebody: has the key, or says a text of theirs anywhere.
fn is_about(item: &Value, marks: &HashSet<String>) -> bool {
    let key = item.get("key").and_then(Value::as_str);
    key.is_some_and(|key| marks.contains(key)) || says(item, marks)
}

fn says(value: &Value, marks: &HashSet<String>) -> bool {
    let is_marked = |text: &str| text.len() >= LONG && marks.contains(text);
    match value {
        Value::String(text) => {
            let words = text.split(|c: char| c.is_whitespace() || "\"'`(),;:<>".contains(c));
            is_marked(text) || words.map(|word| word.trim_end_matches('.')).any(is_marked)
        }
        Value::Array(values) => values.iter().any(|value| says(value, marks)),
        Value::Object(values) => values.values().any(|value| says(value, marks)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_item_is_about_who_has_its_key_or_stands_in_it() {
        let marks: HashSet<String> = ["7", "4711", "anna.x", "anna.x@storstad.fi"].map(str::to_owned).into();
        let table = [
            (json!({ "key": "7" }), true),
            (json!({ "key": "8", "row": "7" }), false),
            (json!({ "key": "8", "raw": { "number": "4711" } }), true),
            (json!({ "key": "8", "raw": { "number": "47112" } }), false),
            (json!({ "key": "8", "reason": "userName \"anna.x\" is taken." }), true),
            (json!({ "key": "8", "reason": "She is anna.x@storstad.fi." }), true),
            (json!({ "list": [{ "id": "4711" }] }), true),
            (json!({ "n": 4711 }), false),
        ];
        for (item, expected) in table {
            assert_eq!(is_about(&item, &marks), expected, "{item}");
        }
    }
}

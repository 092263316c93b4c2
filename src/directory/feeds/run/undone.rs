//! The run that undoes another one: it is of the same feed, keeps its files out while it is carried out, and each names the
//! other when it is done.

use serde_json::{Value, json};
use store::{ResourceId, Work, format_instant};

use super::{Counts, RunState, object, run_of, running, write_own};
use crate::directory::Error;
use crate::directory::feeds::{FEED, Feed, RUN};

/// A run that undoes another one.
#[derive(Clone, Copy, Debug)]
pub(in crate::directory) struct Undoing {
    /// The one that is undone.
    pub(in crate::directory) undone: ResourceId,
    /// The one that undoes it.
    pub(in crate::directory) by: ResourceId,
    /// Their feed.
    pub(in crate::directory) feed: ResourceId,
}

impl Undoing {
    /// Begins the run at `now`, µs since 1970. Fails with 409 while a file of the feed is carried out.
    pub(in crate::directory) fn begin(self, work: &mut Work<'_>, now: i64, planned: Counts) -> Result<(), Error> {
        let held = work.record(self.feed)?.filter(|record| record.kind == FEED).ok_or(store::Error::NotFound)?;
        let mut feed = Feed::of(&held)?;
        if let Some((run, _)) = running(&feed, work)? {
            let why = format!(
                "The run {run} of the feed {} is being carried out. Undo the other one when it is done.",
                feed.name
            );
            return Err(scim::Error::status(409, why).into());
        }
        let document = json!({
            "schemas": ["urn:matrikel:scim:schemas:1.0:Run"],
            "feed": { "value": feed.id.to_string(), "display": feed.name },
            "client": { "value": feed.client.to_string() },
            "state": RunState::Running.as_str(),
            "cause": "undo",
            "undoes": { "value": self.undone.to_string() },
            "started": format_instant(now),
            "planned": planned,
        });
        write_own(work, self.by, RUN, None, object(document))?;
        feed.document.insert("running".into(), self.by.to_string().into());
        write_own(work, feed.id, FEED, Some(&held), feed.document)
    }

    /// Whether nobody has ended it.
    pub(in crate::directory) fn goes_on(self, work: &mut Work<'_>) -> Result<bool, Error> {
        let found = run_of(work, self.by)?;
        Ok(found.is_some_and(|(_, document)| RunState::of(&document) == Some(RunState::Running)))
    }

    /// Ends the run. The feed takes any file then: which was the last before the one that is undone is for its source to say.
    pub(in crate::directory) fn end(self, work: &mut Work<'_>, now: i64, counts: Counts) -> Result<(), Error> {
        if let Some((record, mut document)) = run_of(work, self.by)? {
            document.insert("state".into(), RunState::Applied.as_str().into());
            document.insert("ended".into(), format_instant(now).into());
            document.insert("counts".into(), serde_json::to_value(counts).unwrap_or_default());
            write_own(work, self.by, RUN, Some(&record), document)?;
        }
        if let Some((record, mut document)) = run_of(work, self.undone)?
            && !document.contains_key("undone")
        {
            let undone = json!({ "value": self.by.to_string(), "at": format_instant(now) });
            document.insert("undone".into(), undone);
            write_own(work, self.undone, RUN, Some(&record), document)?;
        }
        let Some(held) = work.record(self.feed)?.filter(|record| record.kind == FEED) else { return Ok(()) };
        let mut feed = Feed::of(&held)?;
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let was_running = text(feed.document.get("running")) == Some(self.by.to_string());
        let was_last =
            text(feed.document.get("applied").and_then(|last| last.get("run"))) == Some(self.undone.to_string());
        if was_running {
            feed.document.shift_remove("running");
        }
        if was_last {
            feed.document.shift_remove("applied");
        }
        match was_running || was_last {
            true => write_own(work, feed.id, FEED, Some(&held), feed.document),
            false => Ok(()),
        }
    }
}

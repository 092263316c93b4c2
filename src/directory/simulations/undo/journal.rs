//! What a run has done, from the change journal: which resources of its feed it has made, changed and deleted, and what each was
//! before and after. What followed from that by rule (memberships, rights, names of others) is not taken up: it follows
//! from turning back, too.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map as Object, Value};
use store::change::Op;
use store::feed::FeedKey;
use store::work::document_of;
use store::{Change, Reader, ResourceId, Seq, TenantId};

use crate::directory::feeds::{RUN, RunState, instant};
use crate::directory::{Ctx, Directory, Error};

/// Changes and notes that are read at a time.
const PAGE: i64 = 1_000;
/// Causes of changes that a run makes.
const CAUSES: [&str; 2] = ["feed", "undo"];

/// A resource that a run has touched.
#[derive(Clone, Debug)]
pub(super) struct Touched {
    pub(super) id: ResourceId,
    pub(super) kind: String,
    /// The source's own key for it.
    pub(super) key: String,
    /// The number of its first change by the run, and of the last.
    pub(super) first: Seq,
    pub(super) last: Seq,
    /// Whether it came to be, and whether it was deleted.
    pub(super) came: bool,
    pub(super) gone: bool,
    /// The groups that it left when it was deleted.
    pub(super) left: Vec<ResourceId>,
}

/// What a run has done.
#[derive(Clone, Debug)]
pub(in crate::directory::simulations) struct Undo {
    pub(super) run: ResourceId,
    pub(super) feed: ResourceId,
    /// On whose behalf it was, and is turned back.
    pub(super) ctx: Ctx,
    /// What came last comes first.
    pub(super) all: Vec<Touched>,
}

impl Undo {
    /// On whose behalf it is turned back.
    pub(in crate::directory::simulations) fn ctx(&self) -> &Ctx {
        &self.ctx
    }
}

/// What a resource was, and what the run has left.
#[derive(Clone, Debug, Default)]
pub(super) struct Images {
    pub(super) before: Option<Object<String, Value>>,
    pub(super) after: Option<Object<String, Value>>,
}

fn refuse(why: impl Into<String>) -> Error {
    Error::Scim(scim::Error::status(409, why.into()))
}

/// Refuses the document of a run that cannot be undone, with the reason. Returns its feed.
pub(super) fn check(document: &Object<String, Value>) -> Result<ResourceId, Error> {
    let cause = document.get("cause").and_then(Value::as_str).unwrap_or("feed");
    if cause == "days" {
        let why = "What days, rules and units bring follows from them, and would come again: correct the date, or have a \
                   simulation deprecate the rule.";
        return Err(refuse(why));
    }
    if !CAUSES.contains(&cause) {
        return Err(refuse("This run has done nothing: its client's single writes were held, and are not its own."));
    }
    match RunState::of(document) {
        Some(RunState::Applied | RunState::Rejected | RunState::Failed) => {}
        Some(RunState::Simulated) => return Err(refuse("The run was simulated, and has done nothing.")),
        _ => return Err(refuse("The run is not done yet: reject it, and undo what it has done by then.")),
    }
    let feed = document.get("feed").and_then(|feed| feed.get("value")?.as_str()?.parse().ok());
    feed.ok_or_else(|| refuse("The run names no feed."))
}

impl Directory {
    /// What a run has done. Fails with 409 for one that cannot be undone, with the reason.
    pub(in crate::directory::simulations) async fn undoing(&self, ctx: &Ctx, run: ResourceId) -> Result<Undo, Error> {
        let document = self.run_document(ctx, run).await?;
        let document = document.ok_or_else(|| refuse("The run was deleted, and with it what is known of it."))?;
        let feed_id = check(&document)?;
        let feed = self.feed(ctx, &feed_id.to_string()).await?;
        let feed =
            feed.ok_or_else(|| refuse("The feed of the run is gone, and with it whose keys its resources have."))?;
        let mut client = self.feed_context(ctx, &feed).await?;
        // What it did it may undo, whatever it sees by now; and as a source, which withdraws and erases nothing at once.
        client.views = scim::view::Views::everything();
        let caller = Arc::make_mut(&mut client.caller);
        caller.writes = Default::default();
        caller.scopes = crate::directory::scope::Scopes::of(crate::directory::Role::Source);
        let (tenant, client_id) = (ctx.tenant, feed.client);
        let read = self.store().read_for(tenant, move |reader| {
            let mut walk =
                Walk { run, client: client_id, keys: HashMap::new(), found: HashMap::new(), left: Vec::new() };
            walk.learn(reader, tenant, feed_id)?;
            walk.go(reader, tenant, &document)?;
            Ok::<_, Error>(walk.end())
        });
        Ok(Undo { run, feed: feed_id, ctx: client, all: read.await? })
    }
}

/// What each was, for whoever turns it back. Fails with 409 where that is not known any more.
pub(super) fn images(reader: &mut Reader, tenant: TenantId, touched: &Touched) -> Result<Images, Error> {
    let parse = |text: String| {
        serde_json::from_str(&text).map_err(|error| Error::Store(store::Error::Corrupt(error.to_string())))
    };
    let before = if touched.came { None } else { reader.image_before(tenant, touched.id, touched.first)? };
    let after = if touched.gone { None } else { reader.image_before(tenant, touched.id, touched.last + 1)? };
    if before.is_none() != touched.came || after.is_none() != touched.gone {
        return Err(refuse(format!("What the {} {} was is erased.", touched.kind, touched.id)));
    }
    Ok(Images { before: before.map(parse).transpose()?, after: after.map(parse).transpose()? })
}

struct Walk {
    run: ResourceId,
    client: ResourceId,
    /// The resources of the feed: type and key.
    keys: HashMap<ResourceId, (String, String)>,
    found: HashMap<ResourceId, Touched>,
    /// Who left which group.
    left: Vec<(ResourceId, ResourceId)>,
}

impl Walk {
    fn learn(&mut self, reader: &mut Reader, tenant: TenantId, feed: ResourceId) -> Result<(), Error> {
        let mut after: Option<FeedKey> = None;
        loop {
            let page = reader.feed_records(tenant, feed, after.as_ref(), (false, PAGE))?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(last.clone());
            self.keys.extend(page.into_iter().map(|(key, record)| (record.resource, (key.kind, key.key))));
        }
    }

    fn go(&mut self, reader: &mut Reader, tenant: TenantId, document: &Object<String, Value>) -> Result<(), Error> {
        let gone = || refuse("The run was deleted.");
        let record = reader.record(tenant, self.run)?.filter(|record| record.kind == RUN).ok_or_else(gone)?;
        // Instants grow with the numbers, so nothing of it comes before its beginning; and nothing after its end.
        let span = reader.audit_span(tenant)?;
        let began = instant(document_of(&record)?.get("started"));
        let (first, _) = reader.audit_between(tenant, span, (began, None))?.changes;
        let mut after = first - 1;
        while after < record.seq {
            let page = reader.changes(tenant, after, None, PAGE)?;
            let Some(last) = page.last() else { break };
            after = last.change.seq;
            for stored in page {
                if stored.change.seq <= record.seq {
                    self.note(&stored.change)?;
                }
            }
        }
        let done = document.get("counts").and_then(Value::as_object);
        let done = ["created", "updated", "disabled", "deleted"]
            .into_iter()
            .any(|name| done.and_then(|done| done.get(name)?.as_u64()).is_some_and(|n| n > 0));
        match done && self.found.is_empty() {
            true => Err(refuse("The journal does not tell what of its changes are this run's: it is older than that.")),
            false => Ok(()),
        }
    }

    fn note(&mut self, change: &Change) -> Result<(), Error> {
        if !CAUSES.contains(&change.cause.as_str()) {
            return Ok(());
        }
        if change.by.request.is_none() && change.actor == self.client && change.op != Op::Members {
            return Err(refuse(
                "Some of what the journal had of this time is erased, or older than that it tells of runs.",
            ));
        }
        if change.by.request.as_deref() != Some(&*self.run.to_string()) {
            return Ok(());
        }
        let gone = change.members.iter().filter(|delta| !delta.joined);
        self.left.extend(gone.map(|delta| (delta.member, change.resource)));
        let Some((kind, key)) = self.keys.get(&change.resource).filter(|(kind, _)| *kind == change.kind) else {
            return Ok(());
        };
        if change.op == Op::Members {
            return Ok(());
        }
        let touched = self.found.entry(change.resource).or_insert_with(|| Touched {
            id: change.resource,
            kind: kind.clone(),
            key: key.clone(),
            first: change.seq,
            last: change.seq,
            came: change.op == Op::Create,
            gone: false,
            left: Vec::new(),
        });
        touched.last = change.seq;
        touched.gone = change.op == Op::Delete;
        Ok(())
    }

    fn end(mut self) -> Vec<Touched> {
        for (member, group) in self.left {
            if let Some(touched) = self.found.get_mut(&member).filter(|touched| touched.gone) {
                touched.left.push(group);
            }
        }
        // What came and went leaves nothing to turn back.
        let mut all: Vec<Touched> = self.found.into_values().filter(|one| !(one.came && one.gone)).collect();
        all.sort_by_key(|touched| (Reverse(touched.last), touched.id));
        all
    }
}

//! Which scenarios there are, and what runs them share: the rounds, in each of which the server and what it is compared
//! with take turns.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeSet;
use std::time::Duration;

use indicatif::ProgressBar;

use super::book::{Book, Key};
use super::handler::Handler;
use super::measure::{Link, Sample, Until, drive};
use super::peer::Peer;
use super::pg::Pgbench;
use super::raw::Raw;
use super::verify::{self, Known};
use super::wire::Connection;
use super::world::World;
use super::{group, masks, night, read, signed, view, walk, write};

/// One kind of work.
pub(super) struct Scenario {
    /// Its name, as `--only` takes it.
    pub(super) name: &'static str,
    /// What it does.
    pub(super) about: &'static str,
    /// Connections it is measured with unless told; those with one alone are a sequence by nature.
    pub(super) connections: &'static [usize],
}

const fn scenario(name: &'static str, connections: &'static [usize], about: &'static str) -> Scenario {
    Scenario { name, about, connections }
}

/// Every scenario, in the order they run: what writes comes after what reads, and what disturbs most comes last.
pub(super) const SCENARIOS: &[Scenario] = &[
    scenario("get", &[1, 16, 64], "GET of a user by id, with its 13 groups"),
    scenario("get-conditional", &[16], "the same with an If-None-Match that fits: 304"),
    scenario("get-signed", &[16], "GET by id with a signed token (JWT) in the place of a static one"),
    scenario(
        "get-view",
        &[16],
        "GET by id through a view with a filter and 20 attributes, beside a view of everything",
    ),
    scenario("get-views", &[16], "the same by 1,000 clients in turn, each with a view of its own, beside one of them"),
    scenario("by-username", &[16], "filter userName eq"),
    scenario("by-email", &[16], "filter emails.value eq"),
    scenario("by-external-id", &[16], "filter externalId eq"),
    scenario("user-groups", &[16], "GET of a user's groups alone"),
    scenario("prefix-page", &[16], "filter userName sw, of 1,000 hits 100 by name.familyName, right total"),
    scenario("contains", &[16], "filter userName co, 20 hits"),
    scenario("modified-since", &[16], "filter meta.lastModified gt, 100 hits"),
    scenario("walk-index", &[1], "everybody by startIndex, pages of 1,000, nobody twice"),
    scenario("walk-cursor", &[1], "everybody by cursor, pages of 1,000, nobody twice"),
    scenario("create", &[1, 16, 64], "POST of a user, durable"),
    scenario("create-bulk", &[1], "Bulk of 1,000 POSTs"),
    scenario("patch", &[1, 16, 64], "PATCH of a user's title"),
    scenario("patch-nothing", &[1, 16], "PATCH that changes nothing"),
    scenario("disable", &[16], "PATCH of active, to and fro"),
    scenario("put", &[16], "PUT of a user with another title"),
    scenario("renew", &[16], "DELETE of a user and POST of the same again"),
    scenario("mixed", &[16], "nine GETs by id to one PATCH"),
    scenario("group-add", &[1], "add one member to a group of 100,000 (and of 1,000 and 10)"),
    scenario("group-remove", &[1], "remove one member of it"),
    scenario("group-head", &[16], "GET of that group without its members"),
    scenario("member-of", &[16], "filter members.value eq for one of its members"),
    scenario("group-post", &[1], "POST of a group of 100,000"),
    scenario("reconcile", &[16], "look up 100,000 people by externalId, change 2 in 100"),
    // These install the extension that knows protected people, and so come last.
    scenario(
        "get-masks",
        &[16],
        "GET by id through a view with a filter, 20 attributes, masks and leaving: inactive, beside a view of everything",
    ),
    scenario(
        "page-masks",
        &[16],
        "filter userName sw through the same two views, 100 of 1,000 hits by name.familyName",
    ),
];

/// How to measure.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// Rounds of each measurement.
    pub(super) rounds: usize,
    /// How long a measurement of a round takes, where it has no natural end.
    pub(super) time: Duration,
    /// Connections instead of the scenarios' own.
    pub(super) connections: Vec<usize>,
    /// Scenarios to run; all when empty.
    pub(super) only: Vec<String>,
}

impl Settings {
    fn wants(&self, scenario: &Scenario) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == scenario.name)
    }
}

/// A run over one register.
pub(super) struct Bench<'r> {
    /// The register.
    pub(super) world: &'r World,
    /// How to measure.
    pub(super) settings: &'r Settings,
    /// What was measured.
    pub(super) book: &'r RefCell<Book>,
    /// The raw handler.
    pub(super) handler: &'r Handler,
    /// The raw database, where the register is a file of ours.
    pub(super) raw: Option<Raw>,
    /// pgbench, where the register is a PostgreSQL database.
    pub(super) pgbench: Option<Pgbench>,
    /// OpenLDAP with the same people, if it is wanted.
    pub(super) peer: Option<Peer>,
    /// Readers' documents by id, fetched and checked once.
    pub(super) readers: OnceCell<Vec<Known>>,
    /// The groups of three sizes.
    pub(super) groups: OnceCell<group::Groups>,
    /// For whoever watches.
    pub(super) bar: ProgressBar,
}

/// One measurement of a scenario, to which samples are entered.
#[derive(Clone, Copy)]
pub(super) struct Run<'b> {
    pub(super) bench: &'b Bench<'b>,
    pub(super) name: &'static str,
    order: usize,
    /// Connections of this measurement.
    pub(super) connections: usize,
}

impl Bench<'_> {
    /// Runs every scenario that is wanted. One that cannot be measured is noted and does not stop the others.
    pub(super) async fn run(&self) {
        for (order, scenario) in SCENARIOS.iter().enumerate().filter(|(_, scenario)| self.settings.wants(scenario)) {
            let chosen = if scenario.connections.len() > 1 && !self.settings.connections.is_empty() {
                self.settings.connections.clone()
            } else {
                scenario.connections.to_vec()
            };
            // Of a register of a few there is nothing to do for all of them at once.
            let most = usize::try_from(self.world.pool()).unwrap_or(usize::MAX);
            let chosen: BTreeSet<usize> = chosen.into_iter().map(|connections| connections.min(most)).collect();
            for connections in chosen {
                self.bar.set_message(format!("{} × {connections}", scenario.name));
                let run = Run { bench: self, name: scenario.name, order, connections };
                if let Err(error) = run.perform().await {
                    let fault = format!("{connections} connections: {error:#}");
                    self.book.borrow_mut().refused.push((self.world.people.size, scenario.name, fault));
                    break;
                }
            }
            self.bar.inc(1);
        }
    }
}

impl Run<'_> {
    async fn perform(&self) -> anyhow::Result<()> {
        match self.name {
            "get" => read::get(self).await,
            "get-conditional" => read::get_conditional(self).await,
            "get-signed" => signed::get(self).await,
            "get-view" => view::get(self).await,
            "get-views" => view::get_of_many(self).await,
            "by-username" | "by-email" | "by-external-id" => read::look_up(self).await,
            "user-groups" => read::user_groups(self).await,
            "prefix-page" => read::prefix_page(self).await,
            "contains" => read::contains(self).await,
            "modified-since" => read::modified_since(self).await,
            "walk-index" | "walk-cursor" => walk::walk(self).await,
            "create" => write::create(self).await,
            "create-bulk" => write::create_bulk(self).await,
            "patch" => write::patch(self).await,
            "patch-nothing" => write::patch_nothing(self).await,
            "disable" => write::disable(self).await,
            "put" => write::put(self).await,
            "renew" => write::renew(self).await,
            "mixed" => write::mixed(self).await,
            "group-add" | "group-remove" => group::change_members(self).await,
            "group-head" => group::head(self).await,
            "member-of" => group::member_of(self).await,
            "group-post" => group::post(self).await,
            "reconcile" => night::reconcile(self).await,
            "get-masks" => masks::get(self).await,
            "page-masks" => masks::page(self).await,
            name => anyhow::bail!("{name} is no scenario"),
        }
    }

    /// Enters a sample of an arm.
    pub(super) fn enter(&self, arm: impl Into<String>, sample: Sample) {
        let (size, scenario) = (self.bench.world.people.size, self.name);
        let key = Key { size, order: self.order, scenario, connections: self.connections, arm: arm.into() };
        self.bench.book.borrow_mut().enter(key, sample);
    }

    /// Drives the server until the time is up.
    pub(super) async fn drive(
        &self,
        call: impl AsyncFn(&mut Connection, u64) -> anyhow::Result<u64>,
    ) -> anyhow::Result<Sample> {
        self.drive_until(Until::Time(self.bench.settings.time), call).await
    }

    /// Drives the server.
    pub(super) async fn drive_until(
        &self,
        until: Until,
        call: impl AsyncFn(&mut Connection, u64) -> anyhow::Result<u64>,
    ) -> anyhow::Result<Sample> {
        let subject = &self.bench.world.subject;
        drive(subject.address, self.connections, until, || subject.processor_time(), call).await
    }

    /// Asks the server what has a known answer.
    pub(super) async fn drive_known(&self, known: &[Known]) -> anyhow::Result<Sample> {
        anyhow::ensure!(!known.is_empty(), "nothing to ask");
        self.drive(async |connection, n| {
            if let Some(one) = known.get(scatter(n, known.len())) {
                one.check(&connection.send(&one.request).await?)?;
            }
            Ok(1)
        })
        .await
    }

    /// The same number of connections to the raw handler, answering as many bytes.
    pub(super) async fn drive_handler(&self, size: usize) -> anyhow::Result<Sample> {
        let handler = self.bench.handler;
        let request = format!("GET /{size} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes();
        let length = super::handler::body(size).len();
        let until = Until::Time(self.bench.settings.time);
        drive(
            handler.address,
            self.connections,
            until,
            || handler.processor_time(),
            async |connection: &mut Connection, _| {
                let answer = connection.send(&request).await?;
                verify::status(&answer, 200)?;
                anyhow::ensure!(answer.body.len() == length, "{} bytes", answer.body.len());
                Ok(1)
            },
        )
        .await
    }

    /// Fetches what will be asked, once, and has each answer checked.
    pub(super) async fn learn(
        &self,
        requests: Vec<Vec<u8>>,
        status: u16,
        check: impl Fn(usize, &serde_json::Value) -> anyhow::Result<()>,
    ) -> anyhow::Result<Vec<Known>> {
        let mut connection = Connection::open(self.bench.world.subject.address).await?;
        let mut known = Vec::with_capacity(requests.len());
        for (n, request) in requests.into_iter().enumerate() {
            let answer = connection.send(&request).await?;
            verify::status(&answer, status)?;
            let body = answer.body.to_vec();
            if !body.is_empty() {
                check(n, &serde_json::from_slice(&body)?)?;
            }
            known.push(Known { request, status, body });
        }
        Ok(known)
    }
}

/// Calls spread over a pool, each once before any twice (the step is a prime).
pub(super) fn scatter(call: u64, size: usize) -> usize {
    let size = (size as u64).max(1);
    usize::try_from(call.wrapping_mul(7_919) % size).unwrap_or_default()
}

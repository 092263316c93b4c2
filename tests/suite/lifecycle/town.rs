//! A register with the Person extension and a clock that a test moves: what a source, who pulls and an administrator do at
//! a moment, and what falls due until another.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use matrikel::directory::scope::Scopes;
use matrikel::directory::secret::Keyring;
use matrikel::directory::types::Document;
use matrikel::directory::views::Outlook;
use matrikel::directory::{Ctx, Error, Precondition, Random, Role, Written};
use matrikel::schedule::{Done, Pace, Scheduler};
use provisioning::calendar::{Calendar, date};
use scim::resource::Projection;
use scim::schema::{Definition, shipped};
use serde_json::{Value, json};

use crate::support::messages::patch;
use crate::support::register::{Register, body, id};

/// The Person extension.
pub(crate) const PERSON: &str = "urn:matrikel:scim:schemas:1.0:Person";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// A register on either database. Its days are those of Helsinki.
pub(crate) struct Town {
    pub(crate) register: Register,
    now: AtomicI64,
}

/// The beginning of a day in Helsinki, or an instant; µs since 1970.
pub(crate) fn at(text: &str) -> i64 {
    let calendar = Calendar::of("Europe/Helsinki").expect("a zone");
    match date(text) {
        Some(day) => calendar.start_of(day),
        None => text.parse::<jiff::Timestamp>().expect(text).as_microsecond(),
    }
}

impl Town {
    pub(crate) fn sqlite() -> Self {
        Town::of(Register::sqlite())
    }

    pub(crate) fn postgres() -> Self {
        Town::of(Register::postgres())
    }

    fn of(mut register: Register) -> Self {
        let ring = Keyring::of_text(&Keyring::line("test").expect("a key")).expect("a ring");
        register.directory = register.directory.clone().with_keys(ring);
        Town { register, now: AtomicI64::new(at("2026-01-05T08:00:00Z")) }
    }

    /// Installs the extension. Without it no policy can be saved.
    pub(crate) async fn install(&self) {
        self.install_shipped("person").await;
    }

    /// Installs an extension of User that is shipped.
    pub(crate) async fn install_shipped(&self, name: &str) {
        let directory = &self.register.directory;
        let ctx = self.admin();
        let person = shipped::of_name(name).expect("it is shipped");
        let parse = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
        directory.add_document(&ctx, Document::Schema, parse(person.schema)).await.expect("the schema");
        let added = parse(person.resource_type)["schemaExtensions"].take();
        let message = patch(&json!([{ "op": "add", "path": "schemaExtensions", "value": added }]));
        directory.patch_resource_type(&ctx, "User", message, &Precondition::none()).await.expect("the extension");
        directory.fresh_catalog(ctx.tenant, ctx.now).await.expect("the catalog");
    }

    /// The same with a policy for everybody, with what `more` says otherwise.
    pub(crate) async fn with_policy(&self, more: Value) -> String {
        self.install().await;
        let mut policy = json!({ "name": "all", "zone": "Europe/Helsinki" });
        for (name, value) in more.as_object().expect("an object") {
            policy[name] = value.clone();
        }
        let id = id(&self.create(&self.admin(), "Policy", policy).await.expect("a policy"));
        self.refresh().await;
        id
    }

    pub(crate) fn now(&self) -> i64 {
        self.now.load(Ordering::Relaxed)
    }

    /// Moves the clock without anything being done for it.
    pub(crate) fn sleep_until(&self, moment: &str) {
        self.now.store(at(moment), Ordering::Relaxed);
    }

    /// Moves the clock and does on the way what falls due.
    pub(crate) async fn wait_until(&self, moment: &str) -> Done {
        let done = self.look(at(moment), Pace::AsItWas).await;
        self.sleep_until(moment);
        done
    }

    /// Moves the clock, and only then does what has fallen due.
    pub(crate) async fn wake_at(&self, moment: &str) -> Done {
        self.sleep_until(moment);
        self.look(at(moment), Pace::AsItIs).await
    }

    async fn look(&self, until: i64, pace: Pace) -> Done {
        let scheduler = Scheduler::new(self.register.directory.clone(), &Random::os()).expect("a scheduler");
        let run = scheduler.run(self.register.tenant, || self.now(), until, pace, |_, _| {});
        run.await.expect("it is done").expect("nobody else is at it")
    }

    fn caller(&self, name: &str, scopes: Scopes) -> Ctx {
        let mut ctx = self.register.client(name);
        ctx.now = self.now();
        Arc::make_mut(&mut ctx.caller).scopes = scopes;
        let registry = self.register.directory.registry_of(ctx.tenant);
        let veil = self.register.directory.veil(ctx.tenant, &ctx.caller);
        ctx.views = Outlook::everything().views(&registry, veil);
        ctx
    }

    /// The tenant is looked at as a request would.
    pub(crate) async fn refresh(&self) {
        self.register.directory.fresh_catalog(self.register.tenant, self.now()).await.expect("the catalog");
    }

    pub(crate) fn source(&self, name: &str) -> Ctx {
        self.caller(name, Scopes::of(Role::Source))
    }

    pub(crate) fn hr(&self) -> Ctx {
        self.source("hr")
    }

    pub(crate) fn consumer(&self) -> Ctx {
        self.caller("cloud", Scopes::of(Role::Consumer))
    }

    pub(crate) fn admin(&self) -> Ctx {
        self.caller("admin", Scopes::admin())
    }

    pub(crate) fn with_scopes(&self, name: &str, scopes: &str) -> Ctx {
        self.caller(name, Scopes::parse(scopes.split(' ')).expect("scopes"))
    }

    pub(crate) fn definition(&self, kind: &str) -> Arc<Definition> {
        self.register.directory.registry_of(self.register.tenant).definition(kind).expect(kind).clone()
    }

    pub(crate) async fn create(&self, ctx: &Ctx, kind: &str, body: Value) -> Result<Written, Error> {
        let definition = self.definition(kind);
        self.register.directory.create(ctx, &definition, body, &Projection::whole(&definition)).await
    }

    pub(crate) async fn replace(&self, ctx: &Ctx, id: &str, body: Value) -> Result<Value, Error> {
        let definition = self.definition("User");
        let (projection, none) = (Projection::whole(&definition), Precondition::none());
        let written = self.register.directory.replace(ctx, &definition, id, body, &none, &projection);
        written.await.map(|written| self::body(&written))
    }

    pub(crate) async fn patch(&self, ctx: &Ctx, kind: &str, id: &str, operations: Value) -> Result<Value, Error> {
        let definition = self.definition(kind);
        let projection = Projection::whole(&definition);
        let (directory, none) = (&self.register.directory, Precondition::none());
        let written = directory.patch(ctx, &definition, id, patch(&operations), &none, &projection);
        written.await.map(|written| self::body(&written))
    }

    pub(crate) async fn delete(&self, ctx: &Ctx, kind: &str, id: &str) -> Result<(), Error> {
        let definition = self.definition(kind);
        self.register.directory.remove(ctx, &definition, id, &Precondition::none()).await.map(drop)
    }

    /// Enters somebody; it must succeed. The answer.
    pub(crate) async fn enter(&self, ctx: &Ctx, body: Value) -> Value {
        self::body(&self.create(ctx, "User", body).await.unwrap_or_else(|error| panic!("{error}")))
    }

    /// What a caller sees; `None`: 404.
    pub(crate) async fn seen(&self, ctx: &Ctx, id: &str) -> Option<Value> {
        let definition = self.definition("User");
        let (projection, none) = (Projection::whole(&definition), Precondition::none());
        match self.register.directory.fetch(ctx, &definition, id, &none, &projection).await {
            Ok(matrikel::directory::Fetched::Found { body, .. }) => Some(serde_json::from_str(&body).expect("JSON")),
            Ok(_) => panic!("not an answer for one User"),
            Err(Error::Scim(error)) if error.status == 404 => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// What an administrator sees of somebody who is there.
    pub(crate) async fn whole(&self, id: &str) -> Value {
        self.seen(&self.admin(), id).await.expect("there")
    }

    /// The document of somebody who is there, as it is stored.
    pub(crate) async fn stored(&self, id: &str) -> Value {
        let (tenant, id) = (self.register.tenant, id.parse().expect("an id"));
        let record = self.register.directory.store().read(move |reader| reader.record(tenant, id)).await;
        Value::Object(store::work::document_of(&record.expect("read").expect("there")).expect("a document"))
    }

    /// State, `active` and what comes next with its day, of somebody who is there.
    pub(crate) async fn state(&self, id: &str) -> String {
        told(&self.whole(id).await)
    }
}

/// State, `active` and what comes next with its day: `staged off, active 2026-03-02`.
pub(crate) fn told(user: &Value) -> String {
    let lifecycle = &user[PERSON]["lifecycle"];
    let state = lifecycle["state"].as_str().unwrap_or("none");
    let active = match user["active"].as_bool() {
        Some(true) => "on",
        Some(false) => "off",
        None => "unsaid",
    };
    let next = lifecycle["next"].as_str().map(|next| {
        let calendar = Calendar::of("Europe/Helsinki").expect("a zone");
        let day = calendar.day_of(at(next));
        format!(", {} {day}", lifecycle["nextState"].as_str().expect("a state"))
    });
    format!("{state} {active}{}", next.unwrap_or_default())
}

/// Somebody with employments: key, type, first and last day.
pub(crate) fn person(name: &str, employments: &[(&str, &str, &str, &str)]) -> Value {
    let employments = employments.iter().map(|(id, kind, start, end)| {
        let mut one = json!({ "employmentId": id, "type": kind, "start": start });
        if !end.is_empty() {
            one["end"] = json!(end);
        }
        one
    });
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", PERSON, ENTERPRISE],
        "userName": name,
        "externalId": format!("hr-{name}"),
        "emails": [{ "value": format!("{name}@kerava.example"), "primary": true }],
        ENTERPRISE: { "employeeNumber": format!("n-{name}") },
        PERSON: { "employments": employments.collect::<Vec<_>>() },
    })
}

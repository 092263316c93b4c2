//! A town whose telephone exchange and personnel system both speak of numbers.

use std::sync::Arc;

use matrikel::directory::scope::Scopes;
use matrikel::directory::{Ctx, Error, Role};
use serde_json::{Value, json};

use crate::lifecycle::town::Town;
use crate::support::register::{body, id};

/// The extension in which what is said is kept.
pub(super) const SOURCES: &str = "urn:matrikel:scim:schemas:1.0:Sources";
/// The numbers that both speak of.
pub(super) const MOBILE: &str = "phoneNumbers[type eq \"mobile\"]";

/// A town with an authority over mobile numbers: first the exchange, then personnel.
pub(super) struct Office {
    pub(super) town: Town,
    pub(super) authority: String,
    pub(super) exchange: Ctx,
    pub(super) hr: Ctx,
    pub(super) school: Ctx,
}

impl Office {
    /// With no policy.
    pub(super) async fn of(town: Town) -> Self {
        town.install().await;
        Office::open(town).await
    }

    /// With a policy for everybody.
    pub(super) async fn with_policy(town: Town) -> Self {
        town.with_policy(json!({})).await;
        Office::open(town).await
    }

    /// With a policy that makes names.
    pub(super) async fn naming(town: Town) -> Self {
        town.with_policy(json!({ "names": { "domain": "k.example" } })).await;
        Office::open(town).await
    }

    async fn open(town: Town) -> Self {
        town.install_shipped("sources").await;
        let (exchange, hr) = (client(&town, "exchange").await, client(&town, "personnel").await);
        let school = client(&town, "school").await;
        let mut office = Office { authority: String::new(), town, exchange, hr, school };
        let sources = json!([{ "value": "exchange" }, { "value": "personnel" }]);
        office.authority = id(&office.rule("mobile", json!([MOBILE]), sources).await.expect("an authority"));
        office.town.refresh().await;
        office
    }

    /// Says whose word counts for some values of users.
    pub(super) async fn rule(
        &self,
        name: &str,
        paths: Value,
        sources: Value,
    ) -> Result<matrikel::directory::Written, Error> {
        let authority = json!({ "name": name, "resourceType": "User", "paths": paths, "sources": sources });
        self.town.create(&self.town.admin(), "Authority", authority).await
    }

    /// The same client at the moment it is.
    pub(super) fn now(&self, ctx: &Ctx) -> Ctx {
        let mut ctx = ctx.clone();
        ctx.now = self.town.now();
        ctx.views = self.town.admin().views;
        ctx
    }

    /// Somebody with a mobile number that the caller says.
    pub(super) async fn enter(&self, ctx: &Ctx, name: &str, number: Option<&str>) -> String {
        let entered = self.town.enter(&self.now(ctx), user(name, number)).await;
        entered["id"].as_str().expect("an id").to_owned()
    }

    /// A client says a number by name, or takes its own away.
    pub(super) async fn say(&self, ctx: &Ctx, id: &str, number: Option<&str>) -> Result<Value, Error> {
        let operation = match number {
            Some(number) => json!([{ "op": "replace", "path": MOBILE, "value": mobile(number) }]),
            None => json!([{ "op": "remove", "path": MOBILE }]),
        };
        let has = self.town.stored(id).await["phoneNumbers"].as_array().is_some_and(|all| all.iter().any(is_mobile));
        let operation = match number {
            Some(number) if !has => json!([{ "op": "add", "path": "phoneNumbers", "value": [mobile(number)] }]),
            _ => operation,
        };
        self.town.patch(&self.now(ctx), "User", id, operation).await
    }

    /// The mobile number that shows.
    pub(super) async fn shown(&self, id: &str) -> Option<String> {
        let whole = self.town.whole(id).await;
        let all = whole["phoneNumbers"].as_array().cloned().unwrap_or_default();
        let numbers: Vec<&Value> = all.iter().filter(|one| is_mobile(one)).collect();
        assert!(numbers.len() < 2, "{all:?}");
        numbers.first().and_then(|one| one["value"].as_str()).map(str::to_owned)
    }

    /// Whose the mobile number is, and what each says: `source: exchange 1, personnel 2`.
    pub(super) async fn told(&self, id: &str) -> String {
        let admin = self.now(&self.town.admin());
        let definition = self.town.definition("User");
        let path = Some(MOBILE.to_owned());
        let told = self.town.register.directory.sources(&admin, &definition, id, path).await.expect("told");
        let value = &told["values"][0];
        let says = value["says"].as_array().expect("a list").iter();
        let says: Vec<String> =
            says.map(|one| format!("{} {}", text(&one["display"]), text(&one["values"][0]["value"]))).collect();
        format!("{}: {}", value["from"].as_str().unwrap_or("none"), says.join(", "))
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

fn is_mobile(number: &Value) -> bool {
    number["type"] == "mobile"
}

/// One mobile number.
pub(super) fn mobile(number: &str) -> Value {
    json!({ "value": number, "type": "mobile" })
}

/// Somebody with a work number, and maybe a mobile one.
pub(super) fn user(name: &str, number: Option<&str>) -> Value {
    let mut numbers = vec![json!({ "value": "+358 9 1", "type": "work" })];
    numbers.extend(number.map(mobile));
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": name, "externalId": format!("k-{name}"),
        "phoneNumbers": numbers,
    })
}

async fn client(town: &Town, name: &str) -> Ctx {
    let written =
        town.create(&town.admin(), "Client", json!({ "name": name, "role": "source" })).await.expect("a client");
    let mut ctx = town.source(name);
    Arc::make_mut(&mut ctx.caller).id = body(&written)["id"].as_str().expect("an id").parse().expect("an id");
    Arc::make_mut(&mut ctx.caller).domain = ctx.caller.id;
    Arc::make_mut(&mut ctx.caller).scopes = Scopes::of(Role::Source);
    ctx
}

/// Status and reason of what was refused.
pub(super) fn refused(error: &Error) -> (u16, String) {
    match error {
        Error::Scim(error) => (error.status, error.detail.to_string()),
        Error::Denied(detail) => (403, detail.clone()),
        other => panic!("not a refusal: {other}"),
    }
}

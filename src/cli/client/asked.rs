//! What `matrikel client create` and `set` are asked for, as attributes of a client.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use clap::ValueEnum;
use serde_json::{Map, Value, json};

use crate::auth::issue;
use crate::config::ConfigError;
use crate::directory::Role;
use crate::directory::scope::Scopes;

/// What a client may do, and how much of it.
#[derive(clap::Args)]
pub(in crate::cli) struct Traits {
    /// A scope, in the place of what the role stands for: User:read, Group:write, *:read, *:write or admin
    #[arg(long, value_name = "SCOPE")]
    scope: Vec<String>,
    /// Something that it may write, for types that it may not write as a whole
    #[arg(long, value_name = "TYPE:PATH")]
    write: Vec<String>,
    /// What becomes of a request that would change more than that
    #[arg(long, value_enum)]
    outside: Option<OutsideName>,
    /// Which members of a group it takes out
    #[arg(long, value_enum)]
    memberships: Option<MembershipsName>,
    /// Name of the view through which it sees the register
    #[arg(long, value_name = "VIEW")]
    pub(super) view: Option<String>,
    /// The account domain of the users that it creates, such as education
    #[arg(long, value_name = "DOMAIN")]
    account_domain: Option<String>,
    /// Who names the users that it creates
    #[arg(long, value_enum)]
    names: Option<NamesName>,
    /// A network that it asks from, such as 192.0.2.0/24
    #[arg(long, value_name = "NETWORK")]
    network: Vec<String>,
    /// Requests a second in the long run
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: Option<u32>,
    /// Requests at once after a pause
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    burst: Option<u32>,
    /// Requests under way at a time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    concurrent: Option<u32>,
}

/// What becomes of a request that goes too far.
#[derive(Clone, Copy, ValueEnum)]
enum OutsideName {
    /// 403, and nothing is changed
    Refuse,
    /// It is carried out without that
    Ignore,
}

/// Whose members a client takes out.
#[derive(Clone, Copy, ValueEnum)]
enum MembershipsName {
    /// Those that it has put there itself
    Own,
    /// Everybody's
    All,
}

/// Who names users.
#[derive(Clone, Copy, ValueEnum)]
enum NamesName {
    /// The client itself
    Pushed,
    /// The policy that covers them
    Generated,
}

impl Traits {
    /// The role for reports, where only scopes are given.
    pub(super) fn role(&self) -> Role {
        match Scopes::parse(self.scope.iter().map(String::as_str)) {
            Ok(scopes) if scopes.is_admin() => Role::Administrator,
            Ok(scopes) if scopes.allow_writing() => Role::Source,
            _ => Role::Consumer,
        }
    }

    /// The attributes that are given.
    pub(super) fn values(&self) -> anyhow::Result<Map<String, Value>> {
        let mut values = Map::new();
        let mut add = |name: &str, value: Value| drop(values.insert(name.to_owned(), value));
        if !self.scope.is_empty() {
            add("scopes", json!(self.scope));
        }
        if !self.write.is_empty() {
            add("writes", written(&self.write)?);
        }
        if let Some(outside) = self.outside {
            add("outside", if matches!(outside, OutsideName::Ignore) { "ignore".into() } else { "refuse".into() });
        }
        if let Some(of) = self.memberships {
            add("memberships", if matches!(of, MembershipsName::Own) { "own".into() } else { "all".into() });
        }
        if let Some(domain) = &self.account_domain {
            add("accountDomain", domain.as_str().into());
        }
        if let Some(names) = self.names {
            add("names", if matches!(names, NamesName::Generated) { "generated".into() } else { "pushed".into() });
        }
        if !self.network.is_empty() {
            add("networks", json!(self.network));
        }
        let rate = [("requestsPerSecond", self.rate), ("burst", self.burst), ("concurrent", self.concurrent)];
        let rate: Map<String, Value> =
            rate.into_iter().filter_map(|(name, number)| Some((name.to_owned(), number?.into()))).collect();
        if !rate.is_empty() {
            add("rateLimit", Value::Object(rate));
        }
        Ok(values)
    }
}

fn written(texts: &[String]) -> anyhow::Result<Value> {
    let mut of: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for text in texts {
        let (kind, path) = text
            .split_once(':')
            .ok_or_else(|| ConfigError::new(format!("{text:?} is no TYPE:PATH, such as User:name.familyName.")))?;
        of.entry(kind).or_default().push(path);
    }
    Ok(of.into_iter().map(|(kind, paths)| json!({ "type": kind, "paths": paths })).collect())
}

/// The rule of a certificate: that of a PEM file, or as `name=value`.
pub(super) fn rule_of(text: &str) -> anyhow::Result<Value> {
    if Path::new(text).is_file() {
        let pem = std::fs::read(text).with_context(|| format!("{text} cannot be read"))?;
        return issue::pin_of(&pem).with_context(|| format!("{text} is no certificate"));
    }
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| ConfigError::new(format!("{text:?} is neither a file nor a rule such as dns=hr.example.se.")))?;
    // A member of a federation: what the federation is called here, and the member's identifier.
    if let ("entity", Some((federation, entity))) = (name, value.split_once(' ')) {
        return Ok(json!({ "entity": entity, "federation": federation }));
    }
    Ok(json!({ name: value }))
}

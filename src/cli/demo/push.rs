//! The source's part: people, then who leads whom, then units with their members, a few requests at a time. Whatever is
//! there already, from a start that was interrupted, is left as it is.

use std::collections::HashMap;

use anyhow::Context;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::client::{Client, id};
use super::municipality::{Level, Municipality};

const CONNECTIONS: usize = 8;
const PAGE: usize = 500;
const MANAGER: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager";

/// Pushes the municipality. `bar` makes a progress bar of a label and a length.
pub(super) async fn push(
    client: &Client,
    town: &Municipality,
    bar: impl Fn(&'static str, usize) -> ProgressBar,
) -> anyhow::Result<()> {
    let people = push_people(client, town, bar("Pushing people", town.people.len())).await?;
    push_managers(client, town, &people, bar("Pushing who leads whom", town.people.len())).await?;
    push_units(client, town, &people, bar("Pushing units", town.units.len())).await
}

/// Creates the people and returns their ids in order.
async fn push_people(client: &Client, town: &Municipality, bar: ProgressBar) -> anyhow::Result<Vec<String>> {
    let known = known(client, "Users").await?;
    let ids = stream::iter(&town.people)
        .map(|person| {
            let (known, bar) = (&known, &bar);
            async move {
                let resource = person.to_scim();
                let id = match known.get(external_id(&resource)?) {
                    Some(id) => id.clone(),
                    None => match client.create("Users", &resource).await? {
                        Some(id) => id,
                        None => find_one(client, "Users", &format!("userName eq {}", json!(person.user_name))).await?,
                    },
                };
                bar.inc(1);
                anyhow::Ok(id)
            }
        })
        .buffered(CONNECTIONS)
        .try_collect()
        .await?;
    bar.finish();
    Ok(ids)
}

async fn push_managers(
    client: &Client,
    town: &Municipality,
    people: &[String],
    bar: ProgressBar,
) -> anyhow::Result<()> {
    stream::iter(town.people.iter().zip(people))
        .map(|(person, id)| {
            let manager = person.manager.and_then(|manager| people.get(manager));
            let bar = &bar;
            async move {
                if let Some(manager) = manager {
                    let operations = json!([{ "op": "add", "path": MANAGER, "value": { "value": manager } }]);
                    client.patch("Users", id, &operations).await?;
                }
                bar.inc(1);
                anyhow::Ok(())
            }
        })
        .buffer_unordered(CONNECTIONS)
        .try_collect::<Vec<()>>()
        .await?;
    bar.finish();
    Ok(())
}

/// Creates the units from the lowest level upwards, so that a unit's parts exist before it names them as members.
async fn push_units(client: &Client, town: &Municipality, people: &[String], bar: ProgressBar) -> anyhow::Result<()> {
    let known = known(client, "Groups").await?;
    let (staff, parts) = (town.people_by_unit(), town.units_by_parent());
    let mut units: HashMap<usize, String> = HashMap::new();
    for level in [Level::Workplace, Level::Department, Level::Sector, Level::Town] {
        let numbers: Vec<usize> =
            town.units.iter().enumerate().filter(|(_, unit)| unit.level == level).map(|(number, _)| number).collect();
        let done: Vec<(usize, String)> = stream::iter(numbers)
            .map(|number| {
                let (known, units, bar) = (&known, &units, &bar);
                let members = staff.get(number).into_iter().flatten().filter_map(|person| people.get(*person));
                let parts = parts.get(number).into_iter().flatten().filter_map(|part| units.get(part));
                let members: Vec<Value> = members.chain(parts).map(|id| json!({ "value": id })).collect();
                async move {
                    let mut resource = town.units.get(number).context("a unit that is not there")?.to_scim();
                    let id = match known.get(external_id(&resource)?) {
                        Some(id) => id.clone(),
                        None => {
                            if let Some(resource) = resource.as_object_mut() {
                                resource.insert("members".to_owned(), members.into());
                            }
                            client.create("Groups", &resource).await?.context("a unit's name is taken")?
                        }
                    };
                    bar.inc(1);
                    anyhow::Ok((number, id))
                }
            })
            .buffer_unordered(CONNECTIONS)
            .try_collect()
            .await?;
        units.extend(done);
    }
    bar.finish();
    Ok(())
}

/// What the source has created before: ids by externalId, which is the source's own.
async fn known(client: &Client, endpoint: &str) -> anyhow::Result<HashMap<String, String>> {
    let mut known = HashMap::new();
    let mut start = 1;
    loop {
        let page = client.page(endpoint, "externalId", start, PAGE).await?;
        for resource in &page.resources {
            if let Some(external) = resource.get("externalId").and_then(Value::as_str) {
                known.insert(external.to_owned(), id(resource)?);
            }
        }
        start += page.resources.len();
        if page.resources.is_empty() || start > page.total {
            return Ok(known);
        }
    }
}

async fn find_one(client: &Client, endpoint: &str, filter: &str) -> anyhow::Result<String> {
    let found = client.find(endpoint, filter).await?;
    found.into_iter().next().context("a resource whose unique value is taken cannot be found")
}

fn external_id(resource: &Value) -> anyhow::Result<&str> {
    resource.get("externalId").and_then(Value::as_str).context("a resource without externalId")
}

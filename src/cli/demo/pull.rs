//! The consumer's part: everything, page by page, each resource once.

use std::collections::HashSet;

use anyhow::ensure;
use indicatif::ProgressBar;

use super::client::{Client, id};
use super::municipality::Municipality;

const PAGE: usize = 200;

/// Pulls people and units, and fails when fewer arrive than were pushed, or one twice.
pub(super) async fn pull(
    client: &Client,
    town: &Municipality,
    bar: impl Fn(&'static str, usize) -> ProgressBar,
) -> anyhow::Result<()> {
    pull_all(client, "Users", "userName,name,emails,active", town.people.len(), bar("Pulling people", 0)).await?;
    pull_all(client, "Groups", "displayName,members", town.units.len(), bar("Pulling units", 0)).await
}

async fn pull_all(
    client: &Client,
    endpoint: &str,
    attributes: &str,
    expected: usize,
    bar: ProgressBar,
) -> anyhow::Result<()> {
    let mut seen = HashSet::new();
    let mut start = 1;
    loop {
        let page = client.page(endpoint, attributes, start, PAGE).await?;
        bar.set_length(u64::try_from(page.total)?);
        for resource in &page.resources {
            ensure!(seen.insert(id(resource)?), "/{endpoint} answered a resource on two pages");
        }
        bar.inc(u64::try_from(page.resources.len())?);
        start += page.resources.len();
        if start > page.total {
            break;
        }
        ensure!(!page.resources.is_empty(), "/{endpoint} answered an empty page before the end");
    }
    bar.finish();
    // More is fine: whoever has the tokens may have added some.
    ensure!(seen.len() >= expected, "pushed {expected} to /{endpoint} but pulled only {}", seen.len());
    Ok(())
}

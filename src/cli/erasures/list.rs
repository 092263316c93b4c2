//! Lists of erasures as files: for each tenant a line that says whose it is, a line for each erasure, and a line that says how
//! many there are, so that one that was cut short is known. Several may stand in one file, also of the same tenant. Nothing in
//! it tells of a person but an id that leads nowhere.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use provisioning::calendar::instant;
use serde::{Deserialize, Serialize};

use crate::directory::ResourceId;
use crate::directory::erasure::Listed;

/// What the first line of each tenant says the file is.
const KIND: &str = "matrikel erasures 1";

#[derive(Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Line {
    Head { list: String, tenant: String },
    Erased { id: String, kind: String, at: String },
    End { end: String, count: u64 },
}

/// What was erased, by the short name of the tenant and the id; type and moment (µs since 1970).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct Lists(BTreeMap<String, BTreeMap<ResourceId, (String, i64)>>);

impl Lists {
    /// Has a tenant stand in it, also one that has erased nobody.
    pub(in crate::cli) fn name(&mut self, tenant: &str) {
        self.0.entry(tenant.to_owned()).or_default();
    }

    /// Adds an erasure. What stands there already stays as it is.
    pub(in crate::cli) fn add(&mut self, tenant: &str, id: ResourceId, kind: String, at: i64) {
        self.0.entry(tenant.to_owned()).or_default().entry(id).or_insert((kind, at));
    }

    /// Adds what another says.
    pub(in crate::cli) fn extend(&mut self, other: Lists) {
        for (tenant, list) in other.0 {
            self.name(&tenant);
            list.into_iter().for_each(|(id, (kind, at))| self.add(&tenant, id, kind, at));
        }
    }

    /// The tenants that stand in it.
    pub(in crate::cli) fn tenants(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// What a tenant has erased; `None`: it does not stand here.
    pub(in crate::cli) fn of(&self, tenant: &str) -> Option<Vec<Listed>> {
        let list = self.0.get(tenant)?.iter();
        Some(list.map(|(id, (kind, at))| Listed { id: *id, kind: kind.clone(), at: *at }).collect())
    }

    /// How many erasures there are in all.
    pub(in crate::cli) fn len(&self) -> usize {
        self.0.values().map(BTreeMap::len).sum()
    }

    /// Reads a file. One that was cut short or altered is refused, with the line.
    pub(in crate::cli) fn read(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
        Self::parse(BufReader::new(file)).with_context(|| format!("{} is no whole list of erasures", path.display()))
    }

    fn parse(file: impl BufRead) -> anyhow::Result<Self> {
        let mut lists = Lists::default();
        let mut open: Option<(String, u64)> = None;
        for (n, line) in (1_u64..).zip(file.lines()) {
            let line = serde_json::from_str::<Line>(&line?).with_context(|| format!("line {n}"))?;
            open = match (line, open) {
                (Line::Head { list, tenant }, None) => {
                    ensure!(list == KIND, "line {n}: it is not of the form {KIND:?}");
                    lists.name(&tenant);
                    Some((tenant, 0))
                }
                (Line::Erased { id, kind, at }, Some((tenant, count))) => {
                    let id = id.parse().ok().with_context(|| format!("line {n}: {id} is no id"))?;
                    let at = at.parse::<jiff::Timestamp>().with_context(|| format!("line {n}"))?;
                    lists.add(&tenant, id, kind, at.as_microsecond());
                    Some((tenant, count + 1))
                }
                (Line::End { end, count }, Some((tenant, counted))) if end == tenant => {
                    ensure!(count == counted, "line {n}: {count} were written, and {counted} are there");
                    None
                }
                _ => bail!("line {n} does not follow from the line before it"),
            };
        }
        if let Some((tenant, _)) = open {
            bail!("it ends within the list of {tenant}");
        }
        ensure!(!lists.0.is_empty(), "it is empty");
        Ok(lists)
    }

    /// Writes them as lines.
    pub(in crate::cli) fn write(&self, mut out: impl Write) -> anyhow::Result<()> {
        let mut put = |line: &Line| -> anyhow::Result<()> { Ok(writeln!(out, "{}", serde_json::to_string(line)?)?) };
        for (tenant, list) in &self.0 {
            put(&Line::Head { list: KIND.to_owned(), tenant: tenant.clone() })?;
            for (id, (kind, at)) in list {
                let at = instant(*at).context("a moment beyond all calendars")?;
                put(&Line::Erased { id: id.to_string(), kind: kind.clone(), at })?;
            }
            put(&Line::End { end: tenant.clone(), count: list.len() as u64 })?;
        }
        Ok(out.flush()?)
    }

    /// Writes them as a file, which is there whole and on disk, or as it was before.
    pub(in crate::cli) fn store(&self, path: &Path) -> anyhow::Result<()> {
        let part = PathBuf::from(format!("{}.part-{}", path.display(), std::process::id()));
        let written = (|| {
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
            self.write(BufWriter::new(&file))?;
            file.sync_all()?;
            fs::rename(&part, path)?;
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            Ok(File::open(folder)?.sync_all()?)
        })();
        if written.is_err() {
            // The error is what matters, not that its remains cannot be removed.
            let _ = fs::remove_file(&part);
        }
        written.map_err(|error: anyhow::Error| error.context(format!("{} cannot be written", path.display())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0197c0de-0000-7000-8000-000000000001";

    fn lists() -> Lists {
        let mut lists = Lists::default();
        lists.name("empty");
        lists.add("storstad", ID.parse().expect("an id"), "User".to_owned(), 1_777_672_800_000_001);
        lists
    }

    fn text(lists: &Lists) -> String {
        let mut text = Vec::new();
        lists.write(&mut text).expect("written");
        String::from_utf8(text).expect("text")
    }

    #[test]
    fn a_list_is_read_as_it_was_written_and_several_become_one() {
        let text = text(&lists());
        let twice = Lists::parse(format!("{text}{text}").as_bytes()).expect("read");
        assert_eq!((&twice, twice.len()), (&lists(), 1));
        assert_eq!(twice.tenants().collect::<Vec<_>>(), ["empty", "storstad"]);
        let one = twice.of("storstad").expect("it is there").remove(0);
        assert_eq!((one.id.to_string().as_str(), one.kind.as_str(), one.at), (ID, "User", 1_777_672_800_000_001));
        assert_eq!((twice.of("empty"), twice.of("other")), (Some(Vec::new()), None));
        let mut more = Lists::default();
        more.add("storstad", ID.parse().expect("an id"), "User".to_owned(), 7);
        let mut known = lists();
        known.extend(more);
        assert_eq!(known, lists(), "since when, the first one said");
    }

    #[test]
    fn what_is_no_whole_list_is_refused() {
        let whole = text(&lists());
        let lines: Vec<&str> = whole.lines().collect();
        let without = |n: usize| {
            let left = lines.iter().enumerate().filter(|(at, _)| *at != n);
            left.map(|(_, line)| format!("{line}\n")).collect::<String>()
        };
        let cut: Vec<String> = (0..lines.len()).map(without).collect();
        let table = [
            String::new(),
            whole.replace("erasures 1", "erasures 2"),
            whole.replace(ID, "somebody"),
            whole.replace("2026-", "once-"),
            whole.replace("\"kind\"", "\"name\":\"Saga\",\"kind\""),
            whole.replace("\"count\":1", "\"count\":2"),
            whole[..whole.len() - 3].to_owned(),
            cut.concat(),
        ];
        for text in table.iter().chain(&cut) {
            assert!(Lists::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}

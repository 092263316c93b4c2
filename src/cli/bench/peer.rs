//! OpenLDAP with the same people, as another server that keeps them durably: searched, added to and changed by the same
//! driver on the same machine. It does less: no JSON, no filters of SCIM, no history.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use super::ldap::{self, Directory, Wanted};
use super::machine;
use super::measure::{Link, Sample, Until, drive};
use super::people::People;
use super::subject::{end, start};
use super::wire::find;

/// A running slapd.
pub(super) struct Peer {
    address: SocketAddr,
    child: Child,
    people: People,
    time: Duration,
}

impl Peer {
    /// Loads the people and starts it. `tool` is `tools/slapd`.
    pub(super) async fn start(tool: &Path, folder: &Path, people: People, time: Duration) -> anyhow::Result<Self> {
        let place = folder.join(format!("slapd-{}", people.size));
        let ldif = folder.join("people.ldif");
        write_ldif(&ldif, people)?;
        let tool: PathBuf = tool.canonicalize().with_context(|| format!("{} is not there", tool.display()))?;
        let load =
            Command::new(&tool).arg("load").arg(&place).stdin(File::open(&ldif)?).stderr(Stdio::piped()).output()?;
        if !load.status.success() {
            bail!("the directory could not be loaded: {}", String::from_utf8_lossy(&load.stderr).trim());
        }
        std::fs::remove_file(&ldif)?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mut command = Command::new(&tool);
        let child = start(command.arg("run").arg(&place).arg(port.to_string()), &folder.join("slapd.log"))?;
        let peer = Peer { address: (Ipv4Addr::LOCALHOST, port).into(), child, people, time };
        for _ in 0..500 {
            if Directory::open(peer.address).await.is_ok() {
                return Ok(peer);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!("the directory did not come up")
    }

    async fn drive(
        &self,
        connections: usize,
        call: impl AsyncFn(&mut Directory, u64) -> anyhow::Result<u64>,
    ) -> anyhow::Result<Sample> {
        let used = || machine::processor_time(self.child.id()).unwrap_or_default();
        drive(self.address, connections, Until::Time(self.time), used, call).await
    }

    /// Searches by uid.
    pub(super) async fn search(&self, connections: usize, numbers: &[u64]) -> anyhow::Result<Sample> {
        self.drive(connections, async |directory, n| self.find(directory, numbers, n).await).await
    }

    async fn find(&self, directory: &mut Directory, numbers: &[u64], n: u64) -> anyhow::Result<u64> {
        let number = *numbers.get(super::scenario::scatter(n, numbers.len())).context("nobody")?;
        let outcome = directory.send(&ldap::search(&Wanted::Equal(&self.people.user_name(number)))).await?;
        ensure!((outcome.code, outcome.entries) == (0, 1), "{outcome:?}");
        ensure!(find(&outcome.last, self.people.external_id(number).as_bytes()).is_some(), "somebody else");
        Ok(1)
    }

    /// Searches by a part of the uid that some share.
    pub(super) async fn contains(&self, connections: usize, questions: u64) -> anyhow::Result<Sample> {
        self.drive(connections, async |directory, n| {
            let mark = n % questions;
            let outcome = directory.send(&ldap::search(&Wanted::Part(&self.people.mark(mark)))).await?;
            let wanted = self.people.marked(mark).count() as u64;
            ensure!((outcome.code, outcome.entries) == (0, wanted), "{} entries, {}", outcome.entries, outcome.code);
            Ok(1)
        })
        .await
    }

    /// Adds people, whose numbers `newcomer` gives.
    pub(super) async fn add(&self, connections: usize, newcomer: impl Fn() -> u64) -> anyhow::Result<Sample> {
        self.drive(connections, async |directory, _| {
            let number = newcomer();
            let request = ldap::add(&name(self.people, number), &attributes(self.people, number));
            let outcome = directory.send(&request).await?;
            ensure!(outcome.code == 0, "an add was answered {}", outcome.code);
            Ok(1)
        })
        .await
    }

    /// Nine searches to one change.
    pub(super) async fn mixed(
        &self,
        connections: usize,
        numbers: &[u64],
        newcomer: impl Fn() -> u64,
    ) -> anyhow::Result<Sample> {
        self.drive(connections, async |directory, n| {
            if n % 10 != 9 {
                return self.find(directory, numbers, n).await;
            }
            let number = *numbers.get(super::scenario::scatter(n, numbers.len())).context("nobody")?;
            let title = format!("Title {}", newcomer());
            let outcome = directory.send(&ldap::replace(&name(self.people, number), "title", &title)).await?;
            ensure!(outcome.code == 0, "a modify was answered {}", outcome.code);
            Ok(1)
        })
        .await
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn name(people: People, number: u64) -> String {
    format!("uid={},ou=people,dc=bench,dc=test", people.user_name(number))
}

/// What an inetOrgPerson can hold of a person.
fn attributes(people: People, number: u64) -> Vec<(&'static str, Vec<String>)> {
    let user = people.user(number);
    let text = |pointer: &str| user.pointer(pointer).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    let enterprise = "/urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
    vec![
        ("objectClass", vec!["inetOrgPerson".to_owned()]),
        ("uid", vec![people.user_name(number)]),
        ("cn", vec![text("/displayName")]),
        ("sn", vec![text("/name/familyName")]),
        ("givenName", vec![text("/name/givenName")]),
        ("displayName", vec![text("/displayName")]),
        ("title", vec![text("/title")]),
        ("employeeType", vec![text("/userType")]),
        ("preferredLanguage", vec![text("/preferredLanguage")]),
        ("mail", vec![people.user_name(number), people.home_email(number)]),
        ("telephoneNumber", vec![format!("+46 31 390 06 {:02}", number % 100)]),
        ("employeeNumber", vec![people.external_id(number)]),
        (
            "departmentNumber",
            vec![text(&format!("{enterprise}/department")), text(&format!("{enterprise}/costCenter"))],
        ),
        ("o", vec![text(&format!("{enterprise}/organization"))]),
        ("ou", vec![text(&format!("{enterprise}/division"))]),
    ]
}

fn write_ldif(file: &Path, people: People) -> anyhow::Result<()> {
    use base64::Engine as _;
    let mut out = BufWriter::new(File::create(file)?);
    for number in 0..people.size {
        writeln!(out, "dn: {}", name(people, number))?;
        for (name, values) in attributes(people, number) {
            for value in values {
                // Encoded whatever it holds, so that no letter needs care.
                writeln!(out, "{name}:: {}", base64::engine::general_purpose::STANDARD.encode(value))?;
            }
        }
        writeln!(out)?;
    }
    Ok(out.flush()?)
}

//! The server that is measured: a child process of this very program over a register of its own, or one that runs
//! already. A child is stopped when its value goes.

use std::fs::{self, File};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;

use super::machine;
use super::wire::Writer;

/// Larger than the default, so that a group of 100,000 fits in one POST.
const BODY_LIMIT: &str = "16777216";
/// Without one no access token is made. Nobody lies in the register but people who were made up.
const MASTER_KEY: &str = "bench:6d617472696b656c206d6561737572657320697473656c66206f6e20697473fa";
/// Says where it listens and nothing of each request.
const LOG_LEVEL: &str = "warn,matrikel::cli=info";
/// How long a child may take to answer, and to stop.
const PATIENCE: Duration = Duration::from_secs(120);
const TICK: Duration = Duration::from_millis(10);

/// A running server.
pub(super) struct Subject {
    /// Where it listens.
    pub(super) address: SocketAddr,
    /// Writes requests to it.
    pub(super) writer: Writer,
    /// Its process, if that is on this machine and known.
    pub(super) process: Option<u32>,
    child: Option<Child>,
    /// The database and the folder it works in, if it was started here.
    own: Option<(String, PathBuf)>,
}

impl Subject {
    /// Starts `matrikel serve` over a database that is ready.
    pub(super) async fn start(
        folder: &Path,
        database_url: &str,
        token: &str,
        variables: &[(String, String)],
    ) -> anyhow::Result<Self> {
        let log = folder.join("server.log");
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["serve", "--listen", "127.0.0.1:0"]).current_dir(folder).env_clear();
        command.env("DATABASE_URL", database_url).env("MATRIKEL_BODY_LIMIT", BODY_LIMIT);
        command.env("MATRIKEL_SECRETS_KEYS", MASTER_KEY);
        command.env("MATRIKEL_LOG_FORMAT", "json").env("MATRIKEL_LOG_LEVEL", LOG_LEVEL);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        let mut child = start(&mut command, &log)?;
        let base_url = tokio::time::timeout(PATIENCE, async {
            loop {
                if let Some(url) = announced(&log) {
                    return Ok(url);
                }
                if let Some(status) = child.try_wait()? {
                    bail!("the server ended ({status}): {}", fs::read_to_string(&log).unwrap_or_default().trim());
                }
                tokio::time::sleep(TICK).await;
            }
        });
        let base_url = base_url.await.context("the server did not come up")??;
        let mut subject = Subject::running(&base_url, token, Some(child.id()))?;
        subject.child = Some(child);
        subject.own = Some((database_url.to_owned(), folder.to_owned()));
        Ok(subject)
    }

    /// A server that runs already.
    pub(super) fn running(base_url: &str, token: &str, process: Option<u32>) -> anyhow::Result<Self> {
        let rest = base_url.strip_prefix("http://").context("the URL must begin with http://")?;
        let (host, path) = rest.split_once('/').unwrap_or((rest, "scim/v2"));
        let address = host.to_socket_addrs().ok().and_then(|mut addresses| addresses.next());
        let address = address.with_context(|| format!("{host} is no host and port"))?;
        let base = format!("/{}", path.trim_end_matches('/'));
        let writer = Writer { base, host: host.to_owned(), token: token.to_owned() };
        Ok(Subject { address, writer, process, child: None, own: None })
    }

    /// Starts a command of the operator's on the server's database; `None`: that is none of ours.
    pub(super) fn command(&self, arguments: &[&str]) -> anyhow::Result<Option<Aside>> {
        let Some((database_url, folder)) = &self.own else { return Ok(None) };
        let log = folder.join("command.log");
        let mut command = Command::new(std::env::current_exe()?);
        command.args(arguments).current_dir(folder).env_clear();
        command.env("DATABASE_URL", database_url).env("MATRIKEL_SECRETS_KEYS", MASTER_KEY);
        Ok(Some(Aside(start(&mut command, &log)?)))
    }

    /// Processor time so far, in µs; 0 when unknown.
    pub(super) fn processor_time(&self) -> f64 {
        self.process.and_then(machine::processor_time).unwrap_or_default()
    }

    /// Asks the server to stop and waits until it has.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        let Some(child) = self.child.as_mut() else { return Ok(()) };
        interrupt(child.id())?;
        let ended = tokio::time::timeout(PATIENCE, async {
            while child.try_wait()?.is_none() {
                tokio::time::sleep(TICK).await;
            }
            anyhow::Ok(())
        });
        ended.await.context("the server did not stop")?
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            end(child);
        }
    }
}

/// A command beside the server. It ends with its value at the latest.
pub(super) struct Aside(Child);

impl Drop for Aside {
    fn drop(&mut self) {
        end(&mut self.0);
    }
}

/// Starts a child whose output goes to a file.
pub(super) fn start(command: &mut Command, log: &Path) -> anyhow::Result<Child> {
    let output = File::create(log).with_context(|| format!("{} cannot be made", log.display()))?;
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    Ok(command.spawn()?)
}

/// Ends a child at once.
pub(super) fn end(child: &mut Child) {
    // It may have ended by itself; nothing is left to do then.
    let _ = child.kill();
    let _ = child.wait();
}

/// SIGTERM, by the system's own command: no signal can be sent without unsafe code otherwise.
fn interrupt(process: u32) -> anyhow::Result<()> {
    let status = Command::new("kill").args(["-TERM", &process.to_string()]).status().context("no command kill")?;
    if status.success() { Ok(()) } else { bail!("the server could not be asked to stop") }
}

/// The base URL in the line that says where the server listens.
fn announced(log: &Path) -> Option<String> {
    let text = fs::read_to_string(log).ok()?;
    text.lines().find_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        (line.get("message")? == "listening").then(|| line.get("base_url")?.as_str().map(str::to_owned))?
    })
}

/// A folder that goes with its value.
pub(super) struct Folder(PathBuf);

impl Folder {
    /// A new folder, readable by its owner alone.
    pub(super) fn new(place: &Path, name: &str) -> anyhow::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let path = place.join(format!("matrikel-bench-{}-{name}", std::process::id()));
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("{} cannot be made", path.display()))?;
        Ok(Folder(path))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is left to the system's own cleaning of temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}

//! Structured logs on standard error, as text for people or JSON for machines; lines below a warning gather for some
//! milliseconds and are written together. What may be in them is decided where they
//! are written: route templates, statuses, durations, ids and client names; never a body, a query, a filter or a token.

use std::backtrace::Backtrace;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Log, LogFormat};

/// The HTTP library tells of its own starts and stops, which say nothing that ours do not. The configured level comes
/// after, so that it can say otherwise.
const QUIET: &str = "actix_server=warn,actix_http=warn,mio=warn,hyper=warn,reqwest=warn";

/// How long a line that is no warning may wait for others.
const GATHER: Duration = Duration::from_millis(20);
/// So many bytes are not gathered further.
const FULL: usize = 64 * 1024;

/// Lines that are still to be written. A call of the system for each would cost more than a line itself.
#[derive(Debug, Default)]
struct Pending {
    lines: Mutex<Vec<u8>>,
    waiting: Condvar,
}

static PENDING: OnceLock<Arc<Pending>> = OnceLock::new();

impl Pending {
    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Under the lock, so that lines keep their order. What standard error does not take is lost.
    fn write_out(lines: &mut Vec<u8>) {
        let _ = io::stderr().write_all(lines);
        lines.clear();
    }

    /// Writes what has gathered, for ever.
    fn serve(&self) {
        loop {
            let lines = self.waiting.wait_while(self.lock(), |lines| lines.is_empty());
            drop(lines.unwrap_or_else(PoisonError::into_inner));
            std::thread::sleep(GATHER);
            Self::write_out(&mut self.lock());
        }
    }
}

/// Writes the lines that wait. Call it before the process ends.
pub fn flush() {
    if let Some(pending) = PENDING.get() {
        Pending::write_out(&mut pending.lock());
    }
}

/// Where lines gather, and the thread that writes them.
fn pending() -> io::Result<Arc<Pending>> {
    let pending = PENDING.get_or_init(Arc::default).clone();
    let served = pending.clone();
    std::thread::Builder::new().name("log".to_owned()).spawn(move || served.serve())?;
    Ok(pending)
}

/// Makes the writer of each line.
struct Lines(Arc<Pending>);

struct Line<'l> {
    pending: &'l Pending,
    is_urgent: bool,
}

impl<'l> MakeWriter<'l> for Lines {
    type Writer = Line<'l>;

    fn make_writer(&'l self) -> Line<'l> {
        Line { pending: &self.0, is_urgent: true }
    }

    /// Warnings and errors do not wait: they may be the last that is heard of the process.
    fn make_writer_for(&'l self, metadata: &Metadata<'_>) -> Line<'l> {
        Line { pending: &self.0, is_urgent: *metadata.level() <= Level::WARN }
    }
}

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut lines = self.pending.lock();
        if lines.is_empty() {
            self.pending.waiting.notify_one();
        }
        lines.extend_from_slice(line);
        if self.is_urgent || lines.len() >= FULL {
            Pending::write_out(&mut lines);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Installs the log for the whole process. The level is a level's name or a filter such as `info,matrikel=debug`.
///
/// Errors when the level cannot be read or a log is installed already.
pub fn init(log: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(format!("{QUIET},{}", log.level))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(Lines(pending()?)).with_target(false);
    match log.format {
        LogFormat::Text => {
            builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).finish().try_init()?
        }
        LogFormat::Json => builder.json().flatten_event(true).finish().try_init()?,
    }
    // A panic is a line of the log like any other, so that one who reads JSON can read it too.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let message = panic.payload_as_str().unwrap_or("no message");
        tracing::error!(place, message, backtrace = %Backtrace::capture(), "panic");
    }));
    Ok(())
}

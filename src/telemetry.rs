//! Structured logs on standard error, as text for people or JSON for machines. What may be in them is decided where they
//! are written: route templates, statuses, durations, ids and client names; never a body, a query, a filter or a token.

use std::backtrace::Backtrace;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Log, LogFormat};

/// The HTTP library tells of its own starts and stops, which say nothing that ours do not. The configured level comes
/// after, so that it can say otherwise.
const QUIET: &str = "actix_server=warn,actix_http=warn,mio=warn,hyper=warn,reqwest=warn";

/// Installs the log for the whole process. The level is a level's name or a filter such as `info,matrikel=debug`.
///
/// Errors when the level cannot be read or a log is installed already.
pub fn init(log: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(format!("{QUIET},{}", log.level))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
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

//! The raw handler: what the HTTP library and this machine give when there is nothing behind it. A child process that
//! answers a body of the size asked for, `GET /17` with 17 bytes of JSON; measured with the same driver as the server.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use actix_web::{App, HttpResponse, HttpServer, web};
use anyhow::Context;

use super::machine;
use super::subject::{end, start};
use crate::cli::output;

/// Largest body that is answered.
const LARGEST: usize = 16 << 20;
const PATIENCE: u32 = 3_000;

/// A running raw handler.
pub(super) struct Handler {
    /// Where it listens.
    pub(super) address: SocketAddr,
    child: Child,
}

impl Handler {
    /// Starts it.
    pub(super) async fn start(folder: &Path) -> anyhow::Result<Self> {
        let log = folder.join("handler.log");
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = start(command.args(["bench", "--raw-handler"]), &log)?;
        for _ in 0..PATIENCE {
            if let Some(address) = fs::read_to_string(&log)?.lines().next().and_then(|line| line.parse().ok()) {
                return Ok(Handler { address, child });
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        end(&mut child);
        anyhow::bail!("the raw handler did not come up: {}", fs::read_to_string(&log)?.trim())
    }

    /// Processor time so far, in µs.
    pub(super) fn processor_time(&self) -> f64 {
        machine::processor_time(self.child.id()).unwrap_or_default()
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// A JSON text of that many bytes, two at least.
pub(super) fn body(size: usize) -> String {
    format!("\"{}\"", "x".repeat(size.min(LARGEST).saturating_sub(2)))
}

/// Serves until the process is ended.
pub(super) async fn serve() -> anyhow::Result<()> {
    let server = HttpServer::new(|| {
        App::new().app_data(web::Data::new(Cached::default())).route("/{size}", web::get().to(answer))
    });
    let server = server.bind("127.0.0.1:0").context("no free port")?;
    let address = server.addrs().first().copied().context("no address was bound")?;
    output::say(address)?;
    Ok(server.run().await?)
}

/// The body of the last size, as a server keeps it that has it ready.
type Cached = Mutex<(usize, web::Bytes)>;

async fn answer(size: web::Path<usize>, cached: web::Data<Cached>) -> HttpResponse {
    let mut cached = cached.lock().unwrap_or_else(PoisonError::into_inner);
    if cached.0 != *size {
        *cached = (*size, body(*size).into());
    }
    HttpResponse::Ok().content_type("application/scim+json").body(cached.1.clone())
}

//! The listening server: binds, serves, and stops gracefully. Running requests get a deadline at shutdown; what is still
//! there after it is cut. Never handles a signal by itself: [`Running::stop`] is called by whoever started it.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::middleware::{Compress, from_fn};
use actix_web::{App, HttpServer, web};
use tokio::task::JoinHandle;

use super::{Settings, State, deferred, observe, routes, tolerance};
use crate::directory::Directory;

/// A client that has not sent the head of its request by then is let go.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// Where and how to serve.
#[derive(Clone, Debug)]
pub struct Listen {
    /// Address and port; port 0 takes a free one.
    pub address: String,
    /// Threads that serve.
    pub workers: usize,
    /// Seconds that running requests get at shutdown.
    pub shutdown_seconds: u64,
}

/// A server that is serving.
pub struct Running {
    /// The address it is bound to.
    pub address: SocketAddr,
    handle: ServerHandle,
    task: JoinHandle<io::Result<()>>,
    state: web::Data<State>,
    chores: [JoinHandle<()>; 2],
}

/// Binds and begins to serve. Needs a Tokio runtime.
///
/// Errors when the address cannot be bound.
pub fn start(listen: &Listen, settings: Settings, directory: Directory) -> io::Result<Running> {
    let addresses: Vec<SocketAddr> = listen.address.to_socket_addrs()?.collect();
    // One state for all workers, so that they share what the authenticator remembers.
    let state = web::Data::new(State::new(directory, settings));
    let shared = state.clone();
    let server = HttpServer::new(move || {
        App::new()
            .app_data(shared.clone())
            .configure(routes::all)
            .wrap(Compress::default())
            .wrap(from_fn(observe::observe))
    })
    .workers(listen.workers)
    .client_request_timeout(HEAD_TIMEOUT)
    .keep_alive(KEEP_ALIVE)
    .shutdown_timeout(listen.shutdown_seconds)
    .disable_signals()
    .bind(addresses.as_slice())?;
    let address = server.addrs().first().copied().ok_or_else(|| io::Error::other("no address was bound"))?;
    let server = server.run();
    let chores = [tokio::spawn(report(state.clone())), tokio::spawn(deferred::keep(state.clone().into_inner()))];
    Ok(Running { address, handle: server.handle(), task: tokio::spawn(server), state, chores })
}

/// Tells the log from time to time what clients need forgiven.
async fn report(state: web::Data<State>) {
    let mut ticks = tokio::time::interval(tolerance::PERIOD);
    loop {
        ticks.tick().await;
        state.tolerances.log();
    }
}

impl Running {
    /// Where SCIM is served, as a client on this machine reaches it.
    pub fn base_url(&self) -> String {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(match address {
                SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            });
        }
        format!("http://{address}{}", super::BASE_PATH)
    }

    /// Takes no more connections, lets running requests end within the deadline, and returns when all is quiet.
    pub async fn stop(self) -> io::Result<()> {
        self.handle.stop(true).await;
        self.chores.iter().for_each(JoinHandle::abort);
        self.state.tolerances.log();
        self.task.await.map_err(io::Error::other)?
    }
}

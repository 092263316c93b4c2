//! The listening server: binds, serves, and stops gracefully. Running requests get a deadline at shutdown; what is still
//! there after it is cut. Never handles a signal by itself: [`Running::stop`] is called by whoever started it.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::middleware::{Compress, from_fn};
use actix_web::{App, HttpServer, web};
use socket2::SockRef;
use tokio::task::JoinHandle;

use super::peer::{Peers, Reading};
use super::tls::{Certificates, Tls, TlsError};
use super::{
    Settings, State, audit, deferred, intake, metrics, observe, peer, routes, simulations, tenancy, tolerance, used,
};
use crate::auth::federation::{self, Federation};
use crate::directory::Directory;

/// Connections that the system keeps for us until we take them.
const BACKLOG: i32 = 1024;
/// Handshakes of TLS that a thread has under way at a time.
const HANDSHAKES: usize = 1024;
/// Open files that are kept for other things than connections of clients, such as the database.
const FILES: usize = 200;

/// Where and how to serve.
#[derive(Clone, Debug)]
pub struct Listen {
    /// Address and port; port 0 takes a free one.
    pub address: String,
    /// Address and port for Prometheus; `None`: nowhere.
    pub metrics: Option<String>,
    /// How TLS is spoken; `None`: it is not.
    pub tls: Option<Tls>,
    /// How certificates of clients are met.
    pub peers: Peers,
    /// The federation whose members are known; `None`: there is none.
    pub federation: Option<federation::Settings>,
    /// What is borne with of clients.
    pub patience: Patience,
    /// Threads that serve.
    pub workers: usize,
    /// Seconds that running requests get at shutdown.
    pub shutdown_seconds: u64,
}

/// What is borne with of clients, so that those that are slow or say nothing cost the others nothing.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Connections at a time; further ones wait to be taken.
    pub connections: usize,
    /// How long the head of a connection's first request may take.
    pub head: Duration,
    /// How long a connection may lie idle after an answer.
    pub idle: Duration,
    /// How long a client may take nothing of an answer that waits for it.
    pub stalled: Duration,
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened at.
    #[error("cannot listen at {address}; choose another address or port")]
    Address {
        /// As it was asked for.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The certificate or its key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The federation cannot be told by its anchor.
    #[error("The federation cannot be used: {0}. Check federation.anchor.")]
    Federation(#[from] federation::FederationError),
}

/// A server that is serving.
pub struct Running {
    /// The address it is bound to.
    pub address: SocketAddr,
    metrics: Option<metrics::Served>,
    handle: ServerHandle,
    task: JoinHandle<io::Result<()>>,
    state: web::Data<State>,
    chores: Vec<JoinHandle<()>>,
    scheme: &'static str,
}

/// Binds and begins to serve. Needs a Tokio runtime.
///
/// Errors when an address cannot be bound or the certificate cannot be used.
pub fn start(listen: &Listen, settings: Settings, directory: Directory) -> Result<Running, StartError> {
    let failed = |address: &str| {
        let address = address.to_owned();
        move |source| StartError::Address { address, source }
    };
    let asks = listen.peers.asks();
    let certificates = listen.tls.as_ref().map(|tls| Certificates::open(tls, asks)).transpose()?;
    let authorities = listen.peers.open()?;
    let reading = Arc::new(Reading::new(listen.peers.certificates, authorities.current()));
    let now = settings.clock.now();
    let federation = match &listen.federation {
        Some(settings) => Some(Federation::open(settings.clone(), now)?),
        None => None,
    };
    let members = federation.as_ref().map(Federation::members).unwrap_or_default();
    let listeners = bind(listen).map_err(failed(&listen.address))?;
    // One state for all workers, so that they share what the authenticator remembers.
    let state = web::Data::new(State::new(directory, settings, Arc::clone(&reading), members));
    let metrics = match &listen.metrics {
        Some(address) => Some(metrics::serve(address, &state).map_err(failed(address))?),
        None => None,
    };
    let (shared, connected) = (state.clone(), state.clone());
    let Patience { connections, head, idle, .. } = listen.patience;
    let mut server = HttpServer::new(move || {
        App::new()
            .app_data(shared.clone())
            .configure(routes::all)
            .wrap(Compress::default())
            .wrap(from_fn(observe::observe))
    })
    .on_connect(move |stream, with_it| {
        connected.metrics.record_connection(with_it);
        reading.note(stream, with_it);
    })
    .workers(listen.workers)
    .max_connections(fitting(connections).div_ceil(listen.workers).max(1))
    .max_connection_rate(HANDSHAKES)
    .client_request_timeout(head)
    .keep_alive(idle)
    .shutdown_timeout(listen.shutdown_seconds)
    .disable_signals();
    for listener in listeners {
        let listening = match &certificates {
            Some(certificates) => server.listen_openssl(listener, certificates.acceptor()?),
            None => server.listen(listener),
        };
        server = listening.map_err(failed(&listen.address))?;
    }
    let nowhere = || io::Error::other("no address was bound");
    let address = server.addrs().first().copied().ok_or_else(nowhere).map_err(failed(&listen.address))?;
    let server = server.run();
    let mut chores = vec![
        tokio::spawn(report(state.clone())),
        tokio::spawn(deferred::keep(state.clone().into_inner())),
        tokio::spawn(intake::keep(state.clone().into_inner())),
        tokio::spawn(simulations::keep(state.clone().into_inner())),
        tokio::spawn(audit::keep(state.clone().into_inner())),
        tokio::spawn(used::keep(state.clone().into_inner())),
        tokio::spawn(tenancy::keep(state.clone().into_inner())),
    ];
    let scheme = if certificates.is_some() { "https" } else { "http" };
    if let Some(certificates) = certificates {
        state.metrics.note_certificate(certificates.expires_at());
        chores.push(tokio::spawn(certificates.watch(state.clone())));
    }
    if let Some(federation) = federation {
        chores.push(tokio::spawn(super::federation::keep(federation, state.clone())));
    }
    if listen.peers.authorities.is_some() {
        chores.push(tokio::spawn(peer::watch(authorities, state.clone())));
    }
    Ok(Running { address, metrics, handle: server.handle(), task: tokio::spawn(server), state, chores, scheme })
}

/// As many connections as are wanted, or as the open files that the system allows leave room for: without one the
/// server could not open its database any more.
fn fitting(connections: usize) -> usize {
    let Some(files) = metrics::files_most() else { return connections };
    let room = files.saturating_sub(FILES.min(files / 2));
    if room < connections {
        tracing::info!(connections = room, files, "fewer connections than configured: the system allows so many files");
    }
    connections.min(room)
}

/// Binds each address that the name stands for; those that cannot be bound are an error only when there is no other.
fn bind(listen: &Listen) -> io::Result<Vec<TcpListener>> {
    let (mut listeners, mut failure) = (Vec::new(), None);
    for address in listen.address.to_socket_addrs()? {
        match TcpListener::bind(address).and_then(|listener| prepare(listener, listen.patience.stalled)) {
            Ok(listener) => listeners.push(listener),
            Err(error) => failure = Some(error),
        }
    }
    match failure {
        Some(error) if listeners.is_empty() => Err(error),
        _ => Ok(listeners),
    }
}

/// What is set here holds for each connection that is taken from it.
fn prepare(listener: TcpListener, stalled: Duration) -> io::Result<TcpListener> {
    let socket = SockRef::from(&listener);
    socket.listen(BACKLOG)?;
    // The system itself ends a connection whose client does not take what waits for it: the HTTP library would wait.
    socket.set_tcp_user_timeout(Some(stalled))?;
    Ok(listener)
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
        format!("{}://{address}{}", self.scheme, super::BASE_PATH)
    }

    /// Where metrics are served.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(|served| served.address)
    }

    /// Takes no more connections, lets running requests end within the deadline, and returns when all is quiet.
    pub async fn stop(self) -> io::Result<()> {
        self.handle.stop(true).await;
        self.chores.iter().for_each(JoinHandle::abort);
        self.state.tolerances.log();
        audit::finish(&self.state).await;
        used::write(&self.state).await;
        if let Some(metrics) = self.metrics {
            metrics.stop().await?;
        }
        self.task.await.map_err(io::Error::other)?
    }
}

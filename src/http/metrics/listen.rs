//! Where Prometheus fetches: `GET /metrics` at an address of its own, in plain HTTP and without a token, because it is for
//! the operator's network alone. Nothing else is served there, and `/metrics` nowhere else.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpResponse, HttpServer, web};
use tokio::task::JoinHandle;

use super::{show, text};
use crate::http::State;

/// A listener for metrics that is serving.
pub(in crate::http) struct Served {
    /// The address it is bound to.
    pub(in crate::http) address: SocketAddr,
    handle: ServerHandle,
    task: JoinHandle<io::Result<()>>,
}

/// Binds and begins to serve. Needs a Tokio runtime.
pub(in crate::http) fn serve(address: &str, state: &web::Data<State>) -> io::Result<Served> {
    let addresses: Vec<SocketAddr> = address.to_socket_addrs()?.collect();
    let state = state.clone();
    let server = HttpServer::new(move || {
        App::new().app_data(state.clone()).route("/metrics", web::get().to(metrics)).default_service(web::to(nothing))
    })
    .workers(1)
    .disable_signals()
    .bind(addresses.as_slice())?;
    let address = server.addrs().first().copied().ok_or_else(|| io::Error::other("no address was bound"))?;
    let server = server.run();
    Ok(Served { address, handle: server.handle(), task: tokio::spawn(server) })
}

impl Served {
    /// Stops at once.
    pub(in crate::http) async fn stop(self) -> io::Result<()> {
        self.handle.stop(false).await;
        self.task.await.map_err(io::Error::other)?
    }
}

async fn metrics(state: web::Data<State>) -> HttpResponse {
    HttpResponse::Ok().content_type(text::MEDIA_TYPE).body(show::render(&state))
}

async fn nothing() -> HttpResponse {
    HttpResponse::NotFound().content_type("text/plain; charset=utf-8").body("Metrics are at /metrics.\n")
}

//! The socket, and the connections that come over it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use mgit::hub::PieceCache;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio::time::{sleep, timeout};

use super::hosts::is_plain;
use super::io_patience::Patient;
use super::respond::respond;
use super::{Credentials, Limits, Mount};

/// The longest head of a request, and what is written at a time of what lies in memory.
pub const HEAD_LEN_MAX: usize = 64 << 10;
/// How long nothing is accepted after the system could not give a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What is served, and how.
#[derive(Debug)]
pub struct Site {
    /// The stores.
    pub mounts: Vec<Mount>,
    /// The address that it listens at.
    pub address: SocketAddr,
    /// How clients reach it, where another server is in front.
    pub base_url: Option<String>,
    /// Who may ask.
    pub credentials: Credentials,
    /// Whether a line is written for each request.
    pub access_log: bool,
    /// How much is given to clients.
    pub limits: Limits,
    /// Decoded blocks.
    pub cache: Arc<PieceCache>,
    /// Of answers that are being made, and of long ones that are being sent.
    pub places: Arc<Semaphore>,
    /// Of requests whose bodies are read.
    pub posts: Arc<Semaphore>,
}

impl Site {
    /// How a client reaches the server, which has asked for `host`: without a slash at the end.
    pub fn origin(&self, host: Option<&str>) -> String {
        match (&self.base_url, host.filter(|host| is_plain(host))) {
            (Some(base), _) => base.trim_end_matches('/').to_owned(),
            (None, Some(host)) => format!("http://{host}"),
            (None, None) => format!("http://{}", self.address),
        }
    }
}

/// Answers requests until `stop`, and then finishes what is being sent for a little while. Returns the
/// number of answers that were cut off by that.
pub async fn serve(listener: TcpListener, site: Arc<Site>, stop: &Notify) -> usize {
    let connections = Arc::new(Semaphore::new(site.limits.connections));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            () = stop.notified() => break,
            accepted = accept(&listener, &connections) => accepted,
        };
        let Some((stream, peer, place)) = accepted else { continue };
        // Pieces are long: nothing is gained by waiting for more.
        let _ = stream.set_nodelay(true);
        let limits = site.limits;
        let io = TokioIo::new(Patient::new(stream, limits.patience, limits.least));
        let service = {
            let site = Arc::clone(&site);
            service_fn(move |request| respond(Arc::clone(&site), peer, request))
        };
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.patience)
            .max_buf_size(HEAD_LEN_MAX)
            .serve_connection(io, service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            // A client that goes away is no fault of the server's.
            let _ = connection.await;
            drop(place);
        });
    }
    drop(listener);
    match timeout(site.limits.farewell, graceful.shutdown()).await {
        Ok(()) => 0,
        // Whoever has no place is sent nothing.
        Err(_) => site.limits.downloads.saturating_sub(site.places.available_permits()),
    }
}

/// The next connection, when there is room for one; `None` when it failed.
async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(connections).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer, place)),
        Err(_) => {
            // Out of files, or the client is gone: others may be served meanwhile.
            sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

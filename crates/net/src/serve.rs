use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use pegasus_protocol::frame::Protocol;
use pegasus_protocol::private::PREAMBLE;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use crate::limits::ConnectionPermit;
use crate::private::PrivateAcceptor;
use crate::rpc::{Connection, PublicConnection, RpcHandler};
use crate::{Limits, http};

/// What may be behind the port of a daemon (design 5).
pub struct Doors<H> {
    pub rpc: H,
    pub http: axum::Router,
    pub private: PrivateAcceptor,
}

/// Everything a connection needs to know about its listener.
struct Port<H> {
    doors: Doors<H>,
    limits: Arc<Limits>,
    shutdown: CancellationToken,
}

/// Accept connections until `shutdown`, then let them finish within `limits.drain_timeout`.
///
/// Must run inside a `tokio::task::LocalSet` on a current-thread runtime: connections are local
/// tasks of the calling thread.
pub async fn serve<H: RpcHandler>(
    listener: TcpListener,
    doors: Doors<H>,
    limits: Limits,
    shutdown: CancellationToken,
) {
    let drain_timeout = limits.drain_timeout;
    let limits = Arc::new(limits);
    // A token of our own: connections poll it often, and shards should not share its lock.
    let port = Rc::new(Port { doors, limits, shutdown: shutdown.child_token() });
    let mut connections = JoinSet::new();
    let mut refusals = Refusals::default();
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            Some(ended) = connections.join_next(), if !connections.is_empty() => report(ended),
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => match port.limits.admit(peer.ip()) {
                    Ok(permit) => {
                        connections.spawn_local(connection(port.clone(), stream, peer, permit));
                    }
                    Err(why) => refusals.count(peer, why),
                },
                Err(e) => accept_failed(&mut refusals, &e).await,
            },
        }
    }
    drop(listener);
    let finish = async {
        while let Some(ended) = connections.join_next().await {
            report(ended)
        }
    };
    if timeout(drain_timeout, finish).await.is_err() {
        debug!(left = connections.len(), "closing connections that did not finish in time");
    }
    connections.shutdown().await;
}

fn report(ended: Result<(), JoinError>) {
    if let Err(e) = ended
        && e.is_panic()
    {
        error!("a connection's task panicked: {e}");
    }
}

/// Errors of accept belong to one connection that is gone already, except for want of descriptors
/// or memory, which only time can cure.
async fn accept_failed(refusals: &mut Refusals, e: &io::Error) {
    match e.kind() {
        io::ErrorKind::ConnectionAborted
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::Interrupted => debug!("accept: {e}"),
        _ => {
            if refusals.is_due() {
                warn!("cannot accept connections: {e}");
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Refused connections can be many: at most one log line per second tells of them.
#[derive(Default)]
struct Refusals {
    since_last_line: u64,
    last_line: Option<Instant>,
}

impl Refusals {
    fn is_due(&mut self) -> bool {
        let now = Instant::now();
        let due = self.last_line.is_none_or(|last| now - last >= Duration::from_secs(1));
        if due {
            self.last_line = Some(now);
        }
        due
    }

    fn count(&mut self, peer: SocketAddr, why: &str) {
        self.since_last_line += 1;
        if self.is_due() {
            warn!(%peer, count = self.since_last_line, "connection refused: {why}");
            self.since_last_line = 0;
        }
    }
}

/// The life of one connection: find out what it speaks, then let that door serve it.
async fn connection<H: RpcHandler>(
    port: Rc<Port<H>>,
    mut stream: TcpStream,
    peer: SocketAddr,
    permit: ConnectionPermit,
) {
    let _ = stream.set_nodelay(true);
    let sniffed = tokio::select! {
        sniffed = timeout(port.limits.sniff_timeout, sniff(&mut stream)) => sniffed,
        () = port.shutdown.cancelled() => return,
    };
    let magic = match sniffed {
        Ok(Ok(Some(magic))) => magic,
        Ok(Ok(None)) => return debug!(%peer, "closed before saying anything"),
        Ok(Err(e)) => return debug!(%peer, "closed before its first 4 bytes: {e}"),
        Err(_) => return warn!(%peer, "closed: did not send its first 4 bytes in time"),
    };
    match &magic {
        b"THFT" => public(port, stream, peer, Protocol::Thft, &magic).await,
        b"RDSN" => public(port, stream, peer, Protocol::Rdsn, &magic).await,
        // Boxed, because every connection's task would be as large as the largest of them.
        b"GET " | b"POST" => {
            let router = port.doors.http.clone();
            Box::pin(http::serve_connection(stream, peer, magic, router, &port.shutdown)).await;
        }
        _ if magic == PREAMBLE => {
            let serving = port.doors.private.serve(stream, peer, permit.clone(), &port.limits);
            tokio::select! {
                () = Box::pin(serving) => {}
                () = port.shutdown.cancelled() => {}
            }
        }
        _ => warn!(%peer, "closed: unknown protocol, first bytes \"{}\"", magic.escape_ascii()),
    }
}

/// The first 4 bytes (`spec/wire.md` 1.1); None if the client left without sending any.
async fn sniff(stream: &mut TcpStream) -> io::Result<Option<[u8; 4]>> {
    let mut magic = [0; 4];
    let first = stream.read(&mut magic).await?;
    if first == 0 {
        return Ok(None);
    }
    if let Some(rest) = magic.get_mut(first..) {
        stream.read_exact(rest).await?;
    }
    Ok(Some(magic))
}

async fn public<H: RpcHandler>(
    port: Rc<Port<H>>,
    stream: TcpStream,
    peer: SocketAddr,
    protocol: Protocol,
    magic: &[u8],
) {
    let parts = PublicConnection {
        stream,
        protocol,
        head: BytesMut::from(magic),
        limits: port.limits.clone(),
    };
    let mut connection = match Connection::new(parts, port.doors.rpc.clone()) {
        Ok(connection) => connection,
        Err(e) => return debug!(%peer, "closed: {e}"),
    };
    let result = tokio::select! {
        biased;
        result = connection.run() => result,
        () = port.shutdown.cancelled() => {
            connection.drain();
            connection.run().await
        }
    };
    match result {
        Ok(()) => debug!(%peer, "closed"),
        Err(crate::rpc::Closed::Io(e)) => debug!(%peer, "closed: {e}"),
        Err(why) => warn!(%peer, "closed: {why}"),
    }
}

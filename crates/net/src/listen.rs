use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

use crate::NetError;

const BACKLOG: i32 = 1024;

/// A listening socket for the current runtime. `reuse_port` lets every shard have a socket of its
/// own on the same port, among which the kernel spreads the connections.
///
/// The first socket of a process should be bound without `reuse_port` if a second process on the
/// same port must be noticed: with it, the kernel accepts both.
pub fn bind(addr: SocketAddr, reuse_port: bool) -> Result<TcpListener, NetError> {
    let listener = bind_std(addr, reuse_port)?;
    TcpListener::from_std(listener).map_err(|e| NetError::io(format!("listen on {addr}"), e))
}

/// Like [`bind`], for a thread that has no runtime yet; the socket is non-blocking.
pub fn bind_std(addr: SocketAddr, reuse_port: bool) -> Result<std::net::TcpListener, NetError> {
    let open = || -> io::Result<std::net::TcpListener> {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        if reuse_port {
            socket.set_reuse_port(true)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&addr.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    open().map_err(|e| NetError::io(format!("listen on {addr}"), e))
}

/// Settings of a connection between our own daemons: a peer whose machine vanished is noticed
/// within about ten seconds even if nothing is being sent.
pub(crate) fn tune_private(stream: &TcpStream) {
    const DEAD_AFTER: Duration = Duration::from_secs(10);
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(4))
        .with_interval(Duration::from_secs(2))
        .with_retries(3);
    // A refused option costs only slower detection.
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_tcp_keepalive(&keepalive);
    let _ = socket.set_tcp_user_timeout(Some(DEAD_AFTER));
}

//! A daemon's port in the test's own thread, and a client that speaks to it byte by byte.

use std::cell::RefCell;
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use pegasus_net::{
    CancellationToken, Doors, Identity, Limits, PrivateAcceptor, ReplySender, RpcHandler, bind,
    http, serve,
};
use pegasus_protocol::frame::{CallHeader, Reply, Request, decode_reply, encode_request};
use pegasus_types::NodeId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, LocalSet, spawn_local};

pub const GET: &str = "RPC_RRDB_RRDB_GET";
pub const CLEAR_SCANNER: &str = "RPC_RRDB_RRDB_CLEAR_SCANNER";

/// Run a test on one thread; hanging is failing.
pub fn run<F: Future<Output = ()>>(test: F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, within(test));
}

pub async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("hangs")
}

/// Let other tasks go on until `condition` holds.
pub async fn until(condition: impl Fn() -> bool) {
    within(async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Answers with the request's own bytes, except for requests that start with a command:
/// `hold` keeps the reply in `held`, `drop` drops it, `big` answers with 1 MiB.
#[derive(Clone, Default)]
pub struct Echo {
    pub held: Rc<RefCell<Vec<(Bytes, ReplySender)>>>,
    pub calls: Rc<RefCell<usize>>,
}

impl RpcHandler for Echo {
    fn call(&self, request: Request, reply: ReplySender) {
        *self.calls.borrow_mut() += 1;
        if request.header.code.is_none() {
            return reply.handler_not_found();
        }
        let Ok(body) = request.decode_args::<Bytes>() else {
            return reply.invalid_data();
        };
        match &body[..] {
            b"drop" => {}
            b"big" => reply.ok(&Bytes::from(vec![b'x'; 1 << 20])),
            held if held.starts_with(b"hold") => self.held.borrow_mut().push((body, reply)),
            _ => reply.ok(&body),
        }
    }
}

pub fn identity(cluster: &str, port: u16, incarnation: u64) -> Identity {
    Identity { cluster: cluster.to_owned(), node: NodeId::new("127.0.0.1", port), incarnation }
}

pub struct Server {
    pub addr: SocketAddr,
    pub echo: Echo,
    pub shutdown: CancellationToken,
    pub task: JoinHandle<()>,
}

impl Server {
    pub fn start(limits: Limits) -> Server {
        Server::start_with(limits, |private| private, 0, 1)
    }

    /// `port` 0 takes any free one.
    pub fn start_with(
        limits: Limits,
        services: impl FnOnce(PrivateAcceptor) -> PrivateAcceptor,
        port: u16,
        incarnation: u64,
    ) -> Server {
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], port)), false).unwrap();
        let addr = listener.local_addr().unwrap();
        let echo = Echo::default();
        let private = PrivateAcceptor::new(identity("test", addr.port(), incarnation));
        let router = http::router().route(
            "/meta/app",
            axum::routing::any(|uri: axum::http::Uri| async move {
                match http::query(&uri) {
                    Ok(parameters) => http::json(&parameters),
                    Err(e) => axum::response::IntoResponse::into_response(e),
                }
            }),
        );
        let doors = Doors { rpc: echo.clone(), http: router, private: services(private) };
        let shutdown = CancellationToken::new();
        let task = spawn_local(serve(listener, doors, limits, shutdown.clone()));
        Server { addr, echo, shutdown, task }
    }

    pub fn node(&self) -> NodeId {
        NodeId::new("127.0.0.1", self.addr.port())
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        within(self.task).await.unwrap();
    }

    pub async fn client(&self) -> Client {
        Client { stream: TcpStream::connect(self.addr).await.unwrap(), incoming: BytesMut::new() }
    }
}

pub struct Client {
    pub stream: TcpStream,
    incoming: BytesMut,
}

pub fn call(code: &str, seqid: i32, body: &str) -> BytesMut {
    let mut out = BytesMut::new();
    let body = Bytes::copy_from_slice(body.as_bytes());
    encode_request(&mut out, code, seqid, &CallHeader::default(), &body);
    out
}

impl Client {
    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    pub async fn get(&mut self, seqid: i32, body: &str) {
        self.send(&call(GET, seqid, body)).await;
    }

    pub async fn reply(&mut self) -> Reply {
        within(async {
            loop {
                if let Some(reply) = decode_reply(&mut self.incoming, 64 << 20).unwrap() {
                    if self.incoming.is_empty() {
                        self.incoming = BytesMut::new();
                    }
                    return reply;
                }
                let count = self.stream.read_buf(&mut self.incoming).await.unwrap();
                assert_ne!(count, 0, "the server closed the connection");
            }
        })
        .await
    }

    /// The reply's number and value.
    pub async fn value(&mut self) -> (i32, Bytes) {
        let reply = self.reply().await;
        (reply.seqid, reply.decode_result::<Bytes>().unwrap())
    }

    /// Wait until the server closes the connection; returns how many bytes it sent before.
    pub async fn closed(&mut self) -> usize {
        let mut rest = Vec::new();
        // A reset is as good as an end.
        let _ = within(self.stream.read_to_end(&mut rest)).await;
        rest.len()
    }
}

/// Counts lines of WARN and above while it lives, on this thread.
pub struct LogLines {
    count: Arc<AtomicUsize>,
    _guard: tracing::subscriber::DefaultGuard,
}

impl LogLines {
    pub fn count() -> LogLines {
        let count = Arc::new(AtomicUsize::new(0));
        let guard = tracing::subscriber::set_default(Counter(count.clone()));
        LogLines { count, _guard: guard }
    }

    pub fn so_far(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}

struct Counter(Arc<AtomicUsize>);

impl tracing::Subscriber for Counter {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::WARN && metadata.is_event()
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

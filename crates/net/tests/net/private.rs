use std::time::{Duration, Instant};

use futures::StreamExt;
use pegasus_net::{
    Accepted, Connected, Identity, Limits, NetError, PrivateAcceptor, ServerTransport, connect,
};
use pegasus_protocol::private::{
    Hello, Lease, LeaseClient, LeaseRequest, LeaseResponse, ServiceKind, VERSION_MAX,
};
use pegasus_types::Tick;
use tarpc::context;
use tarpc::server::{BaseChannel, Channel};

use crate::support::{Server, identity, run};

const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Clone)]
struct Echo;

impl Lease for Echo {
    async fn heartbeat(self, _: context::Context, sent: Tick) -> Tick {
        sent
    }
}

async fn serve_lease(transport: ServerTransport<LeaseRequest, LeaseResponse>) {
    let channel = BaseChannel::with_defaults(transport);
    channel.execute(Echo.serve()).for_each(|answer| answer).await;
}

fn with_lease(private: PrivateAcceptor) -> PrivateAcceptor {
    private.on(ServiceKind::Lease, |accepted: Accepted| async move {
        assert_eq!(accepted.hello.incarnation, 5);
        assert_eq!(accepted.version, VERSION_MAX);
        serve_lease(accepted.transport()).await;
    })
}

fn me() -> Identity {
    identity("test", 1, 5)
}

async fn heartbeat(connected: Connected) -> Tick {
    let client = LeaseClient::new(tarpc::client::Config::default(), connected.transport()).spawn();
    let mut context = context::current();
    context.deadline = Instant::now() + TIMEOUT;
    client.heartbeat(context, Tick(99)).await.unwrap()
}

#[test]
fn a_service_is_reached_through_the_shared_port() {
    run(async {
        let server = Server::start_with(Limits::default(), with_lease, 0, 77);
        let connected =
            connect(&server.node(), me().hello(ServiceKind::Lease), TIMEOUT).await.unwrap();
        assert_eq!(connected.node, server.node());
        assert_eq!((connected.version, connected.incarnation), (VERSION_MAX, 77));
        assert_eq!(heartbeat(connected).await, Tick(99));
        server.stop().await;
    });
}

#[test]
fn a_connection_can_be_served_on_another_thread() {
    run(async {
        let (send, mut receive) = tokio::sync::mpsc::unbounded_channel();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let detached: pegasus_net::Detached = receive.recv().await.unwrap();
                let (accepted, permit) = detached.attach().unwrap();
                serve_lease(accepted.transport()).await;
                drop(permit);
            });
        });
        let limits = Limits::default();
        let services = move |private: PrivateAcceptor| {
            private.on(ServiceKind::Lease, move |accepted: Accepted| {
                send.send(accepted.detach().unwrap()).unwrap();
                std::future::ready(())
            })
        };
        let server = Server::start_with(limits.clone(), services, 0, 1);
        let connected =
            connect(&server.node(), me().hello(ServiceKind::Lease), TIMEOUT).await.unwrap();
        assert_eq!(heartbeat(connected).await, Tick(99));
        tokio::task::spawn_blocking(|| thread.join().unwrap()).await.unwrap();
        assert_eq!(limits.counter.open(), 0);
        server.stop().await;
    });
}

#[test]
fn strangers_are_refused_with_the_reason() {
    run(async {
        let server = Server::start_with(Limits::default(), with_lease, 0, 1);
        let lease = ServiceKind::Lease;
        let future = Hello { version_min: 900, version_max: 901, ..me().hello(lease) };
        let cases = [
            (identity("other", 1, 5).hello(lease), "this is cluster \"test\", not \"other\""),
            (future, "no common version of the private protocol"),
            (me().hello(ServiceKind::Meta), "does not offer Meta"),
        ];
        for (hello, expected) in cases {
            match connect(&server.node(), hello, TIMEOUT).await {
                Err(NetError::Refused { reason, target }) => {
                    assert!(reason.contains(expected), "{reason}");
                    assert_eq!(target, server.node());
                }
                other => panic!("{other:?} instead of: {expected}"),
            }
        }
        // A range that overlaps ours is welcome.
        let newer = Hello { version_max: 900, ..me().hello(lease) };
        assert_eq!(connect(&server.node(), newer, TIMEOUT).await.unwrap().version, VERSION_MAX);
        server.stop().await;
    });
}

#[test]
fn what_is_not_one_of_us_is_an_error_not_a_wait() {
    run(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let target = identity("test", port, 0).node;
        let hello = || me().hello(ServiceKind::Lease);
        let silent = connect(&target, hello(), Duration::from_millis(50)).await;
        assert!(matches!(silent, Err(NetError::Timeout { .. })), "{silent:?}");
        drop(listener);
        let refused = connect(&target, hello(), TIMEOUT).await;
        assert!(matches!(refused, Err(NetError::Io { .. })), "{refused:?}");
    });
}

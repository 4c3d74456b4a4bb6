use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use pegasus_net::{
    Accepted, Limits, LinkOptions, LinkState, NetError, PeerLink, PeerReceivers, PrivateAcceptor,
    connect, serve_peer,
};
use pegasus_protocol::private::{Envelope, PeerClient, ServiceKind};
use pegasus_replication::Message;
use pegasus_types::{Ballot, NodeId, PartitionId};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::support::{Server, identity, run, until, within};

/// What a receiving node saw: messages (as their ballot numbers) and ends of connections.
#[derive(Clone, Default)]
struct Seen {
    messages: Rc<RefCell<Vec<i64>>>,
    ends: Rc<RefCell<Vec<Result<(), NetError>>>>,
    starts: Rc<RefCell<Vec<u64>>>,
}

fn message(number: i64) -> (PartitionId, Message) {
    (PartitionId::new(1, 2), Message::Stale { ballot: Ballot(number) })
}

fn numbers(messages: Vec<(PartitionId, Message)>) -> impl Iterator<Item = i64> {
    messages.into_iter().map(|(pid, message)| match message {
        Message::Stale { ballot } => {
            assert_eq!(pid, PartitionId::new(1, 2));
            ballot.0
        }
        other => panic!("{other:?}"),
    })
}

impl Seen {
    fn service(&self) -> impl FnOnce(PrivateAcceptor) -> PrivateAcceptor + use<> {
        let seen = self.clone();
        let receivers = PeerReceivers::default();
        move |private| {
            private.on(ServiceKind::Peer, move |accepted: Accepted| {
                let (seen, receivers) = (seen.clone(), receivers.clone());
                async move {
                    let starts = seen.starts.clone();
                    let end = receivers
                        .serve(
                            accepted,
                            |_, incarnation| starts.borrow_mut().push(incarnation),
                            |_, messages| seen.messages.borrow_mut().extend(numbers(messages)),
                        )
                        .await;
                    seen.ends.borrow_mut().push(end);
                }
            })
        }
    }

    async fn until_last(&self, number: i64) {
        until(|| self.messages.borrow().last() == Some(&number)).await;
    }
}

fn link(target: NodeId, options: LinkOptions) -> (PeerLink, UnboundedReceiver<LinkState>) {
    let (send, receive) = unbounded_channel();
    let expected = target.clone();
    let link = PeerLink::spawn(identity("test", 1, 9), target, options, move |peer, state| {
        assert_eq!(*peer, expected);
        let _ = send.send(state);
    });
    (link, receive)
}

#[test]
fn messages_arrive_in_order_across_a_restart_of_the_peer() {
    run(async {
        let seen = Seen::default();
        let server = Server::start_with(Limits::default(), seen.service(), 0, 100);
        let port = server.addr.port();
        // Small envelopes, so that many are in flight at once.
        let options = LinkOptions { max_envelope: 64, ..LinkOptions::default() };
        let (link, mut states) = link(server.node(), options);
        link.queue_all((1..=500).map(message));
        for number in 501..=1000 {
            let (pid, message) = message(number);
            link.queue(pid, message);
        }
        assert_eq!(within(states.recv()).await, Some(LinkState::Up { incarnation: 100 }));
        seen.until_last(1000).await;
        assert_eq!(*seen.messages.borrow(), (1..=1000).collect::<Vec<_>>());

        server.stop().await;
        assert_eq!(within(states.recv()).await, Some(LinkState::Down));
        seen.messages.borrow_mut().clear();
        link.queue_all((1001..=1010).map(message));
        let server = Server::start_with(Limits::default(), seen.service(), port, 200);
        link.retry_now();
        loop {
            // Whether the ten messages got lost or waited long enough is a matter of timing.
            match within(states.recv()).await {
                Some(LinkState::Down) => {}
                up => break assert_eq!(up, Some(LinkState::Up { incarnation: 200 })),
            }
        }
        link.queue_all((1011..=1020).map(message));
        seen.until_last(1020).await;
        let arrived = seen.messages.borrow().clone();
        let all: Vec<_> = (1001..=1020).collect();
        assert!(arrived == all || arrived == all[10..], "{arrived:?}");
        assert_eq!(*seen.starts.borrow(), [9, 9]);

        drop(link);
        until(|| matches!(seen.ends.borrow().last(), Some(Ok(())))).await;
        server.stop().await;
    });
}

#[test]
fn overflow_resets_the_link() {
    run(async {
        let seen = Seen::default();
        let server = Server::start_with(Limits::default(), seen.service(), 0, 1);
        let options = LinkOptions { max_queue: 1000, ..LinkOptions::default() };
        let (link, mut states) = link(server.node(), options);
        assert_eq!(within(states.recv()).await, Some(LinkState::Up { incarnation: 1 }));
        // More than the bound in one go: the link's task has no turn in between.
        link.queue_all((1..=1000).map(message));
        link.queue_all([message(1001)]);
        assert_eq!(within(states.recv()).await, Some(LinkState::Down));
        assert_eq!(within(states.recv()).await, Some(LinkState::Up { incarnation: 1 }));
        link.queue_all([message(1002)]);
        seen.until_last(1002).await;
        assert_eq!(*seen.messages.borrow(), [1002], "nothing from before the reset");
        server.stop().await;
    });
}

#[test]
fn an_unreachable_peer_costs_what_was_queued_and_says_so() {
    run(async {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let options = LinkOptions {
            backoff_min: Duration::from_millis(1),
            backoff_max: Duration::from_millis(5),
            ..LinkOptions::default()
        };
        let (link, mut states) = link(NodeId::new("127.0.0.1", port), options);
        for number in 1..=3 {
            link.queue_all([message(number)]);
            assert_eq!(within(states.recv()).await, Some(LinkState::Down));
            assert_eq!(link.queued_bytes(), 0);
        }
        let seen = Seen::default();
        let server = Server::start_with(Limits::default(), seen.service(), port, 4);
        assert_eq!(within(states.recv()).await, Some(LinkState::Up { incarnation: 4 }));
        link.queue_all([message(4)]);
        seen.until_last(4).await;
        server.stop().await;
    });
}

/// A peer that numbers its envelopes as it likes.
async fn raw_peer(server: &Server, incarnation: u64) -> PeerClient {
    let hello = identity("test", 1, incarnation).hello(ServiceKind::Peer);
    let connected = connect(&server.node(), hello, Duration::from_secs(10)).await.unwrap();
    PeerClient::new(tarpc::client::Config::default(), connected.transport()).spawn()
}

async fn deliver(client: &PeerClient, sequence: u64, number: i64) -> bool {
    let mut context = tarpc::context::current();
    context.deadline = Instant::now() + Duration::from_secs(20);
    let envelope = Envelope { sequence, messages: vec![message(number)] };
    within(client.deliver(context, envelope)).await.is_ok()
}

#[test]
fn a_gap_ends_the_connection() {
    run(async {
        for wrong in [1, 3, 4] {
            let seen = Seen::default();
            let server = Server::start_with(Limits::default(), seen.service(), 0, 1);
            let client = raw_peer(&server, 9).await;
            assert!(deliver(&client, 1, 11).await);
            assert!(!deliver(&client, wrong, 12).await);
            assert!(!deliver(&client, 2, 13).await, "the connection is gone");
            assert_eq!(*seen.messages.borrow(), [11]);
            let ends = seen.ends.take();
            assert!(
                matches!(ends[..], [Err(NetError::Gap { expected: 2, found })] if found == wrong),
                "{ends:?}"
            );
            server.stop().await;
        }
    });
}

#[test]
fn only_the_newest_connection_of_a_peer_counts() {
    run(async {
        let seen = Seen::default();
        let server = Server::start_with(Limits::default(), seen.service(), 0, 1);
        let old = raw_peer(&server, 9).await;
        assert!(deliver(&old, 1, 11).await);
        let new = raw_peer(&server, 10).await;
        assert!(deliver(&new, 1, 21).await);
        assert!(!deliver(&old, 2, 12).await);
        let older = raw_peer(&server, 8).await;
        assert!(!deliver(&older, 1, 31).await);
        assert!(deliver(&new, 2, 22).await);
        assert_eq!(*seen.messages.borrow(), [11, 21, 22]);
        assert_eq!(*seen.starts.borrow(), [9, 10]);
        let superseded = |end: &Result<_, _>| matches!(end, Err(NetError::Superseded));
        assert!(seen.ends.borrow().iter().all(superseded));
        server.stop().await;
    });
}

#[test]
fn the_plain_receiver_names_the_peer() {
    run(async {
        let (send, mut receive) = unbounded_channel();
        let services = move |private: PrivateAcceptor| {
            private.on(ServiceKind::Peer, move |accepted: Accepted| {
                let send = send.clone();
                async move {
                    let from = accepted.hello.node.clone();
                    let sink = |from: NodeId, messages| {
                        let _ = send.send((from, numbers(messages).collect::<Vec<_>>()));
                    };
                    let _ = serve_peer(accepted.transport(), from, sink).await;
                }
            })
        };
        let server = Server::start_with(Limits::default(), services, 0, 1);
        let client = raw_peer(&server, 1).await;
        assert!(deliver(&client, 1, 5).await);
        let expected = (NodeId::new("127.0.0.1", 1), vec![5]);
        assert_eq!(within(receive.recv()).await, Some(expected));
        server.stop().await;
    });
}

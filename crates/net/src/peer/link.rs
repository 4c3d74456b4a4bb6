use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::stream::{FuturesUnordered, StreamExt};
use pegasus_protocol::private::{Envelope, PeerClient, ServiceKind};
use pegasus_replication::Message;
use pegasus_types::{NodeId, PartitionId};
use tarpc::client::NewClient;
use tarpc::context;
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{info, warn};

use super::queue::{LinkQueue, Taken};
use crate::NetError;
use crate::private::{Connected, Identity, connect};

/// Bounds of one link.
#[derive(Clone, Debug)]
pub struct LinkOptions {
    pub connect_timeout: Duration,
    /// An envelope not taken over by the peer within this time resets the link.
    pub deliver_timeout: Duration,
    /// Waits between attempts to connect: doubling from the first to the second.
    pub backoff_min: Duration,
    pub backoff_max: Duration,
    /// Bytes of one envelope, exceeded only by a single longer message.
    pub max_envelope: usize,
    /// Envelopes sent and not taken over yet.
    pub max_in_flight: usize,
    /// Bytes waiting to be sent; more drops them all and resets the link.
    pub max_queue: usize,
}

impl Default for LinkOptions {
    fn default() -> LinkOptions {
        LinkOptions {
            connect_timeout: Duration::from_secs(2),
            deliver_timeout: Duration::from_secs(10),
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_secs(1),
            max_envelope: 4 << 20,
            max_in_flight: 4,
            max_queue: 256 << 20,
        }
    }
}

/// Told whenever messages may have been lost or the peer may have been another process before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// Connected to this incarnation of the peer. What was queued since the last `Down` will be
    /// delivered in order from its first message on, until the next `Down`.
    Up { incarnation: u64 },
    /// Whatever was queued before may be lost.
    Down,
}

type OnReset = Box<dyn Fn(&NodeId, LinkState) + Send + Sync>;

/// The sending half of the traffic with one peer. Cheap to clone; the link is closed when the last
/// clone is dropped.
#[derive(Clone, Debug)]
pub struct PeerLink {
    peer: NodeId,
    queue: Arc<LinkQueue>,
    retry_now: Arc<Notify>,
    _stop: Arc<DropGuard>,
}

impl PeerLink {
    /// Connect in the background, on the current runtime, and keep connected. `on_reset` is called
    /// on that runtime; it must not block.
    pub fn spawn(
        identity: Identity,
        peer: NodeId,
        options: LinkOptions,
        on_reset: impl Fn(&NodeId, LinkState) + Send + Sync + 'static,
    ) -> PeerLink {
        let queue = Arc::new(LinkQueue::new(options.max_queue));
        let retry_now = Arc::new(Notify::new());
        let stop = CancellationToken::new();
        let task = LinkTask {
            identity,
            peer: peer.clone(),
            options,
            queue: queue.clone(),
            retry_now: retry_now.clone(),
            on_reset: Box::new(on_reset),
        };
        tokio::spawn(stop.clone().run_until_cancelled_owned(task.run()));
        PeerLink { peer, queue, retry_now, _stop: Arc::new(stop.drop_guard()) }
    }

    pub fn peer(&self) -> &NodeId {
        &self.peer
    }

    /// Send one message when the link's turn comes. Never blocks; see [`LinkState`] for what
    /// happens while the peer is unreachable.
    pub fn queue(&self, pid: PartitionId, message: Message) {
        self.queue.push([(pid, message)]);
    }

    /// Send several messages, in one envelope if they fit.
    pub fn queue_all(&self, messages: impl IntoIterator<Item = (PartitionId, Message)>) {
        self.queue.push(messages);
    }

    /// Bytes waiting to be sent.
    pub fn queued_bytes(&self) -> usize {
        self.queue.bytes()
    }

    /// The peer is known to be alive: do not sit out the wait before the next attempt.
    pub fn retry_now(&self) {
        self.retry_now.notify_one();
    }
}

struct LinkTask {
    identity: Identity,
    peer: NodeId,
    options: LinkOptions,
    queue: Arc<LinkQueue>,
    retry_now: Arc<Notify>,
    on_reset: OnReset,
}

impl LinkTask {
    async fn run(self) {
        let mut backoff = self.options.backoff_min;
        let mut failures = 0_u64;
        loop {
            match self.connect().await {
                Ok(connected) => {
                    info!(peer = %self.peer, incarnation = connected.incarnation, failures,
                        "peer link up");
                    failures = 0;
                    let since = Instant::now();
                    (self.on_reset)(
                        &self.peer,
                        LinkState::Up { incarnation: connected.incarnation },
                    );
                    let why = self.pump(connected).await;
                    self.queue.reset();
                    (self.on_reset)(&self.peer, LinkState::Down);
                    warn!(peer = %self.peer, "peer link down: {why}");
                    // A link that breaks at once must not be rebuilt in a tight loop.
                    if since.elapsed() >= self.options.backoff_max {
                        backoff = self.options.backoff_min;
                    }
                }
                Err(e) => {
                    if self.queue.reset() {
                        (self.on_reset)(&self.peer, LinkState::Down);
                    }
                    // A dead peer is one line, not one per attempt.
                    if failures == 0 {
                        warn!(peer = %self.peer, "cannot link to peer, trying on: {e}");
                    }
                    failures = failures.saturating_add(1);
                }
            }
            tokio::select! {
                () = sleep(backoff) => {
                    backoff = backoff.saturating_mul(2).min(self.options.backoff_max);
                }
                () = self.retry_now.notified() => backoff = self.options.backoff_min,
            }
        }
    }

    async fn connect(&self) -> Result<Connected, NetError> {
        let hello = self.identity.hello(ServiceKind::Peer);
        let connected = connect(&self.peer, hello, self.options.connect_timeout).await?;
        if connected.node != self.peer {
            let (expected, found) = (self.peer.clone(), connected.node);
            return Err(NetError::WrongNode { expected, found });
        }
        Ok(connected)
    }

    /// Send envelopes until something breaks; returns what.
    async fn pump(&self, connected: Connected) -> NetError {
        let config = tarpc::client::Config::default();
        let NewClient { client, dispatch } = PeerClient::new(config, connected.transport());
        // Driven from here, so that leaving this function closes the connection at once.
        let mut dispatch = pin!(dispatch);
        let mut in_flight = FuturesUnordered::new();
        let mut sequence = 0_u64;
        loop {
            while in_flight.len() < self.options.max_in_flight {
                let messages = match self.queue.take(self.options.max_envelope) {
                    Taken::Nothing => break,
                    Taken::Lossy => return NetError::Overflow,
                    Taken::Messages(messages) => messages,
                };
                sequence = sequence.saturating_add(1);
                let envelope = Envelope { sequence, messages };
                let mut context = context::current();
                context.deadline = Instant::now() + self.options.deliver_timeout;
                let client = client.clone();
                let mut call = Box::pin(async move { client.deliver(context, envelope).await });
                // The first poll hands the envelope to the dispatch; polled here, envelopes reach
                // it in the order of their numbers.
                match futures::poll!(&mut call) {
                    std::task::Poll::Ready(Ok(())) => {}
                    std::task::Poll::Ready(Err(e)) => return NetError::lost(e),
                    std::task::Poll::Pending => in_flight.push(call),
                }
            }
            tokio::select! {
                ended = &mut dispatch => return match ended {
                    Ok(()) => NetError::lost("closed by the peer"),
                    Err(e) => NetError::lost(e),
                },
                Some(delivered) = in_flight.next() => if let Err(e) = delivered {
                    return NetError::lost(e);
                },
                () = self.queue.changed() => {}
            }
        }
    }
}

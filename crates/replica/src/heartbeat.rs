//! The lease thread: heartbeats to every peer, answers to theirs, and beacons to the meta server.
//! It shares nothing with the shards but the lease board, so it never waits for a replica
//! (design 4).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use pegasus_net::{Detached, connect};
use pegasus_protocol::private::{Lease, LeaseClient, ServiceKind};
use pegasus_replication::{Event, LeaseView};
use pegasus_types::{NodeId, Tick};
use tarpc::context::{self, Context};
use tarpc::server::{BaseChannel, Channel};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::clock;
use crate::shared::Shared;

/// How often lapses and silence are looked for. Reads check the clock themselves.
const WATCH: Duration = Duration::from_millis(20);

/// Runs until dropped. `incoming`: connections of peers that want leases from this node.
pub async fn run(shared: Arc<Shared>, mut incoming: UnboundedReceiver<Detached>) {
    let mut watch = Watch::new(Arc::clone(&shared));
    let mut ticks = interval(WATCH);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            Some(connection) = incoming.recv() => {
                tokio::spawn(serve(Arc::clone(&shared), connection));
            }
            _ = ticks.tick() => watch.look(),
        }
    }
}

/// What this node knows about one peer it needs.
struct Peer {
    beating: JoinHandle<()>,
    /// The lease epoch at the last look.
    held: Option<u64>,
    /// Silence is counted from here if nothing was ever heard.
    since: Tick,
    /// When its silence was last reported.
    reported: Option<Tick>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.beating.abort();
    }
}

/// Notices leases that lapse and peers that fall silent, and keeps one heartbeat task per peer.
struct Watch {
    shared: Arc<Shared>,
    peers: BTreeMap<NodeId, Peer>,
    generation: Option<u64>,
    meta_held: Option<u64>,
}

impl Watch {
    fn new(shared: Arc<Shared>) -> Watch {
        Watch { shared, peers: BTreeMap::new(), generation: None, meta_held: None }
    }

    fn look(&mut self) {
        self.follow_table();
        let now = clock::now();
        let silence_ms = self.shared.board.options().silence_ms;
        for (node, peer) in &mut self.peers {
            let held = self.shared.board.held(now, node);
            if held != peer.held {
                peer.held = held;
                self.shared.tell_everybody(Some(node), &Event::LeasesChanged);
            }
            let heard = self.shared.board.slot(node).last_heard().max(peer.since);
            let due = peer.reported.is_none_or(|at| now.since(at) >= silence_ms);
            if now.since(heard) < silence_ms {
                peer.reported = None;
            } else if due {
                // Repeated while it lasts: a partition may have got this peer only now.
                peer.reported = Some(now);
                let event = Event::PeerSilent { peer: node.clone() };
                self.shared.tell_everybody(Some(node), &event);
            }
        }
        let meta_held = self.shared.board.held_from_meta(now);
        if meta_held != self.meta_held {
            self.meta_held = meta_held;
            self.shared.tell_everybody(None, &Event::LeasesChanged);
        }
    }

    /// Adds and removes heartbeat tasks as the hosted partitions want it.
    fn follow_table(&mut self) {
        let generation = self.shared.table.peers_generation();
        if self.generation == Some(generation) {
            return;
        }
        self.generation = Some(generation);
        let wanted: BTreeSet<NodeId> = self.shared.table.peers();
        self.peers.retain(|node, _| wanted.contains(node));
        for node in wanted {
            let shared = Arc::clone(&self.shared);
            self.peers.entry(node.clone()).or_insert_with(|| Peer {
                beating: tokio::spawn(beat(shared, node)),
                held: None,
                since: clock::now(),
                reported: None,
            });
        }
    }
}

/// Asks `peer` for a lease again and again.
async fn beat(shared: Arc<Shared>, peer: NodeId) {
    let pause = Duration::from_millis(shared.board.options().heartbeat_ms);
    loop {
        let hello = shared.identity.hello(ServiceKind::Lease);
        match connect(&peer, hello, Duration::from_secs(1)).await {
            Ok(connected) if connected.node == peer => {
                let config = tarpc::client::Config::default();
                let client = LeaseClient::new(config, connected.transport()).spawn();
                beat_on(&shared, &peer, &client, pause).await;
            }
            Ok(connected) => {
                tracing::warn!(%peer, found = %connected.node, "another node lives at a peer's address");
            }
            Err(e) => tracing::debug!(%peer, "no connection for heartbeats: {e}"),
        }
        sleep(pause).await;
    }
}

/// Heartbeats over one connection until it fails.
async fn beat_on(shared: &Shared, peer: &NodeId, client: &LeaseClient, pause: Duration) {
    let limit = Duration::from_millis(shared.board.options().lease_ms);
    loop {
        let mut context = context::current();
        context.deadline = Instant::now() + limit;
        let sent = clock::now();
        match client.heartbeat(context, sent).await {
            Ok(echo) if echo == sent => {
                if shared.board.granted(peer, sent) {
                    shared.tell_everybody(Some(peer), &Event::LeasesChanged);
                }
            }
            Ok(_) => tracing::warn!(%peer, "answer to another heartbeat than was sent"),
            Err(e) => return tracing::debug!(%peer, "heartbeat failed: {e}"),
        }
        sleep(pause).await;
    }
}

/// Answers the heartbeats of one peer.
async fn serve(shared: Arc<Shared>, connection: Detached) {
    let Ok((accepted, _permit)) = connection.attach() else { return };
    let server = Grantor { shared, holder: accepted.hello.node.clone() };
    let channel = BaseChannel::with_defaults(accepted.transport());
    channel.execute(server.serve()).for_each(|answer| answer).await;
}

#[derive(Clone)]
struct Grantor {
    shared: Arc<Shared>,
    holder: NodeId,
}

impl Lease for Grantor {
    async fn heartbeat(self, _: Context, sent: Tick) -> Tick {
        // The promise is in force before the answer exists (design 3, rule 1).
        self.shared.board.promise(&self.holder);
        sent
    }
}

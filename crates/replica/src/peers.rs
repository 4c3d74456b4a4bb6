//! Traffic between replicas: one outgoing link per peer, and the way of incoming messages to their
//! shards.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use pegasus_net::{Accepted, Identity, LinkOptions, LinkState, NetError, PeerLink, PeerReceivers};
use pegasus_replication::{Event, Message};
use pegasus_types::{NodeId, PartitionId};
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedSender;

use crate::inbox::ToShard;
use crate::shared::{Shared, shard_of};

/// The outgoing links of this node, made when first needed.
pub struct Links {
    identity: Identity,
    /// Runtimes of the shards: a link runs on one of them, so that a turn's messages leave without
    /// waking another thread if it is the same.
    runtimes: Vec<Handle>,
    shards: Vec<UnboundedSender<ToShard>>,
    links: Mutex<HashMap<NodeId, PeerLink>>,
}

impl Links {
    pub fn new(
        identity: Identity,
        runtimes: Vec<Handle>,
        shards: Vec<UnboundedSender<ToShard>>,
    ) -> Links {
        Links { identity, runtimes, shards, links: Mutex::default() }
    }

    /// Sends messages in order, or tells the partitions that they may be lost.
    pub fn queue(&self, peer: &NodeId, messages: Vec<(PartitionId, Message)>) {
        if let Some(link) = self.link(peer) {
            link.queue_all(messages);
        }
    }

    /// The peer was just heard of: if its link is waiting before the next attempt, try now.
    pub fn retry_now(&self, peer: &NodeId) {
        let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(link) = links.get(peer) {
            link.retry_now();
        }
    }

    /// Bytes waiting in all links.
    pub fn queued_bytes(&self) -> usize {
        let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.values().map(PeerLink::queued_bytes).sum()
    }

    fn link(&self, peer: &NodeId) -> Option<PeerLink> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(link) = links.get(peer) {
            return Some(link.clone());
        }
        let runtime = self.runtimes.get(links.len() % self.runtimes.len().max(1))?;
        let _context = runtime.enter();
        let shards = self.shards.clone();
        let on_reset = move |peer: &NodeId, _: LinkState| {
            let event = Event::PeerReset { peer: peer.clone() };
            for shard in &shards {
                let item = ToShard::Everybody { peer: Some(peer.clone()), event: event.clone() };
                let _ = shard.send(item);
            }
        };
        let options = LinkOptions::default();
        let link = PeerLink::spawn(self.identity.clone(), peer.clone(), options, on_reset);
        links.insert(peer.clone(), link.clone());
        Some(link)
    }
}

/// Serves one connection of a peer: its messages go to the shards of their partitions.
pub async fn serve(shared: Arc<Shared>, receivers: PeerReceivers, accepted: Accepted) {
    let from = accepted.hello.node.clone();
    let greeting = Arc::clone(&shared);
    let on_start = move |peer: &NodeId, _: u64| greeting.links.retry_now(peer);
    let sink = move |from: NodeId, messages| distribute(&shared, &from, messages);
    match receivers.serve(accepted, on_start, sink).await {
        Ok(()) | Err(NetError::Superseded) => {}
        Err(e) => tracing::warn!(peer = %from, "connection from a peer closed: {e}"),
    }
}

fn distribute(shared: &Shared, from: &NodeId, messages: Vec<(PartitionId, Message)>) {
    let mut bundles: Vec<Vec<(PartitionId, Message)>> = Vec::new();
    bundles.resize_with(shared.shards.len(), Vec::new);
    for (pid, message) in messages {
        if let Some(bundle) = bundles.get_mut(shard_of(pid, shared.shards.len())) {
            bundle.push((pid, message));
        }
    }
    for (inbox, messages) in shared.shards.iter().zip(bundles) {
        if !messages.is_empty() {
            let _ = inbox.send(ToShard::Messages { from: from.clone(), messages });
        }
    }
}

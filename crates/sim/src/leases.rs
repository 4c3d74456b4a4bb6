//! Heartbeats between servers, beacons and syncs to the meta server.

use pegasus_control::Event as Control;
use pegasus_replication::{Event, LeaseView};
use pegasus_types::{NodeId, ReplicaReport, Tick};

use crate::clock::{Instant, MS};
use crate::meta::{Asker, MetaEvent};
use crate::network::META;
use crate::server::{Channel, ServerEvent, index_of, node_id};
use crate::world::World;

const BEACON_EVERY: Instant = 300 * MS;
const SYNC_EVERY: Instant = 1_000 * MS;
/// How long the lease lasts that the meta server grants, milliseconds.
pub const META_LEASE_MS: u64 = 1_500;
/// How long the meta server waits before it calls a node dead, milliseconds.
pub const META_GRACE_MS: u64 = 2_000;

impl World {
    pub fn heartbeat_timer(&mut self, node: usize) {
        let every = self.profile.leases.heartbeat_ms * MS;
        let channel = Channel::Other(self.dice.any());
        self.send_to_server(node, every, channel, ServerEvent::HeartbeatTimer);
        let sent = self.tick_of(node);
        let life = self.servers[node].life;
        let peers = self.servers[node].peers();
        for peer in peers.iter().filter_map(index_of) {
            if let Some(delay) = self.call_delay(node, peer) {
                let channel = Channel::Other(self.dice.any());
                let event = ServerEvent::Heartbeat { from: node, life, sent };
                self.send_to_server(peer, delay, channel, event);
            }
        }
        self.look_at_leases(node);
        for peer in peers {
            self.look_for_silence(node, &peer, sent);
        }
    }

    pub fn heartbeat(&mut self, node: usize, from: usize, life: u64, sent: Tick) {
        let now = self.tick_of(node);
        self.servers[node].leases.promise(now, &node_id(from));
        if let Some(delay) = self.call_delay(node, from)
            && self.servers[from].life == life
        {
            let channel = Channel::Other(self.dice.any());
            let event = ServerEvent::HeartbeatAnswer { from: node, sent };
            self.send_to_server(from, delay, channel, event);
        }
    }

    pub fn heartbeat_answer(&mut self, node: usize, from: usize, sent: Tick) {
        let now = self.tick_of(node);
        self.servers[node].leases.granted(now, &node_id(from), sent);
        self.look_at_leases(node);
    }

    /// Tells the replicas if any lease is another than before.
    fn look_at_leases(&mut self, node: usize) {
        let now = self.tick_of(node);
        let peers = self.servers[node].peers();
        let server = &mut self.servers[node];
        let mut changed = false;
        for peer in peers {
            let held = server.leases.held(now, &peer);
            changed |= server.known_leases.insert(peer, held) != Some(held);
        }
        let meta = server.leases.held_from_meta(now);
        changed |= std::mem::replace(&mut server.known_meta_lease, meta) != meta;
        if changed {
            for pid in self.hosted_pids(node) {
                self.step(node, pid, Event::LeasesChanged);
            }
        }
    }

    fn look_for_silence(&mut self, node: usize, peer: &NodeId, now: Tick) {
        let silence = self.profile.leases.silence_ms;
        let server = &mut self.servers[node];
        let heard = server.leases.last_heard(peer);
        let watched = server.watched.entry(peer.clone()).or_insert(now);
        if now.since(heard.max(*watched)) <= silence {
            return;
        }
        *watched = now;
        if let Some(peer) = index_of(peer) {
            self.tell_those_with(node, peer, |peer| Event::PeerSilent { peer });
        }
    }

    pub fn beacon_timer(&mut self, node: usize) {
        let channel = Channel::Other(self.dice.any());
        self.send_to_server(node, BEACON_EVERY, channel, ServerEvent::BeaconTimer);
        let (sent, life) = (self.tick_of(node), self.servers[node].life);
        if let Some(delay) = self.call_delay(node, META) {
            self.send_to_meta(delay, MetaEvent::Beacon { node, life, sent, goodbye: false });
        }
    }

    pub fn goodbye(&mut self, node: usize) {
        let (sent, life) = (self.tick_of(node), self.servers[node].life);
        if let Some(delay) = self.call_delay(node, META) {
            self.send_to_meta(delay, MetaEvent::Beacon { node, life, sent, goodbye: true });
        }
    }

    pub fn beacon_ack(&mut self, node: usize, sent: Tick, lease_ms: u64) {
        let now = self.tick_of(node);
        if lease_ms > 0 {
            self.servers[node].leases.granted_by_meta(now, sent, lease_ms);
        }
        self.look_at_leases(node);
    }

    pub fn sync_timer(&mut self, node: usize) {
        let channel = Channel::Other(self.dice.any());
        let next = SYNC_EVERY + self.dice.range(0..100 * MS);
        self.send_to_server(node, next, channel, ServerEvent::SyncTimer);
        let now = self.tick_of(node);
        let server = &self.servers[node];
        let asked_in = server.leases.held_from_meta(now);
        let hosted = server.partitions.values().filter_map(|p| p.hosted.as_ref());
        let replicas: Vec<ReplicaReport> = hosted.map(|h| h.replica.report()).collect();
        let (life, id) = (server.life, server.id.clone());
        if let Some(delay) = self.call_delay(node, META) {
            let token = self.meta.token(Asker::Sync { node, life, asked_in });
            let event = Control::ConfigSync { token, node: id, incarnation: life, replicas };
            self.send_to_meta(delay, MetaEvent::Control(event));
        }
    }
}

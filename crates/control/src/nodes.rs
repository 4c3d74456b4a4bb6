use std::collections::BTreeMap;

use pegasus_types::{Ballot, NodeId, PartitionId, ReplicaReport, Tick};

/// What the meta server believes of a replica server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Liveness {
    /// Named by a configuration, not heard of since this meta server became leader. It may well be
    /// serving, so it is given one grace period.
    Presumed,
    Alive,
    Dead,
}

/// A replica server as the meta server knows it (`spec/meta.md` 6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub id: NodeId,
    pub liveness: Liveness,
    /// Of the process that was heard last; 0 while presumed.
    pub incarnation: u64,
    /// When this incarnation was first heard.
    pub since: Tick,
    pub last_beacon: Tick,
    /// Whether this incarnation reported its replicas since it was last found alive.
    pub collected: bool,
    /// What it reported; empty unless `collected`.
    pub(crate) reports: BTreeMap<PartitionId, ReplicaReport>,
    /// Partitions that list the node as a member although it reported no replica of them.
    pub(crate) missing: BTreeMap<PartitionId, Missing>,
    /// This incarnation said goodbye: late beacons of it are ignored until then.
    departed_until: Option<Tick>,
}

/// A member whose node reports no usable replica.
///
/// A report may have been written before the replica existed, or before a starting process had
/// opened all it has. So one absence proves nothing: it takes two reports in a row some time apart.
/// As a node has one report under way at most, the second was written after the first arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    pub ballot: Ballot,
    pub since: Tick,
    pub certain: bool,
}

impl Node {
    fn new(id: NodeId, now: Tick) -> Node {
        Node {
            id,
            liveness: Liveness::Presumed,
            incarnation: 0,
            since: now,
            last_beacon: now,
            collected: false,
            reports: BTreeMap::new(),
            missing: BTreeMap::new(),
            departed_until: None,
        }
    }

    /// Heard of and not dead.
    pub fn is_alive(&self) -> bool {
        self.liveness == Liveness::Alive
    }

    /// The replica of `pid` that this node reported.
    pub fn report(&self, pid: PartitionId) -> Option<&ReplicaReport> {
        self.reports.get(&pid)
    }

    pub(crate) fn certainly_lacks(&self, pid: PartitionId) -> bool {
        self.missing.get(&pid).is_some_and(|m| m.certain)
    }

    fn forget_reports(&mut self) {
        self.collected = false;
        self.reports.clear();
        self.missing.clear();
    }

    /// Whether a sign of life of `incarnation` is to be believed.
    fn accepts(&self, now: Tick, incarnation: u64) -> bool {
        match self.liveness {
            Liveness::Presumed => true,
            // An older process of a node that lives in a newer one: a late message. Should the
            // clock of the node have been set back, the newer one falls silent and dies first.
            Liveness::Alive => incarnation >= self.incarnation,
            Liveness::Dead => {
                incarnation != self.incarnation
                    || self.departed_until.is_none_or(|until| now >= until)
            }
        }
    }
}

/// What a sign of life changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Ignored,
    Nothing,
    /// New, back from the dead, or a new process.
    Arrived,
}

/// All nodes ever heard of or named by a configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Nodes {
    nodes: BTreeMap<NodeId, Node>,
}

impl Nodes {
    pub fn get(&self, id: &NodeId) -> Option<&Node> {
        self.nodes.get(id)
    }

    pub fn get_mut(&mut self, id: &NodeId) -> Option<&mut Node> {
        self.nodes.get_mut(id)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    pub fn alive(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values().filter(|node| node.is_alive())
    }

    pub fn is_alive(&self, id: &NodeId) -> bool {
        self.get(id).is_some_and(Node::is_alive)
    }

    pub fn is_dead(&self, id: &NodeId) -> bool {
        self.get(id).is_some_and(|node| node.liveness == Liveness::Dead)
    }

    pub fn clear(&mut self) {
        self.nodes.clear();
    }

    /// A configuration names this node.
    pub fn presume(&mut self, now: Tick, id: &NodeId) {
        if !self.nodes.contains_key(id) {
            self.nodes.insert(id.clone(), Node::new(id.clone(), now));
        }
    }

    pub fn heard(&mut self, now: Tick, id: &NodeId, incarnation: u64) -> Heard {
        self.presume(now, id);
        let Some(node) = self.nodes.get_mut(id) else {
            return Heard::Ignored;
        };
        if !node.accepts(now, incarnation) {
            return Heard::Ignored;
        }
        node.last_beacon = node.last_beacon.max(now);
        if node.is_alive() && node.incarnation == incarnation {
            return Heard::Nothing;
        }
        // Another process may have another disk under it: what the last one reported is void.
        node.forget_reports();
        if node.incarnation != incarnation {
            node.incarnation = incarnation;
            node.since = now;
        }
        node.liveness = Liveness::Alive;
        node.departed_until = None;
        Heard::Arrived
    }

    /// The process said that it stops. True if that was news.
    pub fn goodbye(&mut self, now: Tick, id: &NodeId, incarnation: u64, ignore_ms: u64) -> bool {
        let Some(node) = self.nodes.get_mut(id) else {
            return false;
        };
        if node.liveness == Liveness::Alive && node.incarnation != incarnation {
            return false;
        }
        node.incarnation = incarnation;
        node.departed_until = Some(now + ignore_ms);
        let news = node.liveness != Liveness::Dead;
        node.liveness = Liveness::Dead;
        node.forget_reports();
        news
    }

    /// Declares dead whoever was silent for longer than `grace_ms` and returns them.
    pub fn expire(&mut self, now: Tick, grace_ms: u64) -> Vec<NodeId> {
        let mut dead = Vec::new();
        for node in self.nodes.values_mut() {
            if node.liveness != Liveness::Dead && now.since(node.last_beacon) > grace_ms {
                node.liveness = Liveness::Dead;
                node.forget_reports();
                dead.push(node.id.clone());
            }
        }
        dead
    }

    /// This process did not run for a while and could not hear anybody: the silence proves nothing.
    pub fn excuse(&mut self, ms: u64) {
        for node in self.nodes.values_mut() {
            node.last_beacon = node.last_beacon + ms;
        }
    }

    /// (not dead, all), for the function level.
    pub fn counts(&self) -> (usize, usize) {
        let living = self.nodes.values().filter(|n| n.liveness != Liveness::Dead).count();
        (living, self.nodes.len())
    }
}

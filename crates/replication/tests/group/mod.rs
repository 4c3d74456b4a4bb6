//! A few replicas joined by a perfect network and instant disks: events in, effects out. Faults
//! are what a test does on purpose; random ones are the simulator's business.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use pegasus_replication::{
    CopiedState, Effect, Event, Gate, LeaseOptions, LeaseTable, Message, Options, PersistentState,
    Replica, Restored, WriteResult,
};
use pegasus_types::{
    AppInfo, AppStatus, Ballot, ChangeKind, Decree, Mutation, NodeId, PartitionConfig, PartitionId,
    Proposal, Tick, UpdateOutcome,
};

pub struct Node {
    pub replica: Replica,
    pub leases: LeaseTable,
    pub gate: Option<Gate>,
    pub log: Vec<Mutation>,
    pub state: Option<PersistentState>,
    pub engine: Vec<Mutation>,
    pub durable: usize,
    pub fenced: Option<String>,
    pub up: bool,
}

pub struct Group {
    pub now: Tick,
    pub nodes: BTreeMap<NodeId, Node>,
    /// What the meta server has stored.
    pub stored: PartitionConfig,
    pub replies: Vec<(u64, WriteResult)>,
    pub forgotten: Vec<u64>,
    /// Every message, as `from>to Kind`.
    pub trace: Vec<String>,
    inbox: VecDeque<(NodeId, Event)>,
    nonce: u64,
    /// Copies wait for `finish_copies` while this is set.
    pub hold_copies: bool,
    held_copies: Vec<(NodeId, NodeId, u64)>,
}

pub fn node(i: u16) -> NodeId {
    NodeId::new("n", i)
}

fn app() -> AppInfo {
    AppInfo {
        status: AppStatus::Available,
        app_type: "pegasus".into(),
        app_name: "t".into(),
        app_id: 1,
        partition_count: 1,
        envs: BTreeMap::new(),
        is_stateful: true,
        max_replica_count: 3,
        expire_second: 0,
        create_second: 0,
        drop_second: 0,
        duplicating: false,
        init_partition_count: -1,
        is_bulk_loading: false,
        atomic_idempotent: false,
    }
}

fn fresh(id: &NodeId, restored: Restored, now: Tick) -> Node {
    let options = Options { cache_bytes: 2000, ..Options::new(id.clone(), PartitionId::new(1, 0)) };
    Node {
        replica: Replica::open(options, restored, now),
        leases: LeaseTable::new(LeaseOptions::default(), now),
        gate: None,
        log: Vec::new(),
        state: None,
        engine: Vec::new(),
        durable: 0,
        fenced: None,
        up: true,
    }
}

fn nothing() -> Restored {
    Restored {
        state: None,
        app: app(),
        durable: Decree::ZERO,
        durable_chain: 0,
        log: Vec::new(),
        suspect: false,
    }
}

impl Group {
    pub fn new(count: u16) -> Group {
        let now = Tick(10_000);
        let nodes = (1..=count).map(|i| (node(i), fresh(&node(i), nothing(), now))).collect();
        let stored = PartitionConfig::new(PartitionId::new(1, 0), 3);
        Group {
            now,
            nodes,
            stored,
            replies: Vec::new(),
            forgotten: Vec::new(),
            trace: Vec::new(),
            inbox: VecDeque::new(),
            nonce: 0,
            hold_copies: false,
            held_copies: Vec::new(),
        }
    }

    /// Three members, primary n:1, leases in force.
    pub fn healthy() -> Group {
        let mut group = Group::new(3);
        group.propose(1, ChangeKind::AssignPrimary, 1);
        group.pass(100);
        for i in 2..=3 {
            group.propose(1, ChangeKind::AddSecondary, i);
            group.pass(1000);
        }
        assert_eq!(group.stored.member_count(), 3, "{:#?}", group.trace);
        group
    }

    pub fn primary(&self) -> NodeId {
        self.stored.primary.clone().expect("a primary")
    }

    pub fn replica(&self, i: u16) -> &Replica {
        &self.nodes[&node(i)].replica
    }

    pub fn propose(&mut self, to: u16, kind: ChangeKind, about: u16) {
        self.nonce += 1;
        let proposal = Proposal { config: self.stored.clone(), kind, node: node(about) };
        self.feed(node(to), Event::Proposal { proposal, nonce: self.nonce });
    }

    pub fn write(&mut self, token: u64, body: &'static str) {
        let event =
            Event::Write { token, timestamp_us: 1, body: Bytes::from_static(body.as_bytes()) };
        self.feed(self.primary(), event);
    }

    /// Kill a process: what is in its log stays, what the engine did not flush goes.
    pub fn kill(&mut self, i: u16) {
        self.nodes.get_mut(&node(i)).expect("node").up = false;
        self.inbox.retain(|(to, _)| *to != node(i));
    }

    pub fn restart(&mut self, i: u16, keep_data: bool) {
        let id = node(i);
        let old = self.nodes.remove(&id).expect("node");
        let mut restored = nothing();
        let mut durable = Vec::new();
        if keep_data {
            durable = old.engine[..old.durable].to_vec();
            restored.state = old.state.clone();
            restored.durable = durable.last().map_or(Decree::ZERO, |m| m.decree);
            restored.durable_chain = durable.last().map_or(0, |m| m.chain);
            restored.log = old.log.clone();
        }
        let mut new = fresh(&id, restored, self.now);
        if keep_data {
            new.log = old.log;
            new.state = old.state;
            new.durable = durable.len();
            new.engine = durable;
        }
        self.nodes.insert(id.clone(), new);
        for other in self.nodes.keys().filter(|n| **n != id).cloned().collect::<Vec<_>>() {
            self.feed(other, Event::PeerReset { peer: id.clone() });
        }
        self.feed(id, Event::Config { config: self.stored.clone(), asked_in: None });
    }

    /// What the meta server does when it believes that the primary is dead.
    pub fn primary_is_dead(&mut self) {
        let dead = self.stored.primary.take().expect("a primary");
        self.stored.ballot = self.stored.ballot.next();
        self.stored.last_drops.push(dead);
    }

    /// Let time pass in steps of 10 ms, with heartbeats between live nodes every 100 ms.
    pub fn pass(&mut self, ms: u64) {
        for _ in 0..ms / 10 {
            self.now = self.now + 10;
            if self.now.0.is_multiple_of(100) {
                self.heartbeats();
            }
            let live: Vec<NodeId> =
                self.nodes.iter().filter(|(_, n)| n.up).map(|(id, _)| id.clone()).collect();
            for id in live {
                self.feed(id, Event::Tick);
            }
        }
    }

    fn heartbeats(&mut self) {
        let live: Vec<NodeId> =
            self.nodes.iter().filter(|(_, n)| n.up).map(|(id, _)| id.clone()).collect();
        let now = self.now;
        for holder in &live {
            for grantor in live.iter().filter(|g| *g != holder) {
                self.nodes.get_mut(grantor).expect("node").leases.promise(now, holder);
                self.nodes.get_mut(holder).expect("node").leases.granted(now, grantor, now);
            }
            let leases = &mut self.nodes.get_mut(holder).expect("node").leases;
            leases.granted_by_meta(now, now, 1500);
        }
    }

    pub fn feed(&mut self, to: NodeId, event: Event) {
        self.inbox.push_back((to, event));
        while let Some((to, event)) = self.inbox.pop_front() {
            let Some(node) = self.nodes.get_mut(&to).filter(|n| n.up) else {
                continue;
            };
            let mut out = Vec::new();
            node.replica.step(self.now, &node.leases, event, &mut out);
            node.replica.check().expect("invariants");
            for effect in out {
                self.execute(&to, effect);
            }
        }
    }

    fn execute(&mut self, at: &NodeId, effect: Effect) {
        let node = self.nodes.get_mut(at).expect("node");
        let mut later = |event| self.inbox.push_back((at.clone(), event));
        match effect {
            Effect::PersistState { seq, state } => {
                node.state = Some(state);
                later(Event::StatePersisted { seq });
            }
            Effect::Append { seq, mutation } => {
                node.log.push(mutation);
                later(Event::Persisted { seq });
            }
            Effect::TruncateLog { seq, above } => {
                node.log.retain(|m| m.decree <= above);
                later(Event::Persisted { seq });
            }
            Effect::CollectLog { below } => node.log.retain(|m| m.decree > below),
            Effect::Apply { mutations } => {
                let up_to = mutations.last().expect("not empty").decree;
                node.engine.extend(mutations);
                later(Event::Applied { up_to });
            }
            Effect::Gate(gate) => node.gate = Some(gate),
            Effect::Reply { token, result } => self.replies.push((token, result)),
            Effect::Forget { token } => self.forgotten.push(token),
            Effect::Fenced { reason } => node.fenced = Some(reason),
            Effect::Send { to, message } => {
                self.trace.push(format!("{at}>{to} {}", kind_of(&message)));
                self.inbox.push_back((to, Event::Message { from: at.clone(), message }));
            }
            Effect::Update(request) => {
                let asked = request.config.clone();
                let outcome = if request.config.ballot == self.stored.ballot.next() {
                    self.stored = request.config;
                    UpdateOutcome::Accepted(self.stored.clone())
                } else {
                    UpdateOutcome::Refused(self.stored.clone())
                };
                later(Event::UpdateReply { asked, outcome });
            }
            Effect::AskMeta { epoch } => {
                later(Event::Config { config: self.stored.clone(), asked_in: Some(epoch) });
            }
            Effect::ReadLog { to, nonce, after, up_to, .. } => {
                let found: Vec<Mutation> = node
                    .log
                    .iter()
                    .filter(|m| m.decree > after && m.decree <= up_to)
                    .cloned()
                    .collect();
                let reaches = found.first().is_some_and(|m| m.decree == after.next());
                later(Event::LogRead { to, nonce, after, mutations: reaches.then_some(found) });
            }
            Effect::CopyCheckpoint { from, nonce } if self.hold_copies => {
                self.held_copies.push((at.clone(), from, nonce));
            }
            Effect::CopyCheckpoint { from, nonce } => self.copy(at, &from, nonce),
        }
    }

    fn copy(&mut self, at: &NodeId, from: &NodeId, nonce: u64) {
        let source = self.nodes[from].engine.clone();
        let node = self.nodes.get_mut(at).expect("node");
        let last = source.last().expect("something to copy");
        let state = CopiedState { decree: last.decree, chain: last.chain };
        node.durable = source.len();
        node.engine = source;
        node.log.clear();
        self.trace.push(format!("{at}<{from} checkpoint"));
        self.inbox.push_back((at.clone(), Event::CopyFinished { nonce, result: Ok(state) }));
    }

    /// Let the copies that were held arrive now.
    pub fn finish_copies(&mut self) -> usize {
        self.hold_copies = false;
        let held = std::mem::take(&mut self.held_copies);
        for (at, from, nonce) in &held {
            self.copy(at, from, *nonce);
        }
        self.pass(10);
        held.len()
    }

    /// Everything applied on a node, as text.
    pub fn content(&self, i: u16) -> Vec<String> {
        let engine = &self.nodes[&node(i)].engine;
        engine.iter().map(|m| String::from_utf8_lossy(&m.body).into_owned()).collect()
    }

    /// Flush a node's engine, which lets its log be collected.
    pub fn flush(&mut self, i: u16) {
        let node_state = self.nodes.get_mut(&node(i)).expect("node");
        node_state.durable = node_state.engine.len();
        let up_to = node_state.engine.last().map_or(Decree::ZERO, |m| m.decree);
        self.feed(node(i), Event::Flushed { up_to });
    }

    pub fn ballot(&self) -> Ballot {
        self.stored.ballot
    }
}

fn kind_of(message: &Message) -> String {
    let text = format!("{message:?}");
    text.split([' ', '(', '{']).next().unwrap_or_default().to_owned()
}

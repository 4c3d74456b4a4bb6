use std::collections::{BTreeMap, BTreeSet};

use pegasus_control::{
    ClusterState, CreateApp, DefaultApp, DropApp, Effect, Event, Options, PersistError, Response,
    StoreOp,
};
use pegasus_types::{
    Ballot, ChangeKind, ConfigUpdate, Decree, NodeId, PartitionConfig, PartitionId, Proposal,
    ReplicaReport, ReplicaStatus, Tick, UpdateOutcome,
};

pub const GRACE_MS: u64 = 3000;
pub const RESEND_MS: u64 = 1000;
const TICK_MS: u64 = 100;

/// A cluster state with a store, replica servers that beacon, and everything it said so far.
pub struct World {
    pub state: ClusterState,
    pub now: Tick,
    pub store: BTreeMap<String, String>,
    /// Transactions asked for and not answered, oldest first.
    pub writes: Vec<(u64, Vec<StoreOp>)>,
    /// Answer transactions at once.
    pub persist: bool,
    /// Nodes that beacon, with their incarnations.
    pub running: BTreeMap<NodeId, u64>,
    pub proposals: Vec<(Tick, NodeId, Proposal)>,
    pub pushes: Vec<(NodeId, PartitionConfig)>,
    pub replies: BTreeMap<u64, Response>,
    pub failure: Option<String>,
    next_token: u64,
}

pub fn node(n: u16) -> NodeId {
    NodeId::new("127.0.0.1", 34800 + n)
}

pub fn options() -> Options {
    Options {
        cluster_root: "/pegasus/test".to_owned(),
        fd_grace_ms: GRACE_MS,
        tick_ms: TICK_MS,
        resend_ms: RESEND_MS,
        min_live_node_count_for_unfreeze: 1,
        node_live_percentage_threshold_for_update: 0,
        ..Options::default()
    }
}

pub fn default_app(name: &str, partitions: i32, replicas: i32) -> DefaultApp {
    DefaultApp {
        app_name: name.to_owned(),
        app_type: "pegasus".to_owned(),
        partition_count: partitions,
        max_replica_count: replicas,
        envs: BTreeMap::new(),
    }
}

pub fn create(name: &str, partitions: i32, replicas: i32) -> CreateApp {
    CreateApp {
        app_name: name.to_owned(),
        app_type: "pegasus".to_owned(),
        partition_count: partitions,
        replica_count: replicas,
        success_if_exist: false,
        is_stateful: true,
        envs: BTreeMap::new(),
        atomic_idempotent: false,
    }
}

pub fn drop_request(name: &str) -> DropApp {
    DropApp { app_name: name.to_owned(), success_if_not_exist: false, reserve_seconds: None }
}

pub fn report(pid: PartitionId, status: ReplicaStatus, decrees: [i64; 3]) -> ReplicaReport {
    let [ballot, committed, prepared] = decrees;
    ReplicaReport {
        pid,
        ballot: Ballot(ballot),
        status,
        committed: Decree(committed),
        prepared: Decree(prepared),
        durable: Decree(0),
        suspect: false,
        disk_tag: "tag1".to_owned(),
    }
}

impl World {
    /// An unloaded state with an empty store.
    pub fn idle(options: Options) -> World {
        let now = Tick(1_000_000);
        World {
            state: ClusterState::new(options, now),
            now,
            store: BTreeMap::new(),
            writes: Vec::new(),
            persist: true,
            running: BTreeMap::new(),
            proposals: Vec::new(),
            pushes: Vec::new(),
            replies: BTreeMap::new(),
            failure: None,
            next_token: 0,
        }
    }

    /// `nodes` servers and one healthy table `t` (id 1).
    pub fn healthy(options: Options, nodes: u16, partitions: i32, replicas: i32) -> World {
        let default_apps = vec![default_app("t", partitions, replicas)];
        let mut world = World::idle(Options { default_apps, ..options });
        world.load();
        for n in 1..=nodes {
            world.start(n);
        }
        world.obey_until_quiet();
        assert!(world.partitions().iter().all(|c| c.member_count() == replicas as usize));
        world
    }

    pub fn feed(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let mut out = Vec::new();
            self.state.step(self.now, event, &mut out);
            self.state.check().unwrap();
            for effect in out {
                self.take(effect);
            }
            if self.persist && !self.writes.is_empty() {
                events.push(self.commit_oldest());
            }
        }
    }

    fn take(&mut self, effect: Effect) {
        match effect {
            Effect::Persist { seq, ops } => self.writes.push((seq, ops)),
            Effect::Propose { to, proposal, .. } => self.proposals.push((self.now, to, proposal)),
            Effect::PushConfig { to, partitions } => {
                self.pushes.extend(partitions.into_iter().map(|(c, _)| (to.clone(), c)));
            }
            Effect::Reply { token, response } => {
                assert!(self.replies.insert(token, response).is_none(), "answered twice");
            }
            Effect::LoadFailed { reason } => self.failure = Some(reason),
        }
    }

    /// Carries out the oldest transaction without telling the state.
    pub fn write_oldest(&mut self) -> u64 {
        let (seq, ops) = self.writes.remove(0);
        for op in ops {
            match op {
                StoreOp::Create { path, data } => {
                    self.store.entry(path).or_insert(data);
                }
                StoreOp::Set { path, data } => {
                    self.store.insert(path, data);
                }
                StoreOp::Delete { path } => {
                    self.store.remove(&path);
                }
            }
        }
        seq
    }

    fn commit_oldest(&mut self) -> Event {
        let seq = self.write_oldest();
        Event::Persisted { seq, result: Ok(()) }
    }

    pub fn commit(&mut self) {
        let event = self.commit_oldest();
        self.feed(event);
    }

    pub fn fail_write(&mut self, error: PersistError) {
        let (seq, _) = self.writes.remove(0);
        self.feed(Event::Persisted { seq, result: Err(error) });
    }

    pub fn load(&mut self) {
        let nodes = self.store.iter().map(|(p, d)| (p.clone(), d.clone())).collect();
        self.feed(Event::Loaded { nodes });
    }

    /// The meta server crashes and a new one loads the store.
    pub fn restart_meta(&mut self) {
        self.state = ClusterState::new(self.state.options().clone(), self.now);
        self.writes.clear();
        self.proposals.clear();
        self.load();
    }

    pub fn start(&mut self, n: u16) {
        self.running.insert(node(n), 1);
        self.feed(Event::Beacon { node: node(n), incarnation: 1, goodbye: false });
    }

    pub fn restart(&mut self, n: u16, incarnation: u64) {
        self.running.insert(node(n), incarnation);
        self.feed(Event::Beacon { node: node(n), incarnation, goodbye: false });
    }

    pub fn kill(&mut self, n: u16) {
        self.running.remove(&node(n));
    }

    pub fn goodbye(&mut self, n: u16) {
        let incarnation = self.running.remove(&node(n)).unwrap();
        self.feed(Event::Beacon { node: node(n), incarnation, goodbye: true });
    }

    /// Time passes; whoever runs beacons.
    pub fn pass(&mut self, ms: u64) {
        let end = self.now + ms;
        while self.now < end {
            self.now = (self.now + TICK_MS).min(end);
            for (node, incarnation) in self.running.clone() {
                self.feed(Event::Beacon { node, incarnation, goodbye: false });
            }
            self.feed(Event::Tick);
        }
    }

    pub fn token(&mut self) -> u64 {
        self.next_token += 1;
        self.next_token
    }

    pub fn ask(&mut self, make: impl FnOnce(u64) -> Event) -> Response {
        let token = self.token();
        self.feed(make(token));
        self.replies.remove(&token).expect("an answer")
    }

    pub fn update(&mut self, update: ConfigUpdate) -> UpdateOutcome {
        match self.ask(|token| Event::UpdateConfig { token, update }) {
            Response::Update(outcome) => outcome,
            other => panic!("{other:?}"),
        }
    }

    pub fn sync(&mut self, n: u16, replicas: Vec<ReplicaReport>) -> Response {
        let incarnation = self.running[&node(n)];
        self.ask(|token| Event::ConfigSync { token, node: node(n), incarnation, replicas })
    }

    pub fn config(&self, index: i32) -> PartitionConfig {
        self.state.partition(PartitionId::new(1, index)).unwrap().clone()
    }

    pub fn partitions(&self) -> Vec<PartitionConfig> {
        self.state.partitions(1).cloned().collect()
    }

    /// The proposals of partition 1.0 sent since the last call: (kind, node, to).
    pub fn proposed(&mut self) -> Vec<(ChangeKind, NodeId, NodeId)> {
        let all = std::mem::take(&mut self.proposals);
        all.into_iter().map(|(_, to, p)| (p.kind, p.node, to)).collect()
    }

    /// Replica servers that run do what they are told, until nobody is told anything new.
    pub fn obey_until_quiet(&mut self) {
        for _ in 0..100 {
            self.pass(TICK_MS);
            let proposals = std::mem::take(&mut self.proposals);
            if proposals.is_empty() {
                self.pass(RESEND_MS);
                if self.proposals.is_empty() {
                    return;
                }
                continue;
            }
            for (_, to, proposal) in proposals {
                if self.running.contains_key(&to) && self.running.contains_key(&proposal.node)
                    || self.running.contains_key(&to) && removes(proposal.kind)
                {
                    self.update(update_for(&proposal));
                }
            }
        }
        panic!("never quiet");
    }
}

fn removes(kind: ChangeKind) -> bool {
    matches!(kind, ChangeKind::DowngradeToInactive | ChangeKind::Remove)
}

/// The update with which a replica answers a proposal once it is done.
pub fn update_for(proposal: &Proposal) -> ConfigUpdate {
    let kind = match proposal.kind {
        ChangeKind::AddSecondary => ChangeKind::UpgradeToSecondary,
        kind => kind,
    };
    change(&proposal.config, kind, &proposal.node)
}

/// `config` with the ballot raised and the change made, as a replica would ask for it.
pub fn change(config: &PartitionConfig, kind: ChangeKind, node: &NodeId) -> ConfigUpdate {
    let mut next = config.clone();
    next.ballot = config.ballot.next();
    match kind {
        ChangeKind::AssignPrimary | ChangeKind::UpgradeToPrimary => {
            next.primary = Some(node.clone());
            next.secondaries.retain(|n| n != node);
        }
        ChangeKind::UpgradeToSecondary => next.secondaries.push(node.clone()),
        _ => {
            next.primary = next.primary.filter(|n| n != node);
            next.secondaries.retain(|n| n != node);
        }
    }
    ConfigUpdate { kind, node: node.clone(), config: next }
}

/// How many primaries each node has.
pub fn primaries(configs: &[PartitionConfig]) -> BTreeMap<NodeId, usize> {
    let mut counts = BTreeMap::new();
    for primary in configs.iter().filter_map(|c| c.primary.clone()) {
        *counts.entry(primary).or_insert(0) += 1;
    }
    counts
}

pub fn members(config: &PartitionConfig) -> BTreeSet<NodeId> {
    config.members().cloned().collect()
}

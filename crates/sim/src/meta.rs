//! The meta server: the control core around a store that survives its crashes.

use std::collections::BTreeMap;

use pegasus_control::{
    ClusterState, CreateApp, Effect, Event, Options, PersistError, Response, StoreOp,
};
use pegasus_types::{Ballot, Decree, NodeId, PartitionConfig, PartitionId, Tick, UpdateOutcome};
use serde_json::Value;

use crate::clock::{Clock, MS, SECOND};
use crate::dice::Dice;
use crate::invariants::Violation;
use crate::leases::{META_GRACE_MS, META_LEASE_MS};
use crate::network::META;
use crate::profile::Profile;
use crate::render::render;
use crate::server::{Channel, ServerEvent, index_of, node_id};
use crate::world::{Item, World};

const ROOT: &str = "/pegasus/sim";
const TICK_MS: u64 = 100;
pub const TABLE: &str = "temp";

#[derive(Clone, Debug)]
pub enum MetaEvent {
    Beacon {
        node: usize,
        life: u64,
        sent: Tick,
        goodbye: bool,
    },
    Control(Event),
    Tick,
    /// The store has carried out a transaction, or has it not.
    Stored {
        seq: u64,
    },
    /// Somebody wants the table.
    Create,
}

/// Who waits for the answer with a token.
#[derive(Clone, Debug)]
pub enum Asker {
    Sync { node: usize, life: u64, asked_in: Option<u64> },
    Query { node: usize, life: u64, epoch: u64 },
    Update { node: usize, life: u64, pid: PartitionId, config: PartitionConfig },
    Create,
}

pub struct MetaNode {
    pub up: bool,
    pub life: u64,
    clock: Clock,
    options: Options,
    state: Option<ClusterState>,
    store: BTreeMap<String, String>,
    /// Transactions on their way to the store.
    transactions: BTreeMap<u64, Vec<StoreOp>>,
    askers: BTreeMap<u64, Asker>,
    next_token: u64,
    partitions: i32,
}

impl MetaNode {
    pub fn new(profile: &Profile, dice: &mut Dice) -> MetaNode {
        let mut options = Options {
            cluster_root: ROOT.to_owned(),
            fd_grace_ms: META_GRACE_MS,
            tick_ms: TICK_MS,
            sweep_ms: 2_000,
            resend_ms: 300,
            patience_ms: 3_000,
            replica_assign_delay_ms_for_dropouts: 2_000,
            mutation_2pc_min_replica_count: profile.min_ack_members as i32,
            ..Options::default()
        };
        if profile.lax_meta {
            options.min_live_node_count_for_unfreeze = 1;
            options.node_live_percentage_threshold_for_update = 0;
        }
        MetaNode {
            up: false,
            life: 0,
            clock: Clock::new(dice.range(SECOND..1000 * SECOND), 0),
            options,
            state: None,
            store: BTreeMap::new(),
            transactions: BTreeMap::new(),
            askers: BTreeMap::new(),
            next_token: 0,
            partitions: profile.partitions,
        }
    }

    pub fn token(&mut self, asker: Asker) -> u64 {
        self.next_token += 1;
        self.askers.insert(self.next_token, asker);
        self.next_token
    }

    /// The configuration in force, while the meta server is up.
    pub fn config(&self, pid: PartitionId) -> Option<&PartitionConfig> {
        self.state.as_ref().filter(|_| self.up)?.partition(pid)
    }

    pub fn primary(&self, pid: PartitionId) -> Option<NodeId> {
        self.config(pid)?.primary.clone()
    }

    fn execute(&mut self, op: &StoreOp) {
        match op {
            StoreOp::Create { path, data } => {
                self.store.entry(path.clone()).or_insert_with(|| data.clone());
            }
            StoreOp::Set { path, data } => {
                self.store.insert(path.clone(), data.clone());
            }
            StoreOp::Delete { path } => {
                self.store.remove(path);
            }
        }
    }
}

impl World {
    pub fn send_to_meta(&mut self, delay: u64, event: MetaEvent) {
        if self.meta.up {
            let life = self.meta.life;
            self.schedule(delay, Item::Meta { life, event });
        }
    }

    pub fn start_meta(&mut self) {
        if self.meta.up {
            return;
        }
        self.meta.up = true;
        self.meta.life += 1;
        let now = self.meta.clock.tick(self.now);
        self.meta.state = Some(ClusterState::new(self.meta.options.clone(), now));
        self.trace.line(self.now, || "meta starts".to_owned());
        let nodes = self.meta.store.iter().map(|(p, d)| (p.clone(), d.clone())).collect();
        self.meta_step(Event::WallClock { unix_secs: 1_700_000_000 });
        self.meta_step(Event::Loaded { nodes });
        self.send_to_meta(TICK_MS * MS, MetaEvent::Tick);
        if self.pids.is_empty() {
            self.send_to_meta(100 * MS, MetaEvent::Create);
        }
    }

    pub fn crash_meta(&mut self) {
        if !self.meta.up {
            return;
        }
        self.trace.line(self.now, || "meta crashes".to_owned());
        self.meta.up = false;
        self.meta.state = None;
        self.meta.askers.clear();
        // Nobody will hear how these ended.
        for (_, ops) in std::mem::take(&mut self.meta.transactions) {
            if self.dice.chance(500) {
                self.commit(&ops);
            }
        }
        self.count("meta_crashes");
    }

    pub fn meta_event(&mut self, life: u64, event: MetaEvent) {
        if !self.meta.up || self.meta.life != life {
            return;
        }
        self.trace.mix(0x77);
        match event {
            MetaEvent::Beacon { node, life, sent, goodbye } => {
                let id = node_id(node);
                self.meta_step(Event::Beacon { node: id.clone(), incarnation: life, goodbye });
                let state = self.meta.state.as_ref();
                let living = state.is_some_and(|s| s.is_living(&id, life));
                let lease_ms = if living && !goodbye { META_LEASE_MS } else { 0 };
                self.answer_server(node, life, ServerEvent::BeaconAck { sent, lease_ms });
            }
            MetaEvent::Control(event) => self.meta_step(event),
            MetaEvent::Tick => {
                self.send_to_meta(TICK_MS * MS, MetaEvent::Tick);
                self.meta_step(Event::Tick);
            }
            MetaEvent::Stored { seq } => self.stored(seq),
            MetaEvent::Create => {
                if self.pids.is_empty() {
                    self.send_to_meta(200 * MS, MetaEvent::Create);
                    let token = self.meta.token(Asker::Create);
                    let request = CreateApp {
                        app_name: TABLE.to_owned(),
                        app_type: "pegasus".to_owned(),
                        partition_count: self.meta.partitions,
                        replica_count: 3,
                        success_if_exist: true,
                        is_stateful: true,
                        envs: BTreeMap::new(),
                        atomic_idempotent: false,
                    };
                    self.meta_step(Event::CreateApp { token, request });
                }
            }
        }
    }

    fn meta_step(&mut self, event: Event) {
        let now = self.meta.clock.tick(self.now);
        let Some(state) = self.meta.state.as_mut() else {
            return;
        };
        let quiet = matches!(event, Event::Tick | Event::Beacon { .. } | Event::Loaded { .. });
        if self.trace.verbose() && !quiet {
            let text = render(&format!("meta {event:?}"));
            self.trace.line(self.now, || text);
        }
        let mut out = Vec::new();
        state.step(now, event, &mut out);
        let checked = state.check().map_err(|problem| Violation::new("control_check", problem));
        self.ensure(checked);
        for effect in out {
            if self.trace.verbose() {
                let text = render(&format!("      meta -> {effect:?}"));
                self.trace.line(self.now, || text);
            }
            if self.violation.is_none() && self.meta.up {
                self.meta_effect(effect);
            }
        }
    }

    fn meta_effect(&mut self, effect: Effect) {
        match effect {
            Effect::Persist { seq, ops } => {
                self.meta.transactions.insert(seq, ops);
                let delay = self.dice.delay(
                    MS / 2..5 * MS,
                    self.profile.slow_disk_permille,
                    5 * MS..500 * MS,
                );
                self.send_to_meta(delay, MetaEvent::Stored { seq });
            }
            Effect::Propose { to, proposal, app } => {
                let nonce = self.dice.any();
                self.tell(&to, ServerEvent::Propose { proposal, app, nonce });
            }
            Effect::PushConfig { to, partitions } => {
                for (config, app) in partitions {
                    self.tell(&to, ServerEvent::Told { config, app: Some(app), asked_in: None });
                }
            }
            Effect::Reply { token, response } => self.meta_reply(token, response),
            Effect::LoadFailed { reason } => {
                self.violate(Violation::new("the_store_can_be_loaded", reason));
            }
        }
    }

    /// Unreliable.
    fn tell(&mut self, to: &NodeId, event: ServerEvent) {
        let Some(node) = index_of(to).filter(|n| self.is_up(*n)) else {
            return;
        };
        let life = self.servers[node].life;
        self.answer_server(node, life, event);
    }

    fn answer_server(&mut self, node: usize, life: u64, event: ServerEvent) {
        if let Some(delay) = self.call_delay(META, node) {
            let channel = Channel::Other(self.dice.any());
            self.schedule(delay, Item::Server { node, life, channel, event });
        }
    }

    fn stored(&mut self, seq: u64) {
        let Some(ops) = self.meta.transactions.remove(&seq) else {
            return;
        };
        let unclear = self.stormy && self.dice.chance(self.profile.loss_permille / 2);
        if !unclear || self.dice.chance(500) {
            self.commit(&ops);
        }
        let result = if unclear { Err(PersistError::Unknown) } else { Ok(()) };
        self.meta_step(Event::Persisted { seq, result });
    }

    /// The transaction is in the store from now on.
    fn commit(&mut self, ops: &[StoreOp]) {
        for op in ops {
            self.meta.execute(op);
            let (StoreOp::Create { path, data } | StoreOp::Set { path, data }) = op else {
                continue;
            };
            if let Some(config) = config_in(data) {
                self.trace.line(self.now, || render(&format!("store {path}: {config:?}")));
                let stored = self.oracle.store.stored(&config);
                self.ensure(stored);
            }
        }
    }

    fn meta_reply(&mut self, token: u64, response: Response) {
        let Some(asker) = self.meta.askers.remove(&token) else {
            return;
        };
        match (asker, response) {
            (Asker::Sync { node, life, asked_in }, Response::Sync(reply)) => {
                for (config, app) in reply.partitions {
                    let event = ServerEvent::Told { config, app: Some(app), asked_in };
                    self.answer_server(node, life, event);
                }
            }
            (Asker::Query { node, life, epoch }, Response::Partition(Some(config))) => {
                let event = ServerEvent::Told { config, app: None, asked_in: Some(epoch) };
                self.answer_server(node, life, event);
            }
            (Asker::Update { node, life, pid, config }, Response::Update(outcome)) => {
                self.count(match &outcome {
                    UpdateOutcome::Accepted(_) => "reconfigurations",
                    _ => "reconfigurations_refused",
                });
                let event = ServerEvent::UpdateReply { pid, config, outcome };
                self.answer_server(node, life, event);
            }
            (Asker::Create, Response::Create(Ok(app_id))) => {
                let partitions = 0..self.meta.partitions;
                self.pids = partitions.map(|index| PartitionId::new(app_id, index)).collect();
            }
            _ => {}
        }
    }
}

/// What the store says about a partition, read independently of the control core.
fn config_in(data: &str) -> Option<PartitionConfig> {
    let json: Value = serde_json::from_str(data).ok()?;
    let pid: PartitionId = json.get("pid")?.as_str()?.parse().ok()?;
    let nodes = |name: &str| -> Vec<NodeId> {
        let list = json.get(name).and_then(Value::as_array);
        let texts = list.into_iter().flatten().filter_map(Value::as_str);
        texts.filter_map(|text| text.parse().ok()).collect()
    };
    Some(PartitionConfig {
        pid,
        ballot: Ballot(json.get("ballot")?.as_i64()?),
        max_replica_count: 3,
        primary: json.get("hp_primary")?.as_str()?.parse().ok(),
        secondaries: nodes("hp_secondaries"),
        last_drops: nodes("hp_last_drops"),
        last_committed: Decree(json.get("last_committed_decree")?.as_i64()?),
    })
}

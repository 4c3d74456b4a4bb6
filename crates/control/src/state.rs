use std::collections::{BTreeMap, BTreeSet};

use pegasus_types::{AppInfo, AppStatus, NodeId, PartitionConfig, PartitionId, Tick};

use crate::loads::Loads;
use crate::nodes::{Heard, Nodes};
use crate::partition::{Cure, Partition, min_write_members};
use crate::sync::Parked;
use crate::writes::Writes;
use crate::{Effect, Effects, Event, FunctionLevel, Health, Node, Options, Response, Token};

/// A table with its partitions. `info.status` is the one in force, also while a change of it is on
/// its way to the store (creating, dropping).
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub info: AppInfo,
    /// By index, all of them.
    pub partitions: Vec<Partition>,
    /// Who waits for the end of the creation or drop under way.
    pub waiting: Vec<Token>,
    /// The operation under way was begun before (found in the store) or has no client: it is
    /// tried until it succeeds.
    pub keep_trying: bool,
    /// Some of the operation under way is in the store.
    pub begun: bool,
    /// The next step of the operation was refused and is not tried again before.
    pub not_before: Tick,
    pub version: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing was loaded yet, or what was loaded is damaged.
    Idle,
    Serving,
}

/// The state of a cluster and everything the meta server decides about it.
#[derive(Clone, Debug)]
pub struct ClusterState {
    pub(crate) options: Options,
    pub(crate) phase: Phase,
    pub(crate) level: FunctionLevel,
    pub(crate) unix_secs: i64,
    pub(crate) now: Tick,
    pub(crate) nodes: Nodes,
    pub(crate) apps: BTreeMap<i32, App>,
    /// Names in use; dropped tables have none.
    pub(crate) names: BTreeMap<String, i32>,
    pub(crate) next_app_id: i32,
    /// The default tables of a new store are being made.
    pub(crate) bootstrapping: bool,
    pub(crate) loads: Loads,
    pub(crate) writes: Writes,
    pub(crate) parked: Vec<Parked>,
    /// To be looked at in this step.
    pub(crate) dirty: BTreeSet<PartitionId>,
    /// Were not healthy when last looked at.
    pub(crate) ill: BTreeSet<PartitionId>,
    next_sweep: Tick,
    first_beacon: Option<Tick>,
    /// Enough nodes had time to show up for the first assignments.
    pub(crate) settled: bool,
    /// Whom this step's changes concern.
    pub(crate) pushes: BTreeMap<NodeId, BTreeSet<PartitionId>>,
    pub(crate) version: u64,
}

impl ClusterState {
    /// Serves nothing until `Event::Loaded`.
    pub fn new(options: Options, now: Tick) -> ClusterState {
        ClusterState {
            phase: Phase::Idle,
            level: options.function_level_on_start,
            unix_secs: 0,
            now,
            nodes: Nodes::default(),
            apps: BTreeMap::new(),
            names: BTreeMap::new(),
            next_app_id: 1,
            bootstrapping: false,
            loads: Loads::default(),
            writes: Writes::default(),
            parked: Vec::new(),
            dirty: BTreeSet::new(),
            ill: BTreeSet::new(),
            next_sweep: now,
            first_beacon: None,
            settled: false,
            pushes: BTreeMap::new(),
            version: 0,
            options,
        }
    }

    /// Feeds one event. `now` is this node's own clock; a reading older than the last one counts
    /// as the last one.
    pub fn step(&mut self, now: Tick, event: Event, out: &mut Effects) {
        self.advance(now);
        match event {
            Event::Loaded { nodes } => self.load(&nodes, out),
            Event::WallClock { unix_secs } => self.unix_secs = unix_secs,
            event if self.phase == Phase::Idle => refuse(event, out),
            event => self.serve(event, out),
        }
        if self.phase == Phase::Serving {
            self.guard(out);
            self.release_parked(out);
            self.send_pushes(out);
        }
    }

    fn serve(&mut self, event: Event, out: &mut Effects) {
        match event {
            Event::Persisted { seq, result } => self.persisted(seq, &result, out),
            Event::Beacon { node, incarnation, goodbye } => {
                self.beacon(&node, incarnation, goodbye);
            }
            Event::Tick => self.tick(out),
            Event::UpdateConfig { token, update } => self.update_config(token, update, out),
            Event::ConfigSync { token, node, incarnation, replicas } => {
                self.config_sync(token, node, incarnation, replicas, out);
            }
            Event::QueryPartition { token, pid } => self.query_partition(token, pid),
            Event::CreateApp { token, request } => self.create_app(token, request, out),
            Event::DropApp { token, request } => self.drop_app(token, &request, out),
            Event::SetLevel { token, level } => self.set_level(token, level, out),
            Event::Loaded { .. } | Event::WallClock { .. } => {}
        }
    }

    /// A process that was stopped for a while heard nobody; that must not kill the whole cluster.
    fn advance(&mut self, now: Tick) {
        let gap = now.since(self.now);
        self.nodes.excuse(gap.saturating_sub(self.options.fd_grace_ms / 2));
        self.now = self.now.max(now);
    }

    fn tick(&mut self, out: &mut Effects) {
        for node in self.nodes.expire(self.now, self.options.fd_grace_ms) {
            self.node_changed(&node);
        }
        self.writes.resume(self.now, out);
        self.continue_tables(out);
        if self.now >= self.next_sweep {
            self.next_sweep = self.now + self.options.sweep_ms;
            let all = self.apps.values().flat_map(|app| &app.partitions);
            self.dirty.extend(all.map(|p| p.config.pid));
        }
        self.dirty.extend(self.ill.iter().copied());
    }

    /// Returns whether the sender is the living process of its node.
    pub(crate) fn beacon(&mut self, node: &NodeId, incarnation: u64, goodbye: bool) -> bool {
        if goodbye {
            let ignore_ms = self.options.fd_grace_ms;
            if self.nodes.goodbye(self.now, node, incarnation, ignore_ms) {
                self.node_changed(node);
            }
            return false;
        }
        match self.nodes.heard(self.now, node, incarnation) {
            Heard::Ignored => false,
            Heard::Nothing => true,
            Heard::Arrived => {
                self.first_beacon.get_or_insert(self.now);
                self.node_changed(node);
                true
            }
        }
    }

    /// A node came or went: look at its partitions and at all that wait for something.
    fn node_changed(&mut self, node: &NodeId) {
        self.version += 1;
        self.dirty.extend(self.loads.members_of(node));
        self.dirty.extend(self.ill.iter().copied());
    }

    /// Whether enough nodes are known for first assignments. The first node to come up must not
    /// become primary of everything.
    pub(crate) fn settle(&mut self) {
        if !self.settled {
            let enough = self.nodes.alive().count() >= self.options.settle_node_count;
            let waited = self
                .first_beacon
                .is_some_and(|first| self.now.since(first) >= self.options.fd_grace_ms);
            self.settled = enough || waited;
        }
    }

    fn set_level(&mut self, token: Token, level: Option<FunctionLevel>, out: &mut Effects) {
        let old = self.level;
        self.level = level.unwrap_or(old);
        if level.is_some_and(|level| level <= FunctionLevel::Steady) {
            let pids: Vec<PartitionId> = self.ill.iter().copied().collect();
            for pid in pids {
                self.set_cure(pid, None);
            }
        }
        self.dirty.extend(self.ill.iter().copied());
        self.version += 1;
        out.push(Effect::Reply { token, response: Response::Level(old) });
    }

    /// Replaces the proposal of a partition and what it promised to its node.
    pub(crate) fn set_cure(&mut self, pid: PartitionId, cure: Option<Cure>) {
        let Some(partition) = partition_mut(&mut self.apps, pid) else {
            return;
        };
        if let Some(old) = partition.cure.take() {
            let (primaries, partitions) = old.promise();
            self.loads.change(&old.node, pid.app_id, -primaries, -partitions);
        }
        if let Some(new) = &cure {
            let (primaries, partitions) = new.promise();
            self.loads.change(&new.node, pid.app_id, primaries, partitions);
        }
        partition.cure = cure;
    }

    /// Puts a stored configuration into force.
    pub(crate) fn install(&mut self, pid: PartitionId, config: PartitionConfig) {
        self.set_cure(pid, None);
        let now = self.now;
        let Some(partition) = partition_mut(&mut self.apps, pid) else {
            return;
        };
        let old = std::mem::replace(&mut partition.config, config);
        let new = &partition.config;
        partition.changed_at = now;
        partition.drops.retain(|(node, _)| !new.is_member(node));
        for node in old.members().filter(|node| !new.is_member(node)) {
            partition.drops.retain(|(other, _)| other != node);
            partition.drops.push((node.clone(), now));
        }
        let surplus = partition.drops.len().saturating_sub(crate::partition::MAX_LAST_DROPS);
        partition.drops.drain(..surplus);

        self.loads.remove(&old);
        self.loads.add(new);
        for node in old.members().chain(new.members()) {
            if old.is_member(node) != new.is_member(node) {
                self.nodes.presume(now, node);
                if let Some(node) = self.nodes.get_mut(node) {
                    node.missing.remove(&pid);
                }
            }
            if !self.nodes.is_dead(node) {
                self.pushes.entry(node.clone()).or_default().insert(pid);
            }
        }
        self.dirty.insert(pid);
        self.touch(pid.app_id);
    }

    fn send_pushes(&mut self, out: &mut Effects) {
        for (to, pids) in std::mem::take(&mut self.pushes) {
            let partitions = pids.into_iter().filter_map(|pid| self.with_app(pid)).collect();
            out.push(Effect::PushConfig { to, partitions });
        }
    }

    /// Marks a table as changed for those who copy the state.
    pub(crate) fn touch(&mut self, app_id: i32) {
        self.version += 1;
        if let Some(app) = self.apps.get_mut(&app_id) {
            app.version = self.version;
        }
    }

    pub(crate) fn partition_ref(&self, pid: PartitionId) -> Option<(&App, &Partition)> {
        let app = self.apps.get(&pid.app_id)?;
        Some((app, app.partitions.get(usize::try_from(pid.index).ok()?)?))
    }

    pub(crate) fn with_app(&self, pid: PartitionId) -> Option<(PartitionConfig, AppInfo)> {
        let (app, partition) = self.partition_ref(pid)?;
        Some((partition.config.clone(), app.info.clone()))
    }
}

/// What may be read at any time; all of it is in the store.
impl ClusterState {
    /// The table in use under this name, also while it is created or dropped.
    pub fn app(&self, name: &str) -> Option<&AppInfo> {
        self.names.get(name).and_then(|id| self.app_by_id(*id))
    }

    pub fn app_by_id(&self, app_id: i32) -> Option<&AppInfo> {
        self.apps.get(&app_id).map(|app| &app.info)
    }

    /// All tables by id, dropped ones too.
    pub fn apps(&self) -> impl Iterator<Item = &AppInfo> {
        self.apps.values().map(|app| &app.info)
    }

    pub fn partition(&self, pid: PartitionId) -> Option<&PartitionConfig> {
        self.partition_ref(pid).map(|(_, partition)| &partition.config)
    }

    /// All partitions of a table by index.
    pub fn partitions(&self, app_id: i32) -> impl Iterator<Item = &PartitionConfig> {
        self.apps.get(&app_id).into_iter().flat_map(|app| app.partitions.iter().map(|p| &p.config))
    }

    pub fn health(&self, pid: PartitionId) -> Option<Health> {
        self.partition(pid).map(|config| {
            let configured = self.options.mutation_2pc_min_replica_count;
            Health::of(config, min_write_members(configured, config.max_replica_count))
        })
    }

    /// All nodes ever heard of or named by a configuration, by address.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter()
    }

    /// Whether a beacon of this process is to be answered with a lease.
    pub fn is_living(&self, node: &NodeId, incarnation: u64) -> bool {
        self.nodes.get(node).is_some_and(|n| n.is_alive() && n.incarnation == incarnation)
    }

    pub fn is_serving(&self) -> bool {
        self.phase == Phase::Serving
    }

    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The level set, or `Freezed` while too few nodes live (`spec/meta.md` 7).
    pub fn effective_level(&self) -> FunctionLevel {
        let (living, all) = self.nodes.counts();
        let percent = self.options.node_live_percentage_threshold_for_update;
        let few = living < self.options.min_live_node_count_for_unfreeze
            || (living as u64).saturating_mul(100) < percent.saturating_mul(all as u64);
        if few { self.level.min(FunctionLevel::Freezed) } else { self.level }
    }

    /// Grows with every change of anything that can be read here.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The version at which this table or one of its partitions changed last.
    pub fn app_version(&self, app_id: i32) -> Option<u64> {
        self.apps.get(&app_id).map(|app| app.version)
    }
}

impl App {
    pub fn new(info: AppInfo, partitions: Vec<Partition>) -> App {
        App {
            info,
            partitions,
            waiting: Vec::new(),
            keep_trying: false,
            begun: false,
            not_before: Tick::ZERO,
            version: 0,
        }
    }

    pub fn is_available(&self) -> bool {
        self.info.status == AppStatus::Available
    }
}

pub(crate) fn partition_mut(
    apps: &mut BTreeMap<i32, App>,
    pid: PartitionId,
) -> Option<&mut Partition> {
    apps.get_mut(&pid.app_id)?.partitions.get_mut(usize::try_from(pid.index).ok()?)
}

/// Before anything is loaded.
fn refuse(event: Event, out: &mut Effects) {
    match event {
        Event::UpdateConfig { token, .. }
        | Event::ConfigSync { token, .. }
        | Event::QueryPartition { token, .. }
        | Event::CreateApp { token, .. }
        | Event::DropApp { token, .. }
        | Event::SetLevel { token, .. } => {
            out.push(Effect::Reply { token, response: Response::AskAgain });
        }
        // A beacon that comes too early is repeated by its sender.
        Event::Loaded { .. }
        | Event::Persisted { .. }
        | Event::Beacon { .. }
        | Event::Tick
        | Event::WallClock { .. } => {}
    }
}

//! What the server process does around its replicas: from what happens to events of the core.

use std::collections::VecDeque;

use pegasus_replication::{Event, Message, Options, Replica, Restored, Sync};
use pegasus_types::{
    AppInfo, Ballot, ChangeKind, NodeId, PartitionConfig, PartitionId, Proposal, UpdateOutcome,
};

use crate::clock::{Clock, MS, SECOND};
use crate::dice::Dice;
use crate::profile::Profile;
use crate::render::render;
use crate::server::{Channel, Disk, Hosted, Partition, Server, ServerEvent, index_of, node_id};
use crate::world::World;

impl Server {
    pub fn random(index: usize, profile: &Profile, dice: &mut Dice) -> Server {
        let ppm = profile.clock_ppm;
        let rate = if ppm == 0 { 0 } else { dice.range(0..2 * ppm as u64) as i64 - ppm };
        let clock = Clock::new(dice.range(SECOND..1000 * SECOND), rate);
        let leases = pegasus_replication::LeaseTable::new(profile.leases, clock.tick(0));
        Server::new(index, clock, leases)
    }
}

impl World {
    pub fn server_event(&mut self, node: usize, event: ServerEvent) {
        match event {
            ServerEvent::Message { from, pid, message } => self.message(node, from, pid, message),
            ServerEvent::LinkReset { peer } => {
                self.tell_those_with(node, peer, |peer| Event::PeerReset { peer });
            }
            ServerEvent::Heartbeat { from, life, sent } => self.heartbeat(node, from, life, sent),
            ServerEvent::HeartbeatAnswer { from, sent } => self.heartbeat_answer(node, from, sent),
            ServerEvent::HeartbeatTimer => self.heartbeat_timer(node),
            ServerEvent::BeaconTimer => self.beacon_timer(node),
            ServerEvent::SyncTimer => self.sync_timer(node),
            ServerEvent::FlushTimer { pid, birth } => self.flush_timer(node, pid, birth),
            ServerEvent::Wake { pid, birth } => self.wake(node, pid, birth),
            ServerEvent::LogWritten { pid, birth } => self.log_written(node, pid, birth),
            ServerEvent::StateWritten { pid, birth } => self.state_written(node, pid, birth),
            ServerEvent::ApplyDone { pid, birth } => self.apply_done(node, pid, birth),
            ServerEvent::FlushDone { pid, birth } => self.flush_done(node, pid, birth),
            ServerEvent::LogRead { pid, birth, to, nonce, after, up_to, max_bytes } => {
                let Some(disk) = self.disk_of(node, pid, birth) else {
                    return;
                };
                let mutations = disk.log.read(after, up_to, max_bytes);
                self.step(node, pid, Event::LogRead { to, nonce, after, mutations });
            }
            ServerEvent::CopyStep { pid, birth } => self.copy_step(node, pid, birth),
            ServerEvent::BeaconAck { sent, lease_ms } => self.beacon_ack(node, sent, lease_ms),
            ServerEvent::Told { config, app, asked_in } => self.told(node, config, app, asked_in),
            ServerEvent::Propose { proposal, app, nonce } => {
                self.proposed(node, proposal, app, nonce);
            }
            ServerEvent::UpdateReply { pid, config, outcome } => {
                self.update_reply(node, pid, &config, outcome);
            }
            ServerEvent::Client { op, pid, request } => self.client_request(node, op, pid, request),
        }
    }

    fn update_reply(
        &mut self,
        node: usize,
        pid: PartitionId,
        asked: &PartitionConfig,
        outcome: UpdateOutcome,
    ) {
        self.step(node, pid, Event::UpdateReply { asked: asked.clone(), outcome });
    }

    /// What the real shell does with a message for a partition that it may not have.
    fn message(&mut self, node: usize, from: usize, pid: PartitionId, message: Message) {
        self.observe_message(node, from, pid, &message);
        if self.servers[node].hosted(pid).is_some() {
            return self.step(node, pid, Event::Message { from: node_id(from), message });
        }
        match &message {
            Message::AddLearner { app, .. } => {
                let app = AppInfo::clone(app);
                self.open(node, pid, Some(app));
                self.step(node, pid, Event::Message { from: node_id(from), message });
            }
            Message::Sync(Sync { ballot, .. })
            | Message::Prepare { ballot, .. }
            | Message::Stale { ballot } => {
                let ballot = *ballot;
                self.send(node, from, pid, Message::Absent { ballot });
            }
            _ => {}
        }
    }

    fn proposed(&mut self, node: usize, proposal: Proposal, app: AppInfo, nonce: u64) {
        let pid = proposal.config.pid;
        if self.servers[node].hosted(pid).is_none() {
            // Only the very first primary of a partition may begin with nothing.
            let first = proposal.kind == ChangeKind::AssignPrimary
                && proposal.node == node_id(node)
                && proposal.config.ballot == Ballot::ZERO
                && proposal.config.last_drops.is_empty();
            if !first {
                return;
            }
            self.open(node, pid, Some(app));
        }
        self.step(node, pid, Event::Proposal { proposal, nonce });
    }

    fn told(
        &mut self,
        node: usize,
        config: PartitionConfig,
        app: Option<AppInfo>,
        asked_in: Option<u64>,
    ) {
        let pid = config.pid;
        if self.servers[node].hosted(pid).is_none() {
            return;
        }
        if let Some(app) = app
            && self.servers[node].partitions.get(&pid).is_some_and(|p| p.disk.app != app)
        {
            if let Some(partition) = self.servers[node].partitions.get_mut(&pid) {
                partition.disk.app = app.clone();
            }
            self.step(node, pid, Event::App { app: Box::new(app) });
        }
        self.step(node, pid, Event::Config { config, asked_in });
    }

    fn wake(&mut self, node: usize, pid: PartitionId, birth: u64) {
        let now = self.now;
        let Some(hosted) = self.hosted_mut(node, pid, birth) else {
            return;
        };
        if hosted.wake.is_none_or(|at| at > now) {
            return;
        }
        hosted.wake = None;
        self.step(node, pid, Event::Tick);
    }

    /// An event for every replica of this node that has `peer`.
    pub fn tell_those_with(&mut self, node: usize, peer: usize, event: impl Fn(NodeId) -> Event) {
        let peer = node_id(peer);
        for pid in self.hosted_pids(node) {
            let concerned = self.servers[node].hosted(pid).map(|h| h.replica.peers());
            if concerned.is_some_and(|peers| peers.contains(&peer)) {
                self.step(node, pid, event(peer.clone()));
            }
        }
    }

    pub fn hosted_pids(&self, node: usize) -> Vec<PartitionId> {
        let partitions = self.servers[node].partitions.iter();
        partitions.filter(|(_, p)| p.hosted.is_some()).map(|(pid, _)| *pid).collect()
    }

    pub fn hosted_mut(&mut self, node: usize, pid: PartitionId, birth: u64) -> Option<&mut Hosted> {
        let partition = self.servers.get_mut(node)?.partitions.get_mut(&pid)?;
        partition.hosted.as_mut().filter(|hosted| hosted.birth == birth)
    }

    /// The disk of a partition, if this is still the same open replica.
    pub fn disk_of(&mut self, node: usize, pid: PartitionId, birth: u64) -> Option<&mut Disk> {
        let partition = self.servers.get_mut(node)?.partitions.get_mut(&pid)?;
        partition.hosted.as_ref().filter(|hosted| hosted.birth == birth)?;
        Some(&mut partition.disk)
    }

    /// Opens a replica from its disk, or an empty one for `app` if there is none.
    pub fn open(&mut self, node: usize, pid: PartitionId, app: Option<AppInfo>) {
        self.births += 1;
        let birth = self.births;
        let now = self.tick_of(node);
        let mut options = Options::new(node_id(node), pid);
        options.min_ack_members = self.profile.min_ack_members;
        options.window = self.profile.window;
        options.cache_bytes = self.profile.cache_bytes;
        options.learn_bytes = self.profile.learn_bytes;
        options.stream_limit = self.profile.stream_limit;
        options.learner_timeout_ms = 5_000;
        let server = &mut self.servers[node];
        if let Some(app) = app {
            let empty = || Partition { disk: Disk::new(app), hosted: None };
            server.partitions.entry(pid).or_insert_with(empty);
        }
        let Some(partition) = server.partitions.get_mut(&pid) else {
            return;
        };
        let disk = &partition.disk;
        let durable = disk.engine.flushed.decree;
        let restored = Restored {
            state: disk.state.content.clone(),
            app: disk.app.clone(),
            durable,
            durable_chain: disk.engine.flushed.chain,
            log: disk.log.content().iter().filter(|m| m.decree > durable).cloned().collect(),
            suspect: disk.suspect,
        };
        self.trace.line(self.now, || {
            let log = restored.log.last().map(|m| m.decree);
            let state = render(&format!("{:?}", restored.state));
            format!("n{} {pid} opens: durable {durable} log to {log:?} state {state}", node + 1)
        });
        let replica = Replica::open(options, restored, now);
        partition.hosted = Some(Hosted {
            birth,
            replica,
            gate: None,
            waiting: VecDeque::new(),
            tokens: Default::default(),
            next_token: 1,
            wake: None,
            copy: None,
            deferred: VecDeque::new(),
        });
        let on_disk = partition.disk.state.content.as_ref().map(|s| s.config.ballot);
        self.oracle.ballots.restarted(node, pid, on_disk);
        let first = self.dice.range(0..self.profile.flush_every);
        let channel = Channel::Partition(pid);
        self.send_to_server(node, first, channel, ServerEvent::FlushTimer { pid, birth });
        self.step(node, pid, Event::Tick);
    }

    /// Starts a server process.
    pub fn start(&mut self, node: usize) {
        let now = self.tick_of(node);
        let leases = self.profile.leases;
        let server = &mut self.servers[node];
        if server.up {
            return;
        }
        server.up = true;
        server.life += 1;
        server.paused_until = None;
        server.fuse = None;
        server.leases = pegasus_replication::LeaseTable::new(leases, now);
        server.known_leases.clear();
        server.known_meta_lease = None;
        server.watched.clear();
        self.trace.line(self.now, || format!("n{} starts", node + 1));
        let pids: Vec<PartitionId> = server.partitions.keys().copied().collect();
        for pid in pids {
            self.open(node, pid, None);
        }
        for event in [ServerEvent::HeartbeatTimer, ServerEvent::BeaconTimer, ServerEvent::SyncTimer]
        {
            let first = self.dice.range(0..50 * MS);
            let channel = Channel::Other(self.dice.any());
            self.send_to_server(node, first, channel, event);
        }
    }

    /// kill -9.
    pub fn crash(&mut self, node: usize) {
        let Some(server) = self.servers.get_mut(node).filter(|s| s.up) else {
            return;
        };
        server.up = false;
        server.fuse = None;
        server.paused_until = None;
        server.deferred.clear();
        self.trace.line(self.now, || format!("n{} crashes", node + 1));
        let mut problem = None;
        for partition in server.partitions.values_mut() {
            let Some(hosted) = partition.hosted.take() else {
                continue;
            };
            let disk = &mut partition.disk;
            problem = problem.or(disk.log.crash(&mut self.dice).err());
            disk.state.crash(&mut self.dice);
            disk.engine.crash(self.dice.chance(500));
            // A mark on the disk makes the exchange of engine and log one step.
            if let Some(copy) = hosted.copy
                && let crate::server::CopyStage::Installing(image) = copy.stage
                && self.dice.chance(500)
            {
                disk.log.reset();
                disk.engine.install(image);
            }
        }
        if let Some(problem) = problem {
            self.violate(crate::invariants::Violation::new("log_has_no_holes", problem));
        }
        self.drop_links_of(node);
        self.count("crashes");
    }

    /// An orderly end: gates are closed, members and the meta server are told.
    pub fn stop(&mut self, node: usize) {
        if !self.is_up(node) || self.servers[node].paused_until.is_some() {
            return;
        }
        for pid in self.hosted_pids(node) {
            let Some(hosted) =
                self.servers[node].partitions.get_mut(&pid).and_then(|p| p.hosted.as_mut())
            else {
                continue;
            };
            hosted.gate = None;
            let leads = hosted.replica.status() == pegasus_types::ReplicaStatus::Primary;
            let ballot = hosted.replica.ballot();
            let secondaries = hosted.replica.config().secondaries.clone();
            for secondary in secondaries.iter().filter(|_| leads).filter_map(index_of) {
                self.send(node, secondary, pid, Message::Released { ballot });
            }
        }
        self.goodbye(node);
        self.crash(node);
    }
}

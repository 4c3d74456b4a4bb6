//! Steps of a replica: feed the event, look at the result, carry out the effects.

use pegasus_replication::{
    Admission, Effect, Event, Gate, GateRole, LeaseView, Message, WriteResult,
};
use pegasus_types::{ConfigUpdate, Decree, Mutation, PartitionId, ReplicaStatus};

use crate::clock::{Instant, MS};
use crate::disk::LogOp;
use crate::history::{OpId, Outcome, Request};
use crate::invariants::{Acknowledged, Seen, Violation, check_min_member_ack};
use crate::meta::{Asker, MetaEvent};
use crate::network::META;
use crate::render::render;
use crate::server::{Channel, Copy, CopyStage, Hosted, Server, ServerEvent, index_of};
use crate::world::{Item, World};

/// Client writes that become one mutation, at most.
const BATCH: usize = 4;

impl World {
    /// One event for one replica, and then the client writes that became possible.
    pub fn step(&mut self, node: usize, pid: PartitionId, event: Event) {
        self.step_once(node, pid, event);
        self.pump_writes(node, pid);
    }

    /// Client writes arrived.
    pub fn pump_writes(&mut self, node: usize, pid: PartitionId) {
        while self.violation.is_none() && self.admit(node, pid) {}
        self.schedule_wake(node, pid);
    }

    fn step_once(&mut self, node: usize, pid: PartitionId, event: Event) {
        let Some(server) = self.servers.get_mut(node).filter(|s| s.up) else {
            return;
        };
        let now = server.clock.tick(self.now);
        let Some(hosted) = server.partitions.get_mut(&pid).and_then(|p| p.hosted.as_mut()) else {
            return;
        };
        if self.trace.verbose() {
            let text = render(&format!("n{} {pid} {event:?}", node + 1));
            self.trace.line(self.now, || text);
        }
        let mut out = std::mem::take(&mut self.effects);
        hosted.replica.step(now, &server.leases, event, &mut out);
        let (replica, birth) = (&hosted.replica, hosted.birth);
        let checked = replica.check().map_err(|v| {
            Violation::new("replica_check", format!("node {node} partition {pid}: {v}"))
        });
        let seen = Seen {
            node,
            pid,
            status: replica.status(),
            ballot: replica.ballot(),
            config: replica.config(),
            prepared: replica.prepared(),
            committed: replica.committed(),
            applied: replica.applied(),
            durable: replica.durable(),
        };
        self.trace.mix(seen.prepared.decree().0 as u64 ^ (seen.ballot.0 as u64) << 32);
        self.trace.mix(seen.committed.decree().0 as u64 ^ (seen.status as u64) << 48);
        let suspect = replica.report().suspect;
        let seen_ok = self.oracle.after_step(&seen);
        self.ensure(checked);
        self.ensure(seen_ok);
        if let Some(disk) = self.disk_of(node, pid, birth) {
            disk.suspect = suspect;
        }
        for effect in out.drain(..) {
            if !self.burn_fuse(node) || self.violation.is_some() {
                break;
            }
            if self.trace.verbose() {
                let text = render(&format!("      n{} {pid} -> {effect:?}", node + 1));
                self.trace.line(self.now, || text);
            }
            self.carry_out(node, pid, birth, effect);
        }
        out.clear();
        self.effects = out;
    }

    /// False if the process died before this effect.
    fn burn_fuse(&mut self, node: usize) -> bool {
        let Some(server) = self.servers.get_mut(node).filter(|s| s.up) else {
            return false;
        };
        match server.fuse {
            Some(0) => {
                self.crash(node);
                self.schedule_restart(node);
                false
            }
            Some(n) => {
                server.fuse = Some(n - 1);
                true
            }
            None => true,
        }
    }

    pub(crate) fn carry_out(&mut self, node: usize, pid: PartitionId, birth: u64, effect: Effect) {
        let needs_engine = matches!(effect, Effect::Apply { .. } | Effect::CopyCheckpoint { .. });
        if needs_engine
            && let Some(hosted) = self.hosted_mut(node, pid, birth)
            && matches!(hosted.copy, Some(Copy { stage: CopyStage::Installing(_), .. }))
        {
            return hosted.deferred.push_back(effect);
        }
        match effect {
            Effect::PersistState { seq, state } => {
                if let Some(disk) = self.disk_of(node, pid, birth) {
                    disk.state.submit(seq, state);
                }
                self.start_state_write(node, pid, birth);
            }
            Effect::Append { seq, mutation } => {
                self.log_op(node, pid, birth, LogOp::Append { seq, mutation });
            }
            Effect::TruncateLog { seq, above } => {
                self.log_op(node, pid, birth, LogOp::Truncate { seq, above });
            }
            Effect::CollectLog { below } => {
                let partition = self.servers[node].partitions.get_mut(&pid);
                if let Some(partition) = partition {
                    partition.disk.log.collect(below, &mut self.dice);
                }
            }
            Effect::Send { to, message } => {
                if let Some(to) = index_of(&to) {
                    self.send(node, to, pid, message);
                }
            }
            Effect::Apply { mutations } => self.apply(node, pid, birth, mutations),
            Effect::Reply { token, result } => self.reply(node, pid, birth, token, result),
            Effect::Forget { token } => {
                if let Some(hosted) = self.hosted_mut(node, pid, birth) {
                    hosted.tokens.remove(&token);
                }
            }
            Effect::Gate(gate) => self.publish_gate(node, pid, birth, gate),
            Effect::Update(update) => self.ask_for_update(node, pid, update),
            Effect::AskMeta { epoch } => self.ask_for_config(node, pid, epoch),
            Effect::ReadLog { to, nonce, after, up_to, max_bytes } => {
                self.count("log_reads");
                let delay = self.dice.range(100..5 * MS);
                let event = ServerEvent::LogRead { pid, birth, to, nonce, after, up_to, max_bytes };
                let channel = Channel::Other(self.dice.any());
                self.send_to_server(node, delay, channel, event);
            }
            Effect::CopyCheckpoint { from, nonce } => {
                self.start_copy(node, pid, birth, index_of(&from).unwrap_or(node), nonce);
            }
            Effect::Fenced { reason } => self.violate(Violation::new(
                "nobody_is_fenced",
                format!("node {node} partition {pid}: {reason}"),
            )),
        }
    }

    fn apply(&mut self, node: usize, pid: PartitionId, birth: u64, mutations: Vec<Mutation>) {
        for m in &mutations {
            let seen = self.oracle.content.observe(node, pid, m.decree, m.chain);
            self.ensure(seen);
        }
        if let Some(disk) = self.disk_of(node, pid, birth) {
            disk.engine.applying.push_back(mutations);
        }
        let delay = self.dice.delay(0..500, self.profile.slow_disk_permille, MS..200 * MS);
        let event = ServerEvent::ApplyDone { pid, birth };
        self.send_to_server(node, delay, Channel::Partition(pid), event);
    }

    fn ask_for_update(&mut self, node: usize, pid: PartitionId, update: ConfigUpdate) {
        self.count("updates");
        let life = self.servers[node].life;
        if let Some(delay) = self.call_delay(node, META) {
            let config = update.config.clone();
            let token = self.meta.token(Asker::Update { node, life, pid, config });
            let event = pegasus_control::Event::UpdateConfig { token, update };
            self.send_to_meta(delay, MetaEvent::Control(event));
        }
    }

    fn ask_for_config(&mut self, node: usize, pid: PartitionId, epoch: u64) {
        let life = self.servers[node].life;
        if let Some(delay) = self.call_delay(node, META) {
            let token = self.meta.token(Asker::Query { node, life, epoch });
            let event = pegasus_control::Event::QueryPartition { token, pid };
            self.send_to_meta(delay, MetaEvent::Control(event));
        }
    }

    fn publish_gate(&mut self, node: usize, pid: PartitionId, birth: u64, gate: Gate) {
        let primary = gate.role == GateRole::Primary;
        let (ballot, barrier) = (gate.ballot, gate.barrier);
        if let Some(hosted) = self.hosted_mut(node, pid, birth) {
            hosted.gate = Some(gate);
        }
        if primary && self.may_serve(node, pid) {
            self.count("gates_opened");
            let opened = self.oracle.acked.gate_opened((node, birth), pid, ballot, barrier);
            self.ensure(opened);
            let nodes = 0..self.servers.len();
            let able: Vec<_> = nodes
                .filter(|n| self.may_serve(*n, pid))
                .filter_map(|n| Some((n, self.servers[n].hosted(pid)?.gate.as_ref()?.ballot)))
                .collect();
            let alone = self.oracle.primaries.check_gates(pid, &able);
            self.ensure(alone);
        }
    }

    /// Whether the gate of this replica would let a read pass now, apart from the barrier.
    pub fn may_serve(&self, node: usize, pid: PartitionId) -> bool {
        let server = &self.servers[node];
        server.up && server.hosted(pid).is_some_and(|hosted| gate_holds(server, hosted, self.now))
    }

    fn log_op(&mut self, node: usize, pid: PartitionId, birth: u64, op: LogOp) {
        let Some(disk) = self.disk_of(node, pid, birth) else {
            return;
        };
        disk.log.submit(op);
        self.start_log_write(node, pid, birth);
    }

    fn reply(
        &mut self,
        node: usize,
        pid: PartitionId,
        birth: u64,
        token: u64,
        result: WriteResult,
    ) {
        if let WriteResult::Committed(decree) = result {
            self.count("acked");
            self.check_ack(node, pid, decree);
        }
        let Some(hosted) = self.hosted_mut(node, pid, birth) else {
            return;
        };
        let outcome = match result {
            WriteResult::Committed(decree) => Outcome::Written(decree),
            WriteResult::Refused(_) => Outcome::Refused,
        };
        for op in hosted.tokens.remove(&token).unwrap_or_default() {
            self.answer(node, op, outcome);
        }
    }

    pub fn answer(&mut self, node: usize, op: OpId, outcome: Outcome) {
        if self.dice.chance(self.profile.loss_permille / 4) {
            return;
        }
        let delay = self.dice.delay(100..MS, self.profile.slow_permille, MS..300 * MS);
        self.schedule(delay, Item::ClientAnswer { op, outcome, at: node });
    }

    fn check_ack(&mut self, node: usize, pid: PartitionId, decree: Decree) {
        let Some(hosted) = self.servers[node].hosted(pid) else {
            return;
        };
        let (ballot, birth) = (hosted.replica.ballot(), hosted.birth);
        let config = hosted.replica.config();
        let content = &self.oracle.content;
        let Some(chain) = content.chain_at(pid, decree) else {
            let detail = format!("partition {pid}: {decree} is acknowledged but nobody applied it");
            return self.violate(Violation::new("min_member_ack", detail));
        };
        let members: Vec<usize> = config
            .members()
            .filter_map(index_of)
            .filter(|n| !self.servers.get(*n).is_some_and(|s| s.lost_data))
            .collect();
        let holders: Vec<usize> = (0..self.servers.len())
            .filter(|n| {
                let partition = self.servers[*n].partitions.get(&pid);
                partition.is_some_and(|p| p.disk.holds(decree, chain, |d| content.chain_at(pid, d)))
            })
            .collect();
        let lost = self.servers.iter().any(|s| s.lost_data);
        let minimum = if lost { 1 } else { self.profile.min_ack_members };
        let deposed = self.oracle.store.ballot(pid) > ballot;
        let ack = Acknowledged { pid, decree, members: &members, holders: &holders, deposed };
        self.ensure(check_min_member_ack(minimum, &ack));
        let durable = self.oracle.acked.acknowledged((node, birth), pid, ballot, decree, chain);
        self.ensure(durable);
    }

    /// Offers a waiting client write; false if there is none or the core does not take it.
    fn admit(&mut self, node: usize, pid: PartitionId) -> bool {
        let now = self.now;
        let size = 1 + self.dice.index(BATCH);
        let Some(server) = self.servers.get_mut(node).filter(|s| s.up) else {
            return false;
        };
        let timestamp_us = server.clock.timestamp_us(now);
        let Some(hosted) = server.partitions.get_mut(&pid).and_then(|p| p.hosted.as_mut()) else {
            return false;
        };
        let mut late = Vec::new();
        while let Some((op, _, expires)) = hosted.waiting.front().copied()
            && expires <= now
        {
            hosted.waiting.pop_front();
            late.push(op);
        }
        let admission = hosted.replica.admission();
        let mut event = None;
        match admission {
            Admission::Open if !hosted.waiting.is_empty() => {
                let size = size.min(hosted.waiting.len());
                let batch: Vec<_> = hosted.waiting.drain(..size).collect();
                let writes: Vec<_> = batch
                    .iter()
                    .filter_map(|(_, request, _)| match request {
                        Request::Write { key, value } => Some((*key, *value)),
                        Request::Read { .. } => None,
                    })
                    .collect();
                let token = hosted.next_token;
                hosted.next_token += 1;
                hosted.tokens.insert(token, batch.iter().map(|(op, ..)| *op).collect());
                let body = crate::engine::encode_body(&writes);
                event = Some(Event::Write { token, timestamp_us, body });
            }
            Admission::Open | Admission::Wait => {}
            Admission::Refuse(_) => late.extend(hosted.waiting.drain(..).map(|(op, ..)| op)),
        }
        for op in late {
            self.answer(node, op, Outcome::Refused);
        }
        let Some(event) = event else { return false };
        self.step_once(node, pid, event);
        true
    }

    fn schedule_wake(&mut self, node: usize, pid: PartitionId) {
        let now = self.now;
        let jitter = self.dice.delay(0..MS, 20, MS..20 * MS);
        let Some(server) = self.servers.get_mut(node).filter(|s| s.up) else {
            return;
        };
        let clock = server.clock;
        let Some(hosted) = server.partitions.get_mut(&pid).and_then(|p| p.hosted.as_mut()) else {
            return;
        };
        let Some(at) = clock.instant_of(now, hosted.replica.next_tick()) else {
            return;
        };
        let at: Instant = at.max(now + 100) + jitter;
        if hosted.wake.is_some_and(|wake| wake <= at) {
            return;
        }
        hosted.wake = Some(at);
        let birth = hosted.birth;
        self.send_to_server(
            node,
            at - now,
            Channel::Partition(pid),
            ServerEvent::Wake { pid, birth },
        );
    }

    /// Committed content is also named in messages.
    pub fn observe_message(
        &mut self,
        _to: usize,
        from: usize,
        pid: PartitionId,
        message: &Message,
    ) {
        let (decree, chain) = match message {
            Message::Prepare { committed, committed_chain, .. } => (*committed, *committed_chain),
            Message::Commit { committed, chain, .. } => (*committed, *chain),
            Message::Sync(sync) => match sync.chains.first() {
                Some(chain) => (sync.committed, *chain),
                None => return,
            },
            _ => return,
        };
        if decree > Decree::ZERO {
            let seen = self.oracle.content.observe(from, pid, decree, chain);
            self.ensure(seen);
        }
    }

    /// The node that serves this partition as primary, if any.
    pub fn serving(&self, pid: PartitionId) -> Option<usize> {
        (0..self.servers.len()).find(|node| {
            let hosted = self.servers[*node].hosted(pid);
            hosted.is_some_and(|h| h.replica.status() == ReplicaStatus::Primary)
                && self.may_serve(*node, pid)
        })
    }
}

/// The read path's check at a node's own clock (design 3, rule 3), apart from the barrier.
fn gate_holds(server: &Server, hosted: &Hosted, now: Instant) -> bool {
    let Some(gate) = hosted.gate.as_ref().filter(|g| g.role == GateRole::Primary) else {
        return false;
    };
    let now = server.clock.tick(now);
    let leases = &server.leases;
    gate.leases.iter().all(|(peer, epoch)| leases.held(now, peer) == Some(*epoch))
        && gate.meta_lease.is_none_or(|epoch| leases.held_from_meta(now) == Some(epoch))
}

//! What goes wrong, and when it stops going wrong.

use pegasus_types::{PartitionId, ReplicaStatus};

use crate::clock::{Instant, MS, SECOND};
use crate::network::META;
use crate::profile::FaultKind;
use crate::server::index_of;
use crate::world::{Item, World};

#[derive(Clone, Copy, Debug)]
pub enum FaultEvent {
    /// Let something happen and come back later.
    Next,
    Start {
        node: usize,
    },
    StartMeta,
    Unblock {
        from: usize,
        to: usize,
    },
}

impl World {
    pub fn fault(&mut self, event: FaultEvent) {
        match event {
            FaultEvent::Next => self.next_fault(),
            FaultEvent::Start { node } => self.start(node),
            FaultEvent::StartMeta => self.start_meta(),
            FaultEvent::Unblock { from, to } => self.unblock(from, to),
        }
    }

    pub fn start_faults(&mut self) {
        let gap = self.profile.fault_gap;
        if gap > 0 && !self.profile.faults.is_empty() {
            let first = self.dice.range(0..2 * gap);
            self.schedule(first, Item::Fault(FaultEvent::Next));
        }
    }

    fn next_fault(&mut self) {
        if !self.stormy {
            return;
        }
        let gap = self.profile.fault_gap;
        let next = self.dice.range(gap / 10..2 * gap);
        self.schedule(next, Item::Fault(FaultEvent::Next));
        let total = self.profile.faults.iter().map(|(_, weight)| weight).sum();
        let mut lot = self.dice.range(0..total);
        for (kind, weight) in self.profile.faults.clone() {
            if lot < weight {
                return self.inflict(kind);
            }
            lot -= weight;
        }
    }

    fn inflict(&mut self, kind: FaultKind) {
        let node = self.dice.index(self.servers.len());
        self.trace.line(self.now, || format!("fault {kind:?}"));
        match kind {
            FaultKind::Crash => self.kill(node),
            FaultKind::CrashAll => {
                for node in 0..self.servers.len() {
                    if self.dice.chance(900) {
                        self.kill(node);
                    }
                }
            }
            FaultKind::CrashPrimary => {
                let node = self.some_primary().unwrap_or(node);
                self.kill(node);
            }
            FaultKind::Stop => {
                if self.is_up(node) {
                    self.stop(node);
                    self.schedule_restart(node);
                }
            }
            FaultKind::Pause => self.pause(node),
            FaultKind::PausePrimary => {
                let node = self.some_primary().unwrap_or(node);
                self.pause(node);
            }
            FaultKind::Block => {
                let other = self.dice.index(self.servers.len() + 1);
                let other = if other == self.servers.len() { META } else { other };
                let both = self.dice.chance(500);
                let lasting = self.lasting();
                self.block_for(node, other, lasting);
                if both || other == META {
                    self.block_for(other, node, lasting);
                }
            }
            FaultKind::Isolate => {
                let node = self.some_primary().filter(|_| self.dice.chance(600)).unwrap_or(node);
                let with_meta = self.dice.chance(500);
                let lasting = self.lasting();
                for other in 0..self.servers.len() {
                    self.block_for(node, other, lasting);
                    self.block_for(other, node, lasting);
                }
                if with_meta {
                    self.block_for(node, META, lasting);
                    self.block_for(META, node, lasting);
                }
            }
            FaultKind::ResetLink => {
                for (from, to) in self.linked() {
                    if self.dice.chance(300) {
                        self.reset_link(from, to);
                    }
                }
            }
            FaultKind::CrashMeta => {
                if self.meta.up {
                    self.crash_meta();
                    let back = self.dice.range(10 * MS..4 * SECOND);
                    self.schedule(back, Item::Fault(FaultEvent::StartMeta));
                }
            }
            FaultKind::LoseData => self.lose_data(node),
            FaultKind::LosePower => self.lose_power(node),
        }
    }

    /// Now, or between two effects of some step soon.
    fn kill(&mut self, node: usize) {
        if !self.is_up(node) {
            return;
        }
        if self.dice.chance(500) {
            self.servers[node].fuse = Some(self.dice.range(0..30));
        } else {
            self.crash(node);
            self.schedule_restart(node);
        }
    }

    pub fn schedule_restart(&mut self, node: usize) {
        if self.stormy {
            let back = self.dice.delay(10 * MS..2 * SECOND, 250, 2 * SECOND..6 * SECOND);
            self.schedule(back, Item::Fault(FaultEvent::Start { node }));
        }
    }

    fn pause(&mut self, node: usize) {
        let lasting = self.dice.range(100 * MS..6 * SECOND);
        self.pause_for(node, lasting);
    }

    pub fn pause_for(&mut self, node: usize, lasting: Instant) {
        let until = self.now + lasting;
        let Some(server) = self.servers.get_mut(node).filter(|s| s.up) else {
            return;
        };
        if server.paused_until.is_some() {
            return;
        }
        server.paused_until = Some(until);
        let life = server.life;
        self.trace.line(self.now, || format!("n{} pauses for {} ms", node + 1, lasting / MS));
        self.count("pauses");
        self.schedule(lasting, Item::Resume { node, life });
    }

    fn lasting(&mut self) -> Instant {
        self.dice.delay(50 * MS..2 * SECOND, 300, 2 * SECOND..6 * SECOND)
    }

    fn block_for(&mut self, from: usize, to: usize, lasting: Instant) {
        if from != to {
            self.trace.line(self.now, || format!("blocked {from} -> {to} for {} ms", lasting / MS));
            self.block(from, to);
            self.schedule(lasting, Item::Fault(FaultEvent::Unblock { from, to }));
        }
    }

    fn some_primary(&mut self) -> Option<usize> {
        let pid = *self.dice.pick(&self.pids)?;
        self.meta.primary(pid).as_ref().and_then(index_of)
    }

    /// A machine comes back with an empty disk. Only one may in a run, and only while no partition
    /// depends on it: every partition that lists it has two other members that are well.
    fn lose_data(&mut self, node: usize) {
        let already = self.pids.is_empty() || self.servers.iter().any(|s| s.lost_data);
        if already || !self.is_up(node) || !self.pids.iter().all(|pid| self.others_well(node, *pid))
        {
            return;
        }
        self.crash(node);
        self.wipe(node);
        self.schedule_restart(node);
    }

    /// One machine at a time: the others have what this one forgets.
    fn lose_power(&mut self, node: usize) {
        let already = self.pids.is_empty() || self.servers.iter().any(|s| s.lost_data);
        if already || !self.is_up(node) || !self.pids.iter().all(|pid| self.others_well(node, *pid))
        {
            return;
        }
        self.crash(node);
        self.trace.line(self.now, || format!("n{} loses power", node + 1));
        self.count("power_lost");
        let server = &mut self.servers[node];
        server.lost_data = true;
        for partition in server.partitions.values_mut() {
            partition.disk.log.lose_power();
            partition.disk.suspect = true;
        }
        self.schedule_restart(node);
    }

    /// The data directory of a server that is down is lost.
    pub fn wipe(&mut self, node: usize) {
        self.trace.line(self.now, || format!("n{} loses its data", node + 1));
        self.servers[node].partitions.clear();
        self.servers[node].lost_data = true;
        self.count("data_lost");
        for pid in self.pids.clone() {
            self.oracle.ballots.restarted(node, pid, None);
        }
    }

    fn others_well(&self, node: usize, pid: PartitionId) -> bool {
        let Some(config) = self.meta.config(pid) else {
            return false;
        };
        let well = config.members().filter_map(index_of).filter(|n| *n != node).filter(|n| {
            let server = &self.servers[*n];
            let status = server.hosted(pid).map(|h| h.replica.status());
            let member = matches!(status, Some(ReplicaStatus::Primary | ReplicaStatus::Secondary));
            server.up && server.paused_until.is_none() && member
        });
        well.count() >= 2
    }

    /// The end of the storm: everything is up and reachable from now on.
    pub fn heal(&mut self) {
        self.trace.line(self.now, || "heal".to_owned());
        self.stormy = false;
        self.profile.loss_permille = 0;
        self.profile.slow_permille = 0;
        self.profile.slow_disk_permille = 0;
        self.profile.copy_failure_permille = 0;
        self.unblock_all();
        self.start_meta();
        for node in 0..self.servers.len() {
            self.servers[node].fuse = None;
            if let Some(until) = self.servers[node].paused_until.filter(|_| self.is_up(node)) {
                let life = self.servers[node].life;
                self.servers[node].paused_until = Some(until.min(self.now));
                self.schedule(0, Item::Resume { node, life });
            }
            self.start(node);
        }
    }
}

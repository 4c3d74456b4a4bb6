//! Disk, engine and checkpoint copies: what was started ends, and the replica hears of it.

use pegasus_replication::{CopiedState, Event};
use pegasus_types::PartitionId;

use crate::clock::MS;
use crate::invariants::Violation;
use crate::server::{Channel, Copy, CopyStage, ServerEvent};
use crate::world::World;

impl World {
    fn disk_delay(&mut self) -> u64 {
        self.dice.delay(50..800, self.profile.slow_disk_permille, MS..400 * MS)
    }

    pub fn start_log_write(&mut self, node: usize, pid: PartitionId, birth: u64) {
        let started = self.disk_of(node, pid, birth).is_some_and(|disk| disk.log.start());
        if started {
            let delay = self.disk_delay();
            let event = ServerEvent::LogWritten { pid, birth };
            self.send_to_server(node, delay, Channel::Partition(pid), event);
        }
    }

    pub fn log_written(&mut self, node: usize, pid: PartitionId, birth: u64) {
        let Some(disk) = self.disk_of(node, pid, birth) else {
            return;
        };
        match disk.log.finish() {
            Ok(Some(seq)) => {
                self.start_log_write(node, pid, birth);
                self.step(node, pid, Event::Persisted { seq });
            }
            Ok(None) => {}
            Err(problem) => {
                let detail = format!("node {node} partition {pid}: {problem}");
                self.violate(Violation::new("log_has_no_holes", detail));
            }
        }
    }

    pub fn start_state_write(&mut self, node: usize, pid: PartitionId, birth: u64) {
        let started = self.disk_of(node, pid, birth).is_some_and(|disk| disk.state.start());
        if started {
            let delay = self.disk_delay();
            let event = ServerEvent::StateWritten { pid, birth };
            let channel = Channel::Other(self.dice.any());
            self.send_to_server(node, delay, channel, event);
        }
    }

    pub fn state_written(&mut self, node: usize, pid: PartitionId, birth: u64) {
        let Some(seq) = self.disk_of(node, pid, birth).and_then(|disk| disk.state.finish()) else {
            return;
        };
        self.start_state_write(node, pid, birth);
        self.step(node, pid, Event::StatePersisted { seq });
    }

    pub fn apply_done(&mut self, node: usize, pid: PartitionId, birth: u64) {
        let Some(disk) = self.disk_of(node, pid, birth) else {
            return;
        };
        let Some(mutations) = disk.engine.applying.pop_front() else {
            return;
        };
        for mutation in &mutations {
            if let Err(problem) = disk.engine.live.apply(mutation) {
                let detail = format!("node {node} partition {pid}: {problem}");
                return self.violate(Violation::new("applied_in_order", detail));
            }
        }
        let up_to = disk.engine.live.decree;
        self.step(node, pid, Event::Applied { up_to });
    }

    pub fn flush_timer(&mut self, node: usize, pid: PartitionId, birth: u64) {
        let Some(disk) = self.disk_of(node, pid, birth) else {
            return;
        };
        if disk.engine.flushing.is_none() && disk.engine.live.decree > disk.engine.flushed.decree {
            disk.engine.flushing = Some(disk.engine.live.clone());
            let delay = self.dice.range(MS..80 * MS);
            let channel = Channel::Other(self.dice.any());
            self.send_to_server(node, delay, channel, ServerEvent::FlushDone { pid, birth });
        }
        let every = self.profile.flush_every;
        let next = self.dice.range(every / 2..every * 3 / 2);
        let channel = Channel::Other(self.dice.any());
        self.send_to_server(node, next, channel, ServerEvent::FlushTimer { pid, birth });
    }

    pub fn flush_done(&mut self, node: usize, pid: PartitionId, birth: u64) {
        let Some(disk) = self.disk_of(node, pid, birth) else {
            return;
        };
        // Nothing is left of a flush that was overtaken by a checkpoint from elsewhere.
        let Some(image) = disk.engine.flushing.take() else {
            return;
        };
        let up_to = image.decree;
        disk.engine.flushed = image;
        disk.log.sync();
        self.step(node, pid, Event::Flushed { up_to });
    }

    pub fn start_copy(
        &mut self,
        node: usize,
        pid: PartitionId,
        birth: u64,
        from: usize,
        nonce: u64,
    ) {
        let from_life = self.servers.get(from).map_or(0, |s| s.life);
        if let Some(hosted) = self.hosted_mut(node, pid, birth) {
            hosted.copy = Some(Copy { from, from_life, nonce, stage: CopyStage::Asking });
        }
        self.count("copies");
        self.next_copy_step(node, pid, birth);
    }

    fn next_copy_step(&mut self, node: usize, pid: PartitionId, birth: u64) {
        let delay = self.dice.delay(MS..100 * MS, self.profile.slow_permille, 100 * MS..800 * MS);
        let channel = Channel::Other(self.dice.any());
        self.send_to_server(node, delay, channel, ServerEvent::CopyStep { pid, birth });
    }

    pub fn copy_step(&mut self, node: usize, pid: PartitionId, birth: u64) {
        let failure = self.dice.chance(self.profile.copy_failure_permille / 2);
        let Some(copy) = self.hosted_mut(node, pid, birth).and_then(|h| h.copy.take()) else {
            return;
        };
        let Copy { from, from_life, nonce, stage } = copy;
        let cut = self.network.is_blocked(from, node) || self.network.is_blocked(node, from);
        let gone = !self.servers.get(from).is_some_and(|s| s.up && s.life == from_life);
        if !matches!(stage, CopyStage::Installing(_)) && (failure || cut || gone) {
            let result = Err("the source cannot be reached".to_owned());
            return self.step(node, pid, Event::CopyFinished { nonce, result });
        }
        let stage = match stage {
            CopyStage::Asking => {
                let source = self.servers[from].partitions.get(&pid);
                let Some(image) = source.map(|p| p.disk.engine.live.clone()) else {
                    let result = Err("no such partition".to_owned());
                    return self.step(node, pid, Event::CopyFinished { nonce, result });
                };
                CopyStage::Transferring(image)
            }
            CopyStage::Transferring(image) => CopyStage::Installing(image),
            CopyStage::Installing(image) => {
                return self.install(node, pid, birth, nonce, image);
            }
        };
        if let Some(hosted) = self.hosted_mut(node, pid, birth) {
            hosted.copy = Some(Copy { from, from_life, nonce, stage });
        }
        self.next_copy_step(node, pid, birth);
    }

    fn install(
        &mut self,
        node: usize,
        pid: PartitionId,
        birth: u64,
        nonce: u64,
        image: crate::engine::Image,
    ) {
        let copied = CopiedState { decree: image.decree, chain: image.chain };
        let Some(disk) = self.disk_of(node, pid, birth) else {
            return;
        };
        let busy = disk.log.reset() || !disk.engine.applying.is_empty();
        disk.engine.install(image);
        if busy {
            let detail = format!("node {node} partition {pid}: log or engine busy at the exchange");
            self.violate(Violation::new("quiet_during_copy", detail));
        }
        self.step(node, pid, Event::CopyFinished { nonce, result: Ok(copied) });
        let deferred = self.hosted_mut(node, pid, birth).map(|h| std::mem::take(&mut h.deferred));
        for effect in deferred.into_iter().flatten() {
            self.carry_out(node, pid, birth, effect);
        }
    }
}

//! One run: a storm, then healing, then proof that everything works again.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pegasus_types::{PartitionId, ReplicaStatus};

use crate::clock::{Instant, MS, SECOND};
use crate::dice::Dice;
use crate::history::{Outcome, Request};
use crate::invariants::{Violation, check_linearizable};
use crate::profile::Profile;
use crate::server::index_of;
use crate::world::World;

/// After healing, everything has to work within this time.
const RECOVERY: Instant = 40 * SECOND;
/// Replicas become equal this long after the last write.
const QUIESCENCE: Instant = 25 * SECOND;
const LIVENESS: &str = "recovers_after_faults";

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Report {
    pub violation: Option<Violation>,
    /// The same seed has the same hash, always.
    pub hash: u64,
    pub lines: Vec<String>,
    pub stats: BTreeMap<&'static str, u64>,
    pub virtual_ms: u64,
}

/// What a run does besides running.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunOptions {
    /// Keep everything that happens as text.
    pub verbose: bool,
    /// Machines may lose power.
    pub power: bool,
}

/// Runs one seed. A panic anywhere counts as a violation.
pub fn run_seed(seed: u64, options: RunOptions) -> Report {
    let RunOptions { verbose, power } = options;
    let profile = Profile::random(&mut Dice::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)), power);
    let mut world = World::new(seed, profile, verbose);
    world.trace.line(0, || "seed".to_owned());
    if verbose {
        let text = format!("{:?}", world.profile);
        world.trace.line(0, || text);
    }
    let outcome = catch_unwind(AssertUnwindSafe(|| run(&mut world)));
    if let Err(panic) = outcome {
        world.violate(Violation::new("nobody_panics", panic_text(panic.as_ref())));
    }
    Report {
        violation: world.violation.clone(),
        hash: world.trace.hash(),
        lines: world.trace.take_lines(),
        stats: std::mem::take(&mut world.stats),
        virtual_ms: world.now / MS,
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let literal = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    literal.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

fn run(world: &mut World) {
    for node in 0..world.servers.len() {
        world.start(node);
    }
    world.start_faults();
    let storm = world.profile.safety;
    world.run_until(storm);
    if world.violation.is_some() {
        return;
    }
    world.heal();
    if world.recover() {
        world.settle();
    }
    let linear = check_linearizable(&world.history.operations());
    world.ensure(linear);
}

impl World {
    /// Until every partition is complete and serves reads and writes. False if a person has to
    /// decide first.
    pub fn recover(&mut self) -> bool {
        let limit = self.now + RECOVERY;
        while self.violation.is_none() {
            let pause = self.now + 500 * MS;
            self.run_until(pause);
            let ill = self.pids.iter().copied().find(|pid| !self.is_complete(*pid));
            if ill.is_none() && !self.pids.is_empty() && self.probe() {
                return true;
            }
            if self.now > limit && self.pids.iter().any(|pid| self.is_bereft(*pid)) {
                self.count("needs_decision");
                return false;
            }
            if self.now > limit {
                let configs: Vec<_> = self.pids.iter().map(|pid| self.describe(*pid)).collect();
                let detail =
                    format!("not healthy {} s after the faults: {configs:?}", RECOVERY / SECOND);
                self.violate(Violation::new(LIVENESS, detail));
            }
        }
        false
    }

    /// The configuration in force lists only a machine that lost its disk: who else has the data
    /// must not be guessed (design 3, rule 6).
    fn is_bereft(&self, pid: PartitionId) -> bool {
        let Some(config) = self.meta.config(pid).filter(|c| c.primary.is_none()) else {
            return false;
        };
        let lost =
            |node: usize| self.servers[node].lost_data && self.servers[node].hosted(pid).is_none();
        config.member_count() > 0 && config.members().filter_map(index_of).all(lost)
    }

    fn describe(&self, pid: PartitionId) -> String {
        let statuses = (0..self.servers.len()).map(|node| {
            let hosted = self.servers[node].hosted(pid);
            hosted.map(|h| {
                (h.replica.status(), h.replica.ballot().0, h.replica.prepared().decree().0)
            })
        });
        let replicas: Vec<_> = statuses.collect();
        let config = crate::render::render(&format!("{:?}", self.meta.config(pid)));
        format!("{config} replicas {replicas:?}")
    }

    /// The meta server lists three members and the primary of them serves.
    pub fn is_complete(&self, pid: PartitionId) -> bool {
        let Some(config) = self.meta.config(pid) else {
            return false;
        };
        let primary = config.primary.as_ref().and_then(index_of);
        config.member_count() >= 3
            && primary.is_some_and(|node| self.may_serve(node, pid))
            && config.secondaries.iter().filter_map(index_of).all(|node| {
                let status = self.servers[node].hosted(pid).map(|h| h.replica.status());
                status == Some(ReplicaStatus::Secondary)
            })
    }

    /// A write and a read of every partition.
    fn probe(&mut self) -> bool {
        for (index, pid) in self.pids.clone().into_iter().enumerate() {
            let Some(node) = self.serving(pid) else {
                return false;
            };
            let key = index as u8;
            let value = self.history.next_value();
            let write = self.request(None, pid, Request::Write { key, value }, node);
            self.run_until(self.now + 300 * MS);
            let read = self.request(None, pid, Request::Read { key }, node);
            self.run_until(self.now + 100 * MS);
            let outcome = |op: usize| self.history.ops.get(op).map(|op| op.outcome);
            let written = matches!(outcome(write), Some(Outcome::Written(_)));
            if !written || !matches!(outcome(read), Some(Outcome::Found(Some(_)))) {
                return false;
            }
        }
        true
    }

    /// No more writes: all members end in the same state, and nothing acknowledged is missing.
    pub fn settle(&mut self) {
        self.busy = false;
        let limit = self.now + QUIESCENCE;
        loop {
            self.run_until(self.now + SECOND);
            if self.violation.is_some() {
                return;
            }
            let problem = self.pids.iter().find_map(|pid| self.differences(*pid));
            match problem {
                None => break,
                Some(problem) if self.now > limit => {
                    return self.violate(Violation::new("members_become_equal", problem));
                }
                Some(_) => {}
            }
        }
        for pid in self.pids.clone() {
            let Some(node) = self.serving(pid) else {
                continue;
            };
            let Some(partition) = self.servers[node].partitions.get(&pid) else {
                continue;
            };
            let content = &self.oracle.content;
            let live = &partition.disk.engine.live;
            let checked =
                self.oracle.acked.check_final(pid, live.decree, |d| content.chain_at(pid, d));
            self.ensure(checked);
        }
    }

    fn differences(&self, pid: PartitionId) -> Option<String> {
        let config = self.meta.config(pid)?;
        let members: Vec<usize> = config.members().filter_map(index_of).collect();
        let mut first = None;
        if members.len() < 3 || !self.is_complete(pid) {
            return Some(format!("{pid} is not complete: {}", self.describe(pid)));
        }
        for node in members {
            let partition = self.servers[node].partitions.get(&pid)?;
            let live = &partition.disk.engine.live;
            let (_, other) = *first.get_or_insert((node, live));
            if live != other {
                return Some(format!("{pid}: {live:?} on node {node}, {other:?} on {first:?}"));
            }
            let hosted = partition.hosted.as_ref()?;
            if hosted.replica.prepared().decree() != live.decree {
                let prepared = hosted.replica.prepared();
                return Some(format!("{pid}: node {node} applied {} of {prepared}", live.decree));
            }
        }
        None
    }
}

use pegasus_replication::LeaseOptions;

use crate::clock::{Instant, MS, SECOND};
use crate::dice::Dice;

/// What one run is like. A seed picks sizes, speeds and a random part of the faults, so that some
/// runs have many faults of one kind and others a few of each ("swarm testing", Groce et al. 2012).
#[derive(Clone, Debug)]
pub struct Profile {
    pub servers: usize,
    pub partitions: i32,
    pub clients: usize,
    pub keys: u8,
    pub min_ack_members: usize,
    /// Length of the phase with faults.
    pub safety: Instant,
    /// Faults come this far apart on average; 0 for none at all.
    pub fault_gap: Instant,
    /// Kinds of faults with their weights.
    pub faults: Vec<(FaultKind, u64)>,
    /// A datagram-like message (heartbeat, beacon, meta call) is lost in so many of 1000 cases.
    pub loss_permille: u32,
    /// A message takes much longer than usual in so many of 1000 cases.
    pub slow_permille: u32,
    pub slow_disk_permille: u32,
    pub copy_failure_permille: u32,
    /// A peer link that lost its connection keeps what is sent meanwhile.
    pub links_keep_queue: bool,
    pub flush_every: Instant,
    pub think: Instant,
    pub window: usize,
    pub cache_bytes: usize,
    pub learn_bytes: usize,
    pub stream_limit: usize,
    /// The meta server decides also with few live nodes.
    pub lax_meta: bool,
    pub clock_ppm: i64,
    pub leases: LeaseOptions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    Crash,
    CrashAll,
    CrashPrimary,
    Stop,
    Pause,
    PausePrimary,
    Block,
    Isolate,
    ResetLink,
    CrashMeta,
    LoseData,
    /// One machine loses what it had not synced. Only in the power mode: without a sync before
    /// every acknowledgement this is not promised to be harmless.
    LosePower,
}

const FAULTS: [(FaultKind, u64); 11] = [
    (FaultKind::Crash, 10),
    (FaultKind::CrashAll, 2),
    (FaultKind::CrashPrimary, 6),
    (FaultKind::Stop, 3),
    (FaultKind::Pause, 5),
    (FaultKind::PausePrimary, 6),
    (FaultKind::Block, 8),
    (FaultKind::Isolate, 4),
    (FaultKind::ResetLink, 8),
    (FaultKind::CrashMeta, 4),
    (FaultKind::LoseData, 3),
];

impl Profile {
    /// Quiet: no faults, usual delays. What scenarios start from.
    pub fn quiet() -> Profile {
        Profile {
            servers: 3,
            partitions: 1,
            clients: 0,
            keys: 4,
            min_ack_members: 2,
            safety: 0,
            fault_gap: 0,
            faults: Vec::new(),
            loss_permille: 0,
            slow_permille: 0,
            slow_disk_permille: 0,
            copy_failure_permille: 0,
            links_keep_queue: false,
            flush_every: 2 * SECOND,
            think: 20 * MS,
            window: 64,
            cache_bytes: 1 << 16,
            learn_bytes: 1 << 16,
            stream_limit: 512,
            lax_meta: true,
            clock_ppm: 0,
            leases: LeaseOptions::default(),
        }
    }

    /// `power`: machines may lose power, too.
    pub fn random(dice: &mut Dice, power: bool) -> Profile {
        let mut faults: Vec<_> = FAULTS.into_iter().filter(|_| dice.chance(550)).collect();
        if power {
            faults.push((FaultKind::LosePower, 10));
        }
        let some = |dice: &mut Dice, most: u64| {
            if dice.chance(500) { 0 } else { dice.range(1..most) as u32 }
        };
        Profile {
            servers: dice.range(3..6) as usize,
            partitions: dice.range(1..4) as i32,
            clients: dice.range(2..6) as usize,
            keys: dice.range(2..6) as u8,
            min_ack_members: if dice.chance(700) { 2 } else { 1 },
            safety: dice.range(6 * SECOND..14 * SECOND),
            fault_gap: if dice.chance(30) { 0 } else { dice.range(300 * MS..3 * SECOND) },
            faults,
            loss_permille: some(dice, 100),
            slow_permille: some(dice, 60),
            slow_disk_permille: some(dice, 60),
            copy_failure_permille: some(dice, 400),
            links_keep_queue: dice.chance(400),
            flush_every: dice.range(200 * MS..4 * SECOND),
            think: dice.range(5 * MS..120 * MS),
            window: dice.range(2..80) as usize,
            cache_bytes: if dice.chance(600) { dice.range(1..1500) as usize } else { 1 << 16 },
            learn_bytes: dice.range(600..3000) as usize,
            stream_limit: dice.range(2..200) as usize,
            lax_meta: dice.chance(600),
            clock_ppm: 40_000,
            leases: LeaseOptions::default(),
        }
    }
}

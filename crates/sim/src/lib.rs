//! A simulated cluster: both cores, with everything around them replaced by a deterministic world
//! of machines, disks, clocks, links and clients in virtual time.
//!
//! A run is a function of its seed. It has a phase with faults, in which every invariant of
//! [`invariants`] is watched after every step, then a phase without, in which the cluster has to
//! become healthy again, and all members equal.
//!
//! ```text
//! cargo run --release -p pegasus-sim -- --seeds 2000          # a failure prints how to replay it
//! cargo run --release -p pegasus-sim -- --seed 17 --trace     # every event and effect of one run
//! ```
//!
//! Scenarios in plain text are in `scenarios/`; `--scenario FILE [--trace]` plays one.
//!
//! With `--power` a machine may also lose what it had not synced. That is not part of the tests:
//! without a sync before every acknowledgement nobody promises that it is harmless.
//!
//! # What the network, the disks and the clocks do
//!
//! Peer links deliver in order or are reset: a suffix is lost, and both sides hear of it, not at
//! the same time. Calls to the meta server and heartbeats are lost or late. Directions are blocked
//! for a while, whole machines are cut off. Processes are killed at any moment, also between two
//! effects of one step, or pause for longer than a lease. A kill keeps what the page cache had: all
//! that was reported, and any first part of what was not. The engine falls back to its last flush.
//! Clocks start anywhere and differ in rate by up to 4 %. One machine in a run may lose its disk,
//! while no partition depends on it.
//!
//! # Does it find bugs?
//!
//! Break one line of a copy of the `replication` crate and count the seeds until a run fails. A
//! mutation that survives tens of thousands of seeds means that a fault or an invariant is missing.
//!
//! | mutation | found by | first seed |
//! |---|---|---|
//! | a new primary's read barrier is 0 | `acked_write_is_durable` | 1 |
//! | `commit_ready`: one secondary is enough | `min_member_ack` | 1 |
//! | a member answers Sync before its log has what it claims | `min_member_ack` | 17 |
//! | `free_to_follow`: the promise to the former primary is ignored | `one_primary_per_ballot` | 26 |
//! | `LeaseTable`: the epoch does not grow after a lapse | `linearizable_per_key` | 361 |
//! | a member answers Sync before the ballot is on disk | `recovers_after_faults` | 2791 |
//! | `commit_ready`: the joining learner is not waited for | `min_member_ack` | 3124 |
//! | `truncate` is not logged | `recovers_after_faults` | 14516 |

mod client;
mod clock;
mod completions;
mod dice;
mod disk;
mod engine;
mod faults;
mod history;
pub mod invariants;
mod leases;
mod meta;
mod network;
mod profile;
mod queue;
mod render;
mod run;
mod script;
mod server;
mod shell;
mod step;
mod trace;
mod world;

pub use profile::{FaultKind, Profile};
pub use run::{Report, RunOptions, run_seed};
pub use script::{run_script, trace_script};

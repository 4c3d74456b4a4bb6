//! One replica of one partition as a state machine: PacificA with member leases (design 3).
//!
//! `Replica::step` takes an event and pushes effects. No IO, clock, randomness or async here; the
//! protocol is split by phase, one file each.

mod check;
mod commit;
mod event;
mod gate;
mod learn;
mod lease;
mod message;
mod options;
mod prepare;
mod primary;
mod reconfigure;
mod replay;
mod replica;
mod role;
mod sync;
mod window;

pub use check::Violation;

pub use event::{
    Admission, CopiedState, Effect, Effects, Event, Followed, Gate, GateRole, LearnerMark,
    PersistentState, Refusal, WriteResult,
};
pub use lease::{LeaseOptions, LeaseTable, LeaseView, NoLeases};
pub use message::{LearnPlan, Message, Sync, SyncAck, SyncOutcome};
pub use options::{Options, Restored};
pub use replica::Replica;

//! The cluster state machine of the meta server: tables, partition configurations, node liveness
//! and the guardian that keeps every partition at its replica count.
//!
//! Pure: no clock, no IO, no randomness. Time arrives with every event, metadata is written by the
//! effect [`Effect::Persist`] and becomes effective only when [`Event::Persisted`] comes back, so a
//! crash at any point leaves what the store says. The facts are those of `spec/meta.md`; where this
//! crate differs on purpose, the reason stands beside the code.

mod check;
mod choice;
mod event;
mod guardian;
mod load;
mod loads;
mod nodes;
mod options;
mod partition;
mod state;
mod store;
mod sync;
mod tables;
mod update;
mod writes;

pub use event::{
    CreateApp, DropApp, Effect, Effects, Event, PersistError, Response, StoreOp, SyncReply, Token,
};
pub use nodes::{Liveness, Node};
pub use options::{DefaultApp, FunctionLevel, Options};
pub use partition::{Health, min_write_members};
pub use state::ClusterState;
pub use store::{StoreError, app_path, apps_root, partition_path};

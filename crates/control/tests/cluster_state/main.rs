//! Scenarios of the cluster state machine: events in, effects out, the store played by a map.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod guardian;
mod lost_members;
mod store;
mod tables;
mod updates;
mod world;

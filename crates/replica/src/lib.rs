//! The replica server: the shell that carries out what the pure replication core decides, with
//! threads, disks, sockets and clocks (design 4).

mod accept;
mod checkpoint;
mod clock;
mod control;
mod effects;
mod engine_options;
mod envs;
mod garbage;
mod gate;
mod heartbeat;
mod http;
mod inbox;
mod learn;
mod leases;
mod meta_client;
mod meta_link;
mod node;
mod open;
mod partition;
mod peers;
mod pins;
mod readers;
mod reads;
mod restore;
mod rpc;
mod run_marker;
mod settings;
mod shard;
mod shared;
mod table;
mod turn;
mod writes;

pub use node::{Node, StartError};
pub use settings::Settings;

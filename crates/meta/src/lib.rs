//! The meta server: runs the control core, keeps its metadata, answers clients, and talks to the
//! replica servers. All decisions are the core's; this crate carries them out.

mod addresses;
mod clock;
mod cluster_info;
mod commands;
mod http;
mod links;
mod lists;
mod metrics;
mod owner;
mod query;
mod rpc;
mod server;
mod service;
mod settings;
mod shared;
mod store;
mod view;

pub use pegasus_net::CancellationToken;
pub use server::{Server, StartError};
pub use settings::{Settings, Unsupported};
pub use store::{EmbeddedStore, MetaStore, StoreError};

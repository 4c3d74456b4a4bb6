//! Messages to meta servers and about nodes (`spec/wire.md` 3.7, 3.8, 3.13 and 5).

pub mod app;
pub mod cluster;
pub mod config;
pub mod node;

pub use app::*;
pub use cluster::*;
pub use config::*;
pub use node::*;

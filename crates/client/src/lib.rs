//! The Rust client of Pegasus. It speaks the public protocol (THFT version 1) only, so it works
//! with a cluster of the original C++ servers as well.
//!
//! ```no_run
//! use pegasus_client::{Client, ClientOptions, MultiGet, Ttl};
//!
//! # async fn example() -> Result<(), pegasus_client::Error> {
//! let client = Client::connect("127.0.0.1:34601", ClientOptions::default())?;
//! let table = client.table("temp").await?;
//!
//! table.set("user1", "name", "Ada", None).await?;
//! assert_eq!(table.get("user1", "name").await?.as_deref(), Some(b"Ada".as_slice()));
//! assert_eq!(table.ttl("user1", "name").await?, Ttl::Infinite);
//! let all = table.multi_get("user1", &MultiGet::all()).await?;
//! assert!(all.complete);
//! table.del("user1", "name").await?;
//! # Ok(()) }
//! ```

mod admin;
mod call;
mod client;
mod connection;
mod error;
mod meta;
mod multi;
mod options;
mod pacing;
mod pool;
mod routing;
mod table;

pub use admin::{CreateTable, NameMatch, NodeInfo, NodeStatus, TableFilter};
pub use client::{Client, IntoMetaServers};
pub use error::Error;
pub use multi::{Filter, MultiGet, MultiGetResult};
pub use options::ClientOptions;
pub use pegasus_types::{
    AppInfo, AppStatus, Decree, ErrorCode, NodeId, PartitionConfig, PartitionId, Status,
};
pub use routing::TableConfig;
pub use table::{Receipt, Table, Ttl};

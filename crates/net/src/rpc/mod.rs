//! Connections of the public Pegasus protocol (`spec/wire.md` 1).

mod connection;
mod outbox;
mod reply;

pub(crate) use connection::{Closed, Connection, PublicConnection};
pub use reply::{ReplySender, RpcHandler};

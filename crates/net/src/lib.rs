//! Sockets: one listening port per daemon whose first bytes choose the protocol, the public Pegasus
//! RPC connections, the HTTP mount, and the private connections between our own daemons.
//!
//! Nothing here knows what a message means.

mod error;
pub mod http;
mod limits;
mod listen;
mod peer;
mod private;
mod rpc;
mod serve;

pub use error::NetError;
pub use limits::{ConnectionCounter, ConnectionPermit, Limits};
pub use listen::{bind, bind_std};
pub use peer::{LinkOptions, LinkState, PeerLink, PeerReceivers, serve_peer};
pub use private::{
    Accepted, ClientTransport, Connected, Detached, Identity, MAX_PRIVATE_FRAME, PrivateAcceptor,
    ServerTransport, connect,
};
pub use rpc::{ReplySender, RpcHandler};
pub use serve::{Doors, serve};
pub use tokio_util::sync::CancellationToken;

//! Connections between our own daemons: preamble, handshake, then one tarpc service (design 5, 6).

mod accept;
mod dial;
mod handshake;
mod transport;

pub use accept::{Accepted, Detached, PrivateAcceptor};
pub use dial::{Connected, connect};
pub use handshake::Identity;
pub(crate) use transport::wire_options;
pub use transport::{ClientTransport, MAX_PRIVATE_FRAME, ServerTransport};

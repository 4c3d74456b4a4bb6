//! Links between replica servers: ordered delivery of envelopes in one direction, with a reset
//! whenever order was lost (design 3, rule 8). Two nodes talk over two links, one each way.

mod link;
mod queue;
mod receive;

pub use link::{LinkOptions, LinkState, PeerLink};
pub use receive::{PeerReceivers, serve_peer};

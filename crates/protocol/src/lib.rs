//! Bytes <-> messages: the public Pegasus wire format and the private services between our own
//! daemons. No sockets here.

pub mod admin;
pub mod code;
pub mod frame;
pub mod private;
pub mod rrdb;
pub mod special;
pub mod thrift;

use bincode::Options;
use bincode::config::{Bounded, DefaultOptions, WithOtherLimit};
use serde::{Deserialize, Serialize};
use tarpc::serde_transport::{self, Transport};
use tarpc::{ClientMessage, Response};
use tokio::net::TcpStream;
use tokio_serde::formats::Bincode;
use tokio_util::codec::LengthDelimitedCodec;

/// Longest message on a private connection, bytes, encoded. A longer one breaks the connection.
pub const MAX_PRIVATE_FRAME: usize = 64 << 20;

type WireOptions = WithOtherLimit<DefaultOptions, Bounded>;
type PrivateTransport<Item, SinkItem> =
    Transport<TcpStream, Item, SinkItem, Bincode<Item, SinkItem, WireOptions>>;

/// What a generated tarpc client is built on.
pub type ClientTransport<Req, Resp> = PrivateTransport<Response<Resp>, ClientMessage<Req>>;
/// What a tarpc server channel is built on.
pub type ServerTransport<Req, Resp> = PrivateTransport<ClientMessage<Req>, Response<Resp>>;

/// The limit makes bincode refuse a length that the message cannot hold before it allocates.
pub(crate) fn wire_options() -> WireOptions {
    DefaultOptions::new().with_limit(MAX_PRIVATE_FRAME as u64)
}

pub(super) fn transport<Item, SinkItem>(stream: TcpStream) -> PrivateTransport<Item, SinkItem>
where
    Item: for<'de> Deserialize<'de>,
    SinkItem: Serialize,
{
    let framed =
        LengthDelimitedCodec::builder().max_frame_length(MAX_PRIVATE_FRAME).new_framed(stream);
    serde_transport::new(framed, Bincode::from(wire_options()))
}

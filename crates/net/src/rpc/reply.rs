use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use pegasus_protocol::frame::{Request, RequestHeader, encode_rdsn_forward, encode_reply};
use pegasus_protocol::special::RpcAddress;
use pegasus_protocol::thrift::Thrift;
use pegasus_types::error::ErrorCode;

use super::outbox::Outbox;

/// The role's side of the public door.
pub trait RpcHandler: Clone + 'static {
    /// Deal with one request. Called on the connection's own shard, in the order of arrival; must
    /// not block. The reply may be given later, from any thread and in any order.
    fn call(&self, request: Request, reply: ReplySender);
}

/// The right to answer one request, once. Dropping it answers nothing, which is correct only for
/// one-way codes and for outcomes that will never be known.
#[derive(Debug)]
pub struct ReplySender {
    header: RequestHeader,
    outbox: Arc<Outbox>,
    finished: bool,
}

impl ReplySender {
    pub(crate) fn new(header: RequestHeader, outbox: Arc<Outbox>) -> ReplySender {
        ReplySender { header, outbox, finished: false }
    }

    /// Header of the request this answers.
    pub fn header(&self) -> &RequestHeader {
        &self.header
    }

    /// Address of the client.
    pub fn peer(&self) -> SocketAddr {
        self.outbox.peer()
    }

    /// The connection is gone: whatever the answer, nobody will read it.
    pub fn is_closed(&self) -> bool {
        self.outbox.is_closed()
    }

    /// Answer with a value, encoded at once into the connection's outgoing buffer.
    pub fn ok<T: Thrift>(self, value: &T) {
        self.answer(Ok(value));
    }

    /// Answer with a header error; the client sees no value.
    pub fn error(self, error: ErrorCode) {
        self.answer::<Bytes>(Err(error));
    }

    /// Answer with a value or a header error.
    pub fn answer<T: Thrift>(self, result: Result<&T, ErrorCode>) {
        self.finish(|out, header| encode_reply(out, header, result));
    }

    /// Tell a client that understands it (`header().forward_supported`) who the leader is
    /// (`spec/wire.md` 1.6).
    pub fn forward(self, leader: RpcAddress) {
        self.finish(|out, header| encode_rdsn_forward(out, header, leader));
    }

    fn finish(mut self, encode: impl FnOnce(&mut BytesMut, &RequestHeader)) {
        self.finished = true;
        // One-way codes must never be answered, whatever happens (`spec/wire.md` 1.4).
        let silent = self.header.wants_no_reply();
        self.outbox.finish_request(|out| {
            if !silent {
                encode(out, &self.header);
            }
        });
    }

    /// The answer to a code that this role does not know (`spec/wire.md` 1.5).
    pub fn handler_not_found(self) {
        self.error(ErrorCode::HandlerNotFound);
    }

    /// The answer to arguments that cannot be read (`spec/wire.md` 7.2).
    pub fn invalid_data(self) {
        self.error(ErrorCode::InvalidData);
    }
}

impl Drop for ReplySender {
    fn drop(&mut self) {
        if !self.finished {
            self.outbox.finish_request(|_| ());
        }
    }
}

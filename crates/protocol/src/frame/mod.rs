//! Frames of the public protocol: where a message ends, which RPC it is for and how it is
//! answered (`spec/wire.md` 1). Three layouts arrive at servers; our own client sends the second.

mod rdsn;
mod reply;
mod request;
mod thft;

use bytes::{Bytes, BytesMut};

use crate::thrift::{Reader, Thrift, ThriftError};

pub use rdsn::{RdsnHeader, decode_rdsn_reply, encode_rdsn_forward};
pub use reply::{Reply, decode_reply, encode_reply};
pub use request::{
    CallHeader, Request, RequestHeader, decode_request, encode_request, encode_request_as,
};

/// Limit on the body of a frame unless a caller has another one, bytes (`spec/wire.md` 7.1).
pub const DEFAULT_MAX_BODY: usize = 64 << 20;

/// Longest name of an RPC code, bytes; longer ones are cut (`spec/wire.md` 1.4).
pub const MAX_NAME_LEN: usize = 47;

/// What a connection speaks, chosen by its first four bytes and fixed for its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Java, Go, Python and Node clients.
    Thft,
    /// The C++ client and shell.
    Rdsn,
}

impl Protocol {
    /// `None` if the bytes open neither.
    pub fn of_magic(magic: [u8; 4]) -> Option<Protocol> {
        [Protocol::Thft, Protocol::Rdsn].into_iter().find(|p| p.magic() == magic)
    }

    pub const fn magic(self) -> [u8; 4] {
        match self {
            Protocol::Thft => *b"THFT",
            Protocol::Rdsn => *b"RDSN",
        }
    }
}

/// The layout of one request, and so of its reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Wire {
    /// Fixed header of 48 bytes: Go, Python, Node.
    ThriftV0,
    /// Header with a thrift struct: Java and our own client.
    #[default]
    ThriftV1,
    Rdsn,
}

/// Why a connection cannot go on: its next frame is not one, or is too long. Nothing was answered
/// and the rest of the stream has no meaning.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("a frame starts with {0:02x?}")]
    Magic([u8; 4]),
    #[error("frame header version {0} is not supported")]
    Version(u32),
    #[error("frame header length {0} is wrong")]
    HeaderLength(u32),
    #[error("a frame of {len} bytes, at most {max} are allowed")]
    TooLarge { len: u64, max: usize },
    #[error("checksum of the {0} does not match")]
    Checksum(&'static str),
    #[error("frame header or message envelope: {0}")]
    Envelope(#[from] ThriftError),
}

/// The value of the one field of an arguments or result struct. Its id (1, or 0 in RDSN requests
/// and in results) and type are not checked, and what follows is ignored, as the reference does.
fn decode_only_field<T: Thrift>(body: &Bytes) -> Result<T, ThriftError> {
    let mut reader = Reader::new(body);
    if reader.remaining() == 0 || reader.field()?.is_none() {
        return Err(ThriftError::Missing);
    }
    T::read(&mut reader)
}

/// The u32 at `at` in a fixed header, in network order.
fn be_u32(header: &[u8], at: usize) -> Option<u32> {
    header.get(at..)?.first_chunk().copied().map(u32::from_be_bytes)
}

/// Overwrite `bytes.len()` bytes at `at`, which the caller wrote as a place holder before.
fn patch(out: &mut BytesMut, at: usize, bytes: &[u8]) {
    if let Some(place) = at.checked_add(bytes.len()).and_then(|end| out.get_mut(at..end)) {
        place.copy_from_slice(bytes);
    }
}

//! RDSN frames, spoken by the C++ client library and shell (`spec/wire.md` 1.6).

use bytes::{Buf, BytesMut};
use pegasus_types::ErrorCode;

use super::reply::{ACK_SUFFIX, RESULT_FIELD};
use super::thft::checked_len;
use super::{FrameError, Protocol, Reply, Request, RequestHeader, Wire};
use crate::special::RpcAddress;
use crate::thrift::{Thrift, Writer};

const HEADER_LEN: usize = 192;
const NAME_LEN: usize = 48;

/// Field id of the argument; not the 1 of THFT.
const ARGS_FIELD: i16 = 0;

const IS_REQUEST: u64 = 1;
const FORMAT_SHIFT: u32 = 6;
const FORMAT_MASK: u64 = 0xf;
const FORMAT_BINARY: u8 = 1;
const FORWARD_SUPPORTED: u64 = 1 << 10;
const IS_BACKUP_REQUEST: u64 = 1 << 11;

/// Offsets in the header.
mod at {
    pub const VERSION: usize = 4;
    pub const HEADER_LEN: usize = 8;
    pub const HEADER_CRC: usize = 12;
    pub const BODY_LEN: usize = 16;
    pub const BODY_CRC: usize = 20;
    pub const ID: usize = 24;
    pub const TRACE_ID: usize = 32;
    pub const NAME: usize = 40;
    pub const APP_ID: usize = 96;
    pub const PARTITION_INDEX: usize = 100;
    pub const CONTEXT: usize = 104;
    pub const FROM: usize = 112;
    pub const TIMEOUT: usize = 120;
    pub const THREAD_HASH: usize = 124;
    pub const PARTITION_HASH: usize = 128;
    pub const ERROR: usize = 136;
}

/// What an RDSN request carries besides the fields it shares with THFT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RdsnHeader {
    /// Matches a reply to its request.
    pub id: u64,
    pub trace_id: u64,
    /// Flags and serialization format, echoed.
    pub context: u64,
    /// The sender. Its port is made up when the sender is only a client.
    pub from: RpcAddress,
    /// The sender filled in checksums; so does the reply.
    pub checksums: bool,
    /// The address to name as the sender of the reply: the server's own, set by whoever answers.
    pub reply_from: RpcAddress,
}

impl RdsnHeader {
    /// Serialization format: 1 thrift binary, 2 compact, 3 JSON.
    pub fn format(&self) -> u8 {
        ((self.context >> FORMAT_SHIFT) & FORMAT_MASK) as u8
    }

    /// The only format we read.
    pub fn is_binary(&self) -> bool {
        self.format() == FORMAT_BINARY
    }
}

/// A header, little-endian throughout.
struct Header([u8; HEADER_LEN]);

impl Header {
    fn new() -> Header {
        let mut header = Header([0; HEADER_LEN]);
        header.put(0, &Protocol::Rdsn.magic());
        header.put(at::HEADER_LEN, &(HEADER_LEN as u32).to_le_bytes());
        header
    }

    fn get<const N: usize>(&self, at: usize) -> [u8; N] {
        self.0.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.get(at))
    }

    fn i32(&self, at: usize) -> i32 {
        i32::from_le_bytes(self.get(at))
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.get(at))
    }

    /// The text before the first NUL, at most 47 bytes.
    fn name(&self, at: usize) -> &[u8] {
        let field = self.0.get(at..at + NAME_LEN - 1).unwrap_or_default();
        field.split(|byte| *byte == 0).next().unwrap_or_default()
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        if let Some(place) = self.0.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }

    fn put_name(&mut self, at: usize, parts: [&str; 2]) {
        let name: Vec<u8> = parts.concat().into_bytes();
        self.put(at, name.get(..NAME_LEN - 1).unwrap_or(&name));
    }

    /// CRC-32C with the checksum's own field counted as zero.
    fn checksum(&self) -> u32 {
        let mut zeroed = self.0;
        if let Some(field) = zeroed.get_mut(at::HEADER_CRC..at::BODY_LEN) {
            field.fill(0);
        }
        crc_fast::crc32_iscsi(&zeroed)
    }
}

/// A frame that was taken off the buffer: header and body.
type Frame = (Header, bytes::Bytes);

fn decode_frame(buf: &mut BytesMut, max_body: usize) -> Result<Option<Frame>, FrameError> {
    let Some(magic) = buf.first_chunk::<4>() else {
        return Ok(None);
    };
    if *magic != Protocol::Rdsn.magic() {
        return Err(FrameError::Magic(*magic));
    }
    let Some(header) = buf.first_chunk::<HEADER_LEN>() else {
        return Ok(None);
    };
    let header = Header(*header);
    if header.u32(at::VERSION) != 0 {
        return Err(FrameError::Version(header.u32(at::VERSION)));
    }
    if header.u32(at::HEADER_LEN) != HEADER_LEN as u32 {
        return Err(FrameError::HeaderLength(header.u32(at::HEADER_LEN)));
    }
    let crc = header.u32(at::HEADER_CRC);
    if crc != 0 && crc != header.checksum() {
        return Err(FrameError::Checksum("header"));
    }
    let body_len = checked_len(header.u32(at::BODY_LEN), max_body)?;
    if buf.len() < HEADER_LEN + body_len {
        return Ok(None);
    }
    let mut body = buf.split_to(HEADER_LEN + body_len).freeze();
    body.advance(HEADER_LEN);
    let crc = header.u32(at::BODY_CRC);
    if crc != 0 && crc != crc_fast::crc32_iscsi(&body) {
        return Err(FrameError::Checksum("body"));
    }
    Ok(Some((header, body)))
}

/// The next request; replies, to which nothing here waits, are dropped.
pub(super) fn decode_request(
    buf: &mut BytesMut,
    max_body: usize,
) -> Result<Option<Request>, FrameError> {
    while let Some((header, body)) = decode_frame(buf, max_body)? {
        let context = header.u64(at::CONTEXT);
        if context & IS_REQUEST != 0 {
            return Ok(Some(Request { header: read_header(&header, context), body }));
        }
    }
    Ok(None)
}

fn read_header(header: &Header, context: u64) -> RequestHeader {
    let mut request = RequestHeader {
        wire: Wire::Rdsn,
        app_id: header.i32(at::APP_ID),
        partition_index: header.i32(at::PARTITION_INDEX),
        client_timeout_ms: header.i32(at::TIMEOUT),
        thread_hash: header.i32(at::THREAD_HASH),
        partition_hash: header.u64(at::PARTITION_HASH),
        is_backup_request: context & IS_BACKUP_REQUEST != 0,
        forward_supported: context & FORWARD_SUPPORTED != 0,
        rdsn: Some(RdsnHeader {
            id: header.u64(at::ID),
            trace_id: header.u64(at::TRACE_ID),
            context,
            from: RpcAddress(header.u64(at::FROM)),
            checksums: header.u32(at::HEADER_CRC) != 0 || header.u32(at::BODY_CRC) != 0,
            reply_from: RpcAddress::INVALID,
        }),
        ..RequestHeader::default()
    };
    request.set_code(header.name(at::NAME));
    request
}

/// A header with everything that a request and its reply have in common.
fn shared_header(request: &RequestHeader, rdsn: &RdsnHeader) -> Header {
    let mut header = Header::new();
    header.put(at::ID, &rdsn.id.to_le_bytes());
    header.put(at::TRACE_ID, &rdsn.trace_id.to_le_bytes());
    header.put(at::APP_ID, &request.app_id.to_le_bytes());
    header.put(at::PARTITION_INDEX, &request.partition_index.to_le_bytes());
    header.put(at::TIMEOUT, &request.client_timeout_ms.to_le_bytes());
    header.put(at::THREAD_HASH, &request.thread_hash.to_le_bytes());
    header.put(at::PARTITION_HASH, &request.partition_hash.to_le_bytes());
    header
}

/// Append a frame: room for the header, the body, and then the header with length and checksums.
/// False, with a useless frame in `out`, if the body is too long.
fn write_frame<T: Thrift>(
    out: &mut BytesMut,
    mut header: Header,
    checksums: bool,
    field: i16,
    value: Option<&T>,
) -> bool {
    let start = out.len();
    out.extend_from_slice(&header.0);
    if let Some(value) = value {
        let mut writer = Writer::new(out);
        writer.field(T::TYPE, field);
        value.write(&mut writer);
        writer.stop();
    }
    let Some((place, body)) =
        out.get_mut(start..).and_then(|frame| frame.split_first_chunk_mut::<HEADER_LEN>())
    else {
        return false;
    };
    let Ok(body_len) = i32::try_from(body.len()) else {
        return false;
    };
    header.put(at::BODY_LEN, &body_len.to_le_bytes());
    if checksums {
        header.put(at::BODY_CRC, &crc_fast::crc32_iscsi(body).to_le_bytes());
        header.put(at::HEADER_CRC, &header.checksum().to_le_bytes());
    }
    *place = header.0;
    true
}

pub(super) fn encode_request<T: Thrift>(out: &mut BytesMut, request: &RequestHeader, args: &T) {
    let rdsn = request.rdsn.unwrap_or_default();
    let mut header = shared_header(request, &rdsn);
    header.put_name(at::NAME, [&request.code_name, ""]);
    header.put(at::CONTEXT, &rdsn.context.to_le_bytes());
    header.put(at::FROM, &rdsn.from.0.to_le_bytes());
    write_frame(out, header, rdsn.checksums, ARGS_FIELD, Some(args));
}

fn reply_header(request: &RequestHeader, rdsn: &RdsnHeader, error: ErrorCode) -> Header {
    let mut header = shared_header(request, rdsn);
    header.put_name(at::NAME, [&request.code_name, ACK_SUFFIX]);
    header.put(at::CONTEXT, &(rdsn.context & !IS_REQUEST).to_le_bytes());
    header.put(at::FROM, &rdsn.reply_from.0.to_le_bytes());
    header.put_name(at::ERROR, [error.as_str(), ""]);
    header
}

/// False if the value is too long.
pub(super) fn encode_reply<T: Thrift>(
    out: &mut BytesMut,
    request: &RequestHeader,
    result: Result<&T, ErrorCode>,
) -> bool {
    let rdsn = request.rdsn.unwrap_or_default();
    let header = reply_header(request, &rdsn, result.err().unwrap_or(ErrorCode::Ok));
    write_frame(out, header, rdsn.checksums, RESULT_FIELD, result.ok())
}

/// Append the answer of a meta server that does not lead to a client that understands forwarding:
/// the header error ERR_FORWARD_TO_OTHERS with the leader's address as the body.
pub fn encode_rdsn_forward(out: &mut BytesMut, request: &RequestHeader, leader: RpcAddress) {
    let rdsn = request.rdsn.unwrap_or_default();
    let header = reply_header(request, &rdsn, ErrorCode::ForwardToOthers);
    write_frame(out, header, rdsn.checksums, RESULT_FIELD, Some(&leader));
}

/// Take the next RDSN reply off `buf`, with the id of the request it answers; `seqid` is 0.
pub fn decode_rdsn_reply(
    buf: &mut BytesMut,
    max_body: usize,
) -> Result<Option<(u64, Reply)>, FrameError> {
    let Some((header, body)) = decode_frame(buf, max_body)? else {
        return Ok(None);
    };
    let error = std::str::from_utf8(header.name(at::ERROR)).ok().and_then(ErrorCode::from_name);
    let reply = Reply {
        error: error.unwrap_or(ErrorCode::Unknown),
        name: String::from_utf8_lossy(header.name(at::NAME)).into_owned(),
        seqid: 0,
        body,
    };
    Ok(Some((header.u64(at::ID), reply)))
}

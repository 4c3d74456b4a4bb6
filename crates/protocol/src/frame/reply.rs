//! Replies: THFT replies (`spec/wire.md` 1.4) here, RDSN replies in [`super::rdsn`].

use bytes::{Buf, BufMut, Bytes, BytesMut};
use pegasus_types::ErrorCode;

use super::thft::{MessageKind, checked_len, read_envelope, write_envelope};
use super::{FrameError, RequestHeader, Wire, be_u32, decode_only_field, patch, rdsn};
use crate::thrift::{Reader, Thrift, ThriftError, Writer};

/// What is appended to the name of a request's code in its reply.
pub(super) const ACK_SUFFIX: &str = "_ACK";

/// Field id of the value in the result struct.
pub(super) const RESULT_FIELD: i16 = 0;

/// The length word of a THFT reply counts itself.
const LEN_SIZE: usize = 4;

/// Append the reply to the request with this header: a value, or an error in the reply's header.
/// The value is written straight into `out`. Appends nothing for a request that wants no reply.
///
/// THFT peers get the closest error name that all of them can decode, in the header and inside
/// the value. A value of more than 2 GiB is replaced by ERR_INVALID_DATA.
pub fn encode_reply<T: Thrift>(
    out: &mut BytesMut,
    header: &RequestHeader,
    result: Result<&T, ErrorCode>,
) {
    if header.wants_no_reply() {
        return;
    }
    let start = out.len();
    let fits = match header.wire {
        Wire::ThriftV0 | Wire::ThriftV1 => encode_thft(out, header, result),
        Wire::Rdsn => rdsn::encode_reply(out, header, result),
    };
    if !fits {
        out.truncate(start);
        encode_reply::<T>(out, header, Err(ErrorCode::InvalidData));
    }
}

fn encode_thft<T: Thrift>(
    out: &mut BytesMut,
    header: &RequestHeader,
    result: Result<&T, ErrorCode>,
) -> bool {
    let start = out.len();
    out.put_i32(0);
    let error = result.err().unwrap_or(ErrorCode::Ok);
    Writer::new(out).sized(error.name_for_old_clients().as_bytes());
    write_envelope(out, MessageKind::Reply, &header.code_name, ACK_SUFFIX, header.seqid);
    if let Ok(value) = result {
        let mut writer = Writer::for_old_clients(out);
        writer.field(T::TYPE, RESULT_FIELD);
        value.write(&mut writer);
        writer.stop();
    }
    match i32::try_from(out.len().saturating_sub(start)) {
        Ok(len) => {
            patch(out, start, &len.to_be_bytes());
            true
        }
        Err(_) => false,
    }
}

/// A reply as a client receives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Anything but ERR_OK comes without a value. A name we do not know reads as ERR_UNKNOWN.
    pub error: ErrorCode,
    /// `<request code>_ACK`.
    pub name: String,
    /// Of the request.
    pub seqid: i32,
    /// The result struct, see [`Reply::decode_result`].
    pub body: Bytes,
}

impl Reply {
    /// The result of the call. Its blobs share the memory of the frame.
    pub fn decode_result<T: Thrift>(&self) -> Result<T, ThriftError> {
        decode_only_field(&self.body)
    }
}

/// Take the next THFT reply off `buf`, or `None` if it has not arrived in full. One that announces
/// more than `max` bytes is refused at once.
pub fn decode_reply(buf: &mut BytesMut, max: usize) -> Result<Option<Reply>, FrameError> {
    let Some(total) = be_u32(buf, 0) else {
        return Ok(None);
    };
    let total = checked_len(total, max.saturating_add(LEN_SIZE))?;
    if total < LEN_SIZE {
        return Err(FrameError::HeaderLength(total as u32));
    }
    if buf.len() < total {
        return Ok(None);
    }
    let mut body = buf.split_to(total).freeze();
    body.advance(LEN_SIZE);
    let mut reader = Reader::new(&body);
    let error = ErrorCode::read(&mut reader)?;
    let (kind, name, seqid) = read_envelope(&mut reader)?;
    if kind != MessageKind::Reply {
        return Err(ThriftError::Envelope("a request where a reply is expected").into());
    }
    let name = String::from_utf8_lossy(name).into_owned();
    let read = reader.position();
    body.advance(read);
    Ok(Some(Reply { error, name, seqid, body }))
}

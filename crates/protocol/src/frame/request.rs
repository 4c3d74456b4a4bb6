use std::borrow::Cow;

use bytes::{Bytes, BytesMut};

use super::{FrameError, MAX_NAME_LEN, Protocol, RdsnHeader, Wire, decode_only_field, rdsn, thft};
use crate::code::TaskCode;
use crate::thrift::{Thrift, ThriftError};

/// Everything about a request but its argument, and all that is needed to answer it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestHeader {
    pub wire: Wire,
    /// The name of the RPC code as the peer wrote it, at most 47 bytes.
    pub code_name: Cow<'static, str>,
    /// `None` for a name that is not in our table: answer ERR_HANDLER_NOT_FOUND.
    pub code: Option<TaskCode>,
    /// Matches a reply to its request (THFT); 0 in RDSN.
    pub seqid: i32,
    /// The message itself says that it wants no answer (THFT).
    pub oneway: bool,
    /// Table of a data RPC. For meta and node RPCs 0, or -1 from Java.
    pub app_id: i32,
    /// Meaningless unless `app_id` > 0.
    pub partition_index: i32,
    /// A hint, never a reason to drop a request (`spec/wire.md` 1.7).
    pub client_timeout_ms: i32,
    pub thread_hash: i32,
    /// Hash of the key, 0 for "do not check".
    pub partition_hash: u64,
    /// A read that a secondary may serve.
    pub is_backup_request: bool,
    /// A meta server that does not lead may answer with the header error ERR_FORWARD_TO_OTHERS.
    pub forward_supported: bool,
    /// Only in RDSN frames.
    pub rdsn: Option<RdsnHeader>,
}

impl RequestHeader {
    /// Whether the request must not be answered, not even with an error.
    pub fn wants_no_reply(&self) -> bool {
        self.oneway || self.code.is_some_and(TaskCode::is_oneway)
    }

    pub(super) fn set_code(&mut self, name: &[u8]) {
        let name = name.get(..MAX_NAME_LEN).unwrap_or(name);
        self.code = std::str::from_utf8(name).ok().and_then(TaskCode::from_name);
        self.code_name = match self.code {
            Some(code) => Cow::Borrowed(code.name()),
            None => Cow::Owned(String::from_utf8_lossy(name).into_owned()),
        };
    }
}

/// A request as it was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub header: RequestHeader,
    /// The arguments struct, see [`Request::decode_args`].
    pub body: Bytes,
}

impl Request {
    /// The argument of the call. Its blobs share the memory of the frame.
    pub fn decode_args<T: Thrift>(&self) -> Result<T, ThriftError> {
        match &self.header.rdsn {
            Some(rdsn) if !rdsn.is_binary() => Err(ThriftError::Format(rdsn.format())),
            _ => decode_only_field(&self.body),
        }
    }
}

/// Take the next request off `buf`, or `None` if it has not arrived in full. A header that
/// announces a body of more than `max_body` bytes is refused at once.
pub fn decode_request(
    protocol: Protocol,
    buf: &mut BytesMut,
    max_body: usize,
) -> Result<Option<Request>, FrameError> {
    match protocol {
        Protocol::Thft => thft::decode_request(buf, max_body),
        Protocol::Rdsn => rdsn::decode_request(buf, max_body),
    }
}

/// Where a call goes and how it may be served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallHeader {
    /// 0 for meta and node RPCs.
    pub app_id: i32,
    pub partition_index: i32,
    pub timeout_ms: i32,
    /// Hash of the key, 0 for "do not check".
    pub partition_hash: u64,
    pub is_backup_request: bool,
}

/// Append a call in the layout of our own client, THFT version 1.
pub fn encode_request<T: Thrift>(
    out: &mut BytesMut,
    code: &str,
    seqid: i32,
    header: &CallHeader,
    args: &T,
) {
    thft::encode_v1(out, code, (seqid, false), header, args);
}

/// Append a call in any layout, as the client whose request `header` describes would send it.
pub fn encode_request_as<T: Thrift>(out: &mut BytesMut, header: &RequestHeader, args: &T) {
    match header.wire {
        Wire::ThriftV0 => thft::encode_v0(out, header, args),
        Wire::ThriftV1 => {
            let call = CallHeader {
                app_id: header.app_id,
                partition_index: header.partition_index,
                timeout_ms: header.client_timeout_ms,
                partition_hash: header.partition_hash,
                is_backup_request: header.is_backup_request,
            };
            thft::encode_v1(out, &header.code_name, (header.seqid, header.oneway), &call, args);
        }
        Wire::Rdsn => rdsn::encode_request(out, header, args),
    }
}

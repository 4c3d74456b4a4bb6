//! THFT requests of both header versions (`spec/wire.md` 1.2 to 1.4).

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{CallHeader, FrameError, Protocol, Request, RequestHeader, Wire, be_u32, patch};
use crate::thrift::{Reader, Thrift, ThriftError, Writer};
use crate::thrift_struct;

const V0_HEADER_LEN: usize = 48;
const V1_HEADER_LEN: usize = 16;

/// The header struct of version 1 takes 37 bytes; this leaves room for fields to come.
const MAX_META_LEN: u32 = 4096;

/// A thread hash is a table's id times this plus the partition's index.
const THREAD_HASH_FACTOR: i32 = 7919;

/// Field id of the argument in the arguments struct.
const ARGS_FIELD: i16 = 1;

const STRICT_VERSION: u32 = 0x8001_0000;
const STRICT_VERSION_MASK: u32 = 0xffff_0000;

/// What a thrift message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MessageKind {
    Call = 1,
    Reply = 2,
    Oneway = 4,
}

impl MessageKind {
    fn from_byte(byte: u8) -> Result<MessageKind, ThriftError> {
        match byte {
            1 => Ok(MessageKind::Call),
            2 => Ok(MessageKind::Reply),
            4 => Ok(MessageKind::Oneway),
            _ => Err(ThriftError::Envelope("neither a call nor a reply")),
        }
    }
}

/// Kind, name and sequence id in front of the arguments, in the strict or in the old form.
pub(super) fn read_envelope<'a>(
    reader: &mut Reader<'a>,
) -> Result<(MessageKind, &'a [u8], i32), ThriftError> {
    let word = reader.i32()?;
    if let Ok(name_len) = usize::try_from(word) {
        let name = reader.take(name_len)?;
        let kind = MessageKind::from_byte(reader.u8()?)?;
        return Ok((kind, name, reader.i32()?));
    }
    let word = word.cast_unsigned();
    if word & STRICT_VERSION_MASK != STRICT_VERSION {
        return Err(ThriftError::Envelope("unknown version"));
    }
    let kind = MessageKind::from_byte(word.to_be_bytes()[3])?;
    let name = reader.sized()?;
    Ok((kind, name, reader.i32()?))
}

/// Write the strict form of the envelope.
pub(super) fn write_envelope(
    out: &mut BytesMut,
    kind: MessageKind,
    name: &str,
    suffix: &str,
    seqid: i32,
) {
    out.put_u32(STRICT_VERSION | kind as u32);
    let mut writer = Writer::new(out);
    writer.count(name.len() + suffix.len());
    out.put_slice(name.as_bytes());
    out.put_slice(suffix.as_bytes());
    out.put_i32(seqid);
}

thrift_struct! {
    /// `request_meta`, the header of version 1.
    struct RequestMeta {
        1 app_id: Option<i32>,
        2 partition_index: Option<i32>,
        3 client_timeout: Option<i32>,
        4 client_partition_hash: Option<i64>,
        5 is_backup_request: Option<bool>,
    }
}

/// Where the parts of the frame at the start of a buffer lie.
enum Layout {
    V0 { body_len: usize },
    V1 { meta_len: usize, body_len: usize },
}

impl Layout {
    /// `None` if the fixed part of the header is not there yet.
    fn of(buf: &[u8], max_body: usize) -> Result<Option<Layout>, FrameError> {
        let Some(magic) = buf.first_chunk::<4>() else {
            return Ok(None);
        };
        if *magic != Protocol::Thft.magic() {
            return Err(FrameError::Magic(*magic));
        }
        match be_u32(buf, 4) {
            None => Ok(None),
            Some(0) => {
                let (Some(header_len), Some(body_len)) = (be_u32(buf, 8), be_u32(buf, 16)) else {
                    return Ok(None);
                };
                if header_len != V0_HEADER_LEN as u32 {
                    return Err(FrameError::HeaderLength(header_len));
                }
                Ok(Some(Layout::V0 { body_len: checked_len(body_len, max_body)? }))
            }
            Some(1) => {
                let (Some(meta_len), Some(body_len)) = (be_u32(buf, 8), be_u32(buf, 12)) else {
                    return Ok(None);
                };
                if meta_len > MAX_META_LEN {
                    return Err(FrameError::HeaderLength(meta_len));
                }
                let body_len = checked_len(body_len, max_body)?;
                Ok(Some(Layout::V1 { meta_len: meta_len as usize, body_len }))
            }
            Some(version) => Err(FrameError::Version(version)),
        }
    }

    fn header_len(&self) -> usize {
        match self {
            Layout::V0 { .. } => V0_HEADER_LEN,
            Layout::V1 { meta_len, .. } => V1_HEADER_LEN + meta_len,
        }
    }

    fn body_len(&self) -> usize {
        match self {
            Layout::V0 { body_len } | Layout::V1 { body_len, .. } => *body_len,
        }
    }
}

/// A body length that is within the limit.
pub(super) fn checked_len(len: u32, max: usize) -> Result<usize, FrameError> {
    match usize::try_from(len) {
        Ok(len) if len <= max => Ok(len),
        _ => Err(FrameError::TooLarge { len: u64::from(len), max }),
    }
}

pub(super) fn decode_request(
    buf: &mut BytesMut,
    max_body: usize,
) -> Result<Option<Request>, FrameError> {
    let Some(layout) = Layout::of(buf, max_body)? else {
        return Ok(None);
    };
    let (header_len, body_len) = (layout.header_len(), layout.body_len());
    if buf.len() < header_len + body_len {
        return Ok(None);
    }
    let frame = buf.split_to(header_len + body_len).freeze();
    let mut header = match layout {
        Layout::V0 { .. } => read_v0(&frame)?,
        Layout::V1 { .. } => read_v1(&frame.slice(V1_HEADER_LEN..header_len))?,
    };
    let mut body = frame.slice(header_len..);
    let mut reader = Reader::new(&body);
    let (kind, name, seqid) = read_envelope(&mut reader)?;
    if kind == MessageKind::Reply {
        return Err(ThriftError::Envelope("a reply where a request is expected").into());
    }
    header.set_code(name);
    header.seqid = seqid;
    header.oneway = kind == MessageKind::Oneway;
    let read = reader.position();
    body.advance(read);
    Ok(Some(Request { header, body }))
}

fn read_v0(frame: &Bytes) -> Result<RequestHeader, ThriftError> {
    let mut reader = Reader::new(frame);
    // Magic, version, header length and crc, body length and crc.
    reader.take(24)?;
    Ok(RequestHeader {
        wire: Wire::ThriftV0,
        app_id: reader.i32()?,
        partition_index: reader.i32()?,
        client_timeout_ms: reader.i32()?,
        thread_hash: reader.i32()?,
        partition_hash: reader.i64()?.cast_unsigned(),
        ..RequestHeader::default()
    })
}

fn read_v1(meta: &Bytes) -> Result<RequestHeader, ThriftError> {
    let meta = RequestMeta::read(&mut Reader::new(meta))?;
    let app_id = meta.app_id.unwrap_or_default();
    let partition_index = meta.partition_index.unwrap_or_default();
    Ok(RequestHeader {
        wire: Wire::ThriftV1,
        app_id,
        partition_index,
        client_timeout_ms: meta.client_timeout.unwrap_or_default(),
        thread_hash: app_id.wrapping_mul(THREAD_HASH_FACTOR).wrapping_add(partition_index),
        partition_hash: meta.client_partition_hash.unwrap_or_default().cast_unsigned(),
        is_backup_request: meta.is_backup_request.unwrap_or_default(),
        ..RequestHeader::default()
    })
}

pub(super) fn encode_v0<T: Thrift>(out: &mut BytesMut, header: &RequestHeader, args: &T) {
    out.put_slice(&Protocol::Thft.magic());
    out.put_u32(0);
    out.put_u32(V0_HEADER_LEN as u32);
    out.put_u32(0);
    let body_len_at = out.len();
    out.put_u32(0);
    out.put_u32(0);
    out.put_i32(header.app_id);
    out.put_i32(header.partition_index);
    out.put_i32(header.client_timeout_ms);
    out.put_i32(header.thread_hash);
    out.put_u64(header.partition_hash);
    let oneway = (header.seqid, header.oneway);
    write_body(out, body_len_at, &header.code_name, oneway, args);
}

pub(super) fn encode_v1<T: Thrift>(
    out: &mut BytesMut,
    code: &str,
    (seqid, oneway): (i32, bool),
    header: &CallHeader,
    args: &T,
) {
    out.put_slice(&Protocol::Thft.magic());
    out.put_u32(1);
    let meta_len_at = out.len();
    out.put_u32(0);
    let body_len_at = out.len();
    out.put_u32(0);
    let meta_at = out.len();
    let meta = RequestMeta {
        app_id: Some(header.app_id),
        partition_index: Some(header.partition_index),
        client_timeout: Some(header.timeout_ms),
        client_partition_hash: Some(header.partition_hash.cast_signed()),
        is_backup_request: Some(header.is_backup_request),
    };
    meta.write(&mut Writer::new(out));
    patch_len(out, meta_len_at, meta_at);
    write_body(out, body_len_at, code, (seqid, oneway), args);
}

fn write_body<T: Thrift>(
    out: &mut BytesMut,
    body_len_at: usize,
    code: &str,
    (seqid, oneway): (i32, bool),
    args: &T,
) {
    let body_at = out.len();
    let kind = if oneway { MessageKind::Oneway } else { MessageKind::Call };
    write_envelope(out, kind, code, "", seqid);
    let mut writer = Writer::new(out);
    writer.field(T::TYPE, ARGS_FIELD);
    args.write(&mut writer);
    writer.stop();
    patch_len(out, body_len_at, body_at);
}

/// Write the number of bytes since `start` to `at`.
fn patch_len(out: &mut BytesMut, at: usize, start: usize) {
    let len = u32::try_from(out.len().saturating_sub(start)).unwrap_or(u32::MAX);
    patch(out, at, &len.to_be_bytes());
}

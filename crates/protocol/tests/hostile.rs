//! Whatever bytes arrive, the decoders answer or refuse; they never panic and never allocate what
//! a frame merely claims.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use bytes::{BufMut, Bytes, BytesMut};
use common::{golden, golden_names};
use pegasus_protocol::admin::*;
use pegasus_protocol::frame::*;
use pegasus_protocol::rrdb::*;
use pegasus_protocol::special::{HostPort, RpcAddress};
use pegasus_protocol::thrift::{Reader, Thrift, ttype};
use pegasus_types::{ErrorCode, PartitionId};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

const MAX: usize = 1 << 20;

/// Takes everything off the buffer, with every decoder that could meet it.
fn decode_all(bytes: &[u8]) {
    for protocol in [Protocol::Thft, Protocol::Rdsn] {
        let mut buf = BytesMut::from(bytes);
        while let Ok(Some(request)) = decode_request(protocol, &mut buf, MAX) {
            assert!(request.header.code_name.chars().count() <= MAX_NAME_LEN);
            decode_values(&request.body);
            // A refused request is answered all the same.
            let mut out = BytesMut::new();
            encode_reply::<i32>(&mut out, &request.header, Err(ErrorCode::InvalidData));
        }
    }
    let mut buf = BytesMut::from(bytes);
    while let Ok(Some(reply)) = decode_reply(&mut buf, MAX) {
        decode_values(&reply.body);
    }
    let mut buf = BytesMut::from(bytes);
    while let Ok(Some((_, reply))) = decode_rdsn_reply(&mut buf, MAX) {
        decode_values(&reply.body);
    }
    decode_values(&Bytes::copy_from_slice(bytes));
}

fn decode_values(body: &Bytes) {
    fn one<T: Thrift>(body: &Bytes) {
        let _ = T::read(&mut Reader::new(body));
        // As the only field of an arguments struct.
        let reply =
            Reply { error: ErrorCode::Ok, name: String::new(), seqid: 0, body: body.clone() };
        let _ = reply.decode_result::<T>();
    }
    one::<Bytes>(body);
    one::<String>(body);
    one::<i64>(body);
    one::<bool>(body);
    one::<ErrorCode>(body);
    one::<PartitionId>(body);
    one::<RpcAddress>(body);
    one::<HostPort>(body);
    one::<UpdateRequest>(body);
    one::<MultiPutRequest>(body);
    one::<MultiGetRequest>(body);
    one::<MultiGetResponse>(body);
    one::<GetScannerRequest>(body);
    one::<CheckAndMutateRequest>(body);
    one::<DuplicateRequest>(body);
    one::<QueryCfgRequest>(body);
    one::<QueryCfgResponse>(body);
    one::<CreateAppRequest>(body);
    one::<ListAppsResponse>(body);
    one::<ListNodesResponse>(body);
    one::<DddDiagnoseResponse>(body);
    one::<QueryByNodeRequest>(body);
    one::<QueryDiskInfoResponse>(body);
    one::<Command>(body);
    one::<Negotiation>(body);
}

/// Bytes that look like thrift more often than chance would make them.
fn thrift_like() -> impl Strategy<Value = Vec<u8>> {
    let small = vec![0u8, 1, 2, 3, 4, 6, 8, 9, 10, 11, 12, 13, 14, 15, 0x7f, 0x80, 0xff];
    vec(prop_oneof![3 => select(small), 1 => any::<u8>()], 0..200)
}

fn mutated_golden() -> impl Strategy<Value = Vec<u8>> {
    let messages: Vec<Vec<u8>> = golden_names().iter().map(|name| golden(name)).collect();
    let change = (any::<Index>(), any::<u8>(), 0..4u8);
    (select(messages), vec(change, 1..6)).prop_map(|(mut message, changes)| {
        for (at, byte, how) in changes {
            let at = at.index(message.len().max(1));
            match how {
                0 => message.truncate(at),
                1 => message.insert(at, byte),
                _ => {
                    if let Some(place) = message.get_mut(at) {
                        *place = byte;
                    }
                }
            }
        }
        message
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn arbitrary_bytes(bytes in vec(any::<u8>(), 0..300)) {
        decode_all(&bytes);
    }

    #[test]
    fn thrift_like_bytes(bytes in thrift_like()) {
        decode_all(&bytes);
    }

    #[test]
    fn bytes_behind_a_magic(rdsn in any::<bool>(), rest in vec(any::<u8>(), 0..300)) {
        let magic = if rdsn { Protocol::Rdsn } else { Protocol::Thft }.magic();
        decode_all(&[&magic[..], &rest].concat());
    }

    #[test]
    fn mutated_messages(message in mutated_golden()) {
        decode_all(&message);
    }
}

#[test]
fn a_frame_of_two_gigabytes_is_refused_before_it_arrives() {
    let claimed = 0x7fff_ffffu32;
    let refused = Err(FrameError::TooLarge { len: u64::from(claimed), max: MAX });

    let mut v0 = golden("go_req_get");
    v0[16..20].copy_from_slice(&claimed.to_be_bytes());
    let mut v1 = golden("java_req_get");
    v1[12..16].copy_from_slice(&claimed.to_be_bytes());
    let mut rdsn = golden("rdsn_req_query_cfg");
    rdsn[16..20].copy_from_slice(&claimed.to_le_bytes());
    for (protocol, message, enough) in
        [(Protocol::Thft, v0, 20), (Protocol::Thft, v1, 16), (Protocol::Rdsn, rdsn, 192)]
    {
        let mut buf = BytesMut::from(&message[..enough]);
        let capacity = buf.capacity();
        assert_eq!(decode_request(protocol, &mut buf, MAX), refused);
        assert_eq!(buf.capacity(), capacity);
    }

    let mut buf = BytesMut::from(&claimed.to_be_bytes()[..]);
    let refused = Err(FrameError::TooLarge { len: u64::from(claimed), max: MAX + 4 });
    assert_eq!(decode_reply(&mut buf, MAX), refused);
}

#[test]
fn damaged_headers_close_the_connection() {
    let decode = |protocol, message: &[u8]| {
        decode_request(protocol, &mut BytesMut::from(message), MAX).unwrap_err()
    };
    let with = |name: &str, at: usize, byte: u8| {
        let mut message = golden(name);
        message[at] = byte;
        message
    };
    let thft = Protocol::Thft;
    assert_eq!(decode(thft, b"GET "), FrameError::Magic(*b"GET "));
    assert_eq!(decode(thft, &with("go_req_get", 7, 2)), FrameError::Version(2));
    assert_eq!(decode(thft, &with("go_req_get", 11, 47)), FrameError::HeaderLength(47));
    let meta = decode(thft, &with("java_req_get", 8, 1));
    assert_eq!(meta, FrameError::HeaderLength(0x0100_0025));
    // A reply instead of a call, and an unknown version of the envelope.
    assert!(matches!(decode(thft, &with("go_req_get", 51, 2)), FrameError::Envelope(_)));
    assert!(matches!(decode(thft, &with("go_req_get", 49, 2)), FrameError::Envelope(_)));

    let rdsn = Protocol::Rdsn;
    assert_eq!(decode(rdsn, b"THFT"), FrameError::Magic(*b"THFT"));
    assert_eq!(decode(rdsn, &with("rdsn_req_query_cfg", 8, 191)), FrameError::HeaderLength(191));
    let header = with("rdsn_req_query_cfg_crc", 24, 2);
    assert_eq!(decode(rdsn, &header), FrameError::Checksum("header"));
    let body = with("rdsn_req_query_cfg_crc", 200, 2);
    assert_eq!(decode(rdsn, &body), FrameError::Checksum("body"));
}

#[test]
fn counts_and_depth_are_bounded() {
    use pegasus_protocol::thrift::ThriftError;
    let read =
        |bytes: Vec<u8>| Vec::<PartitionConfiguration>::read(&mut Reader::new(&bytes.into()));

    // A list of structs that claims more elements than there are bytes.
    let mut list = vec![ttype::STRUCT];
    list.put_i32(0x1000_0000);
    assert_eq!(read(list), Err(ThriftError::Count(0x1000_0000)));
    // One whose elements are all there, but empty: a byte each on the wire.
    let mut list = vec![ttype::STRUCT];
    list.put_i32(1_000_000);
    list.resize(list.len() + 1_000_000, ttype::STOP);
    assert_eq!(read(list), Err(ThriftError::TooBig));
    let mut list = vec![ttype::STRUCT];
    list.put_i32(-1);
    assert_eq!(read(list), Err(ThriftError::Count(-1)));

    // Lists in lists in an unknown field.
    let mut deep = vec![ttype::LIST, 0, 99];
    for _ in 0..100_000 {
        deep.put_slice(&[ttype::LIST, 0, 0, 0, 1]);
    }
    let error = Command::read(&mut Reader::new(&deep.into())).unwrap_err();
    assert!(matches!(error, ThriftError::TooDeep(_)));
    // Structs in structs.
    let deep = Bytes::from([ttype::STRUCT, 0, 99].repeat(100_000));
    let error = Command::read(&mut Reader::new(&deep)).unwrap_err();
    assert!(matches!(error, ThriftError::TooDeep(_)));
}

//! The rules of the encoding that no golden message shows.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};

use bytes::{BufMut, Bytes, BytesMut};
use pegasus_protocol::admin::*;
use pegasus_protocol::code::TaskCode;
use pegasus_protocol::frame::*;
use pegasus_protocol::rrdb::*;
use pegasus_protocol::special::{HostPort, RpcAddress};
use pegasus_protocol::thrift::{Reader, Thrift, ThriftError, Writer, ttype};
use pegasus_types::{ErrorCode, PartitionId};

fn encoded<T: Thrift>(value: &T) -> Bytes {
    let mut out = BytesMut::new();
    value.write(&mut Writer::new(&mut out));
    out.freeze()
}

fn decoded<T: Thrift>(bytes: &[u8]) -> Result<T, ThriftError> {
    T::read(&mut Reader::new(&Bytes::copy_from_slice(bytes)))
}

#[test]
fn special_types_are_raw() {
    assert_eq!(encoded(&PartitionId::new(2, 1))[..], [0, 0, 0, 1, 0, 0, 0, 2]);
    let address = RpcAddress::new([127, 0, 0, 1].into(), 34601);
    assert_eq!(encoded(&address)[..], [0x7f, 0, 0, 1, 0x87, 0x29, 0, 1]);
    assert_eq!(address.to_string(), "127.0.0.1:34601");
    assert!(!RpcAddress::INVALID.is_valid());
    let host_port = HostPort { host: "h".into(), port: 34801 };
    assert_eq!(encoded(&host_port)[..], [0, 0, 0, 1, b'h', 0x87, 0xf1, 1]);
    assert_eq!(decoded::<HostPort>(&encoded(&host_port)), Ok(host_port));
    assert_eq!(encoded(&HostPort::default())[..], [0; 7]);
    assert_eq!(encoded(&Bytes::from_static(b"v"))[..], [0, 0, 0, 1, b'v']);
    assert_eq!(decoded::<ErrorCode>(b"\0\0\0\x07ERR_NEW"), Ok(ErrorCode::Unknown));
}

#[test]
fn containers_read_back() {
    let disk = DiskInfo {
        tag: "ssd1".into(),
        full_dir: "/data".into(),
        disk_capacity_mb: 10,
        disk_available_mb: -1,
        holding_primary_replicas: BTreeMap::from([
            (1, BTreeSet::from([PartitionId::new(1, 0), PartitionId::new(1, 7)])),
            (2, BTreeSet::new()),
        ]),
        holding_secondary_replicas: BTreeMap::new(),
    };
    let response = QueryDiskInfoResponse { disk_infos: vec![disk], ..Default::default() };
    assert_eq!(decoded(&encoded(&response)), Ok(response));
}

#[test]
fn a_blob_shares_the_frame() {
    let frame = encoded(&Bytes::from_static(b"value"));
    let blob = Bytes::read(&mut Reader::new(&frame)).unwrap();
    assert_eq!(blob.as_ptr(), frame[4..].as_ptr());
}

#[test]
fn optional_fields_are_written_only_when_set() {
    let mut node = NodeInfo::default();
    let without = encoded(&node);
    node.hp_node = Some(HostPort::default());
    assert_eq!(encoded(&node).len(), without.len() + 3 + 7);
    // Plain fields always are.
    assert_eq!(encoded(&ClusterInfoRequest {})[..], [ttype::STOP]);
    let bare = [ttype::I32, 0, 1, 0, 0, 0, 0, ttype::STOP];
    assert_eq!(encoded(&ListNodesRequest::default())[..], bare);
}

#[test]
fn fields_that_are_missing_unknown_or_of_another_type() {
    assert_eq!(decoded(&[ttype::STOP]), Ok(CreateAppOptions::default()));

    let mut bytes = BytesMut::new();
    let mut writer = Writer::new(&mut bytes);
    // Unknown: a map of lists, a struct with a double and a set, a byte, an i16, a string.
    writer.field(ttype::MAP, 70);
    BTreeMap::from([(1i32, vec![2i64, 3])]).write(&mut writer);
    writer.field(ttype::STRUCT, 71);
    writer.field(ttype::DOUBLE, 1);
    writer.i64(0);
    writer.field(ttype::SET, 2);
    BTreeSet::from([true]).write(&mut writer);
    writer.stop();
    writer.field(ttype::BYTE, 72);
    1i8.write(&mut writer);
    writer.field(ttype::I16, -73);
    writer.i16(1);
    // Field 1 as a number instead of text, then field 2, then field 1 as it should be.
    writer.field(ttype::I64, 1);
    writer.i64(5);
    writer.field(ttype::LIST, 2);
    vec!["x".to_owned()].write(&mut writer);
    writer.field(ttype::STRING, 1);
    "help".to_owned().write(&mut writer);
    writer.stop();
    let command = Command { cmd: "help".into(), arguments: vec!["x".into()] };
    assert_eq!(decoded(&bytes), Ok(command));

    // A list of another element type is an error, unless it is empty.
    let list = |count: i32| {
        let mut bytes = vec![ttype::LIST, 0, 2, ttype::BOOL];
        bytes.put_i32(count);
        bytes.put_slice(&[0, 0, 0, 0, ttype::STOP]);
        bytes
    };
    let error = ThriftError::ElementType { expected: ttype::STRING, found: ttype::BOOL };
    assert_eq!(decoded::<Command>(&list(1)), Err(error));
    assert_eq!(decoded::<Command>(&list(0)), Ok(Command::default()));
    assert_eq!(decoded::<Command>(&[ttype::STRING]), Err(ThriftError::Truncated));
    assert_eq!(decoded::<Command>(&[7, 0, 1]), Err(ThriftError::UnknownType(7)));
}

#[test]
fn unknown_enum_numbers_reach_the_handler() {
    let request =
        CheckAndSetRequest { check_type: CasCheckType::Unknown(99), ..Default::default() };
    assert_eq!(decoded(&encoded(&request)), Ok(request));
    assert_eq!(CasCheckType::from_i32(0), CasCheckType::NoCheck);
    assert_eq!(CasCheckType::from_name("CT_VALUE_EXIST"), Some(CasCheckType::ValueExist));
    assert_eq!(MetaFunctionLevel::from_i32(400).as_str(), "fl_steady");
}

fn call<T: Thrift>(code: &str, args: &T) -> BytesMut {
    let mut out = BytesMut::new();
    encode_request(&mut out, code, 7, &CallHeader::default(), args);
    out
}

fn received(frame: &mut BytesMut) -> Request {
    decode_request(Protocol::Thft, frame, DEFAULT_MAX_BODY).unwrap().unwrap()
}

#[test]
fn our_own_client_and_server_understand_each_other() {
    let mut out = BytesMut::new();
    let header = CallHeader {
        app_id: 2,
        partition_index: 3,
        timeout_ms: 500,
        partition_hash: u64::MAX,
        is_backup_request: true,
    };
    let key = Bytes::from_static(b"\0\0k");
    encode_request(&mut out, TaskCode::Get.name(), -1, &header, &key);
    let request = received(&mut out);
    assert!(out.is_empty());
    assert_eq!(request.decode_args::<Bytes>(), Ok(key));
    let read = &request.header;
    assert_eq!((read.app_id, read.partition_index, read.seqid), (2, 3, -1));
    assert_eq!((read.client_timeout_ms, read.partition_hash), (500, u64::MAX));
    assert!(read.is_backup_request);

    encode_reply(&mut out, read, Ok(&TtlResponse { ttl_seconds: -1, ..Default::default() }));
    let reply = decode_reply(&mut out, DEFAULT_MAX_BODY).unwrap().unwrap();
    assert_eq!((reply.error, reply.seqid), (ErrorCode::Ok, -1));
    assert_eq!(reply.decode_result::<TtlResponse>().unwrap().ttl_seconds, -1);
}

#[test]
fn unknown_and_long_names() {
    let request = received(&mut call("RPC_NO_SUCH", &0i32));
    assert_eq!((request.header.code, &*request.header.code_name), (None, "RPC_NO_SUCH"));
    let request = received(&mut call(&"x".repeat(60), &0i32));
    assert_eq!(request.header.code_name, "x".repeat(MAX_NAME_LEN));
}

#[test]
fn a_call_without_an_argument_is_an_error_of_that_call_only() {
    let mut frame = call(TaskCode::ClusterInfo.name(), &ClusterInfoRequest {});
    // The arguments struct is `0c 0001 | 00 | 00`; cut it off.
    let len = frame.len() - 5;
    frame.truncate(len);
    let body_len = u32::from_be_bytes(*frame[12..].first_chunk().unwrap()) - 5;
    frame[12..16].copy_from_slice(&body_len.to_be_bytes());
    let request = received(&mut frame);
    assert_eq!(request.header.code, Some(TaskCode::ClusterInfo));
    assert_eq!(request.decode_args::<ClusterInfoRequest>(), Err(ThriftError::Missing));
}

#[test]
fn the_old_form_of_the_envelope_and_oneway_calls() {
    let strict = call(TaskCode::Scan.name(), &ScanRequest { context_id: 42 });
    let name = TaskCode::Scan.name();
    let mut frame = BytesMut::from(&b"THFT\0\0\0\x01\0\0\0\x01\0\0\0\0\0"[..]);
    frame.put_i32(name.len() as i32);
    frame.put_slice(name.as_bytes());
    frame.put_u8(4);
    frame.put_i32(7);
    let args = &strict[strict.len() - 16..];
    frame.put_slice(args);
    let body_len = (frame.len() - 17) as u32;
    frame[12..16].copy_from_slice(&body_len.to_be_bytes());
    let request = received(&mut frame);
    assert_eq!((request.header.code, request.header.seqid), (Some(TaskCode::Scan), 7));
    assert!(request.header.wants_no_reply());
    assert_eq!(request.decode_args(), Ok(ScanRequest { context_id: 42 }));
}

fn rdsn_header(checksums: bool, format: u64) -> RequestHeader {
    RequestHeader {
        wire: Wire::Rdsn,
        code_name: TaskCode::ListNodes.name().into(),
        code: Some(TaskCode::ListNodes),
        forward_supported: true,
        rdsn: Some(RdsnHeader {
            id: 77,
            trace_id: 5,
            context: 0x401 | format << 6,
            from: RpcAddress::new([10, 0, 0, 1].into(), 1),
            checksums,
            reply_from: RpcAddress::new([10, 0, 0, 2].into(), 34601),
        }),
        ..Default::default()
    }
}

#[test]
fn rdsn_replies() {
    for checksums in [false, true] {
        let header = rdsn_header(checksums, 1);
        let nodes = ListNodesResponse { err: ErrorCode::DiskIoError, infos: vec![] };
        let mut out = BytesMut::new();
        encode_reply(&mut out, &header, Ok(&nodes));
        encode_reply::<i32>(&mut out, &header, Err(ErrorCode::DiskIoError));
        encode_rdsn_forward(&mut out, &header, RpcAddress(9));

        assert_eq!(out[12..16] != [0; 4], checksums);
        // No longer a request, otherwise the same flags; the server as the sender.
        assert_eq!(out[104..112], 0x440u64.to_le_bytes());
        assert_eq!(out[112..120], header.rdsn.unwrap().reply_from.0.to_le_bytes());
        let mut next = || decode_rdsn_reply(&mut out, DEFAULT_MAX_BODY).unwrap().unwrap();
        let (id, reply) = next();
        assert_eq!((id, reply.name.as_str()), (77, "RPC_CM_LIST_NODES_ACK"));
        assert_eq!(reply.error, ErrorCode::Ok);
        // The C++ client knows every name.
        assert_eq!(reply.decode_result(), Ok(nodes));
        let (_, reply) = next();
        assert_eq!((reply.error, reply.body.len()), (ErrorCode::DiskIoError, 0));
        let (_, reply) = next();
        assert_eq!(reply.error, ErrorCode::ForwardToOthers);
        assert_eq!(reply.decode_result(), Ok(RpcAddress(9)));
    }
}

#[test]
fn rdsn_replies_among_requests_are_dropped_and_other_formats_refused() {
    let mut buf = BytesMut::new();
    encode_reply::<i32>(&mut buf, &rdsn_header(true, 1), Err(ErrorCode::Ok));
    encode_request_as(&mut buf, &rdsn_header(true, 3), &ListNodesRequest::default());
    let request = decode_request(Protocol::Rdsn, &mut buf, DEFAULT_MAX_BODY).unwrap().unwrap();
    assert!(buf.is_empty());
    assert_eq!(request.decode_args::<ListNodesRequest>(), Err(ThriftError::Format(3)));
}

#[test]
fn old_clients_never_see_new_error_names_in_structs() {
    let header = received(&mut call(TaskCode::ListNodes.name(), &0i32)).header;
    let nodes = ListNodesResponse { err: ErrorCode::RdbCorruption, infos: vec![] };
    let mut out = BytesMut::new();
    encode_reply(&mut out, &header, Ok(&nodes));
    let reply = decode_reply(&mut out, DEFAULT_MAX_BODY).unwrap().unwrap();
    assert_eq!(reply.decode_result::<ListNodesResponse>().unwrap().err, ErrorCode::Corruption);
}

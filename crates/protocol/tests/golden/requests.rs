use std::fmt::Debug;

use bytes::{Bytes, BytesMut};
use pegasus_protocol::admin::*;
use pegasus_protocol::code::TaskCode;
use pegasus_protocol::frame::*;
use pegasus_protocol::rrdb::*;
use pegasus_protocol::special::RpcAddress;
use pegasus_protocol::thrift::Thrift;
use pegasus_protocol::thrift_struct;
use pegasus_types::{ErrorCode, partition_hash_of_key};

use super::common::golden;
use super::{bytes, record};

const HASH: u64 = 0x5d9a_d5b5_1c9a_4ab3;
const THREAD_HASH: i32 = 0x3de1;

fn key() -> Bytes {
    Bytes::from_static(b"\x00\x02hksk")
}

/// Takes the message apart, checks the argument, puts it together again.
fn request<T: Thrift + PartialEq + Debug>(name: &str, code: TaskCode, args: &T) -> RequestHeader {
    let message = golden(name);
    let protocol = Protocol::of_magic(*message.first_chunk().unwrap()).unwrap();
    // A frame may arrive in any pieces.
    for cut in 0..message.len() {
        let mut buf = BytesMut::from(&message[..cut]);
        assert_eq!(decode_request(protocol, &mut buf, DEFAULT_MAX_BODY), Ok(None), "{name}");
        assert_eq!(buf, message[..cut], "{name}");
    }
    // Two in a row.
    let mut buf = BytesMut::from(&message.repeat(2)[..]);
    let request = decode_request(protocol, &mut buf, DEFAULT_MAX_BODY).unwrap().unwrap();
    assert_eq!(buf, message, "{name}");

    assert_eq!(request.header.code, Some(code), "{name}");
    assert_eq!(request.header.code_name, code.name(), "{name}");
    assert_eq!(&request.decode_args::<T>().unwrap(), args, "{name}");
    let mut out = BytesMut::new();
    encode_request_as(&mut out, &request.header, args);
    assert_eq!(out, message, "{name}");
    request.header
}

/// A request about partition 3 of table 2.
fn data_request<T: Thrift + PartialEq + Debug>(name: &str, code: TaskCode, args: &T) {
    let header = request(name, code, args);
    assert_eq!((header.app_id, header.partition_index), (2, 3), "{name}");
    assert_eq!(header.thread_hash, THREAD_HASH, "{name}");
    assert_eq!(header.partition_hash, HASH, "{name}");
    assert!(!header.forward_supported && !header.oneway && header.rdsn.is_none(), "{name}");
}

/// The same for a client that leaves out null fields: `sparse` has exactly the fields that are
/// there, `full` is what our handlers see.
fn sparse_request<S, T>(name: &str, code: TaskCode, sparse: &S, full: &T)
where
    S: Thrift + PartialEq + Debug,
    T: Thrift + PartialEq + Debug,
{
    data_request(name, code, sparse);
    let mut buf = BytesMut::from(&golden(name)[..]);
    let request = decode_request(Protocol::Thft, &mut buf, DEFAULT_MAX_BODY).unwrap().unwrap();
    assert_eq!(&request.decode_args::<T>().unwrap(), full, "{name}");
}

fn put() -> UpdateRequest {
    UpdateRequest { key: key(), value: bytes("v1"), ..Default::default() }
}

fn query_cfg() -> QueryCfgRequest {
    QueryCfgRequest { app_name: "temp".into(), partition_indices: vec![] }
}

#[test]
fn single_key_requests() {
    assert_eq!(partition_hash_of_key(&key()), Ok(HASH));
    for client in ["go", "py", "java"] {
        data_request(&format!("{client}_req_put"), TaskCode::Put, &put());
        data_request(&format!("{client}_req_get"), TaskCode::Get, &key());
    }
    data_request("py_req_ttl", TaskCode::Ttl, &key());
    let header = request("java_req_get_backup", TaskCode::Get, &key());
    assert!(header.is_backup_request);
    assert_eq!(header.wire, Wire::ThriftV1);
    assert_eq!(header.client_timeout_ms, 1000);
}

#[test]
fn multi_key_requests() {
    let multi_put = MultiPutRequest {
        hash_key: bytes("hk"),
        kvs: vec![record("a", "1"), record("b", "2")],
        expire_ts_seconds: 0,
    };
    for client in ["go", "py", "java"] {
        data_request(&format!("{client}_req_multi_put"), TaskCode::MultiPut, &multi_put);
    }
    let multi_get = MultiGetRequest {
        hash_key: bytes("hk"),
        max_kv_count: 100,
        max_kv_size: 1_000_000,
        start_inclusive: true,
        ..Default::default()
    };
    data_request("go_req_multi_get", TaskCode::MultiGet, &multi_get);
}

thrift_struct! {
    struct PythonMultiGet {
        1 hash_key: Bytes,
        2 sort_keys: Vec<Bytes>,
        3 max_kv_count: i32,
        4 max_kv_size: i32,
        5 no_value: bool,
    }

    struct PythonMultiRemove {
        1 hash_key: Bytes,
        2 sort_keys: Vec<Bytes>,
    }

    struct JavaMultiGet {
        1 hash_key: Bytes,
        3 max_kv_count: i32,
        4 max_kv_size: i32,
        5 no_value: bool,
        8 start_inclusive: bool,
        9 stop_inclusive: bool,
        10 sort_key_filter_type: FilterType,
        12 reverse: bool,
    }

    struct JavaCheckAndSet {
        1 hash_key: Bytes,
        2 check_sort_key: Bytes,
        3 check_type: CasCheckType,
        4 check_operand: Bytes,
        5 set_diff_sort_key: bool,
        7 set_value: Bytes,
        8 set_expire_ts_seconds: i32,
        9 return_check_value: bool,
    }
}

#[test]
fn requests_without_null_fields() {
    let (hash_key, sort_keys) = (bytes("hk"), vec![bytes("a"), bytes("b")]);
    let full = MultiGetRequest {
        hash_key: hash_key.clone(),
        sort_keys: sort_keys.clone(),
        max_kv_count: 100,
        max_kv_size: 1_000_000,
        ..Default::default()
    };
    let sparse = PythonMultiGet {
        hash_key: hash_key.clone(),
        sort_keys,
        max_kv_count: 100,
        max_kv_size: 1_000_000,
        no_value: false,
    };
    sparse_request("py_req_multi_get", TaskCode::MultiGet, &sparse, &full);

    let sort_keys = vec![bytes("a")];
    let full = MultiRemoveRequest {
        hash_key: hash_key.clone(),
        sort_keys: sort_keys.clone(),
        max_count: 0,
    };
    let sparse = PythonMultiRemove { hash_key: hash_key.clone(), sort_keys };
    sparse_request("py_req_multi_remove", TaskCode::MultiRemove, &sparse, &full);

    let full = MultiGetRequest {
        hash_key: hash_key.clone(),
        max_kv_count: -1,
        max_kv_size: -1,
        start_inclusive: true,
        ..Default::default()
    };
    let sparse = JavaMultiGet {
        hash_key: hash_key.clone(),
        max_kv_count: -1,
        max_kv_size: -1,
        start_inclusive: true,
        ..Default::default()
    };
    sparse_request("java_req_multi_get_null_fields", TaskCode::MultiGet, &sparse, &full);

    let full = CheckAndSetRequest {
        hash_key: hash_key.clone(),
        check_sort_key: bytes("sk"),
        check_type: CasCheckType::ValueIntLess,
        check_operand: bytes("10"),
        set_value: bytes("v2"),
        return_check_value: true,
        ..Default::default()
    };
    let sparse = JavaCheckAndSet {
        hash_key,
        check_sort_key: bytes("sk"),
        check_type: CasCheckType::ValueIntLess,
        check_operand: bytes("10"),
        set_value: bytes("v2"),
        return_check_value: true,
        ..Default::default()
    };
    sparse_request("java_req_check_and_set", TaskCode::CheckAndSet, &sparse, &full);
}

#[test]
fn scanner_requests() {
    let scan = GetScannerRequest {
        start_key: Bytes::from_static(&[0, 0]),
        stop_key: Bytes::from_static(&[0xff, 0xff]),
        start_inclusive: true,
        batch_size: 1000,
        validate_partition_hash: Some(true),
        ..Default::default()
    };
    let header = request("go_req_get_scanner", TaskCode::GetScanner, &scan);
    assert_eq!(header.partition_hash, 3);
    request("py_req_scan", TaskCode::Scan, &ScanRequest { context_id: 42 });

    // Whatever happens to it, it must not be answered.
    let header = request("go_req_clear_scanner", TaskCode::ClearScanner, &42i64);
    assert!(header.wants_no_reply());
    let mut out = BytesMut::new();
    encode_reply::<i64>(&mut out, &header, Err(ErrorCode::ObjectNotFound));
    assert!(out.is_empty());
}

#[test]
fn meta_and_node_requests() {
    for (client, timeout_ms) in [("go", 5000), ("py", 2000), ("java", 1000)] {
        let header = request(&format!("{client}_req_query_cfg"), TaskCode::QueryCfg, &query_cfg());
        assert_eq!(header.client_timeout_ms, timeout_ms);
        assert!(header.app_id <= 0);
    }
    let header = request("java_req_query_cfg", TaskCode::QueryCfg, &query_cfg());
    assert_eq!((header.app_id, header.partition_index), (-1, -2));

    let options = CreateAppOptions {
        partition_count: 4,
        replica_count: 3,
        success_if_exist: true,
        app_type: "pegasus".into(),
        is_stateful: true,
        ..Default::default()
    };
    let create = CreateAppRequest { app_name: "t1".into(), options };
    request("go_req_create_app", TaskCode::CreateApp, &create);
    let list = ListNodesRequest { status: NodeStatus::Alive };
    request("go_req_list_nodes", TaskCode::ListNodes, &list);
    let command = Command { cmd: "server-info".into(), arguments: vec!["-v".into()] };
    request("go_req_remote_command", TaskCode::CliCall, &command);
    let negotiation =
        Negotiation { status: NegotiationStatus::SaslListMechanisms, msg: Bytes::new() };
    request("java_req_negotiation", TaskCode::Negotiation, &negotiation);
}

#[test]
fn rdsn_requests() {
    for (name, checksums) in [("rdsn_req_query_cfg", false), ("rdsn_req_query_cfg_crc", true)] {
        let header = request(name, TaskCode::QueryCfg, &query_cfg());
        assert_eq!(header.wire, Wire::Rdsn);
        assert!(header.forward_supported && !header.is_backup_request);
        assert_eq!(header.client_timeout_ms, 5000);
        let rdsn = header.rdsn.unwrap();
        assert_eq!((rdsn.id, rdsn.trace_id), (1, 0x1122_3344_5566_7788));
        assert_eq!(rdsn.from, RpcAddress::new([127, 0, 0, 1].into(), 1));
        assert_eq!(rdsn.checksums, checksums);
    }
}

use std::collections::BTreeMap;
use std::fmt::Debug;

use bytes::{Bytes, BytesMut};
use pegasus_protocol::admin::*;
use pegasus_protocol::code::TaskCode;
use pegasus_protocol::frame::*;
use pegasus_protocol::rrdb::*;
use pegasus_protocol::special::{HostPort, RpcAddress};
use pegasus_protocol::thrift::Thrift;
use pegasus_types::{Ballot, ErrorCode, NodeId, PartitionConfig, PartitionId};

use super::common::golden;
use super::{bytes, record};

/// Takes the reply apart, checks it, and answers the same request in the same way.
fn reply<T: Thrift + PartialEq + Debug>(name: &str, code: &str, result: Result<&T, ErrorCode>) {
    let message = golden(name);
    for cut in 0..message.len() {
        let mut buf = BytesMut::from(&message[..cut]);
        assert_eq!(decode_reply(&mut buf, DEFAULT_MAX_BODY), Ok(None), "{name}");
    }
    let mut buf = BytesMut::from(&message.repeat(2)[..]);
    let reply = decode_reply(&mut buf, DEFAULT_MAX_BODY).unwrap().unwrap();
    assert_eq!(buf, message, "{name}");
    assert_eq!(reply.name, format!("{code}_ACK"), "{name}");
    match result {
        Ok(value) => {
            assert_eq!(reply.error, ErrorCode::Ok, "{name}");
            assert_eq!(&reply.decode_result::<T>().unwrap(), value, "{name}");
        }
        Err(error) => {
            assert_eq!(reply.error, error, "{name}");
            assert!(reply.body.is_empty(), "{name}");
        }
    }
    for wire in [Wire::ThriftV0, Wire::ThriftV1] {
        let header = RequestHeader {
            wire,
            code_name: code.to_owned().into(),
            code: TaskCode::from_name(code),
            seqid: reply.seqid,
            ..Default::default()
        };
        let mut out = BytesMut::from(&b"kept"[..]);
        encode_reply(&mut out, &header, result);
        assert_eq!(out[4..], message, "{name}");
    }
}

#[test]
fn data_replies() {
    let server = "127.0.0.1:34801";
    let put = UpdateResponse {
        error: 0,
        app_id: 2,
        partition_index: 3,
        decree: 7,
        server: server.into(),
    };
    reply("resp_put_ok", TaskCode::Put.name(), Ok(&put));
    let found = ReadResponse {
        error: 0,
        value: bytes("v1"),
        app_id: 2,
        partition_index: 3,
        server: server.into(),
    };
    reply("resp_get_ok", TaskCode::Get.name(), Ok(&found));
    let missing = ReadResponse { error: 1, value: Bytes::new(), ..found };
    reply("resp_get_not_found", TaskCode::Get.name(), Ok(&missing));
    let several = MultiGetResponse {
        error: 0,
        kvs: vec![record("a", "1"), record("b", "2")],
        app_id: 2,
        partition_index: 3,
        server: server.into(),
    };
    reply("resp_multi_get_ok", TaskCode::MultiGet.name(), Ok(&several));
}

fn address(port: u16) -> RpcAddress {
    RpcAddress::new([127, 0, 0, 1].into(), port)
}

#[test]
fn query_cfg_replies() {
    let partition = |index| PartitionConfig {
        ballot: Ballot(3),
        primary: Some(NodeId::new("localhost", 34801)),
        secondaries: vec![NodeId::new("localhost", 34802)],
        ..PartitionConfig::new(PartitionId::new(2, index), 3)
    };
    let resolve = |node: &NodeId| address(node.port());
    for (name, with_host_ports) in
        [("resp_query_cfg_no_hp", false), ("resp_query_cfg_with_hp", true)]
    {
        let answer = QueryCfgResponse {
            err: ErrorCode::Ok,
            app_id: 2,
            partition_count: 2,
            is_stateful: true,
            partitions: [0, 1]
                .map(|index| {
                    let config = partition(index);
                    PartitionConfiguration::from_config(&config, resolve, with_host_ports)
                })
                .to_vec(),
        };
        reply(name, TaskCode::QueryCfg.name(), Ok(&answer));
    }

    let leader = PartitionConfiguration { primary: address(34602), ..Default::default() };
    let forward = QueryCfgResponse {
        err: ErrorCode::ForwardToOthers,
        partitions: vec![leader],
        ..Default::default()
    };
    reply("resp_query_cfg_forward", TaskCode::QueryCfg.name(), Ok(&forward));
}

#[test]
fn node_replies() {
    for (name, with_host_ports) in
        [("resp_list_nodes_no_hp", false), ("resp_list_nodes_with_hp", true)]
    {
        let node = |port| NodeInfo {
            status: NodeStatus::Alive,
            node: address(port),
            hp_node: with_host_ports.then(|| HostPort { host: "localhost".into(), port }),
        };
        let nodes = ListNodesResponse { err: ErrorCode::Ok, infos: vec![node(34801), node(34802)] };
        reply(name, TaskCode::ListNodes.name(), Ok(&nodes));
    }
    reply("resp_remote_command", TaskCode::CliCall.name(), Ok(&"ok".to_owned()));
}

#[test]
fn error_replies() {
    let get = TaskCode::Get.name();
    reply::<i32>("resp_error_invalid_state", get, Err(ErrorCode::InvalidState));
    reply::<i32>("resp_error_unknown_code", "RPC_NO_SUCH", Err(ErrorCode::HandlerNotFound));

    // We understand this name, but a THFT client does not, so we send another one.
    let message = golden("resp_error_code_unknown_to_clients");
    let mut buf = BytesMut::from(&message[..]);
    let received = decode_reply(&mut buf, DEFAULT_MAX_BODY).unwrap().unwrap();
    assert_eq!(received.error, ErrorCode::DiskIoError);
    let header = RequestHeader {
        code_name: TaskCode::Put.name().into(),
        seqid: received.seqid,
        ..Default::default()
    };
    let mut out = BytesMut::new();
    encode_reply::<i32>(&mut out, &header, Err(received.error));
    let sent = decode_reply(&mut out, DEFAULT_MAX_BODY).unwrap().unwrap();
    assert_eq!(sent, Reply { error: ErrorCode::FileOperationFailed, ..received });
}

/// A table survives the way through its wire form.
#[test]
fn tables_convert_both_ways() {
    let app = pegasus_types::AppInfo {
        status: pegasus_types::AppStatus::Dropped,
        app_type: "pegasus".into(),
        app_name: "temp".into(),
        app_id: 2,
        partition_count: 8,
        envs: BTreeMap::from([("default_ttl".into(), "86400".into())]),
        is_stateful: true,
        max_replica_count: 3,
        expire_second: 3,
        create_second: 1,
        drop_second: 2,
        duplicating: true,
        init_partition_count: 4,
        is_bulk_loading: false,
        atomic_idempotent: true,
    };
    assert_eq!(pegasus_types::AppInfo::from(AppInfo::from(&app)), app);
    assert_eq!(AppInfo::default().init_partition_count, -1);
}

//! Every data operation that is built, over the public protocol, on a partition with one member:
//! its reads and write replies depend on the lease of the meta server.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::{Duration, Instant};

use bytes::Bytes;
use pegasus_protocol::frame::CallHeader;
use pegasus_protocol::rrdb::{
    CountResponse, KeyValue, MultiGetRequest, MultiGetResponse, MultiPutRequest,
    MultiRemoveRequest, MultiRemoveResponse, ReadResponse, TtlResponse, UpdateRequest,
    UpdateResponse,
};
use pegasus_protocol::thrift::Thrift;
use pegasus_types::{ChangeKind, ErrorCode, PartitionId, Status, encode_key, partition_hash};
use support::{Client, Cluster, Outcome};

const PID: PartitionId = PartitionId { app_id: 1, index: 0 };
const HASH_KEY: &[u8] = b"hash";

fn text(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn key(sort_key: &str) -> Bytes {
    Bytes::from(encode_key(HASH_KEY, sort_key.as_bytes()))
}

fn value_of<A: Thrift, R: Thrift>(client: &mut Client, code: &str, args: &A) -> R {
    let reply = client.call(code, PID, args).expect("an answer");
    assert_eq!(reply.error, ErrorCode::Ok, "{code}");
    reply.decode_result().unwrap()
}

fn error_of<A: Thrift>(client: &mut Client, code: &str, args: &A) -> ErrorCode {
    client.call(code, PID, args).expect("an answer").error
}

fn start() -> (Cluster, Client) {
    let cluster = Cluster::start_with(1, |settings| {
        settings.min_ack_members = 1;
        settings.max_write_size = 10_000;
    });
    cluster.propose(0, ChangeKind::AssignPrimary, &cluster.id(0), PID);
    let mut client = cluster.client(0);
    let give_up = Instant::now() + Duration::from_secs(30);
    while client.put(PID, "first", "value") == Outcome::Error("ERR_INVALID_STATE".to_owned())
        || !matches!(client.get(PID, "first"), Outcome::Ok(Some(_)))
    {
        assert!(Instant::now() < give_up, "{:?}", cluster.meta.config(PID));
        std::thread::sleep(Duration::from_millis(20));
    }
    (cluster, client)
}

#[test]
fn operations_of_single_keys() {
    let (cluster, mut client) = start();
    let put = UpdateRequest { key: key("a"), value: text("one"), ..UpdateRequest::default() };
    let first: UpdateResponse = value_of(&mut client, "RPC_RRDB_RRDB_PUT", &put);
    assert_eq!((first.error, first.app_id, first.partition_index), (0, 1, 0));
    assert_eq!(&*first.server, cluster.id(0).to_string());
    let got: ReadResponse = value_of(&mut client, "RPC_RRDB_RRDB_GET", &key("a"));
    assert_eq!((got.error, got.value), (0, text("one")));
    let ttl: TtlResponse = value_of(&mut client, "RPC_RRDB_RRDB_TTL", &key("a"));
    assert_eq!((ttl.error, ttl.ttl_seconds), (0, -1));

    let expired = UpdateRequest { key: key("old"), expire_ts_seconds: 1, ..put.clone() };
    let _: UpdateResponse = value_of(&mut client, "RPC_RRDB_RRDB_PUT", &expired);
    let ttl: TtlResponse = value_of(&mut client, "RPC_RRDB_RRDB_TTL", &key("old"));
    assert_eq!(ttl.error, Status::NotFound.code());

    let removed: UpdateResponse = value_of(&mut client, "RPC_RRDB_RRDB_REMOVE", &key("a"));
    assert_eq!(removed.error, 0);
    assert!(removed.decree > first.decree);
    let got: ReadResponse = value_of(&mut client, "RPC_RRDB_RRDB_GET", &key("a"));
    assert_eq!(got.error, Status::NotFound.code());
    cluster.stop_all();
}

#[test]
fn operations_of_several_keys() {
    let (cluster, mut client) = start();
    let kvs = ["a", "b", "c"].map(|k| KeyValue {
        key: text(k),
        value: text(&format!("value of {k}")),
        expire_ts_seconds: None,
    });
    let hash_key = Bytes::from_static(HASH_KEY);
    let put = MultiPutRequest { hash_key: hash_key.clone(), kvs: kvs.into(), ..Default::default() };
    let done: UpdateResponse = value_of(&mut client, "RPC_RRDB_RRDB_MULTI_PUT", &put);
    assert_eq!(done.error, 0);
    let nothing = MultiPutRequest { hash_key: hash_key.clone(), ..Default::default() };
    let refused: UpdateResponse = value_of(&mut client, "RPC_RRDB_RRDB_MULTI_PUT", &nothing);
    assert_eq!(refused.error, Status::InvalidArgument.code());
    assert!(refused.decree > done.decree, "an error that was committed");

    let all =
        MultiGetRequest { hash_key: hash_key.clone(), start_inclusive: true, ..Default::default() };
    let got: MultiGetResponse = value_of(&mut client, "RPC_RRDB_RRDB_MULTI_GET", &all);
    let keys: Vec<_> = got.kvs.iter().map(|kv| kv.key.clone()).collect();
    assert_eq!((got.error, keys), (0, vec![text("a"), text("b"), text("c")]));
    let few = MultiGetRequest { max_kv_count: 2, ..all.clone() };
    let got: MultiGetResponse = value_of(&mut client, "RPC_RRDB_RRDB_MULTI_GET", &few);
    assert_eq!((got.error, got.kvs.len()), (Status::Incomplete.code(), 2));

    let count: CountResponse = value_of(&mut client, "RPC_RRDB_RRDB_SORTKEY_COUNT", &hash_key);
    assert_eq!((count.error, count.count), (0, 3));
    let sort_keys = vec![text("a"), text("c"), text("absent")];
    let remove = MultiRemoveRequest { hash_key: hash_key.clone(), sort_keys, max_count: 1 };
    let gone: MultiRemoveResponse = value_of(&mut client, "RPC_RRDB_RRDB_MULTI_REMOVE", &remove);
    assert_eq!((gone.error, gone.count), (0, 3));
    let count: CountResponse = value_of(&mut client, "RPC_RRDB_RRDB_SORTKEY_COUNT", &hash_key);
    assert_eq!(count.count, 1);
    cluster.stop_all();
}

#[test]
fn requests_that_are_refused() {
    let (cluster, mut client) = start();
    let large = UpdateRequest {
        key: key("large"),
        value: Bytes::from(vec![0; 10_000]),
        ..UpdateRequest::default()
    };
    assert_eq!(error_of(&mut client, "RPC_RRDB_RRDB_PUT", &large), ErrorCode::InvalidData);
    assert_eq!(
        error_of(&mut client, "RPC_RRDB_RRDB_NO_SUCH_THING", &key("a")),
        ErrorCode::HandlerNotFound
    );
    let meta_code = "RPC_CM_LIST_APPS";
    assert_eq!(error_of(&mut client, meta_code, &key("a")), ErrorCode::HandlerNotFound);

    let malformed: UpdateResponse =
        value_of(&mut client, "RPC_RRDB_RRDB_REMOVE", &Bytes::from_static(b"\x00\x09a"));
    assert_eq!(malformed.error, Status::InvalidArgument.code());
    let malformed: ReadResponse = value_of(&mut client, "RPC_RRDB_RRDB_GET", &Bytes::new());
    assert_eq!(malformed.error, Status::InvalidArgument.code());

    let header = |partition_hash| CallHeader { app_id: 1, partition_hash, ..CallHeader::default() };
    let put = UpdateRequest { key: key("a"), ..UpdateRequest::default() };
    let hash = partition_hash(HASH_KEY, b"a");
    let right = client.call_with("RPC_RRDB_RRDB_PUT", header(hash), &put).unwrap();
    assert_eq!(right.error, ErrorCode::Ok);
    let wrong = client.call_with("RPC_RRDB_RRDB_PUT", header(hash ^ 1), &put).unwrap();
    assert_eq!(wrong.error, ErrorCode::ParentPartitionMisused);
    cluster.stop_all();
}

//! Data operations against scripted servers: routing, retries, deadlines, connections.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod fake;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fake::{FakeServer, client, config, meta, nobody, oblige, obliging, options};
use pegasus_client::{ClientOptions, Error, MultiGet, NodeId, Ttl};
use pegasus_protocol::code::TaskCode;
use pegasus_protocol::frame::Request;
use pegasus_protocol::rrdb::{
    CountResponse, KeyValue, MultiGetResponse, ReadResponse, TtlResponse, UpdateRequest,
    UpdateResponse,
};
use pegasus_protocol::special::RpcAddress;
use pegasus_types::{ErrorCode, Status, encode_key, partition_hash};

#[tokio::test]
async fn every_key_goes_to_the_primary_of_its_partition() {
    let even = FakeServer::start(obliging("even")).await;
    let odd = FakeServer::start(obliging("odd")).await;
    let places = [even.address, odd.address, even.address, odd.address];
    let meta = meta(Arc::new(Mutex::new(config(&places)))).await;
    let table = client(&meta, options(5000)).table("temp").await.unwrap();
    assert_eq!((table.app_id(), table.partition_count(), table.name()), (2, 4, "temp"));
    for i in 0..32 {
        let key = format!("key{i}");
        let hash = partition_hash(key.as_bytes(), b"s");
        let value = table.get(&key, "s").await.unwrap().unwrap();
        let server = if hash.is_multiple_of(2) { &even } else { &odd };
        assert_eq!(value, if hash.is_multiple_of(2) { "even" } else { "odd" });
        let header = server.seen().pop().unwrap();
        assert_eq!(header.partition_hash, hash);
        assert_eq!(header.app_id, 2);
        assert_eq!(u64::from(header.partition_index.unsigned_abs()), hash % 4);
        assert!((1..=5000).contains(&header.client_timeout_ms));
    }
    assert_eq!((even.connections(), odd.connections()), (1, 1));
    assert_eq!(meta.count(TaskCode::QueryCfg), 1);
}

#[tokio::test]
async fn a_write_carries_key_value_and_expiry() {
    let written: Arc<Mutex<Vec<UpdateRequest>>> = Arc::default();
    let replica = FakeServer::start({
        let written = Arc::clone(&written);
        move |request, answer| {
            written.lock().unwrap().push(request.decode_args().unwrap());
            oblige("", request, answer);
        }
    })
    .await;
    let meta = meta(Arc::new(Mutex::new(config(&[replica.address])))).await;
    let table = client(&meta, options(5000)).table("temp").await.unwrap();
    let receipt = table.set(b"h", b"s", b"\x00\xff", None).await.unwrap();
    assert_eq!(receipt.decree.0, 7);
    table.set("h", "s", "v", Some(Duration::from_secs(100))).await.unwrap();
    let written = written.lock().unwrap();
    assert_eq!(written[0].key, encode_key(b"h", b"s"));
    assert_eq!(&written[0].value[..], b"\x00\xff");
    assert_eq!(written[0].expire_ts_seconds, 0);
    assert!(written[1].expire_ts_seconds > 0);
}

#[tokio::test]
async fn a_moved_partition_is_looked_up_and_followed() {
    for code in [ErrorCode::InvalidState, ErrorCode::ObjectNotFound] {
        let old = FakeServer::start(move |request: &Request, answer| {
            answer.error(&request.header, code);
        })
        .await;
        let new = FakeServer::start(obliging("new")).await;
        let places = Arc::new(Mutex::new(config(&[old.address])));
        let meta = meta(Arc::clone(&places)).await;
        let table = client(&meta, options(5000)).table("temp").await.unwrap();
        *places.lock().unwrap() = config(&[new.address]);
        assert_eq!(table.get("h", "s").await.unwrap().unwrap(), "new");
        assert_eq!((old.count(TaskCode::Get), new.count(TaskCode::Get)), (1, 1));
        assert_eq!(meta.count(TaskCode::QueryCfg), 2);
    }
}

#[tokio::test]
async fn a_partition_without_primary_is_waited_for() {
    let replica = FakeServer::start(obliging("v")).await;
    let asked = AtomicUsize::new(0);
    let address = replica.address;
    let meta = FakeServer::start(move |request: &Request, answer| {
        let early = asked.fetch_add(1, Ordering::Relaxed) < 3;
        let place = if early { RpcAddress::INVALID } else { address };
        answer.ok(&request.header, &config(&[place]));
    })
    .await;
    let table = client(&meta, options(10_000)).table("temp").await.unwrap();
    table.set("h", "s", "v", None).await.unwrap();
    assert_eq!(meta.count(TaskCode::QueryCfg), 4);

    let meta = self::meta(Arc::new(Mutex::new(config(&[RpcAddress::INVALID])))).await;
    let table = client(&meta, options(100)).table("temp").await.unwrap();
    let error = table.set("h", "s", "v", None).await.unwrap_err();
    let Error::Timeout { last: Some(last), .. } = error else { panic!("{error}") };
    assert!(matches!(*last, Error::NoPrimary { partition_index: 0, .. }), "{last}");
}

#[tokio::test]
async fn errors_that_retrying_does_not_cure_surface_at_once() {
    for code in [ErrorCode::Busy, ErrorCode::AclDeny, ErrorCode::InvalidData, ErrorCode::Splitting]
    {
        let replica = FakeServer::start(move |request: &Request, answer| {
            answer.error(&request.header, code);
        })
        .await;
        let meta = meta(Arc::new(Mutex::new(config(&[replica.address])))).await;
        let table = client(&meta, options(60_000)).table("temp").await.unwrap();
        let error = table.set("h", "s", "v", None).await.unwrap_err();
        assert!(matches!(error, Error::Refused { code: c, .. } if c == code), "{error}");
        assert!(!error.outcome_unknown());
        assert_eq!(replica.count(TaskCode::Put), 1);
    }
}

#[tokio::test]
async fn too_few_members_is_retried_without_asking_the_meta_server() {
    let tries = AtomicUsize::new(0);
    let replica = FakeServer::start(move |request: &Request, answer| {
        if tries.fetch_add(1, Ordering::Relaxed) < 2 {
            answer.error(&request.header, ErrorCode::NotEnoughMember);
        } else {
            oblige("", request, answer);
        }
    })
    .await;
    let meta = meta(Arc::new(Mutex::new(config(&[replica.address])))).await;
    let table = client(&meta, options(10_000)).table("temp").await.unwrap();
    table.set("h", "s", "v", None).await.unwrap();
    assert_eq!((replica.count(TaskCode::Put), meta.count(TaskCode::QueryCfg)), (3, 1));
}

#[tokio::test]
async fn a_silent_server_ends_in_the_right_error() {
    let replica = FakeServer::start(|_: &Request, _: &mut fake::Answer| {}).await;
    let meta = meta(Arc::new(Mutex::new(config(&[replica.address])))).await;
    let table = client(&meta, options(200)).table("temp").await.unwrap();
    let begin = Instant::now();
    let error = table.get("h", "s").await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    assert_eq!(error.code(), ErrorCode::Timeout);
    let error = table.set("h", "s", "v", None).await.unwrap_err();
    assert!(error.outcome_unknown(), "{error}");
    assert!(begin.elapsed() >= Duration::from_millis(400));
    assert_eq!(replica.seen().len(), 2, "sent once each, the partition has not moved");
}

#[tokio::test]
async fn a_write_refused_after_a_lost_one_stays_unknown() {
    let tries = AtomicUsize::new(0);
    let replica = FakeServer::start(move |request: &Request, answer| {
        if tries.fetch_add(1, Ordering::Relaxed) == 0 {
            answer.close = true;
        } else {
            answer.error(&request.header, ErrorCode::Busy);
        }
    })
    .await;
    let meta = meta(Arc::new(Mutex::new(config(&[replica.address])))).await;
    let table = client(&meta, options(10_000)).table("temp").await.unwrap();
    let error = table.set("h", "s", "v", None).await.unwrap_err();
    assert!(error.outcome_unknown(), "{error}");
    assert_eq!(replica.count(TaskCode::Put), 2);
}

#[tokio::test]
async fn a_server_that_went_silent_is_left_for_the_new_primary() {
    let old = FakeServer::start(|_: &Request, _: &mut fake::Answer| {}).await;
    let new = FakeServer::start(obliging("new")).await;
    let places = Arc::new(Mutex::new(config(&[old.address])));
    let meta = meta(Arc::clone(&places)).await;
    let options = ClientOptions { doubt_after: Duration::from_millis(20), ..options(60_000) };
    let table = client(&meta, options).table("temp").await.unwrap();
    *places.lock().unwrap() = config(&[new.address]);
    assert_eq!(table.get("h", "s").await.unwrap().unwrap(), "new");
    table.set("h", "s", "v", None).await.unwrap();
    assert_eq!(old.seen().len(), 1);
}

#[tokio::test]
async fn a_lost_connection_is_opened_again() {
    let tries = AtomicUsize::new(0);
    let replica = FakeServer::start(move |request: &Request, answer| {
        if tries.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) {
            answer.close = true;
        } else {
            oblige("v", request, answer);
        }
    })
    .await;
    let meta = meta(Arc::new(Mutex::new(config(&[replica.address])))).await;
    let table = client(&meta, options(10_000)).table("temp").await.unwrap();
    for connections in 2..5 {
        assert_eq!(table.get("h", "s").await.unwrap().unwrap(), "v");
        assert_eq!(replica.connections(), connections);
    }
}

#[tokio::test]
async fn a_refused_connection_ends_in_a_typed_error() {
    let gone = nobody().await;
    let place = RpcAddress::new([127, 0, 0, 1].into(), gone.port());
    let meta = meta(Arc::new(Mutex::new(config(&[place])))).await;
    let table = client(&meta, options(150)).table("temp").await.unwrap();
    let error = table.set("h", "s", "v", None).await.unwrap_err();
    let Error::Timeout { last: Some(last), .. } = error else { panic!("{error}") };
    assert!(matches!(&*last, Error::Unreachable { server, .. } if *server == gone), "{last}");
}

#[tokio::test]
async fn replies_in_any_order_find_their_requests() {
    let held: Mutex<Vec<Request>> = Mutex::default();
    let replica = FakeServer::start(move |request: &Request, answer| {
        let mut held = held.lock().unwrap();
        held.push(request.clone());
        if held.len() == 8 {
            for request in held.drain(..).rev() {
                let key: bytes::Bytes = request.decode_args().unwrap();
                let value = ReadResponse { value: key, ..ReadResponse::default() };
                answer.ok(&request.header, &value);
            }
        }
    })
    .await;
    let meta = meta(Arc::new(Mutex::new(config(&[replica.address])))).await;
    let table = client(&meta, options(10_000)).table("temp").await.unwrap();
    let calls = (0..8).map(|i| {
        let table = table.clone();
        tokio::spawn(async move {
            let key = format!("k{i}");
            let value = table.get(&key, "").await.unwrap().unwrap();
            assert_eq!(value, encode_key(key.as_bytes(), b""));
        })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap();
    }
    assert_eq!(replica.connections(), 1);
}

#[tokio::test]
async fn a_reply_to_no_request_is_ignored() {
    let replica = FakeServer::start(|request: &Request, answer: &mut fake::Answer| {
        let mut stray = request.header.clone();
        stray.seqid = stray.seqid.wrapping_add(1000);
        answer.ok(&stray, &ReadResponse { value: "stray".into(), ..ReadResponse::default() });
        oblige("right", request, answer);
        oblige("again", request, answer);
    })
    .await;
    let meta = meta(Arc::new(Mutex::new(config(&[replica.address])))).await;
    let table = client(&meta, options(10_000)).table("temp").await.unwrap();
    for _ in 0..3 {
        assert_eq!(table.get("h", "s").await.unwrap().unwrap(), "right");
    }
    assert_eq!(replica.connections(), 1);
}

#[tokio::test]
async fn garbage_ends_the_connection_and_not_the_client() {
    let tries = AtomicUsize::new(0);
    let replica = FakeServer::start(move |request: &Request, answer| {
        if tries.fetch_add(1, Ordering::Relaxed) == 0 {
            answer.bytes.extend_from_slice(&[0xff; 64]);
        } else {
            oblige("v", request, answer);
        }
    })
    .await;
    let meta = meta(Arc::new(Mutex::new(config(&[replica.address])))).await;
    let table = client(&meta, options(10_000)).table("temp").await.unwrap();
    assert_eq!(table.get("h", "s").await.unwrap().unwrap(), "v");
    assert_eq!(replica.connections(), 2);
}

#[tokio::test]
async fn a_request_that_found_no_room_was_never_sent() {
    let replica = FakeServer::start(|_: &Request, _: &mut fake::Answer| {}).await;
    let meta = meta(Arc::new(Mutex::new(config(&[replica.address])))).await;
    let options = ClientOptions { max_in_flight: 1, ..options(60_000) };
    let table = client(&meta, options).table("temp").await.unwrap();
    let first = tokio::spawn({
        let table = table.clone();
        async move { table.get("h", "s").await }
    });
    while replica.count(TaskCode::Get) == 0 {
        tokio::task::yield_now().await;
    }
    let second = table.with_timeout(Duration::from_millis(100));
    let error = second.set("h", "s", "v", None).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    assert_eq!(replica.count(TaskCode::Put), 0);
    first.abort();
}

#[tokio::test]
async fn statuses_become_results() {
    let replica = FakeServer::start(|request: &Request, answer: &mut fake::Answer| {
        let header = &request.header;
        match header.code.unwrap() {
            TaskCode::Get => answer.ok(header, &ReadResponse { error: 1, ..Default::default() }),
            TaskCode::Ttl => {
                let infinite = header.partition_hash == partition_hash(b"infinite", b"");
                let ttl_seconds = if infinite { -1 } else { 30 };
                answer.ok(header, &TtlResponse { ttl_seconds, ..Default::default() });
            }
            TaskCode::MultiGet => {
                let pair = KeyValue { key: "a".into(), value: "1".into(), ..Default::default() };
                let response = MultiGetResponse { error: 7, kvs: vec![pair], ..Default::default() };
                answer.ok(header, &response);
            }
            TaskCode::SortkeyCount => {
                answer.ok(header, &CountResponse { count: -1, ..Default::default() });
            }
            TaskCode::Put => answer.ok(header, &UpdateResponse { error: 4, ..Default::default() }),
            TaskCode::Remove => {
                answer.ok(header, &UpdateResponse { error: 5, ..Default::default() })
            }
            _ => answer.error(header, ErrorCode::HandlerNotFound),
        }
    })
    .await;
    let meta = meta(Arc::new(Mutex::new(config(&[replica.address])))).await;
    let table = client(&meta, options(10_000)).table("temp").await.unwrap();
    assert_eq!(table.get("h", "s").await.unwrap(), None);
    assert_eq!(table.ttl("infinite", "").await.unwrap(), Ttl::Infinite);
    assert_eq!(table.ttl("other", "").await.unwrap(), Ttl::Seconds(30));
    assert!(table.exist("other", "").await.unwrap());
    let result = table.multi_get("h", &MultiGet::all()).await.unwrap();
    assert_eq!((result.kvs.len(), result.complete), (1, false));
    let error = table.sort_key_count("h").await.unwrap_err();
    assert_eq!(error.status(), Some(Status::Incomplete));
    let error = table.set("h", "s", "v", None).await.unwrap_err();
    assert_eq!(error.status(), Some(Status::InvalidArgument));
    let error = table.del("h", "s").await.unwrap_err();
    assert!(error.outcome_unknown(), "an I/O error of one replica is no verdict: {error}");
}

#[tokio::test]
async fn a_dropped_table_is_noticed() {
    let replica = FakeServer::start(|request: &Request, answer: &mut fake::Answer| {
        answer.error(&request.header, ErrorCode::ObjectNotFound);
    })
    .await;
    let places = Arc::new(Mutex::new(config(&[replica.address])));
    let meta = meta(Arc::clone(&places)).await;
    let client = client(&meta, options(10_000));
    let table = client.table("temp").await.unwrap();
    places.lock().unwrap().err = ErrorCode::ObjectNotFound;
    let error = table.get("h", "s").await.unwrap_err();
    assert!(matches!(&error, Error::NoSuchTable(name) if name == "temp"), "{error}");
    let error = client.table("other").await.unwrap_err();
    assert!(matches!(&error, Error::NoSuchTable(name) if name == "other"), "{error}");
    let _: &[NodeId] = client.meta_servers();
}

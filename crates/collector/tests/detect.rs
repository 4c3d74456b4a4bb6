//! The detector against a scripted cluster.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../client/tests/fake/mod.rs"]
mod fake;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use fake::{Answer, FakeServer, client, config, options};
use pegasus_client::{Client, ErrorCode};
use pegasus_collector::{Board, Counts, Detector, Settings, Span};
use pegasus_protocol::admin::{CreateAppResponse, QueryCfgResponse};
use pegasus_protocol::code::TaskCode;
use pegasus_protocol::frame::Request;
use pegasus_protocol::rrdb::{
    KeyValue, MultiGetRequest, MultiGetResponse, ReadResponse, UpdateRequest, UpdateResponse,
};
use pegasus_types::encode_key;
use tokio::task::JoinHandle;

/// One partition of the scripted cluster answers in this way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    Well,
    /// Reads give something else than what was written.
    Forgetful,
    /// Writes are refused.
    Busy,
}

struct Cluster {
    replica: FakeServer,
    meta: FakeServer,
    data: Arc<Mutex<BTreeMap<Bytes, Bytes>>>,
    moods: Arc<Mutex<Vec<Mood>>>,
    exists: Arc<Mutex<bool>>,
}

impl Cluster {
    async fn start(partitions: usize, stored_minutes: Vec<(String, String)>) -> Cluster {
        let data: Arc<Mutex<BTreeMap<Bytes, Bytes>>> = Arc::default();
        let moods = Arc::new(Mutex::new(vec![Mood::Well; partitions]));
        let replica = FakeServer::start({
            let (data, moods) = (Arc::clone(&data), Arc::clone(&moods));
            move |request: &Request, answer: &mut Answer| {
                let index = usize::try_from(request.header.partition_index).unwrap();
                let mood = moods.lock().unwrap()[index];
                serve(&mut data.lock().unwrap(), mood, &stored_minutes, request, answer);
            }
        })
        .await;
        let exists = Arc::new(Mutex::new(true));
        let places = vec![replica.address; partitions];
        let meta = FakeServer::start({
            let exists = Arc::clone(&exists);
            move |request: &Request, answer: &mut Answer| {
                let header = &request.header;
                let mut exists = exists.lock().unwrap();
                match header.code.unwrap() {
                    TaskCode::QueryCfg if *exists => answer.ok(header, &config(&places)),
                    TaskCode::QueryCfg => {
                        let err = ErrorCode::ObjectNotFound;
                        answer.ok(header, &QueryCfgResponse { err, ..Default::default() });
                    }
                    TaskCode::CreateApp => {
                        *exists = true;
                        answer.ok(header, &CreateAppResponse::default());
                    }
                    _ => answer.error(header, ErrorCode::HandlerNotFound),
                }
            }
        })
        .await;
        Cluster { replica, meta, data, moods, exists }
    }

    fn client(&self) -> Client {
        client(&self.meta, options(10_000))
    }

    fn detect(&self) -> (Arc<Board>, JoinHandle<()>) {
        let settings = Settings {
            cluster: "onebox".to_owned(),
            table: "temp".to_owned(),
            interval: Duration::from_millis(5),
            timeout: Duration::from_secs(10),
            alert_after: 30,
            mail: None,
            report_ttl: None,
            create_after: Duration::ZERO,
            prober: "me:1".to_owned(),
        };
        let board = Arc::new(Board::new("onebox", "temp"));
        let detector = Arc::new(Detector::new(self.client(), settings, Arc::clone(&board)));
        (board, tokio::spawn(detector.run()))
    }
}

fn serve(
    data: &mut BTreeMap<Bytes, Bytes>,
    mood: Mood,
    minutes: &[(String, String)],
    request: &Request,
    answer: &mut Answer,
) {
    let header = &request.header;
    match header.code.unwrap() {
        TaskCode::Put if mood == Mood::Busy => answer.error(header, ErrorCode::Busy),
        TaskCode::Put => {
            let put: UpdateRequest = request.decode_args().unwrap();
            data.insert(put.key, put.value);
            answer.ok(header, &UpdateResponse::default());
        }
        TaskCode::Get => {
            let key: Bytes = request.decode_args().unwrap();
            let mut value = data.get(&key).cloned().unwrap_or_default();
            if mood == Mood::Forgetful {
                value = "something else".into();
            }
            answer.ok(header, &ReadResponse { value, ..Default::default() });
        }
        TaskCode::Remove => {
            let key: Bytes = request.decode_args().unwrap();
            data.remove(&key);
            answer.ok(header, &UpdateResponse::default());
        }
        TaskCode::MultiGet => {
            let get: MultiGetRequest = request.decode_args().unwrap();
            assert_eq!(get.hash_key, "detect_available_minute");
            let kvs = minutes.iter().map(|(label, line)| KeyValue {
                key: label.clone().into(),
                value: line.clone().into(),
                ..Default::default()
            });
            let kvs = kvs.collect();
            answer.ok(header, &MultiGetResponse { kvs, ..Default::default() });
        }
        _ => answer.error(header, ErrorCode::HandlerNotFound),
    }
}

/// Waits until this many probes have ended.
async fn probes(board: &Board, count: u64) {
    board.probes().wait_for(|ended| *ended >= count).await.unwrap();
}

fn day(json: &serde_json::Value) -> (u64, u64) {
    let current = &json["day"]["current"];
    (current["detect"].as_u64().unwrap(), current["success"].as_u64().unwrap())
}

#[tokio::test]
async fn every_partition_is_written_read_and_cleaned() {
    let cluster = Cluster::start(4, Vec::new()).await;
    let (board, task) = cluster.detect();
    probes(&board, 12).await;
    task.abort();
    let json = board.to_json();
    assert_eq!(
        (json["status"].as_str(), json["partition_count"].as_u64()),
        (Some("running"), Some(4))
    );
    let (detect, success) = day(&json);
    assert!(detect >= 12 && detect == success, "{json}");
    let mut probed: Vec<i32> = cluster
        .replica
        .seen()
        .iter()
        .filter(|header| header.code == Some(TaskCode::Remove))
        .map(|header| header.partition_index)
        .collect();
    probed.sort_unstable();
    probed.dedup();
    assert_eq!(probed, [0, 1, 2, 3]);
}

#[tokio::test]
async fn a_refused_write_and_a_wrong_value_are_failures() {
    for mood in [Mood::Busy, Mood::Forgetful] {
        let cluster = Cluster::start(2, Vec::new()).await;
        cluster.moods.lock().unwrap()[1] = mood;
        let (board, task) = cluster.detect();
        probes(&board, 10).await;
        task.abort();
        let json = board.to_json();
        let (detect, success) = day(&json);
        assert!(success > 0 && success < detect, "{json}");
        assert!(json["partitions"][0]["last_failure"].is_null());
        let failure = json["partitions"][1]["last_failure"].as_str().unwrap();
        let expected = if mood == Mood::Busy { "ERR_BUSY" } else { "read \\\"something else\\\"" };
        assert!(failure.replace('"', "\\\"").contains(expected), "{failure}");
    }
}

#[tokio::test]
async fn results_from_before_a_restart_are_added() {
    let now = jiff::Zoned::now();
    let minute = Span::Minute.label(&now);
    let lines = vec![(minute, Counts { detect: 1000, success: 900 }.line())];
    let cluster = Cluster::start(2, lines).await;
    let (board, task) = cluster.detect();
    probes(&board, 1).await;
    task.abort();
    let (detect, success) = day(&board.to_json());
    assert!(detect > 1000 && success > 900 && success < 1000, "{detect} {success}");
}

#[tokio::test]
async fn a_missing_table_is_created() {
    let cluster = Cluster::start(2, Vec::new()).await;
    *cluster.exists.lock().unwrap() = false;
    let (board, task) = cluster.detect();
    probes(&board, 2).await;
    task.abort();
    assert_eq!(cluster.meta.count(TaskCode::CreateApp), 1);
    let own = encode_key(b"detect_available_p0_1", b"me:1");
    assert!(cluster.data.lock().unwrap().keys().all(|key| key.len() >= own.len()));
}

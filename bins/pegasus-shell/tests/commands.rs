//! The shell as a process against a scripted cluster: arguments, output, exit codes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../../crates/client/tests/fake/mod.rs"]
mod fake;

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;

use bytes::Bytes;
use fake::{Answer, FakeServer};
use pegasus_client::ErrorCode;
use pegasus_protocol::admin::{
    AppInfo, AppStatus, ClusterInfoResponse, CreateAppResponse, DropAppResponse, ListAppsResponse,
    ListNodesResponse, NodeInfo, NodeStatus, QueryCfgRequest, QueryCfgResponse,
};
use pegasus_protocol::code::TaskCode;
use pegasus_protocol::frame::Request;
use pegasus_protocol::rrdb::{
    CountResponse, KeyValue, MultiGetRequest, MultiGetResponse, MultiPutRequest, ReadResponse,
    TtlResponse, UpdateRequest, UpdateResponse,
};
use pegasus_protocol::special::RpcAddress;
use pegasus_types::{decode_key, encode_key};

/// A cluster in one process: its only node is meta server and replica server of table `temp`.
async fn cluster() -> FakeServer {
    let data: Mutex<BTreeMap<Bytes, Bytes>> = Mutex::default();
    let own: std::sync::Arc<Mutex<RpcAddress>> = std::sync::Arc::default();
    let server = FakeServer::start({
        let own = std::sync::Arc::clone(&own);
        move |request: &Request, answer: &mut Answer| {
            let own = *own.lock().unwrap();
            match request.header.app_id {
                2 => data_plane(&mut data.lock().unwrap(), request, answer),
                _ => meta(own, request, answer),
            }
        }
    })
    .await;
    *own.lock().unwrap() = server.address;
    server
}

fn meta(own: RpcAddress, request: &Request, answer: &mut Answer) {
    let header = &request.header;
    match header.code.unwrap() {
        TaskCode::QueryCfg => {
            let asked: QueryCfgRequest = request.decode_args().unwrap();
            if asked.app_name == "temp" {
                let mut config = fake::config(&[own, own]);
                for partition in &mut config.partitions {
                    partition.max_replica_count = 1;
                }
                answer.ok(header, &config);
            } else {
                let err = ErrorCode::ObjectNotFound;
                answer.ok(header, &QueryCfgResponse { err, ..Default::default() });
            }
        }
        TaskCode::ListApps => {
            let temp = AppInfo {
                status: AppStatus::Available,
                app_name: "temp".to_owned(),
                app_type: "pegasus".to_owned(),
                app_id: 2,
                partition_count: 2,
                is_stateful: true,
                max_replica_count: 1,
                ..AppInfo::default()
            };
            answer.ok(header, &ListAppsResponse { infos: vec![temp], ..Default::default() });
        }
        TaskCode::ListNodes => {
            let node = NodeInfo { status: NodeStatus::Alive, node: own, ..Default::default() };
            answer.ok(header, &ListNodesResponse { infos: vec![node], ..Default::default() });
        }
        TaskCode::ClusterInfo => {
            let (keys, values) = (vec!["cluster_name".to_owned()], vec!["onebox".to_owned()]);
            answer.ok(header, &ClusterInfoResponse { keys, values, ..Default::default() });
        }
        TaskCode::CreateApp => {
            answer.ok(header, &CreateAppResponse { appid: 2, ..Default::default() })
        }
        TaskCode::DropApp => answer.ok(header, &DropAppResponse::default()),
        _ => answer.error(header, ErrorCode::HandlerNotFound),
    }
}

fn data_plane(data: &mut BTreeMap<Bytes, Bytes>, request: &Request, answer: &mut Answer) {
    let header = &request.header;
    let done = UpdateResponse { app_id: 2, decree: 9, server: "s:1".into(), ..Default::default() };
    match header.code.unwrap() {
        TaskCode::Put => {
            let put: UpdateRequest = request.decode_args().unwrap();
            data.insert(put.key, put.value);
            answer.ok(header, &done);
        }
        TaskCode::MultiPut => {
            let put: MultiPutRequest = request.decode_args().unwrap();
            for kv in put.kvs {
                data.insert(encode_key(&put.hash_key, &kv.key).into(), kv.value);
            }
            answer.ok(header, &done);
        }
        TaskCode::Get => {
            let key: Bytes = request.decode_args().unwrap();
            let value = data.get(&key).cloned();
            let error = i32::from(value.is_none());
            let value = value.unwrap_or_default();
            answer.ok(header, &ReadResponse { error, value, ..Default::default() });
        }
        TaskCode::Ttl => {
            let key: Bytes = request.decode_args().unwrap();
            let error = i32::from(!data.contains_key(&key));
            answer.ok(header, &TtlResponse { error, ttl_seconds: -1, ..Default::default() });
        }
        TaskCode::SortkeyCount => {
            answer.ok(header, &CountResponse { count: 3, ..Default::default() })
        }
        TaskCode::MultiGet => {
            let get: MultiGetRequest = request.decode_args().unwrap();
            let of_hash_key = data.iter().filter_map(|(key, value)| {
                let (hash_key, sort_key) = decode_key(key).unwrap();
                (hash_key == get.hash_key).then(|| KeyValue {
                    key: Bytes::copy_from_slice(sort_key),
                    value: value.clone(),
                    ..Default::default()
                })
            });
            let kvs = of_hash_key.collect();
            answer.ok(header, &MultiGetResponse { kvs, ..Default::default() });
        }
        _ => answer.error(header, ErrorCode::HandlerNotFound),
    }
}

/// Runs the shell without blocking the scripted servers.
async fn shell(arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pegasus-shell"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let input = input.to_owned();
    tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    })
    .await
    .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[tokio::test]
async fn data_commands_print_what_the_reference_prints() {
    let cluster = cluster().await;
    let node = cluster.node.to_string();
    let commands = r#"use temp; set h s "\x00v"; get h s; get h nope; exist h s; ttl h s;
        multi_set h a 1 b 2; multi_get h; count h"#;
    let output = shell(&["--cluster", &node, "-c", commands], "").await;
    assert!(output.status.success(), "{}", stderr(&output));
    let read = format!("\napp_id          : 2\npartition_index : 0\nserver          : {node}\n");
    let write =
        "\napp_id          : 2\npartition_index : 0\ndecree          : 9\nserver          : s:1\n";
    let expected = format!(
        "OK\nOK\n{write}\"\\x00v\"\n{read}Not found\n{read}True\n{read}Infinite\n{read}OK\n{write}\
         \"h\" : \"a\" => \"1\"\n\"h\" : \"b\" => \"2\"\n\"h\" : \"s\" => \"\\x00v\"\n\n\
         3 key-value pairs got, fetch completed.\n{read}3\n{read}"
    );
    assert_eq!(stdout(&output), expected);
}

#[tokio::test]
async fn tables_and_nodes_are_listed() {
    let cluster = cluster().await;
    let node = cluster.node.to_string();
    let output =
        shell(&["--cluster", &node, "-c", "ls -d", "-c", "nodes -d; app temp -d"], "").await;
    let text = stdout(&output);
    assert!(output.status.success(), "{}", stderr(&output));
    let health = text.lines().skip_while(|line| !line.contains(" fully_healthy ")).nth(1).unwrap();
    let fields: Vec<&str> = health.split_whitespace().collect();
    assert_eq!(fields, ["2", "temp", "2", "2", "0", "0", "0"]);
    let rows: Vec<Vec<&str>> = text.lines().map(|l| l.split_whitespace().collect()).collect();
    assert!(rows.contains(&vec![node.as_str(), "ALIVE", "2", "2", "0"]), "{text}");
    assert!(rows.contains(&vec!["1", "3", "1/1", node.as_str(), "[]"]), "{text}");
}

#[tokio::test]
async fn creating_waits_until_the_table_is_ready() {
    let cluster = cluster().await;
    let node = cluster.node.to_string();
    let commands = "create temp -p 2 -r 1; drop temp";
    let output = shell(&["--cluster", &node, "-c", commands], "").await;
    let expected = "create app temp succeed, waiting for app ready\ntemp is ready now: (2/2)\n\
                    temp is ready now!\ncreate app \"temp\" succeed\nreserve_seconds = 0\n\
                    drop app temp succeed\n";
    assert_eq!(stdout(&output), expected, "{}", stderr(&output));
}

#[tokio::test]
async fn json_output_can_be_parsed() {
    let cluster = cluster().await;
    let node = cluster.node.to_string();
    let run = async |command: &str| {
        let output = shell(&["--cluster", &node, "-j", "-c", command], "").await;
        assert!(output.status.success(), "{}", stderr(&output));
        serde_json::from_str::<serde_json::Value>(&stdout(&output)).unwrap()
    };
    assert_eq!(run("cluster_info").await["cluster_info"]["cluster_name"], "onebox");
    assert_eq!(run("nodes").await["summary"]["alive_node_count"], "1");
    assert_eq!(run("ls").await["general_info"]["2"]["app_name"], "temp");
    assert_eq!(run("hash h s").await["key_hash"].as_str().unwrap().parse::<u64>().unwrap() % 2, 0);
    let output = shell(&["--cluster", &node, "-j", "-c", "app nosuch"], "").await;
    assert!(!output.status.success());
    let error: serde_json::Value = serde_json::from_str(&stderr(&output)).unwrap();
    assert!(error["error"]["message"].as_str().unwrap().contains("ERR_OBJECT_NOT_FOUND"));
}

#[tokio::test]
async fn failures_end_with_a_status() {
    let cluster = cluster().await;
    let node = cluster.node.to_string();
    for (command, message) in [
        ("use nosuch; get h s", "ERROR: app not exist"),
        ("app nosuch", "query app nosuch failed, error=ERR_OBJECT_NOT_FOUND"),
        ("get h s", "No app is using now"),
        ("nodse", "did you mean 'nodes'?"),
        ("full_scan", "'full_scan' is not supported yet"),
        ("use temp; get", "USAGE: \tget "),
        ("create bad/name", "Only 0-9a-zA-Z.:_ are valid."),
        ("ls --al --nosuch", "unknown option --nosuch"),
        ("get \"h", "Invalid argument(s)"),
    ] {
        let output = shell(&["--cluster", &node, "-c", command], "").await;
        assert!(!output.status.success(), "{command}");
        assert!(stderr(&output).contains(message), "{command}: {}", stderr(&output));
    }
    let output = shell(&["--cluster", "nonsense"], "").await;
    assert!(!output.status.success());
}

#[tokio::test]
async fn a_pipe_runs_every_line() {
    let cluster = cluster().await;
    let node = cluster.node.to_string();
    let input = "use temp\n\nset h s v;\nnosuch\nget h s\n";
    let output = shell(&["--cluster", &node], input).await;
    assert!(!output.status.success(), "one line failed");
    let text = stdout(&output);
    let head = format!("The cluster name is: onebox\nThe cluster meta list is: {node}\nOK\nOK\n");
    assert!(text.starts_with(&head), "{text}");
    assert!(text.contains("\n\"v;\"\n"), "{text}");
    let output = shell(&["--cluster", &node], "ls\nexit\nnosuch\n").await;
    assert!(output.status.success());
}

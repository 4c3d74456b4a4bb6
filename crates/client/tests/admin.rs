//! Calls to meta servers: redirects, servers that are away, lost answers, decoding.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod fake;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fake::{Answer, FakeServer, client, config, nobody, options};
use pegasus_client::{
    Client, ClientOptions, CreateTable, Error, NameMatch, NodeStatus, TableFilter,
};
use pegasus_protocol::admin::{
    ClusterInfoResponse, Command, CreateAppRequest, CreateAppResponse, ListAppsRequest,
    ListAppsResponse, ListNodesResponse, NodeInfo, NodeStatus as WireStatus,
    PartitionConfiguration, QueryCfgResponse,
};
use pegasus_protocol::code::TaskCode;
use pegasus_protocol::frame::Request;
use pegasus_protocol::special::{HostPort, RpcAddress};
use pegasus_types::ErrorCode;

/// A meta server that does not lead, and names the leader where the protocol lets it.
async fn follower(leader: RpcAddress) -> FakeServer {
    FakeServer::start(move |request: &Request, answer: &mut Answer| {
        let err = ErrorCode::ForwardToOthers;
        match request.header.code {
            Some(TaskCode::QueryCfg) => {
                let partition =
                    PartitionConfiguration { primary: leader, ..PartitionConfiguration::default() };
                let partitions = if leader.is_valid() { vec![partition] } else { Vec::new() };
                let response = QueryCfgResponse { err, partitions, ..QueryCfgResponse::default() };
                answer.ok(&request.header, &response);
            }
            _ => answer.ok(&request.header, &ClusterInfoResponse { err, ..Default::default() }),
        }
    })
    .await
}

async fn leader() -> FakeServer {
    FakeServer::start(|request: &Request, answer: &mut Answer| {
        let header = &request.header;
        match header.code {
            Some(TaskCode::QueryCfg) => {
                let place = RpcAddress::new([10, 0, 0, 1].into(), 34801);
                answer.ok(header, &config(&[place, RpcAddress::INVALID]));
            }
            Some(TaskCode::ClusterInfo) => {
                let response = ClusterInfoResponse {
                    keys: vec!["cluster_name".to_owned()],
                    values: vec!["onebox".to_owned()],
                    ..ClusterInfoResponse::default()
                };
                answer.ok(header, &response);
            }
            _ => answer.error(header, ErrorCode::HandlerNotFound),
        }
    })
    .await
}

#[tokio::test]
async fn redirects_are_followed_and_remembered() {
    let leader = leader().await;
    let first = follower(leader.address).await;
    let client = client(&first, options(5000));
    let config = client.query_config("temp").await.unwrap();
    assert_eq!((config.app_id, config.partition_count(), config.max_replica_count()), (2, 2, 3));
    assert_eq!(config.partitions[0].primary.as_ref().unwrap().to_string(), "10.0.0.1:34801");
    assert_eq!(config.partitions[1].primary, None);
    assert_eq!(client.cluster_info().await.unwrap()[0].1, "onebox");
    assert_eq!((first.seen().len(), leader.seen().len()), (1, 2));
}

#[tokio::test]
async fn meta_servers_are_tried_in_turn() {
    let leader = leader().await;
    let second = follower(RpcAddress::INVALID).await;
    let metas = vec![nobody().await, second.node.clone(), leader.node.clone()];
    let client = Client::connect(metas, options(5000)).unwrap();
    client.cluster_info().await.unwrap();
    client.cluster_info().await.unwrap();
    assert_eq!((second.seen().len(), leader.seen().len()), (1, 2));
}

#[tokio::test]
async fn a_circle_of_followers_ends_at_the_deadline() {
    let first = follower(RpcAddress::INVALID).await;
    let second = follower(first.address).await;
    let metas = vec![second.node.clone(), first.node.clone()];
    let options =
        ClientOptions { meta_timeout: Duration::from_millis(150), ..ClientOptions::default() };
    let client = Client::connect(metas, options).unwrap();
    let error = client.table("temp").await.unwrap_err();
    let Error::Timeout { last: Some(last), .. } = error else { panic!("{error}") };
    assert_eq!(last.code(), ErrorCode::ForwardToOthers);
}

#[tokio::test]
async fn a_silent_meta_server_is_passed_over() {
    let silent = FakeServer::start(|_: &Request, _: &mut Answer| {}).await;
    let leader = leader().await;
    let metas = vec![silent.node.clone(), leader.node.clone()];
    let options = ClientOptions {
        meta_attempt_timeout: Duration::from_millis(50),
        ..ClientOptions::default()
    };
    let client = Client::connect(metas, options).unwrap();
    assert_eq!(client.cluster_info().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_leader_that_starts_is_waited_for() {
    let asked = AtomicUsize::new(0);
    let meta = FakeServer::start(move |request: &Request, answer: &mut Answer| {
        let starting = asked.fetch_add(1, Ordering::Relaxed) < 2;
        let err = if starting { ErrorCode::ServiceNotActive } else { ErrorCode::Ok };
        answer.ok(&request.header, &ClusterInfoResponse { err, ..Default::default() });
    })
    .await;
    client(&meta, options(5000)).cluster_info().await.unwrap();
    assert_eq!(meta.seen().len(), 3);
}

#[tokio::test]
async fn creating_repeats_only_where_that_is_safe() {
    let asked = AtomicUsize::new(0);
    let meta = FakeServer::start(move |request: &Request, answer: &mut Answer| {
        if asked.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) {
            answer.close = true;
            return;
        }
        let create: CreateAppRequest = request.decode_args().unwrap();
        assert_eq!(create.options.app_type, "pegasus");
        assert!(create.options.is_stateful && create.options.success_if_exist);
        answer.ok(&request.header, &CreateAppResponse { appid: 5, ..Default::default() });
    })
    .await;
    let client = client(&meta, options(5000));
    assert_eq!(client.create_table("t", &CreateTable::default()).await.unwrap(), 5);
    assert_eq!(meta.seen().len(), 2);
    let strict = CreateTable { fail_if_exists: true, ..CreateTable::default() };
    let error = client.create_table("t", &strict).await.unwrap_err();
    assert!(error.outcome_unknown(), "{error}");
    assert_eq!(meta.seen().len(), 3);
}

#[tokio::test]
async fn refusals_of_the_leader_surface() {
    let meta = FakeServer::start(|request: &Request, answer: &mut Answer| {
        let err = ErrorCode::InvalidParameters;
        answer.ok(&request.header, &CreateAppResponse { err, ..Default::default() });
    })
    .await;
    let client = client(&meta, options(5000));
    let error = client.create_table("t", &CreateTable::default()).await.unwrap_err();
    assert!(matches!(error, Error::Refused { code: ErrorCode::InvalidParameters, .. }), "{error}");
    assert!(client.drop_table("t", None).await.is_err());
}

#[tokio::test]
async fn lists_are_decoded_and_sorted() {
    let meta = FakeServer::start(|request: &Request, answer: &mut Answer| {
        let header = &request.header;
        match header.code.unwrap() {
            TaskCode::ListNodes => {
                let node = |port, status, name: Option<&str>| NodeInfo {
                    status,
                    node: RpcAddress::new([10, 0, 0, 1].into(), port),
                    hp_node: name.map(|host| HostPort { host: host.to_owned(), port }),
                };
                let infos = vec![
                    node(34802, WireStatus::Unalive, Some("node-b")),
                    node(34801, WireStatus::Alive, None),
                ];
                answer.ok(header, &ListNodesResponse { infos, ..Default::default() });
            }
            TaskCode::ListApps => {
                let asked: ListAppsRequest = request.decode_args().unwrap();
                assert_eq!(asked.app_name_pattern.as_deref(), Some("t"));
                let app =
                    |app_id| pegasus_protocol::admin::AppInfo { app_id, ..Default::default() };
                let infos = vec![app(9), app(2)];
                answer.ok(header, &ListAppsResponse { infos, ..Default::default() });
            }
            TaskCode::CliCall => {
                let command: Command = request.decode_args().unwrap();
                answer.ok(header, &format!("{} {:?}", command.cmd, command.arguments));
            }
            _ => answer.error(header, ErrorCode::HandlerNotFound),
        }
    })
    .await;
    let client = client(&meta, options(5000));
    let nodes = client.list_nodes(None).await.unwrap();
    let shown: Vec<(String, NodeStatus)> =
        nodes.iter().map(|info| (info.node.to_string(), info.status)).collect();
    assert_eq!(
        shown,
        [
            ("10.0.0.1:34801".to_owned(), NodeStatus::Alive),
            ("node-b:34802".to_owned(), NodeStatus::Unalive)
        ]
    );
    let filter =
        TableFilter { name: Some(NameMatch::Prefix("t".to_owned())), ..Default::default() };
    let ids: Vec<i32> =
        client.list_tables(&filter).await.unwrap().iter().map(|app| app.app_id).collect();
    assert_eq!(ids, [2, 9]);
    let text = client.remote_command(&meta.node, "help", &["x".to_owned()]).await.unwrap();
    assert_eq!(text, "help [\"x\"]");
}

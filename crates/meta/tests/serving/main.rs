//! A meta server on a loopback port, with clients and replica servers played by the test.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod client;
mod replica;

use std::time::Duration;

use client::Client;
use pegasus_control::{DefaultApp, Options};
use pegasus_meta::{Server, Settings, StartError};
use pegasus_net::CancellationToken;
use pegasus_protocol::admin::*;
use pegasus_types::{ErrorCode, NodeId};
use replica::Replica;
use tokio::task::{JoinHandle, LocalSet};

/// Nothing in these tests may take this long.
const LIMIT: Duration = Duration::from_secs(20);

fn settings(dir: &std::path::Path) -> Settings {
    let default_apps = vec![DefaultApp {
        app_name: "temp".to_owned(),
        app_type: "pegasus".to_owned(),
        partition_count: 4,
        max_replica_count: 1,
        envs: Default::default(),
    }];
    Settings {
        me: NodeId::new("127.0.0.1", 0),
        listen: "127.0.0.1:0".parse().unwrap(),
        cluster: "test".to_owned(),
        meta_servers: vec![NodeId::new("127.0.0.1", 34601)],
        store_dir: dir.to_owned(),
        control: Options {
            cluster_root: "/pegasus/test".to_owned(),
            // Long, so that a slow machine kills nobody.
            fd_grace_ms: 60_000,
            tick_ms: 20,
            settle_node_count: 1,
            min_live_node_count_for_unfreeze: 1,
            default_apps,
            ..Options::default()
        },
        fd_lease_ms: 50_000,
        host_ports_for_thrift: false,
        conn_threshold_per_ip: 0,
    }
}

struct Running {
    id: NodeId,
    stop: CancellationToken,
    task: JoinHandle<Result<(), StartError>>,
}

impl Running {
    async fn start(settings: Settings) -> Running {
        let server = Server::open(settings).await.unwrap();
        let (id, stop) = (server.id().clone(), CancellationToken::new());
        let task = tokio::task::spawn_local(server.run(stop.clone()));
        Running { id, stop, task }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        tokio::time::timeout(LIMIT, test).await.expect("in time");
    });
}

fn query(name: &str) -> QueryCfgRequest {
    QueryCfgRequest { app_name: name.to_owned(), partition_indices: Vec::new() }
}

fn create(name: &str) -> CreateAppRequest {
    let options = CreateAppOptions {
        partition_count: 2,
        replica_count: 1,
        success_if_exist: true,
        app_type: "pegasus".to_owned(),
        is_stateful: true,
        ..CreateAppOptions::default()
    };
    CreateAppRequest { app_name: name.to_owned(), options }
}

fn drop_request(name: &str) -> DropAppRequest {
    DropAppRequest { app_name: name.to_owned(), ..DropAppRequest::default() }
}

#[test]
fn tables_are_served_and_survive_a_restart() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let meta = Running::start(settings(dir.path())).await;
        let mut replica = Replica::start(&meta.id).await;
        replica.become_primary_of(4).await;

        let mut client = Client::connect(&meta.id).await;
        let reply: QueryCfgResponse =
            client.call("RPC_CM_QUERY_PARTITION_CONFIG_BY_INDEX", &query("temp")).await;
        assert_eq!((reply.err, reply.partition_count, reply.is_stateful), (ErrorCode::Ok, 4, true));
        for (index, partition) in reply.partitions.iter().enumerate() {
            assert_eq!(usize::try_from(partition.pid.index).unwrap(), index);
            assert_eq!(partition.primary.to_string(), replica.id.to_string());
            assert!(partition.ballot > 0);
            assert!(partition.hp_primary.is_none(), "old clients cannot decode it");
        }
        let some = QueryCfgRequest { partition_indices: vec![3, 9, -1, 0], ..query("temp") };
        let reply: QueryCfgResponse =
            client.call("RPC_CM_QUERY_PARTITION_CONFIG_BY_INDEX", &some).await;
        let indices: Vec<i32> = reply.partitions.iter().map(|p| p.pid.index).collect();
        assert_eq!(indices, vec![3, 0]);

        let created: CreateAppResponse = client.call("RPC_CM_CREATE_APP", &create("more")).await;
        assert_eq!((created.err, created.appid), (ErrorCode::Ok, 2));
        replica.become_primary_of(2).await;
        let again: CreateAppResponse = client.call("RPC_CM_CREATE_APP", &create("more")).await;
        assert_eq!((again.err, again.appid), (ErrorCode::Ok, 2));

        meta.stop().await;
        let meta = Running::start(settings(dir.path())).await;
        let mut client = Client::connect(&meta.id).await;
        for name in ["temp", "more"] {
            let reply: QueryCfgResponse =
                client.call("RPC_CM_QUERY_PARTITION_CONFIG_BY_INDEX", &query(name)).await;
            assert_eq!(reply.err, ErrorCode::Ok);
            let served = reply.partitions.iter().filter(|p| p.primary.is_valid()).count();
            assert_eq!(i32::try_from(served).unwrap(), reply.partition_count);
        }
        meta.stop().await;
    });
}

#[test]
fn a_dropped_table_is_gone_when_the_answer_is_there() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let meta = Running::start(settings(dir.path())).await;
        let mut replica = Replica::start(&meta.id).await;
        replica.become_primary_of(4).await;
        let mut client = Client::connect(&meta.id).await;
        let dropped: DropAppResponse = client.call("RPC_CM_DROP_APP", &drop_request("temp")).await;
        assert_eq!(dropped.err, ErrorCode::Ok);
        let reply: QueryCfgResponse =
            client.call("RPC_CM_QUERY_PARTITION_CONFIG_BY_INDEX", &query("temp")).await;
        assert_eq!((reply.err, reply.is_stateful), (ErrorCode::ObjectNotFound, false));
        let available = ListAppsRequest { status: AppStatus::Available, ..Default::default() };
        let listed: ListAppsResponse = client.call("RPC_CM_LIST_APPS", &available).await;
        assert_eq!((listed.err, listed.infos.len()), (ErrorCode::Ok, 0));
        let all: ListAppsResponse =
            client.call("RPC_CM_LIST_APPS", &ListAppsRequest::default()).await;
        assert_eq!(all.infos[0].status, AppStatus::Dropped);
        let again: DropAppResponse = client.call("RPC_CM_DROP_APP", &drop_request("temp")).await;
        assert_eq!(again.err, ErrorCode::AppNotExist);
        // A table cannot have more replicas than there are nodes.
        let mut request = create("more");
        request.options.replica_count = 2;
        let created: CreateAppResponse = client.call("RPC_CM_CREATE_APP", &request).await;
        assert_eq!(created.err, ErrorCode::InvalidParameters);
        meta.stop().await;
    });
}

#[test]
fn nodes_and_cluster_are_described() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let meta = Running::start(settings(dir.path())).await;
        let mut replica = Replica::start(&meta.id).await;
        replica.become_primary_of(4).await;
        let mut client = Client::connect(&meta.id).await;

        let nodes: ListNodesResponse =
            client.call("RPC_CM_LIST_NODES", &ListNodesRequest::default()).await;
        assert_eq!(nodes.infos.len(), 1);
        assert_eq!(nodes.infos[0].status, NodeStatus::Alive);
        assert_eq!(nodes.infos[0].node.to_string(), replica.id.to_string());

        let info: ClusterInfoResponse =
            client.call("RPC_CM_CLUSTER_INFO", &ClusterInfoRequest::default()).await;
        let value = |key: &str| {
            let at = info.keys.iter().position(|k| k == key).unwrap();
            info.values[at].clone()
        };
        assert_eq!(value("primary_meta_server"), meta.id.to_string());
        assert_eq!(value("meta_function_level"), "steady");
        assert_eq!(value("cluster_name"), "test");

        let help = Command { cmd: "help".to_owned(), arguments: Vec::new() };
        let text: String = client.call("RPC_CLI_CLI_CALL", &help).await;
        assert!(text.contains("server-info"));
        let negotiation: Negotiation =
            client.call("RPC_NEGOTIATION", &Negotiation::default()).await;
        assert_eq!(negotiation.status, NegotiationStatus::SaslAuthDisable);
        for code in ["RPC_CM_DDD_DIAGNOSE", "RPC_CM_NO_SUCH_CODE", "RPC_RRDB_RRDB_GET"] {
            let error = client.error(code, &ListNodesRequest::default()).await;
            assert_eq!(error, ErrorCode::HandlerNotFound, "{code}");
        }
        meta.stop().await;
    });
}

#[test]
fn http_shows_the_same() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let meta = Running::start(settings(dir.path())).await;
        let mut replica = Replica::start(&meta.id).await;
        replica.become_primary_of(4).await;
        let (status, body) = client::http_get(&meta.id, "/meta/app?name=temp").await;
        let expected = r#"{"general":{"app_name":"temp","app_id":"1","partition_count":"4","max_replica_count":"1"}}"#;
        assert_eq!((status, body.trim_end()), (200, expected));
        let (_, body) = client::http_get(&meta.id, "/meta/app?name=temp&detail").await;
        assert!(body.contains(&format!(r#""replica_count":"1/1","primary":"{}""#, replica.id)));
        let (status, body) = client::http_get(&meta.id, "/meta/app?name=nosuch").await;
        assert_eq!((status, body.as_str()), (404, r#"table not found: "nosuch""#));
        let (_, body) = client::http_get(&meta.id, "/meta/nodes?detail").await;
        assert!(body.contains(r#""primary_count":"4""#), "{body}");
        let (_, body) = client::http_get(&meta.id, "/meta/apps?detail").await;
        assert!(body.contains(r#""fully_healthy":"4""#), "{body}");
        let (status, _) = client::http_get(&meta.id, "/meta/cluster").await;
        assert_eq!(status, 200);
        let (status, _) = client::http_get(&meta.id, "/nosuch").await;
        assert_eq!(status, 404);
        meta.stop().await;
    });
}

#[test]
fn beacons_grant_leases_to_living_processes_only() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let meta = Running::start(settings(dir.path())).await;
        let replica = Replica::start(&meta.id).await;
        assert_eq!(replica.beacon(2, false).await.lease_ms, 50_000);
        let ack = replica.beacon(1, false).await;
        assert_eq!((ack.lease_ms, ack.is_leader), (0, true), "an older process of the same node");
        let ack = replica.beacon(2, true).await;
        assert_eq!((ack.lease_ms, ack.is_leader), (0, true));
        assert_eq!(replica.beacon(2, false).await.lease_ms, 0, "it said goodbye");
        assert_eq!(replica.beacon(3, false).await.lease_ms, 50_000);
        meta.stop().await;
    });
}

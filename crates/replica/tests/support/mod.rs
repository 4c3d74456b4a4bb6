//! A cluster in one process.

// Each test file uses its part of this.
#![allow(dead_code, unused_imports)]

mod client;
mod meta;

use std::path::Path;
use std::time::Duration;

use pegasus_net::{Identity, connect};
use pegasus_protocol::private::{ReplicaControlClient, ServiceKind};
use pegasus_replica::{Node, Settings};
use pegasus_replication::LeaseOptions;
use pegasus_storage::{EngineOptions, ReadLimits};
use pegasus_types::{ChangeKind, NodeId, PartitionId, Proposal};

pub use client::{Client, Outcome};
pub use meta::Meta;

const CLUSTER: &str = "three";

pub struct Cluster {
    pub meta: Meta,
    nodes: Vec<Slot>,
    runtime: tokio::runtime::Runtime,
    _dirs: tempfile::TempDir,
}

struct Slot {
    settings: Settings,
    id: NodeId,
    node: Option<Node>,
}

impl Cluster {
    pub fn start(count: usize) -> Cluster {
        Cluster::start_with(count, |_| ())
    }

    /// `tune` may change the settings of every node.
    pub fn start_with(count: usize, tune: impl Fn(&mut Settings)) -> Cluster {
        let dirs = tempfile::tempdir().unwrap();
        let meta = Meta::start(CLUSTER);
        let nodes = (0..count)
            .map(|index| {
                let mut settings = settings(&dirs.path().join(index.to_string()), &meta.id);
                tune(&mut settings);
                let node = Node::start(settings.clone()).unwrap();
                // A restart must find the same address.
                settings.listen = node.address();
                let id = node.id().clone();
                settings.me = id.clone();
                Slot { settings, id, node: Some(node) }
            })
            .collect();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        Cluster { meta, nodes, runtime, _dirs: dirs }
    }

    pub fn id(&self, index: usize) -> NodeId {
        self.nodes[index].id.clone()
    }

    pub fn client(&self, index: usize) -> Client {
        Client::connect(self.nodes[index].settings.listen)
    }

    pub fn stop(&mut self, index: usize) {
        self.nodes[index].node.take().unwrap().shutdown();
    }

    pub fn restart(&mut self, index: usize) {
        let slot = &mut self.nodes[index];
        slot.node = Some(Node::start(slot.settings.clone()).unwrap());
    }

    pub fn stop_all(mut self) {
        for slot in &mut self.nodes {
            if let Some(node) = slot.node.take() {
                node.shutdown();
            }
        }
    }

    /// What the meta server would ask of a node.
    pub fn propose(&self, at: usize, kind: ChangeKind, node: &NodeId, pid: PartitionId) {
        let proposal = Proposal { config: self.meta.config(pid), kind, node: node.clone() };
        let identity =
            Identity { cluster: CLUSTER.to_owned(), node: self.meta.id.clone(), incarnation: 1 };
        let hello = identity.hello(ServiceKind::ReplicaControl);
        let target = self.id(at);
        let app = self.meta.app();
        self.runtime.block_on(async move {
            let connected = connect(&target, hello, Duration::from_secs(5)).await.unwrap();
            let config = tarpc::client::Config::default();
            let client = ReplicaControlClient::new(config, connected.transport()).spawn();
            client.propose(tarpc::context::current(), proposal, app).await.unwrap();
        });
    }
}

fn settings(dir: &Path, meta: &NodeId) -> Settings {
    let mut engine = EngineOptions::production();
    engine.block_cache_capacity = 8 << 20;
    engine.write_buffer_size = 1 << 20;
    Settings {
        me: NodeId::new("127.0.0.1", 0),
        cluster: CLUSTER.to_owned(),
        listen: "127.0.0.1:0".parse().unwrap(),
        metas: vec![meta.clone()],
        data_dirs: vec![("disk".to_owned(), dir.to_owned())],
        shard_count: 2,
        plog_force_flush: false,
        plog_sync_interval_ms: 1000,
        log_segment_bytes: 64 << 10,
        min_ack_members: 2,
        window: 64,
        prepare_timeout_ms: 3000,
        learner_timeout_ms: 20_000,
        group_check_ms: 1000,
        max_write_size: 1 << 20,
        checkpoint_interval_ms: 60_000,
        leases: LeaseOptions { lease_ms: 500, promise_ms: 600, heartbeat_ms: 100, silence_ms: 800 },
        beacon_interval_ms: 200,
        fd_lease_ms: 2000,
        config_sync_interval_ms: 200,
        read_limits: ReadLimits::default(),
        engine,
        conn_threshold_per_ip: 0,
    }
}

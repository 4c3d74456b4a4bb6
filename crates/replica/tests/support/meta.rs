//! A meta server that keeps configurations in memory and decides nothing by itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use futures::StreamExt;
use pegasus_net::{
    CancellationToken, Doors, Identity, Limits, PrivateAcceptor, ReplySender, RpcHandler, bind_std,
    serve,
};
use pegasus_protocol::frame::Request;
use pegasus_protocol::private::{
    Beacon, BeaconAck, ConfigSync, ConfigSyncReply, MetaService, NotLeader, ServiceKind,
};
use pegasus_types::{
    AppInfo, AppStatus, ConfigUpdate, NodeId, PartitionConfig, PartitionId, ReplicaReport,
    UpdateOutcome,
};
use tarpc::context::Context;
use tarpc::server::{BaseChannel, Channel};

pub struct Meta {
    pub id: NodeId,
    state: Arc<Mutex<State>>,
    end: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    configs: HashMap<PartitionId, PartitionConfig>,
    reports: HashMap<NodeId, Vec<ReplicaReport>>,
}

impl State {
    fn config(&mut self, pid: PartitionId) -> &mut PartitionConfig {
        self.configs.entry(pid).or_insert_with(|| PartitionConfig::new(pid, 3))
    }
}

impl Meta {
    pub fn start(cluster: &str) -> Meta {
        let listener = bind_std("127.0.0.1:0".parse().unwrap(), false).unwrap();
        let id = NodeId::new("127.0.0.1", listener.local_addr().unwrap().port());
        let identity = Identity { cluster: cluster.to_owned(), node: id.clone(), incarnation: 1 };
        let state = Arc::new(Mutex::new(State::default()));
        let end = CancellationToken::new();
        let (shared, stop) = (state.clone(), end.clone());
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            tokio::task::LocalSet::new().block_on(&runtime, async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let private =
                    PrivateAcceptor::new(identity).on(ServiceKind::Meta, move |accepted| {
                        let service = Service(shared.clone());
                        let channel = BaseChannel::with_defaults(accepted.transport());
                        channel.execute(service.serve()).for_each(|answer| answer)
                    });
                let doors = Doors { rpc: NoClients, http: axum::Router::new(), private };
                serve(listener, doors, Limits::default(), stop).await;
            });
        });
        Meta { id, state, end, thread: Some(thread) }
    }

    pub fn config(&self, pid: PartitionId) -> PartitionConfig {
        self.state.lock().unwrap().config(pid).clone()
    }

    /// The primary was found dead.
    pub fn drop_primary(&self, pid: PartitionId) {
        let mut state = self.state.lock().unwrap();
        let config = state.config(pid);
        config.ballot = config.ballot.next();
        config.last_drops.extend(config.primary.take());
    }

    /// What a node said in its last config sync.
    pub fn reports(&self, node: &NodeId) -> Vec<ReplicaReport> {
        self.state.lock().unwrap().reports.get(node).cloned().unwrap_or_default()
    }

    pub fn app(&self) -> AppInfo {
        app()
    }
}

impl Drop for Meta {
    fn drop(&mut self) {
        self.end.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn app() -> AppInfo {
    AppInfo {
        status: AppStatus::Available,
        app_type: "pegasus".to_owned(),
        app_name: "temp".to_owned(),
        app_id: 1,
        partition_count: 1,
        envs: Default::default(),
        is_stateful: true,
        max_replica_count: 3,
        expire_second: 0,
        create_second: 0,
        drop_second: 0,
        duplicating: false,
        init_partition_count: -1,
        is_bulk_loading: false,
        atomic_idempotent: false,
    }
}

#[derive(Clone)]
struct NoClients;

impl RpcHandler for NoClients {
    fn call(&self, _: Request, reply: ReplySender) {
        reply.handler_not_found();
    }
}

#[derive(Clone)]
struct Service(Arc<Mutex<State>>);

impl MetaService for Service {
    async fn beacon(self, _: Context, beacon: Beacon) -> BeaconAck {
        BeaconAck { sent: beacon.sent, lease_ms: 2000, is_leader: true, leader: None }
    }

    async fn config_sync(
        self,
        _: Context,
        request: ConfigSync,
    ) -> Result<ConfigSyncReply, NotLeader> {
        let mut state = self.0.lock().unwrap();
        state.reports.insert(request.node, request.replicas);
        let partitions = state.configs.values().map(|config| (config.clone(), app())).collect();
        Ok(ConfigSyncReply { partitions, garbage: Vec::new() })
    }

    async fn query_partition(
        self,
        _: Context,
        pid: PartitionId,
    ) -> Result<Option<PartitionConfig>, NotLeader> {
        Ok(Some(self.0.lock().unwrap().config(pid).clone()))
    }

    async fn update_configuration(
        self,
        _: Context,
        request: ConfigUpdate,
    ) -> Result<UpdateOutcome, NotLeader> {
        let mut state = self.0.lock().unwrap();
        let stored = state.config(request.config.pid);
        if request.config.ballot == stored.ballot.next() {
            *stored = request.config;
        } else if request.config != *stored {
            return Ok(UpdateOutcome::Refused(stored.clone()));
        }
        Ok(UpdateOutcome::Accepted(stored.clone()))
    }
}

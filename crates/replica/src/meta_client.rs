//! Calls to the meta server that leads, wherever it is.

use std::time::{Duration, Instant};

use pegasus_net::{Identity, NetError, connect};
use pegasus_protocol::private::{
    Beacon, BeaconAck, ConfigSync, ConfigSyncReply, MetaServiceClient, NotLeader, ServiceKind,
};
use pegasus_types::{ConfigUpdate, NodeId, PartitionConfig, PartitionId, UpdateOutcome};
use tarpc::client::RpcError;
use tarpc::context::{self, Context};
use tokio::sync::Mutex;

/// Why there is no answer. The next call tries another meta server, or the leader that was named.
#[derive(Debug, thiserror::Error)]
pub enum MetaError {
    #[error("no meta server is configured")]
    None,
    #[error("{0}")]
    Net(#[from] NetError),
    #[error("{target}: {source}")]
    Rpc { target: NodeId, source: RpcError },
    #[error("{0} is not the leader")]
    NotLeader(NodeId),
}

/// One connection to the meta service at a time. Usable by many tasks of one runtime.
pub struct MetaClient {
    identity: Identity,
    metas: Vec<NodeId>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Index into `metas` of the next to try.
    next: usize,
    /// Named by another meta server; tried first, once.
    hint: Option<NodeId>,
    current: Option<Current>,
    connections: u64,
}

#[derive(Clone)]
struct Current {
    target: NodeId,
    client: MetaServiceClient,
    connection: u64,
}

impl MetaClient {
    pub fn new(identity: Identity, metas: Vec<NodeId>) -> MetaClient {
        MetaClient { identity, metas, state: Mutex::default() }
    }

    /// Grants of other meta servers than the leader count for nothing, so they are errors here.
    pub async fn beacon(&self, beacon: Beacon, limit: Duration) -> Result<BeaconAck, MetaError> {
        let current = self.current(limit).await?;
        let ack = current.client.beacon(deadline(limit), beacon).await;
        let checked = ack
            .map(|ack| if ack.is_leader { Ok(ack) } else { Err(NotLeader { leader: ack.leader }) });
        self.judge(current, checked).await
    }

    pub async fn config_sync(
        &self,
        request: ConfigSync,
        limit: Duration,
    ) -> Result<ConfigSyncReply, MetaError> {
        let current = self.current(limit).await?;
        let reply = current.client.config_sync(deadline(limit), request).await;
        self.judge(current, reply).await
    }

    pub async fn query_partition(
        &self,
        pid: PartitionId,
        limit: Duration,
    ) -> Result<Option<PartitionConfig>, MetaError> {
        let current = self.current(limit).await?;
        let reply = current.client.query_partition(deadline(limit), pid).await;
        self.judge(current, reply).await
    }

    pub async fn update_configuration(
        &self,
        request: ConfigUpdate,
        limit: Duration,
    ) -> Result<UpdateOutcome, MetaError> {
        let current = self.current(limit).await?;
        let reply = current.client.update_configuration(deadline(limit), request).await;
        self.judge(current, reply).await
    }

    /// The connection in use, or a new one.
    async fn current(&self, limit: Duration) -> Result<Current, MetaError> {
        let mut state = self.state.lock().await;
        if let Some(current) = &state.current {
            return Ok(current.clone());
        }
        let target = match state.hint.take() {
            Some(leader) => leader,
            None => {
                let index = state.next.checked_rem(self.metas.len()).ok_or(MetaError::None)?;
                state.next = index + 1;
                self.metas.get(index).cloned().ok_or(MetaError::None)?
            }
        };
        let hello = self.identity.hello(ServiceKind::Meta);
        let connected = connect(&target, hello, limit.min(Duration::from_secs(2))).await?;
        let config = tarpc::client::Config::default();
        let client = MetaServiceClient::new(config, connected.transport()).spawn();
        state.connections += 1;
        let current = Current { target, client, connection: state.connections };
        state.current = Some(current.clone());
        Ok(current)
    }

    /// Gives a connection up if it failed or led to a follower.
    async fn judge<T>(
        &self,
        used: Current,
        result: Result<Result<T, NotLeader>, RpcError>,
    ) -> Result<T, MetaError> {
        let (error, hint) = match result {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(NotLeader { leader })) => {
                let hint = leader.filter(|leader| *leader != used.target);
                (MetaError::NotLeader(used.target), hint)
            }
            Err(source) => (MetaError::Rpc { target: used.target, source }, None),
        };
        let mut state = self.state.lock().await;
        if state.current.as_ref().is_some_and(|current| current.connection == used.connection) {
            state.current = None;
            state.hint = hint;
        }
        Err(error)
    }
}

fn deadline(limit: Duration) -> Context {
    let mut context = context::current();
    context.deadline = Instant::now() + limit;
    context
}

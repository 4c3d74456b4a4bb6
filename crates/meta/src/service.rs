//! What replica servers ask of the meta server.

use std::sync::Arc;

use futures::StreamExt;
use pegasus_control::{Event, Response};
use pegasus_net::Accepted;
use pegasus_protocol::private::{
    Beacon, BeaconAck, ConfigSync, ConfigSyncReply, MetaService, NotLeader,
};
use pegasus_types::{ConfigUpdate, NodeId, PartitionConfig, PartitionId, UpdateOutcome};
use tarpc::context::Context;
use tarpc::server::{BaseChannel, Channel};

use crate::shared::Shared;

/// Serves one connection of a replica server until it ends.
pub async fn serve(shared: Arc<Shared>, accepted: Accepted) {
    let peer = accepted.hello.node.clone();
    let channel = BaseChannel::with_defaults(accepted.transport());
    let service = Service { shared, peer };
    // Answers are given side by side: an update waits for the store, a beacon must not.
    channel
        .execute(service.serve())
        .for_each(|answer| async {
            tokio::spawn(answer);
        })
        .await;
}

#[derive(Clone)]
struct Service {
    shared: Arc<Shared>,
    /// What the other side called itself.
    peer: NodeId,
}

impl Service {
    fn is_peer(&self, node: &NodeId) -> bool {
        let same = *node == self.peer;
        if !same {
            tracing::warn!(peer = %self.peer, "speaks for another node, {node}: ignored");
        }
        same
    }

    /// "Ask again": the leader is known, and it is this one unless the process is ending.
    fn again(&self) -> NotLeader {
        let view = self.shared.view.load();
        NotLeader { leader: view.serving.then(|| self.shared.identity.node.clone()) }
    }
}

impl MetaService for Service {
    async fn beacon(self, _: Context, beacon: Beacon) -> BeaconAck {
        let sent = beacon.sent;
        let nothing = BeaconAck { sent, lease_ms: 0, is_leader: false, leader: None };
        if !self.is_peer(&beacon.node) {
            return nothing;
        }
        self.shared.owner.beacon(beacon).await.unwrap_or(nothing)
    }

    async fn config_sync(
        self,
        _: Context,
        request: ConfigSync,
    ) -> Result<ConfigSyncReply, NotLeader> {
        if !self.is_peer(&request.node) {
            return Err(NotLeader { leader: None });
        }
        let ConfigSync { node, incarnation, replicas } = request;
        let make = move |token| Event::ConfigSync { token, node, incarnation, replicas };
        match self.shared.owner.ask(make).await {
            Some(Response::Sync(reply)) => {
                Ok(ConfigSyncReply { partitions: reply.partitions, garbage: reply.garbage })
            }
            _ => Err(self.again()),
        }
    }

    async fn query_partition(
        self,
        _: Context,
        pid: PartitionId,
    ) -> Result<Option<PartitionConfig>, NotLeader> {
        let make = move |token| Event::QueryPartition { token, pid };
        match self.shared.owner.ask(make).await {
            Some(Response::Partition(config)) => Ok(config),
            _ => Err(self.again()),
        }
    }

    async fn update_configuration(
        self,
        _: Context,
        request: ConfigUpdate,
    ) -> Result<UpdateOutcome, NotLeader> {
        let (pid, kind, node) = (request.config.pid, request.kind, request.node.clone());
        let make = move |token| Event::UpdateConfig { token, update: request };
        match self.shared.owner.ask(make).await {
            Some(Response::Update(outcome)) => {
                tracing::info!(partition = %pid, ?kind, %node, from = %self.peer, ?outcome,
                    "configuration update");
                Ok(outcome)
            }
            _ => Err(self.again()),
        }
    }
}

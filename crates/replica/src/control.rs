//! What the meta server asks of this node.

use std::sync::Arc;

use futures::StreamExt;
use pegasus_net::Accepted;
use pegasus_protocol::private::ReplicaControl;
use pegasus_types::{AppInfo, PartitionConfig, Proposal};
use tarpc::context::Context;
use tarpc::server::{BaseChannel, Channel};

use crate::inbox::ToShard;
use crate::shared::Shared;

/// Serves one connection of a meta server until it ends.
pub async fn serve(shared: Arc<Shared>, accepted: Accepted) {
    let channel = BaseChannel::with_defaults(accepted.transport());
    channel.execute(Control(shared).serve()).for_each(|answer| answer).await;
}

#[derive(Clone)]
struct Control(Arc<Shared>);

impl ReplicaControl for Control {
    async fn propose(self, _: Context, proposal: Proposal, app: AppInfo) {
        self.0.tell(proposal.config.pid, ToShard::Proposal { proposal, app });
    }

    async fn push_config(self, _: Context, partitions: Vec<(PartitionConfig, AppInfo)>) {
        for (config, app) in partitions {
            self.0.tell(config.pid, ToShard::Told { config, app, asked_in: None });
        }
    }
}

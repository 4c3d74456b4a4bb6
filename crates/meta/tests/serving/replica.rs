use std::collections::BTreeSet;
use std::time::Duration;

use futures::StreamExt;
use pegasus_net::{
    Accepted, CancellationToken, Doors, Identity, Limits, PrivateAcceptor, ReplySender, RpcHandler,
    bind, connect, serve,
};
use pegasus_protocol::frame::Request;
use pegasus_protocol::private::{
    Beacon, BeaconAck, MetaServiceClient, ReplicaControl, ServiceKind,
};
use pegasus_types::{
    AppInfo, ChangeKind, ConfigUpdate, NodeId, PartitionConfig, Proposal, Tick, UpdateOutcome,
};
use tarpc::context::{self, Context};
use tarpc::server::{BaseChannel, Channel};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// A replica server without data: it beacons once and then does what the test wants.
pub struct Replica {
    pub id: NodeId,
    meta: MetaServiceClient,
    proposals: UnboundedReceiver<Proposal>,
    _door: Door,
}

/// Closes the listener when the replica is dropped.
struct Door(CancellationToken);

impl Drop for Door {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

#[derive(Clone)]
struct NoRpc;

impl RpcHandler for NoRpc {
    fn call(&self, _: Request, reply: ReplySender) {
        reply.handler_not_found();
    }
}

#[derive(Clone)]
struct Control(UnboundedSender<Proposal>);

impl ReplicaControl for Control {
    async fn propose(self, _: Context, proposal: Proposal, _: AppInfo) {
        let _ = self.0.send(proposal);
    }

    async fn push_config(self, _: Context, _: Vec<(PartitionConfig, AppInfo)>) {}
}

async fn control(proposals: UnboundedSender<Proposal>, accepted: Accepted) {
    let channel = BaseChannel::with_defaults(accepted.transport());
    channel.execute(Control(proposals).serve()).for_each(|answer| answer).await;
}

impl Replica {
    pub async fn start(meta: &NodeId) -> Replica {
        let listener = bind("127.0.0.1:0".parse().unwrap(), false).unwrap();
        let id = NodeId::new("127.0.0.1", listener.local_addr().unwrap().port());
        let identity = Identity { cluster: "test".to_owned(), node: id.clone(), incarnation: 1 };
        let (sender, proposals) = unbounded_channel();
        let private = PrivateAcceptor::new(identity.clone())
            .on(ServiceKind::ReplicaControl, move |accepted| control(sender.clone(), accepted));
        let http = pegasus_net::http::router();
        let stop = CancellationToken::new();
        let doors = Doors { rpc: NoRpc, http, private };
        tokio::task::spawn_local(serve(listener, doors, Limits::default(), stop.clone()));

        let hello = identity.hello(ServiceKind::Meta);
        let connected = connect(meta, hello, Duration::from_secs(5)).await.unwrap();
        let config = tarpc::client::Config::default();
        let meta = MetaServiceClient::new(config, connected.transport()).spawn();
        let replica = Replica { id, meta, proposals, _door: Door(stop) };
        assert!(replica.beacon(1, false).await.is_leader);
        replica
    }

    pub async fn beacon(&self, incarnation: u64, goodbye: bool) -> BeaconAck {
        let beacon = Beacon { node: self.id.clone(), incarnation, sent: Tick(7), goodbye };
        let ack = self.meta.beacon(context::current(), beacon).await.unwrap();
        assert_eq!(ack.sent, Tick(7));
        ack
    }

    /// Obeys until it was made primary of so many more partitions.
    pub async fn become_primary_of(&mut self, count: usize) {
        let mut taken = BTreeSet::new();
        while taken.len() < count {
            let proposal = self.proposals.recv().await.unwrap();
            assert_eq!((proposal.kind, &proposal.node), (ChangeKind::AssignPrimary, &self.id));
            let mut config = proposal.config;
            config.ballot = config.ballot.next();
            config.primary = Some(self.id.clone());
            let pid = config.pid;
            let update = ConfigUpdate { kind: proposal.kind, node: self.id.clone(), config };
            let outcome =
                self.meta.update_configuration(context::current(), update).await.unwrap().unwrap();
            assert!(matches!(outcome, UpdateOutcome::Accepted(_)), "{outcome:?}");
            let known = self.meta.query_partition(context::current(), pid).await.unwrap().unwrap();
            assert_eq!(known.unwrap().primary, Some(self.id.clone()));
            taken.insert(pid);
        }
    }
}

//! Connections to the replica servers, over which proposals and configurations go out. Nothing here
//! is reliable: what does not get through is decided again by the control core.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures::future::join_all;
use pegasus_net::{Identity, NetError, connect};
use pegasus_protocol::private::{ReplicaControlClient, ServiceKind};
use pegasus_types::{AppInfo, NodeId, PartitionConfig, Proposal};
use tarpc::context::{self, Context};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::sleep;

/// Messages waiting for one node at most; more are dropped.
const QUEUE: usize = 4096;
/// Calls to one node under way at the same time.
const GROUP: usize = 64;
/// Configurations in one call, so that a message stays far below the largest frame.
const CONFIGS_PER_CALL: usize = 512;
const CALL_LIMIT: Duration = Duration::from_secs(3);
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// What is said to a replica server.
#[derive(Clone, Debug)]
pub enum Order {
    Propose(Box<(Proposal, AppInfo)>),
    Push(Vec<(PartitionConfig, AppInfo)>),
}

/// One link per replica server, made when there is something to say. Must live in a runtime; the
/// links end when this is dropped.
#[derive(Debug)]
pub struct Links {
    identity: Identity,
    links: HashMap<NodeId, Sender<Order>>,
}

impl Links {
    pub fn new(identity: Identity) -> Links {
        Links { identity, links: HashMap::new() }
    }

    pub fn propose(&mut self, to: NodeId, proposal: Proposal, app: AppInfo) {
        self.send(to, Order::Propose(Box::new((proposal, app))));
    }

    pub fn push(&mut self, to: &NodeId, partitions: &[(PartitionConfig, AppInfo)]) {
        for chunk in partitions.chunks(CONFIGS_PER_CALL) {
            self.send(to.clone(), Order::Push(chunk.to_vec()));
        }
    }

    fn send(&mut self, to: NodeId, order: Order) {
        let identity = &self.identity;
        let link = self.links.entry(to).or_insert_with_key(|to| {
            let (sender, inbox) = channel(QUEUE);
            tokio::spawn(run(to.clone(), identity.clone(), inbox));
            sender
        });
        if link.try_send(order).is_err() {
            tracing::debug!("too much is waiting for a replica server: dropped");
        }
    }
}

async fn run(target: NodeId, identity: Identity, mut inbox: Receiver<Order>) {
    let mut client: Option<ReplicaControlClient> = None;
    let mut backoff = BACKOFF_MIN;
    while let Some(first) = inbox.recv().await {
        let mut orders = vec![first];
        while orders.len() < GROUP
            && let Ok(order) = inbox.try_recv()
        {
            orders.push(order);
        }
        // The process at the other end may be a new one since the last call: then try once more.
        let tries = if client.is_some() { 2 } else { 1 };
        let mut failure = None;
        for _ in 0..tries {
            failure = deliver(&target, &identity, &mut client, &orders).await.err();
            if failure.is_none() {
                break;
            }
            client = None;
        }
        match failure {
            None => backoff = BACKOFF_MIN,
            Some(problem) => {
                tracing::debug!(node = %target, "not delivered: {problem}");
                sleep(backoff).await;
                backoff = (backoff * 2).min(BACKOFF_MAX);
            }
        }
    }
}

async fn deliver(
    target: &NodeId,
    identity: &Identity,
    client: &mut Option<ReplicaControlClient>,
    orders: &[Order],
) -> Result<(), String> {
    let client = match client {
        Some(client) => client,
        None => {
            let connected = dial(target, identity).await.map_err(|e| e.to_string())?;
            client.insert(connected)
        }
    };
    let calls = orders.iter().cloned().map(|order| call(client, order));
    let results = join_all(calls).await;
    results.into_iter().collect::<Result<(), _>>().map_err(|e| e.to_string())
}

async fn dial(target: &NodeId, identity: &Identity) -> Result<ReplicaControlClient, NetError> {
    let hello = identity.hello(ServiceKind::ReplicaControl);
    let connected = connect(target, hello, CONNECT_LIMIT).await?;
    let config = tarpc::client::Config::default();
    Ok(ReplicaControlClient::new(config, connected.transport()).spawn())
}

async fn call(client: &ReplicaControlClient, order: Order) -> Result<(), tarpc::client::RpcError> {
    match order {
        Order::Propose(order) => {
            let (proposal, app) = *order;
            client.propose(deadline(), proposal, app).await
        }
        Order::Push(partitions) => client.push_config(deadline(), partitions).await,
    }
}

fn deadline() -> Context {
    let mut context = context::current();
    context.deadline = Instant::now() + CALL_LIMIT;
    context
}

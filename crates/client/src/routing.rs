use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use pegasus_protocol::admin::{PartitionConfiguration, QueryCfgRequest, QueryCfgResponse};
use pegasus_protocol::code::TaskCode;
use pegasus_protocol::special::{HostPort, RpcAddress};
use pegasus_types::{Ballot, Decree, ErrorCode, NodeId, PartitionConfig};
use tokio::time::Instant;

use crate::Error;
use crate::meta::{MetaReply, Metas, Repeat, refused};
use crate::pacing::Deadline;

/// Questions about one table go to the meta server at most this often from one table handle.
const MIN_INTERVAL: Duration = Duration::from_millis(10);

/// More partitions than this in an answer is nonsense.
const MAX_PARTITIONS: i32 = 1 << 20;

/// The configuration of a table as the meta server sees it.
#[derive(Clone, Debug)]
pub struct TableConfig {
    pub app_id: i32,
    /// In index order, one per partition. Addresses are host names where the server sent them.
    pub partitions: Vec<PartitionConfig>,
}

impl TableConfig {
    /// Number of partitions, at least 1.
    pub fn partition_count(&self) -> usize {
        self.partitions.len()
    }

    /// Replicas wanted for every partition.
    pub fn max_replica_count(&self) -> i32 {
        self.partitions.first().map_or(0, |partition| partition.max_replica_count)
    }
}

impl MetaReply for QueryCfgResponse {
    fn code(&self) -> ErrorCode {
        self.err
    }

    fn leader(&self) -> Option<NodeId> {
        self.partitions.first().and_then(|p| reachable(p.primary, p.hp_primary.as_ref()))
    }
}

/// The address to connect to: the IPv4 address, which needs no name service, if there is one.
fn reachable(address: RpcAddress, name: Option<&HostPort>) -> Option<NodeId> {
    of_address(address).or_else(|| name.and_then(HostPort::node))
}

/// The address to show: the host name if the server sent one.
pub(crate) fn shown(address: RpcAddress, name: Option<&HostPort>) -> Option<NodeId> {
    name.and_then(HostPort::node).or_else(|| of_address(address))
}

fn of_address(address: RpcAddress) -> Option<NodeId> {
    let socket = address.socket()?;
    (socket.port() != 0).then(|| NodeId::new(&socket.ip().to_string(), socket.port()))
}

fn shown_list(addresses: &[RpcAddress], names: Option<&Vec<HostPort>>) -> Vec<NodeId> {
    match names.filter(|names| names.len() == addresses.len()) {
        Some(names) => {
            let pairs = addresses.iter().zip(names);
            pairs.filter_map(|(address, name)| shown(*address, Some(name))).collect()
        }
        None => addresses.iter().filter_map(|address| of_address(*address)).collect(),
    }
}

pub(crate) fn partition_config(wire: &PartitionConfiguration) -> PartitionConfig {
    PartitionConfig {
        pid: wire.pid,
        ballot: Ballot(wire.ballot),
        max_replica_count: wire.max_replica_count,
        primary: shown(wire.primary, wire.hp_primary.as_ref()),
        secondaries: shown_list(&wire.secondaries, wire.hp_secondaries.as_ref()),
        last_drops: shown_list(&wire.last_drops, wire.hp_last_drops.as_ref()),
        last_committed: Decree(wire.last_committed_decree),
    }
}

/// Asks for all partitions of a table and checks that the answer is whole.
pub(crate) async fn query_config(
    metas: &Metas,
    table: &str,
    deadline: &Deadline,
) -> Result<QueryCfgResponse, Error> {
    let request = QueryCfgRequest { app_name: table.to_owned(), ..QueryCfgRequest::default() };
    let (server, response) = metas
        .call::<_, QueryCfgResponse>(TaskCode::QueryCfg, &request, Repeat::Safe, deadline)
        .await?;
    match response.err {
        ErrorCode::Ok => {}
        ErrorCode::ObjectNotFound => return Err(Error::NoSuchTable(table.to_owned())),
        code => return Err(refused(&server, code, "")),
    }
    let count = response.partition_count;
    let listed = i32::try_from(response.partitions.len()).unwrap_or(i32::MAX);
    if !(1..=MAX_PARTITIONS).contains(&count) || listed != count {
        let reason = format!("{listed} partitions listed for a table of {count}");
        return Err(Error::BadReply { server, reason });
    }
    Ok(response)
}

/// Where a request for a key goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) app_id: i32,
    pub(crate) partition_index: i32,
    pub(crate) primary: Option<NodeId>,
}

#[derive(Debug)]
pub(crate) struct Routes {
    /// Tells one answer from the next.
    version: u64,
    app_id: i32,
    partitions: Vec<Route>,
}

#[derive(Debug)]
struct Route {
    ballot: i64,
    primary: Option<NodeId>,
}

impl Routes {
    fn new(version: u64, response: &QueryCfgResponse) -> Routes {
        let partitions = response.partitions.iter().map(|partition| Route {
            ballot: partition.ballot,
            primary: reachable(partition.primary, partition.hp_primary.as_ref()),
        });
        Routes { version, app_id: response.app_id, partitions: partitions.collect() }
    }

    /// During a split, keys of a child that is not registered yet (ballot -1) are still served by
    /// its parent (`spec/wire.md` 6.4).
    pub(crate) fn target(&self, partition_hash: u64) -> Target {
        // `query_config` lets no empty list pass.
        let count = self.partitions.len().max(1);
        let mut index = usize::try_from(partition_hash % count as u64).unwrap_or(0);
        if index >= count / 2 && self.partitions.get(index).is_some_and(|p| p.ballot < 0) {
            index -= count / 2;
        }
        Target {
            app_id: self.app_id,
            partition_index: i32::try_from(index).unwrap_or(i32::MAX),
            primary: self.partitions.get(index).and_then(|route| route.primary.clone()),
        }
    }

    pub(crate) fn app_id(&self) -> i32 {
        self.app_id
    }

    pub(crate) fn partition_count(&self) -> usize {
        self.partitions.len()
    }
}

/// The routing table of one table, shared by all handles on it.
#[derive(Debug)]
pub(crate) struct Router {
    metas: Arc<Metas>,
    table: String,
    routes: RwLock<Arc<Routes>>,
    /// When the meta server was last asked. Held while asking, so that a crowd of callers asks
    /// once.
    asked: tokio::sync::Mutex<Instant>,
}

impl Router {
    pub(crate) async fn open(
        metas: Arc<Metas>,
        table: &str,
        deadline: &Deadline,
    ) -> Result<Router, Error> {
        let response = query_config(&metas, table, deadline).await?;
        Ok(Router {
            metas,
            table: table.to_owned(),
            routes: RwLock::new(Arc::new(Routes::new(1, &response))),
            asked: tokio::sync::Mutex::new(Instant::now()),
        })
    }

    pub(crate) fn table(&self) -> &str {
        &self.table
    }

    pub(crate) fn routes(&self) -> Arc<Routes> {
        Arc::clone(&self.routes.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes the routes newer than the ones the caller has seen fail.
    pub(crate) async fn refresh(&self, seen: &Routes, deadline: &Deadline) -> Result<(), Error> {
        let waiting = tokio::time::timeout_at(deadline.at(), self.asked.lock());
        let Ok(mut asked) = waiting.await else {
            return Err(deadline.timeout(None));
        };
        if self.routes().version != seen.version {
            return Ok(());
        }
        tokio::time::sleep_until((*asked + MIN_INTERVAL).min(deadline.at())).await;
        let response = query_config(&self.metas, &self.table, deadline).await;
        *asked = Instant::now();
        let routes = Arc::new(Routes::new(seen.version.wrapping_add(1), &response?));
        *self.routes.write().unwrap_or_else(PoisonError::into_inner) = routes;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(ballots: &[i64]) -> Routes {
        let partitions = ballots.iter().enumerate().map(|(i, &ballot)| Route {
            ballot,
            primary: Some(NodeId::new("h", 1 + u16::try_from(i).unwrap_or(0))),
        });
        Routes { version: 1, app_id: 2, partitions: partitions.collect() }
    }

    #[test]
    fn keys_of_an_unregistered_child_go_to_its_parent() {
        let routes = routes(&[3, 3, -1, 4]);
        assert_eq!(routes.target(6).partition_index, 0);
        assert_eq!(routes.target(7).partition_index, 3);
        assert_eq!(routes.target(u64::MAX).partition_index, 3);
        assert_eq!(routes.target(1).primary, Some(NodeId::new("h", 2)));
    }

    #[test]
    fn names_are_shown_and_addresses_connected_to() {
        let address = RpcAddress::new([10, 0, 0, 1].into(), 34801);
        let name = HostPort { host: "node-a".to_owned(), port: 34801 };
        assert_eq!(shown(address, Some(&name)), Some(NodeId::new("node-a", 34801)));
        assert_eq!(reachable(address, Some(&name)), Some(NodeId::new("10.0.0.1", 34801)));
        assert_eq!(reachable(RpcAddress::INVALID, Some(&name)), Some(NodeId::new("node-a", 34801)));
        assert_eq!(reachable(RpcAddress::INVALID, None), None);
    }
}

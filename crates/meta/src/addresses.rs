use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pegasus_protocol::special::RpcAddress;
use pegasus_types::NodeId;
use tokio::net::lookup_host;
use tokio::time::timeout;

/// A name that was looked up longer ago is looked up again, in the background.
const REFRESH: Duration = Duration::from_secs(60);
/// A name without an address is looked up again sooner.
const RETRY: Duration = Duration::from_secs(2);
const LOOKUP_LIMIT: Duration = Duration::from_secs(5);

/// Addresses of nodes for the clients that want IPv4 and a port (`spec/wire.md` 2.3). Never waits
/// for a name server: what is not known yet is "no address", and clients ask again.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    names: Arc<Mutex<HashMap<String, Entry>>>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    ip: Option<Ipv4Addr>,
    asked: Instant,
    under_way: bool,
}

impl Addresses {
    /// Must be called within an async runtime.
    pub fn of(&self, node: &NodeId) -> RpcAddress {
        let literal = RpcAddress::of_literal(node);
        if literal.is_valid() {
            return literal;
        }
        let ip = self.cached(node);
        ip.map_or(RpcAddress::INVALID, |ip| RpcAddress::new(ip, node.port()))
    }

    /// Looks `node` up now, unless it needs no lookup.
    pub async fn prepare(&self, node: &NodeId) {
        if !RpcAddress::of_literal(node).is_valid() {
            self.lookup(node.host().to_owned()).await;
        }
    }

    fn cached(&self, node: &NodeId) -> Option<Ipv4Addr> {
        let now = Instant::now();
        let mut names = self.lock();
        let entry = names.entry(node.host().to_owned()).or_insert(Entry {
            ip: None,
            asked: now.checked_sub(REFRESH).unwrap_or(now),
            under_way: false,
        });
        let patience = if entry.ip.is_some() { REFRESH } else { RETRY };
        if !entry.under_way && now.duration_since(entry.asked) >= patience {
            entry.under_way = true;
            let (this, host) = (self.clone(), node.host().to_owned());
            tokio::spawn(async move { this.lookup(host).await });
        }
        entry.ip
    }

    async fn lookup(&self, host: String) {
        let ip = match resolve(&host).await {
            Ok(ip) => ip,
            Err(problem) => {
                tracing::warn!("cannot resolve {host}: {problem}");
                None
            }
        };
        let mut names = self.lock();
        // An old address is better than none.
        let ip = ip.or_else(|| names.get(&host).and_then(|entry| entry.ip));
        names.insert(host, Entry { ip, asked: Instant::now(), under_way: false });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first IPv4 address of a host.
async fn resolve(host: &str) -> Result<Option<Ipv4Addr>, String> {
    let found = timeout(LOOKUP_LIMIT, lookup_host((host, 0))).await;
    let mut addresses = found.map_err(|_| "no answer")?.map_err(|e| e.to_string())?;
    Ok(addresses.find_map(|address| match address {
        SocketAddr::V4(v4) => Some(*v4.ip()),
        SocketAddr::V6(v6) => v6.ip().to_ipv4_mapped(),
    }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn literals_need_no_lookup_and_names_are_remembered() {
        let addresses = Addresses::default();
        let literal = NodeId::new("10.1.2.3", 34801);
        assert_eq!(addresses.of(&literal), RpcAddress::new(Ipv4Addr::new(10, 1, 2, 3), 34801));
        let name = NodeId::new("localhost", 34802);
        addresses.prepare(&name).await;
        assert_eq!(addresses.of(&name), RpcAddress::new(Ipv4Addr::LOCALHOST, 34802));
    }
}

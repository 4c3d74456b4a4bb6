use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bounds of one listening port. Clones share the count of open connections, so all shards of a
/// daemon must use clones of one value.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of one request's body; a longer announcement closes the connection before anything is
    /// allocated (`spec/wire.md` 7.1).
    pub max_frame: usize,
    /// Open connections of all kinds, 0 for no bound.
    pub max_connections: usize,
    /// Open connections per source address, 0 for no bound (`[network] conn_threshold_per_ip`).
    pub conn_threshold_per_ip: usize,
    /// A connection must send its first 4 bytes within this time.
    pub sniff_timeout: Duration,
    /// A private connection must say who it is within this time.
    pub handshake_timeout: Duration,
    /// Longest silence in the middle of a request. Between requests silence is unlimited
    /// (`spec/wire.md` 7.3).
    pub frame_stall_timeout: Duration,
    /// Longest time in which a client takes none of the replies that wait for it.
    pub write_stall_timeout: Duration,
    /// Requests of one connection being worked on; reading stops at this number.
    pub max_in_flight: usize,
    /// Bytes of replies waiting on one connection at which reading stops.
    pub outgoing_pause: usize,
    /// Bytes of replies waiting on one connection at which it is closed.
    pub outgoing_max: usize,
    /// How long connections may finish their work after shutdown was asked for.
    pub drain_timeout: Duration,
    pub counter: ConnectionCounter,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_frame: 64 << 20,
            max_connections: 50_000,
            conn_threshold_per_ip: 0,
            sniff_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(5),
            frame_stall_timeout: Duration::from_secs(30),
            write_stall_timeout: Duration::from_secs(60),
            max_in_flight: 4096,
            outgoing_pause: 64 << 20,
            outgoing_max: 512 << 20,
            drain_timeout: Duration::from_secs(2),
            counter: ConnectionCounter::default(),
        }
    }
}

impl Limits {
    /// Count one more connection, or say why it is one too many.
    pub(crate) fn admit(&self, ip: IpAddr) -> Result<ConnectionPermit, &'static str> {
        let mut counts = self.counter.lock();
        if self.max_connections > 0 && counts.total >= self.max_connections {
            return Err("too many connections");
        }
        let of_ip = counts.by_ip.get(&ip).copied().unwrap_or(0);
        if self.conn_threshold_per_ip > 0 && of_ip >= self.conn_threshold_per_ip {
            return Err("too many connections from this address (conn_threshold_per_ip)");
        }
        counts.total += 1;
        counts.by_ip.insert(ip, of_ip + 1);
        let open = OpenConnection { counter: self.counter.clone(), ip };
        Ok(ConnectionPermit(Arc::new(open)))
    }
}

/// Number of open connections of a daemon. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct ConnectionCounter(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    by_ip: HashMap<IpAddr, usize>,
}

impl ConnectionCounter {
    pub fn open(&self) -> usize {
        self.lock().total
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a connection counted as open until the last clone is dropped.
#[derive(Clone, Debug)]
pub struct ConnectionPermit(#[allow(dead_code, reason = "held for its drop")] Arc<OpenConnection>);

#[derive(Debug)]
struct OpenConnection {
    counter: ConnectionCounter,
    ip: IpAddr,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        let mut counts = self.counter.lock();
        counts.total = counts.total.saturating_sub(1);
        let left = counts.by_ip.get(&self.ip).map_or(0, |count| count.saturating_sub(1));
        if left == 0 {
            counts.by_ip.remove(&self.ip);
        } else {
            counts.by_ip.insert(self.ip, left);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn permits_are_counted_per_address_and_overall() {
        let limits = Limits { max_connections: 3, conn_threshold_per_ip: 2, ..Limits::default() };
        let (a, b): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let first = limits.admit(a).unwrap();
        let _second = limits.admit(a).unwrap();
        assert!(limits.admit(a).is_err());
        let _third = limits.clone().admit(b).unwrap();
        assert!(limits.admit(b).is_err(), "clones share the count");
        let copy = first.clone();
        drop(first);
        assert_eq!(limits.counter.open(), 3);
        drop(copy);
        assert_eq!(limits.counter.open(), 2);
        assert!(limits.admit(a).is_ok());
    }
}

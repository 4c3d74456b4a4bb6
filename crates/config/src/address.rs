use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};

use pegasus_types::NodeId;

use crate::Role;
use crate::problem::Problems;
use crate::settings::Settings;

const SECTION: &str = "network";

/// An interface's name and one of its IPv4 addresses.
type Interface = (String, Ipv4Addr);

/// The address that this node advertises and the one it listens on (spec config 1.6).
pub(crate) struct Addresses {
    pub advertised: NodeId,
    pub listen: SocketAddr,
}

/// `None` after a problem was reported.
pub(crate) fn read(
    settings: &Settings,
    role: Role,
    port: u16,
    meta_servers: &[NodeId],
    problems: &mut Problems,
) -> Option<Addresses> {
    let host = match host(settings) {
        Ok(host) => host,
        Err((key, message)) => {
            problems.error(settings.place(SECTION, key), format!("[{SECTION}] {key}: {message}"));
            return None;
        }
    };
    let mut advertised = NodeId::new(&host, port);
    if role == Role::Meta && !meta_servers.is_empty() && !meta_servers.contains(&advertised) {
        match listed_name(&advertised, meta_servers) {
            Some(name) => advertised = name,
            None => {
                let place = settings.place("meta_server", "server_list");
                let message = format!(
                    "[meta_server] server_list does not hold this server, {advertised} (expected \
                     its address there, or [network] explicit_host_address as it stands there)"
                );
                problems.error(place, message);
            }
        }
    }
    let ip = listen_ip(settings, &host, problems)?;
    Some(Addresses { advertised, listen: SocketAddr::new(IpAddr::V4(ip), port) })
}

fn host(settings: &Settings) -> Result<String, (&'static str, String)> {
    let explicit = settings.text(SECTION, "explicit_host_address");
    if !explicit.is_empty() {
        return if explicit.contains([':', '/', ' ']) {
            let message = format!("{explicit}: expected a host name or an IPv4 address, no port");
            Err(("explicit_host_address", message))
        } else {
            Ok(explicit)
        };
    }
    const KEY: &str = "primary_interface";
    let interfaces = interfaces().map_err(|error| (KEY, format!("no interfaces: {error}")))?;
    let wanted = settings.text(SECTION, KEY);
    let chosen = choose(&interfaces, &wanted).or_else(|| {
        // Only without a named interface: a misspelt one must not pick another address silently.
        wanted.is_empty().then(own_name_resolved).flatten()
    });
    match chosen {
        Some(ip) => Ok(ip.to_string()),
        None => {
            let list: Vec<String> = interfaces.iter().map(|(n, ip)| format!("{n} {ip}")).collect();
            let list = list.join(", ");
            let message = if wanted.is_empty() {
                format!("no site-local IPv4 address; set explicit_host_address (there are: {list})")
            } else {
                format!("no interface {wanted} with an IPv4 address (there are: {list})")
            };
            Err((KEY, message))
        }
    }
}

fn interfaces() -> std::io::Result<Vec<Interface>> {
    let list = if_addrs::get_if_addrs()?;
    let ipv4 = list.into_iter().filter_map(|interface| match interface.ip() {
        IpAddr::V4(ip) => Some((interface.name, ip)),
        IpAddr::V6(_) => None,
    });
    Ok(ipv4.collect())
}

/// By name, or the first site-local one that is not a container bridge.
fn choose(interfaces: &[Interface], wanted: &str) -> Option<Ipv4Addr> {
    let bridge = Ipv4Addr::new(172, 17, 42, 1);
    let suits = |(name, ip): &&Interface| {
        if wanted.is_empty() {
            ip.is_private() && !name.contains("docker") && *ip != bridge
        } else {
            name == wanted
        }
    };
    interfaces.iter().find(suits).map(|(_, ip)| *ip)
}

fn own_name_resolved() -> Option<Ipv4Addr> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    resolve(name.trim(), 1).into_iter().find(|ip| !ip.is_loopback())
}

fn resolve(host: &str, port: u16) -> Vec<Ipv4Addr> {
    let Ok(found) = (host, port).to_socket_addrs() else {
        return Vec::new();
    };
    let ipv4 = found.filter_map(|address| match address.ip() {
        IpAddr::V4(ip) => Some(ip),
        IpAddr::V6(_) => None,
    });
    ipv4.collect()
}

/// The entry of the list that is this server under another name.
fn listed_name(own: &NodeId, meta_servers: &[NodeId]) -> Option<NodeId> {
    let mine = resolve(own.host(), own.port());
    let same = |node: &&NodeId| {
        node.port() == own.port()
            && resolve(node.host(), node.port()).iter().any(|ip| mine.contains(ip))
    };
    meta_servers.iter().find(same).cloned()
}

/// A node that advertises loopback listens there only, so that a test cluster is not open to the
/// network; any other one listens on all addresses, as the reference does.
fn listen_ip(settings: &Settings, host: &str, problems: &mut Problems) -> Option<Ipv4Addr> {
    const KEY: &str = "listen_address";
    let listen = settings.text(SECTION, KEY);
    if listen.is_empty() {
        let loopback =
            host == "localhost" || host.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback());
        return Some(match host.parse() {
            Ok(ip) if loopback => ip,
            _ if loopback => Ipv4Addr::LOCALHOST,
            _ => Ipv4Addr::UNSPECIFIED,
        });
    }
    match listen.parse() {
        Ok(ip) => Some(ip),
        Err(_) => {
            let message = format!("[{SECTION}] {KEY} = {listen}: expected an IPv4 address");
            problems.error(settings.place(SECTION, KEY), message);
            None
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn the_interface_is_chosen_as_in_the_reference() {
        let interface = |name: &str, ip: [u8; 4]| (name.to_owned(), Ipv4Addr::from(ip));
        let list = [
            interface("lo", [127, 0, 0, 1]),
            interface("docker0", [172, 17, 0, 1]),
            interface("eth0", [8, 8, 8, 8]),
            interface("eth1", [10, 0, 0, 5]),
        ];
        assert_eq!(choose(&list, ""), Some(Ipv4Addr::new(10, 0, 0, 5)));
        assert_eq!(choose(&list, "eth0"), Some(Ipv4Addr::new(8, 8, 8, 8)));
        assert_eq!(choose(&list, "lo"), Some(Ipv4Addr::LOCALHOST));
        assert_eq!(choose(&list, "eth9"), None);
        assert_eq!(choose(&list[..3], ""), None);
    }

    #[test]
    fn a_listed_name_of_this_server_is_found() {
        let own = NodeId::new("127.0.0.1", 34601);
        let list = [NodeId::new("127.0.0.1", 34602), NodeId::new("localhost", 34601)];
        assert_eq!(listed_name(&own, &list), Some(list[1].clone()));
    }
}

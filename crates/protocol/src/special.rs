//! The special types of `spec/wire.md` 2.3: raw contents behind the type byte of a struct.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

pub use bytes::Bytes as Blob;
use pegasus_types::NodeId;
pub use pegasus_types::{ErrorCode, PartitionId as GpId};

use crate::thrift::{Reader, Thrift, ThriftError, Writer, ttype};

/// `dsn.rpc_address`: IPv4 address, port and type packed into 64 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RpcAddress(pub u64);

impl RpcAddress {
    /// No address; the default.
    pub const INVALID: RpcAddress = RpcAddress(0);

    const TYPE_IPV4: u64 = 1;
    const TYPE_MASK: u64 = 3;

    pub fn new(ip: Ipv4Addr, port: u16) -> RpcAddress {
        let ip = u64::from(u32::from(ip));
        RpcAddress((ip << 32) | (u64::from(port) << 16) | RpcAddress::TYPE_IPV4)
    }

    /// The address of a node that is named by an IPv4 literal. A host name must be resolved first;
    /// it, and an IPv6 literal, gives [`RpcAddress::INVALID`].
    pub fn of_literal(node: &NodeId) -> RpcAddress {
        match node.host().parse::<Ipv4Addr>() {
            Ok(ip) => RpcAddress::new(ip, node.port()),
            Err(_) => RpcAddress::INVALID,
        }
    }

    /// `None` unless this is an IPv4 address.
    pub fn socket(self) -> Option<SocketAddrV4> {
        if self.0 & RpcAddress::TYPE_MASK != RpcAddress::TYPE_IPV4 {
            return None;
        }
        let [a, b, c, d, port_high, port_low, ..] = self.0.to_be_bytes();
        let port = u16::from_be_bytes([port_high, port_low]);
        Some(SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), port))
    }

    pub fn is_valid(self) -> bool {
        self.socket().is_some()
    }
}

impl From<SocketAddrV4> for RpcAddress {
    fn from(address: SocketAddrV4) -> RpcAddress {
        RpcAddress::new(*address.ip(), address.port())
    }
}

/// An IPv6 address has no encoding and becomes [`RpcAddress::INVALID`].
impl From<SocketAddr> for RpcAddress {
    fn from(address: SocketAddr) -> RpcAddress {
        match address {
            SocketAddr::V4(v4) => v4.into(),
            SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
                Some(ip) => RpcAddress::new(ip, v6.port()),
                None => RpcAddress::INVALID,
            },
        }
    }
}

impl fmt::Display for RpcAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.socket() {
            Some(address) => address.fmt(f),
            None => f.pad("invalid address"),
        }
    }
}

impl Thrift for RpcAddress {
    const TYPE: u8 = ttype::STRUCT;
    const MIN_LEN: usize = 8;

    fn write(&self, writer: &mut Writer<'_>) {
        writer.i64(self.0.cast_signed());
    }

    fn read(reader: &mut Reader<'_>) -> Result<RpcAddress, ThriftError> {
        reader.i64().map(|packed| RpcAddress(packed.cast_unsigned()))
    }
}

/// `dsn.host_port`; the default, with an empty host, is the invalid one.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPort {
    pub host: String,
    pub port: u16,
}

impl HostPort {
    const TYPE_INVALID: u8 = 0;
    const TYPE_NORMAL: u8 = 1;

    pub fn is_valid(&self) -> bool {
        !self.host.is_empty()
    }

    pub fn node(&self) -> Option<NodeId> {
        (self.is_valid() && self.port != 0).then(|| NodeId::new(&self.host, self.port))
    }
}

impl From<&NodeId> for HostPort {
    fn from(node: &NodeId) -> HostPort {
        HostPort { host: node.host().to_owned(), port: node.port() }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_valid() { write!(f, "{}:{}", self.host, self.port) } else { f.pad("invalid") }
    }
}

impl Thrift for HostPort {
    const TYPE: u8 = ttype::STRUCT;
    const MIN_LEN: usize = 7;

    fn write(&self, writer: &mut Writer<'_>) {
        writer.sized(self.host.as_bytes());
        writer.i16(self.port.cast_signed());
        let kind = if self.is_valid() { HostPort::TYPE_NORMAL } else { HostPort::TYPE_INVALID };
        writer.u8(kind);
    }

    fn read(reader: &mut Reader<'_>) -> Result<HostPort, ThriftError> {
        let host = reader.text()?;
        let port = reader.i16()?.cast_unsigned();
        // A group must never travel; like any unknown kind it names nobody.
        match reader.u8()? {
            HostPort::TYPE_NORMAL => Ok(HostPort { host: host.to_owned(), port }),
            _ => Ok(HostPort::default()),
        }
    }
}

/// `dsn.task_code`: the name of an RPC code.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CodeName(pub String);

impl Thrift for CodeName {
    const TYPE: u8 = ttype::STRUCT;
    const MIN_LEN: usize = 4;

    fn write(&self, writer: &mut Writer<'_>) {
        writer.sized(self.0.as_bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Result<CodeName, ThriftError> {
        reader.text().map(|name| CodeName(name.to_owned()))
    }
}

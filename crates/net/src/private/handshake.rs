use bincode::Options;
use pegasus_protocol::private::{Hello, HelloReply, ServiceKind, VERSION_MAX, VERSION_MIN};
use pegasus_types::NodeId;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::NetError;

/// Longest handshake message, bytes.
const MAX_HELLO: usize = 4096;

/// Who this process is, as it tells other daemons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub cluster: String,
    pub node: NodeId,
    /// Grows with every start of the process (microseconds since the epoch at start).
    pub incarnation: u64,
}

impl Identity {
    pub fn hello(&self, service: ServiceKind) -> Hello {
        Hello {
            version_min: VERSION_MIN,
            version_max: VERSION_MAX,
            cluster: self.cluster.clone(),
            node: self.node.clone(),
            incarnation: self.incarnation,
            service,
        }
    }

    /// The version to speak with the sender of this greeting, or why we cannot.
    pub(super) fn agree(&self, hello: &Hello) -> Result<u16, String> {
        if hello.cluster != self.cluster {
            return Err(format!("this is cluster \"{}\", not \"{}\"", self.cluster, hello.cluster));
        }
        let version = hello.version_max.min(VERSION_MAX);
        if version < hello.version_min.max(VERSION_MIN) {
            return Err(format!(
                "no common version of the private protocol: {} speaks {}..{}, {} speaks {}..{}",
                self.node,
                VERSION_MIN,
                VERSION_MAX,
                hello.node,
                hello.version_min,
                hello.version_max
            ));
        }
        Ok(version)
    }

    pub(super) fn welcome(&self, version: u16) -> HelloReply {
        HelloReply::Welcome { version, node: self.node.clone(), incarnation: self.incarnation }
    }
}

/// A later version may append fields to the handshake messages, hence trailing bytes are fine.
fn options() -> impl Options {
    bincode::DefaultOptions::new().with_limit(MAX_HELLO as u64).allow_trailing_bytes()
}

/// Read one handshake message: u32 length (little-endian), bincode.
pub(super) async fn read_message<T: DeserializeOwned>(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<T, NetError> {
    let broken = |e| NetError::io("read a handshake message", e);
    let length = stream.read_u32_le().await.map_err(broken)?;
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > MAX_HELLO {
        return Err(NetError::handshake(format!("a message of {length} bytes")));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.map_err(broken)?;
    options()
        .deserialize(&body)
        .map_err(|e| NetError::handshake(format!("unreadable message: {e}")))
}

/// `prefix` and one handshake message in one write.
pub(super) async fn write_message<T: Serialize>(
    stream: &mut (impl AsyncWrite + Unpin),
    prefix: &[u8],
    message: &T,
) -> Result<(), NetError> {
    let body = options()
        .serialize(message)
        .map_err(|e| NetError::handshake(format!("cannot encode the message: {e}")))?;
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let mut bytes = prefix.to_vec();
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&body);
    stream.write_all(&bytes).await.map_err(|e| NetError::io("write a handshake message", e))
}

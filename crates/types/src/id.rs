use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A partition of a table, the `gpid` of Pegasus. Printed `app.index`, e.g. `2.7`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct PartitionId {
    /// Table id, 1 or more for a real table.
    pub app_id: i32,
    /// 0 .. partition count of the table.
    pub index: i32,
}

impl PartitionId {
    pub fn new(app_id: i32, index: i32) -> PartitionId {
        PartitionId { app_id, index }
    }
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.app_id, self.index)
    }
}

impl FromStr for PartitionId {
    type Err = NodeIdError;

    fn from_str(text: &str) -> Result<PartitionId, NodeIdError> {
        let bad = || NodeIdError(text.to_owned());
        let (app_id, index) = text.split_once('.').ok_or_else(bad)?;
        Ok(PartitionId {
            app_id: app_id.parse().map_err(|_| bad())?,
            index: index.parse().map_err(|_| bad())?,
        })
    }
}

/// A server process as others address it: `host:port`. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeId {
    host: Arc<str>,
    port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bad address \"{0}\": expected HOST:PORT")]
pub struct NodeIdError(pub String);

impl NodeId {
    pub fn new(host: &str, port: u16) -> NodeId {
        NodeId { host: Arc::from(host), port }
    }

    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl FromStr for NodeId {
    type Err = NodeIdError;

    fn from_str(text: &str) -> Result<NodeId, NodeIdError> {
        let bad = || NodeIdError(text.to_owned());
        let (host, port) = text.trim().rsplit_once(':').ok_or_else(bad)?;
        if host.is_empty() {
            return Err(bad());
        }
        let port: u16 = port.parse().map_err(|_| bad())?;
        if port == 0 {
            return Err(bad());
        }
        Ok(NodeId::new(host, port))
    }
}

impl TryFrom<String> for NodeId {
    type Error = NodeIdError;

    fn try_from(text: String) -> Result<NodeId, NodeIdError> {
        text.parse()
    }
}

impl From<NodeId> for String {
    fn from(node: NodeId) -> String {
        node.to_string()
    }
}

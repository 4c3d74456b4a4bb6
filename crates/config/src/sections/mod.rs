//! The typed sections. Plain data: field names are key names unless a doc comment says otherwise,
//! defaults live in the registry only.

mod collector;
mod engine;
mod meta;
mod process;
mod replication;

pub use collector::CollectorConfig;
pub use engine::EngineConfig;
pub use meta::{DefaultTable, FunctionLevel, MetaConfig, ServiceKind, ZookeeperConfig};
pub use process::{HttpConfig, LogConfig, LogFormat, MetricsConfig, NetworkConfig};
pub use replication::ReplicationConfig;

use serde::{Deserialize, Deserializer};

/// `serde_ini` cannot read a bool; the values arrive here already validated as `true` or `false`.
pub(crate) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(serde::de::Error::custom(format!("not a bool: {text}"))),
    }
}

/// A comma separated list; items are trimmed and empty ones dropped.
pub(crate) fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    let text = String::deserialize(deserializer)?;
    crate::value::items(&text).map(|item| item.parse().map_err(serde::de::Error::custom)).collect()
}

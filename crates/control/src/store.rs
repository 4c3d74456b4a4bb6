//! Paths and JSON of the metadata store, those of the reference (`spec/meta.md` 2).

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use pegasus_types::{AppInfo, AppStatus, Ballot, Decree, NodeId, PartitionConfig, PartitionId};
use serde::{Deserialize, Deserializer, Serialize};

/// Content of the apps node of a complete store.
pub(crate) const UNLOCKED: &str = "unlock";

const NO_ADDRESS: &str = "invalid address";
const NO_HOST_PORT: &str = "invalid host_port";
const FLAG_DROPPED: i32 = 1;

/// Something in the store that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreError {
    pub path: String,
    pub problem: String,
}

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "metadata node {}: {}", self.path, self.problem)
    }
}

impl std::error::Error for StoreError {}

/// The node above all tables.
pub fn apps_root(cluster_root: &str) -> String {
    format!("{}/apps", cluster_root.trim_end_matches('/'))
}

pub fn app_path(cluster_root: &str, app_id: i32) -> String {
    format!("{}/{app_id}", apps_root(cluster_root))
}

pub fn partition_path(cluster_root: &str, pid: PartitionId) -> String {
    format!("{}/{}", app_path(cluster_root, pid.app_id), pid.index)
}

/// A flag that is written as 0 or 1 and read as that or as a JSON bool.
fn flag<'de, D: Deserializer<'de>>(input: D) -> Result<u8, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Flag {
        Bool(bool),
        Number(i64),
    }
    Ok(match Flag::deserialize(input)? {
        Flag::Bool(value) => u8::from(value),
        Flag::Number(value) => u8::from(value != 0),
    })
}

#[derive(Serialize, Deserialize)]
struct AppJson {
    status: String,
    app_type: String,
    app_name: String,
    app_id: i32,
    partition_count: i32,
    #[serde(default)]
    envs: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "flag")]
    is_stateful: u8,
    max_replica_count: i32,
    #[serde(default)]
    expire_second: i64,
    #[serde(default)]
    create_second: i64,
    #[serde(default)]
    drop_second: i64,
    #[serde(default, deserialize_with = "flag")]
    duplicating: u8,
    #[serde(default)]
    init_partition_count: i32,
    #[serde(default, deserialize_with = "flag")]
    is_bulk_loading: u8,
    #[serde(default, deserialize_with = "flag")]
    atomic_idempotent: u8,
}

/// `info` as stored. Only two statuses are ever stored: a table on its way in is available, one on
/// its way out dropped (`spec/meta.md` 2.6).
pub(crate) fn encode_app(info: &AppInfo) -> String {
    let dropped = matches!(info.status, AppStatus::Dropped | AppStatus::Dropping);
    let status = if dropped { "app_status::AS_DROPPED" } else { "app_status::AS_AVAILABLE" };
    let json = AppJson {
        status: status.to_owned(),
        app_type: info.app_type.clone(),
        app_name: info.app_name.clone(),
        app_id: info.app_id,
        partition_count: info.partition_count,
        envs: info.envs.clone(),
        is_stateful: u8::from(info.is_stateful),
        max_replica_count: info.max_replica_count,
        expire_second: info.expire_second,
        create_second: info.create_second,
        drop_second: info.drop_second,
        duplicating: u8::from(info.duplicating),
        init_partition_count: info.init_partition_count,
        is_bulk_loading: u8::from(info.is_bulk_loading),
        atomic_idempotent: u8::from(info.atomic_idempotent),
    };
    to_json(&json)
}

pub(crate) fn decode_app(path: &str, data: &str) -> Result<AppInfo, StoreError> {
    let bad = |problem: String| StoreError { path: path.to_owned(), problem };
    let json: AppJson = serde_json::from_str(data).map_err(|e| bad(e.to_string()))?;
    let status = match json.status.as_str() {
        "app_status::AS_AVAILABLE" => AppStatus::Available,
        "app_status::AS_DROPPED" => AppStatus::Dropped,
        other => return Err(bad(format!("unexpected table status \"{other}\""))),
    };
    if json.app_id < 1 || json.partition_count < 1 || json.max_replica_count < 1 {
        return Err(bad("table id, partition count and replica count must be positive".into()));
    }
    Ok(AppInfo {
        status,
        app_type: json.app_type,
        app_name: json.app_name,
        app_id: json.app_id,
        partition_count: json.partition_count,
        envs: json.envs,
        is_stateful: json.is_stateful != 0,
        max_replica_count: json.max_replica_count,
        expire_second: json.expire_second,
        create_second: json.create_second,
        drop_second: json.drop_second,
        duplicating: json.duplicating != 0,
        init_partition_count: json.init_partition_count,
        is_bulk_loading: json.is_bulk_loading != 0,
        atomic_idempotent: json.atomic_idempotent != 0,
    })
}

#[derive(Serialize, Deserialize)]
struct PartitionJson {
    pid: String,
    ballot: i64,
    max_replica_count: i32,
    #[serde(default)]
    primary: String,
    #[serde(default)]
    secondaries: Vec<String>,
    #[serde(default)]
    last_drops: Vec<String>,
    #[serde(default)]
    last_committed_decree: i64,
    #[serde(default)]
    partition_flags: i32,
    hp_primary: Option<String>,
    hp_secondaries: Option<Vec<String>>,
    hp_last_drops: Option<Vec<String>>,
}

pub(crate) fn encode_partition(config: &PartitionConfig, dropped: bool) -> String {
    let addresses = |nodes: &[NodeId]| nodes.iter().map(|n| address(Some(n))).collect();
    let host_ports = |nodes: &[NodeId]| Some(nodes.iter().map(NodeId::to_string).collect());
    let primary = config.primary.as_ref();
    let json = PartitionJson {
        pid: config.pid.to_string(),
        ballot: config.ballot.0,
        max_replica_count: config.max_replica_count,
        primary: address(primary),
        secondaries: addresses(&config.secondaries),
        last_drops: addresses(&config.last_drops),
        last_committed_decree: config.last_committed.0,
        partition_flags: if dropped { FLAG_DROPPED } else { 0 },
        hp_primary: Some(primary.map_or_else(|| NO_HOST_PORT.to_owned(), NodeId::to_string)),
        hp_secondaries: host_ports(&config.secondaries),
        hp_last_drops: host_ports(&config.last_drops),
    };
    to_json(&json)
}

/// Returns the configuration and whether it is flagged as dropped.
pub(crate) fn decode_partition(
    path: &str,
    data: &str,
    pid: PartitionId,
) -> Result<(PartitionConfig, bool), StoreError> {
    let bad = |problem: String| StoreError { path: path.to_owned(), problem };
    let json: PartitionJson = serde_json::from_str(data).map_err(|e| bad(e.to_string()))?;
    if json.pid != pid.to_string() {
        return Err(bad(format!("belongs to partition {}", json.pid)));
    }
    if json.ballot < 0 || json.max_replica_count < 1 {
        return Err(bad(format!(
            "ballot {} or replica count {} out of range",
            json.ballot, json.max_replica_count
        )));
    }
    // Nodes written before host names were stored have addresses only; taking the absent names for
    // "no members" would hand the partition to an arbitrary empty node (spec/meta.md 2.4).
    let primary = match json.hp_primary {
        Some(text) => node(&text).map_err(&bad)?,
        None => node(&json.primary).map_err(&bad)?,
    };
    let secondaries = node_list(json.hp_secondaries, json.secondaries).map_err(&bad)?;
    let last_drops = node_list(json.hp_last_drops, json.last_drops).map_err(&bad)?;
    let config = PartitionConfig {
        pid,
        ballot: Ballot(json.ballot),
        max_replica_count: json.max_replica_count,
        primary,
        secondaries,
        last_drops,
        last_committed: Decree(json.last_committed_decree.max(0)),
    };
    Ok((config, json.partition_flags & FLAG_DROPPED != 0))
}

fn address(node: Option<&NodeId>) -> String {
    match node {
        // Names are resolved outside; the host_port twin of every field is the one that counts.
        Some(node) if node.host().parse::<Ipv4Addr>().is_ok() => node.to_string(),
        _ => NO_ADDRESS.to_owned(),
    }
}

fn node(text: &str) -> Result<Option<NodeId>, String> {
    if text.is_empty() || text == NO_ADDRESS || text == NO_HOST_PORT {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|e| format!("{e}"))
}

fn node_list(names: Option<Vec<String>>, addresses: Vec<String>) -> Result<Vec<NodeId>, String> {
    let texts = names.unwrap_or(addresses);
    texts
        .iter()
        .map(|text| node(text)?.ok_or_else(|| format!("member without an address: \"{text}\"")))
        .collect()
}

/// Compact; these types have string keys only, so that this cannot fail.
fn to_json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    const PID: PartitionId = PartitionId { app_id: 2, index: 0 };

    #[test]
    fn partition_round_trip_and_shape() {
        let mut config = PartitionConfig::new(PID, 3);
        config.ballot = Ballot(4);
        config.primary = Some(NodeId::new("127.0.0.1", 34801));
        config.secondaries = vec![NodeId::new("db-2", 34801)];
        let text = encode_partition(&config, true);
        assert_eq!(
            text,
            r#"{"pid":"2.0","ballot":4,"max_replica_count":3,"primary":"127.0.0.1:34801","secondaries":["invalid address"],"last_drops":[],"last_committed_decree":0,"partition_flags":1,"hp_primary":"127.0.0.1:34801","hp_secondaries":["db-2:34801"],"hp_last_drops":[]}"#
        );
        assert_eq!(decode_partition("p", &text, PID).unwrap(), (config, true));
    }

    #[test]
    fn old_nodes_without_host_names_keep_their_members() {
        let text = r#"{"pid":"2.0","ballot":9,"max_replica_count":3,"primary":"10.0.0.1:34801","secondaries":["10.0.0.2:34801"],"last_drops":[],"last_committed_decree":5}"#;
        let (config, dropped) = decode_partition("p", text, PID).unwrap();
        assert_eq!(config.primary, Some(NodeId::new("10.0.0.1", 34801)));
        assert_eq!(config.secondaries, vec![NodeId::new("10.0.0.2", 34801)]);
        assert!(!dropped);
    }

    #[test]
    fn damaged_nodes_are_refused() {
        assert!(decode_partition("p", "{", PID).is_err());
        assert!(
            decode_partition("p", r#"{"pid":"3.0","ballot":1,"max_replica_count":3}"#, PID)
                .is_err()
        );
        assert!(decode_app("a", r#"{"status":"app_status::AS_CREATING"}"#).is_err());
    }

    #[test]
    fn app_round_trip_and_older_text() {
        let text = r#"{"status":"app_status::AS_AVAILABLE","app_type":"pegasus","app_name":"a:b","app_id":1,"partition_count":8,"envs":{"k":"v"},"is_stateful":true,"max_replica_count":3,"unknown":[1]}"#;
        let info = decode_app("a", text).unwrap();
        assert_eq!(
            (info.status, info.is_stateful, info.duplicating),
            (AppStatus::Available, true, false)
        );
        assert_eq!(decode_app("a", &encode_app(&info)).unwrap(), info);
    }
}

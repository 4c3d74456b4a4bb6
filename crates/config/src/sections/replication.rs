use std::path::PathBuf;

use serde::Deserialize;

use super::flag;

/// `[replication]` as the replica servers and the meta servers use it. Units are in the names.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ReplicationConfig {
    /// (tag, absolute directory). With `[replication] data_dirs` empty this is
    /// (`default`, `<core.data_dir>`). Blacklisted directories are left out. The replicas live in
    /// `<dir>/replica/reps` (spec config 1.5), see [`ReplicationConfig::replica_dirs`].
    #[serde(skip)]
    pub data_dirs: Vec<(String, PathBuf)>,
    /// Tags that the black list took out of `data_dirs`.
    #[serde(skip)]
    pub blacklisted_tags: Vec<String>,
    /// Shard threads, at least 1; the key's 0 is replaced by the number of cores.
    pub shard_count: usize,

    /// Key 0 or less means "by the table's replica count", see
    /// [`ReplicationConfig::min_ack_members`].
    pub mutation_2pc_min_replica_count: i32,
    /// Most mutations in flight per partition.
    pub staleness_for_commit: usize,
    pub max_mutation_count_in_prepare_list: usize,
    /// Key `prepare_timeout_ms_for_secondaries`.
    #[serde(rename = "prepare_timeout_ms_for_secondaries")]
    pub prepare_timeout_ms: u64,
    pub prepare_timeout_ms_for_potential_secondaries: u64,
    #[serde(deserialize_with = "flag")]
    pub batch_write_disabled: bool,
    #[serde(deserialize_with = "flag")]
    pub empty_write_disabled: bool,
    /// Bytes of one write request, 0 = no limit.
    pub max_allowed_write_size: usize,

    /// An ack waits for fdatasync.
    #[serde(deserialize_with = "flag")]
    pub plog_force_flush: bool,
    /// Without `plog_force_flush`: how often dirty logs are synced, which bounds the loss window.
    pub plog_sync_interval_ms: u64,
    pub log_private_file_size_mb: u64,
    pub log_private_reserve_max_size_mb: u64,
    pub log_private_reserve_max_time_seconds: u64,

    #[serde(deserialize_with = "flag")]
    pub checkpoint_disabled: bool,
    pub checkpoint_interval_seconds: u64,
    pub checkpoint_max_interval_hours: u64,
    pub learn_app_max_concurrent_count: usize,

    #[serde(deserialize_with = "flag")]
    pub group_check_disabled: bool,
    pub group_check_interval_ms: u64,
    #[serde(deserialize_with = "flag")]
    pub config_sync_disabled: bool,
    pub config_sync_interval_ms: u64,

    #[serde(deserialize_with = "flag")]
    pub fd_disabled: bool,
    /// How often a replica server sends a beacon to the meta server.
    pub fd_beacon_interval_ms: u64,
    /// How often the meta server looks for expired servers.
    pub fd_check_interval_ms: u64,
    /// A replica server that got no beacon answer for this long stops acting as a primary that
    /// depends on the meta server. Less than `fd_grace_ms`.
    pub fd_lease_ms: u64,
    /// The meta server calls a replica server dead after this long without a beacon.
    pub fd_grace_ms: u64,

    /// Key `member_lease_ms`: a lease between two replica servers, from the send time.
    #[serde(rename = "member_lease_ms")]
    pub lease_ms: u64,
    /// Key `member_promise_ms`: the same on the grantor's clock; more than `lease_ms`.
    #[serde(rename = "member_promise_ms")]
    pub promise_ms: u64,
    /// Key `member_heartbeat_ms`: at most half of `lease_ms`.
    #[serde(rename = "member_heartbeat_ms")]
    pub heartbeat_ms: u64,
    /// Key `peer_silence_ms`: a secondary not heard of for this long is removed.
    #[serde(rename = "peer_silence_ms")]
    pub silence_ms: u64,

    #[serde(deserialize_with = "flag")]
    pub deny_client_on_start: bool,
    #[serde(deserialize_with = "flag")]
    pub ignore_broken_disk: bool,
    /// Percentage of free space below which a disk counts as full.
    pub disk_min_available_space_ratio: u32,
    #[serde(deserialize_with = "flag")]
    pub reject_write_when_disk_insufficient: bool,
    pub disk_stat_interval_seconds: u64,
    pub max_replicas_on_load_for_each_disk: usize,
    pub gc_memory_replica_interval_ms: u64,
    pub gc_disk_error_replica_interval_seconds: u64,
    pub gc_disk_garbage_replica_interval_seconds: u64,
}

impl ReplicationConfig {
    /// Members that must acknowledge a write of a table with `max_replica_count` replicas: the key
    /// itself when positive, otherwise 1 up to two replicas and a majority above (spec config 2).
    pub fn min_ack_members(&self, max_replica_count: usize) -> usize {
        match usize::try_from(self.mutation_2pc_min_replica_count) {
            Ok(count) if count > 0 => count,
            _ if max_replica_count <= 2 => 1,
            _ => max_replica_count / 2 + 1,
        }
    }

    /// (tag, directory that holds the replica directories), spec config 1.5.
    pub fn replica_dirs(&self) -> Vec<(String, PathBuf)> {
        let reps = |dir: &PathBuf| dir.join("replica").join("reps");
        self.data_dirs.iter().map(|(tag, dir)| (tag.clone(), reps(dir))).collect()
    }
}

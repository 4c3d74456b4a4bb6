//! What a replica server needs to know before it starts, with units, free of ini files.

use std::net::SocketAddr;
use std::path::PathBuf;

use pegasus_config::Config;
use pegasus_replication::{LeaseOptions, Options};
use pegasus_storage::{EngineOptions, ReadLimits};
use pegasus_types::{AppInfo, NodeId, PartitionId};

use crate::engine_options;
use crate::open::OpenOptions;

/// See the module's documentation. Times in milliseconds.
#[derive(Clone)]
pub struct Settings {
    /// What others call this node. Port 0 means "the port that was bound".
    pub me: NodeId,
    pub cluster: String,
    pub listen: SocketAddr,
    pub metas: Vec<NodeId>,
    /// (tag, directory that holds the replica directories).
    pub data_dirs: Vec<(String, PathBuf)>,
    pub shard_count: usize,

    pub plog_force_flush: bool,
    pub plog_sync_interval_ms: u64,
    pub log_segment_bytes: u64,
    /// Members that must have a write; 0 means "by the table's replica count".
    pub min_ack_members: usize,
    /// Mutations in flight per partition.
    pub window: usize,
    pub prepare_timeout_ms: u64,
    pub learner_timeout_ms: u64,
    pub group_check_ms: u64,
    /// Bytes of one write request, 0 = no limit.
    pub max_write_size: usize,
    pub checkpoint_interval_ms: u64,

    pub leases: LeaseOptions,
    pub beacon_interval_ms: u64,
    pub fd_lease_ms: u64,
    pub config_sync_interval_ms: u64,

    pub read_limits: ReadLimits,
    pub engine: EngineOptions,
    /// Connections from one address, 0 = no limit.
    pub conn_threshold_per_ip: usize,
}

impl Settings {
    /// Fails on an engine option that the configuration's own checks do not know to be wrong.
    pub fn from_config(config: &Config) -> Result<Settings, pegasus_storage::StorageError> {
        let replication = &config.replication;
        let mut engine = engine_options::from_config(&config.engine)?;
        // 0 for a cluster that has no number (`spec/data.md` 1.2).
        engine.cluster_id =
            config.duplication_group.get(&config.cluster_name).copied().unwrap_or(0);
        let min_ack = usize::try_from(replication.mutation_2pc_min_replica_count).unwrap_or(0);
        Ok(Settings {
            me: config.primary_address.clone(),
            cluster: config.cluster_name.clone(),
            listen: config.listen,
            metas: config.meta_servers.clone(),
            data_dirs: replication.replica_dirs(),
            shard_count: replication.shard_count.max(1),
            plog_force_flush: replication.plog_force_flush,
            plog_sync_interval_ms: replication.plog_sync_interval_ms,
            log_segment_bytes: replication.log_private_file_size_mb.saturating_mul(1 << 20),
            min_ack_members: min_ack,
            window: replication.staleness_for_commit,
            prepare_timeout_ms: replication.prepare_timeout_ms,
            learner_timeout_ms: replication
                .prepare_timeout_ms_for_potential_secondaries
                .saturating_mul(4),
            group_check_ms: replication.group_check_interval_ms,
            max_write_size: replication.max_allowed_write_size,
            checkpoint_interval_ms: replication
                .checkpoint_interval_seconds
                .max(1)
                .saturating_mul(1000),
            leases: LeaseOptions {
                lease_ms: replication.lease_ms,
                promise_ms: replication.promise_ms,
                heartbeat_ms: replication.heartbeat_ms,
                silence_ms: replication.silence_ms,
            },
            beacon_interval_ms: replication.fd_beacon_interval_ms,
            fd_lease_ms: replication.fd_lease_ms,
            config_sync_interval_ms: replication.config_sync_interval_ms,
            read_limits: engine_options::read_limits(&config.engine),
            engine,
            conn_threshold_per_ip: usize::try_from(config.network.conn_threshold_per_ip)
                .unwrap_or(0),
        })
    }

    /// How one replica behaves.
    pub fn replica_options(&self, me: &NodeId, pid: PartitionId, app: &AppInfo) -> Options {
        let mut options = Options::new(me.clone(), pid);
        options.min_ack_members = self.min_ack(app.max_replica_count);
        options.window = self.window.max(1);
        options.prepare_timeout_ms = self.prepare_timeout_ms;
        options.learner_timeout_ms = self.learner_timeout_ms;
        options.group_check_ms = self.group_check_ms;
        options
    }

    pub fn open_options(&self, engine: &EngineOptions) -> OpenOptions {
        OpenOptions { engine: engine.clone(), log_segment_bytes: self.log_segment_bytes }
    }

    /// `mutation_2pc_min_replica_count` itself, or 1 up to two replicas and a majority above. Never
    /// more than the table can have: a table of one replica stays writable
    /// (`spec/replication.md` 2.3).
    fn min_ack(&self, max_replica_count: i32) -> usize {
        let wanted = usize::try_from(max_replica_count).unwrap_or(1).max(1);
        let by_count = if wanted <= 2 { 1 } else { wanted / 2 + 1 };
        let count = if self.min_ack_members > 0 { self.min_ack_members } else { by_count };
        count.clamp(1, wanted)
    }
}

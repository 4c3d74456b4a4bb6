use std::net::SocketAddr;
use std::path::PathBuf;

use pegasus_config::{Config, FunctionLevel as ConfiguredLevel, ServiceKind};
use pegasus_control::{DefaultApp, FunctionLevel, Options};
use pegasus_types::NodeId;

/// What a meta server needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// As others address this server. Port 0: the port that `listen` gets.
    pub me: NodeId,
    pub listen: SocketAddr,
    pub cluster: String,
    /// All meta servers; only this one while the store is embedded.
    pub meta_servers: Vec<NodeId>,
    /// Directory of the embedded store.
    pub store_dir: PathBuf,
    pub control: Options,
    /// How long the answer to a beacon lets a replica server act on the meta server's authority;
    /// less than the control core's grace.
    pub fd_lease_ms: u64,
    /// Send `hp_*` fields to THFT peers, too. Older clients cannot decode them
    /// (`spec/wire.md` 6.5), so this is off unless a tool needs them.
    pub host_ports_for_thrift: bool,
    /// Connections allowed from one address, 0 for no bound.
    pub conn_threshold_per_ip: usize,
}

/// A configuration that asks for something that does not exist yet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsupported {
    #[error(
        "[meta_server] meta_state_service_type = meta_state_service_zookeeper is not supported \
         yet; use meta_state_service_simple and distributed_lock_service_simple (one meta server)"
    )]
    ZooKeeper,
    #[error(
        "[meta_server] server_list names {0} meta servers, but without ZooKeeper there can be \
         only one: leave one of them in the list"
    )]
    SeveralMetas(usize),
    #[error("[meta_server] recover_from_replica_server = true is not supported yet")]
    Recovery,
}

impl Settings {
    /// Refuses what is not built yet instead of running without it.
    pub fn from_config(config: &Config) -> Result<Settings, Unsupported> {
        let meta = &config.meta;
        if meta.state_service == ServiceKind::Zookeeper
            || meta.lock_service == ServiceKind::Zookeeper
        {
            return Err(Unsupported::ZooKeeper);
        }
        if config.meta_servers.len() > 1 {
            return Err(Unsupported::SeveralMetas(config.meta_servers.len()));
        }
        if meta.recover_from_replica_server {
            return Err(Unsupported::Recovery);
        }
        Ok(Settings {
            me: config.primary_address.clone(),
            listen: config.listen,
            cluster: config.cluster_name.clone(),
            meta_servers: config.meta_servers.clone(),
            store_dir: config.app_dir.join("metadata"),
            control: control_options(config),
            fd_lease_ms: config.replication.fd_lease_ms,
            host_ports_for_thrift: false,
            conn_threshold_per_ip: usize::try_from(config.network.conn_threshold_per_ip)
                .unwrap_or(0),
        })
    }
}

fn control_options(config: &Config) -> Options {
    let (meta, replication) = (&config.meta, &config.replication);
    let check_ms = replication.fd_check_interval_ms.clamp(10, 500);
    let default_apps = meta.default_tables.iter().map(|table| DefaultApp {
        app_name: table.app_name.clone(),
        app_type: table.app_type.clone(),
        partition_count: table.partition_count,
        max_replica_count: table.max_replica_count,
        envs: table.envs.iter().cloned().collect(),
    });
    Options {
        cluster_root: config.cluster_root.clone(),
        fd_grace_ms: replication.fd_grace_ms,
        tick_ms: check_ms,
        sweep_ms: meta.lb_interval_ms,
        replica_assign_delay_ms_for_dropouts: meta.replica_assign_delay_ms_for_dropouts,
        min_live_node_count_for_unfreeze: meta.min_live_node_count_for_unfreeze,
        node_live_percentage_threshold_for_update: u64::from(meta.node_live_percentage),
        function_level_on_start: level(meta.function_level_on_start),
        mutation_2pc_min_replica_count: replication.mutation_2pc_min_replica_count,
        min_allowed_replica_count: meta.min_allowed_replica_count,
        max_allowed_replica_count: meta.max_allowed_replica_count,
        hold_seconds_for_dropped_app: i64::try_from(meta.hold_seconds_for_dropped_app)
            .unwrap_or(i64::MAX),
        default_apps: default_apps.collect(),
        ..Options::default()
    }
}

fn level(configured: ConfiguredLevel) -> FunctionLevel {
    match configured {
        ConfiguredLevel::Stopped => FunctionLevel::Stopped,
        ConfiguredLevel::Blind => FunctionLevel::Blind,
        ConfiguredLevel::Freezed => FunctionLevel::Freezed,
        ConfiguredLevel::Steady => FunctionLevel::Steady,
        ConfiguredLevel::Lively => FunctionLevel::Lively,
    }
}

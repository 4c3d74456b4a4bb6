//! The meta server and its metadata store.

use super::kinds::*;

keys! { META_SERVER in "meta_server";
    "server_list": NODES = "", A, used,
        "host:port of every meta server, comma separated; needed by every role; host names allowed";
    "cluster_root": TEXT = "", M, used,
        "Root of the metadata, one per cluster; empty = /pegasus/<cluster_name>";
    "meta_state_service_type": STATE_SERVICE = "meta_state_service_zookeeper", M, used,
        "Where metadata lives: *_zookeeper, or *_simple = embedded, one meta server only";
    "meta_state_service_parameters": TEXT = "", M, later,
        "Arguments of the state service";
    "distributed_lock_service_type": LOCK_SERVICE = "distributed_lock_service_zookeeper", M, used,
        "How the leader is elected; same kind as meta_state_service_type";
    "distributed_lock_service_parameters": TEXT = "", M, used,
        "First word = lock root; empty = <cluster_root>/lock";
    "meta_function_level_on_start": FUNCTION_LEVEL = "steady", M, used,
        "What the meta server may change by itself after start";
    "node_live_percentage_threshold_for_update": PERCENT = "50", M, used,
        "Percentage of live nodes below which the configuration is frozen";
    "min_live_node_count_for_unfreeze": POSITIVE = "3", M live, used,
        "Number of live nodes below which the configuration is frozen";
    "recover_from_replica_server": BOOL = "false", M, used,
        "Start without metadata and rebuild it from the replica servers on command";
    "hold_seconds_for_dropped_app": SECONDS = "604800", M, used,
        "How long a dropped table can be recalled";
    "max_allowed_replica_count": POSITIVE = "5", M live, used,
        "Upper bound of the replica count of a table";
    "min_allowed_replica_count": POSITIVE = "1", M live, used,
        "Lower bound of the replica count of a table";
    "max_replicas_in_group": I32 = "3", M, later,
        "Old limit; use max_reserved_dropped_replicas";
    "max_reserved_dropped_replicas": U32 = "0", M live, used,
        "Dropped replicas remembered beyond the replica count of a table";
    "replica_assign_delay_ms_for_dropouts": MS = "600000", M, used,
        "Wait this long for a lost secondary to return before choosing another node";
    "add_secondary_enable_flow_control": BOOL = "true", M, used,
        "Limit simultaneous add-secondary proposals per node";
    "add_secondary_max_count_for_one_node": POSITIVE = "20", M, used,
        "Limit of add_secondary_enable_flow_control";
    "stable_rs_min_running_seconds": SECONDS = "600", M, used,
        "A replica server that ran at least this long counts as stable";
    "max_succssive_unstable_restart": U32 = "5", M, used,
        "More unstable restarts in a row than this and a node is ignored";
    "enable_white_list": BOOL = "false", M, used,
        "Only nodes of replica_white_list may join";
    "replica_white_list": NODES = "", M, used,
        "host:port of the replica servers that may join, comma separated";
    "cold_backup_disabled": BOOL = "false", M, later,
        "Do not run the backup service";
    "server_load_balancer_type": TEXT = "greedy_load_balancer", M, ignored,
        "Name of a plug-in";
    "partition_guardian_type": TEXT = "partition_guardian", M, ignored,
        "Name of a plug-in";
    "balancer_in_turn": BOOL = "false", M, used,
        "Balance tables one at a time";
    "only_primary_balancer": BOOL = "false", M, used,
        "Balance primaries only";
    "only_move_primary": BOOL = "false", M, used,
        "With only_primary_balancer: switch roles only, copy no data";
    "balance_cluster": BOOL = "false", M live, later,
        "Use the cluster-wide policy instead of the per-table one";
    "balance_op_count_per_round": POSITIVE = "10", M live, later,
        "Proposals per balance round of the cluster policy";
    "enable_concurrent_bulk_load": BOOL = "false", M live, later,
        "Allow several tables to bulk load at once";
    "bulk_load_max_rollback_times": U32 = "10", M live, later,
        "Returns to downloading before a bulk load fails";
    "bulk_load_verify_before_ingest": BOOL = "false", M live, later,
        "Re-check file metadata before ingest";
    "bulk_load_node_max_ingesting_count": U32 = "4", M live, later,
        "Partitions ingesting at once per node";
    "bulk_load_node_min_disk_count": U32 = "1", M live, later,
        "Assumed minimum disks per node when spreading ingestion";
}

keys! { ZOOKEEPER in "zookeeper";
    "hosts_list": TEXT = "", M, used,
        "host:port of the ZooKeeper servers, comma separated, chroot suffix allowed";
    "timeout_ms": POS_MS = "10000", M, used,
        "ZooKeeper session timeout";
    "logfile": TEXT = "zoo.log", M, ignored,
        "File of the ZooKeeper C client";
    "zoo_log_level": TEXT = "ZOO_LOG_LEVEL_INFO", M, ignored,
        "Level of that file";
    "sasl_mechanisms_type": TEXT = "", M, refused,
        "SASL towards ZooKeeper";
    "sasl_service_name": TEXT = "zookeeper", M, refused,
        "Kerberos service name";
    "sasl_service_fqdn": TEXT = "", M, refused,
        "SASL server name";
    "sasl_user_name": TEXT = "", M, refused,
        "DIGEST-MD5 user";
    "sasl_realm": TEXT = "", M, refused,
        "Realm";
    "sasl_password_file": TEXT = "", M, refused,
        "Password file";
    "sasl_password_encryption_scheme": TEXT = "", M, refused,
        "How the password file is encoded";
}

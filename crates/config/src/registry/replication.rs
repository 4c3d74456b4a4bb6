//! Replication, logs, failure detection, file copy.

use super::kinds::*;

keys! { REPLICATION in "replication";
    "shard_count": SHARDS = "0", R, used,
        "Shard threads, 0 = one per core; our own key";
    "plog_sync_interval_ms": POS_MS = "1000", R, used,
        "Without plog_force_flush: how often logs are synced; our own key";
    "fd_beacon_interval_ms": POS_MS = "500", MR, used,
        "Period of the beacons to the meta server; our own key";
    "fd_check_interval_ms": POS_MS = "200", M, used,
        "Period of the failure check of the meta server; our own key";
    "fd_lease_ms": POS_MS = "1500", MR, used,
        "Lease that a beacon answer gives a replica server; our own key";
    "fd_grace_ms": POS_MS = "2000", MR, used,
        "Silence after which a replica server is dead, more than fd_lease_ms; our own key";
    "member_lease_ms": POS_MS = "1000", R, used,
        "Lease between replica servers, on the clock of the holder; our own key";
    "member_promise_ms": POS_MS = "1200", R, used,
        "The same on the clock of the grantor, more than member_lease_ms; our own key";
    "member_heartbeat_ms": POS_MS = "200", R, used,
        "Period of the heartbeats between replica servers; our own key";
    "peer_silence_ms": POS_MS = "1000", R, used,
        "Silence after which a secondary is removed; our own key";
    "gc_disabled": TEXT = "false", R, silent,
        "Removed from the reference";
    "allow_non_idempotent_write": TEXT = "false", R, silent,
        "Removed from the reference";
    "lb_interval_ms": POS_MS = "10000", M, used,
        "Period of the health and balance loop of the meta server";
    "cluster_name": TEXT = "", A, used,
        "Name of the cluster; needed by every role";
    "dup_cluster_name": TEXT = "", MR, later,
        "Name used only for duplication; empty = cluster_name";
    "data_dirs": TEXT = "", MR, used,
        "tag1:dir1,tag2:dir2, one per disk; empty = core.data_dir with the tag default";
    "data_dirs_black_list_file": TEXT = "/home/work/.pegasus_data_dirs_black_list", MR, used,
        "Directories to leave out, one path prefix per line; need not exist";
    "slog_dir": TEXT = "", R, ignored,
        "Shared log of releases before 2.6";
    "ignore_broken_disk": BOOL = "true", R, used,
        "Go on without a data directory that cannot be written";
    "disk_min_available_space_ratio": PERCENT = "10", R live, used,
        "Percentage of free space below which a disk counts as full";
    "reject_write_when_disk_insufficient": BOOL = "true", R live, used,
        "Refuse client writes on a full disk";
    "max_replicas_on_load_for_each_disk": POSITIVE = "256", R live, used,
        "Replicas opened at once per disk";
    "load_replica_max_wait_time_ms": POS_MS = "10", R live, later,
        "Wait of the reference for its load queue";
    "deny_client_on_start": BOOL = "false", R, used,
        "Refuse all client reads and writes on this node";
    "verbose_client_log_on_start": BOOL = "false", R, later,
        "Verbose error log on client replies";
    "verbose_commit_log_on_start": BOOL = "false", R, later,
        "Verbose commit log";
    "delay_for_fd_timeout_on_start": BOOL = "false", R, later,
        "Join only after peers have timed the previous process out";
    "fd_disabled": BOOL = "false", R, used,
        "Disable failure detection (tests, single node)";
    "fd_check_interval_seconds": SECONDS = "2", MR, replaced "fd_check_interval_ms",
        "Period of the failure check";
    "fd_beacon_interval_seconds": SECONDS = "3", MR, replaced "fd_beacon_interval_ms",
        "Period of the beacons";
    "fd_lease_seconds": SECONDS = "20", MR, replaced "fd_lease_ms",
        "Lease of a replica server";
    "fd_grace_seconds": SECONDS = "22", MR, replaced "fd_grace_ms",
        "Time after which a silent replica server is dead";
    "config_sync_disabled": BOOL = "false", R, used,
        "Stop pulling config from the meta";
    "config_sync_interval_ms": POS_MS = "30000", R live, used,
        "Period of the full configuration sync, which is the safety net behind pushed changes";
    "group_check_disabled": BOOL = "false", R, used,
        "Disable the primary's group check";
    "group_check_interval_ms": POS_MS = "100000", R, used,
        "Period of the group check";
    "mutation_2pc_min_replica_count": I32 = "2", MR, used,
        "Least members that acknowledge a write; 0 or less = by the replica count of the table";
    "staleness_for_commit": POSITIVE = "20", R, used,
        "Most mutations in flight per partition";
    "max_mutation_count_in_prepare_list": POSITIVE = "110", R, used,
        "Capacity of the prepare list, at least staleness_for_commit";
    "prepare_timeout_ms_for_secondaries": POS_MS = "3000", R, used,
        "How long a secondary may take to acknowledge a prepare";
    "prepare_timeout_ms_for_potential_secondaries": POS_MS = "5000", R, used,
        "How long a learner may take to acknowledge a prepare";
    "prepare_decree_gap_for_debug_logging": I32 = "10000", R, later,
        "Log a line every so many decrees";
    "batch_write_disabled": BOOL = "false", R, used,
        "Disable merging of batchable writes into one mutation";
    "empty_write_disabled": BOOL = "false", R live, used,
        "Send no empty writes";
    "max_allowed_write_size": BYTES = "1048576", R, used,
        "Bytes above which a write request is refused, 0 = no limit";
    "abnormal_write_trace_latency_threshold": NANOS = "1000000000", R live, later,
        "Writes slower than this are traced";
    "row_lock_map_capacity": U64 = "1024", R live, ignored,
        "Size hint of an internal table";
    "log_private_file_size_mb": POS_MB = "32", R, used,
        "Private-log segment size";
    "log_private_reserve_max_size_mb": MB = "1000", R, used,
        "Private log kept for learners beyond need, while the age limit holds too";
    "log_private_reserve_max_time_seconds": SECONDS = "36000", R, used,
        "Private log kept for learners beyond need, while the size limit holds too";
    "plog_force_flush": BOOL = "false", R, used,
        "An acknowledgement waits until the log is on disk (fdatasync)";
    "plog_gc_enabled": BOOL = "true", R, later,
        "Delete private log that is no longer needed";
    "checkpoint_disabled": BOOL = "false", R, used,
        "No periodic checkpoints";
    "checkpoint_interval_seconds": POS_SECONDS = "300", R, used,
        "How often a checkpoint is considered";
    "checkpoint_max_interval_hours": POS_HOURS = "2", R, used,
        "A checkpoint is forced at least this often";
    "trigger_checkpoint_retry_interval_ms": MS = "100", R, later,
        "Retry wait of the manual checkpoint trigger";
    "max_concurrent_manual_emergency_checkpointing_count": U32 = "10", R live, later,
        "Limit of concurrent emergency checkpoints";
    "learn_app_max_concurrent_count": POSITIVE = "5", R, used,
        "Concurrent file-copy learns per server";
    "gc_interval_ms": MS = "30000", R, later,
        "Period of the backup gauges";
    "gc_memory_replica_interval_ms": MS = "600000", R, used,
        "How long a replica closed in good health can be reopened quickly";
    "gc_disk_error_replica_interval_seconds": SECONDS = "86400", R live, used,
        "How long *.err directories are kept";
    "gc_disk_garbage_replica_interval_seconds": SECONDS = "86400", R live, used,
        "How long *.gar directories are kept";
    "gc_disk_migration_tmp_replica_interval_seconds": SECONDS = "86400", R live, later,
        "How long *.tmp directories are kept";
    "gc_disk_migration_origin_replica_interval_seconds": SECONDS = "604800", R live, later,
        "How long *.ori directories are kept";
    "disk_stat_disabled": BOOL = "false", R, later,
        "No disk scan";
    "disk_stat_interval_seconds": POS_SECONDS = "600", R, used,
        "Period of the disk scan";
    "replicas_stat_disabled": BOOL = "false", R, later,
        "No replica-count statistics";
    "replicas_stat_interval_ms": POS_MS = "30000", R live, later,
        "Period of the replica statistics";
    "mem_release_enabled": BOOL = "false", R, ignored,
        "Knob of another allocator";
    "mem_release_check_interval_ms": MS = "3600000", R, ignored,
        "Knob of another allocator";
    "mem_release_max_reserved_mem_percentage": PERCENT = "10", R, ignored,
        "Knob of another allocator";
    "enable_latency_tracer": BOOL = "false", R live, ignored,
        "Replaced by tracing";
    "enable_latency_tracer_report": BOOL = "false", R live, ignored,
        "Replaced by tracing";
    "enable_direct_io": BOOL = "false", R live, later,
        "Direct I/O when downloading backup/bulk-load files";
    "cold_backup_root": TEXT = "", MR, silent,
        "First path element of backups on the remote store";
    "cold_backup_checkpoint_reserve_minutes": MINUTES = "10", MR, later,
        "Keep cold-backup checkpoints; a policy's interval must exceed it";
    "max_concurrent_uploading_file_count": U64 = "10", R, later,
        "Parallel uploads";
    "max_concurrent_bulk_load_downloading_count": U32 = "5", R, later,
        "Replicas that download a bulk load at once";
    "hdfs_read_batch_size_bytes": BYTES = "67108864", R live, later,
        "HDFS read batch";
    "hdfs_read_limit_rate_mb_per_sec": U32 = "200", R live, later,
        "MB/s read from HDFS";
    "hdfs_write_batch_size_bytes": BYTES = "67108864", R live, later,
        "HDFS write batch";
    "hdfs_write_limit_rate_mb_per_sec": U32 = "200", R live, later,
        "MB/s written to HDFS";
    "duplication_enabled": BOOL = "true", MR, later,
        "Master switch of duplication";
    "duplication_sync_period_second": SECONDS = "10", R, later,
        "Replica-to-meta duplication sync period";
    "duplicate_log_batch_bytes": BYTES = "4096", R live, later,
        "Mutation bytes per duplicate RPC";
    "dup_max_allowed_write_size": BYTES = "1048576", R live, later,
        "Bytes of one piece of a batch, 0 = no limit";
    "dup_no_mutation_load_delay_ms": MS = "100", R live, later,
        "Wait when there is nothing to load";
    "dup_load_plog_task": TEXT = "LPC_REPLICATION_LONG_LOW", R live, ignored,
        "Internal task name";
    "dup_ignore_other_cluster_ids": BOOL = "false", MR, later,
        "Accept writes of clusters that [duplication-group] does not list";
    "dup_progress_min_update_period_ms": MS = "5000", M, later,
        "Min time between persisted progress updates";
    "dup_progress_min_report_period_ms": MS = "300000", M, later,
        "Min time between progress log reports";
}

keys! { NFS in "nfs";
    "max_copy_rate_megabytes": U32 = "500", R, replaced "max_copy_rate_megabytes_per_disk",
        "Older name; counted per process, the new one per disk";
    "max_send_rate_megabytes": U32 = "500", R, replaced "max_send_rate_megabytes_per_disk",
        "Older name; counted per process, the new one per disk";
    "nfs_copy_block_bytes": POS_BYTES = "4194304", R, later,
        "Block per copy request";
    "max_copy_rate_megabytes_per_disk": U32 = "0", R live, later,
        "MB/s written per disk by file copies, 0 = no limit";
    "max_send_rate_megabytes_per_disk": U32 = "0", R live, later,
        "MB/s read per disk for file copies, 0 = no limit";
    "max_concurrent_remote_copy_requests": I32 = "50", R, later,
        "Outstanding copy requests to one server";
    "max_concurrent_local_writes": I32 = "5", R, later,
        "Local writes in flight";
    "max_buffered_local_writes": I32 = "500", R, later,
        "Blocks buffered before the client stops requesting";
    "high_priority_speed_rate": I32 = "2", R, ignored,
        "High:low priority copy ratio";
    "file_close_expire_time_ms": MS = "60000", R, later,
        "Idle time before the server closes a cached file handle";
    "file_close_timer_interval_ms_on_server": MS = "30000", R, later,
        "Period of the check for idle file handles";
    "max_file_copy_request_count_per_file": I32 = "10", R, later,
        "Concurrent requests for one file";
    "max_retry_count_per_copy_request": I32 = "2", R, later,
        "Retries of one copy request";
    "rpc_timeout_ms": MS = "100000", R, later,
        "Timeout of one copy request";
}

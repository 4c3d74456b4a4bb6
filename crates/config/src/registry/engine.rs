//! Storage engine and reads.

use super::kinds::*;

keys! { PEGASUS_SERVER in "pegasus.server";
    "perf_counter_sink": TEXT = "", A, used,
        "prometheus = serve Prometheus text on prometheus_port";
    "prometheus_port": PORT_OR_OFF = "9091", A, used,
        "Port of the Prometheus text, with perf_counter_sink = prometheus";
    "perf_counter_enable_logging": TEXT = "true", A, silent,
        "Reporter of older releases";
    "perf_counter_update_interval_seconds": TEXT = "10", A, silent,
        "Reporter of older releases";
    "falcon_host": TEXT = "127.0.0.1", A, silent,
        "Reporter of older releases";
    "falcon_port": TEXT = "1988", A, silent,
        "Reporter of older releases";
    "falcon_path": TEXT = "/v1/push", A, silent,
        "Reporter of older releases";
    "perf_counter_cluster_name": TEXT = "", A, silent,
        "Reporter of older releases";
    "dup_lagging_write_threshold_ms": MS = "10000", R, later,
        "Lag above which a duplicated write is counted";
    "rocksdb_write_buffer_size": POS_BYTES = "67108864", R, used,
        "Memtable bytes";
    "rocksdb_max_write_buffer_number": POSITIVE = "3", R, used,
        "Memtables per column family";
    "rocksdb_max_background_flushes": POSITIVE = "4", R, used,
        "Shared flush threads";
    "rocksdb_max_background_compactions": POSITIVE = "12", R, used,
        "Shared compaction threads";
    "rocksdb_num_levels": LEVELS = "6", R, used,
        "LSM levels";
    "rocksdb_target_file_size_base": POS_BYTES = "67108864", R, used,
        "Level-1 SST size";
    "rocksdb_target_file_size_multiplier": POSITIVE = "1", R, used,
        "Growth of the SST size per level";
    "rocksdb_max_bytes_for_level_base": POS_BYTES = "671088640", R, used,
        "Level-1 total size";
    "rocksdb_max_bytes_for_level_multiplier": DOUBLE = "10", R, used,
        "Growth of the total size per level";
    "rocksdb_level0_file_num_compaction_trigger": POSITIVE = "4", R, used,
        "L0 files that start a compaction";
    "rocksdb_level0_slowdown_writes_trigger": POSITIVE = "30", R, used,
        "L0 files that slow writes down";
    "rocksdb_level0_stop_writes_trigger": POSITIVE = "60", R, used,
        "L0 files that stop writes";
    "rocksdb_compression_type": COMPRESSION = "lz4", R, used,
        "none, snappy, lz4, zstd for levels 2 and up, or per_level:t0,t1,...";
    "rocksdb_periodic_compaction_seconds": SECONDS = "0", R, used,
        "Rewrite files older than this, 0 = off";
    "rocksdb_block_cache_capacity": BYTES = "10737418240", R, used,
        "Bytes of the block cache that all replicas share";
    "rocksdb_block_cache_num_shard_bits": I32 = "-1", R, used,
        "Shards of the block cache, -1 = automatic";
    "rocksdb_disable_table_block_cache": BOOL = "false", R, used,
        "Use no block cache";
    "rocksdb_enable_write_buffer_manager": BOOL = "false", R, used,
        "Count memtables against the block cache";
    "rocksdb_total_size_across_write_buffer": BYTES = "0", R, used,
        "Limit of all memtables together, 0 = none";
    "rocksdb_limiter_max_write_megabytes_per_sec": I64 = "500", R, used,
        "MB/s of flush and compaction together; 0 or less = no limit";
    "rocksdb_limiter_enable_auto_tune": BOOL = "false", R, used,
        "Auto-tuned limiter";
    "rocksdb_max_open_files": I32 = "-1", R, used,
        "Open files per replica, -1 = all";
    "rocksdb_index_type": INDEX_TYPE = "binary_search", R, used,
        "Index of the SST files";
    "rocksdb_partition_filters": BOOL = "false", R, used,
        "Partitioned filters; needs two_level_index_search";
    "rocksdb_metadata_block_size": POS_BYTES = "4096", R, used,
        "Bytes of a partitioned index or filter block";
    "rocksdb_cache_index_and_filter_blocks": BOOL = "false", R, used,
        "Put index/filter blocks in the cache";
    "rocksdb_pin_top_level_index_and_filter": BOOL = "true", R, used,
        "Pin the top level of partitioned indexes";
    "rocksdb_cache_index_and_filter_blocks_with_high_priority": BOOL = "true", R, used,
        "Keep index and filter blocks in the high-priority pool of the cache";
    "rocksdb_pin_l0_filter_and_index_blocks_in_cache": BOOL = "false", R, used,
        "Pin index and filter blocks of L0";
    "rocksdb_disable_bloom_filter": BOOL = "false", R, used,
        "Use no bloom filters";
    "rocksdb_filter_type": FILTER_TYPE = "prefix", R, used,
        "prefix (by hash key) or common";
    "rocksdb_bloom_filter_bits_per_key": DOUBLE = "10", R, used,
        "Bits per key of the bloom filters";
    "rocksdb_format_version": FORMAT_VERSION = "2", R, used,
        "Table format, 2 or 5; servers before 2.1 read 5 without filters";
    "rocksdb_write_global_seqno": BOOL = "false", R, later,
        "Rewrite the global seqno inside ingested SSTs";
    "rocksdb_use_direct_reads": BOOL = "false", R, used,
        "Direct reads";
    "rocksdb_use_direct_io_for_flush_and_compaction": BOOL = "false", R, used,
        "Direct I/O in background work";
    "rocksdb_compaction_readahead_size": BYTES = "2097152", R, used,
        "Bytes read ahead by compactions";
    "rocksdb_writable_file_max_buffer_size": BYTES = "1048576", R, used,
        "Bytes of the write buffer of a file";
    "rocksdb_max_log_file_size": BYTES = "8388608", R, used,
        "Bytes at which the info log of RocksDB rolls";
    "rocksdb_log_file_time_to_roll": SECONDS = "86400", R, used,
        "Age at which the info log of RocksDB rolls";
    "rocksdb_keep_log_file_num": POSITIVE = "32", R, used,
        "Info logs of RocksDB kept";
    "stats_dump_period_sec": SECONDS = "600", R, used,
        "How often RocksDB writes statistics to its log, 0 = never";
    "stats_persist_period_sec": SECONDS = "600", R, later,
        "How often RocksDB persists statistics, 0 = never";
    "read_amp_bytes_per_bit": I32 = "0", R, later,
        "Measure read amplification; 0 = off";
    "update_rdb_stat_interval": SECONDS = "600", R, later,
        "How often the gauges of RocksDB are refreshed";
    "checkpoint_reserve_min_count": U32 = "2", R live, used,
        "Checkpoints always kept per replica";
    "checkpoint_reserve_time_seconds": SECONDS = "1800", R live, used,
        "Least age before a checkpoint is deleted";
    "manual_compact_min_interval_seconds": I32 = "600", R, used,
        "Least pause between two manual compactions of a replica, 0 or less = none";
    "rocksdb_slow_query_threshold_ns": POS_NANOS = "100000000", R, used,
        "Reads slower than this are logged";
    "rocksdb_abnormal_get_size_threshold": BYTES = "1000000", R, used,
        "Values longer than this are logged, 0 = off";
    "rocksdb_abnormal_multi_get_size_threshold": BYTES = "10000000", R, used,
        "multi_get answers longer than this are logged, 0 = off";
    "rocksdb_abnormal_multi_get_iterate_count_threshold": U64 = "1000", R, used,
        "multi_get over more rows than this are logged, 0 = off";
    "rocksdb_abnormal_batch_get_bytes_threshold": BYTES = "10000000", R live, used,
        "batch_get answers longer than this are logged, 0 = off";
    "rocksdb_abnormal_batch_get_count_threshold": U64 = "2000", R live, used,
        "batch_get of more keys than this are logged, 0 = off";
    "rocksdb_multi_get_max_iteration_count": POSITIVE = "3000", R, used,
        "Most rows one multi_get looks at";
    "rocksdb_multi_get_max_iteration_size": BYTES = "31457280", R, used,
        "Most bytes of one multi_get, 0 = no limit";
    "rocksdb_max_iteration_count": POSITIVE = "1000", R, used,
        "Most rows of one scan batch or other range read";
    "rocksdb_iteration_threshold_time_ms": MS = "30000", R, used,
        "Longest time of one range read, 0 = no limit";
    "rocksdb_verbose_log": BOOL = "false", R, later,
        "Log expired, filtered and missing rows";
    "perf_counter_read_capacity_unit_size": POS_BYTES = "4096", R, used,
        "Bytes per read capacity unit, a power of two";
    "perf_counter_write_capacity_unit_size": POS_BYTES = "4096", R, used,
        "Bytes per write capacity unit, a power of two";
    "hotkey_buckets_num": U32 = "37", R, later,
        "Buckets of the hot-key search, a prime";
    "hot_bucket_variance_threshold": U32 = "7", R live, later,
        "Outlier threshold, coarse phase";
    "hot_key_variance_threshold": U32 = "5", R live, later,
        "Outlier threshold, fine phase";
    "max_seconds_to_detect_hotkey": SECONDS = "150", R live, later,
        "When the hot-key search gives up";
    "hotkey_analyse_time_interval_s": SECONDS = "10", R, later,
        "Period of the hot-key search";
    "inject_read_error_for_test": I32 = "0", R live, silent,
        "Fault injection; test only";
    "inject_write_error_for_test": I32 = "0", R live, silent,
        "Fault injection; test only";
    "encrypt_data_at_rest": BOOL = "false", R, refused,
        "Encryption at rest";
    "hadoop_kms_url": TEXT = "", R, refused,
        "Key server";
    "server_key": TEXT = "", R, refused,
        "Never taken from the file";
    "encryption_method": TEXT = "AES256CTR", R, refused,
        "Cipher";
}

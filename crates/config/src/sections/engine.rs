use serde::Deserialize;

use super::flag;

/// The storage and read keys of `[pegasus.server]`. Sizes are bytes unless the name says otherwise.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct EngineConfig {
    pub rocksdb_write_buffer_size: usize,
    pub rocksdb_max_write_buffer_number: i32,
    pub rocksdb_max_background_flushes: i32,
    pub rocksdb_max_background_compactions: i32,
    pub rocksdb_num_levels: i32,
    pub rocksdb_target_file_size_base: u64,
    pub rocksdb_target_file_size_multiplier: i32,
    pub rocksdb_max_bytes_for_level_base: u64,
    pub rocksdb_max_bytes_for_level_multiplier: f64,
    pub rocksdb_level0_file_num_compaction_trigger: i32,
    pub rocksdb_level0_slowdown_writes_trigger: i32,
    pub rocksdb_level0_stop_writes_trigger: i32,
    /// `none`, `snappy`, `lz4`, `zstd` for levels 2 and up, or `per_level:t0,t1,...` of which the
    /// last repeats. Validated.
    pub rocksdb_compression_type: String,
    pub rocksdb_periodic_compaction_seconds: u64,
    pub rocksdb_block_cache_capacity: usize,
    /// -1 = automatic.
    pub rocksdb_block_cache_num_shard_bits: i32,
    #[serde(deserialize_with = "flag")]
    pub rocksdb_disable_table_block_cache: bool,
    #[serde(deserialize_with = "flag")]
    pub rocksdb_enable_write_buffer_manager: bool,
    /// 0 = no limit.
    pub rocksdb_total_size_across_write_buffer: usize,
    /// MB/s of flush and compaction together; 0 or less = no limit.
    pub rocksdb_limiter_max_write_megabytes_per_sec: i64,
    #[serde(deserialize_with = "flag")]
    pub rocksdb_limiter_enable_auto_tune: bool,
    /// Per replica; -1 = keep all open.
    pub rocksdb_max_open_files: i32,
    /// One of `binary_search`, `hash_search`, `two_level_index_search`,
    /// `binary_search_with_first_key`.
    pub rocksdb_index_type: String,
    #[serde(deserialize_with = "flag")]
    pub rocksdb_partition_filters: bool,
    pub rocksdb_metadata_block_size: usize,
    #[serde(deserialize_with = "flag")]
    pub rocksdb_cache_index_and_filter_blocks: bool,
    #[serde(deserialize_with = "flag")]
    pub rocksdb_pin_top_level_index_and_filter: bool,
    #[serde(deserialize_with = "flag")]
    pub rocksdb_cache_index_and_filter_blocks_with_high_priority: bool,
    #[serde(deserialize_with = "flag")]
    pub rocksdb_pin_l0_filter_and_index_blocks_in_cache: bool,
    #[serde(deserialize_with = "flag")]
    pub rocksdb_disable_bloom_filter: bool,
    /// `prefix` or `common`.
    pub rocksdb_filter_type: String,
    pub rocksdb_bloom_filter_bits_per_key: f64,
    /// 2 or 5.
    pub rocksdb_format_version: i32,
    #[serde(deserialize_with = "flag")]
    pub rocksdb_use_direct_reads: bool,
    #[serde(deserialize_with = "flag")]
    pub rocksdb_use_direct_io_for_flush_and_compaction: bool,
    pub rocksdb_compaction_readahead_size: usize,
    pub rocksdb_writable_file_max_buffer_size: u64,
    pub rocksdb_max_log_file_size: usize,
    /// Seconds.
    pub rocksdb_log_file_time_to_roll: usize,
    pub rocksdb_keep_log_file_num: usize,
    /// 0 = off.
    pub stats_dump_period_sec: u32,

    pub checkpoint_reserve_min_count: u32,
    /// 0 = no minimum age.
    pub checkpoint_reserve_time_seconds: u64,
    pub manual_compact_min_interval_seconds: i64,

    pub rocksdb_slow_query_threshold_ns: u64,
    /// Rows of one multi_get.
    pub rocksdb_multi_get_max_iteration_count: u32,
    /// Bytes of one multi_get, 0 = no limit.
    pub rocksdb_multi_get_max_iteration_size: u64,
    /// Rows of one scan batch or other range read.
    pub rocksdb_max_iteration_count: u32,
    /// Time of one range read, 0 = no limit.
    pub rocksdb_iteration_threshold_time_ms: u64,
    /// Values above this are logged, 0 = off; likewise the next four.
    pub rocksdb_abnormal_get_size_threshold: u64,
    pub rocksdb_abnormal_multi_get_size_threshold: u64,
    pub rocksdb_abnormal_multi_get_iterate_count_threshold: u64,
    pub rocksdb_abnormal_batch_get_bytes_threshold: u64,
    pub rocksdb_abnormal_batch_get_count_threshold: u64,
    /// A power of two.
    pub perf_counter_read_capacity_unit_size: u64,
    /// A power of two.
    pub perf_counter_write_capacity_unit_size: u64,
}

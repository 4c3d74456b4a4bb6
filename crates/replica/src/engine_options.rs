//! The `[pegasus.server]` keys as options of the storage engine.

use std::time::Duration;

use pegasus_config::EngineConfig;
use pegasus_storage::{EngineOptions, FilterType, IndexType, ReadLimits, StorageError};

/// Fails on a value that the configuration's own checks let through but the engine does not know.
pub fn from_config(config: &EngineConfig) -> Result<EngineOptions, StorageError> {
    let mut options = EngineOptions::production();
    options.write_buffer_size = config.rocksdb_write_buffer_size;
    options.max_write_buffer_number = config.rocksdb_max_write_buffer_number;
    options.max_background_flushes = config.rocksdb_max_background_flushes;
    options.max_background_compactions = config.rocksdb_max_background_compactions;
    options.num_levels = config.rocksdb_num_levels;
    options.target_file_size_base = config.rocksdb_target_file_size_base;
    options.target_file_size_multiplier = config.rocksdb_target_file_size_multiplier;
    options.max_bytes_for_level_base = config.rocksdb_max_bytes_for_level_base;
    options.max_bytes_for_level_multiplier = config.rocksdb_max_bytes_for_level_multiplier;
    options.level0_file_num_compaction_trigger = config.rocksdb_level0_file_num_compaction_trigger;
    options.level0_slowdown_writes_trigger = config.rocksdb_level0_slowdown_writes_trigger;
    options.level0_stop_writes_trigger = config.rocksdb_level0_stop_writes_trigger;
    options.compression = config.rocksdb_compression_type.parse()?;
    set_memory(&mut options, config);
    set_tables(&mut options, config)?;
    set_io(&mut options, config);
    Ok(options)
}

fn set_memory(options: &mut EngineOptions, config: &EngineConfig) {
    options.disable_table_block_cache = config.rocksdb_disable_table_block_cache;
    options.block_cache_capacity = config.rocksdb_block_cache_capacity;
    options.block_cache_num_shard_bits = config.rocksdb_block_cache_num_shard_bits;
    options.enable_write_buffer_manager = config.rocksdb_enable_write_buffer_manager;
    options.total_size_across_write_buffer = config.rocksdb_total_size_across_write_buffer;
}

fn set_tables(options: &mut EngineOptions, config: &EngineConfig) -> Result<(), StorageError> {
    options.disable_bloom_filter = config.rocksdb_disable_bloom_filter;
    options.bloom_filter_bits_per_key = config.rocksdb_bloom_filter_bits_per_key;
    options.filter_type = match config.rocksdb_filter_type.as_str() {
        "prefix" => FilterType::Prefix,
        "common" => FilterType::Common,
        other => return Err(unknown("rocksdb_filter_type", other)),
    };
    options.format_version = config.rocksdb_format_version;
    options.index_type = match config.rocksdb_index_type.as_str() {
        "binary_search" => IndexType::BinarySearch,
        "hash_search" => IndexType::HashSearch,
        "two_level_index_search" => IndexType::TwoLevelIndexSearch,
        // The binding does not offer it; it differs from binary search in speed only.
        "binary_search_with_first_key" => IndexType::BinarySearch,
        other => return Err(unknown("rocksdb_index_type", other)),
    };
    options.partition_filters = config.rocksdb_partition_filters;
    options.metadata_block_size = config.rocksdb_metadata_block_size;
    options.cache_index_and_filter_blocks = config.rocksdb_cache_index_and_filter_blocks;
    options.pin_top_level_index_and_filter = config.rocksdb_pin_top_level_index_and_filter;
    options.cache_index_and_filter_blocks_with_high_priority =
        config.rocksdb_cache_index_and_filter_blocks_with_high_priority;
    options.pin_l0_filter_and_index_blocks_in_cache =
        config.rocksdb_pin_l0_filter_and_index_blocks_in_cache;
    Ok(())
}

fn set_io(options: &mut EngineOptions, config: &EngineConfig) {
    options.limiter_max_write_megabytes_per_sec =
        config.rocksdb_limiter_max_write_megabytes_per_sec;
    options.limiter_enable_auto_tune = config.rocksdb_limiter_enable_auto_tune;
    options.use_direct_reads = config.rocksdb_use_direct_reads;
    options.use_direct_io_for_flush_and_compaction =
        config.rocksdb_use_direct_io_for_flush_and_compaction;
    options.compaction_readahead_size = config.rocksdb_compaction_readahead_size;
    options.writable_file_max_buffer_size = config.rocksdb_writable_file_max_buffer_size;
    options.max_open_files = config.rocksdb_max_open_files;
    options.max_log_file_size = config.rocksdb_max_log_file_size;
    options.log_file_time_to_roll = config.rocksdb_log_file_time_to_roll;
    options.keep_log_file_num = config.rocksdb_keep_log_file_num;
    options.periodic_compaction_seconds = config.rocksdb_periodic_compaction_seconds;
    options.stats_dump_period_sec = config.stats_dump_period_sec;
}

/// Limits of range reads.
pub fn read_limits(config: &EngineConfig) -> ReadLimits {
    let time_ms = config.rocksdb_iteration_threshold_time_ms;
    ReadLimits {
        max_iteration_count: config.rocksdb_multi_get_max_iteration_count,
        max_iteration_size: match config.rocksdb_multi_get_max_iteration_size {
            0 => u64::MAX,
            bytes => bytes,
        },
        time_limit: (time_ms > 0).then(|| Duration::from_millis(time_ms)),
    }
}

fn unknown(key: &str, value: &str) -> StorageError {
    StorageError::BadOption(format!("{key} = {value}"))
}

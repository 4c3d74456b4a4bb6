use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, DBCompressionType, Env, LruCacheOptions,
    Options, SliceTransform, WriteBufferManager,
};

use super::filter::{ExpiryFilterFactory, FilterState};
use crate::error::StorageError;

const MIB: usize = 1 << 20;
/// Name that Pegasus gives its prefix extractor; it is stored in every SST file.
const PREFIX_EXTRACTOR: &str = "pegasus.HashkeyTransform";

/// Compression of one level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    None,
    Snappy,
    Zstd,
    Lz4,
}

impl Compression {
    fn rocks(self) -> DBCompressionType {
        match self {
            Compression::None => DBCompressionType::None,
            Compression::Snappy => DBCompressionType::Snappy,
            Compression::Zstd => DBCompressionType::Zstd,
            Compression::Lz4 => DBCompressionType::Lz4,
        }
    }
}

impl FromStr for Compression {
    type Err = StorageError;

    fn from_str(text: &str) -> Result<Compression, StorageError> {
        match text.trim() {
            "none" => Ok(Compression::None),
            "snappy" => Ok(Compression::Snappy),
            "zstd" => Ok(Compression::Zstd),
            "lz4" => Ok(Compression::Lz4),
            other => Err(StorageError::BadOption(format!(
                "compression \"{other}\": expected none, snappy, zstd or lz4"
            ))),
        }
    }
}

/// `rocksdb_compression_type`: one name (levels 0 and 1 stay uncompressed), or
/// `per_level:a,b,c` where the last one repeats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompressionPolicy {
    Below(Compression),
    PerLevel(Vec<Compression>),
}

impl CompressionPolicy {
    fn levels(&self, count: usize) -> Vec<DBCompressionType> {
        let at = |level: usize| match self {
            CompressionPolicy::Below(_) if level < 2 => Compression::None,
            CompressionPolicy::Below(compression) => *compression,
            CompressionPolicy::PerLevel(list) => {
                list.get(level).or(list.last()).copied().unwrap_or(Compression::None)
            }
        };
        (0..count).map(|level| at(level).rocks()).collect()
    }
}

impl FromStr for CompressionPolicy {
    type Err = StorageError;

    fn from_str(text: &str) -> Result<CompressionPolicy, StorageError> {
        match text.trim().strip_prefix("per_level:") {
            Some(list) => list
                .split(',')
                .map(str::parse)
                .collect::<Result<_, _>>()
                .map(CompressionPolicy::PerLevel),
            None => text.parse().map(CompressionPolicy::Below),
        }
    }
}

/// `rocksdb_filter_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterType {
    /// Bloom filters know hash keys as well as whole keys.
    Prefix,
    Common,
}

/// `rocksdb_index_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexType {
    BinarySearch,
    HashSearch,
    TwoLevelIndexSearch,
}

/// The block cache that all engines of a process share.
#[derive(Clone)]
pub struct BlockCache(Cache);

impl BlockCache {
    /// `shard_bits` below 0 lets RocksDB choose.
    fn new(capacity: usize, shard_bits: i32) -> BlockCache {
        let mut options = LruCacheOptions::default();
        options.set_capacity(capacity);
        if shard_bits >= 0 {
            options.set_num_shard_bits(shard_bits);
        }
        BlockCache(Cache::new_lru_cache_opts(&options))
    }

    /// Bytes in use.
    pub fn usage(&self) -> usize {
        self.0.get_usage()
    }

    /// Bytes that cannot be evicted at the moment.
    pub fn pinned_usage(&self) -> usize {
        self.0.get_pinned_usage()
    }
}

/// How engines are opened: the `[pegasus.server]` keys of the same names (`spec/replication.md`
/// 6.2). Clones share block cache, write buffer manager and rate limiter; these are made when the
/// first engine is opened, so change the fields before that.
#[derive(Clone)]
pub struct EngineOptions {
    pub write_buffer_size: usize,
    pub max_write_buffer_number: i32,
    /// Threads of the process for flushes and for compactions.
    pub max_background_flushes: i32,
    pub max_background_compactions: i32,
    pub num_levels: i32,
    pub target_file_size_base: u64,
    pub target_file_size_multiplier: i32,
    pub max_bytes_for_level_base: u64,
    pub max_bytes_for_level_multiplier: f64,
    pub level0_file_num_compaction_trigger: i32,
    pub level0_slowdown_writes_trigger: i32,
    pub level0_stop_writes_trigger: i32,
    pub compression: CompressionPolicy,
    pub disable_table_block_cache: bool,
    pub block_cache_capacity: usize,
    pub block_cache_num_shard_bits: i32,
    pub enable_write_buffer_manager: bool,
    pub total_size_across_write_buffer: usize,
    pub disable_bloom_filter: bool,
    pub bloom_filter_bits_per_key: f64,
    pub filter_type: FilterType,
    /// 2 or 5.
    pub format_version: i32,
    pub index_type: IndexType,
    pub partition_filters: bool,
    pub metadata_block_size: usize,
    pub cache_index_and_filter_blocks: bool,
    pub pin_top_level_index_and_filter: bool,
    pub cache_index_and_filter_blocks_with_high_priority: bool,
    pub pin_l0_filter_and_index_blocks_in_cache: bool,
    /// 0 or less: no limit.
    pub limiter_max_write_megabytes_per_sec: i64,
    pub limiter_enable_auto_tune: bool,
    pub use_direct_reads: bool,
    pub use_direct_io_for_flush_and_compaction: bool,
    pub compaction_readahead_size: usize,
    pub writable_file_max_buffer_size: u64,
    pub max_open_files: i32,
    /// Of RocksDB's own text log.
    pub max_log_file_size: usize,
    pub log_file_time_to_roll: usize,
    pub keep_log_file_num: usize,
    pub periodic_compaction_seconds: u64,
    pub stats_dump_period_sec: u32,
    pub stats_persist_period_sec: u32,
    /// Id of this cluster in stored timetags, 0 ..= 127 (`spec/data.md` 1.2).
    pub cluster_id: u8,
    /// Whether closing an engine writes what is only in memory; the log makes that unnecessary.
    pub flush_on_close: bool,
    /// Made when the first engine is opened; leave it as `default()` gives it.
    pub shared: SharedResources,
}

/// What the engines of a process share. Opaque; clones are the same resources.
#[derive(Clone, Default)]
pub struct SharedResources(Arc<OnceLock<Shared>>);

/// What clones of one `EngineOptions` have in common.
struct Shared {
    cache: BlockCache,
    /// Database-wide options; copies of it share rate limiter, environment and buffer manager.
    template: Options,
}

impl EngineOptions {
    /// The defaults of a server.
    pub fn production() -> EngineOptions {
        EngineOptions {
            write_buffer_size: 64 * MIB,
            max_write_buffer_number: 3,
            max_background_flushes: 4,
            max_background_compactions: 12,
            num_levels: 6,
            target_file_size_base: 64 << 20,
            target_file_size_multiplier: 1,
            max_bytes_for_level_base: 640 << 20,
            max_bytes_for_level_multiplier: 10.0,
            level0_file_num_compaction_trigger: 4,
            level0_slowdown_writes_trigger: 30,
            level0_stop_writes_trigger: 60,
            compression: CompressionPolicy::Below(Compression::Lz4),
            disable_table_block_cache: false,
            block_cache_capacity: 10 << 30,
            block_cache_num_shard_bits: -1,
            enable_write_buffer_manager: false,
            total_size_across_write_buffer: 0,
            disable_bloom_filter: false,
            bloom_filter_bits_per_key: 10.0,
            filter_type: FilterType::Prefix,
            format_version: 2,
            index_type: IndexType::BinarySearch,
            partition_filters: false,
            metadata_block_size: 4096,
            cache_index_and_filter_blocks: false,
            pin_top_level_index_and_filter: true,
            cache_index_and_filter_blocks_with_high_priority: true,
            pin_l0_filter_and_index_blocks_in_cache: false,
            limiter_max_write_megabytes_per_sec: 500,
            limiter_enable_auto_tune: false,
            use_direct_reads: false,
            use_direct_io_for_flush_and_compaction: false,
            compaction_readahead_size: 2 * MIB,
            writable_file_max_buffer_size: MIB as u64,
            max_open_files: -1,
            max_log_file_size: 8 * MIB,
            log_file_time_to_roll: 86_400,
            keep_log_file_num: 32,
            periodic_compaction_seconds: 0,
            stats_dump_period_sec: 600,
            stats_persist_period_sec: 600,
            cluster_id: 0,
            flush_on_close: true,
            shared: SharedResources::default(),
        }
    }

    /// The shared block cache, for metrics.
    pub fn block_cache(&self) -> Result<BlockCache, StorageError> {
        self.shared().map(|shared| shared.cache.clone())
    }

    fn shared(&self) -> Result<&Shared, StorageError> {
        if let Some(shared) = self.shared.0.get() {
            return Ok(shared);
        }
        let made = self.make_shared()?;
        Ok(self.shared.0.get_or_init(|| made))
    }

    fn make_shared(&self) -> Result<Shared, StorageError> {
        if self.format_version != 2 && self.format_version != 5 {
            return Err(StorageError::BadOption(format!(
                "rocksdb_format_version {} is neither 2 nor 5",
                self.format_version
            )));
        }
        let cache = BlockCache::new(self.block_cache_capacity, self.block_cache_num_shard_bits);
        let bad = |e: rocksdb::Error| StorageError::BadOption(e.into_string());
        let mut options = Options::default();
        if !self.flush_on_close {
            options =
                options.get_options_from_string("avoid_flush_during_shutdown=true").map_err(bad)?;
        }
        let mut env = Env::new().map_err(bad)?;
        env.set_background_threads(self.max_background_compactions.max(1));
        env.set_high_priority_background_threads(self.max_background_flushes.max(1));
        options.set_env(&env);
        self.set_database_options(&mut options, &cache);
        Ok(Shared { cache, template: options })
    }

    fn set_database_options(&self, options: &mut Options, cache: &BlockCache) {
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        // Both column families reach the disk together, or the decree would lie about the data.
        options.set_atomic_flush(true);
        let jobs = self
            .max_background_flushes
            .max(1)
            .saturating_add(self.max_background_compactions.max(1));
        options.set_max_background_jobs(jobs);
        options.set_max_open_files(self.max_open_files);
        options.set_use_direct_reads(self.use_direct_reads);
        options.set_use_direct_io_for_flush_and_compaction(
            self.use_direct_io_for_flush_and_compaction,
        );
        options.set_compaction_readahead_size(self.compaction_readahead_size);
        options.set_writable_file_max_buffer_size(self.writable_file_max_buffer_size);
        options.set_max_log_file_size(self.max_log_file_size);
        options.set_log_file_time_to_roll(self.log_file_time_to_roll);
        options.set_keep_log_file_num(self.keep_log_file_num.max(1));
        options.set_stats_dump_period_sec(self.stats_dump_period_sec);
        options.set_stats_persist_period_sec(self.stats_persist_period_sec);
        let limit = self.limiter_max_write_megabytes_per_sec;
        if limit > 0 {
            let bytes = limit.saturating_mul(MIB as i64);
            let refill_us = 100 * 1000;
            if self.limiter_enable_auto_tune {
                options.set_auto_tuned_ratelimiter(bytes, refill_us, 10);
            } else {
                options.set_ratelimiter(bytes, refill_us, 10);
            }
        }
        if self.enable_write_buffer_manager {
            options.set_write_buffer_manager(
                &WriteBufferManager::new_write_buffer_manager_with_cache(
                    self.total_size_across_write_buffer,
                    false,
                    cache.0.clone(),
                ),
            );
        }
    }

    /// Options of the database as a whole.
    pub(super) fn database(&self) -> Result<Options, StorageError> {
        self.shared().map(|shared| shared.template.clone())
    }

    /// Options of the meta column family. Its buffer must not be the reason for a flush, because
    /// a flush of one family is a flush of both.
    pub(super) fn meta_family(&self) -> Result<Options, StorageError> {
        let mut options = self.database()?;
        options.set_compression_type(DBCompressionType::None);
        options.set_level_zero_file_num_compaction_trigger(10);
        options.set_write_buffer_size(self.write_buffer_size);
        Ok(options)
    }

    /// Options of the column family with the data.
    pub(super) fn data_family(&self, state: &Arc<FilterState>) -> Result<Options, StorageError> {
        let shared = self.shared()?;
        let mut options = shared.template.clone();
        options.set_write_buffer_size(self.write_buffer_size);
        options.set_max_write_buffer_number(self.max_write_buffer_number);
        options.set_num_levels(self.num_levels);
        options.set_target_file_size_base(self.target_file_size_base);
        options.set_target_file_size_multiplier(self.target_file_size_multiplier);
        options.set_max_compaction_bytes(self.target_file_size_base.saturating_mul(25));
        options.set_max_bytes_for_level_base(self.max_bytes_for_level_base);
        options.set_max_bytes_for_level_multiplier(self.max_bytes_for_level_multiplier);
        options.set_level_compaction_dynamic_level_bytes(false);
        options.set_level_zero_file_num_compaction_trigger(self.level0_file_num_compaction_trigger);
        options.set_level_zero_slowdown_writes_trigger(self.level0_slowdown_writes_trigger);
        options.set_level_zero_stop_writes_trigger(self.level0_stop_writes_trigger);
        let levels = usize::try_from(self.num_levels).unwrap_or(1);
        options.set_compression_per_level(&self.compression.levels(levels));
        if self.periodic_compaction_seconds > 0 {
            options.set_periodic_compaction_seconds(self.periodic_compaction_seconds);
        }
        options.set_compaction_filter_factory(ExpiryFilterFactory::new(Arc::clone(state)));
        if self.filter_type == FilterType::Prefix {
            options.set_prefix_extractor(SliceTransform::create(
                PREFIX_EXTRACTOR,
                hash_key_prefix,
                Some(has_hash_key_prefix),
            ));
            options.set_memtable_prefix_bloom_ratio(0.1);
        }
        options.set_block_based_table_factory(&self.table(&shared.cache));
        Ok(options)
    }

    fn table(&self, cache: &BlockCache) -> BlockBasedOptions {
        let mut table = BlockBasedOptions::default();
        table.set_format_version(self.format_version);
        if self.disable_table_block_cache {
            table.disable_cache();
            table.set_block_restart_interval(4);
        } else {
            table.set_block_cache(&cache.0);
            table.set_cache_index_and_filter_blocks(self.cache_index_and_filter_blocks);
            table.set_cache_index_and_filter_blocks_with_high_priority(
                self.cache_index_and_filter_blocks_with_high_priority,
            );
            table.set_pin_l0_filter_and_index_blocks_in_cache(
                self.pin_l0_filter_and_index_blocks_in_cache,
            );
        }
        if !self.disable_bloom_filter {
            table.set_bloom_filter(self.bloom_filter_bits_per_key, false);
            table.set_whole_key_filtering(true);
        }
        table.set_index_type(match self.index_type {
            IndexType::BinarySearch => BlockBasedIndexType::BinarySearch,
            IndexType::HashSearch => BlockBasedIndexType::HashSearch,
            IndexType::TwoLevelIndexSearch => BlockBasedIndexType::TwoLevelIndexSearch,
        });
        table.set_partition_filters(self.partition_filters);
        table.set_metadata_block_size(self.metadata_block_size);
        table.set_pin_top_level_index_and_filter(self.pin_top_level_index_and_filter);
        table
    }
}

impl Default for EngineOptions {
    /// As [`EngineOptions::production`], but small in memory: for tests and tools.
    fn default() -> EngineOptions {
        EngineOptions {
            write_buffer_size: 4 * MIB,
            block_cache_capacity: 8 * MIB,
            max_background_flushes: 1,
            max_background_compactions: 1,
            limiter_max_write_megabytes_per_sec: 0,
            ..EngineOptions::production()
        }
    }
}

/// `u16 BE length | hash key` of a stored key, as much of it as there is.
fn hash_key_prefix(key: &[u8]) -> &[u8] {
    let Some(len) = key.first_chunk::<2>() else {
        return key;
    };
    let end = 2 + usize::from(u16::from_be_bytes(*len));
    key.get(..end).unwrap_or(key)
}

fn has_hash_key_prefix(key: &[u8]) -> bool {
    key.len() >= 2
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn compression_names() {
        let lz4: CompressionPolicy = "lz4".parse().unwrap();
        assert_eq!(lz4, CompressionPolicy::Below(Compression::Lz4));
        assert_eq!(
            lz4.levels(4),
            [
                DBCompressionType::None,
                DBCompressionType::None,
                DBCompressionType::Lz4,
                DBCompressionType::Lz4
            ]
        );
        let list: CompressionPolicy = "per_level:none,snappy,zstd".parse().unwrap();
        assert_eq!(list.levels(5)[1], DBCompressionType::Snappy);
        assert_eq!(list.levels(5)[4], DBCompressionType::Zstd);
        assert!("zip".parse::<CompressionPolicy>().is_err());
        assert!("per_level:none,,lz4".parse::<CompressionPolicy>().is_err());
    }

    #[test]
    fn prefixes() {
        assert_eq!(hash_key_prefix(b"\0\x02hksort"), b"\0\x02hk");
        assert_eq!(hash_key_prefix(b"\0\0sort"), b"\0\0");
        assert_eq!(hash_key_prefix(b"\0\x09short"), b"\0\x09short");
        assert_eq!(hash_key_prefix(b"\0"), b"\0");
        assert!(!has_hash_key_prefix(b""));
    }

    #[test]
    fn an_unknown_table_format_is_refused() {
        let options = EngineOptions { format_version: 3, ..EngineOptions::default() };
        assert!(options.database().is_err());
    }
}

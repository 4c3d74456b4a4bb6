use std::path::PathBuf;

use serde::Deserialize;

use super::flag;

/// `[pegasus.collector]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct CollectorConfig {
    /// The cluster to look after: `[replication] cluster_name`, reached through `meta_servers`.
    #[serde(skip)]
    pub cluster: String,
    /// Table that is probed; not empty for the collector.
    pub available_detect_app: String,
    #[serde(rename = "available_detect_interval_seconds")]
    available_detect_interval_seconds: u64,
    /// Key `available_detect_interval_seconds`, in milliseconds.
    #[serde(skip)]
    pub available_detect_interval_ms: u64,
    /// Key `available_detect_timeout`: of one set or get.
    #[serde(rename = "available_detect_timeout")]
    pub available_detect_timeout_ms: u64,
    pub available_detect_alert_fail_count: u32,
    pub available_detect_alert_script_dir: PathBuf,
    /// Empty = no mail.
    pub available_detect_alert_email_address: String,
    pub app_stat_interval_seconds: u64,
    /// Table that receives capacity-unit and storage records; not empty for the collector.
    pub usage_stat_app: String,
    pub capacity_unit_fetch_interval_seconds: u64,
    pub storage_size_fetch_interval_seconds: u64,
    /// 0 = records never expire.
    pub capacity_unit_saving_ttl_days: u32,
    pub max_hotspot_store_size: usize,
    #[serde(deserialize_with = "flag")]
    pub enable_detect_hotkey: bool,
    pub hot_partition_threshold: u32,
    pub occurrence_threshold: u32,
}

impl CollectorConfig {
    pub(crate) fn finish(&mut self, cluster: &str) {
        self.cluster = cluster.to_owned();
        self.available_detect_interval_ms =
            self.available_detect_interval_seconds.saturating_mul(1000);
    }
}

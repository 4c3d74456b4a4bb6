//! The collector.

use super::kinds::*;

keys! { PEGASUS_COLLECTOR in "pegasus.collector";
    "available_detect_app": TEXT = "stat", C, used,
        "Table that the availability probe reads and writes";
    "available_detect_interval_seconds": POS_SECONDS = "3", C, used,
        "Probe period per partition";
    "available_detect_timeout": POS_MS = "5000", C, used,
        "Timeout of one probe operation";
    "available_detect_alert_fail_count": POSITIVE = "30", C, used,
        "Consecutive failures of one partition that raise an alert";
    "available_detect_alert_script_dir": TEXT = "./package/bin", C, used,
        "Directory of the alert script";
    "available_detect_alert_email_address": TEXT = "", C, used,
        "Receiver of alerts, empty = none";
    "app_stat_interval_seconds": POS_SECONDS = "10", C, later,
        "Period of table statistics and hotspots";
    "usage_stat_app": TEXT = "stat", C, later,
        "Table that receives usage records";
    "capacity_unit_fetch_interval_seconds": POS_SECONDS = "8", C, later,
        "Period of the capacity-unit records";
    "storage_size_fetch_interval_seconds": POS_SECONDS = "3600", C, later,
        "Period of the storage records";
    "capacity_unit_saving_ttl_days": DAYS = "90", C, used,
        "Life of every record of the collector, 0 = for ever";
    "max_hotspot_store_size": POSITIVE = "100", C, later,
        "History samples per table";
    "enable_detect_hotkey": BOOL = "false", C live, later,
        "Start a hot-key search on hot partitions";
    "hot_partition_threshold": POSITIVE = "3", C live, later,
        "Score that marks a hot partition";
    "occurrence_threshold": POSITIVE = "3", C live, later,
        "Times a partition must be hot before the search starts";
}

//! How a process runs, logs and listens.

use super::kinds::*;

keys! { CORE in "core";
    "data_dir": TEXT = "./data", A, used,
        "Working root: metadata, logs, and data when there are no data_dirs";
    "log_dir": TEXT = "", A, used,
        "Absolute; empty = <data_dir>/log";
    "log_format": LOG_FORMAT = "text", A, used,
        "text or json; our own key";
    "tool": TOOL = "nativerun", A, used,
        "Only nativerun exists here";
    "toollets": TEXT = "profiler", A, ignored,
        "Plug-ins of the reference runtime";
    "logging_factory_name": TEXT = "dsn::tools::simple_logger", A, ignored,
        "Logger plug-in";
    "enable_default_app_mimic": TEXT = "", A, silent,
        "Plug-in or pool of the reference runtime";
    "timer_factory_name": TEXT = "", A, silent,
        "Plug-in or pool of the reference runtime";
    "env_factory_name": TEXT = "", A, silent,
        "Plug-in or pool of the reference runtime";
    "lock_factory_name": TEXT = "", A, silent,
        "Plug-in or pool of the reference runtime";
    "lock_nr_factory_name": TEXT = "", A, silent,
        "Plug-in or pool of the reference runtime";
    "rwlock_nr_factory_name": TEXT = "", A, silent,
        "Plug-in or pool of the reference runtime";
    "semaphore_factory_name": TEXT = "", A, silent,
        "Plug-in or pool of the reference runtime";
    "tls_trans_memory_KB": TEXT = "", A, silent,
        "Plug-in or pool of the reference runtime";
    "logging_start_level": LOG_LEVEL = "LOG_LEVEL_INFO", A, used,
        "Lowest level written to the log files; LOG_LEVEL_* or a tracing filter";
    "logging_flush_on_exit": BOOL = "true", A, ignored,
        "Flush log buffers in the exit hook";
    "pause_on_start": BOOL = "false", A, ignored,
        "Wait for a key press before starting";
    "tcmalloc_release_rate": DOUBLE = "1", A, ignored,
        "Knob of another allocator";
    "timer_service_worker_count": U32 = "3", A, ignored,
        "Timer threads";
    "local_hash": U32 = "0", A, silent,
        "Hash option of the reference code tables";
}

keys! { TOOLS_SIMPLE_LOGGER in "tools.simple_logger";
    "max_log_file_bytes": POS_BYTES = "67108864", A, later,
        "Size at which the reference rolls its log file; ours roll daily";
    "max_number_of_log_files_on_disk": POSITIVE = "20", A, used,
        "Log files kept per role, at least 1";
    "short_header": BOOL = "false", A, later,
        "Leave the source position out of each log line";
    "fast_flush": BOOL = "false", A, later,
        "Flush after every log line";
    "stderr_start_level": LOG_LEVEL = "LOG_LEVEL_WARNING", A, used,
        "Lowest level copied to stderr";
    "base_name": TEXT = "pegasus", A, later,
        "Log file prefix of a process without a role";
}

keys! { TOOLS_SCREEN_LOGGER in "tools.screen_logger";
    "stderr_start_level_on_stdout": TEXT = "LOG_LEVEL_WARNING", A, ignored,
        "The same for the stdout logger";
}

keys! { HTTP in "http";
    "enable_http_server": BOOL = "true", A, used,
        "Answer HTTP on the main port";
    "curl_timeout_ms": MS = "10000", A, later,
        "Timeout of outgoing HTTP calls";
}

keys! { METRICS in "metrics";
    "prometheus_partition_level": BOOL = "false", A, later,
        "Also export a few series per partition; our own key";
    "entity_retirement_delay_ms": MS = "600000", A, later,
        "How long metrics without an owner stay visible";
    "builtin_metrics_update_interval_ms": MS = "10000", MR, later,
        "Refresh period of the process memory gauges";
}

keys! { NETWORK in "network";
    "listen_address": TEXT = "", A, used,
        "IPv4 address to listen on; empty = all, or loopback when that is advertised; our own key";
    "prometheus_port": PORT_OR_OFF = "0", A, used,
        "Port of the Prometheus text, 0 = off; wins over [pegasus.server]; our own key";
    "primary_interface": TEXT = "", A, used,
        "Interface whose first IPv4 address is advertised; empty = the first site-local one";
    "explicit_host_address": TEXT = "", A, used,
        "Host name or IPv4 address to advertise; wins over primary_interface";
    "io_service_worker_count": U32 = "4", A, ignored,
        "asio I/O threads";
    "conn_threshold_per_ip": U32 = "0", A, used,
        "Most inbound connections from one address, 0 = no limit";
    "conn_pool_max_size": POSITIVE = "4", A, later,
        "Most outbound connections to one address";
    "enable_udp": BOOL = "true", A, ignored,
        "Beacons over UDP; ours use TCP only";
    "unknown_message_header_format": TEXT = "", A, silent,
        "Fallback parser";
    "socket_send_buffer_bytes": I32 = "16777216", A, used,
        "SO_SNDBUF; 0 or less leaves the default of the system";
    "socket_recv_buffer_bytes": I32 = "16777216", A, used,
        "SO_RCVBUF; 0 or less leaves the default of the system";
}

use std::fmt::Write as _;

use crate::config::{Config, Role};
use crate::problem::Problems;
use crate::sections::ServiceKind;
use crate::settings::Settings;

/// The text that `--check-config` prints: all problems, one per line, then a summary.
pub fn check_report(result: &Result<Config, Problems>) -> String {
    let mut report = String::new();
    let (warnings, errors) = match result {
        Ok(config) => {
            config.warnings().iter().for_each(|problem| line(&mut report, problem));
            (config.warnings().len(), 0)
        }
        Err(problems) => {
            problems.iter().for_each(|problem| line(&mut report, problem));
            let errors = problems.errors().count();
            (problems.iter().count().saturating_sub(errors), errors)
        }
    };
    if let Ok(config) = result {
        summary(&mut report, config);
    }
    let verdict = if errors == 0 { "OK" } else { "NOT OK" };
    line(
        &mut report,
        format_args!("configuration {verdict}: {errors} errors, {warnings} warnings"),
    );
    report
}

fn summary(report: &mut String, config: &Config) {
    let servers: Vec<String> = config.meta_servers.iter().map(ToString::to_string).collect();
    line(report, format_args!("role {}, cluster {}", config.role, config.cluster_name));
    line(report, format_args!("address {}, listens on {}", config.primary_address, config.listen));
    line(report, format_args!("meta servers {}", servers.join(", ")));
    line(report, format_args!("logs in {}", config.log_dir.display()));
    match config.role {
        Role::Replica => {
            for (tag, dir) in config.replication.replica_dirs() {
                line(report, format_args!("data disk {tag}: {}", dir.display()));
            }
        }
        Role::Meta => line(report, format_args!("metadata in {:?}", config.meta.state_service)),
        Role::Collector => {}
    }
}

fn line(report: &mut String, text: impl std::fmt::Display) {
    // Writing to a string cannot fail.
    let _ = writeln!(report, "{text}");
}

/// The checks that need more than one key. Only those of the running role, so that one file can
/// serve hosts that lack what other roles need.
pub(crate) fn groups(config: &Config, settings: &Settings, problems: &mut Problems) {
    let mut group = Group { settings, problems };
    group.root(config);
    if config.role != Role::Collector {
        group.failure_detection(config);
    }
    match config.role {
        Role::Meta => group.meta(config),
        Role::Replica => group.replica(config),
        Role::Collector => group.collector(config),
    }
}

struct Group<'a> {
    settings: &'a Settings,
    problems: &'a mut Problems,
}

impl Group<'_> {
    fn require(&mut self, good: bool, section: &str, key: &str, message: &str) {
        // A value that was set but bad has its own message.
        if !good && !self.settings.is_broken(section, key) {
            let value = self.settings.text(section, key);
            let message = format!("[{section}] {key} = {value}: {message}");
            self.problems.error(self.settings.place(section, key), message);
        }
    }

    fn root(&mut self, config: &Config) {
        let good = config.cluster_root.starts_with('/');
        self.require(good, "meta_server", "cluster_root", "expected a path from /");
    }

    fn failure_detection(&mut self, config: &Config) {
        const SECTION: &str = "replication";
        let replication = &config.replication;
        self.require(
            replication.fd_lease_ms < replication.fd_grace_ms,
            SECTION,
            "fd_grace_ms",
            &format!("expected more than fd_lease_ms, {}", replication.fd_lease_ms),
        );
        self.require(
            replication.fd_beacon_interval_ms <= replication.fd_lease_ms / 2,
            SECTION,
            "fd_beacon_interval_ms",
            &format!("expected at most half of fd_lease_ms, {}", replication.fd_lease_ms),
        );
    }

    fn meta(&mut self, config: &Config) {
        const SECTION: &str = "meta_server";
        let meta = &config.meta;
        self.require(
            meta.state_service == meta.lock_service,
            SECTION,
            "distributed_lock_service_type",
            "expected the same kind as meta_state_service_type, *_simple or *_zookeeper",
        );
        match meta.state_service {
            ServiceKind::Simple => self.require(
                config.meta_servers.len() <= 1,
                SECTION,
                "meta_state_service_type",
                "the embedded store serves one meta server; with several in server_list use \
                 meta_state_service_zookeeper and distributed_lock_service_zookeeper",
            ),
            ServiceKind::Zookeeper => self.require(
                !config.zookeeper.hosts.is_empty(),
                "zookeeper",
                "hosts_list",
                "expected the ZooKeeper servers; or use meta_state_service_simple and \
                 distributed_lock_service_simple with one meta server",
            ),
        }
        self.require(
            meta.min_allowed_replica_count <= meta.max_allowed_replica_count,
            SECTION,
            "min_allowed_replica_count",
            &format!(
                "expected at most max_allowed_replica_count, {}",
                meta.max_allowed_replica_count
            ),
        );
        self.require(
            !meta.enable_white_list || !meta.replica_white_list.is_empty(),
            SECTION,
            "replica_white_list",
            "expected at least one server, as enable_white_list is true",
        );
    }

    fn replica(&mut self, config: &Config) {
        const SECTION: &str = "replication";
        let replication = &config.replication;
        self.require(
            replication.max_mutation_count_in_prepare_list >= replication.staleness_for_commit,
            SECTION,
            "max_mutation_count_in_prepare_list",
            &format!(
                "expected at least staleness_for_commit, {}",
                replication.staleness_for_commit
            ),
        );
        self.require(
            replication.promise_ms > replication.lease_ms,
            SECTION,
            "member_promise_ms",
            &format!("expected more than member_lease_ms, {}", replication.lease_ms),
        );
        self.require(
            replication.heartbeat_ms <= replication.lease_ms / 2,
            SECTION,
            "member_heartbeat_ms",
            &format!("expected at most half of member_lease_ms, {}", replication.lease_ms),
        );
        self.require(
            replication.silence_ms > replication.heartbeat_ms,
            SECTION,
            "peer_silence_ms",
            &format!("expected more than member_heartbeat_ms, {}", replication.heartbeat_ms),
        );
        self.engine(config);
    }

    fn engine(&mut self, config: &Config) {
        const SECTION: &str = "pegasus.server";
        let engine = &config.engine;
        for (key, size) in [
            ("perf_counter_read_capacity_unit_size", engine.perf_counter_read_capacity_unit_size),
            ("perf_counter_write_capacity_unit_size", engine.perf_counter_write_capacity_unit_size),
        ] {
            self.require(size.is_power_of_two(), SECTION, key, "expected a power of two");
        }
        self.require(
            !engine.rocksdb_partition_filters
                || engine.rocksdb_index_type == "two_level_index_search",
            SECTION,
            "rocksdb_partition_filters",
            "needs rocksdb_index_type = two_level_index_search",
        );
    }

    fn collector(&mut self, config: &Config) {
        const SECTION: &str = "pegasus.collector";
        let collector = &config.collector;
        for (key, table) in [
            ("available_detect_app", &collector.available_detect_app),
            ("usage_stat_app", &collector.usage_stat_app),
        ] {
            self.require(!table.is_empty(), SECTION, key, "expected the name of a table");
        }
    }
}

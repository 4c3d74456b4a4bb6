//! The typed result, from whole files.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

use pegasus_config::{
    Config, FunctionLevel, LoadOptions, LogFormat, Problems, Role, ServiceKind, check_report,
};
use pegasus_types::NodeId;

const ROLES: [Role; 3] = [Role::Meta, Role::Replica, Role::Collector];
const TEMPLATE: &str = include_str!("../../../config.ini.template");
const OPERATOR: &str = include_str!("data/operator.ini");

const SMALL: &str = "[network]\nexplicit_host_address = 127.0.0.1\n\
    [meta_server]\nserver_list = 127.0.0.1:34601\n\
    meta_state_service_type = meta_state_service_simple\n\
    distributed_lock_service_type = distributed_lock_service_simple\n\
    [replication]\ncluster_name = onebox\n";

fn load(text: &str, role: Role, overrides: &[(&str, &str)]) -> Result<Config, Problems> {
    let overrides =
        overrides.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let options = LoadOptions { overrides, ..LoadOptions::default() };
    Config::from_text(Path::new("config.ini"), text, role, &options)
}

fn errors(result: &Result<Config, Problems>) -> Vec<String> {
    match result {
        Ok(_) => Vec::new(),
        Err(problems) => problems.errors().map(ToString::to_string).collect(),
    }
}

/// The template as a deployment would fill it in.
fn filled(meta_servers: &str) -> String {
    TEMPLATE
        .replace("%{cluster.name}", "c1")
        .replace("%{app.dir}", "/srv/pegasus")
        .replace("%{data.dirs}", "ssd1:/ssd1/pegasus,ssd2:/ssd2/pegasus")
        .replace("%{meta.server.list}", meta_servers)
        .replace("%{zk.server.list}", "zk1:2181")
        .replace("explicit_host_address =\n", "explicit_host_address = 127.0.0.1\n")
}

#[test]
fn the_filled_template_loads_for_every_role_without_a_word() {
    for role in ROLES {
        let config = load(&filled("127.0.0.1:34601"), role, &[]).unwrap();
        assert_eq!(config.warnings(), [], "{role}");
        assert_eq!(config.primary_address, NodeId::new("127.0.0.1", role.default_port()));
        assert_eq!(config.listen.to_string(), format!("127.0.0.1:{}", role.default_port()));
        assert_eq!(config.cluster_root, "/pegasus/c1");
        assert_eq!(config.app_dir, Path::new("/srv/pegasus").join(role.name()));
        assert_eq!(config.log_dir, Path::new("/srv/pegasus/log"));
        assert_eq!(config.prometheus_port, None);
    }
}

#[test]
fn the_template_shows_the_defaults() {
    let shown = load(&filled("127.0.0.1:34601"), Role::Replica, &[]).unwrap();
    let bare = load(SMALL, Role::Replica, &[]).unwrap();
    assert_eq!(shown.engine, bare.engine);
    let mut replication = shown.replication.clone();
    replication.data_dirs.clone_from(&bare.replication.data_dirs);
    assert_eq!(replication, bare.replication);
    let mut meta = shown.meta.clone();
    assert_eq!(meta.default_tables.len(), 1);
    meta.default_tables.clear();
    meta.state_service = ServiceKind::Simple;
    meta.lock_service = ServiceKind::Simple;
    meta.lock_root.clone_from(&bare.meta.lock_root);
    assert_eq!(meta, bare.meta);
}

#[test]
fn left_over_placeholders_are_reported_with_their_lines() {
    let address = ("network.explicit_host_address", "127.0.0.1");
    let result = load(TEMPLATE, Role::Meta, &[address]);
    let line = |text: &str| {
        1 + TEMPLATE.lines().position(|line| line.trim_start().starts_with(text)).unwrap()
    };
    let errors = errors(&result);
    for key in ["server_list", "cluster_name", "data_dir ", "hosts_list", "%{cluster.name} ="] {
        let place = format!("config.ini:{}: error: ", line(key));
        assert!(errors.iter().any(|e| e.starts_with(&place)), "{key}: {errors:#?}");
    }
    assert!(errors.iter().all(|e| e.contains("placeholder")), "{errors:#?}");
}

#[test]
fn a_file_in_the_manner_of_the_reference_loads() {
    for role in ROLES {
        let config = load(OPERATOR, role, &[]).unwrap();
        let listed = config.warnings().iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(listed.len(), 2, "{listed:#?}");
        assert!(listed.iter().all(|warning| warning.contains("sections accepted")));
    }
    let config = load(OPERATOR, Role::Replica, &[]).unwrap();
    assert_eq!(config.meta_servers[1], NodeId::new("meta-2.example", 34601));
    assert_eq!(config.replication.data_dirs.len(), 2);
    assert_eq!(config.replication.replica_dirs()[0].1, Path::new("/srv/ssd1/pegasus/replica/reps"));
    assert!(config.replication.plog_force_flush);
    assert_eq!(config.replication.staleness_for_commit, 20);
    assert_eq!(config.replication.fd_grace_ms, 2000);
    assert_eq!(config.prometheus_port, Some(9091));
    assert_eq!(config.log.max_files, 500);
    assert_eq!(config.log.stderr_level, "error");
    assert_eq!(config.clusters["c2"].len(), 2);
    assert_eq!(config.duplication_group["c2"], 2);
    assert_eq!(config.engine.rocksdb_block_cache_capacity, 10 << 30);
    let tables = &config.meta.default_tables;
    assert_eq!(tables.iter().map(|t| t.app_name.as_str()).collect::<Vec<_>>(), ["stat", "legacy"]);
    assert_eq!(tables[0].envs[1], ("rocksdb.usage_scenario".to_owned(), "normal".to_owned()));
}

#[test]
fn a_bare_file_has_working_defaults() {
    let config = load(SMALL, Role::Meta, &[("core.data_dir", "/d"), ("core.log_format", "json")]);
    let config = config.unwrap();
    assert_eq!(config.meta.state_service, ServiceKind::Simple);
    assert_eq!(config.meta.function_level_on_start, FunctionLevel::Steady);
    assert_eq!(config.meta.lock_root, "/pegasus/onebox/lock");
    assert_eq!(config.log.format, LogFormat::Json);
    assert!(config.run && config.http.enabled);
    let replica = load(SMALL, Role::Replica, &[("core.data_dir", "/d")]).unwrap();
    assert_eq!(replica.replication.replica_dirs()[0].1, Path::new("/d/replica/reps"));
    assert!(replica.replication.shard_count >= 1);
    assert_eq!(replica.replication.min_ack_members(3), 2);
    let collector = load(SMALL, Role::Collector, &[]).unwrap();
    assert_eq!(collector.collector.available_detect_interval_ms, 3000);
    assert_eq!(collector.collector.cluster, "onebox");
}

#[test]
fn ports_and_prometheus_can_be_overridden() {
    let overrides = [("apps.meta.ports", "34611"), ("network.prometheus_port", "9100")];
    let text = SMALL.replace(":34601", ":34611");
    let config = load(&text, Role::Meta, &overrides).unwrap();
    assert_eq!(config.primary_address.to_string(), "127.0.0.1:34611");
    assert_eq!(config.prometheus_port, Some(9100));
    let config = load(OPERATOR, Role::Collector, &[("network.prometheus_port", "0")]).unwrap();
    assert_eq!(config.prometheus_port, None);
}

#[test]
fn all_problems_come_in_one_run() {
    let text = format!(
        "{SMALL}fd_grace_ms = 1s\nmember_promise_ms = 900\nplog_force_flsh = true\n\
         staleness_for_commit = many\ndata_dirs = x\n[pegasus.server]\n\
         rocksdb_format_version = 3\n"
    );
    let result = load(&text, Role::Replica, &[]);
    let report = check_report(&result);
    for (line, part) in [
        (9, "fd_grace_ms = 1000: expected more than fd_lease_ms, 1500"),
        (10, "member_promise_ms = 900: expected more than member_lease_ms, 1000"),
        (11, "plog_force_flsh: unknown key, ignored (did you mean plog_force_flush?)"),
        (12, "staleness_for_commit = many: bad value (expected a whole number, from 1"),
        (13, "data_dirs: \"x\" (expected TAG:DIRECTORY"),
        (15, "rocksdb_format_version = 3: bad value (expected one of 2, 5)"),
    ] {
        let found = report
            .lines()
            .any(|l| l.starts_with(&format!("config.ini:{line}: ")) && l.contains(part));
        assert!(found, "{part} in line {line}:\n{report}");
    }
    assert!(report.ends_with("configuration NOT OK: 5 errors, 1 warnings\n"), "{report}");
}

#[test]
fn what_is_missing_is_named() {
    let found = errors(&load("[core]\n", Role::Collector, &[]));
    assert!(found.iter().any(|e| e.contains("[replication] cluster_name is missing")));
    assert!(found.iter().any(|e| e.contains("[meta_server] server_list is missing")));
    let missing = Config::load(Path::new("/nonexistent/c.ini"), Role::Meta, &[]);
    assert!(errors(&missing)[0].starts_with("/nonexistent/c.ini: error: "));
}

#[test]
fn several_meta_servers_need_zookeeper() {
    let text = SMALL.replace("127.0.0.1:34601", "127.0.0.1:34601,127.0.0.1:34602");
    assert!(errors(&load(&text, Role::Meta, &[]))[0].contains("embedded store serves one"));
    assert!(load(&text, Role::Replica, &[]).is_ok());
    let text = SMALL.replace("_simple", "_zookeeper");
    assert!(errors(&load(&text, Role::Meta, &[]))[0].contains("[zookeeper] hosts_list"));
}

#[test]
fn a_meta_server_must_be_listed() {
    let text = SMALL.replace("127.0.0.1:34601", "127.0.0.1:34605");
    assert!(errors(&load(&text, Role::Meta, &[]))[0].contains("does not hold this server"));
    let interface =
        SMALL.replace("explicit_host_address = 127.0.0.1", "primary_interface = nosuch");
    assert!(errors(&load(&interface, Role::Replica, &[]))[0].contains("no interface nosuch"));
    let lo = SMALL.replace("explicit_host_address = 127.0.0.1", "primary_interface = lo");
    let config = load(&lo, Role::Meta, &[]).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:34601");
}

#[test]
fn black_listed_disks_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let list = dir.path().join("list");
    std::fs::write(&list, " /b/x \n").unwrap();
    let text = format!(
        "{SMALL}data_dirs = t1:/a,t2:/b/x\ndata_dirs_black_list_file = {}\n",
        list.display()
    );
    let replication = load(&text, Role::Replica, &[]).unwrap().replication;
    assert_eq!(replication.data_dirs, [("t1".to_owned(), "/a".into())]);
    assert_eq!(replication.blacklisted_tags, ["t2"]);
}

#[test]
fn effective_values_carry_their_origin() {
    let config = load(SMALL, Role::Meta, &[("http.enable_http_server", "FALSE")]).unwrap();
    let effective = config.effective();
    let of = |section: &str, key: &str| {
        let found = effective.iter().find(|e| e.section == section && e.key == key).unwrap();
        (found.value.as_str(), found.origin.to_string())
    };
    assert_eq!(of("http", "enable_http_server"), ("false", "--set #1".to_owned()));
    assert_eq!(of("replication", "cluster_name"), ("onebox", "config.ini:8".to_owned()));
    assert_eq!(of("replication", "lb_interval_ms"), ("10000", "default".to_owned()));
}

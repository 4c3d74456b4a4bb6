//! The official Python client, `pypegasus3` from PyPI, as it is.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::print_stderr)]

use std::process::Command;

use cluster_tests::{Cluster, Shape};

/// `scripts/test.sh` installs the client and names the interpreter that has it. Without it a user's
/// machine skips this language, visibly; CI always sets it.
fn python() -> Option<String> {
    let python = std::env::var("PEGASUS_TEST_PYTHON").ok();
    if python.is_none() {
        assert!(std::env::var("CI").is_err(), "CI must set PEGASUS_TEST_PYTHON");
        eprintln!("SKIPPED: Python client (set PEGASUS_TEST_PYTHON, or run scripts/test.sh)");
    }
    python
}

#[test]
fn every_first_operation_and_ten_thousand_values() {
    let Some(python) = python() else { return };
    let cluster = Cluster::start(Shape::default());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/python/first_light.py");
    let output = Command::new(python)
        .args([script, &cluster.meta_address(), "temp", "10000"])
        .current_dir(cluster.replica_dir(0))
        .output()
        .expect("run Python");
    let text = String::from_utf8_lossy(&output.stdout);
    let report: serde_json::Value = text
        .lines()
        .find_map(|line| serde_json::from_str(line).ok())
        .unwrap_or_else(|| panic!("no report: {text} {}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(report["failures"], serde_json::json!([]));
    assert!(output.status.success());
    assert_eq!(report["succeeded"]["bulk set"], 10_000);
    assert_eq!(report["succeeded"]["bulk get"], 10_000);
    for operation in ["set", "get", "exist", "remove", "ttl", "multi_set", "multi_get", "multi_del"]
    {
        assert_eq!(report["succeeded"][operation], 1, "{operation}");
    }
}

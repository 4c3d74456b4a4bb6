//! `scripts/onebox.sh` as a newcomer uses it, on ports and in a directory of its own.
#![allow(clippy::expect_used, clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Output};

use cluster_tests::free_ports;

struct Onebox {
    dir: tempfile::TempDir,
    offset: u16,
}

impl Onebox {
    /// Ports 34101, 34601 and 34801 to 34803, and those 10000 above them, all plus the offset.
    fn new() -> Onebox {
        let fits = |offset: &u16| {
            let ports = [34101, 34601, 34801, 34802, 34803];
            let all = ports.iter().flat_map(|p| [p + offset, p + offset + 10_000]);
            all.into_iter().all(|p| std::net::TcpListener::bind(("127.0.0.1", p)).is_ok())
        };
        let start = 1000 + free_ports(1)[0] % 5000;
        let offset = (start..start + 5000).step_by(7).find(fits).expect("free ports");
        Onebox { dir: tempfile::tempdir().expect("temp dir"), offset }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/onebox.sh");
        Command::new(script)
            .args(arguments)
            .env("ONEBOX_DIR", self.dir.path().join("onebox"))
            .env("ONEBOX_PORT_OFFSET", self.offset.to_string())
            .env("ONEBOX_BUILD", "no")
            .output()
            .expect("run onebox.sh")
    }

    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {text}\n{errors}");
        text
    }
}

impl Drop for Onebox {
    fn drop(&mut self) {
        self.run(&["clear"]);
    }
}

#[test]
fn a_newcomers_tour() {
    let onebox = Onebox::new();
    assert!(onebox.ok(&["list"]).contains("no onebox in"));
    let text = onebox.ok(&["start", "-p", "4", "-a", "tour"]);
    assert!(text.contains("all 4 partitions of \"tour\" have their replicas"), "{text}");
    assert!(text.contains("\"hello\""), "a set and a get are shown: {text}");

    let again = onebox.ok(&["start"]);
    assert!(again.contains("already running") && again.contains("Nothing was changed"), "{again}");
    let list = onebox.ok(&["list"]);
    assert_eq!(list.matches("running   pid").count(), 5, "{list}");

    onebox.ok(&["kill_instance", "-r", "1", "-r", "2", "-r", "3"]);
    assert_eq!(onebox.ok(&["list"]).matches("stopped").count(), 3);
    for n in ["1", "2", "3"] {
        onebox.ok(&["start_instance", "-r", n]);
    }
    assert!(!onebox.run(&["start_instance", "-r", "1"]).status.success(), "it already runs");
    onebox.ok(&["restart_instance", "-m", "1"]);
    onebox.ok(&["stop_instance", "-c", "1"]);
    onebox.ok(&["stop"]);
    assert_eq!(onebox.ok(&["list"]).matches("stopped").count(), 5);
    // What was written before all this is still there: start shows another set and get, and waits
    // until every partition is healthy.
    let text = onebox.ok(&["start"]);
    assert!(text.contains("Starting the existing onebox"), "{text}");

    for (arguments, hint) in [
        (["start_instance", "-r", "9"].as_slice(), "invalid replica_id 9"),
        (["start_instance"].as_slice(), "no meta_id or replica_id"),
        (["start", "--zookeeper", "127.0.0.1:2181"].as_slice(), "not supported yet"),
        (["frobnicate"].as_slice(), "unknown command"),
    ] {
        let output = onebox.run(arguments);
        assert!(!output.status.success());
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(errors.contains(hint), "{arguments:?}: {errors}");
    }
    assert!(onebox.ok(&["clear"]).contains("cleared"));
}

//! Real clusters for tests: the daemons as processes on 127.0.0.1, each with its own directory and
//! ports that were free a moment ago, built from `config.ini.template` as an operator would.
//!
//! Nothing outlives the [`Cluster`]: dropping it kills every process it started, by pid.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod compare;
mod http;
mod load;
mod ports;
mod raw;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub use compare::equal_replicas;
pub use http::get_json;
pub use load::{Load, Progress};
pub use ports::free_ports;
pub use raw::RawGet;
use tempfile::TempDir;

/// Shape of a test cluster.
#[derive(Clone, Debug)]
pub struct Shape {
    pub replicas: usize,
    pub partitions: usize,
    pub table: String,
    /// Extra `--set section.key=value` arguments for every replica server.
    pub replica_settings: Vec<String>,
}

impl Default for Shape {
    fn default() -> Shape {
        Shape { replicas: 3, partitions: 8, table: "temp".to_owned(), replica_settings: Vec::new() }
    }
}

struct Daemon {
    binary: PathBuf,
    dir: PathBuf,
    port: u16,
    settings: Vec<String>,
    child: Option<Child>,
}

/// One meta server, some replica servers, no collector.
pub struct Cluster {
    pub shape: Shape,
    meta: Daemon,
    replicas: Vec<Daemon>,
    _root: TempDir,
}

/// Where the daemons were built: beside the test binary.
fn binary(name: &str) -> PathBuf {
    let mut dir = std::env::current_exe().expect("path of the test binary");
    dir.pop();
    if dir.ends_with("deps") {
        dir.pop();
    }
    let path = dir.join(name);
    assert!(
        path.exists(),
        "{} is missing: build with `cargo build --release --bins`",
        path.display()
    );
    path
}

/// `config.ini.template`, filled in as an operator would do it for one machine.
fn fill_template(role: &str, dir: &Path, ports: [u16; 2], meta: &str, shape: &Shape) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config.ini.template");
    let template = fs::read_to_string(path).expect("config.ini.template");
    let data = dir.join("data").display().to_string();
    let text = template
        .replace("%{cluster.name}", "test")
        .replace("%{app.dir}", &data)
        .replace("%{data.dirs}", &format!("data:{data}"))
        .replace("%{meta.server.list}", meta)
        .replace("%{zk.server.list}", "");
    let values = [
        ("log_dir", dir.join("log").display().to_string()),
        ("explicit_host_address", "127.0.0.1".to_owned()),
        ("prometheus_port", ports[1].to_string()),
        ("meta_state_service_type", "meta_state_service_simple".to_owned()),
        ("distributed_lock_service_type", "distributed_lock_service_simple".to_owned()),
        ("min_live_node_count_for_unfreeze", "1".to_owned()),
    ];
    let mut section = "";
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.starts_with('[') {
            section = line;
        }
        let key = line.split_once('=').map(|(key, _)| key.trim());
        let value = match key {
            Some("ports") if section == format!("[apps.{role}]") => Some(ports[0].to_string()),
            Some(key) => values.iter().find(|(k, _)| *k == key).map(|(_, v)| v.clone()),
            None => None,
        };
        let changed = value.map(|v| format!("  {} = {v}", key.unwrap_or_default()));
        lines.push(changed.unwrap_or_else(|| line.to_owned()));
    }
    let (table, partitions) = (&shape.table, shape.partitions);
    lines.push(format!(
        "[meta_server.apps.{table}]\n  app_name = {table}\n  app_type = pegasus\n  \
         partition_count = {partitions}\n  max_replica_count = 3\n"
    ));
    lines.join("\n")
}

impl Daemon {
    fn spawn(&mut self) {
        assert!(self.child.is_none(), "already running");
        let result = File::options()
            .create(true)
            .append(true)
            .open(self.dir.join("result"))
            .expect("result file");
        let mut command = Command::new(&self.binary);
        command
            .arg(self.dir.join("config.ini"))
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(result.try_clone().expect("handle"))
            .stderr(result);
        for setting in &self.settings {
            command.arg("--set").arg(setting);
        }
        self.child = Some(command.spawn().expect("start a daemon"));
    }

    fn signal(&mut self, signal: i32) {
        if let Some(child) = &self.child {
            let pid = i32::try_from(child.id()).expect("pid");
            // SAFETY: plain system call on a child that was not waited for yet, so the pid is ours.
            #[allow(unsafe_code)]
            unsafe {
                libc::kill(pid, signal);
            }
        }
    }

    fn wait(&mut self) -> Option<i32> {
        self.child.take().and_then(|mut c| c.wait().expect("wait for a child").code())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for daemon in self.replicas.iter_mut().chain([&mut self.meta]) {
            daemon.signal(libc::SIGKILL);
            daemon.wait();
        }
        if std::thread::panicking() {
            for daemon in self.replicas.iter().chain([&self.meta]) {
                let text = fs::read_to_string(daemon.dir.join("result")).unwrap_or_default();
                let tail: Vec<&str> = text.lines().rev().take(15).collect();
                let tail: Vec<&str> = tail.into_iter().rev().collect();
                eprint_tail(&daemon.dir, &tail);
            }
        }
    }
}

#[allow(clippy::print_stderr)]
fn eprint_tail(dir: &Path, tail: &[&str]) {
    eprintln!("--- {}\n{}", dir.display(), tail.join("\n"));
}

impl Cluster {
    /// Start a cluster and wait until every partition of its table has all its replicas.
    pub fn start(shape: Shape) -> Cluster {
        let mut cluster = Cluster::prepare(shape);
        cluster.meta.spawn();
        for replica in &mut cluster.replicas {
            replica.spawn();
        }
        cluster.wait_healthy(Duration::from_secs(60));
        cluster
    }

    /// Write configurations and directories, start nothing.
    fn prepare(shape: Shape) -> Cluster {
        let root = tempfile::Builder::new().prefix("pegasus-test-").tempdir().expect("temp dir");
        let ports = free_ports(2 + 2 * shape.replicas);
        let meta_address = format!("127.0.0.1:{}", ports[0]);
        let daemon = |number: usize, role: &str, binary_name: &str, ports: [u16; 2]| {
            let dir = root.path().join(format!("{role}{number}"));
            fs::create_dir_all(dir.join("data")).expect("create a directory");
            let config = fill_template(role, &dir, ports, &meta_address, &shape);
            fs::write(dir.join("config.ini"), config).expect("write config.ini");
            Daemon {
                binary: binary(binary_name),
                dir,
                port: ports[0],
                settings: Vec::new(),
                child: None,
            }
        };
        let meta = daemon(1, "meta", "meta-server", [ports[0], ports[1]]);
        let replicas = (0..shape.replicas)
            .map(|i| {
                let ports = [ports[2 + 2 * i], ports[3 + 2 * i]];
                let mut d = daemon(i + 1, "replica", "replica-server", ports);
                d.settings.clone_from(&shape.replica_settings);
                d
            })
            .collect();
        Cluster { shape, meta, replicas, _root: root }
    }

    pub fn meta_address(&self) -> String {
        format!("127.0.0.1:{}", self.meta.port)
    }

    pub fn replica_address(&self, i: usize) -> String {
        format!("127.0.0.1:{}", self.replicas[i].port)
    }

    pub fn replica_dir(&self, i: usize) -> &Path {
        &self.replicas[i].dir
    }

    pub fn replica_pid(&self, i: usize) -> u32 {
        self.replicas[i].child.as_ref().expect("running").id()
    }

    /// SIGKILL, and wait until it is gone.
    pub fn kill_replica(&mut self, i: usize) {
        self.replicas[i].signal(libc::SIGKILL);
        self.replicas[i].wait();
    }

    /// SIGTERM; returns the exit code.
    pub fn stop_replica(&mut self, i: usize) -> Option<i32> {
        self.replicas[i].signal(libc::SIGTERM);
        self.replicas[i].wait()
    }

    pub fn pause_replica(&mut self, i: usize) {
        self.replicas[i].signal(libc::SIGSTOP);
    }

    pub fn resume_replica(&mut self, i: usize) {
        self.replicas[i].signal(libc::SIGCONT);
    }

    pub fn start_replica(&mut self, i: usize) {
        self.replicas[i].spawn();
    }

    pub fn kill_meta(&mut self) {
        self.meta.signal(libc::SIGKILL);
        self.meta.wait();
    }

    pub fn stop_meta(&mut self) -> Option<i32> {
        self.meta.signal(libc::SIGTERM);
        self.meta.wait()
    }

    pub fn start_meta(&mut self) {
        self.meta.spawn();
    }

    /// Delete everything a stopped replica server has stored.
    pub fn delete_data(&mut self, i: usize) {
        assert!(self.replicas[i].child.is_none(), "still running");
        let data = self.replicas[i].dir.join("data");
        fs::remove_dir_all(&data).expect("delete data");
        fs::create_dir_all(&data).expect("create data");
    }

    /// Whether a daemon ended although nobody ended it.
    pub fn dead_daemons(&mut self) -> Vec<String> {
        let all = self.replicas.iter_mut().chain([&mut self.meta]);
        all.filter_map(|d| {
            let status = d.child.as_mut()?.try_wait().expect("try_wait")?;
            Some(format!("{}: {status}", d.dir.display()))
        })
        .collect()
    }

    /// (partitions with all replicas, with a primary) of the table, as the meta server sees it.
    pub fn health(&self) -> Option<(usize, usize)> {
        let config = runtime().block_on(async {
            let client = pegasus_client::Client::connect(
                self.meta_address().as_str(),
                pegasus_client::ClientOptions::default(),
            )
            .ok()?;
            client.query_config(&self.shape.table).await.ok()
        })?;
        let full = config
            .partitions
            .iter()
            .filter(|p| p.primary.is_some() && p.member_count() >= 3.min(self.shape.replicas));
        let served = config.partitions.iter().filter(|p| p.primary.is_some());
        Some((full.count(), served.count()))
    }

    pub fn wait_healthy(&mut self, limit: Duration) {
        let partitions = self.shape.partitions;
        self.wait_for(limit, "every partition has all its replicas", |c| {
            c.health().is_some_and(|(full, _)| full == partitions)
        });
    }

    /// Wait until every replica has applied everything that is prepared anywhere: commits reach
    /// secondaries some milliseconds after the client's answer. The writers must have stopped.
    pub fn wait_quiet(&mut self) {
        self.wait_for(Duration::from_secs(20), "all replicas applied everything", |c| {
            let mut newest = std::collections::BTreeMap::new();
            let mut applied = Vec::new();
            for i in 0..c.replicas.len() {
                let Some(list) = get_json(&c.replica_address(i), "/replica/list") else {
                    return false;
                };
                for replica in list["replicas"].as_array().into_iter().flatten() {
                    let pid = replica["pid"].to_string();
                    let prepared = replica["prepared"].as_i64().unwrap_or(-1);
                    let known = newest.entry(pid.clone()).or_insert(prepared);
                    *known = prepared.max(*known);
                    applied.push((pid, replica["applied"].as_i64()));
                }
            }
            !applied.is_empty() && applied.iter().all(|(pid, at)| *at == newest.get(pid).copied())
        });
    }

    /// Poll until `condition` holds; fails the test after `limit`.
    pub fn wait_for(
        &mut self,
        limit: Duration,
        what: &str,
        mut condition: impl FnMut(&mut Cluster) -> bool,
    ) {
        let start = Instant::now();
        while !condition(self) {
            assert!(start.elapsed() < limit, "not within {limit:?}: {what} ({:?})", self.health());
            let dead = self.dead_daemons();
            assert!(dead.is_empty(), "daemons ended by themselves: {dead:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// A small runtime for calls of the async client from a test.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime")
}

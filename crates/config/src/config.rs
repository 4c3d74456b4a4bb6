use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use pegasus_types::NodeId;

use crate::ini::{self, Ini};
use crate::problem::{Origin, Problem, Problems, Severity};
use crate::sections::{
    CollectorConfig, DefaultTable, EngineConfig, HttpConfig, LogConfig, MetaConfig, MetricsConfig,
    NetworkConfig, ReplicationConfig, ZookeeperConfig,
};
use crate::settings::{Effective, Settings};
use crate::{address, check, data_dirs, value};

/// The daemon that reads the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Meta,
    Replica,
    Collector,
}

impl Role {
    pub fn name(self) -> &'static str {
        match self {
            Role::Meta => "meta",
            Role::Replica => "replica",
            Role::Collector => "collector",
        }
    }

    pub fn default_port(self) -> u16 {
        match self {
            Role::Meta => 34601,
            Role::Replica => 34801,
            Role::Collector => 34101,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the command line adds to the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// (`section.key`, value), see [`crate::parse_override`]; they win over the file.
    pub overrides: Vec<(String, String)>,
    /// `%name%` in the text becomes the value, see [`crate::parse_variables`].
    pub variables: Vec<(String, String)>,
}

/// The typed configuration of one daemon. Paths are absolute.
#[derive(Clone, Debug)]
pub struct Config {
    pub role: Role,
    pub file: PathBuf,
    /// `[apps.<role>] run`: false means that the daemon should end at once, with a message.
    pub run: bool,
    /// `[meta_server] server_list`, at least one; names are kept as names.
    pub meta_servers: Vec<NodeId>,
    /// `[replication] cluster_name`, not empty.
    pub cluster_name: String,
    /// `[meta_server] cluster_root`, by default `/pegasus/<cluster_name>`.
    pub cluster_root: String,
    /// `[core] data_dir`. Not created here.
    pub data_dir: PathBuf,
    /// `<data_dir>/<role>`: what a role keeps for itself. Not created here.
    pub app_dir: PathBuf,
    /// `[core] log_dir`, by default `<data_dir>/log`. Not created here.
    pub log_dir: PathBuf,
    /// This node as others address it; for a meta server, as `server_list` spells it.
    pub primary_address: NodeId,
    pub listen: SocketAddr,
    /// Port of the Prometheus text, on the IP of `listen`.
    pub prometheus_port: Option<u16>,
    pub log: LogConfig,
    pub network: NetworkConfig,
    pub http: HttpConfig,
    pub metrics: MetricsConfig,
    pub replication: ReplicationConfig,
    pub meta: MetaConfig,
    pub zookeeper: ZookeeperConfig,
    pub engine: EngineConfig,
    pub collector: CollectorConfig,
    /// `[pegasus.clusters]`: meta servers by cluster.
    pub clusters: BTreeMap<String, Vec<NodeId>>,
    /// `[duplication-group]`: id 1 to 127 by cluster.
    pub duplication_group: BTreeMap<String, u8>,
    settings: Settings,
    warnings: Vec<Problem>,
}

impl Config {
    /// Reads `path` for `role`. On failure the problems hold the warnings too.
    pub fn load(
        path: &Path,
        role: Role,
        overrides: &[(String, String)],
    ) -> Result<Config, Problems> {
        let overrides = overrides.to_vec();
        Config::load_with(path, role, &LoadOptions { overrides, ..LoadOptions::default() })
    }

    /// As [`Config::load`], with everything that the command line may add.
    pub fn load_with(path: &Path, role: Role, options: &LoadOptions) -> Result<Config, Problems> {
        let mut problems = Problems::default();
        match std::fs::read_to_string(path) {
            Ok(text) => Config::from_text(path, &text, role, options),
            Err(error) => {
                problems.error(Origin::file(path, 0), error.to_string());
                Err(problems)
            }
        }
    }

    /// As [`Config::load_with`], of a text that is already read; `path` is for the messages.
    pub fn from_text(
        path: &Path,
        text: &str,
        role: Role,
        options: &LoadOptions,
    ) -> Result<Config, Problems> {
        let mut problems = Problems::default();
        let text = ini::substitute(text, &options.variables);
        let ini = Ini::parse(path, &text, &mut problems);
        let settings = Settings::new(path, &ini, &options.overrides, role, &mut problems);
        let config = Builder { path, role, settings, problems: &mut problems }.build();
        problems.settle();
        match config {
            Some(mut config) if !problems.has_errors() => {
                config.warnings = problems.into_list();
                Ok(config)
            }
            _ => Err(problems),
        }
    }

    /// What was found while loading and does not keep the daemon from starting.
    pub fn warnings(&self) -> &[Problem] {
        debug_assert!(self.warnings.iter().all(|p| p.severity == Severity::Warning));
        &self.warnings
    }

    /// Every known key with its value and origin, sorted by section and key.
    pub fn effective(&self) -> Vec<Effective> {
        self.settings.effective()
    }
}

struct Builder<'a> {
    path: &'a Path,
    role: Role,
    settings: Settings,
    problems: &'a mut Problems,
}

impl Builder<'_> {
    /// None after an error was reported; goes on as far as possible to find them all.
    fn build(mut self) -> Option<Config> {
        let cluster_name = self.required("replication", "cluster_name");
        self.required("meta_server", "server_list");
        let meta_servers =
            value::nodes(&self.settings.text("meta_server", "server_list")).unwrap_or_default();
        let cluster_root =
            self.or_derived("meta_server", "cluster_root", || format!("/pegasus/{cluster_name}"));
        let data_dir = self.data_dir();
        let log_dir = self.log_dir(data_dir.as_deref());
        let (run, port) = (self.apps_text("run") != "false", self.port());
        let addresses =
            address::read(&self.settings, self.role, port, &meta_servers, self.problems);
        let replication = self.replication(data_dir.as_deref());
        let meta = self.meta(&cluster_root);
        let zookeeper = self.settings.typed::<ZookeeperConfig>(&["zookeeper"], self.problems);
        let engine = self.settings.typed::<EngineConfig>(&["pegasus.server"], self.problems);
        let collector = self.collector(&cluster_name);
        let log = self.settings.typed::<LogConfig>(&["core", "tools.simple_logger"], self.problems);
        let network = self.settings.typed::<NetworkConfig>(&["network"], self.problems);
        let http = self.settings.typed::<HttpConfig>(&["http"], self.problems);
        let metrics = self.settings.typed::<MetricsConfig>(&["metrics"], self.problems);
        let (addresses, data_dir) = (addresses?, data_dir?);
        let config = Config {
            role: self.role,
            file: self.path.to_owned(),
            run,
            meta_servers,
            cluster_name,
            cluster_root,
            app_dir: data_dir.join(self.role.name()),
            data_dir,
            log_dir: log_dir?,
            primary_address: addresses.advertised,
            listen: addresses.listen,
            prometheus_port: self.prometheus_port(),
            log: log?,
            network: network?,
            http: http?,
            metrics: metrics?,
            replication: replication?,
            meta: meta?,
            zookeeper: zookeeper?,
            engine: engine?,
            collector: collector?,
            clusters: self.clusters(),
            duplication_group: self.duplication_group(),
            settings: self.settings,
            warnings: Vec::new(),
        };
        check::groups(&config, &config.settings, self.problems);
        Some(config)
    }

    fn required(&mut self, section: &str, key: &str) -> String {
        let text = self.settings.text(section, key);
        // A value that was set but bad has its own message.
        if text.is_empty() && !self.settings.is_broken(section, key) {
            let message = format!("[{section}] {key} is missing or empty");
            self.problems.error(self.settings.place(section, key), message);
        }
        text
    }

    fn or_derived(&self, section: &str, key: &str, derived: impl FnOnce() -> String) -> String {
        let text = self.settings.text(section, key);
        if text.is_empty() { derived() } else { text }
    }

    /// `[apps.<role>]`, which inherits from `[apps..default]` (spec config 1.3).
    fn apps_text(&self, key: &str) -> String {
        let own = format!("apps.{}", self.role);
        let set = self.settings.set_text(&own, key);
        let set = set.or_else(|| self.settings.set_text("apps..default", key));
        set.map_or_else(|| self.settings.text(&own, key), str::to_owned)
    }

    fn port(&self) -> u16 {
        let ports = self.apps_text("ports");
        let first = ports.split(',').next().unwrap_or_default();
        first.parse().unwrap_or_else(|_| self.role.default_port())
    }

    fn data_dir(&mut self) -> Option<PathBuf> {
        let text = self.required("core", "data_dir");
        match std::path::absolute(text) {
            Ok(path) => Some(path),
            Err(error) => {
                let place = self.settings.place("core", "data_dir");
                self.problems.error(place, format!("[core] data_dir: {error}"));
                None
            }
        }
    }

    fn log_dir(&mut self, data_dir: Option<&Path>) -> Option<PathBuf> {
        let text = self.settings.text("core", "log_dir");
        if text.is_empty() {
            return data_dir.map(|dir| dir.join("log"));
        }
        if !text.starts_with('/') {
            let message = format!("[core] log_dir = {text}: expected an absolute path");
            self.problems.error(self.settings.place("core", "log_dir"), message);
            return None;
        }
        Some(PathBuf::from(text))
    }

    fn replication(&mut self, data_dir: Option<&Path>) -> Option<ReplicationConfig> {
        let typed = self.settings.typed::<ReplicationConfig>(&["replication"], self.problems);
        let mut replication = typed?;
        if replication.shard_count == 0 {
            replication.shard_count = std::thread::available_parallelism().map_or(1, usize::from);
        }
        if self.role == Role::Replica {
            let (dirs, out) = data_dirs::read(&self.settings, data_dir?, self.problems);
            replication.data_dirs = dirs;
            replication.blacklisted_tags = out;
        }
        Some(replication)
    }

    fn meta(&mut self, cluster_root: &str) -> Option<MetaConfig> {
        let sections = ["meta_server", "replication"];
        let mut meta = self.settings.typed::<MetaConfig>(&sections, self.problems)?;
        let words = meta.lock_root.split_whitespace().next();
        meta.lock_root = words.map_or_else(|| format!("{cluster_root}/lock"), str::to_owned);
        meta.default_tables = self.default_tables();
        Some(meta)
    }

    /// In the order of the section names, which is the order of the ids (spec config 1.8).
    fn default_tables(&mut self) -> Vec<DefaultTable> {
        let of_tables =
            |name: &&String| name.starts_with("meta_server.apps") || *name == "replication.app";
        let mut sections: Vec<String> =
            self.settings.sections().iter().filter(of_tables).cloned().collect();
        sections.sort();
        let mut tables: Vec<DefaultTable> = Vec::new();
        for section in sections {
            let Some(table) = self.default_table(&section) else {
                continue;
            };
            if tables.iter().any(|other| other.app_name == table.app_name) {
                let place = self.settings.place(&section, "app_name");
                self.problems.error(place, format!("table {} is there twice", table.app_name));
                continue;
            }
            tables.push(table);
        }
        tables
    }

    fn default_table(&mut self, section: &str) -> Option<DefaultTable> {
        let text = |key: &str| self.settings.text(section, key);
        let number = |key: &str| text(key).parse::<i32>().unwrap_or(1);
        let table = DefaultTable {
            app_name: text("app_name"),
            app_type: text("app_type"),
            partition_count: number("partition_count"),
            max_replica_count: number("max_replica_count"),
            stateful: text("stateful") == "true",
            envs: Vec::new(),
        };
        if table.app_name.is_empty() {
            let message = format!("[{section}] has no app_name, ignored");
            self.problems.warning(self.settings.place(section, "app_name"), message);
            return None;
        }
        let envs = text("envs");
        let mut table = table;
        for item in value::items(&envs) {
            match item.split_once('=') {
                Some((key, env)) if !key.trim().is_empty() => {
                    table.envs.push((key.trim().to_owned(), env.trim().to_owned()));
                }
                _ => {
                    let message = format!("[{section}] envs: \"{item}\" (expected NAME=VALUE,...)");
                    self.problems.error(self.settings.place(section, "envs"), message);
                }
            }
        }
        Some(table)
    }

    fn collector(&mut self, cluster: &str) -> Option<CollectorConfig> {
        let sections = ["pegasus.collector"];
        let mut collector = self.settings.typed::<CollectorConfig>(&sections, self.problems)?;
        collector.finish(cluster);
        Some(collector)
    }

    /// Our own key wins when it is set at all; otherwise the reference's two keys decide.
    fn prometheus_port(&self) -> Option<u16> {
        let port = match self.settings.set_text("network", "prometheus_port") {
            Some(own) => own.to_owned(),
            None if self.settings.text("pegasus.server", "perf_counter_sink") == "prometheus" => {
                self.settings.text("pegasus.server", "prometheus_port")
            }
            None => return None,
        };
        port.parse().ok().filter(|port| *port != 0)
    }

    fn clusters(&self) -> BTreeMap<String, Vec<NodeId>> {
        let keys = self.settings.keys_set("pegasus.clusters").into_iter();
        keys.map(|(name, list)| (name.to_owned(), value::nodes(list).unwrap_or_default())).collect()
    }

    fn duplication_group(&mut self) -> BTreeMap<String, u8> {
        const SECTION: &str = "duplication-group";
        let mut by_id: BTreeMap<u8, String> = BTreeMap::new();
        let mut group = BTreeMap::new();
        for (name, id) in self.settings.keys_set(SECTION) {
            let Ok(id) = id.parse::<u8>() else { continue };
            if let Some(other) = by_id.insert(id, name.to_owned()) {
                let message = format!("[{SECTION}] {name} = {id}: {other} has this id already");
                self.problems.error(self.settings.place(SECTION, name), message);
            }
            group.insert(name.to_owned(), id);
        }
        group
    }
}

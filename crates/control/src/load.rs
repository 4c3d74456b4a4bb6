//! From the store into memory (`spec/meta.md` 2.6).

use std::collections::BTreeMap;

use pegasus_types::{AppInfo, AppStatus, Ballot, PartitionConfig, PartitionId, Tick};

use crate::loads::Loads;
use crate::partition::{MAX_LAST_DROPS, Partition};
use crate::state::{App, ClusterState, Phase};
use crate::store::{
    StoreError, UNLOCKED, app_path, apps_root, decode_app, decode_partition, partition_path,
};
use crate::writes::Purpose;
use crate::{DefaultApp, Effect, Effects, StoreOp};

/// Content of the apps node while the default tables are being made.
const LOCKED: &str = "lock";

impl ClusterState {
    /// Replaces everything by what the store says and finishes what a crash interrupted.
    pub(crate) fn load(&mut self, nodes: &[(String, String)], out: &mut Effects) {
        self.forget();
        let nodes: BTreeMap<&str, &str> =
            nodes.iter().map(|(path, data)| (path.as_str(), data.as_str())).collect();
        let root = apps_root(&self.options.cluster_root);
        let loaded = read_apps(&self.options.cluster_root, &nodes, self.now);
        let content = nodes.get(root.as_str()).copied();
        let (apps, new_store) = match (loaded, content) {
            (Err(error), _) => return fail(&error, out),
            (Ok(apps), None | Some("" | LOCKED | UNLOCKED)) => {
                let empty = apps.is_empty() && content != Some(UNLOCKED);
                (apps, empty || content == Some(LOCKED))
            }
            (Ok(_), Some(other)) => {
                let problem = format!("unexpected content \"{other}\"");
                return fail(&StoreError { path: root, problem }, out);
            }
        };
        for app in apps {
            if let Err(problem) = self.adopt(app) {
                self.forget();
                return fail(&StoreError { path: root, problem }, out);
            }
        }
        self.phase = Phase::Serving;
        self.dirty = self.apps.values().flat_map(|a| &a.partitions).map(|p| p.config.pid).collect();
        if new_store {
            self.bootstrap(root, out);
        }
        self.continue_tables(out);
    }

    fn forget(&mut self) {
        self.phase = Phase::Idle;
        self.level = self.options.function_level_on_start;
        self.nodes.clear();
        self.apps.clear();
        self.names.clear();
        self.next_app_id = 1;
        self.bootstrapping = false;
        self.loads = Loads::default();
        self.writes.abandon();
        self.parked.clear();
        self.dirty.clear();
        self.ill.clear();
        self.settled = false;
        self.pushes.clear();
        self.version += 1;
    }

    /// Takes a loaded table over; everything that its configurations name is presumed to live.
    fn adopt(&mut self, mut app: App) -> Result<(), String> {
        self.version += 1;
        app.version = self.version;
        let info = &app.info;
        self.next_app_id = self.next_app_id.max(info.app_id.saturating_add(1));
        if info.status != AppStatus::Dropped {
            let other = self.names.insert(info.app_name.clone(), info.app_id);
            if let Some(other) = other {
                return Err(format!(
                    "tables {other} and {} have the same name {}",
                    info.app_id, info.app_name
                ));
            }
        }
        for partition in &app.partitions {
            for node in partition.config.members() {
                self.nodes.presume(self.now, node);
            }
            self.loads.add(&partition.config);
        }
        self.apps.insert(app.info.app_id, app);
        Ok(())
    }

    /// A new store: says that it is being set up, and makes the default tables.
    fn bootstrap(&mut self, root: String, out: &mut Effects) {
        let none = self.options.default_apps.is_empty();
        let data = if none { UNLOCKED } else { LOCKED }.to_owned();
        self.bootstrapping = !none;
        self.writes.begin(vec![StoreOp::Set { path: root, data }], Purpose::Root, out);
    }

    pub(crate) fn root_persisted(&mut self, out: &mut Effects) {
        if self.bootstrapping {
            for default in self.options.default_apps.clone() {
                if !self.names.contains_key(&default.app_name) {
                    let info = self.default_info(default);
                    self.begin_create(info, None, out);
                }
            }
            // All of them may exist already.
            self.end_bootstrap(out);
        }
    }

    fn default_info(&self, default: DefaultApp) -> AppInfo {
        AppInfo {
            status: AppStatus::Creating,
            app_type: default.app_type,
            app_name: default.app_name,
            app_id: self.next_app_id,
            partition_count: default.partition_count.max(1),
            envs: default.envs,
            is_stateful: true,
            max_replica_count: default.max_replica_count.max(1),
            expire_second: 0,
            create_second: self.unix_secs,
            drop_second: 0,
            duplicating: false,
            init_partition_count: default.partition_count.max(1),
            is_bulk_loading: false,
            atomic_idempotent: false,
        }
    }
}

fn fail(error: &StoreError, out: &mut Effects) {
    out.push(Effect::LoadFailed { reason: error.to_string() });
}

fn read_apps(
    cluster_root: &str,
    nodes: &BTreeMap<&str, &str>,
    now: Tick,
) -> Result<Vec<App>, StoreError> {
    let prefix = format!("{}/", apps_root(cluster_root));
    let mut apps = Vec::new();
    for (path, data) in nodes.range(prefix.as_str()..) {
        let Some(rest) = path.strip_prefix(prefix.as_str()) else {
            break;
        };
        // Only direct children that are table ids; anything else there is not ours.
        let Ok(app_id) = rest.parse::<i32>() else {
            continue;
        };
        let info = decode_app(path, data)?;
        if info.app_id != app_id || app_path(cluster_root, app_id) != **path {
            let problem = format!("holds table {}", info.app_id);
            return Err(StoreError { path: (*path).to_owned(), problem });
        }
        apps.push(read_partitions(cluster_root, nodes, info, now)?);
    }
    Ok(apps)
}

fn read_partitions(
    cluster_root: &str,
    nodes: &BTreeMap<&str, &str>,
    info: AppInfo,
    now: Tick,
) -> Result<App, StoreError> {
    let available = info.status == AppStatus::Available;
    let mut partitions = Vec::new();
    let mut unfinished = false;
    for index in 0..info.partition_count {
        let pid = PartitionId::new(info.app_id, index);
        let path = partition_path(cluster_root, pid);
        let Some(data) = nodes.get(path.as_str()) else {
            let config = PartitionConfig::new(pid, info.max_replica_count);
            partitions.push(Partition { stored: false, ..Partition::new(config, now) });
            unfinished = true;
            continue;
        };
        let (config, dropped) = decode_partition(&path, data, pid)?;
        check_config(&path, &config)?;
        if available && dropped {
            let problem = "flagged as dropped although its table is not".to_owned();
            return Err(StoreError { path, problem });
        }
        unfinished |= !available && !dropped;
        let drops = config.last_drops.iter().map(|node| (node.clone(), now)).collect();
        partitions.push(Partition { dropped, drops, ..Partition::new(config, now) });
    }
    let mut app = App::new(info, partitions);
    if unfinished {
        app.begun = true;
        app.keep_trying = true;
        app.info.status = if available { AppStatus::Creating } else { AppStatus::Dropping };
    }
    Ok(app)
}

fn check_config(path: &str, config: &PartitionConfig) -> Result<(), StoreError> {
    let bad =
        |problem: &str| Err(StoreError { path: path.to_owned(), problem: problem.to_owned() });
    let members: Vec<_> = config.members().collect();
    let unique: std::collections::BTreeSet<_> = members.iter().collect();
    if unique.len() != members.len() {
        return bad("a node is listed as a member twice");
    }
    if config.last_drops.iter().any(|node| config.is_member(node)) {
        return bad("a member is also listed in last_drops");
    }
    if config.last_drops.len() > MAX_LAST_DROPS {
        return bad("too many entries in last_drops");
    }
    if config.ballot > Ballot::ZERO && members.is_empty() && config.last_drops.is_empty() {
        return bad("a partition that had members names none");
    }
    Ok(())
}

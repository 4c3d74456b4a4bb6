use std::collections::BTreeMap;
use std::sync::Arc;

use pegasus_control::{ClusterState, FunctionLevel, Health, Liveness};
use pegasus_types::{AppInfo, NodeId, PartitionConfig};

/// A copy of the cluster state for readers. Tables that did not change are shared with the view
/// before.
#[derive(Clone, Debug, Default)]
pub struct View {
    pub version: u64,
    pub serving: bool,
    pub level: FunctionLevel,
    /// By id, dropped ones too.
    pub apps: BTreeMap<i32, Arc<AppView>>,
    /// Names in use.
    pub names: BTreeMap<String, i32>,
    pub nodes: Vec<NodeView>,
}

#[derive(Clone, Debug)]
pub struct AppView {
    pub version: u64,
    pub info: AppInfo,
    /// By index, with their health.
    pub partitions: Vec<(PartitionConfig, Health)>,
}

#[derive(Clone, Debug)]
pub struct NodeView {
    pub id: NodeId,
    /// Not known to be dead.
    pub alive: bool,
    pub primaries: usize,
    pub secondaries: usize,
}

impl View {
    /// What `state` looks like now.
    pub fn next(&self, state: &ClusterState) -> View {
        let apps: BTreeMap<i32, Arc<AppView>> =
            state.apps().map(|info| (info.app_id, self.app_view(state, info))).collect();
        let in_use = |info: &&AppInfo| state.app(&info.app_name).is_some_and(|app| app == *info);
        let names = state.apps().filter(in_use);
        let names = names.map(|info| (info.app_name.clone(), info.app_id)).collect();
        let nodes = node_views(state, &apps);
        View {
            version: state.version(),
            serving: state.is_serving(),
            level: state.effective_level(),
            apps,
            names,
            nodes,
        }
    }

    fn app_view(&self, state: &ClusterState, info: &AppInfo) -> Arc<AppView> {
        let version = state.app_version(info.app_id).unwrap_or(0);
        if let Some(known) = self.apps.get(&info.app_id)
            && known.version == version
        {
            return Arc::clone(known);
        }
        let partitions = state
            .partitions(info.app_id)
            .map(|config| (config.clone(), state.health(config.pid).unwrap_or(Health::Dead)));
        Arc::new(AppView { version, info: info.clone(), partitions: partitions.collect() })
    }

    pub fn app(&self, name: &str) -> Option<&Arc<AppView>> {
        self.names.get(name).and_then(|app_id| self.apps.get(app_id))
    }
}

fn node_views(state: &ClusterState, apps: &BTreeMap<i32, Arc<AppView>>) -> Vec<NodeView> {
    let mut nodes: BTreeMap<NodeId, NodeView> = BTreeMap::new();
    for node in state.nodes() {
        let alive = node.liveness != Liveness::Dead;
        let view = NodeView { id: node.id.clone(), alive, primaries: 0, secondaries: 0 };
        nodes.insert(node.id.clone(), view);
    }
    for (config, _) in apps.values().flat_map(|app| &app.partitions) {
        for member in config.members() {
            if let Some(node) = nodes.get_mut(member) {
                if config.is_primary(member) {
                    node.primaries += 1;
                } else {
                    node.secondaries += 1;
                }
            }
        }
    }
    nodes.into_values().collect()
}

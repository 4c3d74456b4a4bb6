use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use pegasus_types::{AppStatus, PartitionConfig};
use serde_json::{Map, Value, json};

use super::{Refusal, has, line, parameters};
use crate::clock::format_secs;
use crate::shared::Shared;
use crate::view::AppView;

/// How many partitions of a table are in which state, as the shell counts: fewer than two members
/// cannot be written whatever the table's replica count is (`spec/meta.md` 4.7).
#[derive(Default)]
struct Counts {
    healthy: usize,
    unhealthy: usize,
    write_unhealthy: usize,
    read_unhealthy: usize,
}

impl Counts {
    fn of(app: &AppView) -> Counts {
        let mut counts = Counts::default();
        for (config, _) in &app.partitions {
            let members = config.member_count();
            let wanted = usize::try_from(config.max_replica_count).unwrap_or(0);
            if config.primary.is_none() {
                counts.unhealthy += 1;
                counts.write_unhealthy += 1;
                counts.read_unhealthy += 1;
            } else if members >= wanted {
                counts.healthy += 1;
            } else {
                counts.unhealthy += 1;
                counts.write_unhealthy += usize::from(members < 2);
            }
        }
        counts
    }
}

pub async fn apps(State(shared): State<Arc<Shared>>, uri: Uri) -> Result<Response, Refusal> {
    let parameters = parameters(&uri, &["detail"])?;
    let view = shared.view.load();
    let available = view.apps.values().filter(|app| app.info.status == AppStatus::Available);
    let available: Vec<_> = available.collect();
    let general: Map<String, Value> =
        available.iter().map(|app| (app.info.app_id.to_string(), general(app))).collect();
    let total = available.len();
    if !has(&parameters, "detail") {
        let summary = json!({ "total_app_count": total.to_string() });
        return Ok(line(&json!({ "general_info": general, "summary": summary })));
    }
    let mut healthy = Map::new();
    let (mut sick, mut unwritable, mut unreadable) = (0_usize, 0_usize, 0_usize);
    for app in &available {
        let counts = Counts::of(app);
        sick += usize::from(counts.unhealthy > 0);
        unwritable += usize::from(counts.write_unhealthy > 0);
        unreadable += usize::from(counts.read_unhealthy > 0);
        let shown = json!({
            "app_id": app.info.app_id.to_string(),
            "app_name": app.info.app_name,
            "partition_count": app.info.partition_count.to_string(),
            "fully_healthy": counts.healthy.to_string(),
            "unhealthy": counts.unhealthy.to_string(),
            "write_unhealthy": counts.write_unhealthy.to_string(),
            "read_unhealthy": counts.read_unhealthy.to_string(),
        });
        healthy.insert(app.info.app_id.to_string(), shown);
    }
    Ok(line(&json!({
        "general_info": general,
        "healthy_info": healthy,
        "summary": {
            "total_app_count": total.to_string(),
            "fully_healthy_app_count": total.saturating_sub(sick).to_string(),
            "unhealthy_app_count": sick.to_string(),
            "write_unhealthy_app_count": unwritable.to_string(),
            "read_unhealthy_app_count": unreadable.to_string(),
        },
    })))
}

fn general(app: &Arc<AppView>) -> Value {
    let info = &app.info;
    json!({
        "app_id": info.app_id.to_string(),
        "status": "AVAILABLE",
        "app_name": info.app_name,
        "app_type": info.app_type,
        "partition_count": info.partition_count.to_string(),
        "replica_count": info.max_replica_count.to_string(),
        "is_stateful": info.is_stateful.to_string(),
        "create_time": format_secs(info.create_second),
        "drop_time": format_secs(info.drop_second),
        "drop_expire": format_secs(info.expire_second),
        "envs_count": info.envs.len().to_string(),
    })
}

fn name(parameters: &[(String, String)]) -> Result<&str, Refusal> {
    let name = parameters.iter().find(|(key, _)| key == "name").map(|(_, value)| value.as_str());
    name.filter(|name| !name.is_empty()).ok_or(Refusal::NoName)
}

pub async fn app(State(shared): State<Arc<Shared>>, uri: Uri) -> Result<Response, Refusal> {
    let parameters = parameters(&uri, &["name", "detail"])?;
    let name = name(&parameters)?;
    let app = shared.view.load().app(name).cloned();
    let app = app.ok_or_else(|| Refusal::NoTable(name.to_owned()))?;
    let general = json!({
        "app_name": app.info.app_name,
        "app_id": app.info.app_id.to_string(),
        "partition_count": app.info.partition_count.to_string(),
        "max_replica_count": app.info.max_replica_count.to_string(),
    });
    if !has(&parameters, "detail") {
        return Ok(line(&json!({ "general": general })));
    }
    let configs = || app.partitions.iter().map(|(config, _)| config);
    let replicas: Map<String, Value> =
        configs().map(|config| (config.pid.index.to_string(), replicas(config))).collect();
    let counts = Counts::of(&app);
    Ok(line(&json!({
        "general": general,
        "replicas": replicas,
        "nodes": per_node(configs()),
        "healthy": {
            "fully_healthy_partition_count": counts.healthy.to_string(),
            "unhealthy_partition_count": counts.unhealthy.to_string(),
            "write_unhealthy_partition_count": counts.write_unhealthy.to_string(),
            "read_unhealthy_partition_count": counts.read_unhealthy.to_string(),
        },
    })))
}

fn replicas(config: &PartitionConfig) -> Value {
    let secondaries: Vec<String> = config.secondaries.iter().map(ToString::to_string).collect();
    let primary = config.primary.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
    json!({
        "pidx": config.pid.index.to_string(),
        "ballot": config.ballot.to_string(),
        "replica_count": format!("{}/{}", config.member_count(), config.max_replica_count),
        "primary": primary,
        "secondaries": format!("[{}]", secondaries.join(",")),
    })
}

fn per_node<'a>(configs: impl Iterator<Item = &'a PartitionConfig>) -> Value {
    let mut nodes: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let mut total = (0_usize, 0_usize);
    for config in configs {
        for member in config.members() {
            let count = nodes.entry(member.to_string()).or_default();
            if config.is_primary(member) {
                count.0 += 1;
                total.0 += 1;
            } else {
                count.1 += 1;
                total.1 += 1;
            }
        }
    }
    let rows = nodes.into_iter().chain([("total".to_owned(), total)]);
    let rows = rows.map(|(node, (primaries, secondaries))| {
        let shown = json!({
            "node": node,
            "primary": primaries.to_string(),
            "secondary": secondaries.to_string(),
            "total": primaries.saturating_add(secondaries).to_string(),
        });
        (node, shown)
    });
    Value::Object(rows.collect())
}

/// An unknown table has no variables, as in the reference.
pub async fn envs(State(shared): State<Arc<Shared>>, uri: Uri) -> Result<Response, Refusal> {
    let parameters = parameters(&uri, &["name"])?;
    let name = name(&parameters)?;
    let envs = shared.view.load().app(name).map(|app| app.info.envs.clone()).unwrap_or_default();
    Ok(line(&json!(envs)))
}

//! HTTP on the main port: version, and what this node hosts.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::response::Response;
use axum::routing::get;
use pegasus_net::http;
use pegasus_types::ReplicaStatus;
use serde::{Deserialize, Serialize};

use crate::shared::Shared;
use crate::table::Hosted;

/// The routes of a replica server.
pub fn router(shared: Arc<Shared>) -> Router {
    let routes = Router::new()
        .route("/version", get(version))
        .route("/recentStartTime", get(start_time))
        .route("/replica/list", get(replicas))
        .with_state(shared);
    http::router().merge(routes)
}

async fn version() -> Response {
    http::json(&serde_json::json!({
        "Version": env!("CARGO_PKG_VERSION"),
        "GitCommit": option_env!("PEGASUS_GIT_SHA").unwrap_or("unknown"),
    }))
}

async fn start_time(State(shared): State<Arc<Shared>>) -> Response {
    let seconds = shared.identity.incarnation / 1_000_000;
    http::json(&serde_json::json!({ "RecentStartTime": seconds.to_string() }))
}

#[derive(Deserialize)]
struct Filter {
    app_id: Option<i32>,
}

/// One hosted replica, as `/replica/list` shows it.
#[derive(Serialize)]
struct Listed {
    pid: String,
    app_name: String,
    status: &'static str,
    ballot: i64,
    prepared: i64,
    committed: i64,
    applied: i64,
    durable: i64,
    suspect: bool,
    disk: String,
    shard: usize,
}

async fn replicas(State(shared): State<Arc<Shared>>, Query(filter): Query<Filter>) -> Response {
    let table = shared.table.load();
    let mut hosted: Vec<&Arc<Hosted>> = table
        .values()
        .filter(|hosted| filter.app_id.is_none_or(|app_id| app_id == hosted.pid.app_id))
        .collect();
    hosted.sort_by_key(|hosted| hosted.pid);
    let replicas: Vec<Listed> = hosted.into_iter().map(|hosted| listed(hosted)).collect();
    let broken: Vec<_> = shared
        .table
        .broken()
        .into_iter()
        .map(|(pid, broken)| {
            serde_json::json!({
                "pid": pid.to_string(),
                "disk": broken.disk_tag,
                "reason": broken.reason,
            })
        })
        .collect();
    http::json(&serde_json::json!({
        "node": shared.me.to_string(),
        "replicas": replicas,
        "broken": broken,
    }))
}

fn listed(hosted: &Hosted) -> Listed {
    let report = hosted.report();
    Listed {
        pid: hosted.pid.to_string(),
        app_name: hosted.app.load().app_name.clone(),
        status: status_name(report.status),
        ballot: report.ballot.0,
        prepared: report.prepared.0,
        committed: report.committed.0,
        applied: hosted.applied().0,
        durable: report.durable.0,
        suspect: report.suspect,
        disk: report.disk_tag,
        shard: hosted.shard,
    }
}

/// The names that operators know (`partition_status` of `spec/wire.md` 3.13).
fn status_name(status: ReplicaStatus) -> &'static str {
    match status {
        ReplicaStatus::Inactive => "PS_INACTIVE",
        ReplicaStatus::Error => "PS_ERROR",
        ReplicaStatus::Primary => "PS_PRIMARY",
        ReplicaStatus::Secondary => "PS_SECONDARY",
        ReplicaStatus::Learner => "PS_POTENTIAL_SECONDARY",
    }
}

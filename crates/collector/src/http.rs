//! What the collector answers over HTTP.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use pegasus_net::http::{json, not_found};
use pegasus_types::NodeId;
use serde_json::json as value;

use crate::board::Board;

/// What the handlers know.
#[derive(Clone, Debug)]
pub struct Facts {
    pub board: Arc<Board>,
    pub cluster: String,
    pub node: NodeId,
    /// For `/version`.
    pub version: String,
    pub git_commit: String,
}

/// `/availability`, `/version` and a small `/metrics` in the form of
/// `spec/config-envs-metrics.md` 4.2.
pub fn routes(facts: Facts) -> Router {
    Router::new()
        .fallback(not_found)
        .route("/availability", get(availability))
        .route("/version", get(version))
        .route("/metrics", get(metrics))
        .with_state(facts)
}

async fn availability(State(facts): State<Facts>) -> Response {
    json(&facts.board.to_json())
}

async fn version(State(facts): State<Facts>) -> Response {
    json(&value!({ "Version": facts.version, "GitCommit": facts.git_commit }))
}

async fn metrics(State(facts): State<Facts>) -> Response {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let metrics = facts.board.metrics();
    let metrics =
        metrics.into_iter().map(|(name, number)| value!({ "name": name, "value": number }));
    json(&value!({
        "cluster": facts.cluster,
        "role": "collector",
        "host": facts.node.host(),
        "port": facts.node.port(),
        "timestamp_ns": u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX),
        "entities": [{
            "type": "server",
            "id": "server",
            "attributes": {},
            "metrics": metrics.collect::<Vec<_>>(),
        }],
    }))
}

//! HTTP on the main port (`spec/admin.md` 5).

mod tables;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use pegasus_net::http::{self, BadQuery};
use serde_json::{Map, Value, json};

use crate::cluster_info;
use crate::shared::Shared;

pub fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/version", get(version))
        .route("/recentStartTime", get(start_time))
        .route("/meta/cluster", get(cluster))
        .route("/meta/nodes", get(nodes))
        .route("/meta/apps", get(tables::apps))
        .route("/meta/app", get(tables::app))
        .route("/meta/app_envs", get(tables::envs))
        .fallback(http::not_found)
        .with_state(shared)
}

/// A line of JSON as plain text, as the reference sends it.
fn line(value: &Value) -> Response {
    http::text(StatusCode::OK, format!("{value}\n"))
}

/// Why a request has no answer.
#[derive(Debug)]
enum Refusal {
    Query(BadQuery),
    UnknownParameter,
    NoName,
    NoTable(String),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Refusal::Query(problem) => problem.into_response(),
            Refusal::UnknownParameter => http::bad_request(""),
            Refusal::NoName => http::bad_request("app name shouldn't be empty"),
            Refusal::NoTable(name) => {
                http::text(StatusCode::NOT_FOUND, format!("table not found: \"{name}\""))
            }
        }
    }
}

/// The parameters, if there are none but these.
fn parameters(uri: &Uri, known: &[&str]) -> Result<Vec<(String, String)>, Refusal> {
    let parameters = http::query(uri).map_err(Refusal::Query)?;
    if parameters.iter().any(|(name, _)| !known.contains(&name.as_str())) {
        return Err(Refusal::UnknownParameter);
    }
    Ok(parameters)
}

/// A flag is on when it is there, whatever its value.
fn has(parameters: &[(String, String)], name: &str) -> bool {
    parameters.iter().any(|(known, _)| known == name)
}

async fn version() -> Response {
    line(&json!({
        "Version": env!("CARGO_PKG_VERSION"),
        "GitCommit": option_env!("PEGASUS_GIT_SHA").unwrap_or("unknown"),
    }))
}

async fn start_time(State(shared): State<Arc<Shared>>) -> Response {
    let seconds = shared.identity.incarnation / 1_000_000;
    line(&json!({ "RecentStartTime": seconds.to_string() }))
}

async fn cluster(State(shared): State<Arc<Shared>>) -> Response {
    let view = shared.view.load();
    let pairs = cluster_info::pairs(&shared, &view);
    let object: Map<String, Value> =
        pairs.into_iter().map(|(key, value)| (key.to_owned(), Value::from(value))).collect();
    line(&Value::Object(object))
}

async fn nodes(State(shared): State<Arc<Shared>>, uri: Uri) -> Result<Response, Refusal> {
    let detail = has(&parameters(&uri, &["detail"])?, "detail");
    let view = shared.view.load();
    let mut details = Map::new();
    for node in &view.nodes {
        let status = if node.alive { "ALIVE" } else { "UNALIVE" };
        let mut shown = Map::new();
        shown.insert("address".to_owned(), node.id.to_string().into());
        shown.insert("status".to_owned(), status.into());
        if detail {
            let total = node.primaries.saturating_add(node.secondaries);
            shown.insert("replica_count".to_owned(), total.to_string().into());
            shown.insert("primary_count".to_owned(), node.primaries.to_string().into());
            shown.insert("secondary_count".to_owned(), node.secondaries.to_string().into());
        }
        details.insert(node.id.to_string(), Value::Object(shown));
    }
    let total = view.nodes.len();
    let alive = view.nodes.iter().filter(|node| node.alive).count();
    Ok(line(&json!({
        "details": details,
        "summary": {
            "total_node_count": total.to_string(),
            "alive_node_count": alive.to_string(),
            "unalive_node_count": (total - alive).to_string(),
        },
    })))
}

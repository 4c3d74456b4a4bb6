use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::path::percent_decode;

/// A router that answers unknown paths as the reference does.
pub fn router() -> axum::Router {
    axum::Router::new().fallback(not_found)
}

/// Plain text.
pub fn text(status: StatusCode, body: impl Into<String>) -> Response {
    respond(status, "text/plain", body.into())
}

/// 400 with an explanation.
pub fn bad_request(body: impl Into<String>) -> Response {
    text(StatusCode::BAD_REQUEST, body)
}

/// 200 with a value as compact JSON; 500 if it cannot be written as JSON.
pub fn json<T: Serialize + ?Sized>(value: &T) -> Response {
    match serde_json::to_string(value) {
        Ok(body) => respond(StatusCode::OK, "application/json", body),
        Err(e) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("cannot encode the answer: {e}")),
    }
}

/// 307 to another address, e.g. that of the leader.
pub fn redirect(location: &str) -> Response {
    let mut response = text(StatusCode::TEMPORARY_REDIRECT, "");
    match HeaderValue::from_str(location) {
        Ok(location) => {
            response.headers_mut().insert(header::LOCATION, location);
            response
        }
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "bad redirect address"),
    }
}

/// 404 with the reference's text (`spec/admin.md` 5.1).
pub async fn not_found(uri: Uri) -> Response {
    let path = percent_decode(uri.path()).unwrap_or_else(|| uri.path().to_owned());
    let path = path.trim_start_matches('/');
    text(StatusCode::NOT_FOUND, format!("service not found for \"{path}\""))
}

fn respond(status: StatusCode, content_type: &'static str, body: String) -> Response {
    let content_type = [(header::CONTENT_TYPE, HeaderValue::from_static(content_type))];
    (status, content_type, Body::from(body)).into_response()
}

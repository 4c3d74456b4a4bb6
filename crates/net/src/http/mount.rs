use std::convert::Infallible;
use std::io::Cursor;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::{HeaderValue, Method, Request, StatusCode, header};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tracing::{debug, warn};

use super::path::normalise;
use super::respond::{bad_request, text};

/// A request's head must arrive within this time; it is also how long a kept-alive connection may
/// be idle. The body has as long again.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest body of a request, bytes.
const MAX_BODY: usize = 4 << 20;

/// Serve HTTP/1 on a connection whose first 4 bytes were read as `magic`. Handlers find the
/// client's address as `ConnectInfo<SocketAddr>`.
pub(crate) async fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    magic: [u8; 4],
    router: axum::Router,
    shutdown: &CancellationToken,
) {
    let (reader, writer) = stream.into_split();
    let io = tokio::io::join(Cursor::new(magic).chain(reader), writer);
    let service = service_fn(move |request| respond(router.clone(), peer, request));
    // The reference sends no Date header and capital header names; some readers are picky.
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .auto_date_header(false)
        .title_case_headers(true)
        .half_close(true)
        .serve_connection(TokioIo::new(io), service);
    let mut connection = pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    match result {
        Ok(()) => {}
        Err(e) if e.is_parse() => warn!(%peer, "HTTP connection closed: {e}"),
        Err(e) => debug!(%peer, "HTTP connection closed: {e}"),
    }
}

async fn respond(
    router: axum::Router,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response, Infallible> {
    // A connection is only recognised by GET and POST, so its later requests are held to that.
    if !matches!(*request.method(), Method::GET | Method::POST) {
        let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and POST are supported");
        refusal.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, POST"));
        return Ok(close(refusal));
    }
    let (mut head, body) = request.into_parts();
    // Taken in full before the handler runs: most handlers ignore it, and a body that arrives
    // after its response costs the connection.
    let whole = to_bytes(Body::new(body), MAX_BODY);
    let body = match timeout(HEAD_TIMEOUT, whole).await {
        Ok(Ok(body)) => body,
        Ok(Err(e)) => return Ok(close(bad_request(format!("cannot read the body: {e}")))),
        Err(_) => return Ok(close(bad_request("the body did not arrive in time"))),
    };
    if let Some(uri) = normalise(&head.uri) {
        head.uri = uri;
    }
    head.extensions.insert(ConnectInfo(peer));
    router.oneshot(Request::from_parts(head, Body::from(body))).await
}

/// The connection cannot go on after this response.
fn close(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

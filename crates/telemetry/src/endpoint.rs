use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::http::header;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::prometheus::Metrics;

/// Content type of the Prometheus text format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

const UPKEEP_PERIOD: Duration = Duration::from_secs(5);

/// A running `/metrics` endpoint; it ends when this is dropped.
#[derive(Debug)]
pub struct PrometheusEndpoint {
    address: SocketAddr,
    tasks: [JoinHandle<()>; 2],
}

impl PrometheusEndpoint {
    /// Where it listens, with the real port if 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for PrometheusEndpoint {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Serves `GET /metrics` on `address`, on the current tokio runtime. Fails if the address cannot be
/// bound.
pub async fn serve_prometheus(
    address: SocketAddr,
    metrics: Metrics,
) -> io::Result<PrometheusEndpoint> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let shown = metrics.clone();
    let text = move || {
        let text = shown.render();
        async move { ([(header::CONTENT_TYPE, CONTENT_TYPE)], text) }
    };
    let router = Router::new().route("/metrics", get(text));
    let server = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%address, %error, "the Prometheus endpoint ended");
        }
    });
    let upkeep = tokio::spawn(async move {
        let mut ticks = tokio::time::interval(UPKEEP_PERIOD);
        loop {
            ticks.tick().await;
            metrics.upkeep();
        }
    });
    Ok(PrometheusEndpoint { address, tasks: [server, upkeep] })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    async fn request(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn the_text_is_served() {
        let (metrics, recorder) = crate::prometheus::tests::local();
        metrics::with_local_recorder(&recorder, || metrics::gauge!("pegasus_x").set(5.0));
        let endpoint = serve_prometheus(([127, 0, 0, 1], 0).into(), metrics.clone()).await.unwrap();
        let answer = request(endpoint.address(), "/metrics").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains("version=0.0.4"), "{answer}");
        assert!(answer.contains("pegasus_x{cluster=\"c1\",role=\"meta\"} 5"), "{answer}");
        assert!(request(endpoint.address(), "/other").await.starts_with("HTTP/1.1 404"));
        let taken = serve_prometheus(endpoint.address(), metrics).await;
        assert_eq!(taken.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}

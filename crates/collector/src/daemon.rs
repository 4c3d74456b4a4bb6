use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use pegasus_client::{Client, ClientOptions};
use pegasus_config::Config;
use pegasus_net::{
    CancellationToken, Doors, Identity, Limits, PrivateAcceptor, ReplySender, RpcHandler, bind,
    serve,
};
use pegasus_protocol::frame::Request;
use pegasus_types::ErrorCode;
use tracing::info;

use crate::board::Board;
use crate::detector::{Detector, Mail, Settings};
use crate::http::{Facts, routes};

/// How long a missing table is left to the meta server to create.
const CREATE_AFTER: Duration = Duration::from_secs(60);

/// The collector offers no RPC: what it knows is read over HTTP.
#[derive(Clone)]
struct NoRpc;

impl RpcHandler for NoRpc {
    fn call(&self, _: Request, reply: ReplySender) {
        reply.error(ErrorCode::HandlerNotFound);
    }
}

/// Runs the collector until `shutdown`. Must be called inside a `tokio::task::LocalSet` on a
/// current-thread runtime.
///
/// # Errors
/// If the port cannot be opened.
pub async fn run(
    config: &Config,
    git_commit: &str,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let listener = bind(config.listen, false).context("opening the port")?;
    let settings = settings(config);
    let options = ClientOptions { timeout: settings.timeout, ..ClientOptions::default() };
    let client =
        Client::connect(&config.meta_servers, options).context("[meta_server] server_list")?;
    let board = Arc::new(Board::new(&settings.cluster, &settings.table));
    let facts = Facts {
        board: Arc::clone(&board),
        cluster: config.cluster_name.clone(),
        node: config.primary_address.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        git_commit: git_commit.to_owned(),
    };
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let identity = Identity {
        cluster: config.cluster_name.clone(),
        node: config.primary_address.clone(),
        incarnation: u64::try_from(started.as_micros()).unwrap_or(u64::MAX),
    };
    let doors = Doors { rpc: NoRpc, http: routes(facts), private: PrivateAcceptor::new(identity) };
    let limits = Limits {
        conn_threshold_per_ip: usize::try_from(config.network.conn_threshold_per_ip)
            .unwrap_or(usize::MAX),
        ..Limits::default()
    };
    info!(node = %config.primary_address, listen = %config.listen, "collector is up");
    let detector = Arc::new(Detector::new(client, settings, board));
    let detecting = tokio::spawn(detector.run());
    serve(listener, doors, limits, shutdown).await;
    detecting.abort();
    // Its end is certain; nobody cares how.
    let _ = detecting.await;
    info!("collector has stopped");
    Ok(())
}

fn settings(config: &Config) -> Settings {
    let collector = &config.collector;
    let address = &collector.available_detect_alert_email_address;
    let mail = (!address.is_empty()).then(|| Mail {
        directory: collector.available_detect_alert_script_dir.clone(),
        address: address.clone(),
    });
    let days = u64::from(collector.capacity_unit_saving_ttl_days);
    Settings {
        cluster: collector.cluster.clone(),
        table: collector.available_detect_app.clone(),
        interval: Duration::from_millis(collector.available_detect_interval_ms.max(1)),
        timeout: Duration::from_millis(collector.available_detect_timeout_ms.max(1)),
        alert_after: collector.available_detect_alert_fail_count,
        mail,
        report_ttl: (days > 0).then(|| Duration::from_secs(days.saturating_mul(86_400))),
        create_after: CREATE_AFTER,
        prober: config.primary_address.to_string(),
    }
}

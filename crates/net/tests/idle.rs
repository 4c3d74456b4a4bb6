//! What idle connections cost; a process of its own, so that nothing else is measured.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use pegasus_net::Limits;

#[allow(dead_code)]
#[path = "net/support.rs"]
mod support;

use support::{Server, run};

/// Resident memory of this process, KiB.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}

#[test]
fn idle_connections_keep_no_large_buffers() {
    const CONNECTIONS: usize = 400;
    run(async {
        let server = Server::start(Limits::default());
        let large = "x".repeat(1 << 20);
        let before = resident();
        let mut clients = Vec::new();
        for _ in 0..CONNECTIONS {
            let mut client = server.client().await;
            client.get(1, &large).await;
            assert_eq!(client.value().await.1.len(), large.len());
            client.get(2, "small").await;
            client.value().await;
            clients.push(client);
        }
        let each = resident().saturating_sub(before) / CONNECTIONS;
        assert!(each < 64, "{each} KiB per idle connection");
        server.stop().await;
    });
}

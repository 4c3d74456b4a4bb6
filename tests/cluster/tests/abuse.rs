//! Rubbish on the public ports: the servers stay up, their memory stays bounded, and each bad
//! connection is closed.
#![allow(clippy::expect_used, clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use cluster_tests::{Cluster, Load, Shape, runtime};
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};

/// Resident memory of a process in KiB.
fn resident_kib(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
    let line = text.lines().find(|l| l.starts_with("VmRSS")).expect("VmRSS");
    line.split_whitespace().nth(1).expect("number").parse().expect("number")
}

/// Read until the peer closes; panics if it does not within `limit`.
fn expect_close(mut stream: TcpStream, limit: Duration, what: &str) {
    stream.set_read_timeout(Some(limit)).expect("timeout");
    let start = Instant::now();
    let mut buffer = [0u8; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(_) => assert!(start.elapsed() < limit, "{what}: not closed"),
            Err(e) if matches!(e.kind(), std::io::ErrorKind::ConnectionReset) => return,
            Err(e) => panic!("{what}: not closed within {limit:?}: {e}"),
        }
    }
}

/// A frame of a real client: GET of (hk, sk), THFT version 0.
fn good_frame() -> Vec<u8> {
    let text = include_str!("../../compat/golden/go_req_get.hex");
    let digits: String = text.split_whitespace().collect();
    (0..digits.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&digits[i..i + 2], 16).unwrap())
        .collect()
}

#[test]
fn rubbish_truncated_and_huge_frames_and_idle_connections_do_no_harm() {
    let mut cluster = Cluster::start(Shape::default());
    let targets = [cluster.meta_address(), cluster.replica_address(0)];
    let pid = cluster.replica_pid(0);

    // 1 000 idle connections, held until the end.
    let idle: Vec<TcpStream> = (0..1000)
        .map(|_| {
            let mut stream = TcpStream::connect(&targets[1]).expect("connect");
            stream.write_all(&good_frame()).expect("write");
            stream
        })
        .collect();
    let before = resident_kib(pid);

    // 1 GB of random bytes over many connections: most are closed at the first four bytes, so
    // half of them start like a frame.
    let mut rng = StdRng::seed_from_u64(7);
    let mut block = vec![0u8; 1 << 20];
    let mut sent = 0u64;
    let mut round = 0;
    while sent < 1 << 30 {
        let mut stream = TcpStream::connect(&targets[round % 2]).expect("connect");
        stream.set_write_timeout(Some(Duration::from_secs(10))).expect("timeout");
        rng.fill_bytes(&mut block);
        match round % 4 {
            0 => {}
            1 => block[..4].copy_from_slice(b"RDSN"),
            _ => {
                // A sound header that announces a body of 32 MB of rubbish.
                block[..16].copy_from_slice(&good_frame()[..16]);
                block[16..20].copy_from_slice(&(32u32 << 20).to_be_bytes());
            }
        }
        // What a refused connection did not take counts as offered all the same.
        for _ in 0..32 {
            sent += block.len() as u64;
            if stream.write_all(&block).is_err() {
                break;
            }
        }
        round += 1;
    }

    for target in &targets {
        let mut huge = good_frame();
        huge[16..20].copy_from_slice(&0x7fff_fff0u32.to_be_bytes());
        let mut stream = TcpStream::connect(target).expect("connect");
        stream.write_all(&huge).expect("write");
        expect_close(stream, Duration::from_secs(5), "a frame announcing 2 GB");

        let mut stream = TcpStream::connect(target).expect("connect");
        stream.write_all(&good_frame()[..60]).expect("write");
        stream.shutdown(std::net::Shutdown::Write).expect("shutdown");
        expect_close(stream, Duration::from_secs(5), "a truncated frame");

        let mut stream = TcpStream::connect(target).expect("connect");
        stream.write_all(b"SSH-2.0-nothing of ours\r\n").expect("write");
        expect_close(stream, Duration::from_secs(5), "an unknown protocol");
    }

    assert_eq!(cluster.dead_daemons(), Vec::<String>::new());
    let after = resident_kib(pid);
    assert!(after < before + 200 * 1024, "memory grew from {before} to {after} KiB");

    // The cluster still works, and so do the connections that were idle.
    let load = Load::start(cluster.meta_address(), "temp".to_owned(), 4, 200);
    cluster.wait_for(Duration::from_secs(20), "writes", |_| load.acked() == 200);
    drop(load.stop());
    for mut stream in idle {
        stream.set_read_timeout(Some(Duration::from_secs(5))).expect("timeout");
        let mut first = [0u8; 4];
        stream.read_exact(&mut first).expect("the answer of the first request");
    }
    let nodes = runtime().block_on(async {
        let options = pegasus_client::ClientOptions::default();
        let client =
            pegasus_client::Client::connect(cluster.meta_address().as_str(), options).unwrap();
        client.list_nodes(None).await.unwrap()
    });
    assert_eq!(nodes.len(), 3);
}

//! Garbage in: the connection is closed, one line is logged, and nothing else happens.

use std::time::Duration;

use bytes::BytesMut;
use pegasus_net::Limits;
use tokio::io::AsyncWriteExt;

use crate::support::{GET, LogLines, Server, call, run, until};

/// A THFT version 0 header that announces this many bytes.
fn announcement(length: u32) -> BytesMut {
    let mut header = BytesMut::new();
    header.extend_from_slice(b"THFT");
    for word in [0, 48, 0, length, 0, 0, 0, 0, 0, 0, 0] {
        header.extend_from_slice(&u32::to_be_bytes(word));
    }
    header
}

fn rdsn_announcement(length: u32) -> BytesMut {
    let mut header = BytesMut::from(&b"RDSN"[..]);
    for word in [0, 192, 0, length] {
        header.extend_from_slice(&u32::to_le_bytes(word));
    }
    header.resize(192, 0);
    header
}

#[test]
fn garbage_closes_the_connection_with_one_line() {
    run(async {
        let server = Server::start(Limits::default());
        let mut good = server.client().await;
        good.get(1, "before").await;
        good.value().await;
        let mut wrong_version = BytesMut::from(&b"THFT"[..]);
        wrong_version.resize(64, 0x77);
        let mut second_frame = call(GET, 1, "drop");
        second_frame.extend_from_slice(b"GET / HTTP/1.1\r\n\r\n");
        let mut junk_body = announcement(64);
        junk_body.resize(48 + 64, 0xff);
        let cases = [
            ("unknown magic", BytesMut::from(&b"\x16\x03\x01\x02 a TLS hello"[..])),
            ("unsupported HTTP method", BytesMut::from(&b"PUT / HTTP/1.1\r\n\r\n"[..])),
            ("THFT version", wrong_version),
            ("another protocol in the second frame", second_frame),
            ("unreadable envelope", junk_body),
            ("2 GB in THFT", announcement(i32::MAX as u32)),
            ("4 GB in THFT", announcement(u32::MAX)),
            ("4 GB in RDSN", rdsn_announcement(u32::MAX)),
            ("one byte too many", announcement((64 << 20) + 1)),
            ("broken HTTP", BytesMut::from(&b"GET \x01\x02 nonsense\r\n\r\n"[..])),
            ("broken handshake", BytesMut::from(&b"PGRS\xff\xff\xff\xff"[..])),
        ];
        for (what, bytes) in cases {
            let lines = LogLines::count();
            let mut client = server.client().await;
            client.send(&bytes).await;
            client.closed().await;
            assert_eq!(lines.so_far(), 1, "{what}");
        }
        good.get(2, "after").await;
        assert_eq!(good.value().await.0, 2);
        server.stop().await;
    });
}

#[test]
fn a_truncated_request_is_not_executed() {
    run(async {
        let limits = Limits::default();
        let server = Server::start(limits.clone());
        let whole = call(GET, 1, "never");
        for length in [5, 20, whole.len() - 1] {
            let lines = LogLines::count();
            let mut client = server.client().await;
            client.send(&whole[..length]).await;
            client.stream.shutdown().await.unwrap();
            assert_eq!(client.closed().await, 0);
            until(|| limits.counter.open() == 0).await;
            assert_eq!(lines.so_far(), 1);
        }
        assert_eq!(*server.echo.calls.borrow(), 0);
        server.stop().await;
    });
}

#[test]
fn leaving_between_requests_is_no_news() {
    run(async {
        let limits = Limits::default();
        let server = Server::start(limits.clone());
        let lines = LogLines::count();
        drop(server.client().await);
        let mut client = server.client().await;
        client.get(1, "x").await;
        client.value().await;
        drop(client);
        until(|| limits.counter.open() == 0).await;
        assert_eq!(lines.so_far(), 0);
        server.stop().await;
    });
}

#[test]
fn slow_clients_are_closed_and_idle_ones_kept() {
    run(async {
        let short = Duration::from_millis(50);
        let server = Server::start(Limits {
            sniff_timeout: short,
            frame_stall_timeout: short,
            handshake_timeout: short,
            ..Limits::default()
        });
        let whole = call(GET, 1, "never");
        let mut idle = server.client().await;
        idle.get(1, "x").await;
        idle.value().await;
        for start in [&b""[..], b"TH", b"THFT", &whole[..30], b"PGRS", b"PGRS\x20\x00\x00\x00xx"] {
            let lines = LogLines::count();
            let mut client = server.client().await;
            client.send(start).await;
            assert_eq!(client.closed().await, 0);
            assert_eq!(lines.so_far(), 1, "{}", start.escape_ascii());
        }
        // Far more than the limits have passed while this one said nothing.
        idle.get(2, "still here").await;
        assert_eq!(idle.value().await.0, 2);
        server.stop().await;
    });
}

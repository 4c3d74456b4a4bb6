use std::time::Duration;

use bytes::{Bytes, BytesMut};
use pegasus_net::Limits;
use pegasus_types::ErrorCode;
use tokio::io::AsyncWriteExt;

use crate::support::{CLEAR_SCANNER, GET, Server, call, run, until, within};

#[test]
fn requests_are_answered() {
    run(async {
        let server = Server::start(Limits::default());
        let mut client = server.client().await;
        client.get(7, "hello").await;
        let reply = client.reply().await;
        assert_eq!(reply.error, ErrorCode::Ok);
        assert_eq!(reply.name, "RPC_RRDB_RRDB_GET_ACK");
        assert_eq!(reply.seqid, 7);
        assert_eq!(reply.decode_result::<Bytes>().unwrap(), "hello");
        client.send(&call("RPC_NO_SUCH_THING", 8, "")).await;
        let reply = client.reply().await;
        assert_eq!(reply.error, ErrorCode::HandlerNotFound);
        assert_eq!(reply.name, "RPC_NO_SUCH_THING_ACK");
        server.stop().await;
    });
}

#[test]
fn a_request_may_come_in_many_pieces_and_many_requests_in_one() {
    run(async {
        let server = Server::start(Limits::default());
        let mut client = server.client().await;
        for byte in call(GET, 1, "in pieces") {
            client.send(&[byte]).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(client.value().await, (1, Bytes::from("in pieces")));
        let mut many = BytesMut::new();
        for seqid in 0..5000 {
            many.extend_from_slice(&call(GET, seqid, &seqid.to_string()));
        }
        let big = "b".repeat(3 << 20);
        many.extend_from_slice(&call(GET, 5000, &big));
        client.send(&many).await;
        for seqid in 0..5000 {
            assert_eq!(client.value().await, (seqid, Bytes::from(seqid.to_string())));
        }
        assert_eq!(client.value().await, (5000, Bytes::from(big)));
        server.stop().await;
    });
}

#[test]
fn replies_come_in_any_order_from_any_thread() {
    run(async {
        let server = Server::start(Limits::default());
        let mut client = server.client().await;
        for seqid in 1..=3 {
            client.get(seqid, &format!("hold {seqid}")).await;
        }
        client.get(4, "at once").await;
        assert_eq!(client.value().await.0, 4);
        let held = server.echo.held.take();
        std::thread::spawn(move || {
            for (body, reply) in held.into_iter().rev() {
                reply.ok(&body);
            }
        });
        for seqid in [3, 2, 1] {
            assert_eq!(client.value().await, (seqid, Bytes::from(format!("hold {seqid}"))));
        }
        server.stop().await;
    });
}

#[test]
fn one_way_codes_are_never_answered() {
    run(async {
        let server = Server::start(Limits::default());
        let mut client = server.client().await;
        client.send(&call(CLEAR_SCANNER, 1, "answered")).await;
        client.send(&call(CLEAR_SCANNER, 2, "drop")).await;
        client.get(3, "next").await;
        assert_eq!(client.value().await.0, 3);
        assert_eq!(*server.echo.calls.borrow(), 3);
        server.stop().await;
    });
}

#[test]
fn requests_in_flight_are_bounded_and_dropped_ones_do_not_count() {
    run(async {
        let server = Server::start(Limits { max_in_flight: 2, ..Limits::default() });
        let mut client = server.client().await;
        for seqid in 0..10 {
            client.get(seqid, "drop").await;
        }
        client.get(10, "alive").await;
        assert_eq!(client.value().await.0, 10);
        for seqid in 11..16 {
            client.get(seqid, "hold").await;
        }
        let mut answered = 0;
        while answered < 5 {
            let held = || server.echo.held.borrow().len();
            let expected = usize::min(2, 5 - answered);
            until(|| held() == expected).await;
            // Nothing more is taken however often the connection gets its turn.
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            assert_eq!(held(), expected);
            let (body, reply) = server.echo.held.borrow_mut().remove(0);
            reply.ok(&body);
            assert_eq!(client.value().await.0, 11 + i32::try_from(answered).unwrap());
            answered += 1;
        }
        server.stop().await;
    });
}

#[test]
fn reading_pauses_while_the_client_does_not_take_its_replies() {
    run(async {
        let server = Server::start(Limits { outgoing_pause: 2 << 20, ..Limits::default() });
        let mut client = server.client().await;
        for seqid in 0..64 {
            client.get(seqid, "big").await;
        }
        until(|| *server.echo.calls.borrow() > 0).await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let taken = *server.echo.calls.borrow();
        assert!(taken < 64, "the rest waits outside, but {taken} were taken");
        for seqid in 0..64 {
            let (found, value) = client.value().await;
            assert_eq!((found, value.len()), (seqid, 1 << 20));
        }
        server.stop().await;
    });
}

#[test]
fn a_client_that_takes_nothing_is_closed() {
    run(async {
        let limits = Limits { write_stall_timeout: Duration::from_millis(50), ..Limits::default() };
        let server = Server::start(limits.clone());
        let mut client = server.client().await;
        for seqid in 0..32 {
            client.get(seqid, "big").await;
        }
        until(|| *server.echo.calls.borrow() > 0).await;
        until(|| limits.counter.open() == 0).await;
        server.stop().await;

        let server = Server::start(Limits { outgoing_max: 8 << 20, ..Limits::default() });
        let mut client = server.client().await;
        for seqid in 0..32 {
            client.get(seqid, "hold").await;
        }
        until(|| server.echo.held.borrow().len() == 32).await;
        let big = Bytes::from(vec![0; 1 << 20]);
        let mut held = server.echo.held.take().into_iter();
        let (_, last) = held.next_back().unwrap();
        held.for_each(|(_, reply)| reply.ok(&big));
        until(|| last.is_closed()).await;
        drop(client);
        server.stop().await;
    });
}

#[test]
fn a_client_may_stop_sending_and_still_get_its_replies() {
    run(async {
        let server = Server::start(Limits::default());
        let mut client = server.client().await;
        client.get(1, "hold").await;
        client.stream.shutdown().await.unwrap();
        until(|| server.echo.held.borrow().len() == 1).await;
        let (body, reply) = server.echo.held.borrow_mut().remove(0);
        reply.ok(&body);
        assert_eq!(client.value().await.0, 1);
        assert_eq!(client.closed().await, 0);
        server.stop().await;
    });
}

#[test]
fn shutdown_lets_requests_finish() {
    run(async {
        let server = Server::start(Limits::default());
        let mut idle = server.client().await;
        let mut client = server.client().await;
        client.get(1, "hold").await;
        until(|| server.echo.held.borrow().len() == 1).await;
        server.shutdown.cancel();
        assert_eq!(idle.closed().await, 0);
        client.get(2, "too late").await;
        let (body, reply) = server.echo.held.borrow_mut().remove(0);
        reply.ok(&body);
        assert_eq!(client.value().await.0, 1);
        client.closed().await;
        within(server.task).await.unwrap();
        assert_eq!(*server.echo.calls.borrow(), 1);
    });
}

#[test]
fn connections_per_address_are_bounded() {
    run(async {
        let limits = Limits { conn_threshold_per_ip: 2, ..Limits::default() };
        let server = Server::start(limits.clone());
        let mut clients = [server.client().await, server.client().await];
        for client in &mut clients {
            client.get(1, "x").await;
            client.value().await;
        }
        let mut third = server.client().await;
        assert_eq!(third.closed().await, 0);
        drop(clients);
        until(|| limits.counter.open() == 0).await;
        let mut next = server.client().await;
        next.get(1, "x").await;
        assert_eq!(next.value().await.0, 1);
        server.stop().await;
    });
}

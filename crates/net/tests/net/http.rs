use pegasus_net::Limits;
use tokio::io::AsyncReadExt;

use crate::support::{Client, Server, run, within};

/// Read one response with a Content-Length; returns its head and body.
async fn response(client: &mut Client) -> (String, String) {
    within(async {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        client.stream.read_exact(&mut body).await.unwrap();
        (head, String::from_utf8(body).unwrap())
    })
    .await
}

#[test]
fn http_shares_the_port() {
    run(async {
        let server = Server::start(Limits::default());
        let mut rpc = server.client().await;
        rpc.get(1, "x").await;
        let mut web = server.client().await;
        // Two requests in one piece, the second one's body in another.
        web.send(
            b"GET //meta/app/?name=t%26&detail HTTP/1.1\r\nHost: x\r\n\r\n\
              POST /meta/app HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n",
        )
        .await;
        let (head, body) = response(&mut web).await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains("Content-Type: application/json\r\n"), "{head}");
        assert!(!head.contains("Date"), "{head}");
        assert_eq!(body, r#"[["name","t&"],["detail",""]]"#);
        web.send(b"body").await;
        assert_eq!(response(&mut web).await.1, "[]");

        web.send(b"GET /no/such?x=1 HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let (head, body) = response(&mut web).await;
        assert!(head.starts_with("HTTP/1.1 404 Not Found\r\n"), "{head}");
        assert!(head.contains("Content-Type: text/plain\r\n"), "{head}");
        assert_eq!(body, "service not found for \"no/such\"");

        web.send(b"GET /meta/app?a=1&a=2 HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let (head, body) = response(&mut web).await;
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{head}");
        assert_eq!(body, "failed to parse request: duplicate parameter: a");

        web.send(b"DELETE /meta/app HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let (head, _) = response(&mut web).await;
        assert!(head.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"), "{head}");
        assert_eq!(web.closed().await, 0);
        assert_eq!(rpc.value().await.0, 1);
        server.stop().await;
    });
}

use bytes::BytesMut;
use pegasus_protocol::frame::{CallHeader, Reply, decode_reply, encode_request};
use pegasus_protocol::thrift::Thrift;
use pegasus_types::{ErrorCode, NodeId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A client of the public door, one call at a time.
pub struct Client {
    stream: TcpStream,
    incoming: BytesMut,
    seqid: i32,
}

impl Client {
    pub async fn connect(meta: &NodeId) -> Client {
        let stream = TcpStream::connect((meta.host(), meta.port())).await.unwrap();
        Client { stream, incoming: BytesMut::new(), seqid: 0 }
    }

    async fn exchange<A: Thrift>(&mut self, code: &str, args: &A) -> Reply {
        self.seqid += 1;
        let header = CallHeader {
            app_id: 0,
            partition_index: 0,
            timeout_ms: 5000,
            partition_hash: 0,
            is_backup_request: false,
        };
        let mut out = BytesMut::new();
        encode_request(&mut out, code, self.seqid, &header, args);
        self.stream.write_all(&out).await.unwrap();
        loop {
            if let Some(reply) = decode_reply(&mut self.incoming, 1 << 20).unwrap() {
                assert_eq!(reply.seqid, self.seqid);
                return reply;
            }
            assert!(self.stream.read_buf(&mut self.incoming).await.unwrap() > 0, "closed");
        }
    }

    pub async fn call<A: Thrift, R: Thrift>(&mut self, code: &str, args: &A) -> R {
        let reply = self.exchange(code, args).await;
        assert_eq!(reply.error, ErrorCode::Ok);
        reply.decode_result().unwrap()
    }

    /// The error in the header of the answer.
    pub async fn error<A: Thrift>(&mut self, code: &str, args: &A) -> ErrorCode {
        self.exchange(code, args).await.error
    }
}

/// (status, body)
pub async fn http_get(meta: &NodeId, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect((meta.host(), meta.port())).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: meta\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

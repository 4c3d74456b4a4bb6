//! A scripted server: it decodes requests with the real protocol code and answers what the test
//! tells it to.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::BytesMut;
use pegasus_client::{Client, ClientOptions};
use pegasus_protocol::admin::{PartitionConfiguration, QueryCfgResponse};
use pegasus_protocol::code::TaskCode;
use pegasus_protocol::frame::{
    DEFAULT_MAX_BODY, Protocol, Request, RequestHeader, decode_request, encode_reply,
};
use pegasus_protocol::rrdb::{ReadResponse, UpdateResponse};
use pegasus_protocol::special::RpcAddress;
use pegasus_protocol::thrift::Thrift;
use pegasus_types::{ErrorCode, NodeId, PartitionId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What a script does with a request: appends bytes, or ends the connection.
#[derive(Default)]
pub struct Answer {
    pub bytes: BytesMut,
    pub close: bool,
}

impl Answer {
    pub fn ok<T: Thrift>(&mut self, header: &RequestHeader, value: &T) {
        encode_reply(&mut self.bytes, header, Ok(value));
    }

    pub fn error(&mut self, header: &RequestHeader, code: ErrorCode) {
        encode_reply::<i32>(&mut self.bytes, header, Err(code));
    }
}

type Script = dyn Fn(&Request, &mut Answer) + Send + Sync;

pub struct FakeServer {
    pub node: NodeId,
    pub address: RpcAddress,
    seen: Arc<Mutex<Vec<RequestHeader>>>,
    connections: Arc<Mutex<usize>>,
    task: JoinHandle<()>,
}

impl FakeServer {
    pub async fn start(
        script: impl Fn(&Request, &mut Answer) + Send + Sync + 'static,
    ) -> FakeServer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let local = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<RequestHeader>>> = Arc::default();
        let connections: Arc<Mutex<usize>> = Arc::default();
        let script: Arc<Script> = Arc::new(script);
        let task = tokio::spawn({
            let (seen, connections) = (Arc::clone(&seen), Arc::clone(&connections));
            async move {
                // Dropped, and with them all connections, when this task is aborted.
                let mut served = tokio::task::JoinSet::new();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    *connections.lock().unwrap() += 1;
                    served.spawn(serve(stream, Arc::clone(&seen), Arc::clone(&script)));
                }
            }
        });
        FakeServer {
            node: NodeId::new("127.0.0.1", local.port()),
            address: local.into(),
            seen,
            connections,
            task,
        }
    }

    /// The requests so far, in order of arrival.
    pub fn seen(&self) -> Vec<RequestHeader> {
        self.seen.lock().unwrap().clone()
    }

    pub fn count(&self, code: TaskCode) -> usize {
        self.seen().iter().filter(|header| header.code == Some(code)).count()
    }

    pub fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, seen: Arc<Mutex<Vec<RequestHeader>>>, script: Arc<Script>) {
    let mut buffer = BytesMut::new();
    loop {
        while let Some(request) =
            decode_request(Protocol::Thft, &mut buffer, DEFAULT_MAX_BODY).unwrap()
        {
            seen.lock().unwrap().push(request.header.clone());
            let mut answer = Answer::default();
            script(&request, &mut answer);
            if stream.write_all(&answer.bytes).await.is_err() || answer.close {
                return;
            }
        }
        match stream.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

/// A node that nobody listens on.
pub async fn nobody() -> NodeId {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    NodeId::new("127.0.0.1", listener.local_addr().unwrap().port())
}

pub fn config(primaries: &[RpcAddress]) -> QueryCfgResponse {
    let partitions = primaries.iter().enumerate().map(|(index, primary)| PartitionConfiguration {
        pid: PartitionId::new(2, i32::try_from(index).unwrap()),
        ballot: if primary.is_valid() { 3 } else { 0 },
        max_replica_count: 3,
        primary: *primary,
        ..PartitionConfiguration::default()
    });
    QueryCfgResponse {
        app_id: 2,
        partition_count: i32::try_from(primaries.len()).unwrap(),
        is_stateful: true,
        partitions: partitions.collect(),
        ..QueryCfgResponse::default()
    }
}

/// A meta server that answers every question about a table with the configuration in the cell.
pub async fn meta(config: Arc<Mutex<QueryCfgResponse>>) -> FakeServer {
    FakeServer::start(move |request, answer| match request.header.code {
        Some(TaskCode::QueryCfg) => answer.ok(&request.header, &*config.lock().unwrap()),
        _ => answer.error(&request.header, ErrorCode::HandlerNotFound),
    })
    .await
}

/// A replica server that does every write and finds `value` under every key.
pub fn obliging(value: &'static str) -> impl Fn(&Request, &mut Answer) + Send + Sync + 'static {
    move |request, answer| oblige(value, request, answer)
}

pub fn oblige(value: &'static str, request: &Request, answer: &mut Answer) {
    let header = &request.header;
    match header.code {
        Some(TaskCode::Get) => {
            let response = ReadResponse { value: value.into(), ..ReadResponse::default() };
            answer.ok(header, &response);
        }
        Some(TaskCode::Put | TaskCode::Remove | TaskCode::MultiPut) => {
            let response = UpdateResponse {
                app_id: header.app_id,
                partition_index: header.partition_index,
                decree: 7,
                ..UpdateResponse::default()
            };
            answer.ok(header, &response);
        }
        _ => answer.error(header, ErrorCode::HandlerNotFound),
    }
}

pub fn options(timeout_ms: u64) -> ClientOptions {
    ClientOptions { timeout: Duration::from_millis(timeout_ms), ..ClientOptions::default() }
}

pub fn client(meta: &FakeServer, options: ClientOptions) -> Client {
    Client::connect(vec![meta.node.clone()], options).unwrap()
}

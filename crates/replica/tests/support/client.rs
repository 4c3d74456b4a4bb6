//! A client of the public protocol that knows put and get.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use pegasus_protocol::frame::{CallHeader, Reply, decode_reply, encode_request};
use pegasus_protocol::rrdb::{ReadResponse, UpdateRequest, UpdateResponse};
use pegasus_protocol::thrift::Thrift;
use pegasus_types::{ErrorCode, PartitionId, Status, encode_key};

/// What became of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome<T> {
    Ok(T),
    /// The error in the reply's header.
    Error(String),
    /// No answer: lost connection or time limit.
    Lost,
}

pub struct Client {
    address: SocketAddr,
    stream: Option<TcpStream>,
    seqid: i32,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Client {
        Client { address, stream: None, seqid: 0 }
    }

    pub fn put(&mut self, pid: PartitionId, key: &str, value: &str) -> Outcome<i64> {
        let request = UpdateRequest {
            key: Bytes::from(encode_key(key.as_bytes(), b"sort")),
            value: Bytes::copy_from_slice(value.as_bytes()),
            ..UpdateRequest::default()
        };
        match self.call("RPC_RRDB_RRDB_PUT", pid, &request) {
            Some(reply) if reply.error != ErrorCode::Ok => Outcome::Error(reply.error.to_string()),
            Some(reply) => {
                let response: UpdateResponse = reply.decode_result().unwrap();
                assert_eq!(response.error, Status::Ok.code());
                Outcome::Ok(response.decree)
            }
            None => Outcome::Lost,
        }
    }

    pub fn get(&mut self, pid: PartitionId, key: &str) -> Outcome<Option<String>> {
        let key = Bytes::from(encode_key(key.as_bytes(), b"sort"));
        match self.call("RPC_RRDB_RRDB_GET", pid, &key) {
            Some(reply) if reply.error != ErrorCode::Ok => Outcome::Error(reply.error.to_string()),
            Some(reply) => {
                let response: ReadResponse = reply.decode_result().unwrap();
                let found = response.error == Status::Ok.code();
                assert!(found || response.error == Status::NotFound.code());
                Outcome::Ok(found.then(|| String::from_utf8(response.value.to_vec()).unwrap()))
            }
            None => Outcome::Lost,
        }
    }

    /// One request and its reply, None if none came.
    pub fn call<T: Thrift>(&mut self, code: &str, pid: PartitionId, args: &T) -> Option<Reply> {
        let header = CallHeader {
            app_id: pid.app_id,
            partition_index: pid.index,
            timeout_ms: 2000,
            ..CallHeader::default()
        };
        self.call_with(code, header, args)
    }

    pub fn call_with<T: Thrift>(
        &mut self,
        code: &str,
        header: CallHeader,
        args: &T,
    ) -> Option<Reply> {
        self.seqid += 1;
        let mut out = BytesMut::new();
        encode_request(&mut out, code, self.seqid, &header, args);
        let reply = self.exchange(&out);
        if reply.is_none() {
            self.stream = None;
        }
        reply
    }

    fn exchange(&mut self, request: &[u8]) -> Option<Reply> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(self.address).ok()?;
            stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
            self.stream = Some(stream);
        }
        let stream = self.stream.as_mut()?;
        stream.write_all(request).ok()?;
        let mut incoming = BytesMut::new();
        let mut block = [0; 64 << 10];
        loop {
            if let Some(reply) = decode_reply(&mut incoming, 64 << 20).unwrap() {
                assert_eq!(reply.seqid, self.seqid);
                return Some(reply);
            }
            let count = stream.read(&mut block).ok().filter(|count| *count > 0)?;
            incoming.extend_from_slice(&block[..count]);
        }
    }
}

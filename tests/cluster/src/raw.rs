//! A connection of one's own to one server, below the client library's routing.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use pegasus_protocol::frame::{CallHeader, decode_reply, encode_request};
use pegasus_protocol::rrdb::ReadResponse;
use pegasus_types::{ErrorCode, PartitionId, encode_key, partition_hash};

/// Sends the same GET to the same server again and again.
pub struct RawGet {
    stream: TcpStream,
    frame: BytesMut,
    received: BytesMut,
}

impl RawGet {
    pub fn connect(
        address: &str,
        partition: PartitionId,
        hash_key: &str,
        sort_key: &str,
    ) -> RawGet {
        let stream = TcpStream::connect(address).expect("connect");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("timeout");
        let header = CallHeader {
            app_id: partition.app_id,
            partition_index: partition.index,
            timeout_ms: 1000,
            partition_hash: partition_hash(hash_key.as_bytes(), sort_key.as_bytes()),
            is_backup_request: false,
        };
        let key = Bytes::from(encode_key(hash_key.as_bytes(), sort_key.as_bytes()));
        let mut frame = BytesMut::new();
        encode_request(&mut frame, "RPC_RRDB_RRDB_GET", 1, &header, &key);
        RawGet { stream, frame, received: BytesMut::new() }
    }

    pub fn send(&mut self) {
        self.stream.write_all(&self.frame).expect("send");
    }

    /// The value in the next answer; None if the server refused, or closed the connection.
    pub fn receive(&mut self) -> Option<Bytes> {
        loop {
            if let Some(reply) = decode_reply(&mut self.received, 1 << 20).expect("a sound reply") {
                if reply.error != ErrorCode::Ok {
                    return None;
                }
                let response: ReadResponse = reply.decode_result().expect("a read response");
                return (response.error == 0).then_some(response.value);
            }
            let mut block = [0u8; 4096];
            match self.stream.read(&mut block).expect("an answer") {
                0 => return None,
                n => self.received.extend_from_slice(&block[..n]),
            }
        }
    }

    pub fn get(&mut self) -> Option<Bytes> {
        self.send();
        self.receive()
    }
}

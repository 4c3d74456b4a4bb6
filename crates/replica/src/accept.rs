//! Client writes at the door: reading and validating them (`spec/data.md` 1, 2; `spec/wire.md` 4.5).
//! What passes goes to the partition's shard.

use bytes::Bytes;
use pegasus_net::ReplySender;
use pegasus_protocol::code::TaskCode;
use pegasus_protocol::frame::Request;
use pegasus_protocol::rrdb::{
    MultiPutRequest, MultiRemoveRequest, MultiRemoveResponse, UpdateRequest, UpdateResponse,
};
use pegasus_types::{
    ErrorCode, MAX_HASH_KEY_LEN, PartitionId, ReplicaStatus, Status, partition_hash_of_key,
};
use tokio::sync::mpsc::error::SendError;

use crate::clock;
use crate::inbox::{ClientWrite, ToShard};
use crate::shared::Shared;
use crate::table::Hosted;
use crate::writes::WriteOp;

/// Longest wait for a turn. Not the client's timeout: what clients send as that is no more than a
/// hint (`spec/wire.md` 1.7).
const MAX_WAIT_MS: u64 = 10_000;

/// Largest mutation one request may make; must fit the frames of log and peers with room to spare.
const MAX_MUTATION_BYTES: usize = 16 << 20;

/// Why a write is not taken.
#[derive(Debug, PartialEq, Eq)]
enum Invalid {
    /// An error of the request as a whole.
    Header(ErrorCode),
    /// An answer of the operation, with a status.
    Status(Status),
}

/// Takes a write in, or answers why not.
pub fn write(
    shared: &Shared,
    hosted: &Hosted,
    code: TaskCode,
    request: &Request,
    reply: ReplySender,
) {
    let max = shared.settings.max_write_size;
    if max > 0 && request.body.len() > max {
        tracing::warn!(partition = %hosted.pid, client = %reply.peer(), bytes = request.body.len(),
            "write refused: larger than max_allowed_write_size");
        return reply.error(ErrorCode::InvalidData);
    }
    let op = match parse(code, request) {
        Ok(op) => op,
        Err(Invalid::Header(error)) => return reply.error(error),
        Err(Invalid::Status(_)) if hosted.status() != ReplicaStatus::Primary => {
            return reply.error(ErrorCode::InvalidState);
        }
        Err(Invalid::Status(status)) => {
            return refuse(hosted.pid, code, status, shared, reply);
        }
    };
    // A small request can be a large mutation: the hash key counts once per sort key.
    if op.weight() > MAX_MUTATION_BYTES {
        tracing::warn!(partition = %hosted.pid, client = %reply.peer(), bytes = op.weight(),
            "write refused: too large as a mutation");
        return reply.error(ErrorCode::InvalidData);
    }
    let expires = clock::now() + MAX_WAIT_MS;
    let item = ToShard::Write(ClientWrite { pid: hosted.pid, op, reply, expires });
    let Some(inbox) = shared.shards.get(hosted.shard) else { return };
    if let Err(SendError(ToShard::Write(write))) = inbox.send(item) {
        // The node is shutting down.
        write.reply.error(ErrorCode::InvalidState);
    }
}

/// The operation's own answer to an argument that can never be right; nothing is committed.
fn refuse(pid: PartitionId, code: TaskCode, status: Status, shared: &Shared, reply: ReplySender) {
    let server = shared.server.clone();
    if code == TaskCode::MultiRemove {
        return reply.ok(&MultiRemoveResponse {
            error: status.code(),
            count: 0,
            app_id: pid.app_id,
            partition_index: pid.index,
            decree: -1,
            server,
        });
    }
    reply.ok(&UpdateResponse {
        error: status.code(),
        app_id: pid.app_id,
        partition_index: pid.index,
        decree: -1,
        server,
    });
}

fn parse(code: TaskCode, request: &Request) -> Result<WriteOp, Invalid> {
    let unreadable = |_| Invalid::Header(ErrorCode::InvalidData);
    let header_hash = request.header.partition_hash;
    match code {
        TaskCode::Put => {
            let put: UpdateRequest = request.decode_args().map_err(unreadable)?;
            check_key(&put.key, header_hash)?;
            let expire_ts = expire_ts(put.expire_ts_seconds);
            Ok(WriteOp::Put { key: put.key, value: put.value, expire_ts })
        }
        TaskCode::Remove => {
            let key: Bytes = request.decode_args().map_err(unreadable)?;
            check_key(&key, header_hash)?;
            Ok(WriteOp::Remove { key })
        }
        TaskCode::MultiPut => {
            let put: MultiPutRequest = request.decode_args().map_err(unreadable)?;
            check_hash_key(&put.hash_key)?;
            let kvs = put.kvs.into_iter().map(|kv| (kv.key, kv.value)).collect();
            let expire_ts = expire_ts(put.expire_ts_seconds);
            Ok(WriteOp::MultiPut { hash_key: put.hash_key, kvs, expire_ts })
        }
        TaskCode::MultiRemove => {
            let remove: MultiRemoveRequest = request.decode_args().map_err(unreadable)?;
            check_hash_key(&remove.hash_key)?;
            Ok(WriteOp::MultiRemove { hash_key: remove.hash_key, sort_keys: remove.sort_keys })
        }
        _ => Err(Invalid::Header(ErrorCode::HandlerNotFound)),
    }
}

/// A negative time is far in the future, as in the reference.
fn expire_ts(seconds: i32) -> u32 {
    seconds.cast_unsigned()
}

/// `header_hash` 0 means that the client does not know it: nothing to compare then.
fn check_key(key: &[u8], header_hash: u64) -> Result<(), Invalid> {
    match partition_hash_of_key(key) {
        Err(_) => Err(Invalid::Status(Status::InvalidArgument)),
        Ok(hash) if header_hash != 0 && header_hash != hash => {
            Err(Invalid::Header(ErrorCode::ParentPartitionMisused))
        }
        Ok(_) => Ok(()),
    }
}

fn check_hash_key(hash_key: &[u8]) -> Result<(), Invalid> {
    if hash_key.len() > MAX_HASH_KEY_LEN {
        return Err(Invalid::Status(Status::InvalidArgument));
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use pegasus_types::{encode_key, partition_hash};

    use super::*;

    #[test]
    fn keys_must_be_whole_and_belong_to_the_hash_in_the_header() {
        let key = encode_key(b"hk", b"sk");
        assert_eq!(check_key(&key, 0), Ok(()));
        assert_eq!(check_key(&key, partition_hash(b"hk", b"sk")), Ok(()));
        let misused = Invalid::Header(ErrorCode::ParentPartitionMisused);
        assert_eq!(check_key(&key, 1), Err(misused));
        let invalid = || Err(Invalid::Status(Status::InvalidArgument));
        assert_eq!(check_key(b"", 0), invalid());
        assert_eq!(check_key(b"\x00", 0), invalid());
        assert_eq!(check_key(b"\x00\x05abc", 0), invalid());
        assert_eq!(check_hash_key(&vec![0; 65_535]), invalid());
        assert_eq!(check_hash_key(&vec![0; 65_534]), Ok(()));
    }

    #[test]
    fn negative_expiry_is_far_away() {
        assert_eq!(expire_ts(-1), u32::MAX);
        assert_eq!(expire_ts(5), 5);
    }
}

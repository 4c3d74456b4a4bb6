use std::sync::Arc;
use std::time::Duration;

use pegasus_protocol::code::{Kind, TaskCode};
use pegasus_protocol::frame::{CallHeader, Reply, encode_request};
use pegasus_protocol::thrift::Thrift;
use pegasus_types::{ErrorCode, NodeId};
use tokio::time::timeout_at;
use tracing::debug;

use crate::Error;
use crate::meta::{decode, refused};
use crate::pacing::{Backoff, Deadline};
use crate::pool::Pool;
use crate::routing::{Router, Routes, Target};

/// What to do about an error in the header of a reply (`spec/wire.md` 4.2; the C++ column, Java's
/// where they differ on something that retrying cannot cure).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reaction {
    Surface,
    Retry,
    /// The partition may have moved: ask the meta server first.
    QueryAndRetry,
}

fn reaction(code: ErrorCode) -> Reaction {
    match code {
        ErrorCode::ObjectNotFound
        | ErrorCode::InvalidState
        | ErrorCode::InactiveState
        | ErrorCode::ParentPartitionMisused
        | ErrorCode::NetworkFailure => Reaction::QueryAndRetry,
        ErrorCode::Timeout | ErrorCode::NotEnoughMember | ErrorCode::CapacityExceeded => {
            Reaction::Retry
        }
        _ => Reaction::Surface,
    }
}

/// An operation on one partition, under way: everything that outlives an attempt.
struct Operation<'a> {
    pool: &'a Pool,
    router: &'a Router,
    code: TaskCode,
    partition_hash: u64,
    timeout: Duration,
    deadline: Deadline,
    /// An earlier attempt of this write was sent and its fate is not known.
    maybe_applied: bool,
}

/// How one attempt ended.
enum Attempt {
    Answered(Reply, NodeId),
    Again { error: Error, reaction: Reaction },
}

/// Sends a data operation to the primary of its partition, and again as often as it helps, until
/// the deadline. Returns the decoded answer and where it came from.
pub(crate) async fn call<A: Thrift, R: Thrift>(
    pool: &Pool,
    router: &Router,
    code: TaskCode,
    partition_hash: u64,
    args: &A,
    timeout: Duration,
) -> Result<(R, NodeId), Error> {
    let deadline = Deadline::after(timeout);
    let mut operation =
        Operation { pool, router, code, partition_hash, timeout, deadline, maybe_applied: false };
    let mut backoff = Backoff::new();
    loop {
        let routes = router.routes();
        let (error, reaction) = match operation.attempt(&routes, args).await {
            Attempt::Answered(reply, server) => match decode(&server, &reply) {
                Ok(answer) => return Ok((answer, server)),
                Err(error) => operation.judge(error),
            },
            Attempt::Again { error, reaction } => (error, reaction),
        };
        debug!(code = code.name(), table = router.table(), %error, ?reaction, "attempt failed");
        if reaction == Reaction::Surface {
            return Err(operation.give_up(error));
        }
        if deadline.passed() {
            return Err(operation.give_up(deadline.timeout(Some(error))));
        }
        if let Err(fatal) = operation.prepare_retry(&routes, reaction, &mut backoff).await {
            return Err(operation.give_up(fatal));
        }
        if deadline.passed() {
            return Err(operation.give_up(deadline.timeout(Some(error))));
        }
    }
}

impl Operation<'_> {
    fn is_write(&self) -> bool {
        self.code.kind() == Kind::Write
    }

    fn give_up(&self, error: Error) -> Error {
        if !self.maybe_applied {
            return error;
        }
        let cause = match error {
            Error::Timeout { last: Some(last), .. } => last,
            other => Box::new(other),
        };
        Error::OutcomeUnknown { cause }
    }

    /// An attempt that was sent ended without a verdict on it.
    fn lost(&mut self) {
        self.maybe_applied |= self.is_write();
    }

    /// Classifies an answer that is not a success.
    fn judge(&mut self, error: Error) -> (Error, Reaction) {
        let reaction = match &error {
            Error::Refused { code, .. } => {
                if *code == ErrorCode::Timeout {
                    self.lost();
                }
                reaction(*code)
            }
            // The header said OK, so a write was done.
            _ => {
                self.lost();
                Reaction::Surface
            }
        };
        // A write that cannot be repeated must not be, once it may have happened.
        if self.maybe_applied && !self.code.is_idempotent() {
            return (error, Reaction::Surface);
        }
        (error, reaction)
    }

    async fn attempt<A: Thrift>(&mut self, routes: &Arc<Routes>, args: &A) -> Attempt {
        let target = routes.target(self.partition_hash);
        let Some(server) = target.primary.clone() else {
            let error = Error::NoPrimary {
                table: self.router.table().to_owned(),
                partition_index: target.partition_index,
            };
            return Attempt::Again { error, reaction: Reaction::QueryAndRetry };
        };
        let again = |error| Attempt::Again { error, reaction: Reaction::QueryAndRetry };
        let connection = match self.pool.get(&server, &self.deadline).await {
            Ok(connection) => connection,
            Err(error) => return again(error),
        };
        let sending = connection.send(|buffer, seqid| {
            let header = self.header(&target);
            encode_request(buffer, self.code.name(), seqid, &header, args);
        });
        let mut ticket = match timeout_at(self.deadline.at(), sending).await {
            Ok(Ok(ticket)) => ticket,
            Ok(Err(error)) => return again(error),
            Err(_) => {
                let error = refused(&server, ErrorCode::CapacityExceeded, "too much in flight");
                return Attempt::Again { error, reaction: Reaction::Retry };
            }
        };
        tokio::select! {
            biased;
            reply = ticket.reply() => match reply {
                Ok(reply) => Attempt::Answered(reply, server),
                Err(error) => {
                    self.lost();
                    self.after_loss(error)
                }
            },
            () = tokio::time::sleep_until(self.deadline.at()) => {
                connection.note_timeout(self.pool.options.silence_limit);
                self.lost();
                again(self.silence(&server))
            }
            () = self.moved_away(&target), if self.code.is_idempotent() => {
                let error = self.silence(&server);
                self.lost();
                Attempt::Again { error, reaction: Reaction::Retry }
            }
        }
    }

    fn header(&self, target: &Target) -> CallHeader {
        CallHeader {
            app_id: target.app_id,
            partition_index: target.partition_index,
            timeout_ms: self.deadline.remaining_ms(),
            partition_hash: self.partition_hash,
            is_backup_request: false,
        }
    }

    fn silence(&self, server: &NodeId) -> Error {
        Error::ConnectionLost {
            server: server.clone(),
            reason: format!("no answer for {} ms", self.deadline.elapsed().as_millis()),
        }
    }

    fn after_loss(&self, error: Error) -> Attempt {
        let reaction = if self.maybe_applied && !self.code.is_idempotent() {
            Reaction::Surface
        } else {
            Reaction::QueryAndRetry
        };
        Attempt::Again { error, reaction }
    }

    /// How long to wait for one answer, from a replica or from the meta server, before looking for
    /// another way.
    fn patience(&self) -> Duration {
        self.pool.options.doubt_after.min(self.timeout / 2)
    }

    /// Returns only if the meta server says that the partition has another primary by now.
    async fn moved_away(&self, target: &Target) {
        loop {
            tokio::time::sleep(self.patience().max(Duration::from_millis(1))).await;
            let seen = self.router.routes();
            let limit = self.deadline.capped(self.patience());
            if let Err(error) = self.router.refresh(&seen, &limit).await {
                debug!(%error, "no news about the partition");
            }
            let now = self.router.routes().target(self.partition_hash);
            if now.primary.is_some() && now != *target {
                return;
            }
        }
    }

    /// Refreshes the routes if that was asked for, and pauses unless they now point elsewhere.
    async fn prepare_retry(
        &self,
        seen: &Routes,
        reaction: Reaction,
        backoff: &mut Backoff,
    ) -> Result<(), Error> {
        if reaction == Reaction::QueryAndRetry {
            // Not for ever: the replica itself may be back while the meta servers are away.
            match self.router.refresh(seen, &self.deadline.capped(self.patience())).await {
                Ok(()) => {}
                Err(error @ Error::NoSuchTable(_)) => return Err(error),
                Err(error) => debug!(%error, "the routing table could not be refreshed"),
            }
            let now = self.router.routes().target(self.partition_hash);
            if now.primary.is_some() && now != seen.target(self.partition_hash) {
                return Ok(());
            }
        }
        backoff.pause(&self.deadline).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reactions_follow_the_specification() {
        for code in ErrorCode::ALL {
            let expected = match code.as_str() {
                "ERR_OBJECT_NOT_FOUND"
                | "ERR_INVALID_STATE"
                | "ERR_PARENT_PARTITION_MISUSED"
                | "ERR_INACTIVE_STATE"
                | "ERR_NETWORK_FAILURE" => Reaction::QueryAndRetry,
                "ERR_TIMEOUT" | "ERR_NOT_ENOUGH_MEMBER" | "ERR_CAPACITY_EXCEEDED" => {
                    Reaction::Retry
                }
                _ => Reaction::Surface,
            };
            assert_eq!(reaction(*code), expected, "{code}");
        }
    }
}

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pegasus_protocol::code::TaskCode;
use pegasus_protocol::frame::{CallHeader, Reply, encode_request};
use pegasus_protocol::thrift::Thrift;
use pegasus_types::{ErrorCode, NodeId};
use tokio::time::timeout_at;
use tracing::debug;

use crate::Error;
use crate::pacing::{Backoff, Deadline};
use crate::pool::Pool;

/// What every answer of a meta server has.
pub(crate) trait MetaReply: Thrift {
    fn code(&self) -> ErrorCode;

    /// Where to go instead, in an answer of a meta server that does not lead.
    fn leader(&self) -> Option<NodeId> {
        None
    }
}

/// Whether a call may be sent again when its first answer was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// It changes nothing, or the second time changes nothing more.
    Safe,
    /// It might fail or act twice, so a lost answer is an unknown outcome.
    Unsafe,
}

/// An error of one attempt, and whether the server may have acted on it.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) error: Error,
    pub(crate) sent: bool,
}

/// The meta servers of a cluster. One of them leads; the others answer with a redirect that this
/// follows (`spec/wire.md` 6.1).
#[derive(Debug)]
pub(crate) struct Metas {
    pool: Arc<Pool>,
    configured: Vec<NodeId>,
    leader: Mutex<Option<NodeId>>,
}

impl Metas {
    pub(crate) fn new(pool: Arc<Pool>, configured: Vec<NodeId>) -> Metas {
        Metas { pool, configured, leader: Mutex::default() }
    }

    pub(crate) fn configured(&self) -> &[NodeId] {
        &self.configured
    }

    fn leader(&self) -> Option<NodeId> {
        self.leader.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_leader(&self, leader: Option<NodeId>) {
        *self.leader.lock().unwrap_or_else(PoisonError::into_inner) = leader;
    }

    /// The last known leader first, then all in the configured order.
    fn candidates(&self) -> VecDeque<NodeId> {
        self.leader().into_iter().chain(self.configured.iter().cloned()).collect()
    }

    /// Asks one meta server after the other until the leader has answered, again and again until
    /// the deadline. The answer's own code may still be an error.
    pub(crate) async fn call<A: Thrift, R: MetaReply>(
        &self,
        code: TaskCode,
        args: &A,
        repeat: Repeat,
        deadline: &Deadline,
    ) -> Result<(NodeId, R), Error> {
        let mut backoff = Backoff::new();
        loop {
            let last = match self.round(code, args, repeat, deadline).await? {
                Ok(answer) => return Ok(answer),
                Err(last) => last,
            };
            debug!(code = code.name(), %last, "no meta server answered as the leader");
            if !backoff.pause(deadline).await {
                return Err(deadline.timeout(Some(last)));
            }
        }
    }

    /// One round over all candidates. The outer error is final, the inner one asks for another
    /// round.
    async fn round<A: Thrift, R: MetaReply>(
        &self,
        code: TaskCode,
        args: &A,
        repeat: Repeat,
        deadline: &Deadline,
    ) -> Result<Result<(NodeId, R), Error>, Error> {
        let mut queue = self.candidates();
        let mut tried = HashSet::new();
        let mut last = Error::InvalidArgument("no meta server is configured".to_owned());
        while let Some(server) = queue.pop_front() {
            if !tried.insert(server.clone()) {
                continue;
            }
            match self.ask::<A, R>(&server, code, args, repeat, deadline).await {
                Ok(reply) => match reply.code() {
                    ErrorCode::ForwardToOthers => {
                        if let Some(leader) = reply.leader() {
                            queue.push_front(leader);
                        }
                        last = refused(&server, ErrorCode::ForwardToOthers, "");
                    }
                    not_ready @ (ErrorCode::ServiceNotActive | ErrorCode::IoPending) => {
                        last = refused(&server, not_ready, "");
                    }
                    _ => {
                        self.set_leader(Some(server.clone()));
                        return Ok(Ok((server, reply)));
                    }
                },
                Err(attempt) if attempt.sent && repeat == Repeat::Unsafe => {
                    return Err(Error::OutcomeUnknown { cause: Box::new(attempt.error) });
                }
                Err(attempt) => last = attempt.error,
            }
            if deadline.passed() {
                break;
            }
        }
        self.set_leader(None);
        Ok(Err(last))
    }

    async fn ask<A: Thrift, R: Thrift>(
        &self,
        server: &NodeId,
        code: TaskCode,
        args: &A,
        repeat: Repeat,
        deadline: &Deadline,
    ) -> Result<R, Attempt> {
        let patience = match repeat {
            Repeat::Safe => self.pool.options.meta_attempt_timeout,
            Repeat::Unsafe => Duration::MAX,
        };
        call_node(&self.pool, server, code, args, &deadline.capped(patience)).await
    }
}

pub(crate) fn refused(server: &NodeId, code: ErrorCode, hint: &str) -> Error {
    Error::Refused { server: server.clone(), code, hint: hint.to_owned() }
}

/// One call that is addressed to a process and not to a partition.
pub(crate) async fn call_node<A: Thrift, R: Thrift>(
    pool: &Pool,
    server: &NodeId,
    code: TaskCode,
    args: &A,
    deadline: &Deadline,
) -> Result<R, Attempt> {
    let unsent = |error| Attempt { error, sent: false };
    let connection = pool.get(server, deadline).await.map_err(unsent)?;
    let header = CallHeader { timeout_ms: deadline.remaining_ms(), ..CallHeader::default() };
    let sending = connection.send(|buffer, seqid| {
        encode_request(buffer, code.name(), seqid, &header, args);
    });
    let mut ticket = match timeout_at(deadline.at(), sending).await {
        Ok(ticket) => ticket.map_err(unsent)?,
        Err(_) => return Err(unsent(deadline.timeout(None))),
    };
    let lost = |error| Attempt { error, sent: true };
    match timeout_at(deadline.at(), ticket.reply()).await {
        Ok(reply) => decode(server, &reply.map_err(lost)?).map_err(|error| {
            // An error in the header means that no handler ran.
            let sent = !matches!(error, Error::Refused { .. });
            Attempt { error, sent }
        }),
        Err(_) => {
            connection.note_timeout(pool.options.silence_limit);
            Err(lost(deadline.timeout(None)))
        }
    }
}

pub(crate) fn decode<R: Thrift>(server: &NodeId, reply: &Reply) -> Result<R, Error> {
    if reply.error != ErrorCode::Ok {
        return Err(refused(server, reply.error, ""));
    }
    reply
        .decode_result::<R>()
        .map_err(|error| Error::BadReply { server: server.clone(), reason: error.to_string() })
}

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use pegasus_protocol::frame::{Reply, decode_reply};
use pegasus_types::NodeId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::AbortHandle;
use tracing::debug;

use crate::{ClientOptions, Error};

/// How much is read from the socket at a time, and how much buffer is kept between writes.
const CHUNK: usize = 64 << 10;
const KEPT_BUFFER: usize = 1 << 20;

type Waiter = oneshot::Receiver<Result<Reply, Error>>;

/// One TCP connection that many requests share. Replies come in any order and find their request
/// by sequence number (`spec/wire.md` 1.1). Requests that are encoded while a write is under way
/// leave together with the next one.
#[derive(Debug)]
pub(crate) struct Connection {
    shared: Arc<Shared>,
    tasks: [AbortHandle; 2],
}

#[derive(Debug)]
struct Shared {
    server: NodeId,
    max_outgoing_bytes: usize,
    max_reply_bytes: usize,
    outgoing: Mutex<BytesMut>,
    something_to_write: Notify,
    room_to_write: Notify,
    pending: Mutex<Pending>,
    permits: Arc<Semaphore>,
    started: Instant,
    /// Milliseconds after `started` since when answers are due and nothing arrives; 0: none due.
    silent_since: AtomicU64,
}

#[derive(Debug, Default)]
struct Pending {
    next_seqid: i32,
    calls: HashMap<i32, oneshot::Sender<Result<Reply, Error>>>,
    /// Set once, when the connection ends.
    closed: Option<Error>,
}

/// A request that was handed to the connection. Dropping it gives up on the reply.
#[derive(Debug)]
pub(crate) struct Ticket {
    shared: Arc<Shared>,
    seqid: i32,
    reply: Waiter,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    /// Must run inside a tokio runtime, which then also drives the connection.
    pub(crate) fn start(server: NodeId, stream: TcpStream, options: &ClientOptions) -> Connection {
        let (read_half, write_half) = stream.into_split();
        let shared = Arc::new(Shared {
            server,
            max_outgoing_bytes: options.max_outgoing_bytes.max(1),
            max_reply_bytes: options.max_reply_bytes,
            outgoing: Mutex::default(),
            something_to_write: Notify::new(),
            room_to_write: Notify::new(),
            pending: Mutex::default(),
            permits: Arc::new(Semaphore::new(options.max_in_flight.max(1))),
            started: Instant::now(),
            silent_since: AtomicU64::new(0),
        });
        let reader = tokio::spawn(read_loop(CloseOnDrop(Arc::clone(&shared)), read_half));
        let writer = tokio::spawn(write_loop(CloseOnDrop(Arc::clone(&shared)), write_half));
        Connection { shared, tasks: [reader.abort_handle(), writer.abort_handle()] }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.shared.pending().closed.is_some()
    }

    /// Hands one request over; `encode` gets the buffer to append to and the sequence number.
    ///
    /// Waits for room when too much is in flight. An error, or dropping the future, means that
    /// nothing of the request was or will be sent.
    pub(crate) async fn send(
        &self,
        encode: impl FnOnce(&mut BytesMut, i32),
    ) -> Result<Ticket, Error> {
        let shared = &self.shared;
        let Ok(permit) = Arc::clone(&shared.permits).acquire_owned().await else {
            return Err(shared.why_closed());
        };
        let mut encode = Some(encode);
        loop {
            let room = shared.room_to_write.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            if let Some((seqid, reply)) = shared.enqueue(&mut encode)? {
                shared.something_to_write.notify_one();
                return Ok(Ticket { shared: Arc::clone(shared), seqid, reply, _permit: permit });
            }
            room.await;
        }
    }

    /// Tells the connection that a request on it ran into its deadline.
    pub(crate) fn note_timeout(&self, silence_limit: Duration) {
        let since = self.shared.silent_since.load(Ordering::Relaxed);
        let silence = self.shared.elapsed_ms().saturating_sub(since);
        if since != 0 && u128::from(silence) >= silence_limit.as_millis() {
            self.shared.close(format!("silent for {silence} ms"));
            self.abort();
        }
    }

    fn abort(&self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.close("no longer used".to_owned());
        self.abort();
    }
}

impl Ticket {
    /// The reply, or why it can no longer come. May be polled again after it was cancelled.
    pub(crate) async fn reply(&mut self) -> Result<Reply, Error> {
        match (&mut self.reply).await {
            Ok(result) => result,
            Err(_) => Err(self.shared.why_closed()),
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.shared.pending().calls.remove(&self.seqid);
    }
}

impl Shared {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn outgoing(&self) -> MutexGuard<'_, BytesMut> {
        self.outgoing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
    }

    /// Appends the request to what is to be written, unless there is too much of that already.
    fn enqueue(
        &self,
        encode: &mut Option<impl FnOnce(&mut BytesMut, i32)>,
    ) -> Result<Option<(i32, Waiter)>, Error> {
        let mut outgoing = self.outgoing();
        if outgoing.len() >= self.max_outgoing_bytes {
            return if self.pending().closed.is_some() { Err(self.why_closed()) } else { Ok(None) };
        }
        let (seqid, reply) = self.register()?;
        if let Some(encode) = encode.take() {
            encode(&mut outgoing, seqid);
        }
        Ok(Some((seqid, reply)))
    }

    fn register(&self) -> Result<(i32, Waiter), Error> {
        let mut pending = self.pending();
        if let Some(error) = &pending.closed {
            return Err(error.clone());
        }
        let mut seqid = pending.next_seqid;
        while pending.calls.contains_key(&seqid) {
            seqid = seqid.wrapping_add(1);
        }
        pending.next_seqid = seqid.wrapping_add(1);
        let (sender, receiver) = oneshot::channel();
        pending.calls.insert(seqid, sender);
        // Only the first request after a quiet time starts the clock.
        let now = self.elapsed_ms();
        let _ = self.silent_since.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
        Ok((seqid, receiver))
    }

    fn deliver(&self, reply: Reply) {
        let seqid = reply.seqid;
        let call = {
            let mut pending = self.pending();
            let call = pending.calls.remove(&seqid);
            if pending.calls.is_empty() {
                self.silent_since.store(0, Ordering::Relaxed);
            }
            call
        };
        match call {
            // The caller may have given up in this very moment; its loss.
            Some(call) => drop(call.send(Ok(reply))),
            None => debug!(server = %self.server, seqid, name = %reply.name, "reply to no request"),
        }
    }

    fn note_arrival(&self) {
        if self.silent_since.load(Ordering::Relaxed) != 0 {
            self.silent_since.store(self.elapsed_ms(), Ordering::Relaxed);
        }
    }

    fn why_closed(&self) -> Error {
        self.pending().closed.clone().unwrap_or_else(|| Error::ConnectionLost {
            server: self.server.clone(),
            reason: "closed".to_owned(),
        })
    }

    fn close(&self, reason: String) {
        let calls = {
            let mut pending = self.pending();
            if pending.closed.is_some() {
                return;
            }
            let error = Error::ConnectionLost { server: self.server.clone(), reason };
            debug!(server = %self.server, unanswered = pending.calls.len(), %error, "closed");
            pending.closed = Some(error);
            std::mem::take(&mut pending.calls)
        };
        let error = self.why_closed();
        for call in calls.into_values() {
            let _ = call.send(Err(error.clone()));
        }
        self.permits.close();
        self.room_to_write.notify_waiters();
        self.something_to_write.notify_one();
    }
}

/// Ends the connection for its callers also when a task is dropped with its runtime.
struct CloseOnDrop(Arc<Shared>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close("connection task ended".to_owned());
    }
}

async fn read_loop(guard: CloseOnDrop, mut socket: OwnedReadHalf) {
    let shared = &guard.0;
    let mut buffer = BytesMut::with_capacity(CHUNK);
    let reason = loop {
        match decode_reply(&mut buffer, shared.max_reply_bytes) {
            Ok(Some(reply)) => {
                shared.deliver(reply);
                continue;
            }
            Ok(None) => {}
            Err(error) => break format!("malformed reply: {error}"),
        }
        if buffer.capacity() - buffer.len() < CHUNK / 2 {
            buffer.reserve(CHUNK);
        }
        match socket.read_buf(&mut buffer).await {
            Ok(0) => break "closed by the server".to_owned(),
            Ok(_) => shared.note_arrival(),
            Err(error) => break error.to_string(),
        }
    };
    shared.close(reason);
}

async fn write_loop(guard: CloseOnDrop, mut socket: OwnedWriteHalf) {
    let shared = &guard.0;
    let mut chunk = BytesMut::new();
    loop {
        shared.something_to_write.notified().await;
        loop {
            std::mem::swap(&mut *shared.outgoing(), &mut chunk);
            if chunk.is_empty() {
                break;
            }
            shared.room_to_write.notify_waiters();
            if let Err(error) = socket.write_all(&chunk).await {
                shared.close(error.to_string());
                return;
            }
            chunk.clear();
            if chunk.capacity() > KEPT_BUFFER {
                chunk = BytesMut::new();
            }
        }
        if shared.pending().closed.is_some() {
            return;
        }
    }
}

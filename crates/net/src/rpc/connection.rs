use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use pegasus_protocol::frame::{FrameError, Protocol, decode_request};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::io::{poll_read_buf, poll_write_buf};

use super::outbox::Outbox;
use super::reply::{ReplySender, RpcHandler};
use crate::Limits;

/// Size of a read buffer while little happens; idle connections keep no more.
const READ_MIN: usize = 4 << 10;
/// Size of a read buffer of a busy connection.
const READ_MAX: usize = 32 << 10;
/// An idle connection keeps write buffers up to this size.
const WRITE_KEEP: usize = 16 << 10;
/// Rounds of reading and writing before other connections get their turn.
const ROUNDS_PER_TURN: usize = 16;

/// Why a connection was closed, if not by the client between two requests.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Closed {
    #[error("bad frame: {0}")]
    Frame(#[from] FrameError),
    #[error("closed by the client in the middle of a request, after {0} bytes of it")]
    Truncated(usize),
    #[error("no progress in the middle of a request")]
    ReadStall,
    #[error("the client does not take its replies")]
    WriteStall,
    #[error("{0} bytes of replies are waiting for the client")]
    Overflow(usize),
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// What differs between connections when they are made.
pub(crate) struct PublicConnection {
    pub stream: TcpStream,
    pub protocol: Protocol,
    /// Bytes already read, at least the magic.
    pub head: BytesMut,
    pub limits: Arc<Limits>,
}

/// One client connection: reads requests, calls the handler for each, writes replies as they come.
/// A single task does both directions, so the replies given during a turn leave in one write.
pub(crate) struct Connection<H> {
    stream: TcpStream,
    protocol: Protocol,
    handler: H,
    limits: Arc<Limits>,
    outbox: Arc<Outbox>,
    incoming: BytesMut,
    /// Bytes to ask for in the next read.
    read_size: usize,
    /// `incoming` was made larger than an idle connection's may be.
    large_buffer: bool,
    /// `incoming` may hold a complete request.
    undecoded: bool,
    writing: BytesMut,
    end_of_input: bool,
    /// Take no more requests; finish what was begun.
    draining: bool,
    last_read: Instant,
    /// When the socket last took a part of `writing` without taking all of it.
    blocked_since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<H: RpcHandler> Connection<H> {
    pub fn new(parts: PublicConnection, handler: H) -> io::Result<Connection<H>> {
        let PublicConnection { stream, protocol, head, limits } = parts;
        let outbox = Arc::new(Outbox::new(stream.peer_addr()?));
        Ok(Connection {
            stream,
            protocol,
            handler,
            limits,
            outbox,
            incoming: head,
            read_size: READ_MIN,
            large_buffer: false,
            undecoded: true,
            writing: BytesMut::new(),
            end_of_input: false,
            draining: false,
            last_read: Instant::now(),
            blocked_since: None,
            timer: None,
        })
    }

    /// Serve until the client is gone or misbehaves. May be dropped and called again.
    pub async fn run(&mut self) -> Result<(), Closed> {
        poll_fn(|cx| self.poll_turn(cx)).await
    }

    /// From now on [`Connection::run`] only finishes the requests that were begun.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        self.outbox.begin_turn(cx.waker());
        for _ in 0..ROUNDS_PER_TURN {
            let glance = self.outbox.exchange(&mut self.writing);
            let wrote = self.write(cx)?;
            let waiting = self.writing.len().saturating_add(glance.queued);
            if waiting > self.limits.outgoing_max {
                return Poll::Ready(Err(Closed::Overflow(waiting)));
            }
            if waiting == 0 && glance.in_flight == 0 && self.no_more_input() {
                return Poll::Ready(Ok(()));
            }
            let may_read = waiting < self.limits.outgoing_pause
                && glance.in_flight < self.limits.max_in_flight;
            let read = may_read && self.read(cx)?;
            if !wrote && !read && self.outbox.end_turn() {
                self.release_memory();
                return self.poll_stall(cx, may_read);
            }
        }
        // Still busy: let the other tasks of this shard run, then go on.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn no_more_input(&self) -> bool {
        self.draining || (self.end_of_input && !self.undecoded)
    }

    /// Returns whether anything was written.
    fn write(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut progress = false;
        while !self.writing.is_empty() {
            match poll_write_buf(Pin::new(&mut self.stream), cx, &mut self.writing) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(_)) => progress = true,
                Poll::Ready(Err(e)) => return Err(e),
                Poll::Pending => {
                    if progress || self.blocked_since.is_none() {
                        self.blocked_since = Some(Instant::now());
                    }
                    return Ok(progress);
                }
            }
        }
        self.blocked_since = None;
        Ok(progress)
    }

    /// Read once and hand over every complete request. Returns whether anything happened.
    fn read(&mut self, cx: &mut Context<'_>) -> Result<bool, Closed> {
        if self.draining {
            return Ok(false);
        }
        if self.undecoded {
            // What was left when reading was paused, or what came with the magic.
            return self.decode().map(|()| true);
        }
        if self.end_of_input {
            return Ok(false);
        }
        let room = self.incoming.capacity() - self.incoming.len();
        if room < READ_MIN / 4 {
            // Doubling keeps a long request linear, and memory follows what really arrived.
            let more = self.read_size.max(self.incoming.len());
            self.incoming.reserve(more);
            self.large_buffer |= more > READ_MIN;
        }
        let room = self.incoming.capacity() - self.incoming.len();
        match poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.incoming) {
            Poll::Pending => Ok(false),
            Poll::Ready(Err(e)) => Err(e.into()),
            Poll::Ready(Ok(0)) => {
                self.end_of_input = true;
                match self.incoming.len() {
                    0 => Ok(true),
                    partial => Err(Closed::Truncated(partial)),
                }
            }
            Poll::Ready(Ok(count)) => {
                if count == room {
                    self.read_size = (self.read_size * 2).min(READ_MAX);
                }
                self.undecoded = true;
                self.last_read = Instant::now();
                self.decode().map(|()| true)
            }
        }
    }

    fn decode(&mut self) -> Result<(), Closed> {
        let max_frame = self.limits.max_frame;
        while let Some(request) = decode_request(self.protocol, &mut self.incoming, max_frame)? {
            let glance = self.outbox.begin_request();
            let reply = ReplySender::new(request.header.clone(), self.outbox.clone());
            self.handler.call(request, reply);
            if glance.in_flight >= self.limits.max_in_flight
                || glance.queued >= self.limits.outgoing_pause
            {
                return Ok(());
            }
        }
        self.undecoded = false;
        Ok(())
    }

    /// About to sleep: keep only small buffers.
    fn release_memory(&mut self) {
        if self.incoming.is_empty() && self.large_buffer {
            self.incoming = BytesMut::new();
            self.large_buffer = false;
            self.read_size = (self.read_size / 2).max(READ_MIN);
        }
        if self.writing.is_empty() && self.writing.capacity() > WRITE_KEEP {
            self.writing = BytesMut::new();
            self.outbox.shrink(WRITE_KEEP);
        }
    }

    /// Sleep, but not longer than a client may stall.
    fn poll_stall(&mut self, cx: &mut Context<'_>, reading: bool) -> Poll<Result<(), Closed>> {
        loop {
            let read_due = (reading && !self.draining && !self.incoming.is_empty())
                .then(|| self.last_read + self.limits.frame_stall_timeout);
            let write_due = self.blocked_since.map(|since| since + self.limits.write_stall_timeout);
            let Some(due) = read_due.into_iter().chain(write_due).min() else {
                // A timer that is still armed costs one idle wake-up, less than making it anew.
                self.timer.take_if(|timer| timer.is_elapsed());
                return Poll::Pending;
            };
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
            if timer.deadline() > due || timer.is_elapsed() {
                timer.as_mut().reset(due);
            }
            ready!(timer.as_mut().poll(cx));
            let now = Instant::now();
            if read_due.is_some_and(|due| due <= now) {
                return Poll::Ready(Err(Closed::ReadStall));
            }
            if write_due.is_some_and(|due| due <= now) {
                return Poll::Ready(Err(Closed::WriteStall));
            }
        }
    }
}

impl<H> Drop for Connection<H> {
    fn drop(&mut self) {
        self.outbox.close();
    }
}

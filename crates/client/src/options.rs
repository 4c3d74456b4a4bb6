use std::time::Duration;

/// How a [`Client`](crate::Client) behaves. Start from the default and change what differs:
///
/// ```
/// use std::time::Duration;
/// use pegasus_client::ClientOptions;
///
/// let options = ClientOptions { timeout: Duration::from_millis(500), ..ClientOptions::default() };
/// assert_eq!(options.timeout.as_millis(), 500);
/// ```
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Deadline of one data operation, all its retries included. Default 5 s. Override it for one
    /// table handle with [`Table::with_timeout`](crate::Table::with_timeout).
    pub timeout: Duration,
    /// Deadline of one call to the meta servers (opening a table, admin calls). Default 10 s.
    pub meta_timeout: Duration,
    /// How long one meta server is waited for before a query goes to the next one. Default 1 s.
    pub meta_attempt_timeout: Duration,
    /// Longest wait for a TCP connection. Default 1 s.
    pub connect_timeout: Duration,
    /// A request unanswered for this long makes the client ask the meta server whether the
    /// partition has moved; if so it is sent to the new primary. Default 1 s.
    pub doubt_after: Duration,
    /// A connection on which answers are due but nothing arrives for this long is given up as
    /// soon as a request on it times out. Default 3 s.
    pub silence_limit: Duration,
    /// Requests in flight to one server; more callers wait their turn. Default 4096.
    pub max_in_flight: usize,
    /// Bytes waiting to be written to one server; more callers wait their turn. Default 16 MiB.
    pub max_outgoing_bytes: usize,
    /// Largest reply accepted, in bytes. Default 128 MiB (a multi_get is at most about 30 MiB).
    pub max_reply_bytes: usize,
}

impl Default for ClientOptions {
    fn default() -> ClientOptions {
        ClientOptions {
            timeout: Duration::from_secs(5),
            meta_timeout: Duration::from_secs(10),
            meta_attempt_timeout: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(1),
            doubt_after: Duration::from_secs(1),
            silence_limit: Duration::from_secs(3),
            max_in_flight: 4096,
            max_outgoing_bytes: 16 << 20,
            max_reply_bytes: 128 << 20,
        }
    }
}

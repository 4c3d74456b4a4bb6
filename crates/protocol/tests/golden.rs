//! Every golden request and reply decodes to what it says and encodes again byte for byte.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
#[path = "golden/replies.rs"]
mod replies;
#[path = "golden/requests.rs"]
mod requests;

use bytes::Bytes;
use pegasus_protocol::rrdb::KeyValue;

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn record(key: &'static str, value: &'static str) -> KeyValue {
    KeyValue { key: bytes(key), value: bytes(value), expire_ts_seconds: None }
}

/// A message that was added without a test would only seem to be covered.
#[test]
fn no_message_is_forgotten() {
    let tests = concat!(include_str!("golden/replies.rs"), include_str!("golden/requests.rs"));
    for name in common::golden_names() {
        let by_client = ["go_", "py_", "java_"]
            .iter()
            .filter_map(|client| name.strip_prefix(client))
            .any(|rest| tests.contains(&format!("{{client}}_{rest}\"")));
        assert!(by_client || tests.contains(&format!("\"{name}\"")), "{name}");
    }
}

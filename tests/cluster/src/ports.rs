use std::net::TcpListener;
use std::sync::Mutex;

/// Where the search goes on, so that two tests of one process never get the same port.
static NEXT: Mutex<u16> = Mutex::new(0);

/// Ports that are free now. They are taken from below the range the system gives to outgoing
/// connections, so that no client socket takes one before its daemon starts.
pub fn free_ports(count: usize) -> Vec<u16> {
    const FIRST: u16 = 12_000;
    const LAST: u16 = 30_000;
    let mut next = NEXT.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if *next == 0 {
        *next = FIRST + u16::try_from(std::process::id() % 15_000).unwrap_or(0);
    }
    let mut found = Vec::new();
    for _ in 0..2 * (LAST - FIRST) {
        if found.len() == count {
            break;
        }
        *next = if *next >= LAST { FIRST } else { *next + 1 };
        if TcpListener::bind(("127.0.0.1", *next)).is_ok() {
            found.push(*next);
        }
    }
    assert_eq!(found.len(), count, "not enough free ports");
    found
}

use std::backtrace::Backtrace;
use std::panic::{self, PanicHookInfo};

/// Logs every panic as an error, with its place, thread and backtrace. It replaces the standard
/// hook: whoever catches a panic (a shard does, around `step`) logs what it does about it.
pub fn install_panic_hook() {
    panic::set_hook(Box::new(|info| {
        let place = info.location().map_or_else(|| "unknown".to_owned(), ToString::to_string);
        let thread = std::thread::current();
        tracing::error!(
            place,
            thread = thread.name().unwrap_or("-"),
            backtrace = %Backtrace::force_capture(),
            "panic: {}",
            payload(info),
        );
    }));
}

fn payload<'a>(info: &'a PanicHookInfo<'_>) -> &'a str {
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use crate::logging::{TelemetryOptions, build};

    #[test]
    fn a_panic_is_logged() {
        let dir = tempfile::tempdir().unwrap();
        let options = TelemetryOptions {
            stderr_level: "off".to_owned(),
            ..TelemetryOptions::new("replica", Some(dir.path().to_owned()))
        };
        let (subscriber, guard) = build(&options).unwrap();
        let previous = panic::take_hook();
        tracing::subscriber::with_default(subscriber, || {
            install_panic_hook();
            let caught = panic::catch_unwind(|| panic!("decree {} is gone", 7));
            assert!(caught.is_err());
        });
        panic::set_hook(previous);
        drop(guard);
        let text = std::fs::read_to_string(dir.path().join("replica.log")).unwrap();
        assert!(text.contains("panic: decree 7 is gone"), "{text}");
        assert!(text.contains("panic_hook.rs:"), "{text}");
    }
}

//! Remote commands (`spec/wire.md` 3.3).

use pegasus_protocol::admin::Command;

use crate::shared::Shared;

/// An unknown command answers with a text, not with an error.
pub fn run(shared: &Shared, command: &Command) -> String {
    match command.cmd.as_str() {
        "help" => "help - this list\nserver-info - version and start time\n".to_owned(),
        "server-info" => {
            let started_ms = shared.identity.incarnation / 1000;
            format!(
                "Pegasus Server {} (meta server {}), started at {started_ms} ms since the epoch",
                env!("CARGO_PKG_VERSION"),
                shared.identity.node
            )
        }
        unknown => format!("unknown command '{unknown}'"),
    }
}

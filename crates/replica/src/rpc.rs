//! Dispatch of client requests (`spec/wire.md` 1.5).

use std::sync::Arc;

use pegasus_net::{ReplySender, RpcHandler};
use pegasus_protocol::admin::Command;
use pegasus_protocol::code::{Kind, TaskCode};
use pegasus_protocol::frame::Request;
use pegasus_types::{ErrorCode, PartitionId};

use crate::shared::Shared;
use crate::{accept, reads};

/// The public door of a replica server.
#[derive(Clone)]
pub struct Handler {
    shared: Arc<Shared>,
}

impl Handler {
    pub fn new(shared: Arc<Shared>) -> Handler {
        Handler { shared }
    }
}

impl RpcHandler for Handler {
    fn call(&self, request: Request, reply: ReplySender) {
        let Some(code) = request.header.code else { return reply.handler_not_found() };
        // Storage codes need a partition, all others none.
        if code.is_storage() != (request.header.app_id > 0) {
            return reply.handler_not_found();
        }
        if !code.is_storage() {
            return node_level(&self.shared, code, &request, reply);
        }
        let pid = PartitionId::new(request.header.app_id, request.header.partition_index);
        let table = self.shared.table.load();
        let Some(hosted) = table.get(&pid) else {
            return reply.error(ErrorCode::ObjectNotFound);
        };
        match code.kind() {
            Kind::Write => accept::write(&self.shared, hosted, code, &request, reply),
            _ => reads::read(&self.shared, hosted, code, &request, reply),
        }
    }
}

/// Codes about the node itself.
fn node_level(shared: &Arc<Shared>, code: TaskCode, request: &Request, reply: ReplySender) {
    if code != TaskCode::CliCall {
        return reply.handler_not_found();
    }
    match request.decode_args::<Command>() {
        Ok(command) => reply.ok(&remote_command(shared, &command)),
        Err(_) => reply.invalid_data(),
    }
}

/// An unknown command answers with a text, not with an error (`spec/wire.md` 3.3).
fn remote_command(shared: &Shared, command: &Command) -> String {
    match command.cmd.as_str() {
        "help" => "help - this list\nserver-info - version and start time\n".to_owned(),
        "server-info" => {
            let started_ms = i64::try_from(shared.identity.incarnation / 1000).unwrap_or(i64::MAX);
            format!(
                "Pegasus Server {} (replica server {}), started at {started_ms} ms since the epoch",
                env!("CARGO_PKG_VERSION"),
                shared.me
            )
        }
        unknown => format!("unknown command '{unknown}'"),
    }
}

//! The public door: requests of clients and tools (`spec/meta.md` 11, `spec/wire.md` 3.2, 3.3).

use std::sync::Arc;

use pegasus_control::{CreateApp, DropApp, Event, FunctionLevel, Response};
use pegasus_net::{ReplySender, RpcHandler};
use pegasus_protocol::admin::{
    ClusterInfoRequest, Command, CreateAppRequest, CreateAppResponse, DropAppRequest,
    DropAppResponse, ListAppsRequest, ListNodesRequest, MetaControlRequest, MetaControlResponse,
    MetaFunctionLevel, Negotiation, NegotiationStatus, QueryCfgRequest,
};
use pegasus_protocol::code::TaskCode;
use pegasus_protocol::frame::{Request, Wire};
use pegasus_protocol::thrift::Thrift;
use pegasus_types::ErrorCode;

use crate::shared::Shared;
use crate::{cluster_info, commands, lists, query};

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
        let shared = &self.shared;
        match request.header.code {
            Some(code) if code.is_storage() || request.header.app_id > 0 => {
                reply.handler_not_found();
            }
            Some(TaskCode::QueryCfg) => with(&request, reply, |args: QueryCfgRequest, reply| {
                let host_ports = with_host_ports(shared, &request);
                reply.ok(&query::query_config(shared, &args, host_ports));
            }),
            Some(TaskCode::ListApps) => with(&request, reply, |args: ListAppsRequest, reply| {
                reply.ok(&lists::list_apps(&shared.view.load(), &args));
            }),
            Some(TaskCode::ListNodes) => with(&request, reply, |args: ListNodesRequest, reply| {
                let host_ports = with_host_ports(shared, &request);
                reply.ok(&lists::list_nodes(shared, &args, host_ports));
            }),
            Some(TaskCode::ClusterInfo) => with(&request, reply, |_: ClusterInfoRequest, reply| {
                reply.ok(&cluster_info::response(shared));
            }),
            Some(TaskCode::CreateApp) => with(&request, reply, |args, reply| {
                create_app(Arc::clone(shared), args, reply);
            }),
            Some(TaskCode::DropApp) => with(&request, reply, |args, reply| {
                drop_app(Arc::clone(shared), args, reply);
            }),
            Some(TaskCode::ControlMeta) => with(&request, reply, |args, reply| {
                control_meta(Arc::clone(shared), &args, reply);
            }),
            Some(TaskCode::CliCall) => with(&request, reply, |args: Command, reply| {
                reply.ok(&commands::run(shared, &args));
            }),
            // Without authentication there is nothing to negotiate (spec/wire.md 5).
            Some(TaskCode::Negotiation) => with(&request, reply, |_: Negotiation, reply| {
                let status = NegotiationStatus::SaslAuthDisable;
                reply.ok(&Negotiation { status, ..Negotiation::default() });
            }),
            // Known to the protocol, not offered by this server yet; or unknown altogether.
            Some(_) | None => reply.handler_not_found(),
        }
    }
}

/// Decodes the arguments; ERR_INVALID_DATA if they are unreadable.
fn with<T: Thrift>(request: &Request, reply: ReplySender, serve: impl FnOnce(T, ReplySender)) {
    match request.decode_args::<T>() {
        Ok(args) => serve(args, reply),
        Err(e) => {
            tracing::warn!(client = %reply.peer(), code = %request.header.code_name,
                "unreadable arguments: {e}");
            reply.invalid_data();
        }
    }
}

/// `hp_*` fields: rDSN peers use nothing else, old THFT peers break on them (`spec/wire.md` 6.5).
fn with_host_ports(shared: &Shared, request: &Request) -> bool {
    request.header.wire == Wire::Rdsn || shared.settings.host_ports_for_thrift
}

fn create_app(shared: Arc<Shared>, args: CreateAppRequest, reply: ReplySender) {
    let CreateAppRequest { app_name, options } = args;
    let request = CreateApp {
        app_name,
        app_type: options.app_type,
        partition_count: options.partition_count,
        replica_count: options.replica_count,
        success_if_exist: options.success_if_exist,
        is_stateful: options.is_stateful,
        envs: options.envs,
        atomic_idempotent: options.atomic_idempotent.unwrap_or(false),
    };
    tokio::spawn(async move {
        let (name, client) = (request.app_name.clone(), reply.peer());
        let (err, appid) = match shared.owner.ask(|token| Event::CreateApp { token, request }).await
        {
            Some(Response::Create(Ok(appid))) => (ErrorCode::Ok, appid),
            Some(Response::Create(Err(err))) => (err, 0),
            _ => (ErrorCode::ServiceNotActive, 0),
        };
        tracing::info!(table = name, appid, %client, result = err.as_str(), "create_app");
        reply.ok(&CreateAppResponse { err, appid });
    });
}

fn drop_app(shared: Arc<Shared>, args: DropAppRequest, reply: ReplySender) {
    let request = DropApp {
        app_name: args.app_name,
        success_if_not_exist: args.options.success_if_not_exist,
        reserve_seconds: args.options.reserve_seconds,
    };
    tokio::spawn(async move {
        let (name, client) = (request.app_name.clone(), reply.peer());
        let err = match shared.owner.ask(|token| Event::DropApp { token, request }).await {
            Some(Response::Drop(Ok(()))) => ErrorCode::Ok,
            Some(Response::Drop(Err(err))) => err,
            _ => ErrorCode::ServiceNotActive,
        };
        tracing::info!(table = name, %client, result = err.as_str(), "drop_app");
        reply.ok(&DropAppResponse { err });
    });
}

/// `fl_invalid` only asks; other unknown numbers are refused, unlike in the reference.
fn control_meta(shared: Arc<Shared>, args: &MetaControlRequest, reply: ReplySender) {
    let level = match args.level {
        MetaFunctionLevel::Stopped => Some(FunctionLevel::Stopped),
        MetaFunctionLevel::Blind => Some(FunctionLevel::Blind),
        MetaFunctionLevel::Freezed => Some(FunctionLevel::Freezed),
        MetaFunctionLevel::Steady => Some(FunctionLevel::Steady),
        MetaFunctionLevel::Lively => Some(FunctionLevel::Lively),
        MetaFunctionLevel::Invalid => None,
        MetaFunctionLevel::Unknown(_) => {
            let err = ErrorCode::InvalidParameters;
            return reply.ok(&MetaControlResponse { err, old_level: MetaFunctionLevel::Invalid });
        }
    };
    tokio::spawn(async move {
        let answer = shared.owner.ask(move |token| Event::SetLevel { token, level }).await;
        let (err, old_level) = match answer {
            Some(Response::Level(old)) => (ErrorCode::Ok, MetaFunctionLevel::from_i32(old as i32)),
            _ => (ErrorCode::ServiceNotActive, MetaFunctionLevel::Invalid),
        };
        reply.ok(&MetaControlResponse { err, old_level });
    });
}

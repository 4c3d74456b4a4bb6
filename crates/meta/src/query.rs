//! Who serves which partition (`spec/wire.md` 6).

use pegasus_protocol::admin::{PartitionConfiguration, QueryCfgRequest, QueryCfgResponse};
use pegasus_types::{AppStatus, ErrorCode, PartitionConfig};

use crate::shared::Shared;

pub fn query_config(
    shared: &Shared,
    request: &QueryCfgRequest,
    with_host_ports: bool,
) -> QueryCfgResponse {
    let view = shared.view.load();
    // `is_stateful` false marks an answer without a table; some clients go by it.
    let failed = |err| QueryCfgResponse {
        err,
        app_id: 0,
        partition_count: 0,
        is_stateful: false,
        partitions: Vec::new(),
    };
    if !view.serving {
        return failed(ErrorCode::ServiceNotActive);
    }
    let Some(app) = view.app(&request.app_name) else {
        return failed(ErrorCode::ObjectNotFound);
    };
    match app.info.status {
        AppStatus::Available => {}
        AppStatus::Creating | AppStatus::Recalling => return failed(ErrorCode::BusyCreating),
        AppStatus::Dropping => return failed(ErrorCode::BusyDropping),
        _ => return failed(ErrorCode::ObjectNotFound),
    }
    let encode = |config: &PartitionConfig| {
        let resolve = |node: &_| shared.addresses.of(node);
        PartitionConfiguration::from_config(config, resolve, with_host_ports)
    };
    let asked = request.partition_indices.iter();
    let asked = asked.filter_map(|index| app.partitions.get(usize::try_from(*index).ok()?));
    let mut partitions: Vec<_> = asked.map(|(config, _)| encode(config)).collect();
    if partitions.is_empty() {
        partitions = app.partitions.iter().map(|(config, _)| encode(config)).collect();
    }
    QueryCfgResponse {
        err: ErrorCode::Ok,
        app_id: app.info.app_id,
        partition_count: app.info.partition_count,
        is_stateful: app.info.is_stateful,
        partitions,
    }
}

//! Lists of tables and nodes (`spec/meta.md` 3.7, 11).

use pegasus_protocol::admin::{
    AppStatus, ListAppsRequest, ListAppsResponse, ListNodesRequest, ListNodesResponse, NodeInfo,
    NodeStatus, PatternMatchType,
};
use pegasus_protocol::special::HostPort;
use pegasus_types::ErrorCode;

use crate::shared::Shared;
use crate::view::View;

pub fn list_apps(view: &View, request: &ListAppsRequest) -> ListAppsResponse {
    let failed = |err, hint: &str| ListAppsResponse {
        err,
        infos: Vec::new(),
        hint_message: Some(hint.to_owned()),
    };
    if !view.serving {
        return failed(ErrorCode::ServiceNotActive, "the meta server is starting");
    }
    let pattern = match (&request.app_name_pattern, request.match_type) {
        (Some(pattern), Some(kind)) => Some((pattern.as_str(), kind)),
        _ => None,
    };
    let mut infos = Vec::new();
    for app in view.apps.values() {
        let wanted = match pattern {
            None => true,
            Some((pattern, kind)) => match matches(&app.info.app_name, pattern, kind) {
                Some(wanted) => wanted,
                None => {
                    let hint = format!("{} is not supported", kind.as_str());
                    return failed(ErrorCode::NotImplemented, &hint);
                }
            },
        };
        let status = AppStatus::from(app.info.status);
        if wanted && (request.status == AppStatus::Invalid || request.status == status) {
            infos.push((&app.info).into());
        }
    }
    ListAppsResponse { err: ErrorCode::Ok, infos, hint_message: None }
}

/// None: this kind of match is not built, as in the reference.
fn matches(name: &str, pattern: &str, kind: PatternMatchType) -> Option<bool> {
    match kind {
        PatternMatchType::MatchAll => Some(true),
        PatternMatchType::MatchExact => Some(name == pattern),
        PatternMatchType::MatchAnywhere => Some(name.contains(pattern)),
        PatternMatchType::MatchPrefix => Some(name.starts_with(pattern)),
        PatternMatchType::MatchPostfix => Some(name.ends_with(pattern)),
        _ => None,
    }
}

pub fn list_nodes(
    shared: &Shared,
    request: &ListNodesRequest,
    with_host_ports: bool,
) -> ListNodesResponse {
    let view = shared.view.load();
    if !view.serving {
        return ListNodesResponse { err: ErrorCode::ServiceNotActive, infos: Vec::new() };
    }
    let infos = view.nodes.iter().filter_map(|node| {
        let status = if node.alive { NodeStatus::Alive } else { NodeStatus::Unalive };
        let wanted = request.status == NodeStatus::Invalid || request.status == status;
        wanted.then(|| NodeInfo {
            status,
            node: shared.addresses.of(&node.id),
            hp_node: with_host_ports.then(|| HostPort::from(&node.id)),
        })
    });
    ListNodesResponse { err: ErrorCode::Ok, infos: infos.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let cases = [
            (PatternMatchType::MatchAll, "x", Some(true)),
            (PatternMatchType::MatchExact, "table", Some(true)),
            (PatternMatchType::MatchExact, "tabl", Some(false)),
            (PatternMatchType::MatchAnywhere, "abl", Some(true)),
            (PatternMatchType::MatchPrefix, "ta", Some(true)),
            (PatternMatchType::MatchPostfix, "ta", Some(false)),
            (PatternMatchType::MatchRegex, "t.*", None),
        ];
        for (kind, pattern, expected) in cases {
            assert_eq!(matches("table", pattern, kind), expected, "{kind:?}");
        }
    }
}

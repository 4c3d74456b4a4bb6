//! Commands about the cluster and its nodes (`spec/admin.md` 1.4).

use std::collections::BTreeMap;

use pegasus_client::{NodeId, NodeStatus, TableFilter};
use serde_json::{Map, json};

use super::text_arg;
use crate::failure::Failure;
use crate::flags::{Flag, parse, switch, valued};
use crate::output::{self, Table};
use crate::session::{Session, print};

pub async fn cluster_info(session: &Session, args: &[Vec<u8>]) -> Result<(), Failure> {
    let flags = [switch('r', "resolve_ip"), valued('o', "output"), switch('j', "json")];
    let parsed = parse(args, &flags)?;
    if !parsed.positional.is_empty() {
        return Err(Failure::Usage(None));
    }
    super::tables::refuse(&parsed, &["resolve_ip"])?;
    let facts = session.client.cluster_info().await;
    let facts = facts.map_err(|error| Failure::admin("get cluster info", &error))?;
    let mut table = Table::list("cluster_info");
    for (key, value) in facts {
        table.pair(&key, value);
    }
    session.emit_one(&table, &parsed)
}

const NODES: &[Flag] = &[
    switch('d', "detailed"),
    switch('j', "json"),
    switch('r', "resolve_ip"),
    switch('u', "resource_usage"),
    valued('o', "output"),
    valued('s', "status"),
    switch('q', "qps"),
    valued('i', "sample_interval_ms"),
];

/// Replicas on one node, by role.
#[derive(Clone, Copy, Debug, Default)]
struct Holding {
    primaries: usize,
    secondaries: usize,
}

pub async fn nodes(session: &Session, args: &[Vec<u8>]) -> Result<(), Failure> {
    let parsed = parse(args, NODES)?;
    if !parsed.positional.is_empty() {
        return Err(Failure::Usage(None));
    }
    super::tables::refuse(&parsed, &["resolve_ip", "resource_usage", "qps"])?;
    let status_text = parsed.text("status");
    let status = match status_text.as_deref().map(str::to_ascii_lowercase).as_deref() {
        None | Some("all") => None,
        Some("alive") => Some(NodeStatus::Alive),
        Some("unalive") => Some(NodeStatus::Unalive),
        Some(other) => {
            return Err(Failure::message(format!("ERROR: invalid node status '{other}'")));
        }
    };
    let infos = session.client.list_nodes(status).await;
    let infos = infos.map_err(|error| Failure::admin("list nodes", &error))?;
    let detailed = parsed.has("detailed");
    let holdings = if detailed { holdings(session).await? } else { BTreeMap::new() };

    let mut details = Table::with_columns("details", &["address", "status"]);
    if detailed {
        for column in ["replica_count", "primary_count", "secondary_count"] {
            details.add_right_column(column);
        }
    }
    let mut alive = 0;
    for info in &infos {
        let status = match info.status {
            NodeStatus::Alive => "ALIVE",
            NodeStatus::Unalive => "UNALIVE",
        };
        alive += usize::from(info.status == NodeStatus::Alive);
        let mut row = vec![info.node.to_string(), status.to_owned()];
        if detailed {
            let held = holdings.get(&info.node).copied().unwrap_or_default();
            row.push((held.primaries + held.secondaries).to_string());
            row.push(held.primaries.to_string());
            row.push(held.secondaries.to_string());
        }
        details.row(row);
    }
    let mut summary = Table::list("summary");
    summary.pair("total_node_count", infos.len());
    summary.pair("alive_node_count", alive);
    summary.pair("unalive_node_count", infos.len() - alive);

    let mut tables = Vec::new();
    if status_text.is_some() || parsed.has("output") {
        let mut parameters = Table::list("parameters");
        if let Some(status) = status_text {
            parameters.pair("status", status);
        }
        if let Some(path) = parsed.text("output") {
            parameters.pair("out_file", path);
        }
        tables.push(parameters);
    }
    tables.extend([details, summary]);
    session.emit(&tables, &parsed)
}

async fn holdings(session: &Session) -> Result<BTreeMap<NodeId, Holding>, Failure> {
    let tables = session.client.list_tables(&TableFilter::available()).await;
    let tables = tables.map_err(|error| Failure::admin("list apps", &error))?;
    let mut holdings: BTreeMap<NodeId, Holding> = BTreeMap::new();
    for table in tables {
        let what = format!("list app {}", table.app_name);
        let config = session.client.query_config(&table.app_name).await;
        let config = config.map_err(|error| Failure::admin(&what, &error))?;
        for partition in config.partitions {
            if let Some(primary) = partition.primary {
                holdings.entry(primary).or_default().primaries += 1;
            }
            for secondary in partition.secondaries {
                holdings.entry(secondary).or_default().secondaries += 1;
            }
        }
    }
    Ok(holdings)
}

/// Runs a remote command on the servers given with `-l` and prints one JSON object, as the
/// reference does.
pub async fn remote_command(session: &Session, args: &[Vec<u8>]) -> Result<(), Failure> {
    let [flag, list, command, arguments @ ..] = args else {
        return Err(Failure::Usage(None));
    };
    if flag != b"-l" {
        return Err(Failure::Usage(Some(
            "ERROR: name the servers with -l; -t and -r are not supported yet".to_owned(),
        )));
    }
    let bad = |error| Failure::message(format!("ERROR: {error}"));
    let nodes: Vec<NodeId> = text_arg(list)?
        .split(',')
        .map(|node| node.parse().map_err(bad))
        .collect::<Result<_, Failure>>()?;
    let command = text_arg(command)?;
    let arguments =
        arguments.iter().map(|argument| text_arg(argument)).collect::<Result<Vec<_>, _>>()?;
    let mut details = Map::new();
    let (mut succeeded, mut failed) = (0, 0);
    for node in nodes {
        let answer = session.client.remote_command(&node, &command, &arguments).await;
        let (acked, message) = match answer {
            Ok(text) => (true, text),
            Err(error) => (false, error.to_string()),
        };
        *(if acked { &mut succeeded } else { &mut failed }) += 1;
        details.insert(node.to_string(), json!({ "acked": acked, "message": message }));
    }
    let answer = json!({
        "command": format!("{command} {}", arguments.join(" ")),
        "details": details,
        "failed_count": failed,
        "succeed_count": succeeded,
    });
    print(&output::pretty(&answer));
    if failed > 0 {
        Err(Failure::message(format!("ERROR: {failed} servers failed")))
    } else {
        Ok(())
    }
}

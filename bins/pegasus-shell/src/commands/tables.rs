//! Commands about tables (`spec/admin.md` 1.5).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use pegasus_client::{
    AppInfo, AppStatus, CreateTable, ErrorCode, NameMatch, NodeId, PartitionConfig, TableConfig,
    TableFilter,
};
use serde_json::json;

use super::text_arg;
use crate::failure::{Failure, admin_text};
use crate::flags::{Flag, Parsed, parse, switch, valued};
use crate::output::{self, Table};
use crate::session::{Session, print};

/// How long `create` waits for the replicas of a new table, as in the reference.
const READY_TIMEOUT: Duration = Duration::from_secs(3600);

/// Options that are known but have nothing behind them yet.
pub fn refuse(parsed: &Parsed, options: &[&'static str]) -> Result<(), Failure> {
    match options.iter().find(|option| parsed.has(option)) {
        Some(option) => Err(Failure::not_supported(&format!("option --{option}"))),
        None => Ok(()),
    }
}

pub fn node_or_dash(node: Option<&NodeId>) -> String {
    node.map_or_else(|| "-".to_owned(), ToString::to_string)
}

pub fn node_list(nodes: &[NodeId]) -> String {
    nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// Partitions of one table by health.
#[derive(Clone, Copy, Debug, Default)]
struct Health {
    partitions: usize,
    fully_healthy: usize,
    write_unhealthy: usize,
    read_unhealthy: usize,
}

impl Health {
    fn of(config: &TableConfig) -> Health {
        let mut health = Health::default();
        for partition in &config.partitions {
            let members = partition.member_count();
            let wanted = usize::try_from(partition.max_replica_count).unwrap_or(0);
            health.partitions += 1;
            if partition.primary.is_none() {
                health.read_unhealthy += 1;
                health.write_unhealthy += 1;
            } else if members >= wanted {
                health.fully_healthy += 1;
            } else if members < 2 {
                health.write_unhealthy += 1;
            }
        }
        health
    }

    fn unhealthy(&self) -> usize {
        self.partitions - self.fully_healthy
    }
}

const LS: &[Flag] = &[
    switch('a', "all"),
    switch('d', "detailed"),
    switch('j', "json"),
    valued('o', "output"),
    valued('s', "status"),
    valued('p', "app_name_pattern"),
    valued('m', "match_type"),
];

pub async fn ls(session: &Session, args: &[Vec<u8>]) -> Result<(), Failure> {
    let parsed = parse(args, LS)?;
    if !parsed.positional.is_empty() {
        return Err(Failure::Usage(None));
    }
    let filter = TableFilter { status: status(&parsed)?, name: name_match(&parsed)? };
    let apps = session.client.list_tables(&filter).await;
    let apps = apps.map_err(|error| Failure::admin("list apps", &error))?;
    let available = || apps.iter().filter(|app| app.status == AppStatus::Available);
    let mut tables = vec![general_info(&apps)];
    let mut summary = Table::list("summary");
    summary.pair("total_app_count", available().count());
    if parsed.has("detailed") && available().next().is_some() {
        let mut totals = [0; 4];
        let columns = "app_id app_name partition_count fully_healthy unhealthy write_unhealthy \
                       read_unhealthy";
        let columns: Vec<&str> = columns.split_whitespace().collect();
        let mut healthy_info = Table::with_columns("healthy_info", &columns);
        for app in available() {
            let what = format!("list app {}", app.app_name);
            let config = session.client.query_config(&app.app_name).await;
            let health = Health::of(&config.map_err(|error| Failure::admin(&what, &error))?);
            let cells = [
                health.partitions,
                health.fully_healthy,
                health.unhealthy(),
                health.write_unhealthy,
                health.read_unhealthy,
            ];
            let mut row = vec![app.app_id.to_string(), app.app_name.clone()];
            row.extend(cells.map(|count| count.to_string()));
            healthy_info.row(row);
            totals[0] += usize::from(health.unhealthy() == 0);
            totals[1] += usize::from(health.unhealthy() > 0);
            totals[2] += usize::from(health.write_unhealthy > 0);
            totals[3] += usize::from(health.read_unhealthy > 0);
        }
        tables.push(healthy_info);
        summary.pair("fully_healthy_app_count", totals[0]);
        summary.pair("unhealthy_app_count", totals[1]);
        summary.pair("write_unhealthy_app_count", totals[2]);
        summary.pair("read_unhealthy_app_count", totals[3]);
    }
    tables.push(summary);
    session.emit(&tables, &parsed)
}

fn status(parsed: &Parsed) -> Result<Option<AppStatus>, Failure> {
    let Some(text) = parsed.text("status") else {
        return Ok((!parsed.has("all")).then_some(AppStatus::Available));
    };
    Ok(Some(match text.to_ascii_lowercase().as_str() {
        "all" => return Ok(None),
        "available" => AppStatus::Available,
        "creating" => AppStatus::Creating,
        "dropping" => AppStatus::Dropping,
        "dropped" => AppStatus::Dropped,
        other => {
            return Err(Failure::message(format!("ERROR: invalid app status '{other}'")));
        }
    }))
}

fn name_match(parsed: &Parsed) -> Result<Option<NameMatch>, Failure> {
    let Some(pattern) = parsed.text("app_name_pattern") else {
        return Ok(None);
    };
    match parsed.text("match_type").as_deref() {
        Some("all") => Ok(None),
        None | Some("exact") => Ok(Some(NameMatch::Exact(pattern))),
        Some("anywhere") => Ok(Some(NameMatch::Anywhere(pattern))),
        Some("prefix") => Ok(Some(NameMatch::Prefix(pattern))),
        Some("postfix") => Ok(Some(NameMatch::Postfix(pattern))),
        Some(other) => Err(Failure::message(format!("ERROR: invalid enum: '{other}'"))),
    }
}

fn general_info(apps: &[AppInfo]) -> Table {
    let columns = "app_id status app_name app_type partition_count replica_count is_stateful \
                   create_time drop_time drop_expire envs_count atomic_idempotent";
    let columns: Vec<&str> = columns.split_whitespace().collect();
    let mut table = Table::with_columns("general_info", &columns);
    for app in apps {
        let dropped = app.status == AppStatus::Dropped && app.expire_second > 0;
        let when_dropped = |second| {
            if dropped { local_time(second) } else { "-".to_owned() }
        };
        table.row(vec![
            app.app_id.to_string(),
            format!("{:?}", app.status).to_ascii_uppercase(),
            app.app_name.clone(),
            app.app_type.clone(),
            app.partition_count.to_string(),
            app.max_replica_count.to_string(),
            app.is_stateful.to_string(),
            local_time(app.create_second),
            when_dropped(app.drop_second),
            when_dropped(app.expire_second),
            app.envs.len().to_string(),
            app.atomic_idempotent.to_string(),
        ]);
    }
    table
}

/// `YYYY-MM-DD_HH:MM:SS`, or `-` for no time.
fn local_time(unix_second: i64) -> String {
    match jiff::Timestamp::from_second(unix_second) {
        Ok(at) if unix_second > 0 => {
            at.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d_%H:%M:%S").to_string()
        }
        _ => "-".to_owned(),
    }
}

const APP: &[Flag] = &[
    switch('d', "detailed"),
    switch('r', "resolve_ip"),
    valued('o', "output"),
    switch('j', "json"),
];

pub async fn app(session: &Session, args: &[Vec<u8>]) -> Result<(), Failure> {
    let parsed = parse(args, APP)?;
    let [name] = parsed.positional.as_slice() else {
        return Err(Failure::Usage(None));
    };
    refuse(&parsed, &["resolve_ip"])?;
    let name = text_arg(name)?;
    let config = session.client.query_config(&name).await;
    let config = config.map_err(|error| Failure::admin(&format!("query app {name}"), &error))?;
    let detailed = parsed.has("detailed");
    let mut parameters = Table::list("parameters");
    parameters.pair("app_name", &name);
    parameters.pair("detailed", detailed);
    if let Some(path) = parsed.text("output") {
        parameters.pair("out_file", path);
    }
    let mut general = Table::list("general");
    general.pair("app_name", &name);
    general.pair("app_id", config.app_id);
    general.pair("partition_count", config.partition_count());
    general.pair("max_replica_count", config.max_replica_count());
    let mut tables = vec![parameters, general];
    if detailed {
        tables.extend([replicas(&config.partitions), members(&config), healthy(&config)]);
    }
    session.emit(&tables, &parsed)
}

fn replicas(partitions: &[PartitionConfig]) -> Table {
    let columns = ["pidx", "ballot", "replica_count", "primary", "secondaries"];
    let mut table = Table::with_columns("replicas", &columns);
    for partition in partitions {
        table.row(vec![
            partition.pid.index.to_string(),
            partition.ballot.to_string(),
            format!("{}/{}", partition.member_count(), partition.max_replica_count),
            node_or_dash(partition.primary.as_ref()),
            format!("[{}]", node_list(&partition.secondaries)),
        ]);
    }
    table
}

fn members(config: &TableConfig) -> Table {
    let mut counts: BTreeMap<&NodeId, (usize, usize)> = BTreeMap::new();
    for partition in &config.partitions {
        if let Some(primary) = &partition.primary {
            counts.entry(primary).or_default().0 += 1;
        }
        for secondary in &partition.secondaries {
            counts.entry(secondary).or_default().1 += 1;
        }
    }
    let mut table = Table::with_columns("nodes", &["node", "primary", "secondary", "total"]);
    let mut row = |name: String, (primary, secondary): (usize, usize)| {
        let total = (primary + secondary).to_string();
        table.row(vec![name, primary.to_string(), secondary.to_string(), total]);
    };
    let mut sum = (0, 0);
    for (node, (primary, secondary)) in counts {
        row(node.to_string(), (primary, secondary));
        sum = (sum.0 + primary, sum.1 + secondary);
    }
    row(String::new(), sum);
    table
}

fn healthy(config: &TableConfig) -> Table {
    let health = Health::of(config);
    let mut table = Table::list("healthy");
    table.pair("fully_healthy_partition_count", health.fully_healthy);
    table.pair("unhealthy_partition_count", health.unhealthy());
    table.pair("write_unhealthy_partition_count", health.write_unhealthy);
    table.pair("read_unhealthy_partition_count", health.read_unhealthy);
    table
}

const CREATE: &[Flag] = &[
    valued('p', "partition_count"),
    valued('r', "replica_count"),
    switch('f', "fail_if_exist"),
    switch('i', "atomic_idempotent"),
    valued('e', "envs"),
];

pub async fn create(session: &Session, args: &[Vec<u8>]) -> Result<(), Failure> {
    let parsed = parse(args, CREATE)?;
    let [name] = parsed.positional.as_slice() else {
        return Err(Failure::Usage(None));
    };
    let shown = session.escape(name);
    let options = CreateTable {
        partition_count: parsed.number("partition_count", 1)?.unwrap_or(4),
        replica_count: parsed.number("replica_count", 1)?.unwrap_or(3),
        fail_if_exists: parsed.has("fail_if_exist"),
        atomic_idempotent: parsed.has("atomic_idempotent"),
        envs: envs(&parsed)?,
    };
    let failed = |code: ErrorCode, why: &str| {
        let text = format!("create app \"{shown}\" failed, error = {why}");
        Failure::Admin { code, text }
    };
    let name = match text_arg(name) {
        Ok(name) if is_valid_name(&name) => name,
        _ => {
            let rule = "Invalid name: Only 0-9a-zA-Z.:_ are valid.";
            let code = ErrorCode::InvalidParameters;
            return Err(failed(code, &format!("{code} ({rule})")));
        }
    };
    let say = |text: &str| {
        if !session.json {
            print(text);
        }
    };
    let created = session.client.create_table(&name, &options).await;
    let app_id = created.map_err(|error| failed(error.code(), &admin_text(&error)))?;
    say(&format!("create app {name} succeed, waiting for app ready\n"));
    let mut said: Option<(usize, Instant)> = None;
    let progress = |ready: usize, all: usize| {
        let news = said
            .is_none_or(|(before, at)| before != ready || at.elapsed() >= Duration::from_secs(2));
        if news {
            said = Some((ready, Instant::now()));
            say(&format!("{name} not ready yet, still waiting... ({ready}/{all})\n"));
        }
    };
    let waited = session.client.wait_until_ready(&name, READY_TIMEOUT, progress).await;
    waited.map_err(|error| failed(error.code(), &admin_text(&error)))?;
    let count = options.partition_count;
    say(&format!("{name} is ready now: ({count}/{count})\n{name} is ready now!\n"));
    if session.json {
        print(&output::pretty(&json!({ "app_name": name, "app_id": app_id })));
    }
    say(&format!("create app \"{shown}\" succeed\n"));
    Ok(())
}

fn is_valid_name(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".:_".contains(&byte))
}

/// `k1=v1,k2=v2`.
fn envs(parsed: &Parsed) -> Result<BTreeMap<String, String>, Failure> {
    let text = parsed.text("envs").unwrap_or_default();
    let items = text.split(',').filter(|item| !item.is_empty());
    let pairs = items.map(|item| match item.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(Failure::message(format!("ERROR: \"{item}\" is not of the form key=value"))),
    });
    pairs.collect()
}

pub async fn drop(session: &Session, args: &[Vec<u8>]) -> Result<(), Failure> {
    let parsed = parse(args, &[valued('r', "reserve_seconds")])?;
    let [name] = parsed.positional.as_slice() else {
        return Err(Failure::Usage(None));
    };
    let name = text_arg(name)?;
    let reserve: u32 = parsed.number("reserve_seconds", 0)?.unwrap_or(0);
    if !session.json {
        print(&format!("reserve_seconds = {reserve}\n"));
    }
    let dropped = session.client.drop_table(&name, Some(reserve)).await;
    dropped.map_err(|error| Failure::admin(&format!("drop app {name}"), &error))?;
    if session.json {
        print(&output::pretty(&json!({ "app_name": name, "reserve_seconds": reserve })));
    } else {
        print(&format!("drop app {name} succeed\n"));
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use pegasus_client::PartitionId;

    use super::*;

    fn partition(index: i32, members: usize) -> PartitionConfig {
        let mut config = PartitionConfig::new(PartitionId::new(1, index), 3);
        let node = |i: usize| NodeId::new("n", 1 + u16::try_from(i).unwrap());
        config.primary = (members > 0).then(|| node(0));
        config.secondaries = (1..members).map(node).collect();
        config
    }

    #[test]
    fn health_is_counted_as_in_the_reference() {
        let partitions = [3, 2, 1, 0].into_iter().enumerate();
        let partitions = partitions.map(|(i, n)| partition(i32::try_from(i).unwrap(), n)).collect();
        let health = Health::of(&TableConfig { app_id: 1, partitions });
        assert_eq!((health.partitions, health.fully_healthy, health.unhealthy()), (4, 1, 3));
        assert_eq!((health.write_unhealthy, health.read_unhealthy), (2, 1));
    }

    #[test]
    fn names_and_envs() {
        assert!(is_valid_name("a.b:c_9"));
        assert!(!is_valid_name("bad/name") && !is_valid_name(""));
        let parse_env =
            |text: &str| envs(&parse(&[b"-e".to_vec(), text.as_bytes().to_vec()], CREATE).unwrap());
        assert_eq!(parse_env("a=1,b=x=y").unwrap().len(), 2);
        assert!(parse_env("a").is_err());
        assert_eq!(local_time(0), "-");
        assert_eq!(local_time(1_700_000_000).len(), 19);
    }

    #[test]
    fn the_last_row_of_the_nodes_sums_up() {
        let config = TableConfig { app_id: 1, partitions: vec![partition(0, 3), partition(1, 1)] };
        let text = output::render_one(&members(&config), false);
        let last: Vec<&str> = text.lines().last().unwrap().split_whitespace().collect();
        assert_eq!(last, ["2", "2", "4"]);
    }
}

//! Commands about the shell itself (`spec/admin.md` 1.7), and `hash`.

use std::time::Duration;

use super::{COMMANDS, help_entry, text_arg, usage};
use crate::failure::Failure;
use crate::flags::Parsed;
use crate::output::{self, Table};
use crate::session::{Session, print};

pub fn help(args: &[Vec<u8>]) -> Result<(), Failure> {
    match args {
        [] => {
            let entries: String = COMMANDS.iter().map(help_entry).collect();
            print(&format!("Usage:\n{entries}"));
            Ok(())
        }
        [name] => {
            let name = text_arg(name)?;
            match usage(&name) {
                usage if usage.is_empty() => Err(super::unknown_command(&name)),
                usage => {
                    print(&usage);
                    Ok(())
                }
            }
        }
        _ => Err(Failure::Usage(None)),
    }
}

pub fn version() {
    let build = if cfg!(debug_assertions) { "Debug" } else { "Release" };
    print(&format!("Pegasus Shell {} ({}) {build}\n", env!("CARGO_PKG_VERSION"), git_commit()));
}

/// Set by the packaging script when it builds.
fn git_commit() -> &'static str {
    option_env!("PEGASUS_GIT_SHA").unwrap_or("unknown commit")
}

pub fn use_app(session: &mut Session, args: &[Vec<u8>]) -> Result<(), Failure> {
    match args {
        [] => match &session.app_name {
            Some(app) => {
                print(&format!("Current app: {app}\n"));
                Ok(())
            }
            None => Err(Failure::Usage(Some("Current app not specified.".to_owned()))),
        },
        [app] => {
            session.use_app(&text_arg(app)?);
            ok(session);
            Ok(())
        }
        _ => Err(Failure::Usage(None)),
    }
}

pub async fn change_cluster(session: &mut Session, args: &[Vec<u8>]) -> Result<(), Failure> {
    let [list] = args else {
        return Err(Failure::Usage(None));
    };
    session.reconnect(&text_arg(list)?)?;
    print(&cluster_lines(session).await);
    Ok(())
}

/// The two lines from which scripts learn the name and the meta servers of the cluster.
pub async fn cluster_lines(session: &Session) -> String {
    let asking = tokio::time::timeout(Duration::from_secs(1), session.client.cluster_info());
    let name = match asking.await {
        Ok(Ok(facts)) => {
            facts.into_iter().find(|(key, _)| key == "cluster_name").map(|(_, value)| value)
        }
        _ => None,
    };
    format!(
        "The cluster name is: {}\nThe cluster meta list is: {}\n",
        name.unwrap_or_else(|| "unknown (no meta server answered)".to_owned()),
        session.meta_list
    )
}

pub fn escape_all(session: &mut Session, args: &[Vec<u8>]) -> Result<(), Failure> {
    match args {
        [] => print(&format!("Current escape_all: {}.\n", session.escape_all)),
        [value] => {
            session.escape_all = match text_arg(value)?.to_ascii_lowercase().as_str() {
                "true" => true,
                "false" => false,
                _ => return Err(Failure::message("ERROR: invalid parameter.")),
            };
            ok(session);
        }
        _ => return Err(Failure::Usage(None)),
    }
    Ok(())
}

pub fn timeout(session: &mut Session, args: &[Vec<u8>]) -> Result<(), Failure> {
    match args {
        [] => print(&format!("Current timeout: {} ms.\n", session.timeout.as_millis())),
        [value] => {
            let text = text_arg(value)?;
            match text.parse::<u32>() {
                Ok(ms) if ms > 0 => session.timeout = Duration::from_millis(u64::from(ms)),
                _ => return Err(Failure::message(format!("ERROR: invalid timeout {text}"))),
            }
            ok(session);
        }
        _ => return Err(Failure::Usage(None)),
    }
    Ok(())
}

fn ok(session: &Session) {
    if session.json {
        print(&output::pretty(&serde_json::json!({ "result": "OK" })));
    } else {
        print("OK\n");
    }
}

/// Where a key lives: its hash and, with a current app, its partition.
pub async fn hash(session: &mut Session, args: &[Vec<u8>]) -> Result<(), Failure> {
    let [hash_key, sort_key] = args else {
        return Err(Failure::Usage(None));
    };
    let hash = pegasus_types::partition_hash(hash_key, sort_key);
    let mut table = Table::list("");
    table.pair("key_hash", hash);
    if let Some(app_name) = session.app_name.clone() {
        let what = format!("query app {app_name}");
        let config = session.client.query_config(&app_name).await;
        let config = config.map_err(|error| Failure::admin(&what, &error))?;
        let count = config.partition_count();
        let index = usize::try_from(hash % count.max(1) as u64).unwrap_or(0);
        table.pair("app_name", app_name);
        table.pair("app_id", config.app_id);
        table.pair("partition_count", count);
        table.pair("partition_index", index);
        if let Some(partition) = config.partitions.get(index) {
            table.pair("primary", super::tables::node_or_dash(partition.primary.as_ref()));
            table.pair("secondaries", super::tables::node_list(&partition.secondaries));
        }
    }
    session.emit_one(&table, &Parsed::default())
}

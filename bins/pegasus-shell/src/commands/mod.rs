//! The commands: their table, and what runs them.

mod cluster;
mod data;
mod multi;
mod state;
mod tables;

pub use state::cluster_lines;

use crate::failure::Failure;
use crate::flags::nearest;
use crate::session::Session;

/// A command as `help` shows it.
#[derive(Debug)]
pub struct Command {
    pub name: &'static str,
    pub usage: &'static str,
}

const fn command(name: &'static str, usage: &'static str) -> Command {
    Command { name, usage }
}

/// In the order of `help`.
pub const COMMANDS: &[Command] = &[
    command("help", "[command]"),
    command("version", ""),
    command("cluster_info", "[-o|--output file_name] [-j|--json]"),
    command("app", "<app_name> [-d|--detailed] [-o|--output file_name] [-j|--json]"),
    command(
        "ls",
        "[-a|--all] [-d|--detailed] [-j|--json] [-o|--output file_name] \
         [-s|--status all|available|creating|dropping|dropped] [-p|--app_name_pattern str] \
         [-m|--match_type all|exact|anywhere|prefix|postfix]",
    ),
    command(
        "nodes",
        "[-d|--detailed] [-j|--json] [-o|--output file_name] [-s|--status all|alive|unalive]",
    ),
    command(
        "create",
        "<app_name> [-p|--partition_count num] [-r|--replica_count num] [-f|--fail_if_exist] \
         [-i|--atomic_idempotent] [-e|--envs k1=v1,k2=v2...]",
    ),
    command("drop", "<app_name> [-r|--reserve_seconds num]"),
    command("use", "[app_name]"),
    command("cc", "[meta_server_list]"),
    command("escape_all", "[true|false]"),
    command("timeout", "[time_in_ms]"),
    command("hash", "<hash_key> <sort_key>"),
    command("set", "<hash_key> <sort_key> <value> [ttl_in_seconds]"),
    command("multi_set", "<hash_key> <sort_key> <value> [sort_key value...]"),
    command("get", "<hash_key> <sort_key>"),
    command("multi_get", "<hash_key> [sort_key...]"),
    command(
        "multi_get_range",
        "<hash_key> <start_sort_key> <stop_sort_key> [-a|--start_inclusive true|false] \
         [-b|--stop_inclusive true|false] [-s|--sort_key_filter_type anywhere|prefix|postfix] \
         [-y|--sort_key_filter_pattern str] [-n|--max_count num] [-i|--no_value] [-r|--reverse]",
    ),
    command("multi_get_sortkeys", "<hash_key>"),
    command("del", "<hash_key> <sort_key>"),
    command("multi_del", "<hash_key> <sort_key> [sort_key...]"),
    command("exist", "<hash_key> <sort_key>"),
    command("count", "<hash_key>"),
    command("ttl", "<hash_key> <sort_key>"),
    command("remote_command", "<-l host:port,host:port...> <command> [arguments...]"),
    command("exit", ""),
];

/// Commands of the reference's shell that this one does not have yet.
const NOT_YET: &[&str] = &[
    "app_disk",
    "recall",
    "rename",
    "set_meta_level",
    "get_meta_level",
    "balance",
    "propose",
    "multi_del_range",
    "incr",
    "check_and_set",
    "check_and_mutate",
    "hash_scan",
    "full_scan",
    "copy_data",
    "clear_data",
    "count_data",
    "server_info",
    "server_stat",
    "app_stat",
    "flush_log",
    "local_get",
    "rdb_key_str2hex",
    "rdb_key_hex2str",
    "rdb_value_hex2str",
    "sst_dump",
    "mlog_dump",
    "recover",
    "add_backup_policy",
    "ls_backup_policy",
    "query_backup_policy",
    "modify_backup_policy",
    "disable_backup_policy",
    "enable_backup_policy",
    "restore_app",
    "query_restore_status",
    "get_app_envs",
    "set_app_envs",
    "del_app_envs",
    "clear_app_envs",
    "ddd_diagnose",
    "add_dup",
    "query_dup",
    "dups",
    "remove_dup",
    "start_dup",
    "pause_dup",
    "set_dup_fail_mode",
    "start_bulk_load",
    "query_bulk_load_status",
    "pause_bulk_load",
    "restart_bulk_load",
    "cancel_bulk_load",
    "clear_bulk_load",
    "detect_hotkey",
    "get_replica_count",
    "set_replica_count",
    "get_atomic_idempotent",
    "enable_atomic_idempotent",
    "disable_atomic_idempotent",
    "local_partition_split",
];

/// What the shell does after a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    Continue,
    Exit,
}

/// Runs one command, given as its words.
pub async fn run(session: &mut Session, words: &[Vec<u8>]) -> Result<After, Failure> {
    let Some((name, args)) = words.split_first() else {
        return Ok(After::Continue);
    };
    let name = String::from_utf8_lossy(name);
    match name.as_ref() {
        "help" => state::help(args)?,
        "version" => state::version(),
        "use" => state::use_app(session, args)?,
        "cc" => state::change_cluster(session, args).await?,
        "escape_all" => state::escape_all(session, args)?,
        "timeout" => state::timeout(session, args)?,
        "hash" => state::hash(session, args).await?,
        "cluster_info" => cluster::cluster_info(session, args).await?,
        "nodes" => cluster::nodes(session, args).await?,
        "remote_command" => cluster::remote_command(session, args).await?,
        "ls" => tables::ls(session, args).await?,
        "app" => tables::app(session, args).await?,
        "create" => tables::create(session, args).await?,
        "drop" => tables::drop(session, args).await?,
        "set" => data::set(session, args).await?,
        "get" => data::get(session, args).await?,
        "del" => data::del(session, args).await?,
        "exist" => data::exist(session, args).await?,
        "ttl" => data::ttl(session, args).await?,
        "count" => data::count(session, args).await?,
        "multi_set" => multi::multi_set(session, args).await?,
        "multi_get" => multi::multi_get(session, args).await?,
        "multi_get_range" => multi::multi_get_range(session, args).await?,
        "multi_get_sortkeys" => multi::multi_get_sortkeys(session, args).await?,
        "multi_del" => multi::multi_del(session, args).await?,
        "exit" | "quit" => return Ok(After::Exit),
        unknown if NOT_YET.contains(&unknown) => {
            return Err(Failure::not_supported(&format!("command '{unknown}'")));
        }
        unknown => return Err(unknown_command(unknown)),
    }
    Ok(After::Continue)
}

fn unknown_command(name: &str) -> Failure {
    let names = COMMANDS.iter().map(|command| command.name).chain(NOT_YET.iter().copied());
    let hint = match nearest(name, names) {
        Some(nearest) => format!("did you mean '{nearest}'?"),
        None => "\"help\" lists all commands".to_owned(),
    };
    Failure::message(format!("ERROR: invalid subcommand '{name}', {hint}"))
}

/// `USAGE: ` and one command as `help` shows it, empty for an unknown command.
pub fn usage(name: &str) -> String {
    match COMMANDS.iter().find(|command| command.name == name) {
        Some(command) => format!("USAGE: {}", help_entry(command)),
        None => String::new(),
    }
}

/// A tab, the name padded to the longest name, and the options wrapped at 70 columns
/// (`spec/admin.md` 1.1).
pub fn help_entry(command: &Command) -> String {
    const WRAP_AT: usize = 70;
    let width = COMMANDS.iter().map(|command| command.name.len()).max().unwrap_or(0) + 2;
    let mut text = format!("\t{:<width$}", command.name);
    let mut column = 0;
    let mut rest = command.usage;
    while !rest.is_empty() {
        // An option and what belongs to it stay on one line.
        let ends = ["] ", "> "].iter().filter_map(|end| rest.find(end)).min();
        let (part, after) = rest.split_at(ends.map_or(rest.len(), |at| at + 2));
        if column > 0 && column + part.trim_end().len() > WRAP_AT {
            text.truncate(text.trim_end().len());
            text.push_str(&format!("\n\t{:width$}", ""));
            column = 0;
        }
        text.push_str(part);
        column += part.len();
        rest = after;
    }
    text.push('\n');
    text
}

/// An argument that must be text.
fn text_arg(word: &[u8]) -> Result<String, Failure> {
    String::from_utf8(word.to_vec())
        .map_err(|_| Failure::Usage(Some("ERROR: not valid UTF-8".to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_command_is_either_there_or_announced() {
        for command in COMMANDS {
            assert!(!NOT_YET.contains(&command.name), "{}", command.name);
            assert!(help_entry(command).lines().all(|line| line.trim_end().len() < 100));
        }
        assert!(usage("get").contains("<hash_key> <sort_key>"));
        assert!(usage("nosuch").is_empty());
    }

    #[test]
    fn an_unknown_command_gets_a_hint() {
        assert!(unknown_command("mutli_get").text().ends_with("did you mean 'multi_get'?"));
        assert!(unknown_command("ful_scan").text().ends_with("did you mean 'full_scan'?"));
        assert!(unknown_command("frobnicate").text().ends_with("lists all commands"));
    }
}

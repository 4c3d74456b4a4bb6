//! Every key that a configuration file may hold: the one source of defaults, of types, and of what
//! counts as unknown. Defaults are the values that the reference ships, where those differ from its
//! compiled-in ones (spec config 2).

mod collector;
mod engine;
mod families;
mod kinds;
mod meta;
mod process;
mod replication;
mod security;

use crate::Role;
use crate::value::Kind;

/// The roles that read a key; a file serves all three, so the keys of others are never a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Roles {
    All,
    Meta,
    Replica,
    MetaAndReplica,
    Collector,
}

impl Roles {
    pub fn include(self, role: Role) -> bool {
        match self {
            Roles::All => true,
            Roles::Meta => role == Role::Meta,
            Roles::Replica => role == Role::Replica,
            Roles::MetaAndReplica => role != Role::Collector,
            Roles::Collector => role == Role::Collector,
        }
    }
}

/// What becomes of a key that is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// It acts.
    Used,
    /// Accepted, will act in a later release; a warning when not at its default.
    Later,
    /// Has no meaning here; a warning when not at its default.
    Ignored,
    /// Has no meaning here, and nobody needs to know.
    Silent,
    /// One of many such keys; one warning for the whole family of sections.
    Family,
    /// Not supported, and ignoring it would be dangerous: an error when not at its default.
    Refused,
    /// This key of the same section took its place; a warning when not at its default.
    Replaced(&'static str),
}

/// One key of the registry.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// A section name; with a `*` at the end, every section that begins so.
    pub section: &'static str,
    /// A key name; with a `*` at the end, every key that begins so.
    pub name: &'static str,
    pub kind: Kind,
    /// As one would write it in the file.
    pub default: &'static str,
    pub roles: Roles,
    /// The reference can change it while it runs.
    pub live: bool,
    pub treatment: Treatment,
    /// One line.
    pub doc: &'static str,
}

/// One table: `"key": KIND = "default", ROLES [live], treatment, "doc";`
macro_rules! keys {
    ($table:ident in $section:literal; $($name:literal : $kind:ident = $default:literal,
        $roles:ident $($live:ident)?, $treatment:ident $($other:literal)?, $doc:literal;)*) => {
        pub(super) const $table: &[Key] = &[$(Key {
            section: $section,
            name: $name,
            kind: $kind,
            default: $default,
            roles: keys!(@roles $roles),
            live: keys!(@live $($live)?),
            treatment: keys!(@treatment $treatment $($other)?),
            doc: $doc,
        }),*];
    };
    (@roles A) => { Roles::All };
    (@roles M) => { Roles::Meta };
    (@roles R) => { Roles::Replica };
    (@roles MR) => { Roles::MetaAndReplica };
    (@roles C) => { Roles::Collector };
    (@live live) => { true };
    (@live) => { false };
    (@treatment used) => { Treatment::Used };
    (@treatment later) => { Treatment::Later };
    (@treatment ignored) => { Treatment::Ignored };
    (@treatment silent) => { Treatment::Silent };
    (@treatment family) => { Treatment::Family };
    (@treatment refused) => { Treatment::Refused };
    (@treatment replaced $other:literal) => { Treatment::Replaced($other) };
}
use keys;

/// Exact sections first, so that they win over the patterns behind them.
const TABLES: &[&[Key]] = &[
    process::CORE,
    process::TOOLS_SIMPLE_LOGGER,
    process::TOOLS_SCREEN_LOGGER,
    process::HTTP,
    process::METRICS,
    process::NETWORK,
    meta::META_SERVER,
    meta::ZOOKEEPER,
    replication::REPLICATION,
    replication::NFS,
    engine::PEGASUS_SERVER,
    security::SECURITY,
    security::RANGER,
    collector::PEGASUS_COLLECTOR,
    families::REPLICATION_APP,
    families::CLUSTERS,
    families::DUPLICATION_GROUP,
    families::TASK_DEFAULT,
    families::APPS,
    families::META_APPS,
    families::BLOCK_SERVICE,
    families::THREAD_POOLS,
    families::TASKS,
    families::COMPONENTS,
    families::TOOLS,
    families::SHELL,
    families::DDL_CLIENT,
];

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => pattern == name,
    }
}

/// The table of a section; None for a section that nobody knows.
fn table(section: &str) -> Option<&'static [Key]> {
    let section_of = |table: &&[Key]| table.first().map_or("", |key| key.section);
    TABLES.iter().find(|table| matches(section_of(table), section)).copied()
}

/// All keys, table by table.
pub fn all() -> impl Iterator<Item = &'static Key> {
    TABLES.iter().flat_map(|table| table.iter())
}

/// The key `name` of `section`.
pub fn lookup(section: &str, name: &str) -> Option<&'static Key> {
    table(section)?.iter().find(|key| matches(key.name, name))
}

pub(crate) fn section_known(section: &str) -> bool {
    table(section).is_some()
}

/// The keys of exactly this section, without patterns.
pub(crate) fn keys_of(section: &str) -> impl Iterator<Item = &'static Key> {
    table(section).unwrap_or(&[]).iter().filter(|key| !key.name.ends_with('*'))
}

/// The known section that looks most like `section`.
pub(crate) fn nearest_section(section: &str) -> Option<&'static str> {
    let names = TABLES.iter().filter_map(|table| table.first()).map(|key| key.section);
    nearest(section, names.filter(|name| !name.ends_with('*')))
}

/// The key that `name` of `section` probably means: `Some((section, key))`. A key of the same
/// section is preferred, then one of exactly this name elsewhere.
pub(crate) fn nearest_key(section: &str, name: &str) -> Option<(&'static str, &'static str)> {
    let own = nearest(name, keys_of(section).map(|key| key.name));
    if let Some(own) = own {
        let section = table(section)?.first()?.section;
        return Some((section, own));
    }
    all()
        .find(|key| key.name == name && !key.section.ends_with('*'))
        .map(|key| (key.section, key.name))
}

fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(score, _)| *score > 0.87)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_default_is_a_valid_value() {
        for key in all().filter(|key| !key.default.is_empty()) {
            let value = key.kind.canonical(key.default);
            assert!(value.is_ok(), "[{}] {}: {value:?}", key.section, key.name);
        }
    }

    #[test]
    fn every_key_occurs_once_and_is_documented_in_one_line() {
        let mut seen = BTreeSet::new();
        for key in all() {
            assert!(seen.insert((key.section, key.name)), "[{}] {}", key.section, key.name);
            assert!(!key.doc.is_empty() && !key.doc.contains('\n'));
        }
    }

    #[test]
    fn replaced_keys_name_a_key_of_their_section() {
        for key in all() {
            if let Treatment::Replaced(other) = key.treatment {
                assert!(lookup(key.section, other).is_some(), "{other}");
            }
        }
    }

    #[test]
    fn patterns() {
        assert_eq!(lookup("apps.meta", "ports").unwrap().section, "apps.*");
        assert_eq!(lookup("threadpool.THREAD_POOL_FD", "anything").unwrap().name, "*");
        assert_eq!(lookup("task..default", "is_trace").unwrap().section, "task..default");
        assert!(lookup("tools.simple_logger", "nonsense").is_none());
        assert!(lookup("apps.meta", "network.client.RPC_CHANNEL_TCP").is_some());
        assert!(!section_known("pegasus.servers"));
    }

    #[test]
    fn suggestions() {
        assert_eq!(
            nearest_key("replication", "plog_force_flsh"),
            Some(("replication", "plog_force_flush"))
        );
        assert_eq!(nearest_key("replication", "server_list"), Some(("meta_server", "server_list")));
        assert_eq!(nearest_key("replication", "zzz"), None);
        assert_eq!(nearest_section("pegasus.sever"), Some("pegasus.server"));
    }
}

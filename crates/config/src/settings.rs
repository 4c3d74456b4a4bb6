use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::Role;
use crate::ini::Ini;
use crate::problem::{Origin, Problems};
use crate::registry::{self, Key, Treatment};

/// A value in force and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    pub section: String,
    pub key: String,
    /// Canonical: `true`, decimal digits in the key's own unit, trimmed lists.
    pub value: String,
    pub origin: Origin,
}

#[derive(Clone, Debug)]
struct Setting {
    value: String,
    origin: Origin,
}

/// The file, the command line and the registry put together: every set value is checked and
/// canonical, every other one is the registry's default.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    file: PathBuf,
    values: BTreeMap<(String, String), Setting>,
    /// Names of the sections of the file, in its order.
    sections: Vec<String>,
    /// Keys whose value was reported as unusable; their default is in force.
    broken: BTreeSet<(String, String)>,
}

impl Settings {
    /// Judges every key of the file, then every override; overrides win.
    pub fn new(
        file: &Path,
        ini: &Ini,
        overrides: &[(String, String)],
        role: Role,
        problems: &mut Problems,
    ) -> Settings {
        let mut settings = Settings {
            file: file.to_owned(),
            values: BTreeMap::new(),
            sections: ini.sections().iter().map(|s| s.name.clone()).collect(),
            broken: BTreeSet::new(),
        };
        let mut judge = Judge { role, problems, families: BTreeMap::new() };
        for section in ini.sections() {
            if !registry::section_known(&section.name) {
                judge.unknown_section(&section.name, Origin::file(file, section.line));
                continue;
            }
            for entry in &section.entries {
                let origin = Origin::file(file, entry.line);
                let value = match entry.left_over {
                    true => None,
                    false => judge.key(&section.name, &entry.key, &entry.value, &origin),
                };
                match value {
                    Some(value) => settings.put(&section.name, &entry.key, value, origin),
                    None => settings.set_broken(&section.name, &entry.key),
                }
            }
        }
        for (index, (name, value)) in overrides.iter().enumerate() {
            let position = u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1);
            judge.override_key(&mut settings, name, value, Origin::Override(position));
        }
        judge.families();
        settings
    }

    fn set_broken(&mut self, section: &str, key: &str) {
        self.broken.insert((section.to_owned(), key.to_owned()));
    }

    /// Whether the file holds this key with a value that was reported as unusable, and nothing
    /// else sets it.
    pub fn is_broken(&self, section: &str, key: &str) -> bool {
        let name = (section.to_owned(), key.to_owned());
        self.broken.contains(&name) && !self.values.contains_key(&name)
    }

    fn put(&mut self, section: &str, key: &str, value: String, origin: Origin) {
        self.values.insert((section.to_owned(), key.to_owned()), Setting { value, origin });
    }

    fn setting(&self, section: &str, key: &str) -> Option<&Setting> {
        self.values.get(&(section.to_owned(), key.to_owned()))
    }

    /// The value in force, canonical. Empty for a key that the registry does not know.
    pub fn text(&self, section: &str, key: &str) -> String {
        match self.setting(section, key) {
            Some(setting) => setting.value.clone(),
            None => registry::lookup(section, key).map_or_else(String::new, default_of),
        }
    }

    /// The value if the file or the command line sets it.
    pub fn set_text(&self, section: &str, key: &str) -> Option<&str> {
        self.setting(section, key).map(|s| s.value.as_str())
    }

    /// Where to point for a complaint about this key: its line, or else the file.
    pub fn place(&self, section: &str, key: &str) -> Origin {
        self.setting(section, key)
            .map_or_else(|| Origin::file(&self.file, 0), |setting| setting.origin.clone())
    }

    /// The sections of the file, in its order.
    pub fn sections(&self) -> &[String] {
        &self.sections
    }

    /// The keys set in a section, by name.
    pub fn keys_set(&self, section: &str) -> Vec<(&str, &str)> {
        self.values
            .iter()
            .filter(|((owner, _), _)| owner == section)
            .map(|((_, key), setting)| (key.as_str(), setting.value.as_str()))
            .collect()
    }

    /// Reads a plain struct whose fields are keys of `sections`: the sections are written down
    /// completely, canonical and with defaults filled in, for `serde_ini` to read. None means that
    /// struct and registry disagree, which is a defect and reported as such.
    pub fn typed<T: DeserializeOwned>(
        &self,
        sections: &[&str],
        problems: &mut Problems,
    ) -> Option<T> {
        let mut text = String::new();
        for section in sections {
            for key in registry::keys_of(section) {
                text.push_str(&format!("{} = {}\n", key.name, self.text(section, key.name)));
            }
        }
        match serde_ini::from_str(&text) {
            Ok(value) => Some(value),
            Err(error) => {
                let message =
                    format!("[{}]: defect in the typed section: {error}", sections.join("] ["));
                problems.error(Origin::file(&self.file, 0), message);
                None
            }
        }
    }

    /// Every known key with its value; keys of patterns only where they are set.
    pub fn effective(&self) -> Vec<Effective> {
        let mut all: BTreeMap<(String, String), Effective> = BTreeMap::new();
        for key in registry::all().filter(|k| !k.section.ends_with('*') && !k.name.ends_with('*')) {
            let effective = Effective {
                section: key.section.to_owned(),
                key: key.name.to_owned(),
                value: default_of(key),
                origin: Origin::Default,
            };
            all.insert((effective.section.clone(), effective.key.clone()), effective);
        }
        for ((section, key), setting) in &self.values {
            let effective = Effective {
                section: section.clone(),
                key: key.clone(),
                value: setting.value.clone(),
                origin: setting.origin.clone(),
            };
            all.insert((section.clone(), key.clone()), effective);
        }
        all.into_values().collect()
    }
}

fn default_of(key: &Key) -> String {
    if key.default.is_empty() {
        return String::new();
    }
    // The registry's own test holds every default to its kind.
    key.kind.canonical(key.default).unwrap_or_default()
}

/// Splits the argument of `--set section.key=value`. Section names hold dots, so the split that
/// names a known key is taken, else the last dot.
pub fn parse_override(argument: &str) -> Result<(String, String), String> {
    let expected = || format!("bad --set \"{argument}\": expected SECTION.KEY=VALUE");
    let (name, value) = argument.split_once('=').ok_or_else(expected)?;
    let (section, key) = split_name(name).ok_or_else(expected)?;
    if section.is_empty() || key.is_empty() || value.chars().any(char::is_control) {
        return Err(expected());
    }
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// Splits the argument of `-cargs k=v;k=v` (spec config 1.2; a comma separates as well).
pub fn parse_variables(argument: &str) -> Result<Vec<(String, String)>, String> {
    argument
        .split([',', ';'])
        .filter(|item| !item.trim().is_empty())
        .map(|item| match item.split('=').collect::<Vec<_>>().as_slice() {
            [name, value] if !name.trim().is_empty() => {
                Ok((name.trim().to_owned(), value.trim().to_owned()))
            }
            _ => Err(format!("bad -cargs item \"{item}\": expected NAME=VALUE")),
        })
        .collect()
}

fn split_name(name: &str) -> Option<(&str, &str)> {
    let name = name.trim();
    let mut dots = name.rmatch_indices('.').map(|(at, _)| at);
    let split = |at: usize| Some((name.get(..at)?, name.get(at.checked_add(1)?..)?));
    let known = dots.clone().filter_map(split).find(|(s, k)| registry::lookup(s, k).is_some());
    known.or_else(|| dots.next().and_then(split))
}

struct Judge<'a> {
    role: Role,
    problems: &'a mut Problems,
    /// First place and doc of each ignored family.
    families: BTreeMap<&'static str, (Origin, &'static str)>,
}

impl Judge<'_> {
    /// The canonical value if it is to be kept.
    fn key(&mut self, section: &str, name: &str, value: &str, origin: &Origin) -> Option<String> {
        let Some(key) = registry::lookup(section, name) else {
            self.problems.warning(origin.clone(), unknown_key(section, name));
            return None;
        };
        match key.treatment {
            Treatment::Silent => return Some(value.to_owned()),
            Treatment::Family => {
                self.families.entry(key.section).or_insert_with(|| (origin.clone(), key.doc));
                return Some(value.to_owned());
            }
            Treatment::Ignored if value.is_empty() => return None,
            _ => {}
        }
        let canonical = match key.kind.canonical(value) {
            Ok(canonical) => canonical,
            Err(_) if key.treatment == Treatment::Ignored => value.to_owned(),
            Err(expected) => {
                let message =
                    format!("[{section}] {name} = {value}: bad value (expected {expected})");
                self.problems.error(origin.clone(), message);
                return None;
            }
        };
        if canonical != default_of(key) {
            self.not_default(key, section, name, &canonical, origin);
        }
        Some(canonical)
    }

    fn not_default(&mut self, key: &Key, section: &str, name: &str, value: &str, origin: &Origin) {
        let what = format!("[{section}] {name} = {value}");
        let note = match key.treatment {
            Treatment::Refused => {
                let message = format!("{what}: not supported, and ignoring it would be unsafe");
                return self.problems.error(origin.clone(), message);
            }
            _ if !key.roles.include(self.role) => return,
            Treatment::Later => "accepted, not effective yet".to_owned(),
            Treatment::Ignored => "accepted, has no effect here".to_owned(),
            Treatment::Replaced(other) => format!("accepted, not effective; set {other} instead"),
            Treatment::Used | Treatment::Silent | Treatment::Family => return,
        };
        self.problems.warning(origin.clone(), format!("{what}: {note}"));
    }

    fn unknown_section(&mut self, section: &str, origin: Origin) {
        let hint = registry::nearest_section(section)
            .map_or_else(String::new, |near| format!(" (did you mean [{near}]?)"));
        self.problems.warning(origin, format!("unknown section [{section}], ignored{hint}"));
    }

    fn override_key(&mut self, settings: &mut Settings, name: &str, value: &str, origin: Origin) {
        let Some((section, key)) = split_name(name) else {
            let message = format!("{name} is not a key (expected SECTION.KEY)");
            return self.problems.error(origin, message);
        };
        if value.chars().any(char::is_control) {
            let message = format!("[{section}] {key}: control characters in the value");
            return self.problems.error(origin, message);
        }
        if registry::lookup(section, key).is_none() {
            return self.problems.error(origin, unknown_key(section, key));
        }
        if let Some(value) = self.key(section, key, value, &origin) {
            settings.put(section, key, value, origin);
        }
    }

    fn families(self) {
        for (section, (origin, doc)) in self.families {
            let message = format!("[{section}]: sections accepted, have no effect here ({doc})");
            self.problems.warning(origin, message);
        }
    }
}

fn unknown_key(section: &str, name: &str) -> String {
    let hint = match registry::nearest_key(section, name) {
        None => String::new(),
        Some((_, near)) if near != name => format!(" (did you mean {near}?)"),
        Some((other, _)) => format!(" (it belongs to [{other}])"),
    };
    format!("[{section}] {name}: unknown key, ignored{hint}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn settings(text: &str, overrides: &[(&str, &str)]) -> (Settings, String) {
        let mut problems = Problems::default();
        let file = Path::new("c.ini");
        let ini = Ini::parse(file, text, &mut problems);
        let overrides: Vec<(String, String)> =
            overrides.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let settings = Settings::new(file, &ini, &overrides, Role::Replica, &mut problems);
        problems.settle();
        (settings, problems.to_string())
    }

    #[test]
    fn overrides_win_and_must_be_known() {
        let (settings, problems) = settings(
            "[replication]\nplog_force_flush = false\n",
            &[("replication.plog_force_flush", "TRUE"), ("pegasus.server.prometheus_prt", "1")],
        );
        assert_eq!(settings.text("replication", "plog_force_flush"), "true");
        assert_eq!(
            problems,
            "--set #2: error: [pegasus.server] prometheus_prt: unknown key, ignored \
             (did you mean prometheus_port?)"
        );
    }

    #[test]
    fn treatments() {
        let (_, problems) = settings(
            "[replication]\nfd_lease_seconds = 20\nfd_grace_seconds = 40\ngc_disabled = true\n\
             mem_release_enabled = true\n[security]\nenable_auth = true\n[threadpool.A]\n\
             worker_count = 3\n[threadpool.B]\nworker_count = 4\n[meta_server]\n\
             cold_backup_disabled = true\n[nosuch]\nx = 1\n",
            &[],
        );
        let expected = [
            "c.ini:3: warning: [replication] fd_grace_seconds = 40: accepted, not effective; set \
             fd_grace_ms instead",
            "c.ini:5: warning: [replication] mem_release_enabled = true: accepted, has no effect \
             here",
            "c.ini:7: error: [security] enable_auth = true: not supported, and ignoring it would \
             be unsafe",
            "c.ini:9: warning: [threadpool.*]: sections accepted, have no effect here (Thread \
             pools of the reference runtime; see [replication] shard_count)",
            "c.ini:14: warning: unknown section [nosuch], ignored",
        ];
        assert_eq!(problems.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn command_line_arguments() {
        let parsed = parse_override("pegasus.server.prometheus_port=9091").unwrap();
        assert_eq!(parsed, ("pegasus.server.prometheus_port".to_owned(), "9091".to_owned()));
        for bad in ["x=1", "a.b", ".b=1", "a.=1", "a.b=\n"] {
            assert!(parse_override(bad).is_err(), "{bad}");
        }
        let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
        assert_eq!(parse_variables("a=1;b=2,").unwrap(), [pair("a", "1"), pair("b", "2")]);
        assert!(parse_variables("a=1=2").is_err());
        assert_eq!(split_name("task..default.rpc_x"), Some(("task..default", "rpc_x")));
    }
}

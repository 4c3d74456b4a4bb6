use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The file as named on the command line, and the line, from 1. Line 0 = the file as a whole.
    File(Arc<str>, u32),
    /// `--set section.key=value`, with its position from 1.
    Override(u32),
    /// The built-in default.
    Default,
}

impl Origin {
    pub(crate) fn file(path: &Path, line: u32) -> Origin {
        Origin::File(Arc::from(path.display().to_string()), line)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File(name, 0) => write!(f, "{name}"),
            Origin::File(name, line) => write!(f, "{name}:{line}"),
            Origin::Override(position) => write!(f, "--set #{position}"),
            Origin::Default => write!(f, "default"),
        }
    }
}

/// Whether the daemon may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Warning,
    Error,
}

/// One finding about the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub severity: Severity,
    pub origin: Origin,
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        write!(f, "{}: {severity}: {}", self.origin, self.message)
    }
}

/// Everything found in one run, errors and warnings, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    list: Vec<Problem>,
}

impl Problems {
    pub(crate) fn error(&mut self, origin: Origin, message: impl Into<String>) {
        self.list.push(Problem { severity: Severity::Error, origin, message: message.into() });
    }

    pub(crate) fn warning(&mut self, origin: Origin, message: impl Into<String>) {
        self.list.push(Problem { severity: Severity::Warning, origin, message: message.into() });
    }

    /// Sorts by place and drops repetitions.
    pub(crate) fn settle(&mut self) {
        self.list.sort_by(|a, b| a.origin.cmp(&b.origin));
        self.list.dedup();
    }

    pub(crate) fn into_list(self) -> Vec<Problem> {
        self.list
    }

    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter()
    }

    pub fn errors(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter().filter(|p| p.severity == Severity::Error)
    }

    pub fn has_errors(&self) -> bool {
        self.errors().next().is_some()
    }
}

/// One line per problem.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.list.iter().enumerate() {
            let end = if index == 0 { "" } else { "\n" };
            write!(f, "{end}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

//! The configuration of the daemons: the ini files of Apache Pegasus, read strictly.
//!
//! [`Ini`] is the file after one normalising pass that keeps line numbers, [`registry`] knows every
//! key, [`Config`] is the typed result. All problems of a file are reported in one run as
//! `file:line: message`.

mod address;
mod check;
mod config;
mod data_dirs;
mod ini;
mod problem;
pub mod registry;
mod sections;
mod settings;
mod value;

pub use check::check_report;
pub use config::{Config, LoadOptions, Role};
pub use ini::{Entry, Ini, Section};
pub use problem::{Origin, Problem, Problems, Severity};
pub use sections::{
    CollectorConfig, DefaultTable, EngineConfig, FunctionLevel, HttpConfig, LogConfig, LogFormat,
    MetaConfig, MetricsConfig, NetworkConfig, ReplicationConfig, ServiceKind, ZookeeperConfig,
};
pub use settings::{Effective, parse_override, parse_variables};
pub use value::{Kind, Unit};

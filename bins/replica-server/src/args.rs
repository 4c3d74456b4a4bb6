use std::path::PathBuf;

use clap::Parser;
use pegasus_config::parse_override;

/// Pegasus replica server: stores and serves partitions of tables.
#[derive(Debug, Parser)]
#[command(name = "replica-server", version)]
pub struct Args {
    /// The ini file.
    pub config: PathBuf,
    /// Read the configuration, print what is wrong with it, and end.
    #[arg(long)]
    pub check_config: bool,
    /// Set a key of the configuration, over what the file says. May be repeated.
    #[arg(long, value_name = "SECTION.KEY=VALUE", value_parser = parse_override)]
    pub set: Vec<(String, String)>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn arguments() {
        let line = ["replica-server", "c.ini", "--set", "replication.shard_count=3"];
        let args = Args::try_parse_from(line).unwrap();
        assert_eq!(args.config, PathBuf::from("c.ini"));
        assert!(!args.check_config);
        let expected = ("replication.shard_count".to_owned(), "3".to_owned());
        assert_eq!(args.set, vec![expected]);
        assert!(Args::try_parse_from(["replica-server"]).is_err());
        assert!(Args::try_parse_from(["replica-server", "c.ini", "--set", "x"]).is_err());
    }
}

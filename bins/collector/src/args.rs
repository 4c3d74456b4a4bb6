use std::path::PathBuf;

use clap::Parser;
use pegasus_config::parse_override;

/// Pegasus collector: measures the availability of a cluster.
#[derive(Debug, Parser)]
#[command(name = "collector", version)]
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
        let line = ["collector", "--set", "pegasus.collector.available_detect_app=x", "c.ini"];
        let args = Args::try_parse_from(line).unwrap();
        assert_eq!(args.config, PathBuf::from("c.ini"));
        assert_eq!(args.set[0].1, "x");
        assert!(Args::try_parse_from(["collector"]).is_err());
        assert!(Args::try_parse_from(["collector", "c.ini", "--set", "x"]).is_err());
    }
}

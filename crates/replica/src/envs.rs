//! Table environment variables that a replica acts on (`spec/replication.md` 7.6).

use pegasus_types::AppInfo;

use crate::clock;

/// `default_ttl` in seconds, 0 if there is none.
pub fn default_ttl(app: &AppInfo) -> u32 {
    app.envs.get("default_ttl").and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// The expiry time of a record written now without one of its own; 0 means never.
pub fn default_expire(default_ttl: u32) -> u32 {
    if default_ttl == 0 { 0 } else { clock::pegasus_seconds().saturating_add(default_ttl) }
}

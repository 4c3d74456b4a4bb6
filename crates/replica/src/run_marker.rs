//! Was the tail of the logs on this disk possibly lost since the last run (design 3, rule 6)?
//!
//! What a process wrote survives its own death, but without `plog_force_flush` not the death of the
//! machine. So each disk has a small file with the boot id of the machine and whether the last run
//! ended properly. A suspect replica is marked in its own directory: the suspicion must outlive
//! further restarts until the replica has caught up with the others.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

const RUN_FILE: &str = ".last-run";
const SUSPECT_FILE: &str = ".suspect";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

#[derive(Serialize, Deserialize)]
struct LastRun {
    boot_id: String,
    clean: bool,
}

/// How the last run on a disk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastEnd {
    /// It said goodbye, or the machine has been up since: all that was written is there.
    Intact,
    /// The machine went down under it, or this is another machine's disk.
    MaybeLost,
}

/// Reads how the last run in `disk` ended, and notes that a new one has begun.
pub fn begin(disk: &Path) -> io::Result<LastEnd> {
    begin_with(disk, &boot_id())
}

fn begin_with(disk: &Path, boot_id: &str) -> io::Result<LastEnd> {
    let last: Option<LastRun> = match fs::read(disk.join(RUN_FILE)) {
        Ok(bytes) => serde_json::from_slice(&bytes).ok(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(e),
    };
    write_run(disk, boot_id, false)?;
    let intact = last.is_some_and(|last| last.clean || last.boot_id == boot_id);
    Ok(if intact { LastEnd::Intact } else { LastEnd::MaybeLost })
}

/// Notes that everything on this disk was synced and this run is over.
pub fn end(disk: &Path) -> io::Result<()> {
    write_run(disk, &boot_id(), true)
}

pub fn mark_suspect(replica: &Path) -> io::Result<()> {
    write_synced(replica, SUSPECT_FILE, b"the tail of the log may be lost\n")
}

pub fn is_suspect(replica: &Path) -> bool {
    replica.join(SUSPECT_FILE).exists()
}

/// A mark that stays costs caution, not data, so failing is only worth a line.
pub fn clear_suspect(replica: &Path) {
    match fs::remove_file(replica.join(SUSPECT_FILE)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(path = %replica.display(), "cannot remove the suspect mark: {e}");
        }
        _ => {}
    }
}

fn boot_id() -> String {
    // Unknown is never equal to a known one; two unknowns must not be equal either.
    let unknown = || format!("unknown {}", crate::clock::unix_micros());
    fs::read_to_string(BOOT_ID).map_or_else(|_| unknown(), |text| text.trim().to_owned())
}

fn write_run(disk: &Path, boot_id: &str, clean: bool) -> io::Result<()> {
    let run = LastRun { boot_id: boot_id.to_owned(), clean };
    write_synced(disk, RUN_FILE, &serde_json::to_vec(&run).map_err(io::Error::other)?)
}

/// Replaces a small file so that a crash leaves the old or the new one.
pub fn write_synced(dir: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let temporary = dir.join(format!("{name}.tmp"));
    let mut file = File::create(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&temporary, dir.join(name))?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_a_reboot_under_a_running_process_is_suspicious() {
        let dir = tempfile::tempdir().unwrap();
        let disk = dir.path();
        assert_eq!(begin_with(disk, "boot 1").unwrap(), LastEnd::MaybeLost, "unknown history");
        assert_eq!(begin_with(disk, "boot 1").unwrap(), LastEnd::Intact, "the process was killed");
        assert_eq!(begin_with(disk, "boot 2").unwrap(), LastEnd::MaybeLost, "the machine failed");
        end(disk).unwrap();
        assert_eq!(begin_with(disk, "boot 3").unwrap(), LastEnd::Intact, "a proper end");
    }

    #[test]
    fn a_suspect_stays_marked_until_cleared() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!is_suspect(dir.path()));
        mark_suspect(dir.path()).unwrap();
        assert!(is_suspect(dir.path()));
        clear_suspect(dir.path());
        clear_suspect(dir.path());
        assert!(!is_suspect(dir.path()));
    }
}

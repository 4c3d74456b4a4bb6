//! Small files that are replaced as a whole: one header line with length and CRC-32C, then JSON.
//!
//! ```text
//! pegasus-file 1 LENGTH CRC32C\n
//! {...}\n
//! ```

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::StorageError;
use crate::fs_util::{rename_synced, with_suffix};

const MAGIC: &str = "pegasus-file";
const VERSION: &str = "1";
/// Nothing we keep in such a file comes near this.
const MAX_LEN: u64 = 16 << 20;

/// Write to a temporary file, sync, rename, sync the directory: after a crash at any point the file
/// has its old or its new content.
pub(crate) fn save<T: Serialize>(path: &Path, value: &T) -> Result<(), StorageError> {
    let json = serde_json::to_vec(value)
        .map_err(|e| StorageError::BadOption(format!("{}: {e}", path.display())))?;
    let crc = crc_fast::crc32_iscsi(&json);
    let mut content = format!("{MAGIC} {VERSION} {} {crc:08x}\n", json.len()).into_bytes();
    content.extend_from_slice(&json);
    content.push(b'\n');

    let temp = with_suffix(path, ".tmp");
    write_synced(&temp, &content).map_err(|e| StorageError::io(&temp, e))?;
    rename_synced(&temp, path)
}

fn write_synced(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// `None` if there is no such file.
pub(crate) fn load<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, StorageError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(StorageError::io(path, e)),
    };
    let mut content = Vec::new();
    file.take(MAX_LEN + 1).read_to_end(&mut content).map_err(|e| StorageError::io(path, e))?;
    let json = check(&content).map_err(|reason| StorageError::corrupt(path, reason))?;
    serde_json::from_slice(json).map(Some).map_err(|e| StorageError::corrupt(path, e))
}

/// The payload, if header, length and checksum agree.
fn check(content: &[u8]) -> Result<&[u8], String> {
    let end = content.iter().take(128).position(|&byte| byte == b'\n').ok_or("no header line")?;
    let (header, rest) = content.split_at(end);
    let payload = rest.get(1..).unwrap_or_default();
    let header = std::str::from_utf8(header).map_err(|_| "header is not text")?;
    let fields: Vec<&str> = header.split(' ').collect();
    let [MAGIC, version, len, crc] = fields[..] else {
        return Err("not one of our files".to_owned());
    };
    if version != VERSION {
        return Err(format!("version {version} is not known to this release"));
    }
    let len: usize = len.parse().map_err(|_| "bad length")?;
    let crc = u32::from_str_radix(crc, 16).map_err(|_| "bad checksum field")?;
    let json = payload
        .get(..len)
        .ok_or_else(|| format!("{} bytes where {len} are promised", payload.len()))?;
    if crc_fast::crc32_iscsi(json) != crc {
        return Err("checksum mismatch".to_owned());
    }
    Ok(json)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn round_trip_and_replacement() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        assert_eq!(load::<Vec<u32>>(&path).unwrap(), None);
        save(&path, &vec![1, 2, 3]).unwrap();
        save(&path, &vec![4]).unwrap();
        assert_eq!(load::<Vec<u32>>(&path).unwrap(), Some(vec![4]));
        assert!(!with_suffix(&path, ".tmp").exists());
    }

    #[test]
    fn every_damaged_byte_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        save(&path, &"hello".to_owned()).unwrap();
        let good = fs::read(&path).unwrap();
        // The final newline is for the reader's terminal only.
        for i in 0..good.len() - 1 {
            let mut bad = good.clone();
            bad[i] ^= 0x04;
            fs::write(&path, &bad).unwrap();
            assert!(load::<String>(&path).is_err(), "byte {i}");
            fs::write(&path, &good[..i]).unwrap();
            assert!(load::<String>(&path).is_err(), "cut at {i}");
        }
    }

    #[test]
    fn a_temporary_file_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        save(&path, &1u32).unwrap();
        fs::write(with_suffix(&path, ".tmp"), b"half").unwrap();
        assert_eq!(load::<u32>(&path).unwrap(), Some(1));
        save(&path, &2u32).unwrap();
        assert_eq!(load::<u32>(&path).unwrap(), Some(2));
    }
}

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use crate::problem::Problems;
use crate::settings::Settings;
use crate::value::items;

const SECTION: &str = "replication";
const KEY: &str = "data_dirs";

/// The configured disks and the tags that the black list took out (spec config 1.5, replication
/// 1.1). An empty list means one disk in `data_dir`.
pub(crate) fn read(
    settings: &Settings,
    data_dir: &Path,
    problems: &mut Problems,
) -> (Vec<(String, PathBuf)>, Vec<String>) {
    let dirs = match parse(&settings.text(SECTION, KEY)) {
        Ok(dirs) if dirs.is_empty() => vec![("default".to_owned(), data_dir.to_owned())],
        Ok(dirs) => dirs,
        Err(message) => {
            problems.error(settings.place(SECTION, KEY), format!("[{SECTION}] {KEY}: {message}"));
            return (Vec::new(), Vec::new());
        }
    };
    let black_list = black_list(settings, problems);
    let (out, kept): (Vec<_>, Vec<_>) =
        dirs.into_iter().partition(|(_, dir)| black_list.iter().any(|black| covers(black, dir)));
    if kept.is_empty() {
        let message = format!("[{SECTION}] {KEY}: every directory is on the black list");
        problems.error(settings.place(SECTION, KEY), message);
    }
    (kept, out.into_iter().map(|(tag, _)| tag).collect())
}

/// `tag:dir,tag:dir`; tags and directories differ, neither is empty.
fn parse(text: &str) -> Result<Vec<(String, PathBuf)>, String> {
    let mut tags = BTreeSet::new();
    let mut paths = BTreeSet::new();
    let mut dirs = Vec::new();
    for item in items(text) {
        let parts: Vec<&str> = item.split(':').map(str::trim).collect();
        let [tag, dir] = parts.as_slice() else {
            return Err(format!("\"{item}\" (expected TAG:DIRECTORY,TAG:DIRECTORY,...)"));
        };
        if tag.is_empty() || dir.is_empty() {
            return Err(format!("\"{item}\" (expected TAG:DIRECTORY,TAG:DIRECTORY,...)"));
        }
        let path = std::path::absolute(dir).map_err(|error| format!("{dir}: {error}"))?;
        if !tags.insert((*tag).to_owned()) {
            return Err(format!("tag {tag} is there twice"));
        }
        if !paths.insert(path.clone()) {
            return Err(format!("directory {dir} is there twice"));
        }
        dirs.push(((*tag).to_owned(), path));
    }
    Ok(dirs)
}

fn black_list(settings: &Settings, problems: &mut Problems) -> Vec<String> {
    const FILE_KEY: &str = "data_dirs_black_list_file";
    let file = settings.text(SECTION, FILE_KEY);
    if file.is_empty() {
        return Vec::new();
    }
    match std::fs::read_to_string(&file) {
        Ok(text) => {
            text.lines().map(str::trim).filter(|l| !l.is_empty()).map(str::to_owned).collect()
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            let message = format!("[{SECTION}] {FILE_KEY} = {file}: {error}");
            problems.error(settings.place(SECTION, FILE_KEY), message);
            Vec::new()
        }
    }
}

/// A listed path is a prefix, by whole components, of the directory that holds the replicas.
fn covers(black: &str, dir: &Path) -> bool {
    dir.join("replica").join("reps").starts_with(black)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        let dirs = parse(" ssd1:/a, ssd2:/b ,").unwrap();
        assert_eq!(dirs.len(), 2);
        assert_eq!(dirs[1], ("ssd2".to_owned(), PathBuf::from("/b")));
        assert!(parse("").unwrap().is_empty());
        for bad in ["/a", "t:", ":/a", "t:/a:b", "t:/a,t:/b", "t:/a,u:/a"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn black_listed_prefixes() {
        assert!(covers("/a", Path::new("/a")));
        assert!(covers("/a/", Path::new("/a/b")));
        assert!(covers("/a/b/replica", Path::new("/a/b")));
        assert!(!covers("/a", Path::new("/ab")));
    }
}

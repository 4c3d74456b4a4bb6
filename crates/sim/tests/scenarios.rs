//! Every file under `scenarios/` tells a story that has to come true.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::fs;
use std::path::Path;

#[test]
fn all_scenarios() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut failures = Vec::new();
    let mut count = 0;
    let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        count += 1;
        if let Err(problem) = pegasus_sim::run_script(&fs::read_to_string(&file).unwrap()) {
            failures.push(format!("{name}: {problem}"));
        }
    }
    assert!(count >= 8, "{count} scenarios");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

//! Random runs. A failure names the seed; see the crate's documentation for how to replay it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::atomic::{AtomicU64, Ordering};

use pegasus_sim::{RunOptions, run_seed};

const SEEDS: u64 = 5000;

#[test]
fn random_runs() {
    let next = AtomicU64::new(0);
    let worker = || {
        let mut failures = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= SEEDS {
                return failures;
            }
            if let Some(violation) = run_seed(seed, RunOptions::default()).violation {
                let replay = format!("cargo run --release -p pegasus-sim -- --seed {seed} --trace");
                failures.push(format!("{}: {replay}", violation.invariant));
            }
        }
    };
    let failures = std::thread::scope(|scope| {
        let other = scope.spawn(worker);
        let mut failures = worker();
        failures.extend(other.join().unwrap());
        failures
    });
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..20 {
        let (first, second) =
            (run_seed(seed, RunOptions::default()), run_seed(seed, RunOptions::default()));
        assert_eq!(first.hash, second.hash, "seed {seed}");
        assert_eq!(first.stats, second.stats, "seed {seed}");
        assert!(
            first.stats.get("acked").is_some_and(|acked| *acked > 0),
            "seed {seed} did nothing"
        );
    }
}

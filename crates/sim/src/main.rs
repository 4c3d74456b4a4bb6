//! Runs seeds until one fails.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use clap::Parser;
use pegasus_sim::{Report, RunOptions, run_seed, trace_script};

/// Simulate clusters with faults, one per seed.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = 2000)]
    seeds: u64,
    /// The first one.
    #[arg(long, default_value_t = 0)]
    start: u64,
    /// Run only this one.
    #[arg(long)]
    seed: Option<u64>,
    /// Print everything that happens.
    #[arg(long)]
    trace: bool,
    /// Threads.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Run this scenario file instead.
    #[arg(long)]
    scenario: Option<std::path::PathBuf>,
    /// Machines may lose power, too.
    #[arg(long)]
    power: bool,
    /// Go on after a failure and list all failing seeds.
    #[arg(long)]
    keep_going: bool,
}

fn main() -> io::Result<ExitCode> {
    let arguments = Arguments::parse();
    std::panic::set_hook(Box::new(|_| {}));
    if let Some(path) = &arguments.scenario {
        return scenario(&std::fs::read_to_string(path)?, arguments.trace);
    }
    match arguments.seed {
        Some(seed) => one(seed, RunOptions { verbose: arguments.trace, power: arguments.power }),
        None => many(&arguments),
    }
}

fn scenario(text: &str, trace: bool) -> io::Result<ExitCode> {
    let (result, lines) = trace_script(text);
    let mut out = io::stdout().lock();
    for line in lines.iter().filter(|_| trace) {
        writeln!(out, "{line}")?;
    }
    match result {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(problem) => {
            writeln!(out, "FAILED {problem}")?;
            Ok(ExitCode::FAILURE)
        }
    }
}

fn one(seed: u64, options: RunOptions) -> io::Result<ExitCode> {
    let report = run_seed(seed, options);
    let mut out = io::stdout().lock();
    for line in &report.lines {
        writeln!(out, "{line}")?;
    }
    writeln!(out, "seed {seed}: {} ms, trace hash {:016x}", report.virtual_ms, report.hash)?;
    writeln!(out, "{:?}", report.stats)?;
    match report.violation {
        None => Ok(ExitCode::SUCCESS),
        Some(violation) => {
            writeln!(out, "FAILED {}: {}", violation.invariant, violation.detail)?;
            Ok(ExitCode::FAILURE)
        }
    }
}

#[derive(Default)]
struct Tally {
    stats: BTreeMap<&'static str, u64>,
    failures: Vec<(u64, Report)>,
}

fn many(arguments: &Arguments) -> io::Result<ExitCode> {
    let options = RunOptions { verbose: false, power: arguments.power };
    let began = Instant::now();
    let next = AtomicU64::new(arguments.start);
    let end = arguments.start.saturating_add(arguments.seeds);
    let stop = AtomicBool::new(false);
    let tally = Mutex::new(Tally::default());
    std::thread::scope(|scope| {
        for _ in 0..arguments.jobs.max(1) {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        break;
                    }
                    let report = run_seed(seed, options);
                    let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
                    for (name, count) in &report.stats {
                        *tally.stats.entry(name).or_default() += count;
                    }
                    if report.violation.is_some() {
                        stop.store(!arguments.keep_going, Ordering::Relaxed);
                        tally.failures.push((seed, report));
                    }
                    if seed % 500 == 499 {
                        let _ =
                            writeln!(io::stderr(), "{} seeds, {:.1?}", seed + 1, began.elapsed());
                    }
                }
            });
        }
    });
    let tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut out = io::stdout().lock();
    writeln!(out, "{:?}", tally.stats)?;
    for (seed, report) in &tally.failures {
        if let Some(violation) = &report.violation {
            let detail: String = violation.detail.chars().take(400).collect();
            writeln!(out, "FAILED {}: {detail}", violation.invariant)?;
        }
        writeln!(out, "replay: cargo run --release -p pegasus-sim -- --seed {seed} --trace")?;
    }
    if tally.failures.is_empty() {
        writeln!(out, "{} seeds passed in {:.1?}", arguments.seeds, began.elapsed())?;
        Ok(ExitCode::SUCCESS)
    } else {
        writeln!(out, "{} failed", tally.failures.len())?;
        Ok(ExitCode::FAILURE)
    }
}

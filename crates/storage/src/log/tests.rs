#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::PathBuf;

use pegasus_types::{Ballot, chain_after};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

/// Segments so short that nearly every append begins a new one.
const SHORT: LogOptions = LogOptions { segment_bytes: 100 };

fn long() -> LogOptions {
    LogOptions::default()
}

fn mutation(decree: i64, prev_chain: u64, body: impl Into<Bytes>) -> Mutation {
    let body = body.into();
    Mutation {
        decree: Decree(decree),
        ballot: Ballot(1),
        timestamp_us: decree * 10,
        committed: Decree(decree - 1),
        prev_chain,
        chain: chain_after(prev_chain, Decree(decree), decree * 10, &body),
        body,
    }
}

/// Mutations of these decrees, each continuing the one before.
fn run(decrees: std::ops::RangeInclusive<i64>, prev_chain: u64, body: &str) -> Vec<Mutation> {
    let mut prev = prev_chain;
    decrees
        .map(|d| {
            let m = mutation(d, prev, format!("{body}{d}"));
            prev = m.chain;
            m
        })
        .collect()
}

fn ops(mutations: &[Mutation]) -> Vec<LogOp> {
    mutations.iter().cloned().map(LogOp::Mutation).collect()
}

/// Each in an append of its own.
fn append_each(log: &mut Log, mutations: &[Mutation]) {
    for op in ops(mutations) {
        log.append(&[op]).unwrap();
    }
}

fn files(dir: &TempDir) -> Vec<PathBuf> {
    segment::list(dir.path()).unwrap().into_iter().map(|(_, path)| path).collect()
}

fn open(dir: &TempDir, options: LogOptions) -> (Log, Replayed) {
    Log::open(dir.path(), options).unwrap()
}

fn replayed(dir: &TempDir) -> Vec<Mutation> {
    open(dir, long()).1.mutations
}

fn flip(path: &Path, at: usize) {
    let mut data = fs::read(path).unwrap();
    data[at] ^= 0x20;
    fs::write(path, data).unwrap();
}

fn chop(path: &Path, bytes: usize) {
    let data = fs::read(path).unwrap();
    fs::write(path, &data[..data.len() - bytes]).unwrap();
}

#[test]
fn mutations_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, found) = open(&dir, long());
    assert!(found.mutations.is_empty());
    let mut wanted = run(1..=5, 0, "a");
    wanted.push(mutation(6, wanted[4].chain, vec![7u8; 3 * COPY_BELOW]));
    wanted.push(mutation(7, wanted[5].chain, Bytes::new()));
    let before = log.size();
    let written = log.append(&ops(&wanted)).unwrap();
    assert_eq!(log.size(), before + written);
    log.sync().unwrap();
    assert_eq!(log.last(), Decree(7));
    drop(log);
    let (log, found) = open(&dir, long());
    assert_eq!((found.mutations, found.torn_bytes), (wanted.clone(), 0));
    let read = log.read(Decree(0), Decree(100), usize::MAX).unwrap().unwrap();
    assert_eq!(read, wanted);
}

#[test]
fn only_what_is_asked_for_is_returned() {
    let dir = tempfile::tempdir().unwrap();
    let wanted = run(1..=9, 0, "a");
    append_each(&mut open(&dir, SHORT).0, &wanted);
    let (log, found) = Log::open_after(dir.path(), SHORT, Decree(6)).unwrap();
    assert_eq!(found.mutations, wanted[6..]);
    assert_eq!((log.base(), log.last()), (Decree(0), Decree(9)));
}

#[test]
fn reading_back_by_decree() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(&dir, SHORT);
    let all = run(1..=20, 0, "body");
    append_each(&mut log, &all);
    assert!(files(&dir).len() > 5);
    let read = |after, up_to, max| log.read(Decree(after), Decree(up_to), max).unwrap();
    assert_eq!(read(3, 7, usize::MAX).unwrap(), all[3..7]);
    assert_eq!(read(3, 7, 0).unwrap(), all[3..4]);
    assert_eq!(read(3, 20, 2 * all[5].weight()).unwrap(), all[3..5]);
    assert_eq!(read(20, 30, usize::MAX).unwrap(), []);
    assert_eq!(read(25, 30, usize::MAX).unwrap(), []);
    assert_eq!(read(7, 3, usize::MAX).unwrap(), []);
}

#[test]
fn a_plan_outlives_a_collection() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(&dir, SHORT);
    let all = run(1..=6, 0, "body");
    append_each(&mut log, &all);
    let plan = log.plan_read(Decree(0), Decree(6), usize::MAX).unwrap().unwrap();
    log.collect(Decree(6)).unwrap();
    assert_eq!(plan.run().unwrap(), all);
}

#[test]
fn repeats_are_not_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(&dir, long());
    let all = run(1..=5, 0, "a");
    log.append(&ops(&all)).unwrap();
    assert_eq!(log.append(&ops(&all[1..3])).unwrap(), 0);
    assert_eq!(log.last(), Decree(5));
    assert_eq!(replayed(&dir), all);
}

#[test]
fn a_different_mutation_voids_what_follows() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(&dir, SHORT);
    let mut all = run(1..=8, 0, "old");
    append_each(&mut log, &all);
    let new = run(4..=5, all[2].chain, "new");
    append_each(&mut log, &new);
    all.truncate(3);
    all.extend(new);
    let read = log.read(Decree(0), Decree(9), usize::MAX).unwrap().unwrap();
    assert_eq!(read, all);
    assert_eq!(replayed(&dir), all);
}

#[test]
fn truncation_is_honoured() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(&dir, SHORT);
    let all = run(1..=8, 0, "a");
    append_each(&mut log, &all);
    log.append(&[LogOp::Truncate { above: Decree(5) }]).unwrap();
    assert_eq!(replayed(&dir), all[..5]);
    log.append(&[LogOp::Truncate { above: Decree(0) }, LogOp::Mutation(all[0].clone())]).unwrap();
    assert_eq!(replayed(&dir), all[..1]);
    assert_eq!(log.read(Decree(0), Decree(9), 99).unwrap().unwrap(), all[..1]);
}

#[test]
fn a_gap_starts_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(&dir, long());
    log.append(&ops(&run(1..=5, 0, "a"))).unwrap();
    let later = run(9..=10, 77, "b");
    log.append(&ops(&later)).unwrap();
    assert_eq!(log.read(Decree(4), Decree(10), 999).unwrap(), None);
    assert_eq!(log.read(Decree(8), Decree(10), 999).unwrap().unwrap(), later);
    assert_eq!(replayed(&dir), later);
}

#[test]
fn misplaced_mutations_make_the_log_unusable() {
    let dir = tempfile::tempdir().unwrap();
    let all = run(3..=5, 9, "a");
    for bad in [
        mutation(2, 1, "before the first"),
        mutation(6, 1, "wrong chain"),
        mutation(0, 0, "no decree"),
        mutation(i64::MAX / 10, 0, "fine").tap(|m| m.decree = Decree(i64::MAX)),
    ] {
        fs::remove_dir_all(dir.path()).unwrap();
        let (mut log, _) = open(&dir, long());
        log.append(&ops(&all)).unwrap();
        if bad.decree == Decree(0) {
            // `prev` of decree 0 is 0 as well; the index refuses it.
            assert!(log.append(&[LogOp::Mutation(bad)]).is_err());
        } else {
            let error = log.append(&[LogOp::Mutation(bad)]).unwrap_err();
            assert!(matches!(error, LogError::Misplaced { .. }), "{error}");
        }
        assert!(matches!(log.append(&[]), Err(LogError::Failed(_))));
        assert!(log.failure().is_some());
        assert_eq!(replayed(&dir), all);
    }
}

trait Tap: Sized {
    fn tap(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}
impl Tap for Mutation {}

#[test]
fn collection_deletes_whole_old_segments_only() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(&dir, LogOptions { segment_bytes: 300 });
    let all = run(1..=20, 0, "a");
    append_each(&mut log, &all);
    let count = files(&dir).len();
    log.collect(Decree(0)).unwrap();
    assert_eq!(files(&dir).len(), count);
    log.collect(Decree(10)).unwrap();
    assert!(files(&dir).len() < count);
    let base = log.base();
    assert!(base > Decree(0) && base <= Decree(10), "{base}");
    assert_eq!(log.read(base.prev(), Decree(20), 99).unwrap(), None);
    let (again, found) = open(&dir, long());
    assert_eq!(found.mutations, all[base.0 as usize..]);
    assert_eq!(again.base(), base);
    drop(again);
    log.collect(Decree(20)).unwrap();
    assert_eq!(files(&dir).len(), 1);
    let next = mutation(21, all[19].chain, "next");
    log.append(&[LogOp::Mutation(next.clone())]).unwrap();
    assert_eq!(log.read(Decree(20), Decree(21), 99).unwrap().unwrap(), [next]);
}

#[test]
fn collection_looks_at_surviving_decrees() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(&dir, SHORT);
    let old = run(1..=8, 0, "old");
    append_each(&mut log, &old);
    let new = run(3..=4, old[1].chain, "new");
    append_each(&mut log, &new);
    // The segments with the old 3 to 8 hold nothing that survives.
    log.collect(Decree(3)).unwrap();
    let base = log.base();
    assert!(base >= Decree(2));
    let left: Vec<_> = new.iter().filter(|m| m.decree > base).cloned().collect();
    assert_eq!(replayed(&dir), left);
}

#[test]
fn reset_drops_everything() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(&dir, SHORT);
    append_each(&mut log, &run(1..=8, 0, "a"));
    log.reset(Decree(100)).unwrap();
    assert_eq!((log.base(), log.last()), (Decree(100), Decree(100)));
    assert_eq!(log.read(Decree(99), Decree(101), 99).unwrap(), None);
    assert_eq!(log.read(Decree(100), Decree(101), 99).unwrap(), Some(vec![]));
    drop(log);
    let (mut log, found) = open(&dir, SHORT);
    assert!(found.mutations.is_empty());
    assert_eq!(log.base(), Decree(100));
    let next = run(101..=103, 5, "b");
    append_each(&mut log, &next);
    assert_eq!(replayed(&dir), next);
}

#[test]
fn an_interrupted_reset_counts_once_its_segment_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(&dir, SHORT);
    append_each(&mut log, &run(1..=8, 0, "a"));
    let old = files(&dir);
    let saved: Vec<_> = old.iter().map(|path| fs::read(path).unwrap()).collect();
    log.reset(Decree(50)).unwrap();
    drop(log);
    // As if the deletions had not happened, and one of the old files were damaged too.
    for (path, data) in old.iter().zip(&saved) {
        fs::write(path, data).unwrap();
    }
    flip(&old[0], 60);
    let (log, found) = open(&dir, SHORT);
    assert!(found.mutations.is_empty());
    assert_eq!(log.base(), Decree(50));
    assert_eq!(files(&dir).len(), 1);
}

#[test]
fn a_torn_tail_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let all = run(1..=5, 0, "a");
    append_each(&mut open(&dir, long()).0, &all);
    let path = files(&dir).remove(0);
    chop(&path, 3);
    let torn = {
        let (mut log, found) = open(&dir, long());
        assert_eq!(found.mutations, all[..4]);
        append_each(&mut log, &all[4..]);
        found.torn_bytes
    };
    assert!(torn > 0);
    assert_eq!(replayed(&dir), all);
    // Damaged rather than short, and zeroes behind.
    let len = fs::metadata(&path).unwrap().len() as usize;
    flip(&path, len - 1);
    let mut data = fs::read(&path).unwrap();
    data.extend_from_slice(&[0; 5000]);
    fs::write(&path, data).unwrap();
    let found = open(&dir, long()).1;
    assert_eq!(found.mutations, all[..4]);
    assert!(found.torn_bytes > 5000);
    assert_eq!(open(&dir, long()).1.torn_bytes, 0);
}

#[test]
fn damage_with_intact_blocks_behind_it_is_corruption() {
    let dir = tempfile::tempdir().unwrap();
    let all = run(1..=5, 0, "a");
    append_each(&mut open(&dir, long()).0, &all);
    let path = files(&dir).remove(0);
    flip(&path, block::HEADER_LEN + 30);
    assert!(matches!(Log::open(dir.path(), long()), Err(LogError::Corrupt { offset: 44, .. })));
    // Unless a power loss explains it.
    let (log, found) = Log::open_after_power_loss(dir.path(), long()).unwrap();
    assert!(found.mutations.is_empty() && found.torn_bytes > 0);
    drop(log);
    assert!(replayed(&dir).is_empty());
}

#[test]
fn damage_in_an_older_segment_is_corruption() {
    for power_loss in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        append_each(&mut open(&dir, SHORT).0, &run(1..=5, 0, "a"));
        let path = files(&dir).remove(1);
        chop(&path, 1);
        let result = match power_loss {
            false => Log::open(dir.path(), SHORT),
            true => Log::open_after_power_loss(dir.path(), SHORT),
        };
        assert!(matches!(result, Err(LogError::Corrupt { .. })));
    }
}

#[test]
fn a_missing_segment_is_corruption() {
    let dir = tempfile::tempdir().unwrap();
    append_each(&mut open(&dir, SHORT).0, &run(1..=5, 0, "a"));
    fs::remove_file(files(&dir).remove(1)).unwrap();
    assert!(matches!(Log::open(dir.path(), SHORT), Err(LogError::Corrupt { .. })));
}

#[test]
fn a_segment_that_was_being_created_is_dropped() {
    for content in [vec![], vec![0; 20], vec![0; block::HEADER_LEN]] {
        let dir = tempfile::tempdir().unwrap();
        let all = run(1..=3, 0, "a");
        append_each(&mut open(&dir, long()).0, &all);
        fs::write(dir.path().join("log.00000002"), &content).unwrap();
        let (mut log, found) = open(&dir, SHORT);
        assert_eq!(found.mutations, all);
        assert_eq!(found.torn_bytes, content.len() as u64);
        let next = run(4..=5, all[2].chain, "b");
        append_each(&mut log, &next);
        assert_eq!(replayed(&dir).len(), 5);
    }
}

#[test]
fn a_damaged_header_is_corruption() {
    let dir = tempfile::tempdir().unwrap();
    append_each(&mut open(&dir, long()).0, &run(1..=3, 0, "a"));
    flip(&files(&dir)[0], 10);
    assert!(matches!(Log::open(dir.path(), long()), Err(LogError::Corrupt { .. })));
}

#[test]
fn a_copy_of_a_block_inside_a_value_is_not_a_block() {
    let dir = tempfile::tempdir().unwrap();
    let first = mutation(1, 0, "first");
    append_each(&mut open(&dir, long()).0, std::slice::from_ref(&first));
    let path = files(&dir).remove(0);
    // A client stores what it somehow saw of the log; then the write of it is torn.
    let image = fs::read(&path).unwrap();
    let second = mutation(2, first.chain, image);
    append_each(&mut open(&dir, long()).0, &[second]);
    chop(&path, 1);
    assert_eq!(replayed(&dir), [first]);
}

#[test]
fn other_files_are_ignored() {
    let dir = tempfile::tempdir().unwrap();
    let all = run(1..=3, 0, "a");
    append_each(&mut open(&dir, long()).0, &all);
    for name in ["log.1", "log.00000009.removed", "notes"] {
        fs::write(dir.path().join(name), b"x").unwrap();
    }
    assert_eq!(replayed(&dir), all);
}

#[test]
fn too_large_records_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(&dir, long());
    let huge = mutation(1, 0, vec![0u8; MAX_PAYLOAD]);
    assert!(matches!(log.append(&[LogOp::Mutation(huge)]), Err(LogError::TooLarge { .. })));
}

/// One step of the model test.
#[derive(Clone, Debug)]
enum Step {
    /// So many new mutations in one append.
    Append(usize, Vec<u8>),
    /// A different mutation so many decrees before the end.
    Replace(usize),
    Repeat(usize),
    Truncate(usize),
    /// Leave decrees out.
    Gap,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1usize..5, proptest::collection::vec(any::<u8>(), 0..80))
            .prop_map(|(n, body)| Step::Append(n, body)),
        1 => (0usize..6).prop_map(Step::Replace),
        1 => (0usize..6).prop_map(Step::Repeat),
        1 => (0usize..6).prop_map(Step::Truncate),
        1 => Just(Step::Gap),
        1 => Just(Step::Reopen),
    ]
}

/// What the log should hold.
#[derive(Clone, Debug, Default)]
struct Model {
    base: i64,
    held: Vec<Mutation>,
    /// Makes every mutation different from all before.
    serial: u64,
}

impl Model {
    fn last(&self) -> i64 {
        self.base + self.held.len() as i64
    }

    fn fresh(&mut self, decree: i64, prev_chain: u64, body: &[u8]) -> Mutation {
        self.serial += 1;
        let body = [&self.serial.to_be_bytes()[..], body].concat();
        mutation(decree, prev_chain, body)
    }

    fn ops(&mut self, step: &Step) -> Vec<LogOp> {
        match step {
            Step::Append(count, body) => (0..*count)
                .map(|_| {
                    let chain = self.held.last().map_or(0, |m| m.chain);
                    let new = self.fresh(self.last() + 1, chain, body);
                    self.held.push(new.clone());
                    LogOp::Mutation(new)
                })
                .collect(),
            Step::Replace(back) => {
                self.held.truncate(self.held.len().saturating_sub(*back));
                self.ops(&Step::Append(1, b"replaced".to_vec()))
            }
            Step::Repeat(back) => {
                let from = self.held.len().saturating_sub(*back);
                ops(&self.held[from..])
            }
            Step::Truncate(back) => {
                self.held.truncate(self.held.len().saturating_sub(*back));
                vec![LogOp::Truncate { above: Decree(self.last()) }]
            }
            Step::Gap => {
                self.base = self.last() + 3;
                self.held.clear();
                self.ops(&Step::Append(1, b"behind a gap".to_vec()))
            }
            Step::Reopen => Vec::new(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is appended, and wherever the last segment is cut or damaged afterwards, replay
    /// gives the state after some prefix of the records, and before any damage the whole.
    #[test]
    fn replay_gives_what_was_written(
        steps in proptest::collection::vec(step(), 1..25),
        segment_bytes in prop_oneof![Just(200u64), Just(1000), Just(1 << 20)],
        cut in any::<proptest::sample::Index>(),
        garbage in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let options = LogOptions { segment_bytes };
        let (mut log, _) = open(&dir, options);
        let mut model = Model::default();
        // State of the model whenever the files had a certain (segment, length).
        let mut states = vec![(1, log.tail().1, Vec::new())];
        for step in &steps {
            if matches!(step, Step::Reopen) {
                drop(log);
                let reopened = open(&dir, options);
                prop_assert_eq!(&reopened.1.mutations, &model.held);
                prop_assert_eq!(reopened.1.torn_bytes, 0);
                log = reopened.0;
            }
            // One operation per append, so that every block boundary is a known state.
            for op in model.clone().ops(step) {
                let mut single = model.clone();
                match &op {
                    LogOp::Truncate { above } => {
                        single.held.retain(|m| m.decree <= *above);
                    }
                    LogOp::Mutation(m) if !single.held.contains(m) => {
                        single.held.retain(|held| held.decree < m.decree);
                        if m.decree.0 > single.last() + 1 {
                            single.held.clear();
                        }
                        single.base = m.decree.0 - 1 - single.held.len() as i64;
                        single.held.push(m.clone());
                    }
                    LogOp::Mutation(_) => {}
                }
                log.append(&[op]).unwrap();
                single.serial += 10;
                model = single;
                let (segment, len, _) = log.tail();
                states.push((segment, len, model.held.clone()));
            }
        }
        let all = log.read(log.base(), log.last(), usize::MAX).unwrap().unwrap();
        prop_assert_eq!(&all, &model.held);
        let (segment, len, _) = log.tail();
        drop(log);

        let keep = block::HEADER_LEN + cut.index(len as usize - block::HEADER_LEN + 1);
        let path = files(&dir).pop().unwrap();
        let mut data = fs::read(&path).unwrap();
        prop_assert_eq!(data.len() as u64, len);
        data.truncate(keep);
        data.extend_from_slice(&garbage);
        fs::write(&path, &data).unwrap();
        let wanted = states
            .iter()
            .rev()
            .find(|(s, l, _)| *s < segment || (*s == segment && *l <= keep as u64))
            .unwrap();
        let (_, found) = open(&dir, options);
        prop_assert_eq!(&found.mutations, &wanted.2);
        prop_assert_eq!(replayed(&dir), found.mutations);
    }

    /// A flipped bit is never served: the log opens without it or not at all.
    #[test]
    fn damage_is_never_believed(at in any::<proptest::sample::Index>(), bit in 0u8..8) {
        let dir = tempfile::tempdir().unwrap();
        let all = run(1..=6, 0, "some body");
        append_each(&mut open(&dir, long()).0, &all);
        let path = files(&dir).remove(0);
        let mut data = fs::read(&path).unwrap();
        let at = at.index(data.len());
        data[at] ^= 1 << bit;
        fs::write(&path, data).unwrap();
        if let Ok((_, found)) = Log::open(dir.path(), long()) {
            prop_assert!(found.torn_bytes > 0);
            prop_assert_eq!(found.mutations.as_slice(), &all[..found.mutations.len()]);
        }
    }
}

#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;

#[test]
fn checkpoints_hold_one_moment() {
    let mut bed = Bed::new();
    bed.fill(b"h", &[(b"1", 0)]);
    bed.fill(b"h", &[(b"2", 0)]);
    let target = bed.dir.path().join("checkpoint.2");
    let checkpoint = bed.engine().checkpoint(&target).unwrap();
    assert_eq!(checkpoint.decree, Decree(2));
    assert_eq!(checkpoint.chain, bed.history[1].chain);
    assert_eq!(bed.engine().flushed(), Decree(2));
    assert!(checkpoint.files.iter().any(|file| file.name == "CURRENT"));
    assert!(checkpoint.files.iter().any(|file| file.name.ends_with(".sst")));
    for file in &checkpoint.files {
        assert_eq!(&CheckpointFile::of(&target, &file.name).unwrap(), file);
    }
    assert_eq!(std::fs::read_dir(&target).unwrap().count(), checkpoint.files.len());
    assert!(matches!(bed.engine().checkpoint(&target), Err(StorageError::Exists { .. })));
    // Again, with sums remembered.
    bed.fill(b"h", &[(b"3", 0)]);
    let target = bed.dir.path().join("checkpoint.3");
    let checkpoint = bed.engine().checkpoint(&target).unwrap();
    assert_eq!(checkpoint.decree, Decree(3));
    for file in &checkpoint.files {
        assert_eq!(&CheckpointFile::of(&target, &file.name).unwrap(), file);
    }
}

#[test]
fn a_checkpoint_is_installed_elsewhere() {
    let mut source = Bed::new();
    source.fill(b"h", &[(b"source", 0)]);
    let mut target = Bed::new();
    target.fill(b"h", &[(b"target", 0)]);
    target.fill(b"h", &[(b"more", 0)]);
    target.engine().flush().unwrap();
    let learned = target.dir.path().join("learn");
    source.engine().checkpoint(&learned).unwrap();
    target.engine = None;
    let position = Engine::install_checkpoint(target.dir.path(), &learned).unwrap();
    assert_eq!(position, source.engine().applied());
    assert!(!learned.exists());
    target.reopen();
    assert_eq!(target.engine().applied(), position);
    assert_eq!(target.engine().flushed(), Decree(1));
    assert_eq!(target.multi_get(&range(b"h", b"", b"")).1, ["source"]);
    for left in ["data.new", "data.old"] {
        assert!(!target.dir.path().join(left).exists());
    }
    // It goes on from there.
    let next = source.next(Bytes::new());
    target.engine().apply(&[next], false).unwrap();
    // And into a directory that has nothing yet.
    let learned = target.dir.path().join("learn");
    source.engine().checkpoint(&learned).unwrap();
    let empty = target.dir.path().join("fresh");
    std::fs::create_dir(&empty).unwrap();
    Engine::install_checkpoint(&empty, &learned).unwrap();
    let fresh = Engine::open(&empty, &target.options).unwrap();
    assert_eq!(fresh.applied(), position);
}

/// Every state that a crash during an installation can leave.
#[test]
fn interrupted_installations() {
    let mut source = Bed::new();
    source.fill(b"h", &[(b"new", 0)]);
    let mut bed = Bed::new();
    bed.fill(b"h", &[(b"old", 0)]);
    bed.fill(b"h", &[(b"older", 0)]);
    bed.engine().flush().unwrap();
    bed.engine = None;
    let (data, new, old) = (
        bed.dir.path().join("data"),
        bed.dir.path().join("data.new"),
        bed.dir.path().join("data.old"),
    );
    let stage = || {
        std::fs::create_dir(&new).unwrap();
        source.engine().checkpoint(&new.join("rdb")).unwrap();
    };
    let decree = |bed: &Bed| {
        let engine = Engine::open(bed.dir.path(), &bed.options).unwrap();
        assert!(!new.exists() && !old.exists());
        engine.applied().0
    };
    // Before anything was moved.
    std::fs::create_dir(&new).unwrap();
    assert_eq!(decree(&bed), Decree(2));
    stage();
    assert_eq!(decree(&bed), Decree(2));
    // Between the renames.
    stage();
    std::fs::rename(&data, &old).unwrap();
    assert!(Engine::exists(bed.dir.path()));
    assert_eq!(decree(&bed), Decree(1));
    // Before the old data were deleted.
    std::fs::create_dir_all(old.join("rdb")).unwrap();
    assert_eq!(decree(&bed), Decree(1));
}

#[test]
fn an_unusable_checkpoint_changes_nothing() {
    let mut bed = Bed::new();
    bed.fill(b"h", &[(b"a", 0)]);
    bed.engine().flush().unwrap();
    bed.engine = None;
    let from = bed.dir.path().join("learn");
    std::fs::create_dir(&from).unwrap();
    assert!(Engine::install_checkpoint(bed.dir.path(), &from).is_err());
    bed.reopen();
    assert_eq!(bed.engine().applied().0, Decree(1));
}

#[test]
fn databases_that_are_not_ours() {
    let dir = tempfile::tempdir().unwrap();
    let options = EngineOptions::default();
    // Without the meta column family.
    let path = rdb_path(dir.path());
    std::fs::create_dir_all(&path).unwrap();
    let foreign = DB::open_default(&path).unwrap();
    foreign.put(b"key", b"value").unwrap();
    foreign.flush().unwrap();
    drop(foreign);
    assert!(Engine::open(dir.path(), &options).unwrap_err().is_corruption());
    // With a newer data version.
    let bed = Bed::new();
    let meta = meta::family(&bed.engine().db, bed.engine().path()).unwrap();
    bed.engine().db.put_cf_opt(meta, meta::DATA_VERSION, "2", &no_wal()).unwrap();
    bed.engine().flush().unwrap();
    let Bed { dir, engine, .. } = bed;
    drop(engine);
    assert!(matches!(Engine::open(dir.path(), &options), Err(StorageError::Foreign { .. })));
}

#[test]
fn a_database_whose_creation_was_cut_short_is_created_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = rdb_path(dir.path());
    std::fs::create_dir_all(&path).unwrap();
    // As after a kill between the database's first file and its second column family.
    drop(DB::open_default(&path).unwrap());
    let engine = Engine::open(dir.path(), &EngineOptions::default()).unwrap();
    assert_eq!(engine.applied_decree(), Decree::ZERO);
}

/// The record that every mutation of the next tests rewrites with its own decree.
fn counter(engine: &Engine) -> i64 {
    let key = encode_key(b"counter", b"");
    let value = engine.get(&key, NOW, ReadTier::All).unwrap();
    value.map_or(0, |text| std::str::from_utf8(&text).unwrap().parse().unwrap())
}

/// The mutation after these that sets the counter to its decree, and some more.
fn count_on(bed: &Bed) -> Mutation {
    let decree = bed.history.len() + 1;
    let mut body = BodyBuilder::new();
    let filler = encode_key(b"filler", &decree.to_be_bytes());
    body.put(&filler, &[7; 500], 0);
    let text = decree.to_string();
    body.put(&encode_key(b"counter", b""), text.as_bytes(), 0);
    bed.next(body.finish())
}

fn small_buffers() -> Bed {
    let mut bed = Bed::new();
    bed.options = EngineOptions {
        write_buffer_size: 64 << 10,
        flush_on_close: false,
        ..EngineOptions::default()
    };
    bed.reopen();
    bed
}

/// RocksDB flushes when it likes, and a crash comes when it likes: data and decree agree.
#[test]
fn data_and_decree_stay_together_through_flushes() {
    let mut bed = small_buffers();
    for round in 1..=6 {
        // Until RocksDB has flushed on its own, and a bit more.
        let start = bed.engine().applied_decree();
        let mut extra = 10 * round;
        while extra > 0 {
            let mutation = count_on(&bed);
            bed.engine().apply(std::slice::from_ref(&mutation), false).unwrap();
            bed.history.push(mutation);
            if bed.engine().refresh_flushed().unwrap() > start {
                extra -= 1;
            }
        }
        let seen = bed.engine().refresh_flushed().unwrap();
        bed.reopen();
        let (decree, chain) = bed.engine().applied();
        assert!(decree >= seen && seen > start);
        assert_eq!(counter(bed.engine()), decree.0);
        bed.history.truncate(decree.0 as usize);
        assert_eq!(bed.history.last().unwrap().chain, chain);
    }
}

/// Checkpoints taken while mutations are being applied hold exactly what they say.
#[test]
fn checkpoints_under_load() {
    let mut bed = small_buffers();
    let mut prepared = Vec::new();
    for _ in 0..3000 {
        let mutation = count_on(&bed);
        prepared.push(mutation.clone());
        bed.history.push(mutation);
    }
    let engine = bed.engine();
    let root = bed.dir.path();
    let checkpoints = std::thread::scope(|scope| {
        let applying = scope.spawn(|| {
            for mutation in &prepared {
                engine.apply(std::slice::from_ref(mutation), false).unwrap();
            }
        });
        let mut checkpoints = Vec::new();
        while checkpoints.len() < 4 || (checkpoints.len() < 12 && !applying.is_finished()) {
            let target = root.join(format!("pin{}", checkpoints.len()));
            let before = engine.applied_decree();
            let checkpoint = engine.checkpoint(&target).unwrap();
            assert!(before <= checkpoint.decree && checkpoint.decree <= engine.applied_decree());
            checkpoints.push((target, checkpoint));
        }
        checkpoints
    });
    assert_eq!(counter(engine), 3000);
    for (number, (target, checkpoint)) in checkpoints.iter().enumerate() {
        for file in &checkpoint.files {
            assert_eq!(&CheckpointFile::of(target, &file.name).unwrap(), file);
        }
        let elsewhere = root.join(format!("replica{number}"));
        std::fs::create_dir(&elsewhere).unwrap();
        Engine::install_checkpoint(&elsewhere, target).unwrap();
        let copy = Engine::open(&elsewhere, &bed.options).unwrap();
        assert_eq!(copy.applied(), (checkpoint.decree, checkpoint.chain));
        assert_eq!(counter(&copy), checkpoint.decree.0);
    }
}

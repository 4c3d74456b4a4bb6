//! Replacing the local engine by a checkpoint of another replica: download, check, exchange.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest};
use pegasus_net::connect;
use pegasus_protocol::private::{
    CheckpointFile, CheckpointManifest, CheckpointsClient, ServiceKind,
};
use pegasus_replication::{CopiedState, Event};
use pegasus_storage::{Engine, EngineOptions, Log, ReplicaDir};
use pegasus_types::{NodeId, PartitionId};
use tarpc::context::{self, Context};

use crate::garbage::close_engine;
use crate::gate::GateSnapshot;
use crate::inbox::{Completion, InstallOutcome};
use crate::open::{self, Installing, LEARN_DIR};
use crate::partition::Partition;
use crate::shared::Shared;

/// Bytes asked for in one call.
const BLOCK: u32 = 2 << 20;
/// Making a checkpoint includes a flush and checksums over all files.
const OPEN_LIMIT: Duration = Duration::from_secs(600);
const READ_LIMIT: Duration = Duration::from_secs(30);

impl Partition {
    pub(crate) fn copy_checkpoint(&mut self, shared: &Arc<Shared>, from: NodeId, nonce: u64) {
        let (home, dir) = (self.home.clone(), self.dir.path().join(LEARN_DIR));
        let background = shared.background.clone();
        let shared = Arc::clone(shared);
        background.spawn(async move {
            tracing::info!(partition = %home.pid, %from, "copying a checkpoint");
            let result = download(&shared, &from, home.pid, dir).await;
            home.send(Completion::Downloaded { nonce, result });
        });
    }

    /// The checkpoint is here. The exchange needs log and engine at rest; the core sees to that, so
    /// anything still under way means that it changed its mind.
    pub(crate) fn downloaded(
        &mut self,
        shared: &Arc<Shared>,
        nonce: u64,
        result: Result<CopiedState, String>,
    ) {
        let at_rest = self.log_ops.ops.is_empty()
            && self.log_ops.done == self.log_ops.seq
            && !self.applies.running
            && self.applies.waiting.is_empty()
            && !self.flush.running;
        let copied = match result {
            Ok(copied) if at_rest => copied,
            Ok(_) => return self.copy_failed(nonce, "log or engine are still busy".to_owned()),
            Err(reason) => return self.copy_failed(nonce, reason),
        };
        let Some(engine) = self.engine.take() else {
            return self.copy_failed(nonce, "the engine is being exchanged already".to_owned());
        };
        self.hosted.gate.store(Arc::new(GateSnapshot::closed()));
        self.hosted.engine.store(None);
        let (home, dir, log) = (self.home.clone(), self.dir.clone(), Arc::clone(&self.log));
        shared.blocking(move |shared| {
            let outcome = install(engine, &dir, &log, copied, &shared.engine_options);
            home.send(Completion::Installed { nonce, outcome });
        });
    }

    fn copy_failed(&mut self, nonce: u64, reason: String) {
        tracing::warn!(partition = %self.hosted.pid, reason, "cannot copy a checkpoint");
        self.push(Event::CopyFinished { nonce, result: Err(reason) });
    }

    pub(crate) fn installed(&mut self, nonce: u64, outcome: InstallOutcome) {
        match outcome {
            InstallOutcome::Done { engine, copied } => {
                tracing::info!(partition = %self.hosted.pid, decree = %copied.decree,
                    "checkpoint installed");
                self.use_engine(engine);
                self.flush.log_bytes = 0;
                self.push(Event::CopyFinished { nonce, result: Ok(copied) });
            }
            InstallOutcome::Unchanged { engine, reason } => {
                self.use_engine(engine);
                self.copy_failed(nonce, reason);
            }
            InstallOutcome::Broken { reason } => {
                let reason = format!("engine lost while installing a checkpoint: {reason}");
                self.deferred.clear();
                self.push(Event::Failed { reason });
            }
        }
    }

    fn use_engine(&mut self, engine: Arc<Engine>) {
        self.hosted.set_applied(engine.applied().0);
        self.hosted.engine.store(Some(Arc::clone(&engine)));
        self.engine = Some(engine);
    }
}

/// Fills `dir` with a checkpoint of `from`; everything in it is checked and synced then.
async fn download(
    shared: &Arc<Shared>,
    from: &NodeId,
    pid: PartitionId,
    dir: PathBuf,
) -> Result<CopiedState, String> {
    let text = |e: &dyn std::fmt::Display| e.to_string();
    let hello = shared.identity.hello(ServiceKind::Checkpoints);
    let connected = connect(from, hello, Duration::from_secs(5)).await.map_err(|e| text(&e))?;
    let config = tarpc::client::Config::default();
    let client = CheckpointsClient::new(config, connected.transport()).spawn();
    let manifest = client.open(limit(OPEN_LIMIT), pid).await.map_err(|e| text(&e)).flatten()?;
    let fresh = dir.clone();
    in_background(move || empty_dir(&fresh)).await?;
    for file in &manifest.files {
        copy_file(&client, &manifest, file, &dir).await?;
    }
    in_background(move || File::open(&dir)?.sync_all()).await?;
    // The pin would end with the connection anyway.
    let _ = client.close(limit(READ_LIMIT), manifest.pin).await;
    Ok(CopiedState { decree: manifest.decree, chain: manifest.chain })
}

async fn copy_file(
    client: &CheckpointsClient,
    manifest: &CheckpointManifest,
    file: &CheckpointFile,
    dir: &Path,
) -> Result<(), String> {
    let name = &file.name;
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
        return Err(format!("the checkpoint has a file called {name:?}"));
    }
    let path = dir.join(name);
    let mut sink = in_background(move || Sink::create(&path)).await?;
    while sink.written < file.size {
        let len = u32::try_from(file.size - sink.written).unwrap_or(BLOCK).min(BLOCK);
        let read = client.read(limit(READ_LIMIT), manifest.pin, name.clone(), sink.written, len);
        let block = read.await.map_err(|e| e.to_string()).flatten()?;
        if block.is_empty() || block.len() > usize::try_from(len).unwrap_or(usize::MAX) {
            return Err(format!("{name}: asked for {len} bytes, got {}", block.len()));
        }
        sink = in_background(move || sink.append(&block)).await?;
    }
    let crc = in_background(move || sink.finish()).await?;
    if crc != file.crc32c {
        return Err(format!("{name}: checksum {crc:08x} instead of {:08x}", file.crc32c));
    }
    Ok(())
}

/// A file being written, with its checksum so far.
struct Sink {
    file: File,
    digest: Digest,
    written: u64,
}

impl Sink {
    fn create(path: &Path) -> io::Result<Sink> {
        let file = File::create(path)?;
        Ok(Sink { file, digest: Digest::new(CrcAlgorithm::Crc32Iscsi), written: 0 })
    }

    fn append(mut self, block: &Bytes) -> io::Result<Sink> {
        self.file.write_all(block)?;
        self.digest.update(block);
        self.written += u64::try_from(block.len()).map_err(io::Error::other)?;
        Ok(self)
    }

    /// The CRC-32C of everything, once it is on disk.
    fn finish(self) -> io::Result<u32> {
        self.file.sync_all()?;
        u32::try_from(self.digest.finalize()).map_err(io::Error::other)
    }
}

fn empty_dir(dir: &Path) -> io::Result<()> {
    remove_dir(dir)?;
    fs::create_dir(dir)
}

fn remove_dir(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

async fn in_background<T: Send + 'static>(
    job: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, String> {
    let done = tokio::task::spawn_blocking(job).await;
    done.map_err(|e| e.to_string())?.map_err(|e| e.to_string())
}

fn limit(time: Duration) -> Context {
    let mut context = context::current();
    context.deadline = Instant::now() + time;
    context
}

/// Exchanges the engine for the checkpoint in the learn directory and empties the log. Blocks.
fn install(
    engine: Arc<Engine>,
    dir: &ReplicaDir,
    log: &Mutex<Log>,
    copied: CopiedState,
    options: &EngineOptions,
) -> InstallOutcome {
    // Closing loses what is not flushed, and a failed exchange must leave everything as it was.
    if let Err(e) = engine.flush() {
        return InstallOutcome::Unchanged { engine, reason: e.to_string() };
    }
    if let Err(engine) = close_engine(engine) {
        let reason = "reads hold on to the engine".to_owned();
        return InstallOutcome::Unchanged { engine, reason };
    }
    let next = Installing { decree: copied.decree, chain: copied.chain };
    let learn = dir.path().join(LEARN_DIR);
    let exchanged = open::begin_installation(dir.path(), next)
        .map_err(|e| e.to_string())
        .and_then(|()| Engine::install_checkpoint(dir.path(), &learn).map_err(|e| e.to_string()));
    let engine = match Engine::open(dir.path(), options) {
        Ok(engine) => Arc::new(engine),
        Err(e) => return InstallOutcome::Broken { reason: e.to_string() },
    };
    let found = engine.applied();
    if let Err(reason) = exchanged
        && found != (copied.decree, copied.chain)
    {
        // A mark that stays would let a later start take the log for one of another history.
        if let Err(e) = open::end_installation(dir.path()) {
            return InstallOutcome::Broken { reason: e.to_string() };
        }
        return InstallOutcome::Unchanged { engine, reason };
    }
    if found != (copied.decree, copied.chain) {
        let reason = format!("expected decree {}, found {}", copied.decree, found.0);
        return InstallOutcome::Broken { reason };
    }
    let emptied = log.lock().unwrap_or_else(PoisonError::into_inner).reset(copied.decree);
    if let Err(e) = emptied {
        return InstallOutcome::Broken { reason: e.to_string() };
    }
    if let Err(e) = open::end_installation(dir.path()) {
        return InstallOutcome::Broken { reason: e.to_string() };
    }
    let _ = remove_dir(&learn);
    InstallOutcome::Done { engine, copied }
}

//! Serving checkpoints to learners. A checkpoint is pinned until its reader closes it or is gone.

use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use pegasus_net::Detached;
use pegasus_protocol::private::{CheckpointFile, CheckpointManifest, Checkpoints};
use pegasus_types::PartitionId;
use tarpc::context::Context;
use tarpc::server::{BaseChannel, Channel};

use crate::clock;
use crate::open::PIN_PREFIX;
use crate::shared::Shared;

/// Longest block of one call.
const MAX_BLOCK: u32 = 4 << 20;

static NEXT_PIN: AtomicU64 = AtomicU64::new(1);

/// Serves one connection of a learner until it ends, then drops its pins.
pub async fn serve(shared: Arc<Shared>, connection: Detached) {
    let Ok((accepted, _permit)) = connection.attach() else { return };
    let peer = accepted.hello.node.clone();
    let reader = Reader { shared, pins: Arc::default() };
    let pins = Arc::clone(&reader.pins);
    let channel = BaseChannel::with_defaults(accepted.transport());
    channel.execute(reader.serve()).for_each(|answer| answer).await;
    let left = std::mem::take(&mut *pins.lock().unwrap_or_else(PoisonError::into_inner));
    tracing::debug!(%peer, pins = left.len(), "checkpoint connection ended");
    // Deleting files may block.
    let _ = tokio::task::spawn_blocking(move || drop(left)).await;
}

/// A checkpoint's directory, deleted with this value.
struct Pin {
    dir: PathBuf,
    files: Vec<CheckpointFile>,
}

impl Drop for Pin {
    fn drop(&mut self) {
        if let Err(e) = fs::remove_dir_all(&self.dir) {
            tracing::warn!(dir = %self.dir.display(), "cannot remove a checkpoint: {e}");
        }
    }
}

#[derive(Clone)]
struct Reader {
    shared: Arc<Shared>,
    pins: Arc<Mutex<HashMap<u64, Arc<Pin>>>>,
}

impl Reader {
    fn pin(&self, pin: u64) -> Result<Arc<Pin>, String> {
        let pins = self.pins.lock().unwrap_or_else(PoisonError::into_inner);
        pins.get(&pin).cloned().ok_or_else(|| format!("no pin {pin} on this connection"))
    }
}

impl Checkpoints for Reader {
    async fn open(self, _: Context, pid: PartitionId) -> Result<CheckpointManifest, String> {
        let absent = || format!("no usable replica of {pid} here");
        let hosted = self.shared.table.get(pid).ok_or_else(absent)?;
        let engine = hosted.engine.load_full().ok_or_else(absent)?;
        let number = NEXT_PIN.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PIN_PREFIX}{}.{number}", clock::unix_micros());
        let dir = self.shared.dirs.replicas().into_iter().find(|dir| dir.pid() == pid);
        let dir = dir.ok_or_else(absent)?.path().join(name);
        let make = move || {
            let made = engine.checkpoint(&dir);
            // Even half a checkpoint has to be cleaned up.
            let mut pin = Pin { dir, files: Vec::new() };
            let made = made.map_err(|e| e.to_string())?;
            pin.files = made
                .files
                .iter()
                .map(|f| CheckpointFile { name: f.name.clone(), size: f.size, crc32c: f.crc32c })
                .collect();
            let manifest = CheckpointManifest {
                pin: number,
                decree: made.decree,
                chain: made.chain,
                files: pin.files.clone(),
            };
            Ok((pin, manifest))
        };
        let made = tokio::task::spawn_blocking(make).await;
        let (pin, manifest) = made.map_err(|e| e.to_string()).flatten()?;
        self.pins.lock().unwrap_or_else(PoisonError::into_inner).insert(number, Arc::new(pin));
        Ok(manifest)
    }

    async fn read(
        self,
        _: Context,
        pin: u64,
        name: String,
        offset: u64,
        len: u32,
    ) -> Result<Bytes, String> {
        let pin = self.pin(pin)?;
        // Only names of the manifest, so no path leads elsewhere.
        let file = pin.files.iter().find(|file| file.name == name);
        let size = file.ok_or_else(|| format!("no file {name} in this checkpoint"))?.size;
        let rest = size.saturating_sub(offset).min(u64::from(len.min(MAX_BLOCK)));
        let rest = usize::try_from(rest).map_err(|e| e.to_string())?;
        let read = move || -> std::io::Result<Bytes> {
            let file = File::open(pin.dir.join(name))?;
            let mut block = BytesMut::zeroed(rest);
            file.read_exact_at(&mut block, offset)?;
            Ok(block.freeze())
        };
        let block = tokio::task::spawn_blocking(read).await.map_err(|e| e.to_string())?;
        block.map_err(|e| e.to_string())
    }

    async fn close(self, _: Context, pin: u64) {
        let removed = self.pins.lock().unwrap_or_else(PoisonError::into_inner).remove(&pin);
        let _ = tokio::task::spawn_blocking(move || drop(removed)).await;
    }
}

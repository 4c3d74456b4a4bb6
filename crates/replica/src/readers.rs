//! Threads for reads that may have to wait for the disk. They are apart from those that
//! replication waits for, so that no number of slow reads delays a ballot or an apply.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// Reads that run at the same time, at most.
pub const READER_THREADS: usize = 32;
/// Reads that run or wait, at most; more are refused.
const MAX_READS: usize = 4096;

/// See the module's documentation.
pub struct Readers {
    pool: Handle,
    places: Arc<Semaphore>,
}

/// There are too many reads already.
#[derive(Debug)]
pub struct TooManyReads;

impl Readers {
    /// `pool`: a runtime with [`READER_THREADS`] blocking threads.
    pub fn new(pool: Handle) -> Readers {
        Readers { pool, places: Arc::new(Semaphore::new(MAX_READS)) }
    }

    /// Room for one more read, to be given to [`Readers::run`].
    pub fn place(&self) -> Result<Place, TooManyReads> {
        let permit = Arc::clone(&self.places).try_acquire_owned().map_err(|_| TooManyReads)?;
        Ok(Place(permit))
    }

    pub fn run(&self, place: Place, read: impl FnOnce() + Send + 'static) {
        self.pool.spawn_blocking(move || {
            read();
            drop(place);
        });
    }
}

/// Held while a read waits or runs.
pub struct Place(#[allow(dead_code)] tokio::sync::OwnedSemaphorePermit);

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_come_back() {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let readers = Readers::new(runtime.handle().clone());
        let mut held: Vec<Place> = (0..MAX_READS).map(|_| readers.place().unwrap()).collect();
        assert!(readers.place().is_err());
        let (done, wait) = std::sync::mpsc::channel();
        readers.run(held.pop().unwrap(), move || done.send(()).unwrap());
        wait.recv().unwrap();
        held.clear();
        assert!(readers.place().is_ok());
    }
}

//! Where the metadata is kept. The paths and the text of the nodes are the control core's.

mod embedded;
mod thread;

pub use embedded::EmbeddedStore;
pub(crate) use thread::StoreThread;

use pegasus_control::{PersistError, StoreOp};

/// A tree of named texts with atomic transactions.
pub trait MetaStore: Send {
    /// Every node as (path, text).
    fn load(&mut self) -> Result<Vec<(String, String)>, StoreError>;

    /// Carries out all of `ops`, durably, or none. May block.
    fn commit(&mut self, ops: &[StoreOp]) -> Result<(), PersistError>;
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot open the metadata store in {path}: {problem}")]
    Open { path: String, problem: String },
    #[error("the metadata store in {path} {problem}")]
    Foreign { path: String, problem: String },
    #[error("cannot read the metadata store: {0}")]
    Read(String),
}

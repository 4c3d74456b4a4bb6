//! HTTP on the shared port, and the few things every HTTP handler of a daemon needs
//! (`spec/admin.md` 5.1).

mod mount;
mod path;
mod query;
mod respond;

pub(crate) use mount::serve_connection;
pub use query::{BadQuery, query};
pub use respond::{bad_request, json, not_found, redirect, router, text};

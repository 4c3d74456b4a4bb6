//! The port of a daemon as its clients and peers see it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod hostile;
mod http;
mod peer;
mod private;
mod public;
mod support;

//! One binary for all of the crate's integration tests: linking is what costs time.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail by panicking")]

mod architecture;
mod contracts;
#[cfg(feature = "docker")]
mod docker;
mod fleet;
mod formats;
mod guard;
mod reports;
mod services;
#[cfg(feature = "object-store")]
mod store;

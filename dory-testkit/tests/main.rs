//! The doubles do what they claim, beyond the promises of their ports.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail by panicking")]

mod clock;
mod engine;
mod faults;
mod gcs_server;
mod runtime;
mod signals;
mod world;
mod writers;

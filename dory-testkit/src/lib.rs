//! Fakes, contract suites and stand-in servers for testing code built on `dory-core`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "this crate runs inside tests, where a panic is a failed test and standard error is captured"
)]

pub mod contracts;
pub mod fakes;
pub mod faults;
pub mod fixtures;
pub mod gcs;
pub mod live;
pub mod world;

pub use world::World;
pub mod servers;

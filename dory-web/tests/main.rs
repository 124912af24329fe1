//! One binary for all of the crate's integration tests: requests go through the whole router, on fakes of every port.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail by panicking")]

mod api;
mod coming_in;
mod documented;
mod fleet;
mod hostile;
mod load;
mod pages;
mod people;
mod restoring;
mod running;
mod site;
mod sockets;
mod walk;

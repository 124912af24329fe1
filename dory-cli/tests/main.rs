//! One binary for all of the crate's integration tests: they run the `dory` command itself.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail by panicking")]

mod around_a_backup;
mod bench;
mod dockerd_killed;
mod dumps;
mod fleet_trial;
mod guarded;
mod help;
mod interrupted;
mod operator;
mod refusals;
mod refusals_of_stores;
mod round_trip;
mod serving;
mod telling;
mod under_fire;

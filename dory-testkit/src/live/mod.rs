//! Real servers and programs: used where they are, required where `DORY_REQUIRE` names them.

mod container;
mod docker;
mod network;
mod own_engine;

use std::env;
use std::path::PathBuf;

use crate::servers::find_tool;

pub use container::{LiveContainer, has_tools};
pub use docker::{Docker, docker};
pub use network::{Cable, LiveNetwork};
pub use own_engine::OwnEngine;

/// The variable that lists what must not be skipped: `docker,stunnel,duplicity,restic,gcs,s3,smtp`.
pub const REQUIRE: &str = "DORY_REQUIRE";

/// Passes `found` through; where it is `None`, says that a test is skipped, or fails if `name` is required.
///
/// # Panics
/// If there is none and [`REQUIRE`] names it.
pub fn or_skip<T>(name: &str, found: Option<T>) -> Option<T> {
    if found.is_none() {
        let required = env::var(REQUIRE).unwrap_or_default();
        assert!(
            !required.split(',').any(|word| word.trim() == name),
            "{REQUIRE} names `{name}`, but it is not on this machine: run scripts/setup.sh"
        );
        eprintln!("SKIPPED: `{name}` is not on this machine");
    }
    found
}

/// The duplicity program.
#[must_use]
pub fn duplicity() -> Option<PathBuf> {
    find_tool("duplicity")
}

/// The rclone program.
#[must_use]
pub fn rclone() -> Option<PathBuf> {
    find_tool("rclone")
}

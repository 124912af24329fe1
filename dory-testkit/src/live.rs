//! Real servers and programs: used where they are, required where `DORY_REQUIRE` names them.

use std::env;
use std::path::{Path, PathBuf};

/// The variable that lists what must not be skipped: `docker,duplicity,restic,gcs,s3`.
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

/// Where `scripts/setup.sh` puts programs that no distribution packages in the version that is needed.
pub const TOOLS: &str = "/opt/dory-tools";

/// The duplicity program: the one of [`TOOLS`], which is of the version that Dory is tested with, or that of the search
/// path.
#[must_use]
pub fn duplicity() -> Option<PathBuf> {
    let ours = Path::new(TOOLS).join("duplicity/bin/duplicity");
    if ours.is_file() { Some(ours) } else { on_path("duplicity") }
}

/// The rclone program.
#[must_use]
pub fn rclone() -> Option<PathBuf> {
    on_path("rclone")
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

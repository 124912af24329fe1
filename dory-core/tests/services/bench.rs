//! One Dory in a [`World`], with a container like a database's.

use std::ops::Deref;
use std::path::PathBuf;

use dory_core::Result;
use dory_core::domain::container::Container;
use dory_core::services::{BackupReport, BackupRequest, Cancel, Dory, RestoreChoice, RestoreOutcome, RunEvents};
use dory_testkit::World;

/// A world, and one Dory in it.
pub(super) struct Bench {
    world: World,
    pub(super) dory: Dory,
}

impl Bench {
    pub(super) fn new() -> Self {
        let world = World::new();
        Self { dory: world.dory(), world }
    }

    /// A database of the world, with one file more: `rows`, for tests to look at and to change.
    pub(super) fn database(&self, name: &str) -> Container {
        let container = self.world.database(name);
        self.world.write(&format!("{name}-data"), "rows", "one two three");
        container
    }

    /// Where a file of a database's volume really is.
    pub(super) fn file(&self, name: &str, file: &str) -> PathBuf {
        self.world.folder(&format!("{name}-data")).join(file)
    }

    pub(super) async fn back_up(&self, container: &str) -> Result<BackupReport> {
        let request = BackupRequest { container: container.to_owned(), ..BackupRequest::default() };
        self.dory.run_backup(&request, &Cancel::new(), &RunEvents::ignored()).await
    }

    pub(super) async fn restore(&self, choice: &RestoreChoice) -> Result<RestoreOutcome> {
        self.dory.run_restore(choice, &Cancel::new(), &RunEvents::ignored()).await
    }
}

impl Deref for Bench {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

pub(super) fn restore_of(backup: &str) -> RestoreChoice {
    RestoreChoice::newest_of(backup)
}

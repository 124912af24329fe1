//! A program of your own around Dory, and how to prove what it does when things go wrong, with no Docker and no store.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "an example shows what it did, and ends where it is wrong"
)]

use dory_core::domain::container::ContainerState;
use dory_core::services::{BackupRequest, Cancel, Dory, RunEvents};
use dory_core::{ErrorKind, Result};
use dory_testkit::World;

/// Your code: a point of both, or of neither worth keeping a night for.
async fn nightly(dory: &Dory, containers: &[&str]) -> Result<u64> {
    let mut bytes = 0;
    for container in containers {
        let request = BackupRequest {
            container: (*container).to_owned(),
            point_name: Some("nightly".to_owned()),
            ..BackupRequest::default()
        };
        bytes += dory.run_backup(&request, &Cancel::new(), &RunEvents::ignored()).await?.point.size.bytes;
    }
    Ok(bytes)
}

#[tokio::main]
async fn main() {
    let world = World::new();
    world.database("shop-db");
    world.database("wiki-db");
    let dory = world.dory();

    println!("{} bytes on a good night", nightly(&dory, &["shop-db", "wiki-db"]).await.unwrap());

    // The engine breaks in the stop window: an error of a kind, and the database runs again.
    world.faults.restic.fail_next("backup", ErrorKind::Unavailable);
    let error = nightly(&dory, &["shop-db"]).await.unwrap_err();
    println!("{error}");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(world.runtime.state_of("shop-db"), ContainerState::Running);
    assert_eq!(dory.find_backup("shop-db").await.unwrap().points.len(), 1);
    world.assert_tidy();
}

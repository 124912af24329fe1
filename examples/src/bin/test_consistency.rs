//! Is it safe to copy files now? A writer that stands still when its container does gives the answer.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "an example shows what it did, and ends where it is wrong"
)]

use std::fs;

use dory_testkit::World;

#[tokio::main]
async fn main() {
    let world = World::new();
    // It keeps two files in step, one after the other, as a database does with its log and its tables.
    let db = world.busy_database("db");
    let (runtime, folder) = (world.runtime.port(), world.folder("db-data"));
    world.runtime.wait_for_turns("db", 5);

    // A pause comes at the worst moment, as it may in real life: one of two files is written.
    runtime.pause(&db.id).await.unwrap();
    let paused = world.is_whole(&folder);
    runtime.unpause(&db.id).await.unwrap();

    // A stop lets the program end what it does.
    runtime.stop(&db.id, None).await.unwrap();
    let stopped = world.is_whole(&folder);
    let before = world.files("db-data");
    let copy = fs::read(folder.join("debit")).unwrap();
    world.assert_files("db-data", &before);
    runtime.start(&db.id).await.unwrap();

    println!("whole while paused: {paused}, whole while stopped: {stopped}, copied {} bytes", copy.len());
    assert!(stopped && !paused);
    println!("{}", world.journal.lines().join("\n"));
    world.assert_tidy();
}

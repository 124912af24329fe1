//! A container's writer stands still when the runtime says that the container does.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use dory_core::domain::container::Container;
use dory_testkit::fakes::{FakeRuntime, WriterTurn};

/// A program that writes each turn's number into two files, with a moment in between, and a third one when it shuts down.
fn ledger(runtime: &FakeRuntime) -> Container {
    let put = |turn: &WriterTurn, file: &str| fs::write(turn.path(file), turn.number().to_string()).unwrap();
    runtime
        .container("db")
        .volume("data", "/data")
        .writer(move |turn| {
            put(turn, "/data/debit");
            thread::sleep(Duration::from_millis(2));
            turn.pause_point()?;
            put(turn, "/data/credit");
            Ok(())
        })
        .on_shutdown(move |turn| {
            put(turn, "/data/clean");
            Ok(())
        })
        .running()
}

fn read(folder: &Path) -> [Option<String>; 3] {
    ["debit", "credit", "clean"].map(|file| fs::read_to_string(folder.join(file)).ok())
}

#[tokio::test]
async fn after_a_stop_every_turn_is_whole_and_nothing_changes() {
    let runtime = FakeRuntime::new();
    let db = ledger(&runtime);
    for _ in 0..20 {
        runtime.wait_for_turns("db", 1);
        runtime.port().stop(&db.id, None).await.unwrap();
        let [debit, credit, clean] = read(&runtime.volume("data"));
        assert_eq!(debit, credit);
        assert_eq!(debit, clean);
        thread::sleep(Duration::from_millis(3));
        assert_eq!(read(&runtime.volume("data")), [debit, credit, clean]);
        runtime.port().start(&db.id).await.unwrap();
    }
}

#[tokio::test]
async fn a_pause_freezes_within_a_turn_and_nothing_changes() {
    let runtime = FakeRuntime::new();
    let db = ledger(&runtime);
    for _ in 0..20 {
        runtime.wait_for_turns("db", 1);
        runtime.port().pause(&db.id).await.unwrap();
        let frozen = read(&runtime.volume("data"));
        assert_ne!(frozen[0], frozen[1], "half a turn is done");
        thread::sleep(Duration::from_micros(500));
        assert_eq!(read(&runtime.volume("data")), frozen);
        runtime.port().unpause(&db.id).await.unwrap();
    }
}

#[tokio::test]
async fn a_crash_skips_the_shutdown() {
    let runtime = FakeRuntime::new();
    ledger(&runtime);
    runtime.wait_for_turns("db", 2);
    runtime.crash("db");
    let [debit, credit, clean] = read(&runtime.volume("data"));
    assert_ne!(debit, credit, "half a turn is done");
    assert_eq!(clean, None);
}

#[tokio::test]
async fn a_stop_beyond_the_grace_is_a_crash() {
    let runtime = FakeRuntime::new();
    let clock = runtime.clock().clone();
    let slow = runtime
        .container("slow")
        .volume("data", "/data")
        .writer(|turn| {
            fs::write(turn.path("/data/file"), "x").unwrap();
            Ok(())
        })
        .on_shutdown(|turn| {
            fs::write(turn.path("/data/clean"), "x").unwrap();
            Ok(())
        })
        .stop_takes(Duration::from_secs(30))
        .running();
    let before = dory_core::ports::Clock::monotonic(&clock);
    runtime.port().stop(&slow.id, Some(Duration::from_secs(5))).await.unwrap();
    assert_eq!(dory_core::ports::Clock::monotonic(&clock) - before, Duration::from_secs(5));
    assert!(!runtime.volume("data").join("clean").exists());
}

#[tokio::test]
async fn turns_are_counted_across_restarts() {
    let runtime = FakeRuntime::new();
    let db = ledger(&runtime);
    runtime.wait_for_turns("db", 2);
    runtime.port().stop(&db.id, None).await.unwrap();
    let before = runtime.turns("db");
    runtime.port().start(&db.id).await.unwrap();
    runtime.wait_for_turns("db", 1);
    assert!(runtime.turns("db") > before && before >= 2);
}

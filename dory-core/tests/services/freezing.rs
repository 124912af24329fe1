//! The stop window holds the freeze alone, and whatever goes wrong around it leaves containers up and nothing behind.

use std::fs;

use dory_core::ErrorKind;
use dory_core::domain::container::ContainerState;
use dory_core::domain::policy::{PolicyOverrides, StopMode};
use dory_core::services::{BackupRequest, Cancel, Phase, RunEvent, RunEvents};
use dory_testkit::World;

use super::bench::{Bench, restore_of};

fn request() -> BackupRequest {
    BackupRequest { container: "db".to_owned(), ..BackupRequest::default() }
}

fn place(calls: &[String], what: &str) -> usize {
    calls.iter().position(|call| call.starts_with(what)).unwrap_or_else(|| panic!("no {what} in {calls:#?}"))
}

fn last_place(calls: &[String], what: &str) -> usize {
    calls.iter().rposition(|call| call.starts_with(what)).unwrap_or_else(|| panic!("no {what} in {calls:#?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_else_comes_before_the_first_stop_or_after_the_last_start() {
    let bench = Bench::new();
    bench.database("db");
    let report = bench.back_up("db").await.unwrap();
    assert!(report.frozen.is_some());
    let calls: Vec<_> = bench.journal.calls().iter().map(ToString::to_string).collect();
    let (stop, start) = (place(&calls, "runtime stop"), last_place(&calls, "runtime start"));
    let prepared = [
        "runtime ensure_helper_image",
        "runtime create_volume dory-scratch-",
        "runtime launch_helper",
        "engine open",
        "catalog create backups/",
        "engine warm",
    ];
    let order: Vec<_> = prepared.iter().map(|call| place(&calls, call)).collect();
    assert!(order.is_sorted() && order.iter().all(|at| *at < stop), "{calls:#?}");
    // That it did stop is checked, and that it runs again waited for.
    let asked =
        |call: &&String| call.starts_with("runtime wait_until") || call.starts_with("runtime inspect_container");
    let inside: Vec<_> = calls[stop + 1..start].iter().filter(|call| !asked(call)).collect();
    assert!(inside.len() == 1 && inside[0].starts_with("engine freeze"), "{inside:#?}");
    for after in ["engine backup", "runtime remove_helper", "runtime remove_volume dory-scratch-"] {
        assert!(place(&calls, after) > start, "{after}: {calls:#?}");
    }
    assert!(last_place(&calls, "catalog replace") > start, "{calls:#?}");
    bench.runtime.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_point_is_of_the_moment_everything_stood_still() {
    let bench = Bench::new();
    bench.database("db");
    let (rows, during) = (bench.file("db", "rows"), bench.file("db", "rows"));
    let runtime = bench.runtime.clone();
    let events = RunEvents::new(move |event| match event {
        RunEvent::Quieting { .. } => fs::write(&during, "the last word").unwrap(),
        RunEvent::Phase { phase: Phase::Store } => {
            assert_eq!(runtime.state_of("db"), ContainerState::Running);
            fs::write(&during, "after the start").unwrap();
        }
        _ => {}
    });
    bench.dory.run_backup(&request(), &Cancel::new(), &events).await.unwrap();
    fs::write(&rows, "much later").unwrap();
    bench.restore(&restore_of("db")).await.unwrap();
    assert_eq!(fs::read_to_string(&rows).unwrap(), "the last word");
}

#[tokio::test(flavor = "multi_thread")]
async fn phases_are_told_in_their_order() {
    let bench = Bench::new();
    bench.database("db");
    let (told, mut phases) = tokio::sync::mpsc::unbounded_channel();
    let events = RunEvents::new(move |event| {
        if let RunEvent::Phase { phase } = event {
            told.send(phase).unwrap();
        }
    });
    bench.dory.run_backup(&request(), &Cancel::new(), &events).await.unwrap();
    drop(events);
    let mut all = Vec::new();
    while let Some(phase) = phases.recv().await {
        all.push(phase);
    }
    assert_eq!(all, [Phase::Prepare, Phase::Warm, Phase::Freeze, Phase::Store, Phase::Record]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_running_is_read_in_one_pass() {
    let bench = Bench::new();
    bench.database("db");
    let policy = PolicyOverrides { stop: Some(StopMode::None), ..PolicyOverrides::default() };
    let request = BackupRequest { policy, ..request() };
    let report = bench.dory.run_backup(&request, &Cancel::new(), &RunEvents::ignored()).await.unwrap();
    assert!(report.frozen.is_none());
    let calls = bench.journal.calls();
    assert!(!calls.iter().any(|call| call.is("engine warm") || call.is("runtime create_volume")), "{calls:#?}");
    bench.runtime.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_ahead_of_the_window_stops_nothing() {
    for (port, method) in [("runtime", "create_volume"), ("runtime", "launch_helper"), ("engine", "warm")] {
        let world = World::new();
        world.database("db");
        match port {
            "runtime" => world.faults.runtime.fail_next(method, ErrorKind::Full),
            _ => world.faults.restic.fail_next(method, ErrorKind::Full),
        }
        let error = world.dory().run_backup(&request(), &Cancel::new(), &RunEvents::ignored()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Full, "{method}: {error}");
        assert!(!world.journal.calls().iter().any(|call| call.is("runtime stop")), "{method}");
        world.assert_tidy();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_in_the_window_or_after_it_leaves_containers_up_and_nothing_behind() {
    for method in ["freeze", "backup"] {
        let world = World::new();
        world.database("db");
        world.faults.restic.fail_next(method, ErrorKind::Unavailable);
        let dory = world.dory();
        let error = dory.run_backup(&request(), &Cancel::new(), &RunEvents::ignored()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{method}: {error}");
        assert_eq!(world.runtime.state_of("db"), ContainerState::Running);
        world.assert_tidy();
        let report = dory.run_backup(&request(), &Cancel::new(), &RunEvents::ignored()).await.unwrap();
        assert_eq!(dory.find_backup("db").await.unwrap().points, [report.point], "{method}: the next run succeeds");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_backup_leaves_nothing_behind_whenever_that_is() {
    for phase in [Phase::Warm, Phase::Freeze, Phase::Store] {
        let bench = Bench::new();
        bench.database("db");
        let cancel = Cancel::new();
        let its_cancel = cancel.clone();
        let events = RunEvents::new(move |event| {
            if event == (RunEvent::Phase { phase }) {
                its_cancel.cancel();
            }
        });
        let error = bench.dory.run_backup(&request(), &cancel, &events).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled, "{phase:?}");
        assert_eq!(bench.runtime.state_of("db"), ContainerState::Running);
        assert!(bench.dory.find_backup("db").await.unwrap().points.is_empty());
        bench.runtime.assert_tidy();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_run_left_of_its_scratch_goes() {
    let bench = Bench::new();
    bench.database("db");
    let name = format!("dory-scratch-{}", bench.back_up("db").await.unwrap().backup);
    let left = bench.runtime.volume(&name).join("pieces");
    fs::write(&left, "left behind").unwrap();
    bench.back_up("db").await.unwrap();
    assert!(!left.exists());
    bench.runtime.assert_tidy();
}

//! Restoring: what comes back, what is kept, and what happens when it fails half-way.

use std::fs;

use dory_core::ErrorKind;
use dory_core::domain::container::ContainerState;
use dory_core::domain::restore_point::PointOrigin;
use dory_core::services::Cancel;
use dory_core::services::{MountMap, Phase, RestoreChoice, RunEvent, RunEvents};

use super::bench::{Bench, restore_of};

#[tokio::test(flavor = "multi_thread")]
async fn data_comes_back_and_what_was_there_is_kept() {
    let bench = Bench::new();
    bench.database("db");
    bench.back_up("db").await.unwrap();
    fs::write(bench.file("db", "rows"), "broken").unwrap();
    fs::write(bench.file("db", "junk"), "junk").unwrap();

    let outcome = bench.restore(&restore_of("db")).await.unwrap();
    assert_eq!(fs::read_to_string(bench.file("db", "rows")).unwrap(), "one two three");
    assert!(!bench.file("db", "junk").exists());
    assert_eq!(bench.runtime.state_of("db"), ContainerState::Running);

    let backup = bench.dory.find_backup("db").await.unwrap();
    let safety = backup.points.iter().find(|point| point.origin == PointOrigin::Safety).unwrap();
    assert_eq!(outcome.safety_point, Some(safety.id));

    let undo = RestoreChoice {
        point: dory_core::domain::backup::PointChoice::Named(safety.id.to_string()),
        ..restore_of(outcome.plan.home.as_str())
    };
    bench.restore(&undo).await.unwrap();
    assert_eq!(fs::read_to_string(bench.file("db", "rows")).unwrap(), "broken");
    assert!(bench.file("db", "junk").exists());
    bench.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_goes_into_another_container() {
    let bench = Bench::new();
    bench.database("db");
    bench.database("copy");
    bench.back_up("db").await.unwrap();
    fs::write(bench.file("copy", "rows"), "other").unwrap();
    let outcome = bench.restore(&RestoreChoice { into: Some("copy".into()), ..restore_of("db") }).await.unwrap();
    assert_eq!(fs::read_to_string(bench.file("copy", "rows")).unwrap(), "one two three");
    assert_ne!(outcome.plan.home, outcome.plan.backup);
    let stopped: Vec<_> = outcome.plan.quiet.iter().map(|quiet| quiet.name.to_string()).collect();
    assert_eq!(stopped, ["copy"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn maps_that_lead_nowhere_are_refused_before_anything_stops() {
    let bench = Bench::new();
    bench.database("db");
    bench.back_up("db").await.unwrap();
    bench.journal.clear();
    for (map, kind) in [
        ("/nowhere=/var/lib/db", ErrorKind::InvalidInput),
        ("/var/lib/db=/elsewhere", ErrorKind::NotFound),
        ("/var/lib/db=no-such-volume", ErrorKind::NotFound),
        ("/var/lib/db=none", ErrorKind::InvalidInput),
    ] {
        let choice = RestoreChoice { maps: vec![map.parse::<MountMap>().unwrap()], ..restore_of("db") };
        let error = bench.restore(&choice).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{map}: {error}");
    }
    assert!(!bench.journal.calls().iter().any(|call| call.is("runtime stop")));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_room_for_a_safety_point_nothing_stops() {
    let bench = Bench::new();
    bench.database("db");
    bench.back_up("db").await.unwrap();
    bench.restic.set_read_only(true);
    bench.journal.clear();
    let error = bench.restore(&restore_of("db")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
    assert_eq!(bench.journal.only(&["runtime stop", "runtime pause"]), [""; 0]);
    // Without one, reading is enough.
    bench.restore(&RestoreChoice { safety: false, ..restore_of("db") }).await.unwrap();
    bench.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_could_not_begin_is_recorded_as_failed() {
    let bench = Bench::new();
    bench.database("db");
    bench.back_up("db").await.unwrap();
    for (call, word) in [("open", "wrong-key"), ("warm", "unavailable")] {
        let kind = if call == "open" { ErrorKind::WrongKey } else { ErrorKind::Unavailable };
        bench.faults.restic.fail_next(call, kind);
        bench.restore(&restore_of("db")).await.unwrap_err();
        let runs = bench.catalog.keys().into_iter().filter(|key| key.starts_with("runs/"));
        let runs: Vec<_> = runs.map(|key| bench.catalog.peek(&key).unwrap()).collect();
        let told = |run: &&String| run.contains("restore") && run.contains("failed") && run.contains(word);
        assert_eq!(runs.iter().filter(told).count(), 1, "{call}: {runs:#?}");
    }
    bench.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_is_cancelled_half_way_is_rolled_back() {
    let bench = Bench::new();
    bench.database("db");
    bench.back_up("db").await.unwrap();
    fs::write(bench.file("db", "rows"), "newer").unwrap();
    let cancel = Cancel::new();
    let its_cancel = cancel.clone();
    let events = RunEvents::new(move |event| {
        if matches!(event, RunEvent::Phase { phase: Phase::Write }) {
            its_cancel.cancel();
        }
    });
    let error = bench.dory.run_restore(&restore_of("db"), &cancel, &events).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert_eq!(fs::read_to_string(bench.file("db", "rows")).unwrap(), "newer");
    assert_eq!(bench.runtime.state_of("db"), ContainerState::Running);
    bench.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_does_not_start_on_half_restored_data() {
    let bench = Bench::new();
    bench.database("db");
    bench.back_up("db").await.unwrap();
    let cancel = Cancel::new();
    let its_cancel = cancel.clone();
    let events = RunEvents::new(move |event| {
        if matches!(event, RunEvent::Phase { phase: Phase::Write }) {
            its_cancel.cancel();
        }
    });
    let choice = RestoreChoice { safety: false, ..restore_of("db") };
    let error = bench.dory.run_restore(&choice, &cancel, &events).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ContainerDown);
    assert!(error.hint().is_some());
    assert_ne!(bench.runtime.state_of("db"), ContainerState::Running);
}

//! Runs with a guardian: when it comes and goes, and what a run is worth that lost it.

use dory_core::ErrorKind;
use dory_core::domain::container::ContainerState;
use dory_core::domain::restore_point::Consistency;
use dory_core::services::{BackupRequest, Cancel, Guarding, Phase, RestoreChoice, RunEvent, RunEvents};

use super::bench::{Bench, restore_of};

fn unguarded(container: &str) -> BackupRequest {
    BackupRequest { container: container.to_owned(), guarding: Guarding::Off, ..BackupRequest::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guardian_is_armed_before_the_first_stop_and_gone_at_the_end() {
    let bench = Bench::new();
    bench.database("db");
    let report = bench.back_up("db").await.unwrap();
    assert_eq!(report.guardian_lost, None);
    let calls = bench.journal.lines();
    let at = |words: &str| calls.iter().position(|call| call.contains(words)).unwrap_or_else(|| panic!("{calls:#?}"));
    assert!(at("launch_helper dory-guardian-") < at("keep_helper dory-guardian-"), "{calls:#?}");
    assert!(at("keep_helper dory-guardian-") < at("runtime stop db"), "{calls:#?}");
    assert!(at("runtime start db") < at("remove_helper dory-guardian-"), "{calls:#?}");
    let window = bench.journal.stop_window();
    assert!(!window.iter().any(|call| call.subject.contains("guardian")), "{window:#?}");
    bench.runtime.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_guards_who_need_not() {
    let bench = Bench::new();
    bench.database("db");
    bench.runtime.container("idle").volume("idle-data", "/data").stopped();
    bench.back_up("idle").await.unwrap();
    bench.dory.run_backup(&unguarded("db"), &Cancel::new(), &RunEvents::ignored()).await.unwrap();
    assert!(!bench.journal.lines().iter().any(|call| call.contains("guardian")));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_guardian_that_was_asked_for_nothing_stops() {
    let bench = Bench::new();
    let faulty = &bench.faults.runtime;
    bench.database("db");
    // The first helper is the engine's.
    faulty.fail_nth("launch_helper", 2, ErrorKind::NotFound);
    let error = bench.back_up("db").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
    assert!(error.hint().unwrap().contains("--no-guardian"), "{error:?}");
    bench.back_up("db").await.unwrap();
    bench.journal.clear();
    faulty.fail_nth("launch_helper", 2, ErrorKind::PermissionDenied);
    let error = bench.restore(&restore_of("db")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error:?}");
    assert!(error.hint().unwrap().contains("--no-guardian"), "{error:?}");
    assert!(!bench.journal.calls().iter().any(|call| call.is("runtime stop")));
    bench.dory.run_backup(&unguarded("db"), &Cancel::new(), &RunEvents::ignored()).await.unwrap();
    bench.runtime.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_point_whose_guardian_was_ended_meanwhile_is_no_consistent_one() {
    let bench = Bench::new();
    bench.database("db");
    let runtime = bench.runtime.clone();
    bench.restic.before_reading(move |_| runtime.end_guardians());
    let report = bench.back_up("db").await.unwrap();
    assert_eq!(report.point.consistency, Consistency::Live);
    assert!(report.guardian_lost.is_some() && !report.is_complete());
    assert_eq!(bench.dory.find_backup("db").await.unwrap().points[0].consistency, Consistency::Live);
    assert_eq!(bench.runtime.state_of("db"), ContainerState::Running);
    bench.runtime.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guardian_that_acts_ends_the_read_and_the_run_says_why() {
    let bench = Bench::new();
    bench.database("db");
    let (runtime, journal) = (bench.runtime.clone(), bench.journal.clone());
    bench.restic.before_reading(move |_| {
        let was = |what| journal.calls().iter().any(|call| call.is(what));
        if !was("runtime stop") {
            return;
        }
        // From elsewhere: what this thread wakes would wait for it.
        let runtime = runtime.clone();
        std::thread::spawn(move || runtime.kill_guardians()).join().unwrap();
        // The read goes on until its helper is ended.
        let ended = || was("runtime remove_helper");
        for _ in 0..1000 {
            if ended() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    });
    let error = bench.back_up("db").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(error.to_string().contains("guardian"), "{error:?}");
    assert_eq!(bench.runtime.state_of("db"), ContainerState::Running);
    assert!(bench.dory.find_backup("db").await.unwrap().points.is_empty());
    bench.runtime.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_takes_its_guardian_along() {
    let bench = Bench::new();
    bench.database("db");
    let cancel = Cancel::new();
    let its_cancel = cancel.clone();
    let events = RunEvents::new(move |event| {
        if matches!(event, RunEvent::Quieting { .. }) {
            its_cancel.cancel();
        }
    });
    let request = BackupRequest { container: "db".to_owned(), ..BackupRequest::default() };
    let error = bench.dory.run_backup(&request, &cancel, &events).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    bench.runtime.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_without_a_guardian_that_knows() {
    let bench = Bench::new();
    bench.database("db");
    bench.back_up("db").await.unwrap();
    std::fs::write(bench.file("db", "rows"), "newer").unwrap();
    let runtime = bench.runtime.clone();
    let events = RunEvents::new(move |event| {
        if matches!(event, RunEvent::Phase { phase: Phase::Safeguard }) {
            runtime.end_guardians();
        }
    });
    let error = bench.dory.run_restore(&restore_of("db"), &Cancel::new(), &events).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert_eq!(std::fs::read_to_string(bench.file("db", "rows")).unwrap(), "newer");
    assert_eq!(bench.runtime.state_of("db"), ContainerState::Running);
    bench.runtime.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_loses_its_guardian_while_it_writes_ends_by_itself() {
    let bench = Bench::new();
    bench.database("db");
    bench.back_up("db").await.unwrap();
    std::fs::write(bench.file("db", "rows"), "newer").unwrap();
    let runtime = bench.runtime.clone();
    let events = RunEvents::new(move |event| {
        if matches!(event, RunEvent::Phase { phase: Phase::Write }) {
            runtime.end_guardians();
        }
    });
    let choice = RestoreChoice { safety: false, ..restore_of("db") };
    let outcome = bench.dory.run_restore(&choice, &Cancel::new(), &events).await.unwrap();
    assert!(outcome.guardian_lost.is_some());
    assert_eq!(std::fs::read_to_string(bench.file("db", "rows")).unwrap(), "one two three");
    assert_eq!(bench.runtime.state_of("db"), ContainerState::Running);
    bench.runtime.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guardian_can_be_tried() {
    let bench = Bench::new();
    bench.dory.try_guardian().await.unwrap();
    bench.runtime.disconnect();
    assert_eq!(bench.dory.try_guardian().await.unwrap_err().kind(), ErrorKind::Unavailable);
    bench.runtime.reconnect();
    bench.runtime.assert_tidy();
}

//! Backing up: what happens, in which order, and what never happens.

use std::fs;

use dory_core::ErrorKind;
use dory_core::domain::container::ContainerState;
use dory_core::domain::keys::Encryption;
use dory_core::domain::policy::{PolicyOverrides, StopMode};
use dory_core::domain::restore_point::Consistency;
use dory_core::domain::secret::Secret;
use dory_core::ports::DocumentKey;
use dory_core::services::{BackupRequest, Cancel, History, RunEvent, RunEvents};

use super::bench::Bench;

fn request(container: &str) -> BackupRequest {
    BackupRequest { container: container.to_owned(), ..BackupRequest::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_becomes_a_point_in_the_catalog() {
    let bench = Bench::new();
    bench.database("db");
    let report = bench.back_up("db").await.unwrap();
    let backup = bench.dory.find_backup("db").await.unwrap();
    assert_eq!(backup.points.as_slice(), std::slice::from_ref(&report.point));
    assert_eq!(report.point.consistency, Consistency::Stopped);
    let contents = fs::read_to_string(bench.file("db", "base/1/accounts")).unwrap();
    assert_eq!(report.point.size.bytes, (contents + "17" + "one two three").len() as u64);
    assert!(report.point.stop_window.is_some());
    assert_eq!(bench.runtime.state_of("db"), ContainerState::Running);
    bench.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_the_freeze_happens_while_containers_stand_still() {
    let bench = Bench::new();
    bench.database("db");
    bench.runtime.container("reader").read_only_volume("db-data", "/data").refers_to("db").running();
    bench.back_up("db").await.unwrap();
    let inside: Vec<_> = bench.journal.stop_window().iter().map(ToString::to_string).collect();
    let kinds: Vec<_> = inside.iter().map(|call| call.split(" (").next().unwrap()).collect();
    assert_eq!(kinds.first(), Some(&"runtime stop reader"), "{inside:#?}");
    assert_eq!(kinds.get(1), Some(&"runtime stop db"), "{inside:#?}");
    let between = &kinds[2..kinds.len() - 1];
    for call in between {
        let allowed = ["engine freeze", "runtime start", "runtime wait_until", "runtime inspect_container"];
        assert!(allowed.iter().any(|word| call.starts_with(word)), "{call} happened inside: {inside:#?}");
    }
    let starts: Vec<_> = kinds.iter().filter(|call| call.starts_with("runtime start")).collect();
    assert_eq!(starts, [&"runtime start db", &"runtime start reader"], "{inside:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ran_runs_again_and_what_did_not_stays_down() {
    let bench = Bench::new();
    bench.database("db");
    bench.runtime.container("idle").volume("db-data", "/data").stopped();
    bench.runtime.container("frozen").volume("db-data", "/data").paused();
    bench.back_up("db").await.unwrap();
    assert_eq!(bench.runtime.state_of("db"), ContainerState::Running);
    assert_eq!(bench.runtime.state_of("idle"), ContainerState::Exited);
    assert_eq!(bench.runtime.state_of("frozen"), ContainerState::Paused);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_container_is_backed_up_without_starting_it() {
    let bench = Bench::new();
    bench.runtime.container("db").volume("db-data", "/var/lib/db").stopped();
    bench.write("db-data", "rows", "one");
    let report = bench.back_up("db").await.unwrap();
    assert_eq!(report.point.stop_window, None);
    assert_eq!(report.point.consistency, Consistency::Stopped);
    assert_eq!(bench.runtime.state_of("db"), ContainerState::Exited);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_grade_tells_how_containers_were_quieted() {
    for (mode, grade) in [
        (StopMode::Stop, Consistency::Stopped),
        (StopMode::Pause, Consistency::Paused),
        (StopMode::None, Consistency::Live),
    ] {
        let bench = Bench::new();
        bench.database("db");
        let policy = PolicyOverrides { stop: Some(mode), ..PolicyOverrides::default() };
        let request = BackupRequest { policy, ..request("db") };
        let report = bench.dory.run_backup(&request, &Cancel::new(), &RunEvents::ignored()).await.unwrap();
        assert_eq!(report.point.consistency, grade, "{mode}");
        assert_eq!(bench.runtime.state_of("db"), ContainerState::Running);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_beforehand_stops_nothing() {
    let bench = Bench::new();
    bench.database("db");
    bench.runtime.container("stateless").running();
    bench.back_up("db").await.unwrap();
    let before = bench.journal.calls().len();
    let other = bench.dory_with(Some(Encryption::Passphrase(Secret::new("wrong"))));
    let none = bench.dory_with(None);
    let cases = [
        (&bench.dory, "dx", ErrorKind::NotFound),
        (&bench.dory, "stateless", ErrorKind::InvalidInput),
        (&other, "db", ErrorKind::WrongKey),
        (&none, "db", ErrorKind::InvalidInput),
    ];
    for (dory, container, kind) in cases {
        let error = dory.run_backup(&request(container), &Cancel::new(), &RunEvents::ignored()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
    let calls = bench.journal.calls().split_off(before);
    assert!(!calls.iter().any(|call| call.is("runtime stop") || call.is("runtime launch_helper")), "{calls:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_cannot_be_written_to_is_told_before_anything_stops() {
    let bench = Bench::new();
    bench.database("db");
    // Once where it would have to be made, once where it is there.
    for points in 0..2 {
        bench.restic.set_read_only(true);
        bench.journal.clear();
        let error = bench.back_up("db").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
        assert_eq!(bench.journal.only(&["runtime stop", "runtime pause"]), [""; 0]);
        bench.assert_tidy();
        bench.restic.set_read_only(false);
        bench.back_up("db").await.unwrap();
        assert_eq!(bench.dory.find_backup("db").await.unwrap().points.len(), points + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_key_names_both_ways_out() {
    let bench = Bench::new();
    bench.database("db");
    let error = bench.dory_with(None).plan_backup(&request("db")).await.unwrap_err();
    let hint = error.hint().unwrap();
    assert!(hint.contains("DORY_PASSPHRASE") && hint.contains("DORY_ENCRYPTION=none"), "{hint}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_does_not_come_back_is_told_and_the_point_is_kept() {
    let bench = Bench::new();
    bench.runtime.container("db").volume("db-data", "/var/lib/db").refuses_to_start("no such device").running();
    let report = bench.back_up("db").await.unwrap();
    let down = report.containers_down.expect("the container is down");
    assert_eq!(down.kind(), ErrorKind::ContainerDown);
    assert!(down.hint().unwrap().contains("docker start db"));
    assert_eq!(bench.dory.find_backup("db").await.unwrap().points.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_helper_that_dies_while_reading_leaves_containers_up_and_no_point() {
    let bench = Bench::new();
    bench.database("db");
    bench.runtime.kill_helpers_on("stop");
    let error = bench.back_up("db").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert_eq!(bench.runtime.state_of("db"), ContainerState::Running);
    assert!(bench.dory.find_backup("db").await.unwrap().points.is_empty());
    bench.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_backup_starts_everything_again_and_makes_no_point() {
    let bench = Bench::new();
    bench.database("db");
    let cancel = Cancel::new();
    let its_cancel = cancel.clone();
    let events = RunEvents::new(move |event| {
        if matches!(event, RunEvent::Quieting { .. }) {
            its_cancel.cancel();
        }
    });
    let error = bench.dory.run_backup(&request("db"), &cancel, &events).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert_eq!(bench.runtime.state_of("db"), ContainerState::Running);
    assert!(bench.dory.find_backup("db").await.unwrap().points.is_empty());
    bench.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_backup_ends_in_order_by_itself() {
    let bench = Bench::new();
    bench.database("db");
    let (told, mut events_told) = tokio::sync::mpsc::unbounded_channel();
    let reading = told.clone();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let runtime = bench.runtime.clone();
    bench.restic.before_reading(move |_| {
        if runtime.state_of("db") == ContainerState::Running {
            return;
        }
        let _ = reading.send("reading");
        // Until the test ends: an engine that never comes back.
        let _ = held.lock().unwrap().recv();
    });
    let events = RunEvents::new(move |event| {
        if matches!(event, RunEvent::Resumed { .. }) {
            let _ = told.send("resumed");
        }
    });
    let (the_request, cancel) = (request("db"), Cancel::new());
    tokio::select! {
        _ = bench.dory.run_backup(&the_request, &cancel, &events) => panic!("it was to be dropped"),
        word = events_told.recv() => assert_eq!(word, Some("reading")),
    }
    assert_eq!(events_told.recv().await, Some("resumed"));
    assert_eq!(bench.runtime.state_of("db"), ContainerState::Running);
    drop(release);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recreated_container_keeps_its_history() {
    let bench = Bench::new();
    bench.database("db");
    let first = bench.back_up("db").await.unwrap();
    let _ = bench.runtime.recreate("db");
    let second = bench.back_up("db").await.unwrap();
    assert_eq!(first.backup, second.backup);
    let backup = bench.dory.find_backup("db").await.unwrap();
    assert_eq!((backup.points.len(), backup.containers.len()), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_alone_does_not_claim_a_history() {
    let bench = Bench::new();
    bench.database("db");
    let first = bench.back_up("db").await.unwrap();
    bench.runtime.remove_container("db");
    bench.runtime.container("db").volume("another", "/var/lib/db").running();
    let error = bench.back_up("db").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.hint().unwrap().contains("--new") && error.hint().unwrap().contains("--continue"));

    let new = BackupRequest { history: History::New, ..request("db") };
    let new = bench.dory.run_backup(&new, &Cancel::new(), &RunEvents::ignored()).await.unwrap();
    assert_ne!(new.backup, first.backup);
    let on = BackupRequest { history: History::Continue(first.backup.clone()), ..request("db") };
    let on = bench.dory.run_backup(&on, &Cancel::new(), &RunEvents::ignored()).await.unwrap();
    assert_eq!(on.backup, first.backup);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_deleted_beside_a_run_that_works_on_it() {
    let bench = Bench::new();
    bench.database("db");
    bench.back_up("db").await.unwrap();
    let plan = bench.dory.plan_delete("db", None).await.unwrap();
    let (told, mut reading) = tokio::sync::mpsc::unbounded_channel();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    bench.restic.before_reading(move |_| {
        let _ = told.send(());
        let _ = held.lock().unwrap().recv();
    });
    let (dory, the_request) = (bench.dory.clone(), request("db"));
    let run = tokio::spawn(async move { dory.run_backup(&the_request, &Cancel::new(), &RunEvents::ignored()).await });
    reading.recv().await.unwrap();
    let error = bench.dory.run_delete(&plan).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    drop(release);
    run.await.unwrap().unwrap();
    assert_eq!(bench.dory.find_backup("db").await.unwrap().points.len(), 2);
    let plan = bench.dory.plan_delete("db", None).await.unwrap();
    bench.dory.run_delete(&plan).await.unwrap();
    assert!(bench.dory.find_backup("db").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_user_says_is_stronger_than_the_containers_label() {
    let bench = Bench::new();
    bench.runtime.container("db").volume("db-data", "/data").label("dory.stop", "none").running();
    bench.write("db-data", "rows", "one");
    let with = |stop| {
        let policy = PolicyOverrides { stop, ..PolicyOverrides::default() };
        BackupRequest { policy, ..request("db") }
    };
    let by_label = bench.dory.plan_backup(&with(None)).await.unwrap();
    assert_eq!((by_label.quiet.len(), by_label.left_running.len()), (0, 1));
    let by_flag = bench.dory.plan_backup(&with(Some(StopMode::Stop))).await.unwrap();
    assert_eq!((by_flag.quiet.len(), by_flag.left_running.len()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_could_not_begin_is_recorded_as_failed() {
    let bench = Bench::new();
    bench.database("db");
    bench.back_up("db").await.unwrap();
    bench.faults.restic.fail_next("open", ErrorKind::WrongKey);
    bench.back_up("db").await.unwrap_err();
    let folder = DocumentKey::parse("runs/server-1").unwrap();
    let runs = bench.catalog.port().list(&folder).await.unwrap();
    assert_eq!(runs.len(), 2);
    let last = bench.catalog.peek(runs[1].key.as_str()).unwrap();
    assert!(last.contains("failed") && last.contains("wrong-key"), "{last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_set_up_by_a_first_backup_says_so() {
    let bench = Bench::new();
    bench.database("db");
    let heard = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let sink = std::sync::Arc::clone(&heard);
    let events = RunEvents::new(move |event| sink.lock().unwrap().push(event));
    for _ in 0..2 {
        bench.dory.run_backup(&request("db"), &Cancel::new(), &events).await.unwrap();
    }
    let heard = heard.lock().unwrap();
    assert_eq!(heard.iter().filter(|event| matches!(event, RunEvent::Founded { .. })).count(), 1);
}

//! What happens to containers behind Dory's back: who starts in a stop window, who ends after it.

use std::time::Duration;

use dory_core::ErrorKind;
use dory_core::domain::container::ContainerState;
use dory_core::domain::event::WarningKind;
use dory_core::domain::restore_point::Consistency;
use dory_core::services::{BackupReport, BackupRequest, Cancel, RestoreOutcome, RunEvents};

use super::bench::{Bench, restore_of};

/// A database, and a container that may write to its volume and does not run.
fn bench() -> Bench {
    let bench = Bench::new();
    bench.database("db");
    bench.runtime.container("cron").volume("db-data", "/data").stopped();
    bench
}

/// Backs up `db`, and holds it at the engine's next call of `method` for `meanwhile`.
async fn back_up_while<F: Future<Output = ()>>(bench: &Bench, method: &str, meanwhile: F) -> BackupReport {
    let mut hold = bench.faults.restic.hold_next(method);
    let dory = bench.dory.clone();
    let run = tokio::spawn(async move {
        let request = BackupRequest { container: "db".into(), ..BackupRequest::default() };
        dory.run_backup(&request, &Cancel::new(), &RunEvents::ignored()).await
    });
    hold.reached().await;
    meanwhile.await;
    hold.release();
    run.await.unwrap().unwrap()
}

async fn start(bench: &Bench, name: &str) {
    let id = bench.runtime.peek(name).id;
    bench.runtime.port().start(&id).await.unwrap();
    bench.clock.advance(Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_starts_in_the_window_costs_the_point_its_grade() {
    let bench = bench();
    let report = back_up_while(&bench, "freeze", start(&bench, "cron")).await;
    assert_eq!(report.point.consistency, Consistency::Live);
    let told = &report.point.warnings[0];
    assert_eq!((told.kind, told.path.to_string().as_str()), (WarningKind::WriterStarted, "var-lib-db"));
    assert!(told.detail.contains("`cron`"), "{}", told.detail);
    assert_eq!(bench.runtime.state_of("cron"), ContainerState::Running, "it is nobody's business to stop it");
}

#[tokio::test(flavor = "multi_thread")]
async fn so_does_the_target_itself() {
    let bench = bench();
    let report = back_up_while(&bench, "freeze", start(&bench, "db")).await;
    assert_eq!(report.point.consistency, Consistency::Live);
    assert!(report.containers_down.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_only_reads_or_has_other_data_or_starts_outside_the_window_does_not_matter() {
    let bench = bench();
    bench.runtime.container("reader").read_only_volume("db-data", "/data").stopped();
    bench.runtime.container("other").volume("other-data", "/data").stopped();
    let strangers = async {
        start(&bench, "reader").await;
        start(&bench, "other").await;
    };
    let report = back_up_while(&bench, "freeze", strangers).await;
    assert_eq!((report.point.consistency, report.point.warnings.len()), (Consistency::Stopped, 0));
    let report = back_up_while(&bench, "backup", start(&bench, "cron")).await;
    assert_eq!((report.point.consistency, report.point.warnings.len()), (Consistency::Stopped, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_tells_who_ran_on_half_written_data() {
    let bench = bench();
    bench.back_up("db").await.unwrap();
    bench.wreck("db-data");
    let mut hold = bench.faults.restic.hold_next("restore");
    let dory = bench.dory.clone();
    let run =
        tokio::spawn(async move { dory.run_restore(&restore_of("db"), &Cancel::new(), &RunEvents::ignored()).await });
    hold.reached().await;
    start(&bench, "cron").await;
    hold.release();
    let outcome = run.await.unwrap().unwrap();
    assert!(!outcome.is_complete());
    assert_eq!(outcome.warnings[0].kind, WarningKind::WriterStarted);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_starts_again_and_dies_is_an_alarm_and_the_point_is_good() {
    let bench = bench();
    let report = back_up_while(&bench, "backup", async { bench.runtime.crash("db") }).await;
    let down = report.containers_down.unwrap();
    assert_eq!((down.kind(), down.subject()), (ErrorKind::ContainerDown, "db"));
    assert!(down.causes()[0].contains("ended with code"), "{down:?}");
    assert_eq!(report.point.consistency, Consistency::Stopped);
}

#[tokio::test(flavor = "multi_thread")]
async fn so_does_a_writer_that_starts_while_others_still_stop() {
    let bench = bench();
    let mut stopping = bench.faults.runtime.hold_next("stop");
    let dory = bench.dory.clone();
    let run = tokio::spawn(async move {
        let request = BackupRequest { container: "db".into(), ..BackupRequest::default() };
        dory.run_backup(&request, &Cancel::new(), &RunEvents::ignored()).await
    });
    stopping.reached().await;
    start(&bench, "cron").await;
    stopping.release();
    let report = run.await.unwrap().unwrap();
    assert_eq!(report.point.consistency, Consistency::Live);
    assert!(report.point.warnings[0].detail.contains("`cron`"), "{:?}", report.point.warnings);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_ended_before_all_stood_still_does_not_matter() {
    let bench = bench();
    let mut stopping = bench.faults.runtime.hold_next("stop");
    let dory = bench.dory.clone();
    let run = tokio::spawn(async move {
        let request = BackupRequest { container: "db".into(), ..BackupRequest::default() };
        dory.run_backup(&request, &Cancel::new(), &RunEvents::ignored()).await
    });
    stopping.reached().await;
    start(&bench, "cron").await;
    bench.runtime.crash("cron");
    stopping.release();
    let report = run.await.unwrap().unwrap();
    assert_eq!((report.point.consistency, report.point.warnings.len()), (Consistency::Stopped, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_removes_itself_is_known_all_the_same() {
    let bench = bench();
    let job = async {
        let asked = bench.journal.only(&["runtime inspect_container"]).len();
        bench.runtime.container("job").volume("db-data", "/data").removed_when_ended().created();
        start(&bench, "job").await;
        while bench.journal.only(&["runtime inspect_container"]).len() == asked {
            tokio::task::yield_now().await;
        }
        bench.runtime.remove_container("job");
    };
    let report = back_up_while(&bench, "freeze", job).await;
    assert_eq!(report.point.consistency, Consistency::Live);
    assert!(report.point.warnings[0].detail.contains("`job`"), "{:?}", report.point.warnings);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_falls_silent_in_the_window_costs_the_point_its_grade() {
    let bench = bench();
    let silent = async {
        bench.runtime.disconnect();
        bench.runtime.reconnect();
        // Nothing tells that it was noticed.
        tokio::time::sleep(Duration::from_millis(100)).await;
        bench.clock.advance(Duration::from_secs(1));
    };
    let report = back_up_while(&bench, "freeze", silent).await;
    assert_eq!(report.point.consistency, Consistency::Live);
    assert!(report.point.warnings[0].detail.contains("fell silent"), "{:?}", report.point.warnings);
    assert_eq!(bench.runtime.state_of("db"), ContainerState::Running);
}

/// Restores `db`, and holds it at the engine's next call of `method` for `meanwhile`.
async fn restore_while<F: Future<Output = ()>>(
    bench: &Bench,
    method: &str,
    meanwhile: F,
) -> dory_core::Result<RestoreOutcome> {
    let mut hold = bench.faults.restic.hold_next(method);
    let dory = bench.dory.clone();
    let run =
        tokio::spawn(async move { dory.run_restore(&restore_of("db"), &Cancel::new(), &RunEvents::ignored()).await });
    hold.reached().await;
    meanwhile.await;
    hold.release();
    run.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_stops_who_uses_the_data_when_it_writes() {
    let bench = bench();
    bench.back_up("db").await.unwrap();
    bench.wreck("db-data");
    bench.journal.clear();
    let outcome = restore_while(&bench, "warm", async {
        start(&bench, "cron").await;
        bench.runtime.crash("db");
    });
    let outcome = outcome.await.unwrap();
    assert!(outcome.is_complete(), "{:?}", outcome.warnings);
    let stopped = bench.journal.only(&["runtime stop"]);
    assert!(stopped.len() == 1 && stopped[0].contains("cron"), "{stopped:?}");
    assert_eq!(bench.runtime.state_of("cron"), ContainerState::Running);
    assert_eq!(bench.runtime.state_of("db"), ContainerState::Exited, "it did not run when it was to be stopped");
    bench.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_was_created_anew_meanwhile_is_no_fault_of_the_guardian() {
    let bench = bench();
    bench.back_up("db").await.unwrap();
    bench.wreck("db-data");
    let wrecked = bench.files("db-data");
    let error = restore_while(&bench, "warm", async { drop(bench.runtime.recreate("db")) }).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
    let hint = error.hint().unwrap();
    assert!(hint.contains("again") && !hint.contains("--no-guardian"), "{hint}");
    bench.assert_files("db-data", &wrecked);
    bench.assert_tidy();

    // At the very last moment.
    let runtime = bench.runtime.clone();
    bench.faults.runtime.act_before("launch_helper", 2, move || drop(runtime.recreate("db")));
    let error = bench.restore(&restore_of("db")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
    assert!(!error.hint().unwrap().contains("--no-guardian"), "{error:?}");
    bench.assert_files("db-data", &wrecked);
    bench.assert_tidy();
}

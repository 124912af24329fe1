//! In which order containers stop and start again, what they wait for, and what becomes of those that changed meanwhile.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use dory_core::ErrorKind;
use dory_core::domain::container::{ContainerState, Health};
use dory_core::domain::policy::{PolicyOverrides, StopMode};
use dory_core::services::{BackupReport, BackupRequest, Cancel, Guarding, RunEvent, RunEvents};

use super::bench::Bench;

const SHARED: (&str, &str) = ("shop", "/data");

fn second(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Backs up `db` and gives who started again although what it needs was not ready.
async fn back_up_telling(bench: &Bench) -> (BackupReport, Vec<String>) {
    back_up_guarded(bench, Guarding::default()).await
}

async fn back_up_guarded(bench: &Bench, guarding: Guarding) -> (BackupReport, Vec<String>) {
    let early = Arc::<Mutex<Vec<String>>>::default();
    let heard = Arc::clone(&early);
    let events = RunEvents::new(move |event| {
        if let RunEvent::StartedAnyway { container, needed, .. } = event {
            heard.lock().unwrap().push(format!("{container} before {needed}"));
        }
    });
    let request = BackupRequest { container: "db".into(), guarding, ..BackupRequest::default() };
    let report = bench.dory.run_backup(&request, &Cancel::new(), &events).await.unwrap();
    let early = early.lock().unwrap().clone();
    (report, early)
}

/// A database and what depends on it, all with the same volume.
fn stack(bench: &Bench, db_heals_after: Duration, condition: &str) {
    let (volume, place) = SHARED;
    let web = bench.runtime.container("web").volume(volume, place).compose("shop", "web");
    web.waits_for("db", condition).running();
    let db = bench.runtime.container("db").volume(volume, place).compose("shop", "db");
    db.healthy_after(db_heals_after).running();
}

fn changes(bench: &Bench) -> Vec<String> {
    let calls = bench.journal.only(&["runtime stop", "runtime start", "runtime wait_until"]);
    calls.iter().map(|call| call.trim_start_matches("runtime ").to_owned()).collect()
}

fn at(calls: &[String], begin: &str, which: usize) -> usize {
    let found = calls.iter().enumerate().filter(|(_, call)| call.starts_with(begin)).map(|(at, _)| at).nth(which);
    found.unwrap_or_else(|| panic!("`{begin}` is not in {calls:#?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn dependents_start_when_what_they_need_is_healthy_and_that_is_part_of_the_window() {
    let bench = Bench::new();
    stack(&bench, second(30), "service_healthy");
    bench.clock.advance(second(60));
    let (report, early) = back_up_telling(&bench).await;
    let calls = changes(&bench);
    assert!(at(&calls, "stop web", 0) < at(&calls, "stop db", 0));
    assert!(at(&calls, "start db", 0) < at(&calls, "start web", 0));
    assert_eq!(bench.runtime.peek("db").health, Health::Healthy);
    assert!(report.point.stop_window.unwrap().as_secs() >= 30, "{:?}", report.point.stop_window);
    assert!(early.is_empty() && report.containers_down.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_for_the_last_ones_health_is_no_part_of_the_window() {
    let bench = Bench::new();
    stack(&bench, second(30), "service_started");
    bench.clock.advance(second(60));
    let before = bench.clock.port().monotonic();
    let (report, _) = back_up_telling(&bench).await;
    assert!(report.point.stop_window.unwrap().as_secs() < 30);
    assert!(bench.clock.port().monotonic() - before >= second(30), "it was waited for all the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn dependents_start_anyway_when_what_they_need_stays_ill_and_that_is_told() {
    let bench = Bench::new();
    let (volume, place) = SHARED;
    bench.runtime.container("db").volume(volume, place).compose("shop", "db").health_by_hand().running();
    let web = bench.runtime.container("web").volume(volume, place).compose("shop", "web");
    web.waits_for("db", "service_healthy").running();
    bench.runtime.set_health("db", Health::Healthy);
    let clock = bench.clock.clone();
    let time = tokio::spawn(async move {
        loop {
            clock.wake_next().await;
        }
    });
    // Time flies, and a guardian would take Dory for dead.
    let (report, early) = back_up_guarded(&bench, Guarding::Off).await;
    time.abort();
    assert_eq!(early, ["web before db"]);
    assert_eq!(bench.runtime.state_of("web"), ContainerState::Running);
    let down = report.containers_down.unwrap();
    assert_eq!((down.kind(), down.subject()), (ErrorKind::ContainerDown, "db"));
    assert!(down.reason().contains("health check"), "{down}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_others_wait_for_runs_to_its_end_first() {
    for (code, told) in [(0, vec![]), (3, vec!["db before job".to_owned()])] {
        let bench = Bench::new();
        let (volume, place) = SHARED;
        let job = bench.runtime.container("job").volume(volume, place).compose("shop", "job");
        job.ends_after(second(40), code).running();
        let db = bench.runtime.container("db").volume(volume, place).compose("shop", "db");
        db.waits_for("job", "service_completed_successfully").running();
        let (report, early) = back_up_telling(&bench).await;
        assert_eq!(early, told);
        assert!(report.point.stop_window.unwrap().as_secs() >= 40);
        assert_eq!(bench.runtime.peek("job").exit_code, Some(code));
        assert_eq!(bench.runtime.state_of("db"), ContainerState::Running);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_still_starting_is_waited_for_before_it_is_stopped() {
    let bench = Bench::new();
    bench.runtime.container("db").volume("shop", "/data").healthy_after(second(60)).running();
    let (report, _) = back_up_telling(&bench).await;
    assert!(report.containers_down.is_none());
    let calls = changes(&bench);
    assert!(at(&calls, "wait_until db", 0) < at(&calls, "stop db", 0), "{calls:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_on_starting_is_not_stopped() {
    let bench = Bench::new();
    bench.runtime.container("db").volume("shop", "/data").never_healthy().running();
    let error = bench.back_up("db").await.unwrap_err();
    assert_eq!((error.kind(), error.subject()), (ErrorKind::TimedOut, "db"));
    assert!(error.reason().contains("still starting after 120 s"), "{error}");
    assert!(error.hint().unwrap().contains("--healthy-timeout"));
    assert!(bench.journal.only(&["runtime stop"]).is_empty());

    let policy = PolicyOverrides { stop: Some(StopMode::Pause), ..PolicyOverrides::default() };
    let request = BackupRequest { container: "db".into(), policy, ..BackupRequest::default() };
    bench.dory.run_backup(&request, &Cancel::new(), &RunEvents::ignored()).await.unwrap();
    bench.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_container_says_itself_how_long_it_may_take() {
    let bench = Bench::new();
    let db = bench.runtime.container("db").volume("shop", "/data").never_healthy();
    db.label("dory.healthy-timeout", "7s").running();
    let before = bench.clock.port().monotonic();
    let error = bench.back_up("db").await.unwrap_err();
    assert!(error.reason().contains("after 7 s"), "{error}");
    assert_eq!(bench.clock.port().monotonic() - before, second(7));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_ill_before_is_stopped_and_not_expected_to_heal() {
    let bench = Bench::new();
    bench.runtime.container("db").volume("shop", "/data").unhealthy_after(second(1)).running();
    bench.clock.advance(second(5));
    let (report, _) = back_up_telling(&bench).await;
    assert!(report.containers_down.is_none());
    assert_eq!(bench.runtime.state_of("db"), ContainerState::Running);
}

/// A bench whose container `db` changes while it stands still.
async fn back_up_while(bench: &Bench, meanwhile: impl Fn(&dory_testkit::fakes::FakeRuntime) + Send + Sync + 'static) {
    let runtime = bench.runtime.clone();
    let once = Mutex::new(Some(meanwhile));
    bench.restic.before_reading(move |_| {
        // The hot pass reads too, while everything runs.
        let mut once = once.lock().unwrap();
        if once.is_some() && runtime.state_of("db") == ContainerState::Exited {
            once.take().unwrap()(&runtime);
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_was_created_anew_meanwhile_is_found_by_its_place_or_name() {
    let bench = Bench::new();
    bench.database("db");
    back_up_while(&bench, |runtime| drop(runtime.recreate("db"))).await;
    let (report, _) = back_up_telling(&bench).await;
    assert!(report.containers_down.is_none(), "{:?}", report.containers_down);
    assert_eq!(bench.runtime.state_of("db"), ContainerState::Running);

    let bench = Bench::new();
    bench.runtime.container("db").volume("shop", "/data").compose("shop", "db").running();
    back_up_while(&bench, |runtime| {
        runtime.remove_container("db");
        runtime.container("shop_db_1").volume("shop", "/data").compose("shop", "db").stopped();
    })
    .await;
    let (report, _) = back_up_telling(&bench).await;
    assert!(report.containers_down.is_none(), "{:?}", report.containers_down);
    assert_eq!(bench.runtime.state_of("shop_db_1"), ContainerState::Running);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_is_gone_is_an_alarm_of_its_own() {
    let bench = Bench::new();
    bench.database("db");
    back_up_while(&bench, |runtime| runtime.remove_container("db")).await;
    let (report, _) = back_up_telling(&bench).await;
    let down = report.containers_down.unwrap();
    assert_eq!((down.kind(), down.subject()), (ErrorKind::ContainerDown, "db"));
    assert!(down.reason().contains("removed") && down.hint().unwrap().contains("create it again"), "{down:?}");
    assert_eq!(bench.dory.find_backup("db").await.unwrap().points.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_stopped_by_a_person_while_dory_prepared_stays_down() {
    let bench = Bench::new();
    bench.database("db");
    bench.runtime.container("web").volume("db-data", "/data").running();
    let runtime = bench.runtime.clone();
    let mut hold = bench.faults.runtime.hold_next("launch_helper");
    let dory = bench.dory.clone();
    let run = tokio::spawn(async move {
        let request = BackupRequest { container: "db".into(), ..BackupRequest::default() };
        dory.run_backup(&request, &Cancel::new(), &RunEvents::ignored()).await
    });
    hold.reached().await;
    runtime.crash("web");
    hold.release();
    run.await.unwrap().unwrap();
    assert_eq!(bench.runtime.state_of("web"), ContainerState::Exited);
    assert_eq!(bench.runtime.state_of("db"), ContainerState::Running);
}

//! What a Dory finds that looks after another one died.

use std::collections::BTreeMap;
use std::time::Duration;

use dory_core::ErrorKind;
use dory_core::agent::guard::protocol::Order;
use dory_core::domain::container::ContainerState;
use dory_core::domain::guard::{GuardEnd, label};
use dory_core::domain::id::VolumeName;
use dory_core::domain::policy::StopMode;
use dory_core::domain::run::RunKind;
use dory_core::services::{BackupRequest, Cancel, Dory, Guarding, RunEvents, Standing};

use super::bench::Bench;
use crate::guard::scene::{Guardian, RUN, Scene, quiet};

/// A bench, and on its host a run whose Dory is about to die.
async fn dying(kind: RunKind) -> (Bench, Scene, Guardian) {
    let bench = Bench::new();
    let scene = Scene { runtime: bench.runtime.clone(), clock: bench.runtime.clock().clone() };
    let db = bench.database("db");
    let mut plan = scene.plan(vec![quiet(&db, StopMode::Stop)]);
    plan.kind = kind;
    let guardian = scene.guarded(&plan).await;
    (bench, scene, guardian)
}

fn recorded(bench: &Bench) -> String {
    bench.catalog.peek(&format!("runs/server-1/{RUN}.json")).unwrap()
}

async fn settles_nothing(dory: &Dory) {
    assert_eq!(dory.settle().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_off_run_is_told_recorded_and_cleared_away() {
    let (bench, scene, mut guardian) = dying(RunKind::Backup).await;
    settles_nothing(&bench.dory).await;
    guardian.hang_up();
    assert_eq!(scene.end_of(&guardian.id).await, Some(GuardEnd::BroughtBack));

    let settled = bench.dory.settle().await.unwrap();
    let [settled] = settled.as_slice() else { panic!("{settled:?}") };
    assert_eq!((settled.run.to_string().as_str(), settled.end), (RUN, Some(GuardEnd::BroughtBack)));
    assert_eq!(settled.containers[0].standing, Standing::Back);
    assert!(recorded(&bench).contains(r#""outcome": "interrupted""#), "{}", recorded(&bench));
    settles_nothing(&bench.dory).await;
    bench.runtime.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn half_restored_data_is_an_alarm() {
    let (bench, scene, mut guardian) = dying(RunKind::Restore).await;
    guardian.order(Order::Writing).await;
    guardian.hang_up();
    assert_eq!(scene.end_of(&guardian.id).await, Some(GuardEnd::KeptDown));
    let settled = bench.dory.settle().await.unwrap();
    let error = settled[0].to_error();
    assert_eq!(error.kind(), ErrorKind::ContainerDown);
    assert!(error.reason().contains("`db` must not run"), "{error}");
    assert_eq!(bench.runtime.state_of("db"), ContainerState::Exited);
    bench.runtime.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_work_of_a_guardian_that_was_ended_is_done() {
    let (bench, scene, guardian) = dying(RunKind::Backup).await;
    bench.runtime.end_guardians();
    assert_eq!(scene.end_of(&guardian.id).await, None);
    let settled = bench.dory.settle().await.unwrap();
    assert_eq!(settled[0].end, Some(GuardEnd::BroughtBack));
    assert_eq!(bench.runtime.state_of("db"), ContainerState::Running);

    // Nobody knows how far a restore had come.
    let (bench, scene, guardian) = dying(RunKind::Restore).await;
    bench.runtime.end_guardians();
    assert_eq!(scene.end_of(&guardian.id).await, None);
    assert_eq!(bench.dory.settle().await.unwrap()[0].end, Some(GuardEnd::KeptDown));
    assert_eq!(bench.runtime.state_of("db"), ContainerState::Exited);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_recorded_is_found_again() {
    let (bench, scene, mut guardian) = dying(RunKind::Backup).await;
    guardian.hang_up();
    scene.end_of(&guardian.id).await;
    bench.faults.catalog.fail_next("create", ErrorKind::Unavailable);
    assert_eq!(bench.dory.settle().await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(bench.dory.settle().await.unwrap().len(), 1);
    bench.runtime.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn helpers_and_volumes_of_the_dead_go_and_others_stay() {
    let (bench, scene, mut guardian) = dying(RunKind::Backup).await;
    let volume = async |name: &str, server: &str| {
        let labels =
            [(label::SERVER, server), (label::RUN, RUN)].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let name = VolumeName::parse(name).unwrap();
        bench.runtime.port().create_volume(&name, &BTreeMap::from(labels)).await.unwrap();
    };
    volume("scratch", "server-1").await;
    volume("of-another-server", "server-2").await;
    settles_nothing(&bench.dory).await;
    let there = async || {
        let all = bench.runtime.port().list_volumes().await.unwrap();
        all.into_iter().map(|volume| volume.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(there().await, ["db-data", "of-another-server", "scratch"], "the run is under way");

    guardian.hang_up();
    scene.end_of(&guardian.id).await;
    bench.dory.settle().await.unwrap();
    assert_eq!(there().await, ["db-data", "of-another-server"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_helper_that_nobody_guarded_is_left_to_its_dory_for_a_while() {
    let bench = Bench::new();
    bench.database("db");
    let (told, mut reading) = tokio::sync::mpsc::unbounded_channel();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    bench.restic.before_reading(move |_| {
        let _ = told.send(());
        let _ = held.lock().unwrap().recv();
    });
    let request = BackupRequest { container: "db".to_owned(), guarding: Guarding::Off, ..BackupRequest::default() };
    let dory = bench.dory.clone();
    let run = tokio::spawn(async move { dory.run_backup(&request, &Cancel::new(), &RunEvents::ignored()).await });
    reading.recv().await.unwrap();
    settles_nothing(&bench.dory).await;
    assert!(bench.runtime.port().list_helpers().await.unwrap()[0].running, "a live run was touched");
    drop(release);
    run.await.unwrap().unwrap();
    bench.runtime.clock().advance(Duration::from_secs(60));
    settles_nothing(&bench.dory).await;
}

//! What a Dory finds that looks after another one died.

use std::collections::BTreeMap;
use std::time::Duration;

use dory_core::ErrorKind;
use dory_core::agent::guard::protocol::Order;
use dory_core::domain::backup::{Backup, PointChoice};
use dory_core::domain::container::ContainerState;
use dory_core::domain::guard::{GuardEnd, label};
use dory_core::domain::half_restored::HalfRestored;
use dory_core::domain::id::{ContainerName, RunId, VolumeName};
use dory_core::domain::policy::StopMode;
use dory_core::domain::run::RunKind;
use dory_core::ports::{DocumentKey, Helper, HelperNetwork, HelperRole, HelperSpec};
use dory_core::services::{BackupRequest, Cancel, Dory, DumpChoice, Guarding, RunEvents, Standing};

use super::bench::Bench;
use super::dumping::Server;
use crate::guard::scene::{Guardian, RUN, Scene, quiet};

/// A helper of a run of this server, with an agent in it that ends when its line is dropped.
async fn helper_of(bench: &Bench, run: &str, kind: RunKind, backup: &str) -> Helper {
    let text = |text: &str| text.to_owned();
    let labels =
        [(label::SERVER, "server-1"), (label::RUN, run), (label::KIND, kind.as_str()), (label::BACKUP, backup)];
    let spec = HelperSpec {
        name: ContainerName::parse(format!("dory-{backup}")).unwrap(),
        role: HelperRole::Engine,
        image: bench.runtime.port().ensure_helper_image().await.unwrap(),
        arguments: vec![text("agent")],
        mounts: Vec::new(),
        network: HelperNetwork::None,
        capabilities: Vec::new(),
        labels: labels.map(|(name, value)| (text(name), text(value))).into(),
    };
    bench.runtime.port().launch_helper(&spec).await.unwrap()
}

/// Lets a helper's Dory die, and waits until the helper noticed.
async fn die(bench: &Bench, helper: Helper) {
    let id = helper.id.clone();
    drop(helper);
    let runs = async || {
        let helpers = bench.runtime.port().list_helpers().await.unwrap();
        helpers.iter().any(|helper| helper.id == id && helper.running)
    };
    while runs().await {
        tokio::task::yield_now().await;
    }
    bench.clock.advance(Duration::from_secs(60));
}

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

#[tokio::test(flavor = "multi_thread")]
async fn a_helper_at_work_is_left_to_its_dory_whatever_became_of_the_guardian() {
    for acts in [true, false] {
        let (bench, scene, mut guardian) = dying(RunKind::Restore).await;
        let helper = helper_of(&bench, RUN, RunKind::Restore, "db-4f1c").await;
        guardian.order(Order::Writing).await;
        if acts {
            guardian.hang_up();
            assert_eq!(scene.end_of(&guardian.id).await, Some(GuardEnd::KeptDown));
            // A Dory that lives puts back what it has overwritten.
            die(&bench, helper).await;
            let putting_back = helper_of(&bench, RUN, RunKind::Restore, "db-4f1c").await;
            settles_nothing(&bench.dory).await;
            let helpers = bench.runtime.port().list_helpers().await.unwrap();
            assert!(helpers.iter().any(|helper| helper.id == putting_back.id && helper.running));
            die(&bench, putting_back).await;
        } else {
            bench.runtime.end_guardians();
            assert_eq!(scene.end_of(&guardian.id).await, None);
            settles_nothing(&bench.dory).await;
            assert!(bench.runtime.port().list_helpers().await.unwrap().iter().any(|helper| helper.running));
            die(&bench, helper).await;
        }
        assert_eq!(bench.dory.settle().await.unwrap()[0].end, Some(GuardEnd::KeptDown));
        bench.runtime.assert_tidy();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_said_how_it_went_did_not_die() {
    let bench = Bench::new();
    bench.database("db");
    let report = bench.back_up("db").await.unwrap();
    let left = helper_of(&bench, &report.point.run.to_string(), RunKind::Backup, report.backup.as_str()).await;
    die(&bench, left).await;
    settles_nothing(&bench.dory).await;
    bench.runtime.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_that_was_being_loaded_is_told_with_the_way_back() {
    let bench = Bench::new();
    Server::run(&bench, true, &[("dory.dump", r#"["dump"]"#), ("dory.dump.restore", r#"["load"]"#)]);
    bench.back_up("db").await.unwrap();
    let choice = DumpChoice { backup: "db".into(), point: PointChoice::Latest, name: None, into: None, safety: true };
    let loaded = bench.dory.run_load_dump(&choice, &Cancel::new(), &RunEvents::ignored()).await.unwrap();
    let backup = bench.dory.find_backup("db").await.unwrap();
    let safety = backup.points.iter().find(|point| Some(point.id) == loaded.safety_point).unwrap();

    // It died before it could say that it was done.
    let run = safety.run.to_string();
    let record = DocumentKey::parse(format!("runs/server-1/{run}.json")).unwrap();
    bench.catalog.port().delete(&record).await.unwrap();
    let left = helper_of(&bench, &run, RunKind::Restore, backup.id.as_str()).await;
    die(&bench, left).await;
    let settled = bench.dory.settle().await.unwrap();
    let error = settled[0].to_error();
    assert!(error.hint().unwrap().contains(&loaded.undo_command().unwrap()), "{error:?}");
    bench.runtime.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_restore_noted_goes_unless_it_had_begun_to_write() {
    for writes in [false, true] {
        let (bench, scene, mut guardian) = dying(RunKind::Restore).await;
        let report = bench.back_up("db").await.unwrap();
        let note = HalfRestored {
            run: RunId::parse(RUN).unwrap(),
            server: "server-1".parse().unwrap(),
            since: report.point.taken_at,
            safety_point: None,
            mounts: report.point.mounts.clone(),
        };
        let add = |backup: &mut Backup| {
            backup.half_restored.push(note.clone());
            Ok(())
        };
        bench.dory.catalog().update_backup(&report.backup, add).await.unwrap();
        if writes {
            guardian.order(Order::Writing).await;
        }
        guardian.hang_up();
        scene.end_of(&guardian.id).await;
        bench.dory.settle().await.unwrap();
        assert_eq!(bench.dory.find_backup("db").await.unwrap().half_restored_by().is_some(), writes);
    }
}

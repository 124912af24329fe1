//! Stores that hold damage: no restore ends with less than there was before it, and none ends green.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dory_core::domain::backup::PointChoice;
use dory_core::domain::container::ContainerState;
use dory_core::domain::policy::PolicyOverrides;
use dory_core::ports::RepositorySpec;
use dory_core::services::{BackupRequest, Cancel, Phase, RestoreChoice, RunEvent, RunEvents};
use dory_core::{Error, ErrorKind};

use super::bench::{Bench, restore_of};

/// The largest file of a database.
const LARGEST: &str = "base/1/accounts";

/// Where a container's backup is kept, as far as the fake engine asks.
async fn repository(bench: &Bench, container: &str) -> RepositorySpec {
    let backup = bench.dory.find_backup(container).await.unwrap();
    let path = format!("data/{}/restic", backup.id);
    RepositorySpec { store: bench.store(), path, password: None, options: Default::default() }
}

async fn backed_up() -> Bench {
    let bench = Bench::new();
    bench.database("db");
    bench.back_up("db").await.unwrap();
    bench.wreck("db-data");
    bench.journal.clear();
    bench
}

fn causes(error: &Error) -> String {
    error.causes().join(": ")
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_that_a_restore_meets_is_rolled_back_and_told() {
    let bench = backed_up().await;
    bench.restic.damage(&repository(&bench, "db").await);
    let before = bench.files("db-data");
    let error = bench.restore(&restore_of("db")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
    assert!(error.to_string().contains("as it was before") && causes(&error).contains(LARGEST), "{error:?}");
    bench.assert_files("db-data", &before);
    assert_eq!(bench.runtime.state_of("db"), ContainerState::Running);
    bench.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_safety_point_damage_keeps_the_application_down() {
    let bench = backed_up().await;
    bench.restic.damage(&repository(&bench, "db").await);
    let error = bench.restore(&RestoreChoice { safety: false, ..restore_of("db") }).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ContainerDown, "{error:?}");
    assert!(causes(&error).contains(LARGEST), "{error:?}");
    assert_eq!(bench.read("db-data", LARGEST).unwrap(), "mallory 999999\n", "what was there stays");
    assert_ne!(bench.runtime.state_of("db"), ContainerState::Running);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_to_be_missing_is_refused_before_anything_stops() {
    let bench = backed_up().await;
    bench.restic.lose(&repository(&bench, "db").await);
    let before = bench.files("db-data");
    let error = bench.restore(&restore_of("db")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
    assert!(error.to_string().contains(LARGEST), "{error}");
    assert_eq!(bench.journal.only(&["runtime stop", "runtime pause", "engine restore", "engine backup"]), [""; 0]);
    bench.assert_files("db-data", &before);
    bench.assert_tidy();
}

/// A safety point shares what older points hold, damage included: then it is no way back.
#[tokio::test(flavor = "multi_thread")]
async fn an_undo_that_rests_on_damage_is_refused_before_anything_is_overwritten() {
    let bench = backed_up().await;
    bench.write("db-data", "base/1/ledger", &"entry\n".repeat(50_000));
    let older = bench.dory.find_backup("db").await.unwrap().points[0].id;
    bench.back_up("db").await.unwrap();
    // What is there now, and in the newest point; the older one, which is restored, does not hold it.
    bench.restic.damage(&repository(&bench, "db").await);
    let before = bench.files("db-data");
    bench.journal.clear();
    let choice = RestoreChoice { point: PointChoice::Named(older.to_string()), ..restore_of("db") };
    let error = bench.restore(&choice).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
    assert!(error.subject().contains("ledger") && error.hint().unwrap().contains("--no-safety"), "{error:?}");
    assert_eq!(bench.journal.only(&["engine restore"]), [""; 0]);
    bench.assert_files("db-data", &before);
    assert_eq!(bench.runtime.state_of("db"), ContainerState::Running);
    bench.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_cannot_be_kept_so_it_is_not_overwritten() {
    let bench = backed_up().await;
    // A file that turns into a folder under the reader's eyes is one that cannot be read.
    let standing_still = Arc::new(AtomicBool::new(false));
    let heard = Arc::clone(&standing_still);
    bench.restic.before_reading(move |path| {
        if standing_still.load(Ordering::SeqCst) && path.ends_with("rows") && path.is_file() {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        }
    });
    bench.journal.clear();
    let events = RunEvents::new(move |event| {
        if matches!(event, RunEvent::Phase { phase: Phase::Safeguard }) {
            heard.store(true, Ordering::SeqCst);
        }
    });
    let error = bench.dory.run_restore(&restore_of("db"), &Cancel::new(), &events).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
    assert!(error.subject().ends_with("rows") && error.hint().unwrap().contains("--no-safety"), "{error:?}");
    assert_eq!(bench.journal.only(&["engine restore"]), [""; 0]);
    assert_eq!(bench.runtime.state_of("db"), ContainerState::Running);
    bench.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_leaves_alone_what_the_backup_left_out() {
    let bench = Bench::new();
    bench.database("db");
    bench.write("db-data", "uploads/photo", "the only copy");
    let policy = PolicyOverrides { exclude: Some(vec!["uploads/".into()]), ..PolicyOverrides::default() };
    let request = BackupRequest { container: "db".into(), policy, ..BackupRequest::default() };
    let report = bench.dory.run_backup(&request, &Cancel::new(), &RunEvents::ignored()).await.unwrap();
    assert_eq!(report.point.exclude, ["uploads/"]);
    bench.wreck("db-data");
    for safety in [true, false] {
        let outcome = bench.restore(&RestoreChoice { safety, ..restore_of("db") }).await.unwrap();
        assert_eq!(outcome.plan.left_alone, ["uploads/"]);
        assert_eq!(bench.read("db-data", "uploads/photo").unwrap(), "the only copy");
        assert_eq!(bench.read("db-data", "ransom/note.txt"), None);
    }
    bench.assert_tidy();
}

/// A crash between a set and its record leaves a set that no point tells of, and that needs those before it.
#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_nobody_recorded_goes_with_those_it_needs() {
    let bench = Bench::new();
    bench.runtime.container("db").volume("db-data", "/data").label("dory.engine", "duplicity").running();
    bench.write("db-data", "file", "1");
    bench.back_up("db").await.unwrap();
    // Registering is the first, recording the point the second.
    let broken = Error::new(ErrorKind::Unavailable, "write", "catalog", "it is away");
    bench.faults.catalog.fail_from("replace", 2, broken);
    bench.back_up("db").await.unwrap_err();
    bench.faults.heal();

    let backup = bench.dory.find_backup("db").await.unwrap();
    let [point] = backup.points.as_slice() else { panic!("{:?}", backup.points) };
    let choice = PointChoice::Named(point.id.to_string());
    let plan = bench.dory.plan_delete("db", Some(&choice)).await.unwrap();
    assert_eq!((plan.points.len(), plan.unrecorded.len()), (1, 1), "{plan:?}");
    bench.dory.run_delete(&plan).await.unwrap();
    assert!(bench.dory.find_backup("db").await.unwrap().points.is_empty());
    bench.assert_tidy();
}

//! Suspect points: a source that lost its data is noticed, told, and freezes its backup until somebody clears it.

use std::fs;

use dory_core::ErrorKind;
use dory_core::domain::backup::PointChoice;
use dory_core::domain::policy::PolicyOverrides;
use dory_core::domain::suspect::SuspectBelow;
use dory_core::services::{BackupReport, BackupRequest, Cancel, RunEvents};

use super::bench::{Bench, restore_of};

/// A container with two volumes, one of them big, backed up once.
async fn backed_up() -> Bench {
    let bench = Bench::new();
    bench.runtime.container("db").volume("db-data", "/var/lib/db").volume("media", "/media").running();
    bench.write("db-data", "rows", &"row\n".repeat(1000));
    bench.write("media", "film", &"frame\n".repeat(100_000));
    assert!(bench.back_up("db").await.unwrap().is_complete());
    bench
}

async fn back_up_below(bench: &Bench, below: SuspectBelow) -> BackupReport {
    let policy = PolicyOverrides { suspect_below: Some(below), ..PolicyOverrides::default() };
    let request = BackupRequest { container: "db".into(), policy, ..BackupRequest::default() };
    bench.dory.run_backup(&request, &Cancel::new(), &RunEvents::ignored()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_lost_its_data_makes_the_point_suspect_and_freezes_the_backup() {
    let bench = backed_up().await;
    fs::remove_file(bench.folder("db-data").join("rows")).unwrap();
    let report = bench.back_up("db").await.unwrap();
    assert!(report.point.is_suspect() && !report.is_complete());
    let loss = report.point.suspect.unwrap().loss.to_string();
    assert_eq!(loss, "`/var/lib/db` is empty, and held 1 files before");
    let backup = bench.dory.find_backup("db").await.unwrap();
    assert!(backup.is_frozen());
    let run = bench.catalog.peek(&format!("runs/server-1/{}.json", report.point.run)).unwrap();
    assert!(run.contains("SUSPECT") && run.contains("\"incomplete\""), "{run}");

    let plan = bench.dory.plan_delete("db", Some(&PointChoice::Named(backup.points[0].id.to_string()))).await.unwrap();
    assert_eq!(plan.frozen.unwrap().point, report.point.id);
    assert!(bench.dory.plan_delete("db", None).await.unwrap().frozen.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stays_suspect_until_the_data_is_back_or_somebody_clears_it() {
    let bench = backed_up().await;
    bench.write("db-data", "rows", "row\n");
    let first = bench.back_up("db").await.unwrap();
    let second = bench.back_up("db").await.unwrap();
    assert!(first.point.is_suspect() && second.point.is_suspect(), "a suspect point is nothing to compare with");

    let one = PointChoice::Named(first.point.id.to_string());
    assert_eq!(bench.dory.clear_suspect("db", Some(&one), None).await.unwrap(), [first.point.id]);
    assert!(bench.dory.find_backup("db").await.unwrap().is_frozen(), "the other one still freezes it");
    assert_eq!(bench.dory.clear_suspect("db", None, Some("ada")).await.unwrap(), [second.point.id]);
    let backup = bench.dory.find_backup("db").await.unwrap();
    assert!(!backup.is_frozen());
    let cleared = backup.points[2].suspect.as_ref().unwrap().cleared.as_ref().unwrap();
    assert_eq!((cleared.by.as_deref(), cleared.server.as_str()), (Some("ada"), "server-1"));
    assert_eq!(bench.dory.clear_suspect("db", None, None).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(!bench.back_up("db").await.unwrap().point.is_suspect(), "it is as it was cleared");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_grew_again_is_good_again() {
    let bench = backed_up().await;
    bench.write("db-data", "rows", "row\n");
    assert!(bench.back_up("db").await.unwrap().point.is_suspect());
    bench.write("db-data", "rows", &"row\n".repeat(1000));
    assert!(!bench.back_up("db").await.unwrap().point.is_suspect());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_threshold_is_the_policys() {
    let bench = backed_up().await;
    bench.write("db-data", "rows", &"row\n".repeat(400));
    assert!(!back_up_below(&bench, SuspectBelow::Percent(30)).await.point.is_suspect());
    bench.write("db-data", "rows", &"row\n".repeat(100));
    assert!(!back_up_below(&bench, SuspectBelow::Off).await.point.is_suspect());
    bench.write("db-data", "rows", &"row\n".repeat(40));
    assert!(back_up_below(&bench, SuspectBelow::default()).await.point.is_suspect());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_safety_point_of_an_accident_is_not_compared_with() {
    let bench = backed_up().await;
    fs::remove_file(bench.folder("db-data").join("rows")).unwrap();
    bench.restore(&restore_of("db")).await.unwrap();
    assert!(!bench.back_up("db").await.unwrap().point.is_suspect());
    fs::remove_file(bench.folder("db-data").join("rows")).unwrap();
    assert!(bench.back_up("db").await.unwrap().point.is_suspect());
}

//! Pruning: the rules say what goes, whole chains and frozen backups round in favour of what stays.

use std::time::Duration;

use dory_core::ErrorKind;
use dory_core::domain::backup::PointChoice;
use dory_core::domain::id::PointId;
use dory_core::domain::keep_rules::KeepRules;
use dory_core::domain::retention::KeepReason;
use dory_core::services::{BackupEdit, BackupRequest, Cancel, PointEdit, PrunePlan, RunEvents};

use super::bench::{Bench, restore_of};

/// A container with these labels, backed up once a day.
async fn daily(bench: &Bench, labels: &[(&str, &str)], days: u32) -> Vec<PointId> {
    let mut container = bench.runtime.container("db").volume("db-data", "/var/lib/db");
    for (name, value) in labels {
        container = container.label(name, value);
    }
    container.running();
    let mut points = Vec::new();
    for day in 0..days {
        bench.write("db-data", "rows", &format!("as of day {day}"));
        points.push(bench.back_up("db").await.unwrap().point.id);
        bench.clock.advance(Duration::from_secs(24 * 3600));
    }
    points
}

async fn plan(bench: &Bench, keep: Option<&str>) -> PrunePlan {
    let keep: Option<KeepRules> = keep.map(|text| text.parse().unwrap());
    bench.dory.plan_prune(Some("db"), keep.as_ref()).await.unwrap().remove(0)
}

fn going(plan: &PrunePlan) -> Vec<PointId> {
    plan.delete.points.iter().map(|point| point.id).collect()
}

async fn left(bench: &Bench) -> Vec<PointId> {
    bench.dory.find_backup("db").await.unwrap().points.iter().map(|point| point.id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_label_does_not_keep_goes_and_nothing_else() {
    let bench = Bench::new();
    let points = daily(&bench, &[("dory.keep", "last=2")], 4).await;
    bench.journal.clear();
    let plan = plan(&bench, None).await;
    assert_eq!(going(&plan), points[..2]);
    assert_eq!(plan.points[3].reasons, [KeepReason::Newest, KeepReason::Last { nth: 1 }]);
    assert_eq!(
        bench.journal.only(&["engine forget", "engine prune", "catalog replace"]),
        [""; 0],
        "a plan touches nothing"
    );

    let report = bench.dory.run_prune(&plan).await.unwrap();
    assert_eq!(report.plan.points.len(), 2);
    assert_eq!(left(&bench).await, points[2..]);
    bench.write("db-data", "rows", "all wrong");
    bench.restore(&restore_of("db")).await.unwrap();
    assert_eq!(std::fs::read_to_string(bench.file("db", "rows")).unwrap(), "as of day 3");
    bench.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalog_beats_the_label_and_the_command_both() {
    let bench = Bench::new();
    let points = daily(&bench, &[("dory.keep", "last=1")], 3).await;
    assert_eq!(going(&plan(&bench, None).await), points[..2]);
    let mut edit = BackupEdit::default();
    edit.policy.keep = Some(KeepRules::default());
    bench.dory.edit_backup("db", &edit).await.unwrap();
    assert_eq!(going(&plan(&bench, None).await), []);
    assert_eq!(going(&plan(&bench, Some("daily=2")).await), points[..1]);
    // Who has no rules and cannot be asked for some loses nothing.
    bench.runtime.remove_container("db");
    edit.policy.keep = None;
    assert_eq!(going(&plan(&bench, None).await), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_protected_point_stays_until_it_is_not() {
    let bench = Bench::new();
    let points = daily(&bench, &[("dory.keep", "last=1")], 2).await;
    let choice = PointChoice::Named(points[0].to_string());
    let protect = |protected| PointEdit { protected: Some(protected), ..PointEdit::default() };
    bench.dory.edit_point("db", &choice, &protect(true)).await.unwrap();
    assert_eq!(going(&plan(&bench, None).await), []);
    bench.dory.edit_point("db", &choice, &protect(false)).await.unwrap();
    assert_eq!(going(&plan(&bench, None).await), points[..1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspect_point_freezes_everything_until_it_is_cleared() {
    let bench = Bench::new();
    let points = daily(&bench, &[("dory.keep", "last=1")], 2).await;
    std::fs::remove_file(bench.file("db", "rows")).unwrap();
    assert!(bench.back_up("db").await.unwrap().point.is_suspect());
    let frozen = plan(&bench, None).await;
    assert_eq!(going(&frozen), []);
    assert!(frozen.points.iter().all(|point| point.reasons[0] == KeepReason::Frozen));
    bench.dory.clear_suspect("db", None, None).await.unwrap();
    assert_eq!(going(&plan(&bench, None).await), points);
}

#[tokio::test(flavor = "multi_thread")]
async fn chains_go_as_a_whole_or_not_at_all() {
    let bench = Bench::new();
    // The engine's chains have three snapshots each.
    let points = daily(&bench, &[("dory.engine", "duplicity"), ("dory.keep", "last=2")], 7).await;
    let plan = plan(&bench, None).await;
    assert_eq!(going(&plan), points[..3]);
    let second_chain = &plan.points[3..5];
    let tied = |reasons: &[KeepReason]| matches!(reasons, [KeepReason::Chain { with }] if *with == points[5]);
    assert!(second_chain.iter().all(|point| tied(&point.reasons)), "{:#?}", plan.points);
    bench.dory.run_prune(&plan).await.unwrap();
    assert_eq!(left(&bench).await, points[3..]);
    bench.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_broke_off_is_finished() {
    let bench = Bench::new();
    let points = daily(&bench, &[("dory.keep", "last=1")], 3).await;
    let broken = dory_core::Error::new(ErrorKind::Unavailable, "reach", "the store", "the test cut the line");
    bench.faults.restic.fail_next("forget", broken);
    bench.dory.run_prune(&plan(&bench, None).await).await.unwrap_err();
    assert_eq!(left(&bench).await, points, "no record goes before its data");
    bench.dory.run_prune(&plan(&bench, None).await).await.unwrap();
    assert_eq!(left(&bench).await, points[2..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_prunes_what_another_server_owns_or_a_run_works_on() {
    let bench = Bench::new();
    let points = daily(&bench, &[("dory.keep", "last=1")], 2).await;
    let mut hold = bench.faults.restic.hold_next("backup");
    let dory = bench.dory.clone();
    let run = tokio::spawn(async move {
        let request = BackupRequest { container: "db".into(), ..BackupRequest::default() };
        dory.run_backup(&request, &Cancel::new(), &RunEvents::ignored()).await
    });
    hold.reached().await;
    let error = bench.dory.run_prune(&plan(&bench, None).await).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    hold.release();
    run.await.unwrap().unwrap();

    let edit = BackupEdit { server: Some("elsewhere".parse().unwrap()), ..BackupEdit::default() };
    bench.dory.edit_backup("db", &edit).await.unwrap();
    assert_eq!(bench.dory.plan_prune(None, None).await.unwrap(), []);
    let error = bench.dory.run_prune(&plan(&bench, None).await).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(left(&bench).await.len(), points.len() + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_named_since_the_plan_was_made_does_not_go() {
    let bench = Bench::new();
    let points = daily(&bench, &[("dory.keep", "last=1")], 3).await;
    let shown = plan(&bench, None).await;
    assert_eq!(going(&shown), points[..2]);
    let choice = PointChoice::Named(points[0].to_string());
    let named = PointEdit { name: Some("the last good one".into()), ..PointEdit::default() };
    bench.dory.edit_point("db", &choice, &named).await.unwrap();
    let error = bench.dory.run_prune(&shown).await.unwrap_err();
    assert_eq!((error.kind(), error.subject()), (ErrorKind::Conflict, points[0].to_string().as_str()));
    assert!(error.reason().contains("named"), "{error}");
    assert_eq!(left(&bench).await, points);
    bench.dory.run_prune(&plan(&bench, None).await).await.unwrap();
    assert_eq!(left(&bench).await, [points[0], points[2]]);
    bench.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_point_that_turned_out_suspect_since_freezes_what_was_to_go() {
    let bench = Bench::new();
    let points = daily(&bench, &[("dory.keep", "last=1")], 2).await;
    let shown = plan(&bench, None).await;
    assert_eq!(going(&shown), points[..1]);
    std::fs::remove_file(bench.file("db", "rows")).unwrap();
    bench.back_up("db").await.unwrap();
    assert_eq!(bench.dory.run_prune(&shown).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(left(&bench).await.len(), 3);
    assert!(bench.dory.find_backup("db").await.unwrap().points.iter().all(|point| !point.deleting));
}

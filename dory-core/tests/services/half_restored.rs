//! Data that a restore left half written: no later backup passes it off as whole, and the way on is told.

use std::time::Duration;

use dory_core::domain::backup::{Backup, PointChoice};
use dory_core::domain::event::WarningKind;
use dory_core::domain::half_restored::HalfRestored;
use dory_core::domain::id::{PointId, RunId, ServerName};
use dory_core::domain::keep_rules::KeepRules;
use dory_core::domain::restore_point::{Consistency, PointOrigin};
use dory_core::domain::retention::KeepReason;
use dory_core::services::{BackupRequest, Cancel, RestoreChoice, RunEvents};
use dory_core::{Error, ErrorKind};

use super::bench::{Bench, restore_of};

/// A database with a point, whose data was then wrecked.
async fn wrecked() -> Bench {
    let bench = Bench::new();
    bench.database("db");
    bench.back_up("db").await.unwrap();
    bench.wreck("db-data");
    bench
}

/// One whose restore failed half-way, and so did bringing back what was there.
async fn half_restored() -> (Bench, Error) {
    let bench = wrecked().await;
    for _ in 0..2 {
        bench.faults.restic.fail_next("restore", ErrorKind::Unavailable);
    }
    let error = bench.restore(&restore_of("db")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ContainerDown);
    (bench, error)
}

async fn scheduled(bench: &Bench, container: &str) -> dory_core::Result<PointId> {
    let request =
        BackupRequest { container: container.into(), origin: PointOrigin::Schedule, ..BackupRequest::default() };
    let report = bench.dory.run_backup(&request, &Cancel::new(), &RunEvents::ignored()).await?;
    Ok(report.point.id)
}

async fn notes(bench: &Bench) -> Vec<HalfRestored> {
    let all = bench.dory.catalog().backups().await.unwrap().backups;
    all.iter().flat_map(|backup| backup.half_restored.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_backs_up_no_mixture_and_says_how_to_go_on() {
    let (bench, down) = half_restored().await;
    bench.runtime.container("worker").volume("db-data", "/data").stopped();
    bench.journal.clear();
    for container in ["db", "worker"] {
        let error = scheduled(&bench, container).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
        let undo = down.hint().unwrap().split('`').nth(1).unwrap();
        assert!(undo.starts_with("dory restore db-") && error.hint().unwrap().contains(undo), "{error:?}");
    }
    assert!(bench.journal.only(&["runtime launch_helper"]).is_empty(), "nothing was touched");
}

#[tokio::test(flavor = "multi_thread")]
async fn by_hand_it_can_be_had_and_never_passes_for_whole() {
    let (bench, _) = half_restored().await;
    let report = bench.back_up("db").await.unwrap();
    assert!(!report.is_complete() && report.point.lost_data());
    assert_eq!(report.point.consistency, Consistency::Live);
    let told = &report.point.warnings[0];
    assert_eq!((told.kind, told.path.to_string().as_str()), (WarningKind::HalfRestored, "var-lib-db"));
    assert!(told.detail.contains("dory restore db-"), "{}", told.detail);
}

#[tokio::test(flavor = "multi_thread")]
async fn going_back_or_on_makes_it_whole_again() {
    for goes_back in [true, false] {
        let (bench, _) = half_restored().await;
        let note = notes(&bench).await.remove(0);
        let choice = match note.safety_point {
            Some(safety) if goes_back => {
                RestoreChoice { point: PointChoice::Named(safety.to_string()), ..restore_of("db") }
            }
            _ => restore_of("db"),
        };
        bench.restore(&choice).await.unwrap();
        assert_eq!(notes(&bench).await, []);
        scheduled(&bench, "db").await.unwrap();
        bench.assert_tidy();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_further_restore_that_fails_leaves_the_first_way_back() {
    let (bench, _) = half_restored().await;
    let first = notes(&bench).await;
    bench.faults.restic.fail_next("freeze", ErrorKind::Unavailable);
    bench.faults.restic.fail_next("backup", ErrorKind::Unavailable);
    bench.restore(&restore_of("db")).await.unwrap_err();
    assert_eq!(notes(&bench).await, first, "it wrote nothing");
    bench.faults.heal();
    bench.faults.restic.fail_next("restore", ErrorKind::Unavailable);
    bench.restore(&restore_of("db")).await.unwrap_err();
    assert_eq!(notes(&bench).await, first, "it was rolled back to what the first one had left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_ends_whole_leaves_no_note() {
    let bench = wrecked().await;
    for fails in [None, Some("restore"), Some("warm"), Some("backup")] {
        if let Some(method) = fails {
            bench.faults.restic.fail_next(method, ErrorKind::Unavailable);
        }
        assert_eq!(bench.restore(&restore_of("db")).await.is_err(), fails.is_some());
        assert_eq!(notes(&bench).await, [], "{fails:?}");
        bench.write("db-data", "base/1/accounts", "mallory again");
    }
    bench.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_noted_before_the_first_stop_and_for_whole_volumes_too() {
    let bench = wrecked().await;
    bench.runtime.volume("spare");
    bench.journal.clear();
    bench.restore(&restore_of("db")).await.unwrap();
    let calls = bench.journal.lines();
    let at = |words: &str| calls.iter().position(|call| call.contains(words)).unwrap();
    let noted = calls.iter().rposition(|call| call.contains("catalog replace backups/")).unwrap();
    assert!(at("catalog replace backups/") < at("runtime stop") && noted > at("runtime start"), "{calls:#?}");

    // Into a place that is none of the container's: the container's own data is whole.
    let choice = RestoreChoice { maps: vec!["/var/lib/db=spare".parse().unwrap()], safety: false, ..restore_of("db") };
    bench.faults.restic.fail_next("restore", ErrorKind::Unavailable);
    bench.restore(&choice).await.unwrap_err();
    assert_eq!(notes(&bench).await.len(), 1);
    scheduled(&bench, "db").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_can_say_that_the_data_is_as_it_should_be() {
    let (bench, _) = half_restored().await;
    assert!(bench.dory.find_backup("db").await.unwrap().half_restored_by().is_some());
    assert_eq!(bench.dory.clear_suspect("db", None, None).await.unwrap(), []);
    assert_eq!(notes(&bench).await, []);
    assert!(!bench.back_up("db").await.unwrap().point.lost_data());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_rule_takes_the_way_back_away() {
    let (bench, _) = half_restored().await;
    let safety = notes(&bench).await[0].safety_point.unwrap();
    bench.clock.advance(Duration::from_secs(60 * 24 * 3600));
    let rules: KeepRules = "last=1".parse().unwrap();
    let plan = bench.dory.plan_prune(Some("db"), Some(&rules)).await.unwrap().remove(0);
    let verdict = plan.points.iter().find(|point| point.id == safety).unwrap();
    assert_eq!(verdict.reasons, [KeepReason::WayBack]);

    let choice = PointChoice::Named(safety.to_string());
    let plan = bench.dory.plan_delete("db", Some(&choice)).await.unwrap();
    bench.dory.run_delete(&plan).await.unwrap();
    assert_eq!(scheduled(&bench, "db").await.unwrap_err().kind(), ErrorKind::Conflict, "the data is what it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_has_made_no_safety_point_has_written_nothing() {
    let bench = wrecked().await;
    let backup = bench.dory.find_backup("db").await.unwrap();
    let point = &backup.points[0];
    let note = |safety_point| HalfRestored {
        run: RunId::parse("01K9ZZZZZZZZZZZZZZZZZZZZZY").unwrap(),
        server: ServerName::parse("server-1").unwrap(),
        since: point.taken_at,
        safety_point,
        mounts: point.mounts.clone(),
    };
    for (safety_point, may_have_written) in
        [(Some(PointId::parse("01K9ZZZZZZZZZZZZZZZZZZZZZZ").unwrap()), false), (Some(point.id), true), (None, true)]
    {
        let with_note = Backup { half_restored: vec![note(safety_point)], ..Backup::clone(&backup) };
        assert_eq!(with_note.half_restored_by().is_some(), may_have_written, "{safety_point:?}");
    }
}

//! Two runs at once on one host: never on the same data, never with the same containers.

use dory_core::ErrorKind;
use dory_core::domain::backup::PointChoice;
use dory_core::domain::container::ContainerState;
use dory_core::domain::id::{PointId, ServerName};
use dory_core::domain::restore_point::PointOrigin;
use dory_core::services::{BackupEdit, BackupRequest, Cancel, DumpChoice, RestoreChoice, RunEvents};

use super::bench::Bench;
use super::dumping::Server;

/// Two containers that share a volume, each with a backup of its own.
async fn sharing() -> Bench {
    let bench = Bench::new();
    bench.database("db");
    bench.runtime.container("worker").volume("db-data", "/data").volume("worker-data", "/own").running();
    bench.back_up("db").await.unwrap();
    bench.back_up("worker").await.unwrap();
    bench
}

#[tokio::test(flavor = "multi_thread")]
async fn no_backup_starts_a_container_that_a_restore_stopped() {
    let bench = sharing().await;
    let mut writing = bench.faults.restic.hold_next("restore");
    let restore = tokio::spawn({
        let dory = bench.dory.clone();
        async move { dory.run_restore(&RestoreChoice::newest_of("db"), &Cancel::new(), &RunEvents::ignored()).await }
    });
    writing.reached().await;
    assert_eq!(bench.runtime.state_of("worker"), ContainerState::Exited);

    let error = bench.back_up("worker").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    for container in ["db", "worker"] {
        assert_eq!(bench.runtime.state_of(container), ContainerState::Exited, "{container} runs on half-written data");
    }
    writing.release();
    restore.await.unwrap().unwrap();
    bench.back_up("worker").await.unwrap();
    assert_eq!(bench.runtime.state_of("worker"), ContainerState::Running);
    bench.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_backup_ends_while_another_reads_what_its_containers_write() {
    let bench = sharing().await;
    bench.clock.advance(std::time::Duration::from_secs(1));
    let mut reading = bench.faults.restic.hold_next("freeze");
    let first = tokio::spawn({
        let dory = bench.dory.clone();
        let request = BackupRequest { container: "worker".to_owned(), ..BackupRequest::default() };
        async move { dory.run_backup(&request, &Cancel::new(), &RunEvents::ignored()).await }
    });
    reading.reached().await;
    let error = bench.back_up("db").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("again")), "{error}");
    assert_eq!(bench.runtime.state_of("db"), ContainerState::Exited);
    reading.release();
    first.await.unwrap().unwrap();
    assert_eq!(bench.runtime.state_of("db"), ContainerState::Running);
    bench.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_that_share_nothing_go_side_by_side() {
    let bench = Bench::new();
    bench.database("db");
    bench.database("wiki");
    let mut reading = bench.faults.restic.hold_next("backup");
    let first = tokio::spawn({
        let dory = bench.dory.clone();
        let request = BackupRequest { container: "db".to_owned(), ..BackupRequest::default() };
        async move { dory.run_backup(&request, &Cancel::new(), &RunEvents::ignored()).await }
    });
    reading.reached().await;
    bench.back_up("wiki").await.unwrap();
    reading.release();
    first.await.unwrap().unwrap();
    bench.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_another_server_backs_up_is_refused_beforehand() {
    let bench = Bench::new();
    bench.database("db");
    let report = bench.back_up("db").await.unwrap();
    let elsewhere = BackupEdit { server: Some(ServerName::parse("server-2").unwrap()), ..BackupEdit::default() };
    bench.dory.edit_backup("db", &elsewhere).await.unwrap();

    let request = BackupRequest { container: "db".to_owned(), ..BackupRequest::default() };
    let planned = bench.dory.plan_backup(&request).await.unwrap_err();
    assert_eq!(planned.kind(), ErrorKind::Conflict, "{planned}");
    assert!(planned.hint().is_some_and(|hint| hint.contains("--to-server")), "{planned}");
    assert_eq!(bench.back_up("db").await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(bench.dory.mark("db", true).await.unwrap_err().kind(), ErrorKind::Conflict);
    let theirs = bench.dory.find_backup(report.backup.as_str()).await.unwrap();
    assert_eq!((theirs.points.len(), theirs.marked), (1, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_restore_overwrote_is_never_the_latest() {
    let bench = Bench::new();
    bench.database("db");
    let good = bench.back_up("db").await.unwrap().point;
    bench.wreck("db-data");
    bench.restore(&RestoreChoice::newest_of("db")).await.unwrap();
    let backup = bench.dory.find_backup("db").await.unwrap();
    assert!(backup.points.iter().any(|point| point.origin == PointOrigin::Safety && point.taken_at > good.taken_at));
    assert_eq!(backup.latest().map(|point| point.id), Some(good.id));
    let again = bench.restore(&RestoreChoice::newest_of("db")).await.unwrap();
    assert_eq!(again.plan.point, good.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_deleted_that_a_restore_reads_or_writes() {
    let bench = Bench::new();
    bench.database("db");
    bench.database("copy");
    bench.back_up("db").await.unwrap();
    let mut writing = bench.faults.restic.hold_next("restore");
    let restore = tokio::spawn({
        let dory = bench.dory.clone();
        let choice = RestoreChoice { into: Some("copy".into()), ..RestoreChoice::newest_of("db") };
        async move { dory.run_restore(&choice, &Cancel::new(), &RunEvents::ignored()).await }
    });
    writing.reached().await;
    for backup in ["db", "copy"] {
        let plan = bench.dory.plan_delete(backup, None).await.unwrap();
        let error = bench.dory.run_delete(&plan).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        assert_eq!(bench.dory.find_backup(backup).await.unwrap().deleting_since, None);
    }
    writing.release();
    restore.await.unwrap().unwrap();
    let plan = bench.dory.plan_delete("db", None).await.unwrap();
    bench.dory.run_delete(&plan).await.unwrap();
    bench.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_being_deleted_is_not_read_any_more() {
    let bench = Bench::new();
    bench.database("db");
    bench.back_up("db").await.unwrap();
    let plan = bench.dory.plan_delete("db", None).await.unwrap();
    bench.faults.catalog.fail_next("delete_tree", ErrorKind::Unavailable);
    bench.dory.run_delete(&plan).await.unwrap_err();
    let error = bench.restore(&RestoreChoice::newest_of("db")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert_eq!(bench.runtime.state_of("db"), ContainerState::Running);
    bench.dory.run_delete(&plan).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_with_a_point_nobody_saw_is_not_deleted() {
    let bench = Bench::new();
    bench.database("db");
    bench.back_up("db").await.unwrap();
    let plan = bench.dory.plan_delete("db", None).await.unwrap();
    bench.back_up("db").await.unwrap();
    assert_eq!(bench.dory.run_delete(&plan).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(bench.dory.find_backup("db").await.unwrap().points.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_deletion_takes_back_its_own_marks_and_no_others() {
    let bench = Bench::new();
    bench.database("db");
    let first = bench.back_up("db").await.unwrap().point.id;
    let second = bench.back_up("db").await.unwrap().point.id;
    bench.back_up("db").await.unwrap();
    let doomed = |id: PointId| PointChoice::Named(id.to_string());
    let begun = bench.dory.plan_delete("db", Some(&doomed(first))).await.unwrap();
    // Its data is gone by now.
    bench.faults.restic.fail_next("prune", ErrorKind::Unavailable);
    bench.dory.run_delete(&begun).await.unwrap_err();

    let mut writing = bench.faults.restic.hold_next("restore");
    let restore = tokio::spawn({
        let dory = bench.dory.clone();
        async move { dory.run_restore(&RestoreChoice::newest_of("db"), &Cancel::new(), &RunEvents::ignored()).await }
    });
    writing.reached().await;
    let another = bench.dory.plan_delete("db", Some(&doomed(second))).await.unwrap();
    for plan in [&begun, &another] {
        assert_eq!(bench.dory.run_delete(plan).await.unwrap_err().kind(), ErrorKind::Conflict);
    }
    let backup = bench.dory.find_backup("db").await.unwrap();
    let marked: Vec<_> = backup.points.iter().filter(|point| point.deleting).map(|point| point.id).collect();
    assert_eq!(marked, [first]);
    writing.release();
    restore.await.unwrap().unwrap();
    bench.dory.run_delete(&begun).await.unwrap();
    bench.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_backup_stops_a_container_that_a_dump_is_loaded_into() {
    let bench = Bench::new();
    Server::run(&bench, true, &[("dory.dump", r#"["dump"]"#), ("dory.dump.restore", r#"["load"]"#)]);
    bench.back_up("db").await.unwrap();
    bench.runtime.container("worker").volume("db-data", "/data").running();
    let mut loading = bench.faults.restic.hold_next("read_file");
    let load = tokio::spawn({
        let dory = bench.dory.clone();
        let choice =
            DumpChoice { backup: "db".into(), point: PointChoice::Latest, name: None, into: None, safety: false };
        async move { dory.run_load_dump(&choice, &Cancel::new(), &RunEvents::ignored()).await }
    });
    loading.reached().await;
    let error = bench.back_up("worker").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert_eq!(bench.runtime.state_of("db"), ContainerState::Running);
    loading.release();
    load.await.unwrap().unwrap();
    bench.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_nothing_but_a_dump_holds_the_container_that_dumps() {
    let bench = Bench::new();
    Server::run(&bench, false, &[("dory.dump", r#"["dump"]"#)]);
    let mut dumping = bench.faults.restic.hold_next("take_dump");
    let first = tokio::spawn({
        let dory = bench.dory.clone();
        let request = BackupRequest { container: "db".to_owned(), ..BackupRequest::default() };
        async move { dory.run_backup(&request, &Cancel::new(), &RunEvents::ignored()).await }
    });
    dumping.reached().await;
    let claims: Vec<_> = bench.runtime.port().list_helpers().await.unwrap();
    let db = bench.runtime.peek("db").id;
    assert!(claims.iter().any(|helper| helper.labels.values().any(|held| held.contains(db.as_str()))), "{claims:?}");
    dumping.release();
    first.await.unwrap().unwrap();
    bench.assert_tidy();
}

//! What is on the host and in the store, as an operator asks for it: covered, marked, gone, named, writable.

use std::path::Path;

use dory_core::domain::backup::PointChoice;
use dory_core::domain::keys::Encryption;
use dory_core::domain::secret::Secret;
use dory_core::services::{BackupRequest, Cancel, ContainerOverview, PointEdit, RestoreChoice, RunEvents, init};
use dory_core::{Error, ErrorKind};
use dory_testkit::world::PASSPHRASE;

use super::bench::{Bench, restore_of};

async fn overview(bench: &Bench, container: &str) -> ContainerOverview {
    let all = bench.dory.containers().await.unwrap();
    all.into_iter().find(|overview| overview.container.name.as_str() == container).unwrap()
}

async fn marked(bench: &Bench) -> (Vec<String>, Vec<String>) {
    let marked = bench.dory.marked().await.unwrap();
    let gone = marked.gone.iter().map(|backup| backup.identity.container.to_string()).collect();
    (marked.containers.iter().map(ToString::to_string).collect(), gone)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_safety_point_alone_covers_nothing() {
    let bench = Bench::new();
    bench.database("db");
    bench.database("copy");
    bench.back_up("db").await.unwrap();
    bench.restore(&RestoreChoice { into: Some("copy".into()), ..restore_of("db") }).await.unwrap();
    assert_eq!(bench.dory.find_backup("copy").await.unwrap().points.len(), 1, "what was there before");
    assert!(overview(&bench, "db").await.is_covered());
    assert!(!overview(&bench, "copy").await.is_covered());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overview_as_data_names_the_backup_and_its_newest_point() {
    let bench = Bench::new();
    bench.database("db");
    assert_eq!(serde_json::to_value(overview(&bench, "db").await).unwrap()["backup"], serde_json::Value::Null);
    let report = bench.back_up("db").await.unwrap();
    let data = serde_json::to_value(overview(&bench, "db").await).unwrap();
    assert_eq!(data["backup"]["id"], report.backup.as_str());
    assert_eq!(data["backup"]["latest"]["id"], report.point.id.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_that_holds_nonsense_is_the_containers_problem_and_names_it() {
    let bench = Bench::new();
    bench.runtime.container("db").volume("data", "/data").label("dory.stop", "freeze").running();
    bench.runtime.container("web").volume("more", "/data").label("dory.backup", "yes").running();
    for (container, label) in [("db", "dory.stop"), ("web", "dory.backup")] {
        let problem = overview(&bench, container).await.problem.unwrap();
        assert!(problem.contains(label) && problem.contains(container), "{problem}");
    }
    let error = bench.back_up("db").await.unwrap_err();
    assert!(error.to_string().contains("container db"), "{error}");
    let unclear = bench.dory.marked().await.unwrap().unclear;
    assert_eq!(unclear.len(), 1);
    assert_eq!(unclear[0].0.as_str(), "web");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_marked_container_that_is_gone_is_told_until_somebody_unmarks_it() {
    let bench = Bench::new();
    bench.database("db");
    bench.runtime.container("web").volume("web-data", "/data").label("dory.backup", "true").running();
    bench.write("web-data", "index", "hello");
    bench.back_up("web").await.unwrap();
    bench.dory.mark("db", true).await.unwrap();
    assert!(bench.dory.find_backup("web").await.unwrap().is_marked());
    assert_eq!(marked(&bench).await, (vec!["db".to_owned(), "web".to_owned()], vec![]));

    bench.runtime.remove_container("db");
    bench.runtime.remove_container("web");
    assert_eq!(marked(&bench).await, (vec![], vec!["db".to_owned(), "web".to_owned()]));
    for name in ["db", "web"] {
        assert_eq!(bench.dory.mark(name, true).await.unwrap_err().kind(), ErrorKind::NotFound);
        bench.dory.mark(name, false).await.unwrap();
    }
    assert_eq!(marked(&bench).await, (vec![], vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_means_something_else_is_refused_before_anything_stops() {
    let bench = Bench::new();
    bench.database("db");
    for name in ["", "latest", "2026-01-01", "2h", "01ARZ3NDEKTSV4RRFFQ69G5FAV"] {
        let request =
            BackupRequest { container: "db".to_owned(), point_name: Some(name.to_owned()), ..BackupRequest::default() };
        let error = bench.dory.run_backup(&request, &Cancel::new(), &RunEvents::ignored()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name}: {error}");
    }
    assert!(!bench.journal.calls().iter().any(|call| call.is("runtime stop")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_several_points_have_takes_none_and_lists_them() {
    let bench = Bench::new();
    bench.database("db");
    let nightly = BackupRequest {
        container: "db".to_owned(),
        point_name: Some("nightly".to_owned()),
        ..BackupRequest::default()
    };
    let mut ids = Vec::new();
    for _ in 0..2 {
        let report = bench.dory.run_backup(&nightly, &Cancel::new(), &RunEvents::ignored()).await.unwrap();
        ids.push(report.point.id.to_string());
    }
    let choice = PointChoice::Named("nightly".to_owned());
    let error = bench.dory.plan_delete("db", Some(&choice)).await.unwrap_err();
    for id in &ids {
        assert!(error.reason().contains(&format!("`{id}` of 20")), "{error}");
    }
    assert!(error.reason().contains(" UTC"), "{error}");
    assert!(error.hint().unwrap().contains("--at"), "{error:?}");

    // By hand, a name is given once.
    let third = bench.back_up("db").await.unwrap().point.id;
    let rename = PointEdit { name: Some("nightly".to_owned()), ..PointEdit::default() };
    let error = bench.dory.edit_point("db", &PointChoice::Named(third.to_string()), &rename).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_is_not_there_is_told_as_it_was_asked_for() {
    let bench = Bench::new();
    bench.database("db");
    let point = bench.back_up("db").await.unwrap().point;
    let path = Path::new("/var/lib/db/nope");
    let listed = bench.dory.list_files("db", &PointChoice::Latest, path, false).await.unwrap_err();
    let read = bench.dory.read_file("db", &PointChoice::Latest, path, &mut Vec::new()).await.unwrap_err();
    for error in [listed, read] {
        assert_eq!((error.kind(), error.subject()), (ErrorKind::NotFound, "/var/lib/db/nope"), "{error}");
        assert!(error.reason().contains(&point.id.to_string()), "{error}");
    }
    let folder = Path::new("/var/lib/db/base");
    let error = bench.dory.read_file("db", &PointChoice::Latest, folder, &mut Vec::new()).await.unwrap_err();
    assert_eq!((error.kind(), error.subject()), (ErrorKind::InvalidInput, "/var/lib/db/base"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn that_a_store_can_be_written_is_proven_and_leaves_nothing() {
    let bench = Bench::new();
    bench.dory.catalog().prove_writable().await.unwrap();
    assert!(bench.catalog.keys().is_empty(), "{:?}", bench.catalog.keys());
    let read_only = || Error::new(ErrorKind::PermissionDenied, "create document", "x", "the store is read-only");
    bench.faults.catalog.fail_next("create", read_only());
    assert_eq!(bench.dory.catalog().prove_writable().await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    bench.faults.catalog.fail_next("delete", read_only());
    assert_eq!(bench.dory.catalog().prove_writable().await.unwrap_err().kind(), ErrorKind::PermissionDenied);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_set_up_says_so_whatever_the_key() {
    let bench = Bench::new();
    let now = bench.dory.now();
    let passphrase = |text: &str| Some(Encryption::Passphrase(Secret::new(text)));
    init(bench.dory.catalog(), passphrase(PASSPHRASE).as_ref(), None, now).await.unwrap();
    for (encryption, kind) in [
        (None, ErrorKind::AlreadyExists),
        (passphrase("wrong"), ErrorKind::WrongKey),
        (Some(Encryption::None), ErrorKind::WrongKey),
    ] {
        let error = init(bench.dory.catalog(), encryption.as_ref(), None, now).await.unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(error.reason().contains("set up already"), "{error}");
        assert!(error.hint().unwrap().contains("passphrase on"), "{error:?}");
    }
    // Nor is whoever forgot the key sent to make another one.
    let forgotten = bench.dory_with(None);
    for error in [forgotten.check_key().await.unwrap_err(), forgotten.open_fleet().await.unwrap_err()] {
        assert!(error.hint().unwrap().contains("recovery sheet"), "{error:?}");
    }
    assert!(init(bench.dory.catalog(), passphrase(PASSPHRASE).as_ref(), None, now).await.unwrap().existed);
}

#[tokio::test(flavor = "multi_thread")]
async fn restoring_from_a_store_that_cannot_be_written_names_the_way_out() {
    let bench = Bench::new();
    bench.database("db");
    bench.back_up("db").await.unwrap();
    let read_only = Error::new(ErrorKind::PermissionDenied, "replace document", "x", "it is read-only").with_hint("y");
    bench.faults.catalog.fail_always("replace", read_only);
    let error = bench.restore(&restore_of("db")).await.unwrap_err();
    assert!(error.hint().unwrap().contains("y; or add `--no-safety`"), "{error:?}");
    bench.restore(&RestoreChoice { safety: false, ..restore_of("db") }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_of_the_same_name_is_not_taken_for_a_container_that_is_gone() {
    let bench = Bench::new();
    bench.database("db");
    bench.back_up("db").await.unwrap();
    bench.runtime.remove_container("db");
    let error = bench.dory.plan_restore(&restore_of("db")).await.unwrap_err();
    assert!(error.reason().contains("is gone"), "{error}");
    bench.runtime.container("db").volume("another", "/var/lib/db").running();
    let error = bench.dory.plan_restore(&restore_of("db")).await.unwrap_err();
    assert!(!error.reason().contains("is gone") && error.reason().contains("none of its volumes"), "{error}");
    assert!(error.hint().unwrap().contains("--into db"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_stays_down_does_not_hide_why_the_backup_failed() {
    let bench = Bench::new();
    bench.runtime.container("db").volume("db-data", "/var/lib/db").refuses_to_start("no such device").running();
    bench.faults.restic.fail_always("backup", Error::new(ErrorKind::Full, "write", "pack", "no space left"));
    let error = bench.back_up("db").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ContainerDown);
    assert!(error.causes().iter().any(|cause| cause.contains("no space left")), "{error:?}");
}

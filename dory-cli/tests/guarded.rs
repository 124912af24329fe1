//! A guardian on a real engine: whoever is killed in the stop window, containers come back, and somebody says so.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use dory_testkit::live::docker;

use crate::bench::Bench;

/// Enough data that a run is still at it when somebody is killed.
const RANDOM_DATA: &str = "dd if=/dev/urandom of=/data/random bs=1M count=300 2>/dev/null";

/// Checks that nothing is left of a run that was broken off, and that the next one succeeds.
fn works_again(bench: &Bench) {
    bench.wait_until_helpers_are_gone();
    bench.dory(&["backup", &bench.name]).succeeded();
    assert!(bench.runs());
    bench.wait_until_helpers_are_gone();
}

#[test]
fn a_killed_backup_is_brought_back_and_told() {
    let Some(bench) = Bench::start() else { return };
    bench.sh(RANDOM_DATA);
    bench.dory(&["init"]).succeeded();
    let ran = bench.backup_that_stops().ends_by("KILL");
    assert_eq!(ran.code, None, "it was killed: {ran:#?}");
    bench.runs_again_soon();
    bench.wait_until_no_helper_runs();

    let told = bench.dory(&["containers"]).succeeded();
    let again = format!("Dory died in the middle of it; `{}` runs again as before", bench.name);
    assert!(told.stderr.contains(&again) && told.stderr.contains("hint:"), "{told:#?}");
    bench.wait_until_helpers_are_gone();
    assert!(!bench.dory(&["containers"]).succeeded().stderr.contains("died"), "it is told once");
    let runs = bench.store().join("runs/bench");
    let runs: Vec<_> =
        std::fs::read_dir(runs).unwrap().map(|run| std::fs::read_to_string(run.unwrap().path())).collect();
    assert!(runs.iter().flatten().any(|run| run.contains("interrupted")), "{runs:?}");
    works_again(&bench);
}

#[test]
fn programs_are_told_too() {
    let Some(bench) = Bench::start() else { return };
    bench.sh(RANDOM_DATA);
    bench.backup_that_stops().ends_by("KILL");
    bench.runs_again_soon();
    bench.wait_until_no_helper_runs();
    let ran = bench.dory(&["backup", &bench.name, "--json"]).succeeded();
    let told: Value = serde_json::from_str(&ran.stderr).unwrap_or_else(|error| panic!("{error}: {ran:#?}"));
    assert_eq!(told["interrupted_run"]["end"], "brought-back");
    assert_eq!(told["interrupted_run"]["containers"][0]["name"], bench.name.as_str());
}

#[test]
fn a_stop_that_takes_too_long_is_ended() {
    let Some(bench) = Bench::start() else { return };
    // One that does not heed the signal it is stopped with, until it is killed.
    let slow = format!("{}-slow", bench.name);
    let volume = format!("{}:/data", bench.name);
    bench.run_container(&slow, &["--stop-signal", "SIGTERM", "--stop-timeout", "5", "-v", &volume]);
    let ran = bench.dory(&["backup", &bench.name, "--stop-limit", "1s"]);
    ran.was_refused(8, &["stood still for longer than they may"]);
    assert!(bench.runs());
    assert_eq!(docker(&["inspect", "-f", "{{.State.Running}}", &slow]), "true\n");
    docker(&["rm", "-f", &slow]);
    works_again(&bench);
}

#[test]
fn a_killed_guardian_is_noticed_and_does_its_work() {
    let Some(bench) = Bench::start() else { return };
    bench.sh(RANDOM_DATA);
    let backup = bench.backup_that_stops();
    let pid = docker(&["inspect", "-f", "{{.State.Pid}}", &bench.guardian()]);
    assert!(Command::new("kill").args(["-s", "KILL", pid.trim()]).status().unwrap().success());
    bench.runs_again_soon();
    // Either the guardian's second life ended the read, or the read was quicker, and is worth little.
    let ran = backup.ends();
    assert!(ran.stderr.contains("guard") && matches!(ran.code, Some(3 | 8)), "{ran:#?}");
    assert!(bench.runs());
    let grades: Vec<_> = bench.points().iter().map(|point| point["consistency"].clone()).collect();
    assert!(grades.iter().all(|grade| grade == "live"), "{grades:?}");
    works_again(&bench);
}

#[test]
fn half_restored_data_stays_down_until_it_is_restored() {
    let Some(bench) = Bench::start() else { return };
    let name = bench.name.as_str();
    bench.sh(RANDOM_DATA);
    bench.dory(&["backup", name, "--name", "good"]).succeeded();
    bench.sh("rm /data/random");
    let restore = bench.starts_to_stop(&["restore", name, "--at", "good", "--no-safety", "--yes"]);
    wait_until_it_writes(&bench.guardian());
    restore.ends_by("KILL");
    bench.wait_until_no_helper_runs();
    assert!(!bench.runs(), "it was started on half-restored data");

    let told = bench.dory(&["containers"]).succeeded();
    let alarm = format!("half restored, and `{name}` must not run on it");
    assert!(told.stderr.contains(&alarm) && told.stderr.contains("dory restore"), "{told:#?}");
    bench.wait_until_helpers_are_gone();
    assert!(!bench.runs());
    bench.dory(&["restore", name, "--at", "good", "--no-safety", "--yes"]).succeeded();
    docker(&["start", name]);
    assert_eq!(bench.sh("/bin/busybox wc -c < /data/random"), format!("{}\n", 300 << 20));
}

/// Waits until a guardian has noted that data is half restored.
fn wait_until_it_writes(guardian: &str) {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let copied = Command::new("docker").args(["cp", &format!("{guardian}:/guardian-stage"), "-"]).output().unwrap();
        if String::from_utf8_lossy(&copied.stdout).contains("writing") {
            return;
        }
        assert!(Instant::now() < end, "the restore writes nothing");
    }
}

#[test]
fn without_a_guardian_none_is_launched() {
    let Some(bench) = Bench::start() else { return };
    bench.sh(RANDOM_DATA);
    let backup = bench.starts_to_stop(&["backup", &bench.name, "--no-guardian"]);
    assert_eq!(bench.helpers().len(), 1, "only the engine's");
    assert_eq!(backup.ends().code, Some(0));
    bench.wait_until_helpers_are_gone();
}

//! Signals in the middle of a backup: containers come back, and the store stays as it was.

use dory_testkit::live::docker;

use crate::bench::Bench;

/// Enough data that a backup is still reading it when a signal comes.
const RANDOM_DATA: &str = "dd if=/dev/urandom of=/data/random bs=1M count=300 2>/dev/null";

fn a_signal_ends_the_backup_in_order(signal: &str) {
    let Some(bench) = Bench::start() else { return };
    bench.sh(RANDOM_DATA);
    let ran = bench.backup_that_stops().ends_by(signal);
    ran.was_refused(130, &["interrupted", &format!("{} runs again", bench.name)]);
    assert!(bench.runs(), "the container was left down");
    assert_eq!(bench.helpers(), [""; 0], "a helper was left");
    assert!(bench.points().is_empty(), "half a backup became a point");

    bench.dory(&["backup", &bench.name]).succeeded();
    assert_eq!(bench.points().len(), 1);
    assert!(bench.runs());
}

#[test]
fn sigint() {
    a_signal_ends_the_backup_in_order("INT");
}

#[test]
fn sigterm() {
    a_signal_ends_the_backup_in_order("TERM");
}

#[test]
fn sigkill_leaves_a_store_that_works() {
    let Some(bench) = Bench::start() else { return };
    bench.sh("echo one > /data/file");
    bench.dory(&["backup", &bench.name, "--name", "before"]).succeeded();
    bench.sh(RANDOM_DATA);
    let ran = bench.backup_that_stops().ends_by("KILL");
    assert_eq!(ran.code, None, "it was killed: {ran:#?}");

    bench.wait_until_no_helper_runs();
    assert_eq!(bench.dory(&["cat", &bench.name, "/data/file"]).succeeded().stdout, "one\n");
    assert_eq!(bench.points().len(), 1);
    docker(&["start", &bench.name]);
    bench.dory(&["backup", &bench.name]).succeeded();
    assert_eq!(bench.points().len(), 2);
    bench.wait_until_helpers_are_gone();
}

//! What cannot be done is refused before anything is stopped, and says what to do.

use crate::bench::Bench;

/// Runs `steps` and checks that the container was neither stopped nor left with a helper.
fn untouched(bench: &Bench, steps: impl FnOnce(&Bench)) {
    let before = bench.started_at();
    steps(bench);
    assert_eq!(bench.started_at(), before, "the container was stopped");
    assert!(bench.runs());
    bench.wait_until_helpers_are_gone();
}

#[test]
fn containers_that_cannot_be_backed_up() {
    let Some(bench) = Bench::start() else { return };
    let empty = format!("{}-empty", bench.name);
    bench.run_container(&empty, &[]);
    let typo = format!("{}x", bench.name);
    untouched(&bench, |bench| {
        bench.dory(&["backup", &typo]).was_refused(4, &["no such container", &typo, "hint:", &bench.name]);
        bench.dory(&["backup", &empty]).was_refused(2, &[&empty, "no volumes"]);
        // The one that can be backed up is not, as long as another one cannot.
        bench.dory(&["backup", &bench.name, &typo]).was_refused(4, &[&typo]);
    });
}

#[test]
fn engines_and_options_that_are_not_known() {
    let Some(bench) = Bench::start() else { return };
    untouched(&bench, |bench| {
        let name = bench.name.as_str();
        bench.dory(&["backup", name, "--engine", "tar"]).was_refused(2, &["tar", "restic", "duplicity"]);
        let option = ["backup", name, "--engine-option", "speed=high"];
        bench.dory(&option).was_refused(2, &["speed", "hint:"]);
        bench.dory(&["backup", name, "--engine-option", "speed"]).was_refused(2, &["--engine-option", "name=value"]);
    });
}

#[test]
fn duplicity_without_duplicity() {
    let Some(bench) = Bench::start() else { return };
    untouched(&bench, |bench| {
        let ran = bench.dory(&["backup", &bench.name, "--engine", "duplicity"]);
        ran.was_refused(11, &["duplicity", "hint:", "scripts/image.sh"]);
    });
}

#[test]
fn keys_that_are_missing_or_wrong() {
    let Some(bench) = Bench::start() else { return };
    untouched(&bench, |bench| {
        let ran = bench.dory_with(&[("DORY_PASSPHRASE", "")], &["backup", &bench.name]);
        ran.was_refused(2, &["encryption key", "hint:", "DORY_PASSPHRASE", "DORY_ENCRYPTION=none"]);
        assert_eq!(std::fs::read_dir(bench.store()).unwrap().count(), 0, "a store was set up without a key");
        bench.dory(&["init"]).succeeded();
        let ran = bench.dory_with(&[("DORY_PASSPHRASE", "another one")], &["backup", &bench.name]);
        ran.was_refused(7, &["hint:", "DORY_PASSPHRASE"]);
    });
}

#[test]
fn points_and_mounts_that_are_not_there() {
    let Some(bench) = Bench::start() else { return };
    bench.sh("echo one > /data/file");
    let name = bench.name.as_str();
    bench.dory(&["backup", name]).succeeded();
    untouched(&bench, |bench| {
        bench.dory(&["restore", name, "--at", "never", "--yes"]).was_refused(4, &["never", "hint:", "dory show"]);
        bench.dory(&["restore", "nobody", "--yes"]).was_refused(4, &["nobody", "hint:", name]);
        let map = |map: &str| bench.dory(&["restore", name, "--map", map, "--yes"]);
        map("/nowhere=/data").was_refused(2, &["--map", "/nowhere", "hint:", "/data"]);
        map("/data=/nowhere").was_refused(4, &["/nowhere", "hint:", "/data"]);
        map("/data=no-such-volume").was_refused(4, &["no-such-volume", "hint:", "docker volume create"]);
        bench.dory(&["restore", name]).was_refused(2, &["hint:", "--yes"]);
    });
    assert_eq!(bench.sh("cat /data/file"), "one\n");
}

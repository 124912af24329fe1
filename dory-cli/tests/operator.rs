//! What an operator meets who follows the README and then strays from it.

use dory_testkit::live::docker;
use serde_json::Value;

use crate::bench::Bench;

fn files_in(bench: &Bench, folder: &str) -> usize {
    std::fs::read_dir(bench.path(folder)).unwrap().count()
}

#[test]
fn a_store_that_is_set_up_says_so_and_gives_another_sheet() {
    let Some(bench) = Bench::start() else { return };
    bench.dory(&["init"]).succeeded();
    let again = bench.dory(&["init"]).succeeded();
    assert!(again.stdout.contains("set up already") && again.stdout.contains("--sheet"), "{again:#?}");
    let without = bench.dory_with(&[("DORY_PASSPHRASE", "")], &["init", "--sheet", "other.txt"]);
    without.was_refused(5, &["set up already", "hint:", "recovery sheet"]);
    let wrong = bench.dory_with(&[("DORY_PASSPHRASE", "wrong")], &["init"]);
    wrong.was_refused(7, &["set up already", "hint:"]);
    bench.dory(&["init", "--sheet", "other.txt"]).succeeded();
    let sheet = std::fs::read_to_string(bench.path("other.txt")).unwrap();
    assert!(sheet.contains("correct horse battery"), "{sheet}");
    bench.dory(&["init", "--sheet", "other.txt"]).was_refused(5, &["set up already", "other.txt", "--sheet"]);
}

#[test]
fn a_folder_with_other_things_becomes_no_store() {
    let Some(bench) = Bench::start() else { return };
    std::fs::write(bench.store().join("thesis.txt"), "mine").unwrap();
    bench.dory(&["init"]).was_refused(5, &["thesis.txt", "hint:", "DORY_STORE"]);
    bench.dory(&["backup", &bench.name]).was_refused(5, &["thesis.txt", "hint:"]);
    assert_eq!(files_in(&bench, "store"), 1);
    let nowhere = bench.dory_with(&[("DORY_STORE", "file:///proc/nope")], &["init"]);
    nowhere.was_refused(2, &["file:///proc/nope", "no folder can be made", "hint:"]);
}

#[test]
fn a_key_that_is_wrong_is_told_once() {
    let Some(bench) = Bench::start() else { return };
    bench.dory(&["init"]).succeeded();
    let ran = bench.dory(&["doctor"]).succeeded();
    assert!(ran.stdout.contains("ok      writing"), "{ran:#?}");
    assert_eq!(files_in(&bench, "store"), 3, "the store's document, its copy and its lock, and nothing of the check");
    let ran = bench.dory_with(&[("DORY_PASSPHRASE", "wrong")], &["doctor"]);
    assert_eq!(ran.code, Some(7), "{ran:#?}");
    assert_eq!(ran.stdout.matches("not the passphrase").count(), 1, "{ran:#?}");
    assert_eq!(ran.stdout.matches("hint:").count(), 1, "{ran:#?}");
    assert_eq!(ran.stderr, "");
}

#[test]
fn all_marked_containers_but_those_that_fail_are_backed_up() {
    let Some(bench) = Bench::start() else { return };
    let (bad, gone) = (format!("{}-bad", bench.name), format!("{}-gone", bench.name));
    bench.run_container(&bad, &["-v", "/data", "-l", "dory.stop=freeze"]);
    bench.run_container(&gone, &["-v", "/data"]);
    bench.dory(&["init"]).succeeded();
    bench.dory(&["mark", &bench.name, &bad, &gone]).succeeded();
    docker(&["rm", "-f", "-v", &gone]);

    let ran = bench.dory(&["backup", "--all", "--json"]);
    assert_eq!(ran.code, Some(2), "{ran:#?}");
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    let error_of = |name: &str| {
        let one = report.as_array().unwrap().iter().find(|one| one["container"] == name).unwrap();
        one["error"]["kind"].as_str().map(str::to_owned)
    };
    assert_eq!(error_of(&bench.name), None, "{ran:#?}");
    assert_eq!(error_of(&bad).as_deref(), Some("invalid-input"));
    assert_eq!(error_of(&gone).as_deref(), Some("not-found"));
    let told = bench.dory(&["backup", "--all", "--dry-run"]).was_refused(2, &["dory.stop", &bad, &gone, "dory unmark"]);
    assert!(told.stdout.contains(&format!("{} goes to", bench.name)), "{told:#?}");

    let listed = bench.dory(&["containers"]).succeeded();
    assert!(listed.stderr.contains("dory.stop") && listed.stderr.contains(&bad), "{listed:#?}");
    bench.dory(&["unmark", &bad]).succeeded();
    bench.dory(&["backup", "--all"]).was_refused(3, &[&gone]);
    bench.dory(&["unmark", &gone]).succeeded();
    bench.dory(&["backup", "--all"]).succeeded();
    assert_eq!(bench.points().len(), 3);
    bench.dory(&["backup", &bench.name, &bench.name]).succeeded();
    assert_eq!(bench.points().len(), 4, "named twice, backed up once");
    bench.dory(&["backup"]).was_refused(2, &["no container is named", "--all"]);
}

#[test]
fn what_show_prints_finds_its_point_and_who_has_enough_is_let_go() {
    let Some(bench) = Bench::start() else { return };
    let name = bench.name.as_str();
    bench.sh("echo one > /data/file; dd if=/dev/urandom of=/data/big bs=1M count=4 2>/dev/null");
    bench.dory(&["backup", name, "--name", "first"]).succeeded();
    bench.sh("echo two > /data/file");
    bench.dory(&["backup", name, "--name", "2026-01-01"]).was_refused(2, &["2026-01-01", "reads as a time", "hint:"]);
    bench.dory(&["backup", name]).succeeded();

    let shown = bench.dory(&["show", name]).succeeded().stdout;
    let row = shown.lines().find(|line| line.ends_with("first")).unwrap();
    let time = row.split("  ").next().unwrap();
    assert!(time.ends_with(" UTC"), "{shown}");
    assert_eq!(bench.dory(&["cat", name, "/data/file", "--at", time]).succeeded().stdout, "one\n");
    assert_eq!(bench.dory(&["cat", name, "/data/file", "--at", &time[11..19]]).succeeded().stdout, "one\n");
    bench.dory(&["cat", name, "/data/file", "--at", "yesterday"]).was_refused(2, &["yesterday", "hint:", "3 days ago"]);
    bench.dory(&["ls", name, "/nope"]).was_refused(4, &["/nope", "hint:"]);
    bench.dory(&["ls", name, "/data/nope"]).was_refused(4, &["`/data/nope`", "restore point"]);
    assert_eq!(bench.dory(&["ls", name]).succeeded().stdout, "/data\n");
    let listed = bench.dory(&["list", "--of", "nobody"]).succeeded();
    assert!(listed.stdout.contains("`nobody` has no backups") && listed.stdout.contains("`bench`"), "{listed:#?}");

    let mut child = bench.start_dory(&["cat", name, "/data/big"]);
    drop(child.stdout.take());
    let mut told = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut told).unwrap();
    assert_eq!((child.wait().unwrap().code(), told.as_str()), (Some(141), ""));
}

#[test]
fn a_wrong_turn_of_the_engine_can_be_taken_back() {
    let Some(bench) = Bench::start() else { return };
    let name = bench.name.as_str();
    bench.dory(&["backup", name]).succeeded();
    bench.dory(&["edit", name, "--engine-option", "foo=bar"]).was_refused(2, &["foo"]);
    let edited = bench.dory(&["edit", name, "--engine", "duplicity", "--engine-option", "volsize=50"]).succeeded();
    assert!(edited.stdout.contains("duplicity") && edited.stdout.contains("volsize=50"), "{edited:#?}");
    bench.dory(&["ls", name, "/data"]).succeeded();
    let edited = bench.dory(&["edit", name, "--engine", "restic", "--stop", "pause"]).succeeded();
    assert!(!edited.stdout.contains("volsize") && edited.stdout.contains("stop mode    pause"), "{edited:#?}");
    bench.dory(&["backup", name]).succeeded();
    bench.dory(&["restore", name, "--yes"]).succeeded();
}

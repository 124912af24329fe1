//! There and back: everything a user does with one container, in order.

use serde_json::Value;

use crate::bench::Bench;

#[test]
fn a_broken_container_gets_its_data_back() {
    let Some(bench) = Bench::start() else { return };
    let name = bench.name.as_str();
    bench.sh("mkdir /data/folder; echo one > /data/folder/file; echo two > /data/other");

    bench.dory(&["init", "--sheet", "sheet.txt"]).succeeded();
    let sheet = std::fs::read_to_string(bench.path("sheet.txt")).unwrap();
    assert!(sheet.contains("correct horse battery"), "{sheet}");

    let started_at = bench.started_at();
    let ran = bench.dory(&["backup", name, "--name", "good"]).succeeded();
    assert!(ran.stdout.contains("stop window"), "{ran:#?}");
    assert!(ran.stderr.contains(&format!("{name} runs again")), "{ran:#?}");
    assert_ne!(bench.started_at(), started_at, "it was not stopped");

    bench.sh("rm -r /data/folder; echo broken > /data/other; echo more > /data/extra");
    bench.dory(&["restore", name, "--at", "good", "--yes"]).succeeded();
    assert_eq!(bench.sh("cat /data/folder/file /data/other"), "one\ntwo\n");
    assert_eq!(bench.sh("test -e /data/extra || echo gone"), "gone\n");

    let kept = bench.points();
    assert_eq!(kept.len(), 2, "the safety point is there too: {kept:?}");
    assert_eq!(
        bench.dory(&["cat", name, "/data/other"]).succeeded().stdout,
        "two\n",
        "a safety point is not the newest"
    );
    let safety = kept.iter().find(|point| point["origin"] == "safety").unwrap()["id"].as_str().unwrap();
    assert_eq!(bench.dory(&["cat", name, "/data/other", "--at", safety]).succeeded().stdout, "broken\n");
    assert_eq!(bench.dory(&["cat", name, "/data/other", "--at", "good"]).succeeded().stdout, "two\n");
    let files = bench.json(&["ls", name, "/data", "--at", "good"]);
    let sizes: Vec<_> = files.as_array().unwrap().iter().filter_map(|file| file["bytes"].as_u64()).collect();
    assert!(sizes.contains(&4), "{files}");
    assert!(bench.runs());
    bench.wait_until_helpers_are_gone();
}

#[test]
fn a_catalog_can_be_edited_marked_and_emptied() {
    let Some(bench) = Bench::start() else { return };
    let name = bench.name.as_str();
    bench.sh("echo one > /data/file");
    let refused = bench.dory(&["backup", "--all"]).was_refused(4, &["no container is marked", "hint:", "dory mark"]);
    assert!(refused.stdout.is_empty());
    // The first backup needs no `dory init`.
    bench.dory(&["mark", name]).was_refused(4, &["dory init"]);
    let report = bench.json(&["backup", name]);
    assert_eq!(report[0]["container"], name);
    assert_eq!(report[0]["error"], Value::Null);

    bench.dory(&["edit", name, "--at", "latest", "--name", "first"]).succeeded();
    let edited = bench.json(&["edit", name, "--set", "owner=ops", "--description", "the shop"]);
    assert_eq!(edited["metadata"]["owner"], "ops");
    assert_eq!(edited["description"], "the shop");
    assert_eq!(bench.json(&["show", name])["points"][0]["name"], "first");

    bench.dory(&["mark", name]).succeeded();
    let report = bench.json(&["backup", "--all"]);
    assert_eq!(report.as_array().unwrap().len(), 1, "only the marked one: {report}");
    assert_eq!(report[0]["container"], name);
    assert_eq!(bench.points().len(), 2);
    let containers = bench.json(&["containers"]);
    let own = containers.as_array().unwrap().iter().find(|one| one["container"]["name"] == name).unwrap();
    assert_eq!(own["marked"], true);

    bench.dory(&["delete", name, "--at", "first"]).was_refused(2, &["--yes"]);
    assert_eq!(bench.points().len(), 2, "nobody confirmed");
    bench.dory(&["delete", name, "--at", "first", "--yes"]).succeeded();
    assert_eq!(bench.points().len(), 1);
    assert_eq!(bench.dory(&["cat", name, "/data/file"]).succeeded().stdout, "one\n", "the other point is whole");
    bench.dory(&["delete", name, "--yes"]).succeeded();
    assert_eq!(bench.json(&["list"])["backups"].as_array().unwrap().len(), 0);
    bench.wait_until_helpers_are_gone();
}

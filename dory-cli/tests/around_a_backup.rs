//! What happens around a backup on a real engine: hooks, waiting for health, containers that change meanwhile, suspicion.

use std::time::Duration;

use dory_testkit::live::docker;
use jiff::Timestamp;

use crate::bench::Bench;

fn inspect(container: &str, template: &str) -> String {
    docker(&["inspect", "-f", template, container]).trim_end().to_owned()
}

fn started(container: &str) -> Timestamp {
    inspect(container, "{{.State.StartedAt}}").parse().unwrap()
}

/// Runs one more container on this bench's volume, and gives its name.
fn run_beside(bench: &Bench, stem: &str, options: &[&str]) -> String {
    let name = format!("{}-{stem}", bench.name);
    let volume = format!("{}:/data", bench.name);
    bench.run_container(&name, &[&["-v", &volume], options].concat());
    name
}

fn health_check(command: &'static str) -> [&'static str; 4] {
    ["--health-cmd", command, "--health-interval", "300ms"]
}

#[test]
fn hooks_run_in_the_container_around_its_backup() {
    let Some(bench) = Bench::start() else { return };
    bench.sh("dd if=/dev/zero of=/data/file bs=1k count=1");
    let pre = "dory.pre=echo flushed > /data/flushed; echo $DORY_HOOK_MOMENT";
    let app = run_beside(&bench, "app", &["--label", pre, "--label", r#"dory.post=["rm", "/data/flushed"]"#]);
    let ran = bench.dory(&["backup", &app]).succeeded();
    assert!(ran.stderr.contains(&format!("post-hook in {app} ended well")), "{ran:#?}");
    assert_eq!(bench.dory(&["cat", &app, "/data/flushed"]).succeeded().stdout, "flushed\n");
    assert_eq!(bench.sh("test -e /data/flushed || echo gone"), "gone\n");
    let report = bench.json(&["backup", &app]);
    assert_eq!(report[0]["hooks"][0]["said"], "pre", "{report}");

    let before = bench.started_at();
    bench.dory(&["edit", &app, "--pre", "echo no room >&2; exit 9"]).succeeded();
    bench.dory(&["backup", &app]).was_refused(13, &["ended with code 9", "no room", "--no-hooks"]);
    assert_eq!(bench.started_at(), before, "something was stopped");
    bench.dory(&["backup", &app, "--no-hooks"]).succeeded();
}

#[test]
fn a_hook_that_hangs_is_ended_with_all_it_started() {
    let Some(bench) = Bench::start() else { return };
    let hook = "dory.pre=trap '' TERM; sleep 777 & sleep 777; sleep 777";
    let app = run_beside(&bench, "app", &["--label", hook, "--label", "dory.pre.timeout=1s"]);
    let before = started(&app);
    bench.dory(&["backup", &app]).was_refused(13, &["took too long and was ended"]);
    assert_eq!(started(&app), before, "it was stopped");
    let left = docker(&["exec", &app, "/bin/busybox", "ps"]);
    assert!(!left.contains("sleep 777"), "{left}");
    // What is left of a command must not keep the container from stopping.
    docker(&["stop", "-t", "5", &app]);
}

#[test]
fn dependents_start_when_what_they_need_is_healthy() {
    let Some(bench) = Bench::start() else { return };
    let project = format!("com.docker.compose.project={}", bench.name);
    let service = |service: &str| format!("com.docker.compose.service={service}");
    let (db, web) = (service("db"), service("web"));
    let needs = "com.docker.compose.depends_on=db:service_healthy:false";
    let web = run_beside(&bench, "a-web", &["--label", &project, "--label", &web, "--label", needs]);
    let check = health_check("sleep 1");
    let db = run_beside(&bench, "z-db", &[&check[..], &["--label", &project, "--label", &db]].concat());
    let report = bench.json(&["backup", &web]);
    let point = &report[0]["point"];
    assert_eq!(report[0]["error"], serde_json::Value::Null, "{report}");
    assert_eq!(inspect(&db, "{{.State.Health.Status}}"), "healthy");
    assert!(started(&web).duration_since(started(&db)).as_millis() >= 1000, "{web} did not wait for {db}: {point}");
}

#[test]
fn what_is_still_starting_is_not_stopped() {
    let Some(bench) = Bench::start() else { return };
    let check = health_check("false");
    let app = run_beside(&bench, "app", &[&check[..], &["--health-start-period", "1h"]].concat());
    let before = (started(&app), bench.started_at());
    let ran = bench.dory(&["backup", &app, "--healthy-timeout", "1s"]);
    ran.was_refused(8, &[&app, "still starting after 1 s", "--healthy-timeout"]);
    assert_eq!((started(&app), bench.started_at()), before, "something was stopped");
}

#[test]
fn a_container_that_was_created_anew_meanwhile_runs_again() {
    let Some(bench) = Bench::start() else { return };
    let name = bench.name.clone();
    // The last to be stopped takes its time, for it does not hear the request.
    let slow = run_beside(&bench, "a-slow", &["--stop-signal", "SIGTERM", "--stop-timeout", "6"]);
    let quick = run_beside(&bench, "z-quick", &[]);
    let old = inspect(&quick, "{{.Id}}");
    let (told, heard) = std::sync::mpsc::channel();
    let runs = quick.clone();
    let meanwhile = std::thread::spawn(move || {
        let end = std::time::Instant::now() + Duration::from_secs(60);
        while inspect(&runs, "{{.State.Running}}") == "true" {
            assert!(std::time::Instant::now() < end, "it was never stopped");
            std::thread::sleep(Duration::from_millis(20));
        }
        docker(&["rm", &runs]);
        let volume = format!("{name}:/data");
        docker(&["create", "--name", &runs, "-v", &volume, "--stop-signal", "SIGKILL", &name, "sleep", "100000"]);
        told.send(()).unwrap();
    });
    let ran = bench.dory(&["backup", &slow]);
    heard.recv_timeout(Duration::from_secs(60)).unwrap();
    meanwhile.join().unwrap();
    ran.succeeded();
    assert_ne!(inspect(&quick, "{{.Id}}"), old);
    assert_eq!(inspect(&quick, "{{.State.Running}}"), "true");
    assert!(bench.runs());
}

#[test]
fn the_printed_command_undoes_a_restore() {
    let Some(bench) = Bench::start() else { return };
    let name = bench.name.as_str();
    let all = "cd /data; /bin/busybox find . | /bin/busybox sort; /bin/busybox tar -c . | /bin/busybox md5sum";
    bench.sh("mkdir /data/folder; echo one > /data/folder/file; echo two > /data/other");
    bench.dory(&["backup", name]).succeeded();
    bench.sh("rm -r /data/folder; echo broken > /data/other; echo more > /data/extra");
    let before = bench.sh(all);
    let ran = bench.dory(&["restore", name, "--yes"]).succeeded();
    assert_ne!(bench.sh(all), before);
    let undo = ran.stdout.lines().find_map(|line| line.strip_prefix("to undo: dory ")).expect("it says how to undo");
    let words: Vec<_> = undo.split(' ').chain(["--yes"]).collect();
    bench.dory(&words).succeeded();
    assert_eq!(bench.sh(all), before);
}

#[test]
fn a_source_that_lost_its_data_is_told_and_freezes_its_backup() {
    let Some(bench) = Bench::start() else { return };
    let name = bench.name.as_str();
    bench.sh("mkdir /data/folder; echo one > /data/folder/file");
    bench.dory(&["backup", name, "--name", "good"]).succeeded();
    bench.sh("rm -r /data/folder");
    let ran = bench.dory(&["backup", name]);
    ran.was_refused(14, &["SUSPECT", "/data is empty and held 2 files before", "--clear-suspect"]);
    assert!(bench.dory(&["list"]).succeeded().stdout.contains("FROZEN"));
    assert!(bench.dory(&["show", name]).succeeded().stdout.contains("SUSPECT, /data is empty"));
    bench.dory(&["delete", name, "--at", "good"]).was_refused(2, &["--yes", "suspect, /data is empty"]);
    bench.dory(&["edit", name, "--clear-suspect"]).succeeded();
    let ran = bench.dory(&["show", name]).succeeded();
    assert!(!ran.stdout.contains("FROZEN") && ran.stdout.contains("was cleared"), "{ran:#?}");
    bench.dory(&["backup", name]).succeeded();
    bench.dory(&["edit", name, "--clear-suspect"]).was_refused(4, &["nothing of it is suspect"]);
}

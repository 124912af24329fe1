//! The point is what the stopped container had, byte for byte, whatever wrote until the last moment.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use dory_testkit::live::{self, docker};

use crate::bench::Bench;

/// How often the container is backed up and compared.
const ROUNDS: usize = 3;

#[test]
fn a_point_is_what_a_busy_container_had_when_it_stood_still() {
    let Some(bench) = Bench::start() else { return };
    let Some(writer) = live::or_skip("cc", compile(&bench)) else { return };
    let name = bench.name.as_str();
    docker(&["rm", "-f", name]);
    run(&bench, name, name, &writer, &[]);
    docker(&["start", name]);
    let check = format!("{name}-check");
    run(&bench, &check, &check, &writer, &["verify"]);

    for round in 0..ROUNDS {
        // It has written something, and is in the middle of it.
        let end = Instant::now() + Duration::from_secs(30);
        while docker(&["exec", name, "/bin/busybox", "ls", "/data/small"]).lines().count() < 50 * (round + 1) {
            assert!(Instant::now() < end, "it does not write");
            std::thread::sleep(Duration::from_millis(50));
        }
        let report = bench.json(&["backup", name]);
        let frozen = &report[0]["frozen"];
        let aside = frozen["copied_bytes"].as_u64().unwrap() + frozen["cloned_bytes"].as_u64().unwrap();
        assert!(aside > 0, "nothing changed between the passes: {report:#}");
        assert_eq!(report[0]["point"]["consistency"], "stopped", "{report:#}");
        assert_eq!(report[0]["point"]["warning_count"], 0, "{report:#}");

        bench.dory(&["restore", name, "--into", &check, "--yes"]).succeeded();
        let verified = Command::new("docker").args(["start", "-a", &check]).output().unwrap();
        let told = String::from_utf8_lossy(&verified.stdout).into_owned();
        assert!(verified.status.success() && told.starts_with("SAME"), "round {round}: {told}");
    }
    docker(&["rm", "-f", &check]);
    docker(&["volume", "rm", &check]);
}

/// The program that writes, for a container without any library.
fn compile(bench: &Bench) -> Option<std::path::PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/writer.c");
    let program = bench.path("writer");
    let compiled = Command::new("cc").args(["-static", "-O2", "-o"]).arg(&program).arg(source).status();
    compiled.is_ok_and(|status| status.success()).then_some(program)
}

/// Makes a container that runs the program, with a volume at `/data`.
fn run(bench: &Bench, name: &str, volume: &str, writer: &Path, arguments: &[&str]) {
    let volume = format!("{volume}:/data");
    let first = ["create", "--network", "none", "--name", name, "-v", &volume, &bench.name, "/writer"];
    docker(&[&first, arguments].concat());
    docker(&["cp", &writer.display().to_string(), &format!("{name}:/writer")]);
}

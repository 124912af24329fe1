//! The engine itself is killed in the stop window: another engine than everybody's, which this test starts and ends.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use dory_testkit::live::{Docker, LiveContainer, OwnEngine};

fn dory(engine: &OwnEngine, arguments: &[&str]) -> Command {
    let store = engine.folder().join("store");
    std::fs::create_dir_all(&store).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_dory"));
    command.env_clear().env("DOCKER_HOST", engine.docker().address().unwrap()).env("HOME", engine.folder());
    command.env("DORY_STORE", format!("file://{}", store.display())).env("DORY_SERVER", "bench");
    command.env("DORY_PASSPHRASE", "correct horse battery");
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The process that reads the data, once it runs.
fn pid_of_helper(docker: &Docker) -> Option<String> {
    let format = r#"{{.ID}} {{.Label "dory.helper.role"}}"#;
    let helpers = docker.list(&["ps", "--filter", "label=dory.helper", "--format", format]);
    let helper = helpers.iter().find(|line| !line.is_empty() && !line.ends_with(" guardian"))?;
    let id = helper.split(' ').next()?;
    Some(docker.ok(&["inspect", "-f", "{{.State.Pid}}", id]).trim().to_owned())
}

#[test]
fn a_killed_engine_brings_the_container_back_when_it_is_there_again() {
    let Some(mut engine) = OwnEngine::start() else { return };
    let docker = engine.docker();
    let container = LiveContainer::start_on(&docker);
    let db = container.name();
    // Enough for a run to be still at it.
    container.sh("dd if=/dev/urandom of=/data/random bs=1M count=400 2>/dev/null");
    let mut backup = dory(&engine, &["backup", db]).spawn().unwrap();
    let mut stderr = BufReader::new(backup.stderr.take().unwrap());
    let mut heard = String::new();
    let mut helper = None;
    while !heard.ends_with(&format!("stopping {db}\n")) {
        assert_ne!(stderr.read_line(&mut heard).unwrap(), 0, "it ended before it stopped anything: {heard}");
        helper = helper.or_else(|| pid_of_helper(&docker));
    }
    // The data cannot be read on, so the container stands still until the engine dies, and there is something to bring back.
    let helper = helper.expect("a helper before the first stop");
    assert!(Command::new("kill").args(["-s", "STOP", &helper]).status().unwrap().success());
    let end = Instant::now() + Duration::from_secs(20);
    while container.runs() {
        assert!(Instant::now() < end, "the container does not stop");
        std::thread::sleep(Duration::from_millis(20));
    }
    engine.kill();
    stderr.read_to_string(&mut heard).unwrap();
    assert!(!backup.wait().unwrap().success(), "{heard}");

    engine.run();
    let end = Instant::now() + Duration::from_secs(20);
    while !container.runs() {
        assert!(Instant::now() < end, "the container was left down: {}", docker.ok(&["ps", "-a", "--no-trunc"]));
        std::thread::sleep(Duration::from_millis(50));
    }
    while !docker.list(&["ps", "-q", "--filter", "label=dory.helper"]).is_empty() {
        assert!(Instant::now() < end, "a helper still runs");
        std::thread::sleep(Duration::from_millis(50));
    }

    let told = dory(&engine, &["containers"]).output().unwrap();
    let words = String::from_utf8_lossy(&told.stderr);
    let back = format!("Dory could not start all it stopped; `{db}` runs again as before");
    assert!(words.contains(&back), "{words}\nheard before: {heard}");
    assert_eq!(docker.list(&["ps", "-aq", "--filter", "label=dory.helper"]), [""; 0], "a helper was left");
    let again = dory(&engine, &["backup", db]).output().unwrap();
    assert!(again.status.success(), "{again:?}");
    assert!(container.runs());
}

//! The engine itself is killed in the stop window: another engine than everybody's, which this test starts and ends.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use dory_testkit::live;
use tempfile::TempDir;

const BUSYBOX: &str = "/bin/busybox";

/// An engine of its own: socket, data, containers, and a network namespace. Without that, an engine that needs no bridge
/// removes the bridge of the host's engine.
struct Engine {
    daemon: Option<Child>,
    folder: TempDir,
}

impl Engine {
    /// `None` where there is no `dockerd` that this user may run.
    fn start() -> Option<Self> {
        let root = std::fs::read_to_string("/proc/self/status").is_ok_and(|status| status.contains("\nUid:\t0\t"));
        let found = root
            && Path::new(BUSYBOX).is_file()
            && Command::new("dockerd").arg("--version").output().is_ok_and(|output| output.status.success());
        live::or_skip("dockerd", found.then_some(()))?;
        let mut engine = Self { daemon: None, folder: tempfile::tempdir().unwrap() };
        engine.run();
        Some(engine)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn address(&self) -> String {
        format!("unix://{}", self.path("docker.sock").display())
    }

    fn run(&mut self) {
        // An engine that was killed takes its containerd along, which counts as alive until some init reaps it.
        drop(std::fs::remove_file(self.path("exec/containerd/containerd.pid")));
        let place = |option: &str, name: &str| format!("--{option}={}", self.path(name).display());
        let log = std::fs::File::options().create(true).append(true).open(self.path("log")).unwrap();
        let daemon = Command::new("unshare")
            .args(["--net", "dockerd"])
            .args([format!("--host={}", self.address()), place("data-root", "data"), place("exec-root", "exec")])
            .args([place("pidfile", "pid"), "--bridge=none".into(), "--iptables=false".into()])
            .args(["--ip6tables=false"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.daemon = Some(daemon);
        let end = Instant::now() + Duration::from_secs(60);
        while !self.docker(&["info"]).status.success() {
            let log = || std::fs::read_to_string(self.path("log")).unwrap_or_default();
            assert!(Instant::now() < end, "the engine does not start: {}", log());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// SIGKILL: containers are left to themselves.
    fn kill(&mut self) {
        let mut daemon = self.daemon.take().unwrap();
        daemon.kill().unwrap();
        daemon.wait().unwrap();
    }

    fn docker(&self, arguments: &[&str]) -> Output {
        Command::new("docker").args(["-H", &self.address()]).args(arguments).output().unwrap()
    }

    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.docker(arguments);
        assert!(output.status.success(), "docker {arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn runs(&self, name: &str) -> bool {
        self.ok(&["inspect", "-f", "{{.State.Running}}", name]) == "true\n"
    }

    /// A container with a volume that holds enough for a run to be still at it.
    fn make_container(&self, name: &str) {
        let root = self.path("image/bin");
        std::fs::create_dir_all(&root).unwrap();
        std::fs::copy(BUSYBOX, root.join("busybox")).unwrap();
        let archive = self.path("image.tar").display().to_string();
        let packed = Command::new("tar").arg("-C").arg(self.path("image")).args(["-cf", &archive, "bin"]).status();
        assert!(packed.unwrap().success());
        self.ok(&["import", &archive, "busybox:test"]);
        let first = ["run", "-d", "--name", name, "--network", "none", "--stop-signal", "SIGKILL", "-v", "data:/data"];
        self.ok(&[&first[..], &["busybox:test", "/bin/busybox", "sleep", "100000"]].concat());
        let fill = "/bin/busybox dd if=/dev/urandom of=/data/random bs=1M count=400 2>/dev/null";
        self.ok(&["exec", name, "/bin/busybox", "sh", "-c", fill]);
    }

    fn dory(&self, arguments: &[&str]) -> Command {
        std::fs::create_dir_all(self.path("store")).unwrap();
        let store = format!("file://{}", self.path("store").display());
        let mut command = Command::new(env!("CARGO_BIN_EXE_dory"));
        command.env_clear().env("DOCKER_HOST", self.address()).env("DORY_STORE", store).env("DORY_SERVER", "bench");
        command.env("DORY_PASSPHRASE", "correct horse battery").env("HOME", self.folder.path());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        for container in String::from_utf8_lossy(&self.docker(&["ps", "-aq"]).stdout).lines() {
            self.docker(&["rm", "-f", container]);
        }
        if let Some(mut daemon) = self.daemon.take() {
            let ended = Command::new("kill").args(["-s", "TERM", &daemon.id().to_string()]).status();
            drop((ended, daemon.wait()));
        }
        self.end_orphans();
    }
}

impl Engine {
    /// Ends what an engine leaves behind that was killed and did not start again: what holds its containers, and they.
    fn end_orphans(&self) {
        let folder = self.folder.path().display().to_string();
        let read = |path: PathBuf| std::fs::read_to_string(path).unwrap_or_default();
        for process in std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path()) {
            if read(process.join("cmdline")).contains(&folder) {
                let pid = process.file_name().unwrap().to_string_lossy().into_owned();
                let held = read(process.join("task").join(&pid).join("children"));
                for pid in held.split_whitespace().chain([pid.as_str()]) {
                    drop(Command::new("kill").args(["-s", "KILL", pid]).status());
                }
            }
        }
        for mount in read("/proc/mounts".into()).lines().filter_map(|line| line.split(' ').nth(1)) {
            if mount.starts_with(&folder) {
                drop(Command::new("umount").args(["-l", mount]).status());
            }
        }
    }
}

#[test]
fn a_killed_engine_brings_the_container_back_when_it_is_there_again() {
    let Some(mut engine) = Engine::start() else { return };
    engine.make_container("db");
    let mut dory = engine.dory(&["backup", "db"]).spawn().unwrap();
    let mut stderr = BufReader::new(dory.stderr.take().unwrap());
    let mut heard = String::new();
    while !heard.ends_with("stopping db\n") {
        assert_ne!(stderr.read_line(&mut heard).unwrap(), 0, "it ended before it stopped anything: {heard}");
    }
    // Not before it stands still, or there would be nothing to bring back.
    while engine.runs("db") {
        std::thread::sleep(Duration::from_millis(20));
    }
    engine.kill();
    std::io::Read::read_to_string(&mut stderr, &mut heard).unwrap();
    assert!(!dory.wait().unwrap().success(), "{heard}");

    engine.run();
    let end = Instant::now() + Duration::from_secs(20);
    while !engine.runs("db") {
        assert!(Instant::now() < end, "the container was left down: {}", engine.ok(&["ps", "-a", "--no-trunc"]));
        std::thread::sleep(Duration::from_millis(50));
    }
    while !engine.ok(&["ps", "-q", "--filter", "label=dory.helper"]).is_empty() {
        assert!(Instant::now() < end, "a helper still runs");
        std::thread::sleep(Duration::from_millis(50));
    }

    let told = engine.dory(&["containers"]).output().unwrap();
    let words = String::from_utf8_lossy(&told.stderr);
    assert!(words.contains("Dory died in the middle of it; `db` runs again"), "{words}");
    assert_eq!(engine.ok(&["ps", "-aq", "--filter", "label=dory.helper"]), "", "a helper was left");
    let again = engine.dory(&["backup", "db"]).output().unwrap();
    assert!(again.status.success(), "{again:?}");
    assert!(engine.runs("db"));
}

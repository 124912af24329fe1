//! An engine that a test may kill: another one than everybody's, which goes when the test does.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{Docker, has_tools, or_skip};

/// How long an engine may take to start.
const START: Duration = Duration::from_secs(60);

/// An engine of its own: socket, data, containers, and a network namespace. Without that, an engine that needs no bridge
/// removes the bridge of the host's engine.
#[derive(Debug)]
pub struct OwnEngine {
    daemon: Option<Child>,
    folder: TempDir,
}

impl OwnEngine {
    /// One that answers; `None` where there is no `dockerd` that this user may run, or nothing to put into a container.
    #[must_use]
    pub fn start() -> Option<Self> {
        let root = std::fs::read_to_string("/proc/self/status").is_ok_and(|status| status.contains("\nUid:\t0\t"));
        let found = root
            && has_tools()
            && Command::new("dockerd").arg("--version").output().is_ok_and(|output| output.status.success());
        or_skip("dockerd", found.then_some(()))?;
        let mut engine = Self { daemon: None, folder: TempDir::new().expect("a temporary folder") };
        engine.run();
        Some(engine)
    }

    /// The way to it.
    #[must_use]
    pub fn docker(&self) -> Docker {
        Docker::at(format!("unix://{}", self.path("docker.sock").display()))
    }

    /// A folder of its own, which goes with it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The process to kill. Its containers are then left to themselves.
    ///
    /// # Panics
    /// If it does not run.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.daemon.as_ref().expect("an engine that runs").id()
    }

    /// Starts it, again if it was killed, and waits until it answers.
    pub fn run(&mut self) {
        self.kill();
        // An engine that was killed takes its containerd along, which counts as alive until some init reaps it.
        drop(std::fs::remove_file(self.path("exec/containerd/containerd.pid")));
        let place = |option: &str, name: &str| format!("--{option}={}", self.path(name).display());
        let log = std::fs::File::options().create(true).append(true).open(self.path("log")).expect("a log");
        let daemon = Command::new("unshare")
            .args(["--net", "dockerd"])
            .args([place("host", "docker.sock").replace("--host=", "--host=unix://")])
            .args([place("data-root", "data"), place("exec-root", "exec"), place("pidfile", "pid")])
            .args(["--bridge=none", "--iptables=false", "--ip6tables=false"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn();
        self.daemon = Some(daemon.expect("unshare"));
        let end = Instant::now() + START;
        while !self.docker().answers() {
            let log = || std::fs::read_to_string(self.path("log")).unwrap_or_default();
            assert!(Instant::now() < end, "the engine does not start: {}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// SIGKILL, unless somebody else did that.
    pub fn kill(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            drop((daemon.kill(), daemon.wait()));
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Ends what an engine leaves behind that was killed and did not start again: what holds its containers, and they.
    fn end_orphans(&self) {
        let folder = self.folder.path().display().to_string();
        let read = |path: PathBuf| std::fs::read_to_string(path).unwrap_or_default();
        for process in std::fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path()) {
            if read(process.join("cmdline")).contains(&folder) {
                let pid = process.file_name().unwrap_or_default().to_string_lossy().into_owned();
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

impl Drop for OwnEngine {
    fn drop(&mut self) {
        let docker = self.docker();
        for container in String::from_utf8_lossy(&docker.run(&["ps", "-aq"]).stdout).lines() {
            drop(docker.run(&["rm", "-f", container]));
        }
        if let Some(mut daemon) = self.daemon.take() {
            let ended = Command::new("kill").args(["-s", "TERM", &daemon.id().to_string()]).status();
            drop((ended, daemon.wait()));
        }
        self.end_orphans();
    }
}

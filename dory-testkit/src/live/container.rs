//! A container of the real engine, driven by the real `docker` command.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use super::or_skip;

/// A shell with all its tools in one static file: Debian's package `busybox-static`.
const BUSYBOX: &str = "/bin/busybox";

/// A running container of busybox with one volume. It goes when this does, with everything that is named after it.
#[derive(Debug)]
pub struct LiveContainer {
    name: String,
}

impl LiveContainer {
    /// Where it sees its volume.
    pub const DATA: &str = "/data";

    /// Runs one, with an empty volume; `None` where there is no engine, or no busybox to put into it.
    #[must_use]
    pub fn start() -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let there = Path::new(BUSYBOX).is_file()
            && Command::new("docker").arg("info").output().is_ok_and(|output| output.status.success());
        or_skip("docker", there.then_some(()))?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let container = Self { name: format!("dory-live-{}-{number}", std::process::id()) };
        container.make_image();
        container.run_another(&container.name, &["-v", &format!("{}:{}", container.name, Self::DATA)]);
        Some(container)
    }

    /// Its name, and its volume's and its image's.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs one more container of the same image; its name must begin with this one's and a `-`.
    pub fn run_another(&self, name: &str, options: &[&str]) {
        // The first process of a container hears no SIGTERM that it does not ask for.
        let first = ["run", "-d", "--name", name, "--stop-signal", "SIGKILL"];
        let last = [self.name.as_str(), BUSYBOX, "sleep", "100000"];
        docker(&[&first, options, &last].concat());
    }

    /// Runs a shell script in it, where [`DATA`](Self::DATA) is the volume, and gives what it prints.
    pub fn sh(&self, script: &str) -> String {
        docker(&["exec", &self.name, BUSYBOX, "sh", "-c", script])
    }

    /// What `docker inspect` says of it, by a template: `{{.State.Running}}`.
    #[must_use]
    pub fn inspect(&self, template: &str) -> String {
        docker(&["inspect", "-f", template, &self.name]).trim_end().to_owned()
    }

    /// Whether it runs.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.inspect("{{.State.Running}}") == "true"
    }

    fn make_image(&self) {
        let folder = TempDir::new().expect("a temporary folder");
        let bin = folder.path().join("bin");
        fs::create_dir(&bin).expect("a folder for tools");
        fs::copy(BUSYBOX, bin.join("busybox")).expect("busybox");
        for tool in ["cat", "dd", "mkdir", "rm", "sh", "sleep"] {
            symlink("busybox", bin.join(tool)).expect("a tool's link");
        }
        let archive = folder.path().join("image.tar");
        let packed = Command::new("tar").arg("-C").arg(folder.path()).arg("-cf").arg(&archive).arg("bin").status();
        assert!(packed.expect("tar").success());
        docker(&["import", &archive.display().to_string(), &self.name]);
    }
}

impl Drop for LiveContainer {
    fn drop(&mut self) {
        let run = |arguments: &[&str]| {
            let output = Command::new("docker").args(arguments).output();
            output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
        };
        // The name is followed by something, so that number 1 does not take number 10 along.
        let mut containers = run(&["ps", "-aq", "--filter", &format!("name=^/{}$", self.name)]);
        containers += &run(&["ps", "-aq", "--filter", &format!("name=^/{}-", self.name)]);
        containers += &run(&["ps", "-aq", "--filter", &format!("volume={}", self.name)]);
        for container in containers.lines() {
            run(&["rm", "-fv", container]);
        }
        run(&["volume", "rm", "-f", &self.name]);
        run(&["rmi", "-f", &self.name]);
    }
}

/// Runs the real `docker`, and gives what it prints.
///
/// # Panics
/// If it fails.
pub fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().expect("docker starts");
    assert!(output.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

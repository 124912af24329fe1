//! A container of the real engine, driven by the real `docker` command.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use super::{Docker, or_skip};

/// A shell with all its tools in one static file: Debian's package `busybox-static`.
const BUSYBOX: &str = "/bin/busybox";

/// A running container of busybox with one volume. It goes when this does, with everything that is named after it.
#[derive(Debug)]
pub struct LiveContainer {
    docker: Docker,
    name: String,
}

impl LiveContainer {
    /// Where it sees its volume.
    pub const DATA: &str = "/data";

    /// Runs one, with an empty volume; `None` where there is no engine, or no busybox to put into it.
    #[must_use]
    pub fn start() -> Option<Self> {
        let docker = Docker::of_host();
        or_skip("docker", (has_tools() && docker.answers()).then_some(()))?;
        Some(Self::start_on(&docker))
    }

    /// Runs one with an engine that is there, on a machine that [has the tools](has_tools).
    #[must_use]
    pub fn start_on(docker: &Docker) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("dory-live-{}-{number}", std::process::id());
        let container = Self { docker: docker.clone(), name };
        container.make_image();
        container.run_another(&container.name, &["-v", &format!("{}:{}", container.name, Self::DATA)]);
        container
    }

    /// Its name, and its volume's and its image's.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs one more container of the same image; its name must begin with this one's and a `-`.
    pub fn run_another(&self, name: &str, options: &[&str]) {
        // The first process of a container hears no SIGTERM that it does not ask for.
        let mut first = vec!["run", "-d", "--name", name, "--stop-signal", "SIGKILL"];
        if self.docker.address().is_some() {
            // An engine of a test's own has no bridge to join.
            first.extend(["--network", "none"]);
        }
        let last = [self.name.as_str(), BUSYBOX, "sleep", "100000"];
        self.docker.ok(&[&first, options, &last].concat());
    }

    /// Runs a shell script in it, where [`DATA`](Self::DATA) is the volume, and gives what it prints.
    pub fn sh(&self, script: &str) -> String {
        self.docker.ok(&["exec", &self.name, BUSYBOX, "sh", "-c", script])
    }

    /// What `docker inspect` says of it, by a template: `{{.State.Running}}`.
    #[must_use]
    pub fn inspect(&self, template: &str) -> String {
        self.docker.ok(&["inspect", "-f", template, &self.name]).trim_end().to_owned()
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
        self.docker.ok(&["import", &archive.display().to_string(), &self.name]);
    }
}

impl Drop for LiveContainer {
    fn drop(&mut self) {
        let run = |arguments: &[&str]| String::from_utf8_lossy(&self.docker.run(arguments).stdout).into_owned();
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

/// Whether this machine has what goes into a [`LiveContainer`].
#[must_use]
pub fn has_tools() -> bool {
    Path::new(BUSYBOX).is_file()
}

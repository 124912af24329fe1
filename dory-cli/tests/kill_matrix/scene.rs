//! What a run meets: four containers that share a volume, a store with points in it, an engine.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use dory_testkit::live::{Docker, LiveContainer, OwnEngine, has_tools, or_skip};
use serde_json::Value;
use tempfile::TempDir;

use crate::steps::{Point, Task, Victim};
use crate::victim::{CONTAINER, DOCKERD, DOOMED, GOOD, MARK, POINT};
use crate::{AS_DORY, AS_VICTIM, ROLE};

/// What the volume holds beside the known file: enough of it that a pass over it has a middle.
const BULK: &str = "dd if=/dev/urandom of=/data/bulk bs=1M count=64 2>/dev/null; mkdir -p /data/many; \
    i=0; while [ $i -lt 100 ]; do echo $i > /data/many/$i; i=$((i+1)); done";

/// The big file.
const BIG: &str = "/data/bulk";

/// The file whose contents tell points apart.
pub(crate) const KNOWN: &str = "/data/known";
/// What it holds in the point that restores bring back.
pub(crate) const OLD: &str = "old\n";
/// What it holds in every later one.
pub(crate) const NEW: &str = "new\n";

/// When a server backs up.
const SCHEDULE: &str = "*/5 * * * * *";

/// What containers do before the run, in the order of [`Scene::names`].
pub(crate) const BEFORE: [&str; 4] = ["running", "running", "paused", "running"];

/// Containers, a store, and an engine. All of it goes when this does.
pub(crate) struct Scene {
    // In this order: what is in the engine goes before it does.
    container: LiveContainer,
    leftovers: Leftovers,
    folder: TempDir,
    engine: Option<OwnEngine>,
    /// What the volume holds in the point that restores bring back, and what it holds before the run.
    pub(crate) old: Contents,
    pub(crate) new: Contents,
}

/// Everything that a volume's files hold, as a digest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Contents(String);

/// Helpers and volumes of a server whose test failed, which must not outlive it.
struct Leftovers {
    docker: Docker,
    filter: String,
}

impl Scene {
    /// The scene of `point`; `None` where this machine has not what it takes.
    pub(crate) fn set(point: Point) -> Option<Self> {
        let engine = match point.death.victim {
            Victim::Dockerd => Some(OwnEngine::start()?),
            _ => None,
        };
        let docker = engine.as_ref().map_or_else(Docker::of_host, OwnEngine::docker);
        if engine.is_none() {
            or_skip("docker", (has_tools() && docker.answers()).then_some(()))?;
        }
        let container = LiveContainer::start_on(&docker);
        let filter = format!("label=dory.helper.server={}", container.name());
        let leftovers = Leftovers { docker, filter };
        let (folder, old, new) = (TempDir::new().unwrap(), Contents::default(), Contents::default());
        let mut scene = Self { container, leftovers, folder, engine, old, new };
        scene.fill(point.step.task);
        Some(scene)
    }

    fn fill(&mut self, task: Task) {
        std::fs::create_dir(self.folder.path().join("store")).unwrap();
        let volume = format!("{}:{}", self.name(), LiveContainer::DATA);
        let [_, always, paused, shares] = self.names();
        self.container.run_another(&always, &["-v", &volume, "--restart", "always"]);
        self.container.run_another(&paused, &["-v", &volume]);
        self.container.run_another(&shares, &["-v", &volume]);
        self.know(OLD);
        self.container.sh(BULK);
        self.old = self.contents();
        self.backs_up(GOOD);
        self.know(NEW);
        // So that there is something to read, to bring back, to prune.
        self.container.sh(BULK);
        self.new = self.contents();
        match task {
            Task::DeletePoint => self.backs_up(DOOMED),
            // Two that go, and the newest, which stays.
            Task::Prune => {
                for _ in 0..2 {
                    self.backs_up("");
                    self.container.sh(BULK);
                }
                self.backs_up("");
                self.new = self.contents();
            }
            Task::Serve => drop(self.dory(&["edit", self.name(), "--schedule", SCHEDULE]).succeeded()),
            _ => {}
        }
        self.docker().ok(&["pause", &paused]);
    }

    /// A point of what is there, without stopping anything; without a name where that is empty.
    fn backs_up(&self, point: &str) {
        let named: &[&str] = if point.is_empty() { &[] } else { &["--name", point] };
        self.dory(&[&["backup", self.name(), "--stop", "none"], named].concat()).succeeded();
    }

    fn know(&self, word: &str) {
        self.container.sh(&format!("echo -n '{word}' > {KNOWN}"));
    }

    /// The container whose data is backed up; its volume and its server are called the same.
    pub(crate) fn name(&self) -> &str {
        self.container.name()
    }

    /// Every container that uses the data: the one that is backed up, one that the engine always restarts, one that is
    /// paused, one more.
    pub(crate) fn names(&self) -> [String; 4] {
        ["", "-always", "-paused", "-shares"].map(|end| format!("{}{end}", self.name()))
    }

    pub(crate) fn docker(&self) -> &Docker {
        &self.leftovers.docker
    }

    /// What the containers do now.
    pub(crate) fn states(&self) -> Vec<String> {
        let names = self.names();
        let inspect = ["inspect", "-f", "{{.State.Status}}"].into_iter().chain(names.iter().map(String::as_str));
        self.docker().list(&inspect.collect::<Vec<_>>())
    }

    /// Starts by hand what does not run, and pauses what was paused.
    pub(crate) fn start_by_hand(&self) {
        let names = self.names();
        for (name, (state, before)) in names.iter().zip(self.states().iter().zip(BEFORE)) {
            if !["running", "paused"].contains(&state.as_str()) {
                self.docker().ok(&["start", name]);
            }
            if before == "paused" && state != "paused" {
                self.docker().ok(&["pause", name]);
            }
        }
    }

    /// What is in the volume.
    pub(crate) fn contents(&self) -> Contents {
        let all = "/bin/busybox find /data -type f | /bin/busybox sort | /bin/busybox xargs /bin/busybox md5sum";
        Contents(self.container.sh(&format!("{all} | /bin/busybox md5sum")))
    }

    /// Whether a point holds the big file as the volume does.
    pub(crate) fn holds_bulk(&self, point: &str) -> bool {
        let kept = self.command(AS_DORY).args(["cat", self.name(), BIG, "--at", point]).output().unwrap();
        let there = self.docker().run(&["exec", self.name(), "cat", BIG]);
        kept.status.success() && kept.stdout == there.stdout
    }

    /// The helpers of this server, at work or not.
    pub(crate) fn helpers(&self) -> Vec<String> {
        self.docker().list(&["ps", "-aq", "--filter", &self.leftovers.filter])
    }

    /// Whether a helper runs, or is one that the engine is about to start again.
    pub(crate) fn helpers_work(&self) -> bool {
        let format = "{{.State.Status}} {{.HostConfig.RestartPolicy.Name}}";
        let at_work = |helper: &String| {
            // One that was removed meanwhile gives nothing.
            let state = self.docker().run(&["inspect", "-f", format, helper]).stdout;
            let state = String::from_utf8_lossy(&state).trim().to_owned();
            state.starts_with("running") || state.starts_with("restarting") || state.ends_with(" always")
        };
        self.helpers().iter().any(at_work)
    }

    /// The volumes that runs of this server made for themselves.
    pub(crate) fn volumes(&self) -> Vec<String> {
        self.docker().list(&["volume", "ls", "-q", "--filter", &self.leftovers.filter])
    }

    /// The points that the catalog tells of; `None` where it does not know the backup.
    pub(crate) fn points(&self) -> Option<Vec<Value>> {
        let shown = self.dory(&["show", self.name(), "--json"]);
        if shown.code == Some(4) {
            return None;
        }
        let backup: Value = serde_json::from_str(&shown.succeeded().stdout).unwrap();
        Some(backup["points"].as_array().unwrap().clone())
    }

    /// Runs `dory`.
    pub(crate) fn dory(&self, arguments: &[&str]) -> Ran {
        Ran::of(&self.command(AS_DORY).args(arguments).output().unwrap())
    }

    /// Starts the process that is about to lose somebody.
    pub(crate) fn start_victim(&self, point: Point) -> Child {
        let mut victim = self.command(AS_VICTIM);
        victim.env(POINT, point.name()).env(CONTAINER, self.name()).env(MARK, self.mark());
        if let Some(engine) = &self.engine {
            victim.env(DOCKERD, engine.pid().to_string());
        }
        victim.spawn().unwrap()
    }

    /// Starts a server of the same name.
    pub(crate) fn serve(&self) -> Child {
        self.command(AS_DORY).arg("serve").spawn().unwrap()
    }

    /// The document of the server.
    pub(crate) fn server(&self) -> Value {
        let document = self.folder.path().join(format!("store/servers/{}.json", self.name()));
        serde_json::from_slice(&std::fs::read(document).unwrap()).unwrap()
    }

    /// The file that is there once somebody was killed.
    pub(crate) fn mark(&self) -> PathBuf {
        self.folder.path().join("mark")
    }

    /// Starts the engine again that was killed.
    pub(crate) fn restart_engine(&mut self) {
        if let Some(engine) = &mut self.engine {
            engine.run();
        }
    }

    fn command(&self, role: &str) -> Command {
        let folder: &Path = self.folder.path();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", folder);
        command.env("DORY_STORE", format!("file://{}", folder.join("store").display())).env("DORY_SERVER", self.name());
        command.env("DORY_PASSPHRASE", "correct horse battery").env(ROLE, role).current_dir(folder);
        command.envs(self.docker().address().map(|address| ("DOCKER_HOST", address)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

impl Drop for Leftovers {
    fn drop(&mut self) {
        let list = |arguments: &[&str]| {
            let output = self.docker.run(&[arguments, &["--filter", &self.filter]].concat());
            String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect::<Vec<_>>()
        };
        for helper in list(&["ps", "-aq"]) {
            drop(self.docker.run(&["rm", "-f", &helper]));
        }
        for volume in list(&["volume", "ls", "-q"]) {
            drop(self.docker.run(&["volume", "rm", "-f", &volume]));
        }
    }
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: Option<i32>,
}

impl Ran {
    pub(crate) fn of(output: &Output) -> Self {
        Self {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            code: output.status.code(),
        }
    }

    /// Itself, if the command succeeded.
    pub(crate) fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self
    }
}

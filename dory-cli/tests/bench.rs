//! A container with a volume, a store in a folder, and the real `dory` that is to bring the two together.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::time::{Duration, Instant};

use dory_testkit::live::{LiveContainer, docker};
use serde_json::Value;
use tempfile::TempDir;

const PASSPHRASE: (&str, &str) = ("DORY_PASSPHRASE", "correct horse battery");

/// One container and one store. What was made for it goes when it does.
pub(crate) struct Bench {
    /// The container's name, its volume's and its image's.
    pub(crate) name: String,
    container: LiveContainer,
    folder: TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: Option<i32>,
}

impl Bench {
    /// A running container with an empty volume; `None` where there is no engine, or no busybox to put into it.
    pub(crate) fn start() -> Option<Self> {
        let container = LiveContainer::start()?;
        let bench = Self { name: container.name().to_owned(), container, folder: tempfile::tempdir().unwrap() };
        std::fs::create_dir(bench.store()).unwrap();
        Some(bench)
    }

    /// Runs one more container of this bench's image; it must be named after the bench.
    pub(crate) fn run_container(&self, name: &str, options: &[&str]) {
        self.container.run_another(name, options);
    }

    /// A path in this bench's own folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The folder of the store that [`dory`](Self::dory) uses.
    pub(crate) fn store(&self) -> PathBuf {
        self.path("store")
    }

    /// Runs `dory`, with a folder as the store and a passphrase.
    pub(crate) fn dory(&self, arguments: &[&str]) -> Ran {
        self.dory_with(&[], arguments)
    }

    /// The same, with variables set otherwise, or not at all where they are empty.
    pub(crate) fn dory_with(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Ran {
        Ran::of(&self.command(variables, arguments).output().unwrap())
    }

    /// Runs `dory` with `--json` and gives what it prints.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let ran = self.dory(&[arguments, &["--json"]].concat()).succeeded();
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}\n{}", ran.stdout))
    }

    /// Starts `dory`, with pipes for what it prints.
    pub(crate) fn start_dory(&self, arguments: &[&str]) -> Child {
        self.command(&[], arguments).spawn().unwrap()
    }

    /// Starts `dory backup` and waits until it stops the container.
    pub(crate) fn backup_that_stops(&self) -> RunningBackup {
        self.starts_to_stop(&["backup", &self.name])
    }

    /// Starts `dory` and waits until it stops the container.
    pub(crate) fn starts_to_stop(&self, arguments: &[&str]) -> RunningBackup {
        let mut child = self.command(&[], arguments).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let (awaited, mut heard) = (format!("stopping {}\n", self.name), String::new());
        while !heard.ends_with(&awaited) {
            assert_ne!(stderr.read_line(&mut heard).unwrap(), 0, "it ended before it stopped anything: {heard}");
        }
        RunningBackup { child, stderr }
    }

    fn command(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Command {
        let store = format!("file://{}", self.store().display());
        let home = self.folder.path().display().to_string();
        let usual = [("DORY_STORE", store.as_str()), PASSPHRASE, ("DORY_SERVER", "bench"), ("HOME", &home)];
        let mut command = Command::new(env!("CARGO_BIN_EXE_dory"));
        command.env_clear().envs(usual).args(arguments).current_dir(self.folder.path());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        for (name, value) in variables {
            match *value {
                "" => command.env_remove(name),
                value => command.env(name, value),
            };
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a shell script in the container, which has the volume at `/data`.
    pub(crate) fn sh(&self, script: &str) -> String {
        self.container.sh(script)
    }

    /// When the container was started last, to the nanosecond: it changes whenever somebody stops it.
    pub(crate) fn started_at(&self) -> String {
        self.container.inspect("{{.State.StartedAt}}")
    }

    pub(crate) fn runs(&self) -> bool {
        self.container.runs()
    }

    /// The helpers that work on this container's backup, running or not.
    pub(crate) fn helpers(&self) -> Vec<String> {
        let id = self.container.inspect("{{.Id}}");
        let filter = format!("label=dory.helper.backup={}-{}", self.name, &id[..12]);
        docker(&["ps", "-aq", "--filter", &filter]).lines().map(str::to_owned).collect()
    }

    /// The guardian of this container's run.
    pub(crate) fn guardian(&self) -> String {
        let role = "label=dory.helper.role=guardian";
        let guardians = docker(&["ps", "-aq", "--filter", role]);
        let own = self.helpers();
        guardians.lines().find(|id| own.iter().any(|own| own == id)).expect("a guardian").to_owned()
    }

    /// Waits until the container runs, for at most as long as a guardian may need.
    pub(crate) fn runs_again_soon(&self) {
        let end = Instant::now() + Duration::from_secs(10);
        while !self.runs() {
            assert!(Instant::now() < end, "the container was left down");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until no helper runs; the engine may still be removing what is left of it.
    pub(crate) fn wait_until_no_helper_runs(&self) {
        let end = Instant::now() + Duration::from_secs(30);
        let runs = |helper: &String| !docker(&["ps", "-q", "--filter", &format!("id={helper}")]).is_empty();
        while self.helpers().iter().any(runs) {
            assert!(Instant::now() < end, "a helper still runs: {:?}", self.helpers());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until there is no helper any more. A busy engine takes long to remove one that ended by itself.
    pub(crate) fn wait_until_helpers_are_gone(&self) {
        let end = Instant::now() + Duration::from_secs(120);
        while !self.helpers().is_empty() {
            assert!(Instant::now() < end, "a helper is still there: {:?}", self.helpers());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The restore points of this container's backup.
    pub(crate) fn points(&self) -> Vec<Value> {
        self.json(&["show", &self.name])["points"].as_array().unwrap().clone()
    }
}

/// A `dory backup` whose container does not run.
pub(crate) struct RunningBackup {
    child: Child,
    stderr: BufReader<ChildStderr>,
}

impl RunningBackup {
    /// Gives how the command ended by itself.
    pub(crate) fn ends(mut self) -> Ran {
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut self.stderr, &mut rest).unwrap();
        Ran { stderr: rest, ..Ran::of(&self.child.wait_with_output().unwrap()) }
    }

    /// Sends a signal (`INT`), and gives how the command ended.
    pub(crate) fn ends_by(self, signal: &str) -> Ran {
        let sent = Command::new("kill").args(["-s", signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        self.ends()
    }
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

    /// Checks that the command was refused: by its code, with all `words` in its message.
    pub(crate) fn was_refused(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        for word in words {
            assert!(self.stderr.contains(word), "`{word}` is not in {self:#?}");
        }
        self
    }
}

//! One host of the fleet: an engine, a container or two, a clock that may be wrong, and `dory serve`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use dory_testkit::live::{Cable, LiveContainer, LiveNetwork, OwnEngine};

use serde_json::Value;

use crate::bench::Ran;

/// Where Debian's package `faketime` puts what sets a process's clock wrong.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

/// Whether a clock can be set wrong for one process here.
pub(super) fn has_faketime() -> bool {
    Path::new(FAKETIME).exists()
}

pub(super) struct Host {
    pub(super) name: &'static str,
    /// How far its clock is ahead, in seconds.
    skew: i64,
    pub(super) cable: Cable,
    pub(super) container: LiveContainer,
    variables: Vec<(String, String)>,
    serving: Option<Child>,
    /// Where in the log the one that runs begins.
    since: usize,
    log: PathBuf,
    // Last, so that the containers go before it.
    engine: OwnEngine,
}

impl Host {
    pub(super) fn start(
        name: &'static str,
        skew: i64,
        network: &LiveNetwork,
        variables: &[(String, String)],
    ) -> Option<Self> {
        let engine = OwnEngine::start()?;
        let cable = network.join(engine.pid());
        let container = LiveContainer::start_on(&engine.docker());
        container.sh("echo 0 >/data/count");
        let scheduled = format!("{}-nightly", container.name());
        let volume = format!("{scheduled}:/data");
        container.run_another(&scheduled, &["--label", "dory.schedule=*/20 * * * * *", "-v", &volume]);
        let spare = format!("{}-spare", container.name());
        container.run_another(&spare, &["-v", &format!("{spare}:/data")]);
        let log = engine.folder().join("serve.log");
        let mut variables = variables.to_vec();
        variables.push(("DORY_SERVER".to_owned(), name.to_owned()));
        // Its engine has no bridge: `host` is the namespace of the two.
        variables.push(("DORY_HELPER_NETWORK".to_owned(), "host".to_owned()));
        variables.push(("DOCKER_HOST".to_owned(), engine.docker().address().unwrap().to_owned()));
        Some(Self { name, skew, cable, container, variables, serving: None, since: 0, log, engine })
    }

    /// The container that is backed up by schedule.
    pub(super) fn scheduled(&self) -> String {
        format!("{}-nightly", self.container.name())
    }

    /// The container whose backup is deleted as a whole.
    pub(super) fn spare(&self) -> String {
        format!("{}-spare", self.container.name())
    }

    /// Waits until a command that it was given is over, and checks with which error.
    pub(super) fn is_over(&self, command: &str, kind: &str) {
        loop {
            let all = self.dory(&["commands", "--json"]).succeeded();
            let all: Value = serde_json::from_str(&all.stdout).unwrap();
            let its = all.as_array().unwrap().iter().find(|one| one["command"]["id"] == command).unwrap();
            if its["state"]["is"] == "over" {
                assert_eq!(its["state"]["error"]["kind"], kind, "{its}");
                return;
            }
        }
    }

    /// Runs `dory` on it.
    pub(super) fn dory(&self, arguments: &[&str]) -> Ran {
        Ran::of(&self.command(arguments).output().unwrap())
    }

    /// Starts `dory serve`, whose words go into a log.
    pub(super) fn serve(&mut self) {
        assert!(!self.is_serving());
        self.since = self.words().len();
        let log = File::options().create(true).append(true).open(&self.log).unwrap();
        let mut command = self.command(&["serve"]);
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.serving = Some(command.spawn().unwrap());
    }

    /// Whether its server runs still.
    pub(super) fn is_serving(&mut self) -> bool {
        self.serving.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    /// SIGKILL to the server.
    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.serving.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// SIGTERM to the server; its exit code.
    pub(super) fn end(&mut self) -> Option<i32> {
        let mut child = self.serving.take().unwrap();
        assert!(Command::new("kill").args(["-s", "TERM", &child.id().to_string()]).status().unwrap().success());
        child.wait().unwrap().code()
    }

    /// Whether the server that runs said that.
    pub(super) fn says(&self, words: &str) -> bool {
        self.words()[self.since..].contains(words)
    }

    /// What its servers said until now.
    pub(super) fn words(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The containers that run on it, helpers included.
    pub(super) fn running(&self) -> Vec<String> {
        self.engine.docker().list(&["ps", "--format", "{{.Names}}"])
    }

    /// In the network of its engine, with its clock. `nsenter` gives way to `dory`, so signals reach that.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.engine.pid().to_string(), "-n"]).arg(env!("CARGO_BIN_EXE_dory")).args(arguments);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.engine.folder()).envs(self.variables.iter().map(|(name, value)| (name, value)));
        if self.skew != 0 {
            command.env("LD_PRELOAD", FAKETIME).env("FAKETIME", format!("{:+}s", self.skew));
            // Nobody can set that one wrong.
            command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.kill();
    }
}

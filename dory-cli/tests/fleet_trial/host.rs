//! One host of the fleet: an engine, a container or two, a clock that may be wrong, and `dory serve`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use dory_testkit::live::{Cable, LiveContainer, LiveNetwork, OwnEngine};

use crate::bench::Ran;

/// Where Debian's package `faketime` puts what sets a process's clock wrong.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

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
        let log = engine.folder().join("serve.log");
        let mut variables = variables.to_vec();
        variables.push(("DORY_SERVER".to_owned(), name.to_owned()));
        // Its engine has no bridge: `host` is the namespace of the two.
        variables.push(("DORY_HELPER_NETWORK".to_owned(), "host".to_owned()));
        variables.push(("DOCKER_HOST".to_owned(), engine.docker().address().unwrap().to_owned()));
        Some(Self { name, skew, cable, container, variables, serving: None, log, engine })
    }

    /// The container that is backed up by schedule.
    pub(super) fn scheduled(&self) -> String {
        format!("{}-nightly", self.container.name())
    }

    /// Runs `dory` on it.
    pub(super) fn dory(&self, arguments: &[&str]) -> Ran {
        Ran::of(&self.command(arguments).output().unwrap())
    }

    /// Starts `dory serve`, whose words go into a log.
    pub(super) fn serve(&mut self) {
        assert!(!self.is_serving());
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

    /// What the server said until now.
    pub(super) fn words(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The containers that run on it, helpers included.
    pub(super) fn running(&self) -> Vec<String> {
        self.engine.docker().list(&["ps", "--format", "{{.Names}}"])
    }

    /// In the network of its engine, with its clock. `nsenter` gives way to `dory`, so signals reach that.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.engine.pid().to_string(), "-n"]).arg(env!("CARGO_BIN_EXE_dory")).args(arguments);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.engine.folder()).envs(self.variables.iter().map(|(name, value)| (name, value)));
        if self.skew != 0 {
            command.env("LD_PRELOAD", FAKETIME).env("FAKETIME", format!("{:+}s", self.skew));
            command.env("DONT_FAKE_MONOTONIC", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
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

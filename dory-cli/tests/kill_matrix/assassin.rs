//! Who kills, with SIGKILL, and returns when the victim is dead.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use dory_testkit::live::Docker;

use crate::steps::Victim;

/// How long a death may take.
const DYING: Duration = Duration::from_secs(10);

/// Somebody who kills one victim of one server's run.
#[derive(Debug)]
pub(crate) struct Assassin {
    pub(crate) victim: Victim,
    pub(crate) server: String,
    pub(crate) docker_host: Option<String>,
    /// The process id of the engine, where that is the victim.
    pub(crate) daemon: Option<String>,
    /// The file that tells that somebody was killed.
    pub(crate) mark: PathBuf,
}

impl Assassin {
    /// Kills the victim. Where that is this very process, it does not return.
    ///
    /// # Panics
    /// If there is nobody to kill.
    pub(crate) fn strike(&self) {
        let pid = match self.victim {
            Victim::Dory => std::process::id().to_string(),
            Victim::Helper => self.pid_of_helper(false),
            Victim::Guardian => self.pid_of_helper(true),
            Victim::Dockerd => self.daemon.clone().expect("the engine's process id"),
        };
        fs::write(&self.mark, self.victim.as_str()).expect("a mark");
        assert!(Command::new("kill").args(["-s", "KILL", &pid]).status().expect("kill").success(), "{self:?}");
        let end = Instant::now() + DYING;
        while is_alive(&pid) {
            assert!(Instant::now() < end, "{self:?} does not die");
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn pid_of_helper(&self, guards: bool) -> String {
        let docker = self.docker_host.as_deref().map_or_else(Docker::of_host, Docker::at);
        let server = format!("label=dory.helper.server={}", self.server);
        let format = r#"{{.ID}} {{.Label "dory.helper.role"}}"#;
        let helpers = docker.list(&["ps", "--filter", &server, "--format", format]);
        let helper = helpers.iter().find(|line| line.ends_with(" guardian") == guards).expect("a helper that runs");
        let id = helper.split(' ').next().unwrap_or_default();
        docker.ok(&["inspect", "-f", "{{.State.Pid}}", id]).trim().to_owned()
    }
}

/// Whether a process is more than what its parent has not heard of yet.
fn is_alive(pid: &str) -> bool {
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    state.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

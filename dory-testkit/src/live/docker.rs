//! The real `docker` command, for the host's engine or another one.

use std::process::{Command, Output};

/// An engine as the `docker` command reaches it.
#[derive(Clone, Debug, Default)]
pub struct Docker {
    address: Option<String>,
}

impl Docker {
    /// The engine that everybody uses.
    #[must_use]
    pub fn of_host() -> Self {
        Self::default()
    }

    /// The engine at `address`: `unix:///run/another.sock`.
    #[must_use]
    pub fn at(address: impl Into<String>) -> Self {
        Self { address: Some(address.into()) }
    }

    /// Its address, where it is not the usual one.
    #[must_use]
    pub fn address(&self) -> Option<&str> {
        self.address.as_deref()
    }

    /// Whether it answers.
    #[must_use]
    pub fn answers(&self) -> bool {
        self.command(&["info"]).output().is_ok_and(|output| output.status.success())
    }

    /// Runs `docker`, and gives how that went.
    ///
    /// # Panics
    /// If there is no such command.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("docker starts")
    }

    /// Runs `docker`, and gives what it prints.
    ///
    /// # Panics
    /// If it fails.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The ids that `docker ps` or `docker volume ls` prints.
    ///
    /// # Panics
    /// If it fails.
    #[must_use]
    pub fn list(&self, arguments: &[&str]) -> Vec<String> {
        self.ok(arguments).lines().map(str::to_owned).collect()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.args(self.address.iter().flat_map(|address| ["-H", address])).args(arguments);
        command
    }
}

/// Runs the real `docker` with the host's engine, and gives what it prints.
///
/// # Panics
/// If it fails.
pub fn docker(arguments: &[&str]) -> String {
    Docker::of_host().ok(arguments)
}

//! Commands inside running containers.

use std::io;
use std::time::Duration;

use async_trait::async_trait;
use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::task::JoinHandle;

use super::pipes::{self, Input, Output};
use super::{DockerRuntime, error};
use crate::domain::id::ContainerId;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{ExecOutcome, ExecRequest, ExecSession};

/// How much of standard error is kept.
const KEPT: usize = 64 * 1024;

/// The longest pause between two questions for an exit code.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

const OPERATION: &str = "run a command in container";

impl DockerRuntime {
    pub(super) async fn run_in(&self, id: &ContainerId, request: ExecRequest) -> Result<Box<dyn ExecSession>> {
        if request.command.is_empty() {
            return Err(Error::invalid("command", "", "a program is needed"));
        }
        let config = CreateExecOptions {
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(request.command),
            user: request.user,
            env: Some(request.environment.into_iter().map(|(name, value)| format!("{name}={value}")).collect()),
            ..CreateExecOptions::default()
        };
        let created =
            self.docker.create_exec(id.as_str(), config).await.map_err(self.container_failed(OPERATION, id))?;
        let options = StartExecOptions { output_capacity: Some(KEPT), ..StartExecOptions::default() };
        let started = self.docker.start_exec(&created.id, Some(options)).await;
        match started.map_err(self.container_failed(OPERATION, id))? {
            StartExecResults::Attached { output, input } => {
                let (stdout, stderr, _) = pipes::split(output);
                Ok(Box::new(Session {
                    runtime: self.clone(),
                    container: id.clone(),
                    exec: created.id,
                    stdin: Some(Input::new(input)),
                    stdout: Some(stdout),
                    stderr: tokio::spawn(last_of(stderr)),
                }))
            }
            StartExecResults::Detached => {
                Err(Error::new(ErrorKind::Internal, OPERATION, id.short(), "the engine did not hand over its pipes"))
            }
        }
    }
}

/// A command that runs.
struct Session {
    runtime: DockerRuntime,
    container: ContainerId,
    exec: String,
    stdin: Option<Input>,
    stdout: Option<Output>,
    stderr: JoinHandle<io::Result<String>>,
}

#[async_trait]
impl ExecSession for Session {
    fn stdin(&mut self) -> Option<Box<dyn AsyncWrite + Send + Unpin>> {
        Some(Box::new(self.stdin.take()?))
    }

    fn stdout(&mut self) -> Option<Box<dyn AsyncRead + Send + Unpin>> {
        Some(Box::new(self.stdout.take()?))
    }

    async fn wait(mut self: Box<Self>) -> Result<ExecOutcome> {
        // What nobody took, nobody feeds or reads: the command must not wait for it.
        drop(self.stdin.take());
        drop(self.stdout.take());
        let lost = || error::gone(&self.runtime.address);
        let stderr = match self.stderr.await {
            Ok(Ok(stderr)) => stderr,
            Ok(Err(broken)) => return Err(lost().with_source(broken)),
            Err(aborted) => return Err(lost().with_source(aborted)),
        };
        // The pipes may close a little before the engine has noted the end, and long before it in a command that closes
        // its own. There is no call that waits for it.
        let mut pause = Duration::from_millis(5);
        loop {
            let now = self.runtime.docker.inspect_exec(&self.exec).await;
            let now = now.map_err(self.runtime.container_failed(OPERATION, &self.container))?;
            if let (Some(false), Some(code)) = (now.running, now.exit_code) {
                return Ok(ExecOutcome { code, stderr });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// Reads `stderr` to its end and keeps the last of it.
async fn last_of(mut stderr: impl AsyncRead + Unpin) -> io::Result<String> {
    let mut kept = Vec::new();
    let mut chunk = vec![0; KEPT];
    loop {
        let length = stderr.read(&mut chunk).await?;
        if length == 0 {
            return Ok(String::from_utf8_lossy(&kept).into_owned());
        }
        kept.extend_from_slice(&chunk[..length]);
        kept.drain(..kept.len().saturating_sub(KEPT));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_of_a_long_complaint_is_kept() {
        let said = [vec![b'a'; KEPT], vec![b'b'; 10]].concat();
        let kept = last_of(said.as_slice()).await.unwrap();
        assert_eq!(kept.len(), KEPT);
        assert!(kept.ends_with("abbbbbbbbbb"));
    }
}

//! Running a program to its end, or ending it with all it started.

use std::ops::ControlFlow;
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

use super::command::Invocation;
use super::log::{LogReader, Record};
use crate::error::{Error, ErrorKind, Result};

/// How a run ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// By itself.
    Exited {
        status: ExitStatus,
        /// The end of what it wrote to standard error besides records.
        noise: String,
    },
    /// The watcher had seen enough, and it was killed.
    Stopped,
}

/// Runs duplicity, and shows `watch` each record of its log until it ends or `watch` breaks it off.
///
/// Dropping the future kills it, with everything it started.
pub(super) async fn run_duplicity(
    invocation: &Invocation,
    mut watch: impl FnMut(&Record) -> ControlFlow<()> + Send,
) -> Result<Ended> {
    let mut running = Running::start(invocation, Stdio::null(), Stdio::piped())?;
    let mut errors = running.child.stderr.take();
    let mut reader = LogReader::default();
    let mut buffer = vec![0; 64 << 10];
    let mut status = None;
    loop {
        tokio::select! {
            count = read_some(&mut errors, &mut buffer) => {
                let records = match count {
                    0 => reader.finish().into_iter().collect(),
                    count => reader.push(&buffer[..count]),
                };
                for record in &records {
                    if watch(record).is_break() {
                        return Ok(Ended::Stopped);
                    }
                }
                if count == 0 {
                    break;
                }
            }
            ended = running.child.wait(), if status.is_none() => {
                status = Some(ended.map_err(|error| invocation_failed(invocation, error))?);
                // What it started and left behind must not keep the pipe open.
                running.kill();
            }
        }
    }
    let status = match status {
        Some(status) => status,
        None => running.child.wait().await.map_err(|error| invocation_failed(invocation, error))?,
    };
    Ok(Ended::Exited { status, noise: reader.noise() })
}

/// Runs a program that says what it has to say on standard output: its status, that, and standard error.
pub(super) async fn run_for_output(invocation: &Invocation) -> Result<(ExitStatus, Vec<u8>, String)> {
    let mut running = Running::start(invocation, Stdio::piped(), Stdio::piped())?;
    let (mut stdout, mut stderr) = (running.child.stdout.take(), running.child.stderr.take());
    let (output, errors) = tokio::join!(read_all(&mut stdout), read_all(&mut stderr));
    let status = running.child.wait().await.map_err(|error| invocation_failed(invocation, error))?;
    Ok((status, output, String::from_utf8_lossy(&errors).trim().to_owned()))
}

async fn read_some(from: &mut Option<impl AsyncRead + Unpin>, buffer: &mut [u8]) -> usize {
    match from {
        Some(from) => from.read(buffer).await.unwrap_or(0),
        None => 0,
    }
}

async fn read_all(from: &mut Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        // What came before an error is all there is.
        let _ = from.read_to_end(&mut bytes).await;
    }
    bytes
}

fn invocation_failed(invocation: &Invocation, error: std::io::Error) -> Error {
    let program = invocation.program.display().to_string();
    Error::new(ErrorKind::Unsupported, "run program", program, "it does not start")
        .with_hint("use Dory's own image (scripts/image.sh builds it)")
        .with_source(error)
}

/// A program in a process group of its own, which ends when this is dropped.
struct Running {
    child: Child,
    group: Option<Pid>,
}

impl Running {
    fn start(invocation: &Invocation, stdout: Stdio, stderr: Stdio) -> Result<Self> {
        let mut command = Command::new(&invocation.program);
        command.args(&invocation.arguments).env_clear().envs(invocation.environment.iter().map(|(k, v)| (k, v)));
        command.envs(invocation.secrets.iter().map(|(name, value)| (name, value.expose())));
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr).process_group(0).kill_on_drop(true);
        let child = command.spawn().map_err(|error| invocation_failed(invocation, error))?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Ok(Self { child, group })
    }

    fn kill(&mut self) {
        if let Some(group) = self.group.take() {
            // It fails only where nobody of the group is left.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

//! One command in a container: read to its end, and ended when it takes too long.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::task::JoinHandle;

use super::cancel::Cancel;
use super::{Dory, noise};
use crate::domain::container::{Container, ContainerState};
use crate::domain::hook::HookCommand;
use crate::domain::id::ContainerId;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{Clock, ContainerRuntime, ExecOutcome, ExecRequest, ExecSession};

/// How much of what a command says is kept, in bytes.
const KEPT: usize = 4096;

/// How much goes through a pipe at once, in bytes.
const CHUNK: usize = 64 << 10;

/// How many of its last lines.
const LINES: usize = 20;

/// How long a command may take to end once it was asked to, and once it was killed.
const GRACE: Duration = Duration::from_secs(5);

/// Signals every process that has the marker in its environment, as the command and what it started do. An engine has
/// no call for that. Only a shell and `cat` are needed; processes of another user are out of reach.
const SIGNAL_MARKED: &str = r#"
for process in /proc/[0-9]*; do
    case "$(cat "$process/environ" 2>/dev/null)" in
        *"DORY_HOOK=$1"*) kill -s "$2" "${process#/proc/}" 2>/dev/null ;;
    esac
done
exit 0"#;

/// A command that runs. What it says is read whatever becomes of this: an engine of version 20.10 cannot stop a container
/// in which a command waits for its output to be read.
pub(super) struct HookProcess {
    runtime: Arc<dyn ContainerRuntime>,
    clock: Arc<dyn Clock>,
    container: ContainerId,
    user: Option<String>,
    marker: String,
    run: JoinHandle<Result<ExecOutcome>>,
    said: Arc<Mutex<Vec<u8>>>,
}

/// What runs in a container.
pub(super) struct Task<'a> {
    pub(super) command: &'a HookCommand,
    pub(super) user: Option<&'a String>,
    /// Variables; those without a value are left out.
    pub(super) environment: &'a [(&'a str, &'a str)],
}

/// Where a command's input comes from, and where its output goes: from nowhere, and the last of it is kept, unless
/// somebody says otherwise.
#[derive(Default)]
pub(super) struct Pipes {
    pub(super) input: Option<Box<dyn AsyncRead + Send + Unpin>>,
    pub(super) output: Option<Box<dyn AsyncWrite + Send + Unpin>>,
}

impl Dory {
    /// Starts a command in a container. By a variable of its own all its processes are found again.
    ///
    /// # Errors
    /// The runtime's.
    pub(super) async fn start_command(
        &self,
        container: &ContainerId,
        task: Task<'_>,
        pipes: Pipes,
    ) -> Result<HookProcess> {
        HookProcess::start(self, container, task, pipes).await
    }

    /// A container in which commands can run: by its id or, created anew, by its name; the reason why none can otherwise.
    pub(super) async fn running(&self, container: &Container) -> Result<ContainerId, String> {
        let runtime = self.runtime().map_err(|error| error.to_string())?;
        let found = match runtime.inspect_container(container.id.as_str()).await {
            Err(gone) if gone.kind() == ErrorKind::NotFound => runtime.inspect_container(container.name.as_str()).await,
            found => found,
        };
        match found {
            Ok(found) if found.state == ContainerState::Running => Ok(found.id),
            Ok(found) => Err(format!("the container is {}", found.state.as_str())),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// How a command ended.
pub(super) enum Ended {
    /// With this code, or nobody knows.
    ByItself(Result<i64>),
    /// It took too long.
    TooLate {
        /// Whether its processes were ended.
        ended: bool,
    },
    /// The run was cancelled.
    Cancelled {
        /// Whether its processes were ended.
        ended: bool,
    },
}

impl HookProcess {
    async fn start(dory: &Dory, container: &ContainerId, task: Task<'_>, pipes: Pipes) -> Result<Self> {
        let (runtime, clock) = (dory.runtime()?, Arc::clone(&dory.clock));
        let marker = format!("{:032x}", noise()?);
        let marked = [("DORY_HOOK", marker.as_str())];
        let set = marked.iter().chain(task.environment).filter(|(_, value)| !value.is_empty());
        let request = ExecRequest {
            command: task.command.argv().to_vec(),
            user: task.user.cloned(),
            environment: set.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        };
        let user = request.user.clone();
        let session = runtime.exec(container, request).await?;
        let said = Arc::<Mutex<Vec<u8>>>::default();
        let run = tokio::spawn(attend(session, pipes, Arc::clone(&said)));
        Ok(Self { runtime, clock, container: container.clone(), user, marker, run, said })
    }

    /// Waits for its end, at most `timeout`; gives the last of what it said too.
    pub(super) async fn run(mut self, timeout: Duration, cancel: &Cancel) -> (Ended, String) {
        enum Why {
            TooLate,
            Cancelled,
        }
        let why = tokio::select! {
            biased;
            ended = &mut self.run => {
                let (code, stderr) = match flat(ended) {
                    Ok(outcome) => (Ok(outcome.code), outcome.stderr),
                    Err(error) => (Err(error), String::new()),
                };
                return (Ended::ByItself(code), self.last_words(&stderr));
            }
            _ = cancel.or(std::future::pending::<Result<()>>()) => Why::Cancelled,
            () = self.clock.sleep(timeout) => Why::TooLate,
        };
        let (ended, stderr) = self.end().await;
        let words = self.last_words(&stderr);
        (if matches!(why, Why::TooLate) { Ended::TooLate { ended } } else { Ended::Cancelled { ended } }, words)
    }

    /// Asks its processes to end, then kills them; tells whether that led anywhere, and its standard error.
    async fn end(&mut self) -> (bool, String) {
        for signal in ["TERM", "KILL"] {
            if let Err(error) = self.signal(signal).await {
                tracing::warn!(container = self.container.short(), %error, "a hook could not be sent a signal");
            }
            tokio::select! {
                biased;
                ended = &mut self.run => return (true, flat(ended).map(|outcome| outcome.stderr).unwrap_or_default()),
                () = self.clock.sleep(GRACE) => {}
            }
        }
        (false, String::new())
    }

    async fn signal(&self, signal: &str) -> Result<()> {
        let command = ["sh", "-c", SIGNAL_MARKED, "sh", &self.marker, signal].map(str::to_owned).into();
        let request = ExecRequest { command, user: self.user.clone(), environment: Vec::new() };
        let session = self.runtime.exec(&self.container, request).await?;
        let attending = attend(session, Pipes::default(), Arc::default());
        tokio::select! {
            biased;
            ended = attending => ended.map(drop),
            () = self.clock.sleep(GRACE) => Ok(()),
        }
    }

    /// What it complained of, or where it did not, what it printed.
    fn last_words(&self, stderr: &str) -> String {
        let stderr = stderr.trim_end();
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let text = if stderr.is_empty() { String::from_utf8_lossy(&said).into_owned() } else { stderr.to_owned() };
        let lines: Vec<_> = text.trim_end().lines().collect();
        let mut last = lines[lines.len().saturating_sub(LINES)..].join("\n");
        let surplus = last.len().saturating_sub(KEPT);
        let from = (surplus..last.len()).find(|at| last.is_char_boundary(*at)).unwrap_or(last.len());
        last.drain(..from);
        last
    }
}

/// Gives a command its input, reads what it says to the end, and waits for its end.
async fn attend(mut session: Box<dyn ExecSession>, pipes: Pipes, said: Arc<Mutex<Vec<u8>>>) -> Result<ExecOutcome> {
    let (stdin, stdout) = (session.stdin(), session.stdout());
    let fed = async {
        if let Some(stdin) = stdin {
            feed(pipes.input, stdin).await;
        }
        // How long it works on what it was given is its own business.
        std::future::pending::<()>().await;
    };
    let read = async {
        let Some(mut stdout) = stdout else { return };
        if let Some(mut output) = pipes.output {
            // Whoever takes it may have had enough; a command that nobody reads cannot end.
            let _ = tokio::io::copy(&mut stdout, &mut output).await;
        }
        keep_last(stdout, &said).await;
    };
    // Its output ends with its connection, so nothing can be fed to it any more.
    tokio::select! {
        () = read => {}
        () = fed => {}
    }
    session.wait().await
}

/// Feeds a command. An input that breaks off is never closed: what the command has by then is not all, and it must not
/// take it for all. Whoever notices ends it.
async fn feed(input: Option<Box<dyn AsyncRead + Send + Unpin>>, mut stdin: Box<dyn AsyncWrite + Send + Unpin>) {
    let Some(mut input) = input else { return };
    let mut chunk = vec![0; CHUNK];
    loop {
        match input.read(&mut chunk).await {
            Ok(0) => break,
            // Who does not read its input says why when it ends.
            Ok(length) if stdin.write_all(&chunk[..length]).await.is_err() => return,
            Ok(_) => {}
            Err(_) => std::future::pending().await,
        }
    }
    let _ = stdin.shutdown().await;
}

async fn keep_last(mut stdout: impl AsyncRead + Unpin, said: &Mutex<Vec<u8>>) {
    let mut chunk = vec![0; KEPT];
    // Pipes that break end the command's output too; the wait for its end tells why.
    while let Ok(length @ 1..) = stdout.read(&mut chunk).await {
        let mut kept = said.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(&chunk[..length]);
        let surplus = kept.len().saturating_sub(KEPT);
        kept.drain(..surplus);
    }
}

impl Ended {
    /// What came of it, for people; `None` where all is well.
    pub(super) fn trouble(&self) -> Option<String> {
        let left = |ended: &bool| if *ended { "was ended" } else { "may still run in the container" };
        match self {
            Self::ByItself(Ok(0)) => None,
            Self::ByItself(Ok(code)) => Some(format!("ended with code {code}")),
            Self::ByItself(Err(error)) => Some(format!("could not be followed to its end: {}", words(error))),
            Self::TooLate { ended } => Some(format!("took too long, and {}", left(ended))),
            Self::Cancelled { ended } => Some(format!("was broken off, and {}", left(ended))),
        }
    }
}

/// An error with its causes, on one line.
pub(super) fn words(error: &Error) -> String {
    error.causes().into_iter().fold(error.to_string(), |words, cause| format!("{words}: {}", cause.trim_end()))
}

fn flat(ended: Result<Result<ExecOutcome>, tokio::task::JoinError>) -> Result<ExecOutcome> {
    ended.unwrap_or_else(|error| Err(Error::from_panic("run hook", error)))
}

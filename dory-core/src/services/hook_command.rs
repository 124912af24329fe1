//! One command in a container: read to its end, and ended when it takes too long.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::task::JoinHandle;

use super::cancel::Cancel;
use crate::domain::id::ContainerId;
use crate::error::{Error, Result};
use crate::ports::{Clock, ContainerRuntime, ExecOutcome, ExecRequest, ExecSession};

/// How much of what a command says is kept, in bytes.
const KEPT: usize = 4096;

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
    /// Starts a command that has `marker` in its environment as `DORY_HOOK`.
    ///
    /// # Errors
    /// The runtime's.
    pub(super) async fn start(
        runtime: Arc<dyn ContainerRuntime>,
        clock: Arc<dyn Clock>,
        container: &ContainerId,
        request: ExecRequest,
        marker: String,
    ) -> Result<Self> {
        let user = request.user.clone();
        let session = runtime.exec(container, request).await?;
        let said = Arc::<Mutex<Vec<u8>>>::default();
        let run = tokio::spawn(attend(session, Arc::clone(&said)));
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
        let attending = attend(session, Arc::default());
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

/// Gives a command no input, reads what it says to the end, and waits for its end.
async fn attend(mut session: Box<dyn ExecSession>, said: Arc<Mutex<Vec<u8>>>) -> Result<ExecOutcome> {
    drop(session.stdin());
    if let Some(stdout) = session.stdout() {
        keep_last(stdout, &said).await;
    }
    session.wait().await
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

fn flat(ended: Result<Result<ExecOutcome>, tokio::task::JoinError>) -> Result<ExecOutcome> {
    ended.unwrap_or_else(|error| Err(Error::from_panic("run hook", error)))
}

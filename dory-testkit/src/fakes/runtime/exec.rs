//! Commands inside the fake's containers: what a test says they answer.

use std::fmt::{self, Debug};
use std::sync::Arc;

use async_trait::async_trait;
use dory_core::Result;
use dory_core::ports::{ExecOutcome, ExecRequest, ExecSession};
use futures_util::future::{BoxFuture, ready};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;

/// How much output waits in the pipe before a command that nobody reads blocks, and how much of its standard error is kept.
const PIPE: usize = 64 << 10;

/// How a command ends and what it prints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecReply {
    /// Its exit code.
    pub code: i64,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: String,
}

impl ExecReply {
    /// Success with `stdout`.
    #[must_use]
    pub fn ok(stdout: impl Into<Vec<u8>>) -> Self {
        Self { stdout: stdout.into(), ..Self::default() }
    }

    /// Failure with `code` and `stderr`.
    #[must_use]
    pub fn failed(code: i64, stderr: impl Into<String>) -> Self {
        Self { code, stdout: Vec::new(), stderr: stderr.into() }
    }
}

type Answer = dyn Fn(&ExecRequest, Vec<u8>) -> BoxFuture<'static, ExecReply> + Send + Sync;

/// What a container's commands answer.
#[derive(Clone)]
pub struct ExecScript {
    answer: Arc<Answer>,
    reads_input: bool,
}

impl ExecScript {
    /// Commands that do not read their input.
    pub fn new(answer: impl Fn(&ExecRequest) -> ExecReply + Send + Sync + 'static) -> Self {
        Self { answer: Arc::new(move |request, _| Box::pin(ready(answer(request)))), reads_input: false }
    }

    /// Commands that read all of their input first; they hang until it is closed.
    pub fn reading(answer: impl Fn(&ExecRequest, &[u8]) -> ExecReply + Send + Sync + 'static) -> Self {
        Self { answer: Arc::new(move |request, input| Box::pin(ready(answer(request, &input)))), reads_input: true }
    }

    /// Commands that take as long as the future does: until another one ends them, say.
    pub fn taking_time(answer: impl Fn(&ExecRequest) -> BoxFuture<'static, ExecReply> + Send + Sync + 'static) -> Self {
        Self { answer: Arc::new(move |request, _| answer(request)), reads_input: false }
    }

    /// What containers do that nobody scripted.
    pub(super) fn unknown() -> Self {
        Self::new(|request| {
            let program = request.command.first().map_or("", String::as_str);
            ExecReply::failed(127, format!("{program}: nobody scripted this container's commands"))
        })
    }
}

impl Debug for ExecScript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecScript").field("reads_input", &self.reads_input).finish_non_exhaustive()
    }
}

/// What an engine keeps of standard error.
fn last_of(stderr: &str) -> String {
    let surplus = stderr.len().saturating_sub(PIPE);
    String::from_utf8_lossy(&stderr.as_bytes()[surplus..]).into_owned()
}

/// A command that runs.
pub(super) struct FakeExec {
    stdin: Option<DuplexStream>,
    stdout: Option<DuplexStream>,
    run: JoinHandle<ExecOutcome>,
}

impl FakeExec {
    pub(super) fn start(script: ExecScript, request: ExecRequest) -> Self {
        let (stdin, mut input) = tokio::io::duplex(PIPE);
        let (mut output, stdout) = tokio::io::duplex(PIPE);
        let run = tokio::spawn(async move {
            let mut given = Vec::new();
            if script.reads_input {
                // A pipe in memory does not fail.
                let _ = input.read_to_end(&mut given).await;
            }
            let reply = (script.answer)(&request, given).await;
            // Whoever does not read the output does not want it.
            let _ = output.write_all(&reply.stdout).await;
            ExecOutcome { code: reply.code, stderr: last_of(&reply.stderr) }
        });
        Self { stdin: Some(stdin), stdout: Some(stdout), run }
    }
}

#[async_trait]
impl ExecSession for FakeExec {
    fn stdin(&mut self) -> Option<Box<dyn AsyncWrite + Send + Unpin>> {
        Some(Box::new(self.stdin.take()?))
    }

    fn stdout(&mut self) -> Option<Box<dyn AsyncRead + Send + Unpin>> {
        Some(Box::new(self.stdout.take()?))
    }

    async fn wait(mut self: Box<Self>) -> Result<ExecOutcome> {
        drop(self.stdin.take());
        drop(self.stdout.take());
        Ok(self.run.await.expect("the test's script panicked"))
    }
}

//! `dory guard`: the guardian. Its standard input and output are the line to Dory, so it says nothing else.

use std::process::ExitCode;

use dory_core::domain::guard::GuardEnd;
use dory_core::domain::id::RunId;
use dory_core::{Error, ErrorKind, Result, bootstrap};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::GuardArgs;
use crate::exit::Exit;

/// Where the guardian keeps what it must remember: anywhere in its container's own file system.
const FOLDER: &str = "/";

/// Guards until the run ends or everything is brought back; the exit code tells which.
pub(crate) fn run(args: &GuardArgs) -> ExitCode {
    let ended = RunId::parse(&args.run).and_then(|run| {
        // One thread: it must need little and start fast.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
            Error::new(ErrorKind::Internal, "start the guardian", "", "no threads can be had").with_source(error)
        })?;
        let ended = runtime.block_on(guard(run));
        runtime.shutdown_background();
        ended
    });
    match ended {
        Ok(Some(end)) => end.code().into(),
        Ok(None) => Exit::Interrupted.into(),
        Err(error) => {
            let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{error}\n").as_bytes());
            GuardEnd::UNFINISHED.into()
        }
    }
}

/// `None` where a signal ended it. The engine sends one when it shuts down, and waits; what is to be done can only be
/// done when it is back, and it then starts the guardian again.
async fn guard(run: RunId) -> Result<Option<GuardEnd>> {
    let mut terminated = signal(SignalKind::terminate()).map_err(|error| {
        Error::new(ErrorKind::Internal, "start the guardian", "", "it cannot listen for signals").with_source(error)
    })?;
    tokio::select! {
        ended = bootstrap::guard(run, FOLDER.into(), tokio::io::stdin(), tokio::io::stdout()) => ended.map(Some),
        _ = terminated.recv() => Ok(None),
    }
}

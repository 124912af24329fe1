//! `dory agent`: the helper's side. Its standard input and output are the line to the host, so it says nothing else.

use std::process::ExitCode;

use dory_core::{Error, ErrorKind, bootstrap};

use crate::exit::Exit;

/// Serves until the host closes the pipe, then ends the process, whatever its threads are doing.
pub(crate) fn run() -> ExitCode {
    let served = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            Error::new(ErrorKind::Internal, "start the agent", "", "no threads can be had").with_source(error)
        })
        .and_then(|runtime| {
            let served = runtime.block_on(bootstrap::serve_agent(tokio::io::stdin(), tokio::io::stdout()));
            runtime.shutdown_background();
            served
        });
    match served {
        Ok(()) => Exit::Success.into(),
        Err(error) => {
            // Standard error is kept by the host, as the helper's last words.
            let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{error}\n").as_bytes());
            Exit::of(error.kind()).into()
        }
    }
}

//! The `dory` command: arguments in, [`Dory`](dory_core::services::Dory) calls, words out.
//!
//! [`args`] says what can be typed, `settings` where the rest comes from, `commands/<word>.rs` does each word, `render`
//! and [`ui`] say it to people or programs, [`exit`] to the shell.

pub mod args;
mod commands;
pub mod exit;
mod harmless;
mod interrupt;
mod render;
mod settings;
pub mod ui;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use crate::args::{Arguments, Command};
use crate::exit::Exit;
use crate::ui::Ui;

/// Runs the command line `arguments`, the program's name first.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version come this way too, and go to standard output with code 0.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Success.into() };
        }
    };
    match &arguments.command {
        Command::Agent => return commands::agent::run(),
        Command::Guard(args) => return commands::guard::run(args),
        _ => {}
    }
    let ui = Ui::new(&arguments.global);
    start_logging(arguments.global.verbose);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let error = dory_core::Error::new(dory_core::ErrorKind::Internal, "start", "dory", "no threads can be had")
                .with_source(error);
            return ui.fail(&error).into();
        }
    };
    let exit = runtime.block_on(async {
        match commands::run(&ui, arguments).await {
            Ok(exit) => exit,
            Err(error) => ui.fail(&error),
        }
    });
    let exit = if exit == Exit::Success && ui::output_is_closed() { Exit::PipeClosed } else { exit };
    // Threads of an engine that was abandoned must not hold the process.
    runtime.shutdown_background();
    exit.into()
}

fn start_logging(verbose: u8) {
    let filter = match verbose {
        // What a person must know is in results and errors.
        0 => return,
        1 => "warn,dory_core=info,dory_cli=info",
        2 => "info,dory_core=debug,dory_cli=debug",
        _ => "debug",
    };
    let builder = tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter);
    let _ = builder.with_ansi(ui::colours()).try_init();
}

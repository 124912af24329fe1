//! The `dory` command. Everything is in the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    dory_cli::main(std::env::args_os())
}

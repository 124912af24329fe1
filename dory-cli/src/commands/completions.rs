//! `dory completions`

use clap::CommandFactory;
use dory_core::Result;

use crate::args::{Arguments, CompletionsArgs};
use crate::exit::Exit;
use crate::ui;

pub(super) fn run(args: &CompletionsArgs) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Arguments::command(), "dory", &mut script);
    ui::print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Success)
}

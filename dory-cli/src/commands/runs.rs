//! `dory runs`

use dory_core::Result;
use dory_core::domain::id::ServerName;
use dory_core::services::{Dory, RunFilter};

use crate::args::RunsArgs;
use crate::exit::Exit;
use crate::render::runs;
use crate::ui::Ui;

pub(super) async fn run(ui: &Ui, dory: &Dory, args: &RunsArgs) -> Result<Exit> {
    let server = args.of.as_ref().map(ServerName::parse).transpose()?;
    let filter = RunFilter { backup: args.backup.clone(), server, failed: args.failed, limit: args.limit };
    let found = dory.runs(&filter).await?;
    ui.result(&found, |found| runs::list(found, dory.now()))?;
    Ok(Exit::Success)
}

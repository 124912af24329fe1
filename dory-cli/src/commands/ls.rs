//! `dory ls`

use dory_core::Result;
use dory_core::domain::entry_path::EntryPath;
use dory_core::services::Dory;

use super::point;
use crate::args::LsArgs;
use crate::exit::Exit;
use crate::render::backups;
use crate::ui::Ui;

pub(super) async fn run(ui: &Ui, dory: &Dory, args: &LsArgs) -> Result<Exit> {
    let path: EntryPath = args.path.parse()?;
    let choice = point::choice(&args.point.at, dory.now())?;
    let entries = dory.list_files(&args.backup, &choice, path.as_path(), args.recursive).await?;
    ui.result(&entries, |entries| backups::files(entries))?;
    Ok(Exit::Success)
}

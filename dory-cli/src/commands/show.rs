//! `dory show`

use dory_core::Result;
use dory_core::services::Dory;

use crate::args::ShowArgs;
use crate::exit::Exit;
use crate::render::backups;
use crate::ui::Ui;

pub(super) async fn run(ui: &Ui, dory: &Dory, args: &ShowArgs) -> Result<Exit> {
    dory.open_fleet().await?;
    let backup = dory.find_backup(&args.backup).await?;
    ui.result(backup.as_ref(), |backup| backups::backup(backup, dory.now()))?;
    Ok(Exit::Success)
}

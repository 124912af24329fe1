//! `dory policy`

use dory_core::Result;
use dory_core::services::{BackupEdit, Dory, PolicyOverview, PolicyValue};

use crate::args::PolicyCommandArgs;
use crate::exit::Exit;
use crate::render::table::table;
use crate::ui::Ui;

pub(super) async fn run(ui: &Ui, dory: &Dory, args: &PolicyCommandArgs) -> Result<Exit> {
    dory.open_fleet().await?;
    let edit = args.policy.edit()?;
    if edit != BackupEdit::default() {
        dory.edit_backup(&args.backup, &edit).await?;
    }
    let overview = dory.policy_overview(&args.backup).await?;
    ui.result(&overview, words)?;
    Ok(Exit::Success)
}

fn words(overview: &PolicyOverview) -> String {
    let row = |one: &PolicyValue| [one.name.to_owned(), one.value.clone(), one.source.as_str().to_owned()];
    table(["SETTING", "VALUE", "BY"], &overview.values.iter().map(row).collect::<Vec<_>>())
}

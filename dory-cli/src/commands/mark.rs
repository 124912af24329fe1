//! `dory mark` and `dory unmark`

use dory_core::Result;
use dory_core::services::Dory;

use crate::args::MarkArgs;
use crate::exit::Exit;
use crate::ui::Ui;

pub(super) async fn run(ui: &Ui, dory: &Dory, args: &MarkArgs, marked: bool) -> Result<Exit> {
    dory.open_fleet().await?;
    let mut all = Vec::new();
    for container in &args.containers {
        all.push(dory.mark(container, marked).await?);
    }
    let word = if marked { "marked for" } else { "left out of" };
    ui.result(&all, |all| {
        all.iter().map(|backup| format!("{} is {word} `dory backup --all`\n", backup.identity.container)).collect()
    })?;
    Ok(Exit::Success)
}

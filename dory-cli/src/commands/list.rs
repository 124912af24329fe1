//! `dory list`

use std::sync::Arc;

use dory_core::domain::backup::Backup;
use dory_core::services::Dory;
use dory_core::{Error, ErrorRecord, Result};
use serde::Serialize;

use crate::args::ListArgs;
use crate::exit::Exit;
use crate::render::backups;
use crate::ui::Ui;

#[derive(Serialize)]
struct Listing<'a> {
    backups: Vec<&'a Backup>,
    damaged: Vec<ErrorRecord>,
}

pub(super) async fn run(ui: &Ui, dory: &Dory, args: &ListArgs) -> Result<Exit> {
    dory.open_fleet().await?;
    let mut list = dory.catalog().backups().await?;
    if let Some(server) = &args.of {
        list.backups.retain(|backup| backup.server.as_str() == server);
    }
    let listing = Listing {
        backups: list.backups.iter().map(Arc::as_ref).collect(),
        damaged: list.damaged.iter().map(Error::to_record).collect(),
    };
    ui.result(&listing, |_| backups::backup_list(&list.backups, dory.now()))?;
    let mut exit = Exit::Success;
    for error in &list.damaged {
        exit = exit.worse(ui.fail(error));
    }
    Ok(exit)
}

//! `dory list`

use std::collections::BTreeSet;
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
    let servers: BTreeSet<String> = list.backups.iter().map(|backup| format!("`{}`", backup.server)).collect();
    if let Some(server) = &args.of {
        list.backups.retain(|backup| backup.server.as_str() == server);
    }
    let listing = Listing {
        backups: list.backups.iter().map(Arc::as_ref).collect(),
        damaged: list.damaged.iter().map(Error::to_record).collect(),
    };
    ui.result(&listing, |_| match &args.of {
        Some(server) if list.backups.is_empty() => no_backups_of(server, &servers),
        _ => backups::backup_list(&list.backups, dory.now()),
    })?;
    let mut exit = Exit::Success;
    for error in &list.damaged {
        exit = exit.worse(ui.fail(error));
    }
    Ok(exit)
}

fn no_backups_of(server: &str, servers: &BTreeSet<String>) -> String {
    if servers.is_empty() {
        return backups::backup_list(&[], jiff::Timestamp::UNIX_EPOCH);
    }
    let others: Vec<_> = servers.iter().map(String::as_str).collect();
    format!("server `{server}` has no backups; there are some of {}\n", others.join(", "))
}

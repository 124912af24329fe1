//! `dory edit`

use dory_core::domain::id::{PointId, ServerName};
use dory_core::services::{BackupEdit, Dory, PointEdit};
use dory_core::{Error, Result};
use serde::Serialize;

use super::point;
use crate::args::EditArgs;
use crate::exit::Exit;
use crate::render::backups;
use crate::settings;
use crate::ui::Ui;

/// What was changed, as JSON.
#[derive(Serialize)]
struct Changed {
    point: PointId,
}

pub(super) async fn run(ui: &Ui, dory: &Dory, args: &EditArgs) -> Result<Exit> {
    dory.open_fleet().await?;
    if args.clear_suspect {
        return clear_suspect(ui, dory, args).await;
    }
    if let Some(at) = &args.at {
        if args.policy.edit()? != BackupEdit::default() {
            return Err(Error::invalid("--at", at, "how a backup is made is set for all of it, and not for one point")
                .with_hint(format!("run it without `--at`, or `dory policy {}`", args.backup)));
        }
        return edit_point(ui, dory, args, at).await;
    }
    let edit = BackupEdit {
        name: args.name.clone(),
        server: args.to_server.as_ref().map(ServerName::parse).transpose()?,
        description: args.description.clone(),
        metadata: settings::pairs("--set", &args.metadata)?
            .into_iter()
            .map(|(key, value)| (key, Some(value).filter(|value| !value.is_empty())))
            .collect(),
        ..args.policy.edit()?
    };
    if edit == BackupEdit::default() {
        return Err(nothing_to_change());
    }
    let backup = dory.edit_backup(&args.backup, &edit).await?;
    ui.result(&backup, |backup| backups::backup(backup, dory.now()))?;
    Ok(Exit::Success)
}

/// Notes who said so: the account, and the one behind `sudo`.
async fn clear_suspect(ui: &Ui, dory: &Dory, args: &EditArgs) -> Result<Exit> {
    let choice = args.at.as_ref().map(|at| point::choice(at, dory.now())).transpose()?;
    let by = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    let cleared = dory.clear_suspect(&args.backup, choice.as_ref(), by.as_deref()).await?;
    ui.result(&cleared, |cleared| match cleared.as_slice() {
        [] => "its data is as it should be\n".to_owned(),
        cleared => cleared.iter().map(|id| format!("point {id} is not suspect any more\n")).collect(),
    })?;
    Ok(Exit::Success)
}

async fn edit_point(ui: &Ui, dory: &Dory, args: &EditArgs, at: &str) -> Result<Exit> {
    let protected = args.protect.then_some(true).or(args.unprotect.then_some(false));
    let edit = PointEdit { name: args.name.clone(), description: args.description.clone(), protected };
    if edit == PointEdit::default() {
        return Err(nothing_to_change());
    }
    let point = dory.edit_point(&args.backup, &point::choice(at, dory.now())?, &edit).await?;
    ui.result(&Changed { point }, |changed| format!("restore point {} is changed\n", changed.point))?;
    Ok(Exit::Success)
}

fn nothing_to_change() -> Error {
    Error::invalid("edit", "", "nothing is named that should change").with_hint("see `dory edit --help`")
}

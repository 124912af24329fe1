//! `--on <server>`, `dory commands`, `dory withdraw`, `dory cancel`: other servers' work, from here.

use std::env;
use std::time::Duration;

use dory_core::domain::command::{CommandState, FleetCommand, Order};
use dory_core::domain::id::{CommandId, ServerName};
use dory_core::services::{CommandStatus, Dory, MountMap};
use dory_core::{Error, ErrorKind, Result};

use super::point;
use crate::args::{BackupArgs, CommandArgs, DeleteArgs, MarkArgs, OnArgs, PruneArgs, RestoreArgs};
use crate::exit::Exit;
use crate::interrupt;
use crate::render::table::table;
use crate::render::units;
use crate::ui::Ui;

/// How often a command is looked after.
const LOOK: Duration = Duration::from_secs(1);

/// Asks servers to do things, one after the other, and waits until they did.
async fn send(ui: &Ui, dory: &Dory, args: &OnArgs, server: &str, orders: Vec<Order>) -> Result<Exit> {
    let server = ServerName::parse(server)?;
    let (mut all, mut exit) = (Vec::new(), Exit::Success);
    for order in orders {
        let command = dory.send_command(&server, order, &asker()).await?;
        ui.say(&format!("asked {server} to {}: command {}", command.order.words(), command.id));
        let status = match args.no_wait {
            true => dory.command(command.id).await?,
            false => follow(ui, dory, &command).await?,
        };
        if let CommandState::Over(outcome) = &status.state
            && let Some(error) = &outcome.error
        {
            exit = exit.worse(ui.fail(&Error::from(error.clone())));
        }
        all.push(status);
    }
    ui.result(&all, |all| all.iter().map(|status| format!("{}\n", line(status))).collect())?;
    Ok(exit)
}

/// `dory backup --on`
pub(super) async fn backup(ui: &Ui, dory: &Dory, args: &BackupArgs, server: &str) -> Result<Exit> {
    if args.all {
        return Err(not_with("--all", "name the containers"));
    }
    if args.stop.is_some() || args.engine.is_some() || args.dry_run {
        return Err(not_with("--stop, --engine or --dry-run", "what `dory edit` sets counts on every server"));
    }
    let order = |container: &String| Order::Backup {
        container: container.clone(),
        name: args.name.clone(),
        description: args.description.clone(),
    };
    send(ui, dory, &args.on, server, args.containers.iter().map(order).collect()).await
}

/// `dory restore --on`
pub(super) async fn restore(ui: &Ui, dory: &Dory, args: &RestoreArgs, server: &str) -> Result<Exit> {
    if args.delete_extra || args.dry_run {
        return Err(not_with("--delete-extra or --dry-run", "run it on the server itself"));
    }
    for map in &args.maps {
        map.parse::<MountMap>()?;
    }
    dory.open_fleet().await?;
    let backup = dory.find_backup(&args.backup).await?;
    let point = backup.find_whole_point(&point::choice(&args.point.at, dory.now())?)?;
    let order = Order::Restore {
        backup: backup.id.clone(),
        point: point.id,
        into: args.into.clone(),
        maps: args.maps.clone(),
        safety: !args.no_safety,
    };
    if !args.yes {
        let warning = format!("This has {server} {}, over what is there now.", order.words());
        ui.confirm(&warning, "yes", "nothing was touched")?;
    }
    send(ui, dory, &args.on, server, vec![order]).await
}

/// `dory prune --on`
pub(super) async fn prune(ui: &Ui, dory: &Dory, args: &PruneArgs, server: &str) -> Result<Exit> {
    if args.keep.is_some() || args.dry_run {
        return Err(not_with("--keep or --dry-run", "what `dory edit --keep` sets counts on every server"));
    }
    let Some(backup) = &args.backup else { return Err(not_with("all backups", "name one")) };
    dory.open_fleet().await?;
    let backup = dory.find_backup(backup).await?.id.clone();
    if !args.yes {
        ui.confirm("What the rules do not keep is gone for good.", "yes", "nothing was deleted")?;
    }
    send(ui, dory, &args.on, server, vec![Order::Prune { backup }]).await
}

/// `dory delete --on`
pub(super) async fn delete(ui: &Ui, dory: &Dory, args: &DeleteArgs, server: &str) -> Result<Exit> {
    let Some(at) = &args.at else {
        return Err(not_with("a whole backup", "name a point with `--at`, or delete the backup on its own server"));
    };
    if args.dry_run {
        return Err(not_with("--dry-run", "without `--on` it shows what would go"));
    }
    dory.open_fleet().await?;
    let backup = dory.find_backup(&args.backup).await?;
    let point = backup.find_point(&point::choice(at, dory.now())?)?.id;
    if !args.yes {
        ui.confirm("This cannot be undone.", "yes", "nothing was deleted")?;
    }
    send(ui, dory, &args.on, server, vec![Order::DeletePoint { backup: backup.id.clone(), point }]).await
}

/// `dory mark --on` and `dory unmark --on`
pub(super) async fn mark(ui: &Ui, dory: &Dory, args: &MarkArgs, server: &str, marked: bool) -> Result<Exit> {
    let order = |container: &String| Order::Mark { container: container.clone(), marked };
    send(ui, dory, &args.on, server, args.containers.iter().map(order).collect()).await
}

fn not_with(what: &str, instead: &str) -> Error {
    Error::invalid("--on", what, "another server cannot be asked for that").with_hint(instead)
}

async fn follow(ui: &Ui, dory: &Dory, command: &FleetCommand) -> Result<CommandStatus> {
    let cancel = interrupt::on_signals(ui);
    let mut told = String::new();
    loop {
        let status = dory.command(command.id).await?;
        match &status.state {
            CommandState::Waiting | CommandState::Running { .. } => {
                let words = line(&status);
                if words != told {
                    ui.say(&words);
                    told = words;
                }
            }
            CommandState::Expired | CommandState::Withdrawn { .. } | CommandState::Over(_) => return Ok(status),
        }
        let waited = async {
            tokio::time::sleep(LOOK).await;
            Ok(())
        };
        if cancel.or(waited).await.is_err() {
            let reason = "it goes on all the same";
            return Err(Error::new(ErrorKind::Cancelled, "wait for command", command.id.to_string(), reason)
                .with_hint(format!("`dory withdraw {0}` takes it back, `dory cancel {0}` ends it", command.id)));
        }
    }
}

/// `dory commands`
pub(super) async fn list(ui: &Ui, dory: &Dory) -> Result<Exit> {
    let all = dory.commands().await?;
    ui.result(&all, |all| {
        if all.is_empty() {
            return "no server was asked to do anything\n".to_owned();
        }
        let row = |status: &CommandStatus| {
            let FleetCommand { id, server, order, by, issued_at, .. } = &status.command;
            let asked = format!("{} by {by}", units::moment(*issued_at));
            [id.to_string(), server.to_string(), order.words(), asked, state(&status.state)]
        };
        table(["COMMAND", "SERVER", "WHAT", "ASKED", "STATE"], &all.iter().map(row).collect::<Vec<_>>())
    })?;
    Ok(Exit::Success)
}

/// `dory withdraw`
pub(super) async fn withdraw(ui: &Ui, dory: &Dory, args: &CommandArgs) -> Result<Exit> {
    let command = dory.withdraw_command(CommandId::parse(&args.id)?, &asker()).await?;
    ui.result(&command, |command| format!("{} will not {}\n", command.server, command.order.words()))?;
    Ok(Exit::Success)
}

/// `dory cancel`
pub(super) async fn cancel(ui: &Ui, dory: &Dory, args: &CommandArgs) -> Result<Exit> {
    let other = dory.command(CommandId::parse(&args.id)?).await?.command;
    let order = Order::Cancel { command: other.id };
    send(ui, dory, &OnArgs::default(), other.server.as_str(), vec![order]).await
}

fn line(status: &CommandStatus) -> String {
    format!("{}: {}", status.command.server, state(&status.state))
}

fn state(state: &CommandState) -> String {
    match state {
        CommandState::Waiting => "waiting for the server to look".to_owned(),
        CommandState::Expired => "expired: the server did not begin it in time".to_owned(),
        CommandState::Withdrawn { by } => format!("taken back by {by}"),
        CommandState::Running { progress: Some(words), .. } => format!("at it, {words}"),
        CommandState::Running { progress: None, .. } => "at it".to_owned(),
        CommandState::Over(outcome) => match &outcome.error {
            Some(error) => format!("{}: {}", outcome.words, error.reason),
            None => outcome.words.clone(),
        },
    }
}

/// Who asks: the account, the one behind `sudo`, and the host.
fn asker() -> String {
    let account = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| env::var(name).ok());
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}@{}", account.as_deref().unwrap_or("somebody"), host.trim())
}

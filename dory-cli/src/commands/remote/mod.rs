//! `--on <server>`, `dory commands`, `dory withdraw`, `dory cancel`: other servers' work, from here.

mod follow;
mod orders;

use std::env;

use dory_core::domain::command::{CommandState, FleetCommand, Order};
use dory_core::domain::id::{CommandId, ServerName};
use dory_core::services::{CommandStatus, Dory};
use dory_core::{Error, ErrorKind, Result};

use self::follow::follow;
pub(super) use self::orders::{backup, delete, mark, prune, restore, verify};
use crate::args::{CancelArgs, CommandArgs, OnArgs};
use crate::exit::Exit;
use crate::render::commands::{line, state};
use crate::render::table::table;
use crate::render::units;
use crate::ui::Ui;

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
        exit = exit.worse(told(ui, &status));
        all.push(status);
    }
    ui.result(&all, |all| all.iter().map(|status| format!("{}\n", line(status))).collect())?;
    Ok(exit)
}

/// Tells what is not as it should be about a command, and gives the exit code that a run of its own would have had.
fn told(ui: &Ui, status: &CommandStatus) -> Exit {
    match &status.state {
        CommandState::Waiting | CommandState::Running { .. } => Exit::Success,
        CommandState::Expired | CommandState::Withdrawn { .. } => Exit::NotBegun,
        CommandState::Over(outcome) => {
            let failed = outcome.error.iter().map(|error| ui.fail(&Error::from(error.clone())));
            let mut exit = failed.fold(Exit::Success, Exit::worse);
            for shortfall in &outcome.shortfalls {
                ui.warn(&format!("{}: {}", status.command.server, shortfall.words()));
                exit = exit.worse(Exit::of_shortfall(shortfall));
            }
            exit
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
pub(super) async fn cancel(ui: &Ui, dory: &Dory, args: &CancelArgs) -> Result<Exit> {
    let (server, order) = match CommandId::parse(&args.id) {
        Ok(id) => match dory.command(id).await {
            Ok(other) => (other.command.server, Order::Cancel { command: id }),
            Err(error) if error.kind() == ErrorKind::NotFound => run_to_cancel(dory, &args.id).await?,
            Err(error) => return Err(error),
        },
        Err(_) => run_to_cancel(dory, &args.id).await?,
    };
    send(ui, dory, &OnArgs::default(), server.as_str(), vec![order]).await
}

async fn run_to_cancel(dory: &Dory, id: &str) -> Result<(ServerName, Order)> {
    let (server, run) = dory.find_run(id).await?;
    if let Some(over) = dory.trace_run(&server, run).await?.run {
        let reason = format!("it is over: it {}", over.outcome.as_str());
        return Err(Error::new(ErrorKind::Conflict, "cancel run", run.to_string(), reason));
    }
    Ok((server, Order::CancelRun { run }))
}

/// Who asks: the account, the one behind `sudo`, and the host.
fn asker() -> String {
    let account = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| env::var(name).ok());
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}@{}", account.as_deref().unwrap_or("somebody"), host.trim())
}

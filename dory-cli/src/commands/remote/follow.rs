//! Waiting for what another server was asked to do, and saying how far it is.

use std::time::Duration;

use dory_core::domain::command::{CommandState, FleetCommand};
use dory_core::services::{CommandStatus, Dory};
use dory_core::{Error, ErrorKind, Result};

use crate::interrupt;
use crate::render::commands::line;
use crate::render::units;
use crate::ui::Ui;

/// How often a command is looked after.
const LOOK: Duration = Duration::from_secs(1);

/// At which looks it is asked whether the server of a command that waits is there at all.
const ASK_FOR_SERVER_EVERY: u32 = 15;

/// Waits until a command is over, or will not be begun.
pub(super) async fn follow(ui: &Ui, dory: &Dory, command: &FleetCommand) -> Result<CommandStatus> {
    let cancel = interrupt::on_signals(ui);
    let (mut told, mut silence) = (String::new(), None);
    for look in 0_u32.. {
        let status = cancel.or(dory.look_after(command)).await;
        let status = status.map_err(|error| if cancel.is_cancelled() { goes_on(command) } else { error })?;
        match &status.state {
            CommandState::Waiting => {
                if look % ASK_FOR_SERVER_EVERY == 0 {
                    silence = silence_of(dory, command).await?;
                }
                let words = silence.clone().unwrap_or_else(|| line(&status));
                tell(ui, &mut told, words);
            }
            CommandState::Running { .. } => tell(ui, &mut told, line(&status)),
            CommandState::Expired | CommandState::Withdrawn { .. } | CommandState::Over(_) => return Ok(status),
        }
        let waited = async {
            tokio::time::sleep(LOOK).await;
            Ok(())
        };
        if cancel.or(waited).await.is_err() {
            break;
        }
    }
    Err(goes_on(command))
}

fn tell(ui: &Ui, told: &mut String, words: String) {
    if words != *told {
        ui.say(&words);
        *told = words;
    }
}

/// That a command waits for a server which does not show itself; `None` where it does.
async fn silence_of(dory: &Dory, command: &FleetCommand) -> Result<Option<String>> {
    let FleetCommand { id, server, expires_at, .. } = command;
    let Some(record) = dory.catalog().server(server).await? else { return Ok(None) };
    let since = units::moment(record.ping.at);
    let gone = match (record.lease.released, record.is_silent(dory.now())) {
        (true, _) => format!("{server} was ended at {since}"),
        (false, true) => format!("{server} has been silent since {since}"),
        (false, false) => return Ok(None),
    };
    let until = units::moment(*expires_at);
    Ok(Some(format!("{gone}: the command waits for it until {until}; `dory withdraw {id}` takes it back")))
}

fn goes_on(command: &FleetCommand) -> Error {
    let reason = "it goes on all the same";
    Error::new(ErrorKind::Cancelled, "wait for command", command.id.to_string(), reason)
        .with_hint(format!("`dory withdraw {0}` takes it back, `dory cancel {0}` ends it", command.id))
}

//! What servers were asked to do.

use dory_core::domain::command::CommandState;
use dory_core::services::CommandStatus;

/// How far a command is, with its server's name.
pub(crate) fn line(status: &CommandStatus) -> String {
    format!("{}: {}", status.command.server, state(&status.state))
}

/// How far a command is.
pub(crate) fn state(state: &CommandState) -> String {
    match state {
        CommandState::Waiting => "waiting for the server to look".to_owned(),
        CommandState::Expired => "expired: the server did not begin it in time".to_owned(),
        CommandState::Withdrawn { by } => format!("taken back by {by}"),
        CommandState::Running { progress: Some(words), .. } => format!("at it, {words}"),
        CommandState::Running { progress: None, .. } => "at it".to_owned(),
        CommandState::Over(outcome) => {
            let short = outcome.shortfalls.iter().map(|shortfall| format!("; {}", shortfall.words()));
            match &outcome.error {
                Some(error) => format!("{}: {}", outcome.words, error.reason),
                None => outcome.words.clone() + &short.collect::<String>(),
            }
        }
    }
}

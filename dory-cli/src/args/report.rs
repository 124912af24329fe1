//! What can be typed about reports, and about the fleet's settings.

use clap::{Args, Subcommand};
use dory_core::domain::contact::MailAddress;
use dory_core::domain::setting_key::SettingKey;

/// See [`Command::Report`](super::Command::Report).
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Print what the report would say now, and send nothing; so it is without any flag too
    #[arg(long, conflicts_with_all = ["send", "send_test"])]
    pub preview: bool,
    /// Print it as the HTML of its mail
    #[arg(long, conflicts_with_all = ["send", "send_test"])]
    pub html: bool,
    /// Send the report now, to everybody who gets digests
    #[arg(long)]
    pub send: bool,
    /// Send a mail to this address, to see whether it arrives
    #[arg(long, value_name = "ADDRESS", conflicts_with = "send")]
    pub send_test: Option<MailAddress>,
}

/// See [`Command::Settings`](super::Command::Settings).
#[derive(Debug, Args)]
pub struct SettingsArgs {
    /// What to do; to show them all where nothing is said.
    #[command(subcommand)]
    pub command: Option<SettingsCommand>,
}

/// What to do with the fleet's settings.
#[derive(Debug, Subcommand)]
pub enum SettingsCommand {
    /// Show what is set, and what can be
    Show,
    /// Set one; a secret is read from standard input
    Set {
        /// Which: `mail.smtp`, `webhook.<name>.url`, …
        #[arg(value_name = "SETTING")]
        key: SettingKey,
        /// What it is to hold; nothing for a secret
        value: Option<String>,
    },
    /// Take one back
    Unset {
        /// Which; `webhook.<name>.url` takes the whole webhook away
        #[arg(value_name = "SETTING")]
        key: SettingKey,
    },
}

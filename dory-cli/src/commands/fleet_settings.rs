//! `dory settings`

use std::collections::BTreeMap;
use std::io::{IsTerminal, Read};

use dory_core::domain::secret::Secret;
use dory_core::domain::setting_key::SettingKey;
use dory_core::domain::settings::FleetSettings;
use dory_core::services::{Dory, SettingChange};
use dory_core::{Error, Result};

use crate::args::{SettingsArgs, SettingsCommand};
use crate::exit::Exit;
use crate::render::table::table;
use crate::ui::Ui;

/// The longest secret that is read, in bytes.
const LONGEST: u64 = 4096;

pub(super) async fn run(ui: &Ui, dory: &Dory, args: SettingsArgs) -> Result<Exit> {
    let settings = match args.command {
        None | Some(SettingsCommand::Show) => {
            show(ui, &dory.fleet_settings().await?)?;
            return Ok(Exit::Success);
        }
        Some(SettingsCommand::Set { key, value }) => {
            let before = dory.fleet_settings().await?;
            let change = change(&key, value)?;
            let after = dory.change_setting(&key, &change).await?;
            if before.mail.password.is_some() && after.mail.password.is_none() {
                ui.warn("the password was for another account, and is forgotten: set mail.password anew");
            }
            after
        }
        Some(SettingsCommand::Unset { key }) => dory.change_setting(&key, &SettingChange::Unset).await?,
    };
    if ui.is_json() {
        show(ui, &settings)?;
    }
    Ok(Exit::Success)
}

/// What was typed, or for a secret what comes on standard input: others can read the words of a command.
fn change(key: &SettingKey, value: Option<String>) -> Result<SettingChange> {
    let field = format!("setting {key}");
    let hint = format!("run `dory settings set {key} < file`");
    match value {
        Some(_) if key.is_secret() => {
            Err(Error::invalid(&field, "***", "others on this host could read it off the command line").with_hint(hint))
        }
        Some(value) => Ok(SettingChange::Set(value)),
        None if !key.is_secret() => Err(Error::invalid(&field, "", format!("a value is expected: {}", key.words()))),
        None if std::io::stdin().is_terminal() => {
            Err(Error::invalid(&field, "", "it is read from standard input, and a terminal would show it")
                .with_hint(hint))
        }
        None => {
            let mut text = String::new();
            let read = std::io::stdin().lock().take(LONGEST).read_to_string(&mut text);
            read.map_err(|error| Error::invalid(&field, "", "standard input cannot be read").with_source(error))?;
            Ok(SettingChange::SetSecret(Secret::new(text.trim_end_matches(['\n', '\r']))))
        }
    }
}

fn show(ui: &Ui, settings: &FleetSettings) -> Result<()> {
    let all = SettingKey::all_of(settings);
    let values: BTreeMap<_, _> =
        all.iter().filter_map(|key| key.value(settings).map(|value| (key.to_string(), value))).collect();
    ui.result(&values, |values| {
        let row = |key: &SettingKey| {
            let value = values.get(&key.to_string()).cloned().unwrap_or_else(|| "-".to_owned());
            [key.to_string(), value, key.words().to_owned()]
        };
        let rows: Vec<_> = all.iter().map(row).collect();
        table(["SETTING", "VALUE", "WHAT IT HOLDS"], &rows) + "webhook.<name>.url adds a webhook of that name\n"
    })
}

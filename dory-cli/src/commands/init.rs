//! `dory init`

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use dory_core::domain::keys::Encryption;
use dory_core::services::recovery_sheet;
use dory_core::{Error, ErrorKind, Result, bootstrap};

use crate::args::{GlobalArgs, InitArgs};
use crate::exit::Exit;
use crate::settings;
use crate::ui::Ui;

pub(super) async fn run(ui: &Ui, global: &GlobalArgs, args: &InitArgs) -> Result<Exit> {
    let settings = settings::load(global)?;
    let mine = match &settings.encryption {
        Some(Encryption::Passphrase(passphrase)) => Some(passphrase.clone()),
        _ => None,
    };
    let default = PathBuf::from("dory-recovery.txt");
    let is_set_up = bootstrap::is_set_up(&settings).await;
    let sheet = args.sheet.as_ref().or((!is_set_up).then_some(&default));
    // Before anything is made: a passphrase that cannot be written down would be lost.
    if let Some(sheet) = sheet.filter(|sheet| sheet.exists()) {
        let reason = match is_set_up {
            true => "the store is set up already, and there is a file of that name",
            false => "there is a file of that name",
        };
        return Err(Error::new(ErrorKind::AlreadyExists, "write recovery sheet", shown(sheet), reason)
            .with_hint("name another one with `--sheet`"));
    }
    let report = bootstrap::init(&settings, args.fleet.as_deref()).await?;
    if report.owner_unknown {
        ui.warn(&format!(
            "{} was there before, and the key may not ask whose it is: make sure that it is yours",
            report.store
        ));
    }
    if let Some(sheet) = sheet {
        let passphrase = report.passphrase.as_ref().or(mine.as_ref());
        write_sheet(sheet, &recovery_sheet(&report, passphrase))?;
    }
    ui.result(&report, |report| {
        let mut text = match report.existed {
            true => format!("{} is set up already (fleet {})\n", report.store, report.fleet),
            false => format!("{} is set up\n", report.store),
        };
        text.push_str(&match sheet {
            Some(sheet) => format!(
                "the recovery sheet is in {}: print it or copy it to a safe place, then delete the file\n",
                shown(sheet)
            ),
            None => "add `--sheet <path>` to write a new recovery sheet\n".to_owned(),
        });
        if report.passphrase.is_some() {
            text.push_str("set DORY_PASSPHRASE, or DORY_PASSPHRASE_FILE, to the passphrase on the sheet\n");
        }
        text
    })?;
    Ok(Exit::Success)
}

fn write_sheet(path: &Path, sheet: &str) -> Result<()> {
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(sheet.as_bytes()).and_then(|()| file.sync_all()));
    written.map_err(|error| {
        // The fleet exists by now. Its passphrase must not die with this process.
        let _ = crate::ui::print(sheet);
        Error::new(ErrorKind::Internal, "write recovery sheet", shown(path), "it was printed instead: keep it")
            .with_source(error)
    })
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

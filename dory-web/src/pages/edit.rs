//! What a backup is called, where it belongs, what is said about it.

use std::collections::BTreeMap;

use dory_core::domain::backup::Backup;
use dory_core::services::BackupEdit;
use dory_core::{Error, Result};
use maud::html;

use crate::ask::Ask;
use crate::error::Reply;
use crate::gate::see_other;
use crate::views::{Page, bits, head, nothing};

pub(crate) async fn show(ask: Ask) -> Reply {
    let backup = ask.backup().await?;
    let path = format!("/backups/{}", backup.id);
    let metadata: String = backup.metadata.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
    let marked = match backup.marked {
        None => "label",
        Some(true) => "yes",
        Some(false) => "no",
    };
    let content = html! {
        (head(&[("/backups", "Backups"), (&path, &backup.name)], &html! { "Edit" }, &nothing()))
        div.sheet {
            form method="post" action={ (path) "/edit" } {
                (bits::csrf(&ask))
                (bits::field("name", "Name", &backup.name, "Unique on its server. The id stays as it is."))
                (bits::area("description", "Description", backup.description.as_deref().unwrap_or_default(), ""))
                (bits::area("metadata", "Metadata", &metadata, "One key=value a line."))
                (bits::choice("marked", "Chosen for backup --all and schedules", &[("label", "as its container's label says"), ("yes", "yes"), ("no", "no")], marked, false))
                (bits::field("server", "Server", backup.server.as_str(), "Whose backup it is. Change it when a container moved to another host: its data is not moved, it is in the store."))
                button.main { "Save" } " " a.button href=(path) { "Leave it" }
            }
        }
    };
    Ok(Page::new("Edit backup", "/backups").show(&ask, &content))
}

pub(crate) async fn save(ask: Ask) -> Reply {
    let backup = ask.backup().await?;
    let name = ask.form.need("name")?;
    let server = ask.form.need("server")?;
    let edit = BackupEdit {
        name: (name != backup.name).then(|| name.to_owned()),
        server: (server != backup.server.as_str()).then(|| server.parse()).transpose()?,
        description: Some(ask.form.get("description").unwrap_or_default().to_owned()),
        metadata: metadata_edit(&backup, ask.form.raw("metadata").unwrap_or_default())?,
        marked: Some(match ask.form.get("marked") {
            Some("yes") => Some(true),
            Some("no") => Some(false),
            _ => None,
        }),
        ..BackupEdit::default()
    };
    ask.dory().edit_backup(backup.id.as_str(), &edit).await?;
    see_other(&format!("/backups/{}", backup.id))
}

/// What makes a backup's metadata what a form says.
pub(crate) fn metadata_edit(backup: &Backup, text: &str) -> Result<BTreeMap<String, Option<String>>> {
    let mut edit: BTreeMap<String, Option<String>> = backup.metadata.keys().map(|key| (key.clone(), None)).collect();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let allowed = "`key=value` is expected, one a line";
        let (key, value) = line.split_once('=').ok_or_else(|| Error::invalid("metadata", line, allowed))?;
        if key.trim().is_empty() {
            return Err(Error::invalid("metadata", line, allowed));
        }
        edit.insert(key.trim().to_owned(), Some(value.trim().to_owned()));
    }
    Ok(edit)
}

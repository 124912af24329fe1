//! Backups, points and files.

use std::sync::Arc;

use dory_core::domain::backup::Backup;
use dory_core::domain::policy::{EngineKind, PolicyOverrides, StopMode};
use dory_core::domain::restore_point::{PointOrigin, RestorePoint};
use dory_core::domain::suspect::{Loss, Measure};
use dory_core::ports::{FileEntry, FileKind};
use jiff::Timestamp;

use super::dumps;
use super::table::table;
use super::units;

/// All backups, a line each.
pub(crate) fn backup_list(backups: &[Arc<Backup>], now: Timestamp) -> String {
    if backups.is_empty() {
        return "no backups yet: run `dory backup <container>`\n".to_owned();
    }
    let row = |backup: &Arc<Backup>| {
        let latest = backup.latest();
        [
            backup.name.clone(),
            backup.server.to_string(),
            backup.identity.container.to_string(),
            points(backup),
            latest.map_or_else(|| "never".to_owned(), |point| units::ago(point.taken_at, now)),
            latest.map_or_else(|| "-".to_owned(), |point| units::bytes(point.size.bytes)),
            units::bytes(backup.stored_bytes()),
            backup.id.to_string(),
        ]
    };
    let rows: Vec<_> = backups.iter().map(row).collect();
    table(["NAME", "SERVER", "CONTAINER", "POINTS", "LATEST", "SIZE", "STORED", "ID"], &rows)
}

/// How many points there are, and why one should look at the backup.
fn points(backup: &Backup) -> String {
    let frozen = if backup.is_frozen() { " FROZEN" } else { "" };
    let half_restored = if backup.half_restored_by().is_some() { " HALF RESTORED" } else { "" };
    format!("{}{frozen}{half_restored}", backup.points.len())
}

/// One backup, with its points.
pub(crate) fn backup(backup: &Backup, now: Timestamp) -> String {
    let mut text = String::new();
    let mut field = |name: &str, value: &str| text.push_str(&format!("{name:<13}{value}\n"));
    field("backup", &backup.name);
    field("id", backup.id.as_str());
    field("server", backup.server.as_str());
    field("container", backup.identity.container.as_str());
    if let Some(description) = &backup.description {
        field("description", description);
    }
    for (key, value) in &backup.metadata {
        field(key, value);
    }
    field("first made", &units::moment(backup.created_at));
    field(
        "marked",
        match (backup.marked, backup.marked_by_label) {
            (Some(true), _) => "yes",
            (None, true) => "yes, by its container's label",
            (Some(false), true) => "no, whatever its container's label says",
            (Some(false) | None, _) => "no",
        },
    );
    for (name, value) in policy(&backup.policy) {
        field(name, &value);
    }
    field("stored", &units::bytes(backup.stored_bytes()));
    if let Some(verified) = &backup.verified {
        let (how, at) =
            (if verified.read_data { "all data read" } else { "names and sizes" }, units::moment(verified.at));
        match verified.faults.first() {
            None => field("verified", &format!("{at}, {how}: all is well")),
            Some(fault) => field("DAMAGED", &format!("{at}, {how}: {fault}")),
        }
    }
    if let Some((point, suspicion)) = backup.frozen_by() {
        let clear = format!("`dory edit {} --clear-suspect` if that is as it should be", backup.id);
        field("FROZEN", &format!("point {} is suspect, {}: {clear}", point.id, loss(&suspicion.loss)));
    }
    if let Some(note) = backup.half_restored_by() {
        let since = units::moment(note.since);
        let told = format!("run {} writes to {} since {since}, or broke off", note.run, note.place());
        field("HALF WRITTEN", &format!("{told}: {}", backup.ways_on(note)));
    }
    if let Some(sealed) = &backup.hooks {
        let commands = [("pre-hook", &sealed.hooks.pre), ("post-hook", &sealed.hooks.post)];
        for (name, settings) in commands {
            if let Some(command) = &settings.command {
                field(name, &command.to_string());
            }
        }
        if let Some(method) = &sealed.hooks.dump.method {
            field("dump", &method.to_string());
        }
    }
    if backup.deleting_since.is_some() {
        field("state", "its deletion began and was not finished: run `dory delete` again");
    }
    if backup.points.is_empty() {
        return text + "\nno restore points yet\n";
    }
    let row = |point: &RestorePoint| {
        [
            units::moment(point.taken_at),
            units::ago(point.taken_at, now),
            units::bytes(point.size.bytes),
            units::bytes(point.size.stored_bytes),
            point.consistency.as_str().to_owned(),
            point.stop_window.map_or_else(|| "-".to_owned(), units::duration),
            point.engine.to_string(),
            point.id.to_string(),
            remarks(point),
        ]
    };
    let rows: Vec<_> = backup.points.iter().map(row).collect();
    let headings = ["TAKEN", "AGE", "SIZE", "ADDED", "DATA", "STOPPED", "ENGINE", "POINT", "NAME AND REMARKS"];
    text + "\n" + &table(headings, &rows)
}

/// What of a policy is not the default, a line each.
fn policy(policy: &PolicyOverrides) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    lines.extend(policy.stop.filter(|stop| *stop != StopMode::default()).map(|stop| ("stop mode", stop.to_string())));
    let engine = policy.engine.filter(|engine| *engine != EngineKind::default());
    lines.extend(engine.map(|engine| ("engine", engine.to_string())));
    lines.extend(policy.engine_options.iter().map(|(name, value)| ("option", format!("{name}={value}"))));
    let schedule = policy.schedule.clone().map(String::from);
    lines.extend(schedule.map(|schedule| ("schedule", schedule)));
    lines.extend(
        policy
            .keep
            .as_ref()
            .map(|keep| ("keeps", if keep.is_empty() { "everything".to_owned() } else { keep.to_string() })),
    );
    lines.extend(policy.exclude.iter().flatten().map(|pattern| ("leaves out", pattern.clone())));
    lines
}

fn remarks(point: &RestorePoint) -> String {
    let mut remarks = Vec::new();
    remarks.extend(point.name.clone());
    remarks.extend(point.description.as_ref().map(|text| format!("({text})")));
    remarks.extend(dumps::held(point));
    if point.origin == PointOrigin::Safety {
        remarks.push("kept before a restore".to_owned());
    }
    if point.lost_data() {
        remarks.push(format!("INCOMPLETE, {} warnings", point.warning_count));
    } else if point.warning_count > 0 {
        remarks.push(format!("{} warnings", point.warning_count));
    }
    if let Some(suspicion) = &point.suspect {
        remarks.push(match &suspicion.cleared {
            None => format!("SUSPECT, {}", loss(&suspicion.loss)),
            Some(cleared) => {
                let by = cleared.by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
                format!("shrank, and was cleared{by}")
            }
        });
    }
    if point.protected {
        remarks.push("protected".to_owned());
    }
    if point.deleting {
        remarks.push("being deleted".to_owned());
    }
    remarks.join(" ")
}

/// What a suspect point lost, in sizes that people read.
pub(crate) fn loss(loss: &Loss) -> String {
    let count = |number: u64| match loss.of {
        Measure::Files => units::count(usize::try_from(number).unwrap_or(usize::MAX), "file"),
        Measure::Bytes => units::bytes(number),
    };
    let place = loss.mount.as_ref().map_or_else(|| "it".to_owned(), |mount| mount.display().to_string());
    match (loss.of, loss.now) {
        (Measure::Files, 0) => format!("{place} is empty and held {} before", count(loss.before)),
        (_, now) => format!("{place} holds {} and held {} before", count(now), count(loss.before)),
    }
}

/// What a run says of a suspect point that it made.
pub(crate) fn alarm(point: &RestorePoint, backup: &str) -> String {
    let what = point.suspect.as_ref().map(|suspicion| loss(&suspicion.loss)).unwrap_or_default();
    format!(
        "SUSPECT: {what}. Nothing of backup {backup} is deleted without a word until `dory edit {backup} \
         --clear-suspect` says that this is as it should be"
    )
}

/// Files of a point, a line each.
pub(crate) fn files(entries: &[FileEntry]) -> String {
    let size = |entry: &FileEntry| entry.bytes.map_or_else(|| "?".to_owned(), |bytes| bytes.to_string());
    let size_width = entries.iter().map(|entry| size(entry).len()).max().unwrap_or(0);
    let line = |entry: &FileEntry| {
        if (entry.bytes, entry.mode, entry.owner, entry.modified) == (None, None, None, None) {
            return format!("{}\n", entry.path);
        }
        let kind = match entry.kind {
            FileKind::File => '-',
            FileKind::Folder => 'd',
            FileKind::Symlink => 'l',
            FileKind::Fifo => 'p',
            FileKind::Socket => 's',
            FileKind::Device => 'b',
        };
        let mode = entry.mode.map_or_else(|| "?????????".to_owned(), permissions);
        let owner = entry.owner.map_or_else(|| "?:?".to_owned(), |(user, group)| format!("{user}:{group}"));
        let modified = entry.modified.map_or_else(|| " ".repeat(16), |at| at.strftime("%Y-%m-%d %H:%M").to_string());
        let link = entry.link_target.as_ref().map(|target| format!(" -> {target}")).unwrap_or_default();
        format!("{kind}{mode} {owner:>9} {:>size_width$} {modified} {}{link}\n", size(entry), entry.path)
    };
    entries.iter().map(line).collect()
}

/// `rwxr-x---`, with `s` and `t` where they belong.
fn permissions(mode: u32) -> String {
    let bit = |mask: u32, letter: char| if mode & mask != 0 { letter } else { '-' };
    let special = |execute: u32, special: u32, letter: char| match (mode & execute != 0, mode & special != 0) {
        (true, true) => letter,
        (false, true) => letter.to_ascii_uppercase(),
        (true, false) => 'x',
        (false, false) => '-',
    };
    [
        bit(0o400, 'r'),
        bit(0o200, 'w'),
        special(0o100, 0o4000, 's'),
        bit(0o040, 'r'),
        bit(0o020, 'w'),
        special(0o010, 0o2000, 's'),
        bit(0o004, 'r'),
        bit(0o002, 'w'),
        special(0o001, 0o1000, 't'),
    ]
    .iter()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nothing_is_known_of_is_just_named() {
        let mount = FileEntry {
            path: dory_core::domain::entry_path::EntryPath::new("/data"),
            kind: FileKind::Folder,
            bytes: None,
            mode: None,
            owner: None,
            modified: None,
            link_target: None,
        };
        assert_eq!(files(&[mount]), "/data\n");
    }

    #[test]
    fn what_is_not_the_default_of_a_policy_is_shown() {
        assert!(policy(&PolicyOverrides::default()).is_empty());
        let set = PolicyOverrides {
            stop: Some(StopMode::Pause),
            engine: Some(EngineKind::Duplicity),
            engine_options: [("volsize".to_owned(), "50".to_owned())].into(),
            ..PolicyOverrides::default()
        };
        let set = PolicyOverrides { exclude: Some(vec!["cache/**".to_owned()]), ..set };
        let lines: Vec<_> = policy(&set).into_iter().map(|(name, value)| format!("{name} {value}")).collect();
        assert_eq!(lines, ["stop mode pause", "engine duplicity", "option volsize=50", "leaves out cache/**"]);
    }

    #[test]
    fn permissions_read_as_in_ls() {
        assert_eq!(permissions(0o755), "rwxr-xr-x");
        assert_eq!(permissions(0o4755), "rwsr-xr-x");
        assert_eq!(permissions(0o1777), "rwxrwxrwt");
        assert_eq!(permissions(0o2640), "rw-r-S---");
    }
}

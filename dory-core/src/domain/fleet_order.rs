//! What a server of the fleet can be asked to do, as data.

use serde::{Deserialize, Serialize};

use super::id::{BackupId, CommandId, DumpName, PointId, RunId};
use super::keep_rules::KeepRules;
use super::policy::PolicyOverrides;

/// What a server can be asked to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "do")]
pub enum Order {
    /// Back a container up, now.
    Backup {
        /// Its name or id on that server.
        container: String,
        /// A name for the restore point.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// Words about the restore point.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
        /// What is to be different this time.
        #[serde(default, skip_serializing_if = "BackupHow::is_usual")]
        how: Box<BackupHow>,
    },
    /// Restore a point of a backup, which may be another server's.
    Restore {
        /// Which backup.
        backup: BackupId,
        /// Which point of it.
        point: PointId,
        /// Into which container of that server; the backup's own where `None`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        into: Option<String>,
        /// Mounts that go elsewhere, as `--map` takes them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        maps: Vec<String>,
        /// Whether what is there now is kept in a safety point.
        safety: bool,
        /// Whether what the point does not hold is removed from bind mounts too.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        delete_extra: bool,
    },
    /// Load a dump of a point into a running container.
    LoadDump {
        /// Of which backup.
        backup: BackupId,
        /// Of which point.
        point: PointId,
        /// Which dump; the only one where `None`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<DumpName>,
        /// Into which container of that server; the backup's own where `None`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        into: Option<String>,
        /// Whether what is there now is kept in a dump of its own.
        safety: bool,
    },
    /// Check that what a backup keeps can be restored.
    Verify {
        /// Which backup.
        backup: BackupId,
        /// Whether every stored byte is read.
        read_data: bool,
    },
    /// Delete what the rules of a backup do not keep.
    Prune {
        /// Which backup.
        backup: BackupId,
        /// Rules that count instead of the backup's own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        keep: Option<KeepRules>,
    },
    /// Delete a point of a backup, with what cannot stay without it.
    DeletePoint {
        /// Which backup.
        backup: BackupId,
        /// Which point.
        point: PointId,
        /// Every point that goes, as whoever asked was shown; none for the one alone.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        expected: Vec<PointId>,
    },
    /// Delete a backup as a whole.
    DeleteBackup {
        /// Which.
        backup: BackupId,
        /// Every point of it, as whoever asked was shown.
        expected: Vec<PointId>,
    },
    /// Choose a container for `backup --all`, or take it out.
    Mark {
        /// Its name or id on that server.
        container: String,
        /// Whether it is chosen.
        marked: bool,
    },
    /// End what another command of that server is doing, in order.
    Cancel {
        /// Which command.
        command: CommandId,
    },
    /// End a run of that server, in order, whoever began it.
    CancelRun {
        /// Which.
        run: RunId,
    },
}

/// What is to be different about one backup that was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BackupHow {
    /// What overrides the catalog's and the labels' policy; no hooks, which are never part of a document unsealed.
    #[serde(skip_serializing_if = "PolicyOverrides::are_open")]
    pub policy: PolicyOverrides,
    /// Whether the container's hooks stay out of it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_hooks: bool,
    /// Whether no dump is taken.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_dump: bool,
    /// Whether a container that only looks like that of a known backup begins its own.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub new: bool,
    /// The backup whose history it goes on with, although only a name ties them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub continue_backup: Option<BackupId>,
}

impl BackupHow {
    /// Whether nothing is different.
    #[must_use]
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

impl Order {
    /// A few words for people: `back up db`.
    #[must_use]
    pub fn words(&self) -> String {
        let place = |into: &Option<String>| into.as_ref().map(|into| format!(" into {into}")).unwrap_or_default();
        match self {
            Self::Backup { container, .. } => format!("back up {container}"),
            Self::Restore { backup, point, into, .. } => format!("restore {backup} at {point}{}", place(into)),
            Self::LoadDump { backup, point, name, into, .. } => {
                let dump = name.as_ref().map_or_else(|| "the dump".to_owned(), |name| format!("dump {name}"));
                format!("load {dump} of {backup} at {point}{}", place(into))
            }
            Self::Verify { backup, .. } => format!("verify {backup}"),
            Self::Prune { backup, .. } => format!("prune {backup}"),
            Self::DeletePoint { backup, point, .. } => format!("delete point {point} of {backup}"),
            Self::DeleteBackup { backup, .. } => format!("delete {backup}"),
            Self::Mark { container, marked: true } => format!("mark {container}"),
            Self::Mark { container, marked: false } => format!("unmark {container}"),
            Self::Cancel { command } => format!("cancel {command}"),
            Self::CancelRun { run } => format!("cancel run {run}"),
        }
    }
}

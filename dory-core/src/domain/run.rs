//! One execution: what it did, how it went.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::id::{BackupId, PointId, RunId, ServerName};
use crate::error::ErrorRecord;

/// One execution, as it is kept in the catalog once it is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Names it.
    pub id: RunId,
    /// Where it ran.
    pub server: ServerName,
    /// What it did.
    pub kind: RunKind,
    /// On which backup.
    pub backup: BackupId,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took.
    pub elapsed: SignedDuration,
    /// How it went.
    pub outcome: Outcome,
    /// The point it made or restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point: Option<PointId>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorRecord>,
    /// Its last log lines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
}

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunKind {
    /// Makes a restore point.
    Backup,
    /// Brings data back.
    Restore,
    /// Removes a point or a backup with its data.
    Delete,
    /// Removes the points that the rules do not keep.
    Prune,
    /// Checks that what is kept can be restored.
    Verify,
}

impl RunKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Backup, Self::Restore, Self::Delete, Self::Prune, Self::Verify];

    /// The word for programs and people: `backup`, `restore`, `delete`, `prune`, `verify`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Restore => "restore",
            Self::Delete => "delete",
            Self::Prune => "prune",
            Self::Verify => "verify",
        }
    }
}

/// How a run went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// All of it was done.
    Succeeded,
    /// It ended, but some of what was asked for is missing.
    Incomplete,
    /// It failed.
    Failed,
    /// Somebody ended it.
    Cancelled,
    /// Dory, or its host, died in the middle of it; whoever looked next wrote it down.
    Interrupted,
}

impl Outcome {
    /// The word for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Incomplete => "incomplete",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
        }
    }
}

/// One execution that is under way, as its server shows it every few seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveRun {
    /// Names it.
    pub id: RunId,
    /// Where it runs.
    pub server: ServerName,
    /// What it does.
    pub kind: RunKind,
    /// In words: `back up db`.
    pub what: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When this was written.
    pub at: Timestamp,
    /// How far it is.
    pub progress: String,
    /// How many lines of its log came before the first one here.
    pub lines_before: u64,
    /// Its last log lines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
}

//! What a run tells while it goes: phases, progress, warnings. Never only a log line.

use serde::{Deserialize, Serialize};

use super::entry_path::EntryPath;

/// How far a transfer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Files done.
    pub files: u64,
    /// Files in all, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files_total: Option<u64>,
    /// Bytes of source data done.
    pub bytes: u64,
    /// Bytes of source data in all, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_total: Option<u64>,
}

/// Something about one path that did not go as asked, while the rest went on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// What went wrong.
    pub kind: WarningKind,
    /// Where: the first part is the mount's key.
    pub path: EntryPath,
    /// The operating system's or the engine's own words.
    pub detail: String,
}

/// The ways in which one path can fall short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WarningKind {
    /// It could not be read, so its data is missing from the point.
    Unreadable,
    /// It changed while it was read, so its parts may be from different moments.
    ChangedWhileRead,
    /// A container that may write to it started in the stop window, so its parts may be from different moments.
    WriterStarted,
    /// A restore began to write to it and did not end, so it may be neither old nor new.
    HalfRestored,
    /// It was to be made by a command, which failed, so it is missing from the point.
    NotDumped,
    /// It was there when listed and gone when read.
    Vanished,
    /// The engine does not keep such things (a socket).
    NotKept,
    /// Something else is mounted there, which the container sees and the point does not hold.
    OtherMount,
    /// It was restored, but owner, mode, times or an extended attribute could not be set.
    MetadataNotRestored,
    /// It could not be restored.
    NotRestored,
}

impl WarningKind {
    /// Whether data that was asked for is missing because of it.
    #[must_use]
    pub fn loses_data(self) -> bool {
        matches!(self, Self::Unreadable | Self::HalfRestored | Self::NotDumped | Self::OtherMount | Self::NotRestored)
    }

    /// Whether its parts may be from different moments because of it.
    #[must_use]
    pub fn mixes_moments(self) -> bool {
        matches!(self, Self::ChangedWhileRead | Self::WriterStarted | Self::HalfRestored)
    }

    /// A few words for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "could not be read",
            Self::ChangedWhileRead => "changed while it was read",
            Self::WriterStarted => "may have been written to meanwhile",
            Self::HalfRestored => "may be half restored",
            Self::NotDumped => "could not be dumped",
            Self::Vanished => "vanished before it was read",
            Self::OtherMount => "holds something else that is mounted there, which is not in the point",
            Self::NotKept => "cannot be kept by this engine",
            Self::MetadataNotRestored => "was restored without all its metadata",
            Self::NotRestored => "could not be restored",
        }
    }
}

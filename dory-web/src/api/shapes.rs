//! The shapes of the programming interface: never the domain's own types, which may change without it.

use std::collections::BTreeMap;

use dory_core::domain::backup::Backup;
use dory_core::domain::command::CommandState;
use dory_core::domain::entry_path::EntryPath;
use dory_core::domain::policy::PolicyOverrides;
use dory_core::domain::restore_point::RestorePoint;
use dory_core::domain::server::ServerRecord;
use dory_core::ports::FileEntry;
use dory_core::services::{CommandStatus, ContainerOverview};
use dory_core::{ErrorKind, ErrorRecord};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::jobs::Job;
use crate::look::Row;

/// A part of the list of backups.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BackupPage {
    pub(crate) backups: Vec<BackupRow>,
    /// How many there are in all.
    pub(crate) total: usize,
    /// Documents of the catalog that cannot be read, and why.
    pub(crate) damaged: Vec<String>,
}

/// A backup in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BackupRow {
    /// Never changes.
    pub(crate) id: String,
    /// Unique on its server.
    pub(crate) name: String,
    pub(crate) server: String,
    pub(crate) container: String,
    /// The id of the container it was made from last.
    pub(crate) container_id: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) marked: bool,
    /// Whether its container is gone; `null` where only its server knows.
    pub(crate) orphaned: Option<bool>,
    /// Bytes of data in the newest point.
    pub(crate) bytes: u64,
    /// Bytes that all its points added to the store.
    pub(crate) stored_bytes: u64,
    pub(crate) points: usize,
    /// When it came into being.
    pub(crate) created_at: String,
    pub(crate) oldest_at: Option<String>,
    pub(crate) latest_at: Option<String>,
    pub(crate) next_at: Option<String>,
    /// What needs attention, in sentences.
    pub(crate) troubles: Vec<String>,
}

impl From<&Row> for BackupRow {
    fn from(row: &Row) -> Self {
        let backup = &row.backup;
        let text = |at: Option<jiff::Timestamp>| at.map(|at| at.to_string());
        Self {
            id: backup.id.to_string(),
            name: backup.name.clone(),
            server: backup.server.to_string(),
            container: backup.identity.container.to_string(),
            container_id: backup.container().map(|seen| seen.id.to_string()),
            description: backup.description.clone(),
            marked: backup.is_marked(),
            orphaned: row.orphaned,
            bytes: row.bytes,
            stored_bytes: row.stored_bytes,
            points: backup.points.len(),
            created_at: backup.created_at.to_string(),
            oldest_at: text(row.oldest),
            latest_at: text(row.latest),
            next_at: text(row.next),
            troubles: row.troubles.iter().map(|trouble| trouble.words.clone()).collect(),
        }
    }
}

/// A backup.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BackupView {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) server: String,
    pub(crate) container: String,
    /// Ids of the containers it was made from, the oldest first.
    pub(crate) container_ids: Vec<String>,
    pub(crate) description: Option<String>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) marked: bool,
    pub(crate) created_at: String,
    pub(crate) stored_bytes: u64,
    pub(crate) policy: PolicyView,
    /// The oldest first.
    pub(crate) points: Vec<PointView>,
}

impl From<&Backup> for BackupView {
    fn from(backup: &Backup) -> Self {
        Self {
            id: backup.id.to_string(),
            name: backup.name.clone(),
            server: backup.server.to_string(),
            container: backup.identity.container.to_string(),
            container_ids: backup.containers.iter().map(|seen| seen.id.to_string()).collect(),
            description: backup.description.clone(),
            metadata: backup.metadata.clone(),
            marked: backup.is_marked(),
            created_at: backup.created_at.to_string(),
            stored_bytes: backup.stored_bytes(),
            policy: (&backup.policy).into(),
            points: backup.points.iter().map(Into::into).collect(),
        }
    }
}

/// What the catalog says about how a backup is made; what it leaves open, labels and defaults decide.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PolicyView {
    pub(crate) schedule: Option<String>,
    pub(crate) keep: Option<String>,
    pub(crate) stop: Option<String>,
    pub(crate) engine: Option<String>,
    pub(crate) engine_options: BTreeMap<String, String>,
    pub(crate) exclude: Option<Vec<String>>,
}

impl From<&PolicyOverrides> for PolicyView {
    fn from(policy: &PolicyOverrides) -> Self {
        Self {
            schedule: policy.schedule.clone().map(String::from),
            keep: policy.keep.as_ref().map(ToString::to_string),
            stop: policy.stop.map(|stop| stop.to_string()),
            engine: policy.engine.map(|engine| engine.to_string()),
            engine_options: policy.engine_options.clone(),
            exclude: policy.exclude.clone(),
        }
    }
}

/// A restore point.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PointView {
    pub(crate) id: String,
    pub(crate) taken_at: String,
    pub(crate) name: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) protected: bool,
    /// `stopped`, `paused` or `live`.
    pub(crate) consistency: String,
    pub(crate) engine: String,
    pub(crate) bytes: u64,
    pub(crate) files: u64,
    pub(crate) stored_bytes: u64,
    /// From the first stop request to the moment the last container ran again, in milliseconds.
    pub(crate) stop_window_ms: Option<i64>,
    pub(crate) suspect: bool,
    /// Whether data that was asked for is missing.
    pub(crate) lost_data: bool,
    /// Where the container saw what it holds.
    pub(crate) mounts: Vec<String>,
    pub(crate) dumps: Vec<String>,
}

impl From<&RestorePoint> for PointView {
    fn from(point: &RestorePoint) -> Self {
        let milliseconds = |window: jiff::SignedDuration| i64::try_from(window.as_millis()).unwrap_or(i64::MAX);
        Self {
            id: point.id.to_string(),
            taken_at: point.taken_at.to_string(),
            name: point.name.clone(),
            description: point.description.clone(),
            protected: point.protected,
            consistency: point.consistency.as_str().to_owned(),
            engine: point.engine.to_string(),
            bytes: point.size.bytes,
            files: point.size.files,
            stored_bytes: point.size.stored_bytes,
            stop_window_ms: point.stop_window.map(milliseconds),
            suspect: point.is_suspect(),
            lost_data: point.lost_data(),
            mounts: point.mounts.iter().map(|mount| mount.destination.display().to_string()).collect(),
            dumps: point.dumps.iter().map(|dump| dump.name.to_string()).collect(),
        }
    }
}

/// A file or folder of a restore point.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FileView {
    /// Where the container saw it; bytes that are no UTF-8 as `\xff`.
    pub(crate) path: String,
    /// `file`, `folder`, `symlink`, `fifo`, `socket` or `device`.
    pub(crate) kind: String,
    pub(crate) bytes: Option<u64>,
    pub(crate) mode: Option<u32>,
    pub(crate) modified_at: Option<String>,
    pub(crate) link_target: Option<String>,
}

impl From<&FileEntry> for FileView {
    fn from(entry: &FileEntry) -> Self {
        let kind = serde_json::to_value(entry.kind).ok().and_then(|kind| kind.as_str().map(str::to_owned));
        Self {
            path: entry.path.to_string(),
            kind: kind.unwrap_or_default(),
            bytes: entry.bytes,
            mode: entry.mode,
            modified_at: entry.modified.map(|at| at.to_string()),
            link_target: entry.link_target.as_ref().map(EntryPath::to_string),
        }
    }
}

/// A container of this server.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ContainerView {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) image: String,
    pub(crate) state: String,
    /// Where it sees what a backup reads.
    pub(crate) mounts: Vec<String>,
    pub(crate) marked: bool,
    /// Whether its data could be brought back.
    pub(crate) covered: bool,
    pub(crate) backup: Option<String>,
    /// What is wrong with its labels, or with who it is.
    pub(crate) problem: Option<String>,
}

impl From<&ContainerOverview> for ContainerView {
    fn from(overview: &ContainerOverview) -> Self {
        let container = &overview.container;
        Self {
            name: container.name.to_string(),
            id: container.id.to_string(),
            image: container.image.to_string(),
            state: container.state.as_str().to_owned(),
            mounts: overview.mounts.iter().map(|mount| mount.destination.display().to_string()).collect(),
            marked: overview.marked,
            covered: overview.is_covered(),
            backup: overview.backup_id().map(ToString::to_string),
            problem: overview.problem.clone(),
        }
    }
}

/// A server of the fleet.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ServerView {
    pub(crate) name: String,
    pub(crate) host: String,
    pub(crate) version: String,
    pub(crate) pinged_at: String,
    pub(crate) started_at: String,
    /// Whether it has said nothing for longer than it promised.
    pub(crate) silent: bool,
    /// Whether it ended in order.
    pub(crate) ended: bool,
    pub(crate) running: Vec<String>,
}

impl ServerView {
    pub(crate) fn of(server: &ServerRecord, now: jiff::Timestamp) -> Self {
        Self {
            name: server.name.to_string(),
            host: server.ping.host.clone(),
            version: server.ping.version.clone(),
            pinged_at: server.ping.at.to_string(),
            started_at: server.ping.started_at.to_string(),
            silent: server.is_silent(now),
            ended: server.lease.released,
            running: server.ping.running.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Something that was begun.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Begun {
    /// Its id.
    pub(crate) run: String,
    /// Where to ask how far it is.
    pub(crate) url: String,
}

/// Something that is under way, or was.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RunView {
    pub(crate) id: String,
    /// Who does it.
    pub(crate) server: String,
    /// In words.
    pub(crate) what: String,
    /// Who asked for it.
    pub(crate) by: String,
    pub(crate) begun_at: String,
    /// `waiting`, `running`, `done`, `failed`, `cancelled`, `expired` or `withdrawn`.
    pub(crate) state: String,
    /// How far it is, or how it went.
    pub(crate) words: String,
    /// The restore point it made or restored.
    pub(crate) point: Option<String>,
    /// Why it failed, in one line.
    pub(crate) error: Option<String>,
    /// What to do about that.
    pub(crate) hint: Option<String>,
}

impl RunView {
    pub(crate) fn of_job(job: &Job, server: &str) -> Self {
        let state = job.state.borrow().clone();
        let error = state.over.as_ref().and_then(|end| end.error.clone());
        let (word, words) = match &state.over {
            None => (
                "running",
                format!("{} {}", state.phase.unwrap_or("beginning"), crate::pages::runs::progress(&state).0),
            ),
            Some(end) => (end_word(error.as_ref()), end.done.words.clone()),
        };
        Self {
            id: job.id.to_string(),
            server: server.to_owned(),
            what: job.what.clone(),
            by: job.by.clone(),
            begun_at: job.started_at.to_string(),
            state: word.to_owned(),
            words: words.trim().to_owned(),
            point: state.over.and_then(|end| end.done.point).map(|point| point.to_string()),
            hint: error.as_ref().and_then(|error| error.hint.clone()),
            error: error.map(|error| dory_core::Error::from(error).to_string()),
        }
    }

    pub(crate) fn of_command(status: &CommandStatus) -> Self {
        let command = &status.command;
        let (state, words, point, error) = match &status.state {
            CommandState::Waiting => ("waiting", String::new(), None, None),
            CommandState::Expired => ("expired", String::new(), None, None),
            CommandState::Withdrawn { by } => ("withdrawn", format!("by {by}"), None, None),
            CommandState::Running { progress, .. } => ("running", progress.clone().unwrap_or_default(), None, None),
            CommandState::Over(outcome) => {
                (end_word(outcome.error.as_ref()), outcome.words.clone(), outcome.point, outcome.error.clone())
            }
        };
        Self {
            id: command.id.to_string(),
            server: command.server.to_string(),
            what: command.order.words(),
            by: command.by.clone(),
            begun_at: command.issued_at.to_string(),
            state: state.to_owned(),
            words,
            point: point.map(|point| point.to_string()),
            hint: error.as_ref().and_then(|error| error.hint.clone()),
            error: error.map(|error| dory_core::Error::from(error).to_string()),
        }
    }
}

fn end_word(error: Option<&ErrorRecord>) -> &'static str {
    match error.map(|error| error.kind) {
        None => "done",
        Some(ErrorKind::Cancelled) => "cancelled",
        Some(_) => "failed",
    }
}

/// What becomes of each restore point by the rules.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RetentionView {
    /// The rules that count.
    pub(crate) rules: String,
    pub(crate) points: Vec<VerdictView>,
}

/// What becomes of a restore point.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VerdictView {
    pub(crate) id: String,
    pub(crate) taken_at: String,
    pub(crate) stays: bool,
    /// Why it stays.
    pub(crate) reasons: Vec<String>,
}

/// What to back up.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RunRequest {
    /// A name for the restore point.
    pub(crate) name: Option<String>,
    /// Words about it.
    pub(crate) description: Option<String>,
    /// The server whose container it is; this one where none is named.
    pub(crate) server: Option<String>,
}

/// What to change about a backup; what is left out stays as it is.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct BackupChange {
    pub(crate) name: Option<String>,
    pub(crate) server: Option<String>,
    /// Empty words remove it.
    pub(crate) description: Option<String>,
    /// Keys to set, or with `null` to remove.
    pub(crate) metadata: BTreeMap<String, Option<String>>,
    pub(crate) marked: Option<bool>,
    /// A schedule, `off`, or empty to leave it to the label.
    pub(crate) schedule: Option<String>,
    /// Rules, or empty to leave them to the label.
    pub(crate) keep: Option<String>,
    /// `stop`, `pause`, `none`, or empty to leave it to the label.
    pub(crate) stop: Option<String>,
    /// Options to set, or with an empty value to remove.
    pub(crate) engine_options: BTreeMap<String, String>,
}

/// What to change about a restore point; what is left out stays as it is, and empty words remove it.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PointChange {
    pub(crate) name: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) protected: Option<bool>,
}

/// Where to restore.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RestoreRequest {
    /// The server to do it; this one where none is named.
    pub(crate) server: Option<String>,
    /// The container; the backup's own where none is named.
    pub(crate) into: Option<String>,
    /// Mounts that go elsewhere: `/destination=/other`, `/destination=volume` or `/destination=none`.
    pub(crate) maps: Vec<String>,
    /// Whether to keep no safety point of what is there now.
    pub(crate) no_safety: bool,
    /// Whether files that the point does not hold go from folders of the host too.
    pub(crate) delete_extra: bool,
}

/// Whether `backup --all` and schedules take a container.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct MarkRequest {
    /// Whether it is chosen.
    pub(crate) marked: bool,
    /// The server whose container it is; this one where none is named.
    pub(crate) server: Option<String>,
}

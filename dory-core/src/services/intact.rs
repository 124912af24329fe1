//! What keeps a restore from ending with less than there was before: what fell short is a failure, not a remark.

use std::sync::{Arc, Mutex, PoisonError};

use super::restore_plan::RestorePlan;
use super::run_events::RunEvents;
use crate::domain::event::{Warning, WarningKind};
use crate::domain::id::SnapshotId;
use crate::domain::restore_point::RestorePoint;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{EngineEvent, Events, UndoMount, UndoRequest};

/// The warnings of one restore.
#[derive(Clone, Debug, Default)]
pub(super) struct Shortfalls(Arc<Mutex<Vec<Warning>>>);

impl Shortfalls {
    /// Passes an engine's events on, and keeps its warnings.
    pub(super) fn listen(&self, events: &RunEvents) -> Events {
        let all = self.clone();
        events.for_engine(move |event| {
            if let EngineEvent::Warning(warning) = event {
                all.0.lock().unwrap_or_else(PoisonError::into_inner).push(warning.clone());
            }
        })
    }

    /// # Errors
    /// `Corrupt` if data is missing, with the first path.
    pub(super) fn check(&self) -> Result<()> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lost: Vec<_> = all.iter().filter(|warning| warning.kind.loses_data()).collect();
        let Some(first) = lost.first() else { return Ok(()) };
        let reason = match lost.len() {
            1 => first.kind.as_str().to_owned(),
            count => format!("{}, and {} others were not restored either", first.kind.as_str(), count - 1),
        };
        Err(Error::new(ErrorKind::Corrupt, "restore", first.path.to_string(), reason).with_source(first.detail.clone()))
    }

    /// All of them.
    pub(super) fn take(&self) -> Vec<Warning> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Refuses to go on from a safety point that does not hold what is about to be overwritten. What is mounted below a
/// mount is not overwritten.
///
/// # Errors
/// `Unsupported`, with the first path.
pub(super) fn check_safety(point: &RestorePoint) -> Result<()> {
    let lost =
        point.warnings.iter().find(|warning| warning.kind.loses_data() && warning.kind != WarningKind::OtherMount);
    lost.map_or(Ok(()), |warning| {
        let reason = format!("it {}, and nothing was overwritten", warning.kind.as_str());
        Err(Error::new(ErrorKind::Unsupported, "keep what is there now", warning.path.to_string(), reason)
            .with_hint("add `--no-safety` to restore without keeping what is there now")
            .with_source(warning.detail.clone()))
    })
}

/// What must be proven of a safety point before `plan` is carried out.
pub(super) fn undo_request(plan: &RestorePlan, undo: SnapshotId, overwriting: Option<SnapshotId>) -> UndoRequest {
    let mounts = plan.mounts.iter();
    let mounts = mounts.map(|mount| UndoMount { key: mount.to.key.clone(), overwritten_by: mount.key.clone() });
    UndoRequest { undo, overwriting, mounts: mounts.collect() }
}

/// A safety point that could not be proven is no reason to give up what is there now.
pub(super) fn not_proven(error: Error) -> Error {
    let kind = error.kind();
    if kind != ErrorKind::Corrupt {
        return error;
    }
    let reason = "it could not be brought back if the restore failed, and nothing was overwritten";
    Error::new(kind, "keep what is there now", error.subject().to_owned(), reason)
        .with_hint(
            "its repository is damaged: restore into another container or volume with `--into` or `--map`, or add \
             `--no-safety`",
        )
        .with_source(error)
}

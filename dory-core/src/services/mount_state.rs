//! What a restore has made of each mount until now, so that one that fails half-way can say so.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::restore_plan::{MapTarget, MountMap, MountRestore, RestoreChoice, RestorePlan};
use super::run_events::{RunEvent, RunEvents};
use crate::domain::backup::PointChoice;
use crate::domain::container::MountKind;
use crate::domain::half_restored::{undo_command, volume_alone};
use crate::domain::id::PointId;

/// What a restore made of a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MountState {
    /// Nothing was written to it.
    Untouched,
    /// It was being written to: nobody knows what of it is old and what is new.
    HalfWritten,
    /// It holds what the restore point holds.
    Restored,
    /// It holds again what it held before the restore.
    RolledBack,
}

impl MountState {
    /// A few words for people: `is half written`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Untouched => "is untouched",
            Self::HalfWritten => "is half written",
            Self::Restored => "is restored",
            Self::RolledBack => "is as it was before",
        }
    }
}

/// The state of each mount of one restore, in the plan's order.
pub(super) struct MountStates {
    states: Mutex<Vec<(PathBuf, MountState)>>,
    events: RunEvents,
}

impl MountStates {
    /// All untouched.
    pub(super) fn new(plan: &RestorePlan, events: &RunEvents) -> Self {
        let untouched = |mount: &MountRestore| (mount.to.destination.clone(), MountState::Untouched);
        Self { states: Mutex::new(plan.mounts.iter().map(untouched).collect()), events: events.clone() }
    }

    /// Where the restore tells what it does.
    pub(super) fn events(&self) -> &RunEvents {
        &self.events
    }

    pub(super) fn set(&self, mount: &MountRestore, state: MountState) {
        let mount = &mount.to.destination;
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        states.iter_mut().filter(|(other, _)| other == mount).for_each(|(_, old)| *old = state);
        drop(states);
        self.events.send(RunEvent::Mount { mount: mount.clone(), state });
    }

    /// Whether something was written to it that was not there before.
    pub(super) fn is_touched(&self, mount: &MountRestore) -> bool {
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let touched = |state| matches!(state, MountState::HalfWritten | MountState::Restored);
        states.iter().any(|(other, state)| *other == mount.to.destination && touched(*state))
    }

    /// `` `/data` is half written, `/conf` is untouched``.
    pub(super) fn words(&self) -> String {
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let words: Vec<_> =
            states.iter().map(|(mount, state)| format!("`{}` {}", mount.display(), state.as_str())).collect();
        words.join(", ")
    }
}

impl RestorePlan {
    /// What brings back what a safety point holds, into the very places it came from.
    #[must_use]
    pub fn undo(&self, safety_point: PointId) -> RestoreChoice {
        // The safety point calls a volume that no container's mount stood for after the volume itself.
        let maps = self.mounts.iter().filter_map(|mount| {
            let to = MapTarget::Volume(volume_alone(&mount.to)?);
            Some(MountMap { from: mount.to.destination.clone(), to })
        });
        RestoreChoice {
            point: PointChoice::Named(safety_point.to_string()),
            maps: maps.collect(),
            // What the restore added to a folder of the host, the undoing must take away again.
            delete_extra_from_binds: self.mounts.iter().any(|mount| mount.to.kind == MountKind::Bind),
            ..RestoreChoice::newest_of(self.home.as_str())
        }
    }

    /// The command that does it.
    #[must_use]
    pub fn undo_command(&self, safety_point: PointId) -> String {
        undo_command(&self.home, safety_point, self.mounts.iter().map(|mount| &mount.to))
    }
}

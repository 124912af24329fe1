//! What a run tells whoever watches it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::hooks::HookReport;
use super::mount_state::MountState;
use crate::domain::event::{Progress, Warning};
use crate::domain::hook::HookMoment;
use crate::domain::id::{ContainerName, DumpName, RunId};
use crate::domain::policy::StopMode;
use crate::domain::restore_point::PointDump;
use crate::domain::run::RunKind;
use crate::error::ErrorRecord;
use crate::ports::{EngineEvent, Events};

/// One thing that happened in a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum RunEvent {
    /// The run began.
    Began {
        /// Names it.
        run: RunId,
        /// What it does.
        kind: RunKind,
    },
    /// A part of the run began.
    Phase {
        /// Which.
        phase: Phase,
    },
    /// The store held nothing, and was set up.
    Founded {
        /// Its URL.
        store: String,
    },
    /// A container is being stopped or paused.
    Quieting {
        /// Which.
        container: ContainerName,
        /// How.
        mode: StopMode,
    },
    /// A container does again what it did before.
    Resumed {
        /// Which.
        container: ContainerName,
    },
    /// A container that ran before could not be started again.
    NotStarted {
        /// Which.
        container: ContainerName,
        /// Why.
        error: ErrorRecord,
    },
    /// A container is started although one that it needs is not as far as it should be.
    StartedAnyway {
        /// Which.
        container: ContainerName,
        /// The one it needs.
        needed: ContainerName,
        /// What that one lacks.
        error: ErrorRecord,
    },
    /// A command of the user's begins.
    HookStarted {
        /// When.
        moment: HookMoment,
        /// In which container.
        container: ContainerName,
        /// What runs, as people write it.
        command: String,
    },
    /// A command of the user's ended, or was skipped.
    HookEnded(HookReport),
    /// A dump begins.
    DumpStarted {
        /// In which container.
        container: ContainerName,
        /// The file it becomes.
        name: DumpName,
        /// What makes it, as people write it.
        how: String,
    },
    /// A dump was taken.
    DumpTaken(PointDump),
    /// A restore went on with a mount.
    Mount {
        /// Which, by where its container sees it.
        mount: PathBuf,
        /// How far it is.
        state: MountState,
    },
    /// How far the engine is.
    Progress(Progress),
    /// A path that fell short.
    Warning(Warning),
}

/// The parts of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Image, helper, repository, key: everything that can fail without harm.
    Prepare,
    /// Dumps are taken, with everything running.
    Dump,
    /// A dump is loaded, with everything running.
    Load,
    /// The engine reads ahead, with everything running.
    Warm,
    /// The engine keeps aside what changed, while containers stand still.
    Freeze,
    /// The engine stores what it kept aside, with everything running again.
    Store,
    /// The engine reads the volumes, while containers stand still.
    Read,
    /// The engine keeps what a restore is about to overwrite.
    Safeguard,
    /// The engine writes the volumes.
    Write,
    /// The engine brings back what a failed restore had overwritten.
    RollBack,
    /// The engine checks what is kept.
    Verify,
    /// The catalog is written.
    Record,
}

impl Phase {
    /// A few words for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prepare => "preparing",
            Self::Dump => "dumping",
            Self::Load => "loading the dump",
            Self::Warm => "reading ahead",
            Self::Freeze => "keeping changes aside",
            Self::Store => "storing",
            Self::Read => "reading",
            Self::Safeguard => "keeping what is there now",
            Self::Write => "restoring",
            Self::RollBack => "rolling back",
            Self::Verify => "checking what is kept",
            Self::Record => "recording",
        }
    }
}

/// Where a run sends its events. Cheap to clone, called from any thread; it must not block.
#[derive(Clone)]
pub struct RunEvents(Arc<dyn Fn(RunEvent) + Send + Sync>);

impl RunEvents {
    /// Calls `sink` with each event.
    pub fn new(sink: impl Fn(RunEvent) + Send + Sync + 'static) -> Self {
        Self(Arc::new(sink))
    }

    /// Drops every event.
    #[must_use]
    pub fn ignored() -> Self {
        Self::new(|_| ())
    }

    /// Tells one event.
    pub fn send(&self, event: RunEvent) {
        (self.0)(event);
    }

    /// Tells that a part began.
    pub(super) fn phase(&self, phase: Phase) {
        self.send(RunEvent::Phase { phase });
    }

    /// Passes an engine's events on, after `also` saw them.
    pub(super) fn for_engine(&self, also: impl Fn(&EngineEvent) + Send + Sync + 'static) -> Events {
        let run = self.clone();
        Events::new(move |event| {
            also(&event);
            run.send(match event {
                EngineEvent::Progress(progress) => RunEvent::Progress(progress),
                EngineEvent::Warning(warning) => RunEvent::Warning(warning),
            });
        })
    }
}

impl fmt::Debug for RunEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RunEvents")
    }
}

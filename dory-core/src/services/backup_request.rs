//! What a backup is asked for, and what it reports.

use serde::Serialize;

use super::guard::Guarding;
use super::hooks::HookReport;
use crate::domain::id::{BackupId, ServerName};
use crate::domain::policy::PolicyOverrides;
use crate::domain::restore_point::{PointOrigin, RestorePoint};
use crate::error::Error;
use crate::ports::FreezeReport;

/// What to back up, and how.
#[derive(Clone, Debug, Default)]
pub struct BackupRequest {
    /// The container: its name, its id, or the start of its id.
    pub container: String,
    /// What overrides the catalog's and the labels' policy, for this run.
    pub policy: PolicyOverrides,
    /// A name for the restore point.
    pub point_name: Option<String>,
    /// Words about the restore point.
    pub point_description: Option<String>,
    /// Why it is made.
    pub origin: PointOrigin,
    /// What a user decided about a container that only looks like the one of a known backup.
    pub history: History,
    /// Who brings containers back if Dory dies.
    pub guarding: Guarding,
    /// Whether the container's hooks stay out of it.
    pub no_hooks: bool,
    /// Whether no dump is taken.
    pub no_dump: bool,
}

/// Whether a container that only looks like that of a known backup goes on with its history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum History {
    /// Nobody decided: ask.
    #[default]
    Ask,
    /// It begins its own.
    New,
    /// It goes on with this backup's.
    Continue(BackupId),
}

/// What a backup did.
#[derive(Debug, Serialize)]
pub struct BackupReport {
    /// The backup it belongs to.
    pub backup: BackupId,
    /// The container.
    pub container: String,
    /// Its server.
    pub server: ServerName,
    /// The new restore point.
    pub point: RestorePoint,
    /// What was kept aside while containers stood still; `None` where everything was read then.
    pub frozen: Option<FreezeReport>,
    /// Set where a container that ran before does not run now. The point is good all the same.
    #[serde(skip)]
    pub containers_down: Option<Error>,
    /// How the hooks went.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<HookReport>,
    /// Set where the hook that runs last failed, and that counts. The point is good all the same.
    #[serde(skip)]
    pub hook_failed: Option<Error>,
    /// Why nobody guarded the run to its end, where that happened: the point may hold data that was being written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guardian_lost: Option<String>,
}

impl BackupReport {
    /// Whether all that was asked for was done, and nothing looks as if data were lost before.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let point = &self.point;
        let ran_well = self.containers_down.is_none() && self.hook_failed.is_none() && self.guardian_lost.is_none();
        ran_well && !point.lost_data() && !point.is_suspect()
    }
}

//! What a run will hold and stop, for whoever must not let two meet.

use std::collections::BTreeSet;

use super::Dory;
use super::backup::BackupRequest;
use super::claim::Claim;
use super::load_dump_plan::DumpChoice;
use super::restore_plan::RestoreChoice;
use crate::domain::id::BackupId;
use crate::error::Result;

/// What a run will hold and stop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RunNeeds {
    /// Names of what it holds: two runs that have one in common must not meet.
    pub(crate) holds: BTreeSet<String>,
    /// How many containers stand still for it.
    pub(crate) down: usize,
}

impl Dory {
    /// What a backup will need.
    ///
    /// # Errors
    /// As for [`plan_backup`](Self::plan_backup).
    pub(crate) async fn needs_of_backup(&self, request: &BackupRequest) -> Result<RunNeeds> {
        self.check_key().await?;
        let planned = self.plan(request).await?;
        Ok(needs(planned.holds, planned.plan.quiet.len()))
    }

    /// What a restore will need.
    ///
    /// # Errors
    /// As for [`plan_restore`](Self::plan_restore).
    pub(crate) async fn needs_of_restore(&self, choice: &RestoreChoice) -> Result<RunNeeds> {
        self.open_fleet().await?;
        let planned = self.plan_restore_in_full(choice).await?;
        Ok(needs(planned.holds, planned.plan.quiet.len()))
    }

    /// What loading a dump will need.
    ///
    /// # Errors
    /// As for [`plan_load_dump`](Self::plan_load_dump).
    pub(crate) async fn needs_of_load(&self, choice: &DumpChoice) -> Result<RunNeeds> {
        let plan = self.plan_load_dump(choice).await?;
        Ok(needs(Claim::on(&[&plan.backup, &plan.home], &[], &[], &[]), 0))
    }

    /// What a run needs that works on what is kept of a backup, and on no container.
    pub(crate) fn needs_of_upkeep(&self, backup: &BackupId) -> RunNeeds {
        needs(Claim::on(&[backup], &[], &[], &[]), 0)
    }
}

fn needs(claim: Claim, down: usize) -> RunNeeds {
    RunNeeds { holds: claim.into_names(), down }
}

//! Points whose source may have lost its data before it was read, data that a restore left half written: saying that all
//! is well.

use super::Dory;
use super::backup::Planned;
use super::run_record::RunStart;
use crate::domain::backup::{Backup, PointChoice};
use crate::domain::id::PointId;
use crate::domain::restore_point::RestorePoint;
use crate::domain::suspect::{Clearance, suspicion};
use crate::error::{Error, ErrorKind, Result};

impl Dory {
    /// `point`, marked if it is suspect beside those that were there before.
    pub(super) fn judged(&self, planned: &Planned, point: RestorePoint, run: &RunStart) -> RestorePoint {
        let earlier = planned.known.as_ref().map(|known| known.points.as_slice()).unwrap_or_default();
        let suspect = suspicion(&point, earlier, planned.plan.policy.suspect_below);
        if let Some(suspicion) = &suspect {
            run.log.note(format!("SUSPECT: {}", suspicion.loss));
        }
        RestorePoint { suspect, ..point }
    }

    /// Notes that suspect points are as they should be: one, or all of a backup. Gives which. The next backup is compared
    /// with them again, and nothing freezes the backup on their account. Where no point is named,
    /// that goes for data that a restore left half written, too.
    ///
    /// # Errors
    /// `NotFound` for the backup or the point, and where nothing is suspect; the store's.
    pub async fn clear_suspect(
        &self,
        reference: &str,
        choice: Option<&PointChoice>,
        by: Option<&str>,
    ) -> Result<Vec<PointId>> {
        let found = self.find_backup(reference).await?;
        let only = choice.map(|choice| found.find_point(choice)).transpose()?.map(|point| point.id);
        let clearance =
            Clearance { at: self.clock.now(), server: self.config.server.clone(), by: by.map(str::to_owned) };
        let mut cleared = Vec::new();
        let change = |backup: &mut Backup| {
            cleared.clear();
            let suspect = |point: &&mut RestorePoint| only.is_none_or(|id| point.id == id) && point.is_suspect();
            for point in backup.points.iter_mut().filter(suspect) {
                cleared.push(point.id);
                if let Some(suspicion) = &mut point.suspect {
                    suspicion.cleared = Some(clearance.clone());
                }
            }
            let was_half_restored = only.is_none() && !std::mem::take(&mut backup.half_restored).is_empty();
            if cleared.is_empty() && !was_half_restored {
                let subject = only.map_or_else(|| backup.name.clone(), |id| id.to_string());
                return Err(Error::new(ErrorKind::NotFound, "clear suspicion of", subject, "nothing of it is suspect"));
            }
            Ok(())
        };
        self.catalog.update_backup(&found.id, change).await?;
        Ok(cleared)
    }
}

//! This server's metrics, for Prometheus.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

use jiff::{SignedDuration, Timestamp};

use super::Dory;
use super::own_backups::LISTED_FOR;
use crate::domain::backup::Backup;
use crate::domain::exposition::{Exposition, MetricKind};
use crate::domain::id::ServerName;
use crate::domain::restore_point::{PointOrigin, RestorePoint};
use crate::error::Result;

use MetricKind::{Counter, Gauge};

/// What a metric says of one backup, if anything.
type Value = fn(&Backup) -> Option<String>;

/// The metrics of each backup.
const OF_BACKUPS: [(&str, &str, Value); 8] = [
    ("dory_backup_last_success_timestamp_seconds", "When the newest point that lacks nothing was taken.", last_success),
    ("dory_backup_last_attempt_timestamp_seconds", "When a run last set out to make a point.", |backup| {
        backup.last_attempt_at.map(seconds)
    }),
    ("dory_backup_stop_window_seconds", "How long containers stood still for the newest point.", |backup| {
        backup.latest()?.stop_window.map(length)
    }),
    ("dory_backup_duration_seconds", "How long the run took that made the newest point.", |backup| {
        Some(length(backup.latest()?.elapsed))
    }),
    ("dory_backup_size_bytes", "What the newest point holds.", |backup| Some(backup.latest()?.size.bytes.to_string())),
    ("dory_backup_stored_bytes", "What all points added to the store.", |backup| {
        Some(backup.stored_bytes().to_string())
    }),
    ("dory_backup_restore_points", "How many restore points there are.", |backup| {
        Some(backup.points.iter().filter(|point| !point.deleting).count().to_string())
    }),
    ("dory_backup_suspect", "Whether a point of it may lack data that was lost before.", |backup| {
        Some(u8::from(backup.is_frozen()).to_string())
    }),
];

impl Dory {
    /// The metrics of this server and its backups, in Prometheus' text format. However often they are asked for, the store
    /// is listed but now and then.
    ///
    /// # Errors
    /// The store's.
    pub async fn metrics(&self) -> Result<String> {
        let mut page = Exposition::default();
        page.family("dory_build_info", Gauge, "This Dory.").sample(
            &[("version", env!("CARGO_PKG_VERSION")), ("server", self.config.server.as_str())],
            1,
        );
        self.tell_loops(&mut page);
        let mut runs = page.family("dory_runs_total", Counter, "Runs that ended, by what they did and how it went.");
        for ((kind, outcome), count) in self.tally.counts() {
            runs.sample(&[("kind", kind.as_str()), ("outcome", outcome.as_str())], count);
        }
        let backups = self.own_backups(LISTED_FOR).await?;
        tell_backups(&mut page, &backups);
        self.tell_next_runs(&mut page, &backups).await;
        let silent = self.silent_servers().await?;
        page.family("dory_servers_silent", Gauge, "Servers of the fleet that fell silent.").sample(&[], silent.len());
        let mut each = page.family("dory_server_silent", Gauge, "A server that fell silent.");
        for server in &silent {
            each.sample(&[("server", server.as_str())], 1);
        }
        self.tell_disk(&mut page).await;
        Ok(page.finish())
    }

    /// Servers of the fleet that this process saw standing still for too long.
    async fn silent_servers(&self) -> Result<BTreeSet<ServerName>> {
        let servers = self.catalog.servers().await?;
        let mut stillness = self.stillness.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(stillness.look(&servers, self.clock.monotonic()))
    }

    fn tell_loops(&self, page: &mut Exposition) {
        let Some(health) = self.pulse.health() else { return };
        let help = "Whether every loop of the server succeeded recently.";
        page.family("dory_healthy", Gauge, help).sample(&[], u8::from(health.healthy));
        let mut ages = page.family("dory_loop_age_seconds", Gauge, "Time since a loop of the server last succeeded.");
        for one in &health.loops {
            ages.sample(&[("loop", one.name.as_str())], one.good_seconds_ago);
        }
    }

    async fn tell_next_runs(&self, page: &mut Exposition, backups: &[Arc<Backup>]) {
        // Where the container engine is away, nobody knows.
        let Ok(table) = self.timetable().await else { return };
        let names: BTreeMap<_, _> = backups.iter().map(|backup| (backup.id.as_str(), backup.name.as_str())).collect();
        let now = self.clock.now();
        let mut next = page.family("dory_backup_next_run_timestamp_seconds", Gauge, "When its schedule comes due next.");
        for entry in &table.entries {
            let Some(name) = names.get(entry.subject.as_str()) else { continue };
            let Some(moment) = entry.schedule.next_after(now, &self.config.zone) else { continue };
            let delay = entry.schedule.delay(&entry.subject, moment);
            let begin = moment.checked_add(delay).unwrap_or(moment);
            next.sample(&[("backup", &entry.subject), ("name", name)], seconds(begin));
        }
    }

    async fn tell_disk(&self, page: &mut Exposition) {
        let Ok(runtime) = self.runtime() else { return };
        let Some(disk) = runtime.info().await.ok().and_then(|info| info.disk) else { return };
        let help = "Room left where the container engine keeps its data.";
        page.family("dory_engine_disk_free_bytes", Gauge, help).sample(&[], disk.free_bytes);
        let help = "Room in all where the container engine keeps its data.";
        page.family("dory_engine_disk_size_bytes", Gauge, help).sample(&[], disk.total_bytes);
    }
}

fn tell_backups(page: &mut Exposition, backups: &[Arc<Backup>]) {
    for (name, help, value) in OF_BACKUPS {
        let mut family = page.family(name, Gauge, help);
        for backup in backups {
            if let Some(value) = value(backup) {
                family.sample(&[("backup", backup.id.as_str()), ("name", &backup.name)], value);
            }
        }
    }
}

fn last_success(backup: &Backup) -> Option<String> {
    let is_good =
        |point: &&RestorePoint| point.origin != PointOrigin::Safety && !point.deleting && !point.lost_data() && !point.is_suspect();
    backup.points.iter().rev().find(is_good).map(|point| seconds(point.taken_at))
}

fn seconds(moment: Timestamp) -> String {
    moment.as_second().to_string()
}

fn length(duration: SignedDuration) -> String {
    duration.as_secs_f64().to_string()
}

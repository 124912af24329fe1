//! A fleet that is made up, day by day.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dory_core::domain::backup::Backup;
use dory_core::domain::id::{PointId, RunId, ServerName, SnapshotId};
use dory_core::domain::policy::{EngineKind, PolicyOverrides};
use dory_core::domain::price::Prices;
use dory_core::domain::report::{PresentContainer, Report, Situation};
use dory_core::domain::report_state::Baseline;
use dory_core::domain::restore_point::{Consistency, PointOrigin, PointSize, RestorePoint};
use dory_core::domain::run::{Outcome, Run, RunKind};
use dory_core::domain::schedule::zone_named;
use dory_core::domain::server::ServerRecord;
use dory_core::domain::suspect::{Loss, Measure, Suspicion};
use dory_core::{Error, ErrorKind};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

pub(super) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(super) fn server(name: &str) -> ServerName {
    name.parse().unwrap()
}

/// A fleet, as of some moment.
#[derive(Clone)]
pub(super) struct Fleet {
    pub(super) backups: Vec<Backup>,
    pub(super) servers: Vec<ServerRecord>,
    pub(super) silent: BTreeSet<ServerName>,
    pub(super) runs: Vec<Run>,
    pub(super) present: BTreeMap<ServerName, Vec<PresentContainer>>,
    pub(super) defaults: PolicyOverrides,
    pub(super) prices: Option<Prices>,
    pub(super) damaged: Vec<String>,
    pub(super) now: Timestamp,
    number: u128,
}

impl Fleet {
    pub(super) fn new(now: &str) -> Self {
        Self {
            backups: Vec::new(),
            servers: Vec::new(),
            silent: BTreeSet::new(),
            runs: Vec::new(),
            present: BTreeMap::new(),
            defaults: PolicyOverrides::default(),
            prices: None,
            damaged: Vec::new(),
            now: at(now),
            number: 0,
        }
    }

    /// Does `work` with what a report is drawn up from.
    pub(super) fn with<T>(&self, work: impl FnOnce(&Situation<'_>) -> T) -> T {
        let backups: Vec<_> = self.backups.iter().cloned().map(Arc::new).collect();
        let mut runs: Vec<_> = self.runs.iter().cloned().map(Arc::new).collect();
        runs.sort_by_key(|run| run.id);
        work(&Situation {
            backups: &backups,
            damaged: &self.damaged,
            servers: &self.servers,
            silent: &self.silent,
            runs: &runs,
            present: &self.present,
            defaults: &self.defaults,
            prices: self.prices.as_ref(),
            now: self.now,
            schedule_zone: &TimeZone::UTC,
        })
    }

    /// The report since `before`, in Berlin's time.
    pub(super) fn report(&self, before: &Baseline) -> Report {
        self.with(|situation| Report::draw_up(situation, before, &zone_named("Europe/Berlin").unwrap()))
    }

    /// What its digest would be compared with.
    pub(super) fn baseline(&self) -> Baseline {
        self.with(Baseline::of)
    }

    pub(super) fn serve(&mut self, name: &str, last_ping: &str) {
        let record = json!({
            "name": name,
            "lease": {
                "holder": "holder", "epoch": 1, "beat": 7, "term_seconds": 60, "taken_at": "2026-11-01T00:00:00Z",
            },
            "ping": {
                "at": last_ping, "started_at": "2026-11-01T00:00:00Z", "host": format!("host-of-{name}"), "version": "0.1.0",
            },
        });
        self.servers.push(serde_json::from_value(record).unwrap());
    }

    /// A backup on `server` with a schedule, if there is one, and its container, which is there.
    pub(super) fn back_up(&mut self, name: &str, on: &str, schedule: Option<&str>) {
        let id = format!("{:064x}", self.backups.len() + 1);
        let present = PresentContainer { id: id.parse().unwrap(), name: name.parse().unwrap() };
        self.present.entry(server(on)).or_default().push(present);
        let backup = json!({
            "id": format!("{name}-0123"),
            "name": format!("{name} database"),
            "server": on,
            "identity": { "container": name },
            "containers": [{ "id": id, "name": name, "first_seen": "2026-11-01T00:00:00Z" }],
            "created_at": "2026-11-01T00:00:00Z",
            "policy": schedule.map_or(json!({}), |schedule| json!({ "schedule": schedule })),
            "points": [],
        });
        self.backups.push(serde_json::from_value(backup).unwrap());
    }

    pub(super) fn backup(&mut self, name: &str) -> &mut Backup {
        let backup = self.backups.iter_mut().find(|backup| backup.identity.container.as_str() == name);
        backup.expect("a backup of that name")
    }

    /// A run that made a point of that many MiB.
    pub(super) fn made(&mut self, name: &str, when: &str, mebibytes: u64) -> PointId {
        let run = self.ran(name, when, RunKind::Backup, Outcome::Succeeded, None);
        let id = PointId::new(at(when), self.number);
        let container = self.backup(name).containers[0].clone();
        self.backup(name).points.push(RestorePoint {
            id,
            taken_at: at(when),
            origin: PointOrigin::Schedule,
            engine: EngineKind::Restic,
            snapshot: SnapshotId::parse("ab".repeat(32)).unwrap(),
            run,
            container: container.name,
            container_id: container.id,
            image_id: "sha256:00".parse().unwrap(),
            mounts: Vec::new(),
            dumps: Vec::new(),
            exclude: Vec::new(),
            consistency: Consistency::Stopped,
            stop_window: Some(SignedDuration::from_millis(1_500 + i64::try_from(mebibytes).unwrap())),
            elapsed: SignedDuration::from_secs(20),
            size: PointSize { files: 10, bytes: (3 * mebibytes) << 20, stored_bytes: mebibytes << 20 },
            mount_sizes: Vec::new(),
            suspect: None,
            warnings: Vec::new(),
            warning_count: 0,
            name: None,
            description: None,
            protected: false,
            deleting: false,
        });
        self.runs.last_mut().unwrap().point = Some(id);
        id
    }

    /// As [`made`](Self::made), but the point is suspect.
    pub(super) fn made_suspect(&mut self, name: &str, when: &str) {
        let id = self.made(name, when, 1);
        self.runs.last_mut().unwrap().outcome = Outcome::Incomplete;
        let loss = Loss { mount: Some("/var/lib/db".into()), of: Measure::Files, before: 1000, now: 3 };
        let suspect = Suspicion { loss, compared_with: id, cleared: None };
        self.backup(name).points.last_mut().unwrap().suspect = Some(suspect);
    }

    /// A run that failed, with a hint.
    pub(super) fn failed(&mut self, name: &str, when: &str, kind: ErrorKind, reason: &str) {
        let error = Error::new(kind, "back up container", name, reason).with_hint("make room in the store");
        self.ran(name, when, RunKind::Backup, Outcome::Failed, Some(error));
    }

    pub(super) fn ran(
        &mut self,
        name: &str,
        when: &str,
        kind: RunKind,
        outcome: Outcome,
        error: Option<Error>,
    ) -> RunId {
        self.number += 1;
        let id = RunId::new(at(when), self.number);
        let backup = self.backup(name);
        let (backup, server) = (backup.id.clone(), backup.server.clone());
        let run = json!({
            "id": id,
            "server": server,
            "kind": kind,
            "backup": backup,
            "started_at": when,
            "elapsed": "PT20S",
            "outcome": outcome,
            "error": error.map(|error| error.to_record()),
        });
        self.runs.push(serde_json::from_value(run).unwrap());
        id
    }
}

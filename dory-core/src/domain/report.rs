//! How a fleet is: what was backed up and when, what needs somebody, what it all takes. Drawn up for people once a day
//! or week, and whenever they ask.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::backup::Backup;
use super::health::{BackupHealth, Trouble};
use super::id::{BackupId, ContainerId, ContainerName, ServerName};
use super::money::Amount;
use super::policy::PolicyOverrides;
use super::price::{Cost, Prices};
use super::report_state::Baseline;
use super::restore_point::PointOrigin;
use super::run::Run;
use super::server::ServerRecord;

/// How many stop windows a report lists.
const LONGEST_STOPS: usize = 5;

/// Everything that a report is drawn up from.
#[derive(Clone, Debug)]
pub struct Situation<'a> {
    /// Every backup of the fleet.
    pub backups: &'a [Arc<Backup>],
    /// Documents of backups that cannot be read, and why.
    pub damaged: &'a [String],
    /// Every server.
    pub servers: &'a [ServerRecord],
    /// Those of which nothing was heard for too long.
    pub silent: &'a BTreeSet<ServerName>,
    /// Runs that are over, of the time since the last report at least, oldest first.
    pub runs: &'a [Arc<Run>],
    /// The containers of each server, as far as they are known.
    pub present: &'a BTreeMap<ServerName, Vec<PresentContainer>>,
    /// What holds for backups where nothing else was said.
    pub defaults: &'a PolicyOverrides,
    /// What the store asks for, where that is known.
    pub prices: Option<&'a Prices>,
    /// The time.
    pub now: Timestamp,
    /// The zone of schedules that name none.
    pub schedule_zone: &'a TimeZone,
}

/// A container that is on its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresentContainer {
    /// Its id.
    pub id: ContainerId,
    /// Its name.
    pub name: ContainerName,
}

/// How a fleet is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// When it was drawn up.
    pub at: Timestamp,
    /// From when on it tells.
    pub since: Timestamp,
    /// The zone of its times, by name.
    pub zone: String,
    /// What needs somebody, the most urgent first.
    pub attention: Vec<Attention>,
    /// Every backup, by server and name.
    pub backups: Vec<BackupLine>,
    /// Containers that came since.
    pub new: Vec<Place>,
    /// Containers that went since.
    pub removed: Vec<Place>,
    /// Every server.
    pub servers: Vec<ServerLine>,
    /// What is stored.
    pub size: SizeLine,
    /// What it costs, where that is known.
    pub cost: Option<CostLine>,
    /// The longest stop windows since, longest first.
    pub longest_stops: Vec<StopLine>,
}

/// Something that needs somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attention {
    /// Which of the fleet: a backup, a server, a document.
    pub subject: String,
    /// What is wrong, in a line.
    pub words: String,
    /// What to do about it, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// A container of a server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// On which server.
    pub server: ServerName,
    /// Its name.
    pub container: ContainerName,
}

/// One backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BackupLine {
    /// Its id.
    pub id: BackupId,
    /// Its name.
    pub name: String,
    /// Its server.
    pub server: ServerName,
    /// Its container's name.
    pub container: ContainerName,
    /// When it was backed up since the last report.
    pub made: Vec<Timestamp>,
    /// When it was backed up last, ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest: Option<Timestamp>,
    /// How many runs failed since the last report.
    pub failures: usize,
    /// What is wrong with it, the most urgent first.
    pub troubles: Vec<Trouble>,
    /// What its newest point holds, in bytes.
    pub bytes: u64,
    /// What it takes in the store, in bytes.
    pub stored_bytes: u64,
    /// What was added since the last report, in bytes.
    pub added_bytes: u64,
    /// What it costs, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServerLine {
    /// Its name.
    pub name: ServerName,
    /// How it is.
    pub state: ServerState,
    /// When it was last heard of, by its own clock.
    pub last_ping: Timestamp,
    /// Its version of Dory.
    pub version: String,
}

/// How a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServerState {
    /// It is heard of.
    Serving,
    /// It is not.
    Silent,
    /// It ended in order.
    Ended,
}

impl ServerState {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Silent => "SILENT",
            Self::Ended => "ended",
        }
    }
}

/// What is stored in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SizeLine {
    /// Restore points.
    pub points: usize,
    /// Bytes in the store.
    pub stored_bytes: u64,
    /// Bytes in the store at the last report, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stored_before: Option<u64>,
}

/// What it costs in all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CostLine {
    /// By which prices.
    pub prices: Prices,
    /// What is stored, a month.
    pub storage: Amount,
    /// Requests for making points, a month.
    pub operations: Amount,
    /// Requests of servers that serve, whatever they back up, a month.
    pub serving: Amount,
    /// What would still be owed if all were deleted now.
    pub early_deletion: Amount,
    /// What bringing everything back would cost, once.
    pub restore: Amount,
}

impl CostLine {
    /// What a month costs.
    #[must_use]
    pub fn a_month(&self) -> Amount {
        self.storage + self.operations + self.serving
    }
}

/// A stop window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StopLine {
    /// Of which backup's run.
    pub backup: String,
    /// On which server.
    pub server: ServerName,
    /// When it began.
    pub at: Timestamp,
    /// From the first stop to the last container that ran again.
    pub length: SignedDuration,
}

impl Report {
    /// Draws up how the fleet is, and what happened since `before`.
    #[must_use]
    pub fn draw_up(situation: &Situation<'_>, before: &Baseline, zone: &TimeZone) -> Self {
        let since = before.at;
        let mut backups: Vec<_> =
            situation.backups.iter().map(|backup| backup_line(situation, backup, since)).collect();
        backups.sort_by(|a, b| (&a.server, &a.name, &a.id).cmp(&(&b.server, &b.name, &b.id)));
        let (new, removed) = came_and_went(situation, before);
        Self {
            at: situation.now,
            since,
            zone: zone.iana_name().unwrap_or("UTC").to_owned(),
            attention: attention(situation, &backups),
            new,
            removed,
            servers: situation.servers.iter().map(|server| server_line(server, situation.silent)).collect(),
            size: SizeLine {
                points: situation.backups.iter().map(|backup| backup.points.len()).sum(),
                stored_bytes: situation.backups.iter().map(|backup| backup.stored_bytes()).sum(),
                stored_before: before.stored_bytes,
            },
            cost: situation.prices.map(|prices| cost_line(&backups, situation.servers, prices)),
            longest_stops: longest_stops(situation.backups, since),
            backups,
        }
    }

    /// How many backups have no trouble.
    #[must_use]
    pub fn healthy(&self) -> usize {
        self.backups.iter().filter(|backup| backup.troubles.is_empty()).count()
    }

    /// How many points were made since the last report.
    #[must_use]
    pub fn made(&self) -> usize {
        self.backups.iter().map(|backup| backup.made.len()).sum()
    }
}

fn backup_line(situation: &Situation<'_>, backup: &Backup, since: Timestamp) -> BackupLine {
    let own = || backup.points.iter().filter(|point| point.origin != PointOrigin::Safety && !point.deleting);
    let recent = || backup.points.iter().filter(|point| point.taken_at > since);
    let failed =
        |run: &&Arc<Run>| run.backup == backup.id && run.started_at > since && BackupHealth::is_failure(run, backup);
    BackupLine {
        id: backup.id.clone(),
        name: backup.name.clone(),
        server: backup.server.clone(),
        container: backup.identity.container.clone(),
        made: own().map(|point| point.taken_at).filter(|at| *at > since).collect(),
        latest: own().map(|point| point.taken_at).max(),
        failures: situation.runs.iter().filter(failed).count(),
        troubles: BackupHealth::of(backup, situation).troubles(),
        bytes: backup.latest().map_or(0, |point| point.size.bytes),
        stored_bytes: backup.stored_bytes(),
        added_bytes: recent().map(|point| point.size.stored_bytes).sum(),
        cost: situation.prices.map(|prices| Cost::of(backup, prices, situation.now)),
    }
}

fn came_and_went(situation: &Situation<'_>, before: &Baseline) -> (Vec<Place>, Vec<Place>) {
    let (mut new, mut removed) = (Vec::new(), Vec::new());
    for (server, now) in situation.present {
        // Of a server that was not known then, nobody can tell.
        let Some(then) = before.containers.get(server) else { continue };
        let now: BTreeSet<_> = now.iter().map(|container| container.name.clone()).collect();
        let place = |container: &ContainerName| Place { server: server.clone(), container: container.clone() };
        new.extend(now.difference(then).map(place));
        removed.extend(then.difference(&now).map(place));
    }
    (new, removed)
}

fn attention(situation: &Situation<'_>, backups: &[BackupLine]) -> Vec<Attention> {
    let mut all: Vec<(u8, Attention)> = Vec::new();
    for backup in backups {
        for trouble in &backup.troubles {
            let subject = format!("{} on {}", backup.name, backup.server);
            let (words, remedy) = (trouble.words(), trouble.remedy(&backup.id));
            all.push((trouble.urgency(), Attention { subject, words, remedy }));
        }
    }
    for server in situation.servers.iter().filter(|server| situation.silent.contains(&server.name)) {
        let words = format!("nothing was heard of it since {}", shown(server.ping.at));
        let remedy = Some(format!("look at `{}`; what has a schedule there is not backed up", server.ping.host));
        all.push((Trouble::SERVER_SILENT, Attention { subject: format!("server {}", server.name), words, remedy }));
    }
    for error in situation.damaged {
        let attention = Attention { subject: "catalog".to_owned(), words: error.clone(), remedy: None };
        all.push((Trouble::DAMAGED, attention));
    }
    all.sort_by_key(|(urgency, _)| *urgency);
    all.into_iter().map(|(_, attention)| attention).collect()
}

fn server_line(server: &ServerRecord, silent: &BTreeSet<ServerName>) -> ServerLine {
    let state = match (server.lease.released, silent.contains(&server.name)) {
        (true, _) => ServerState::Ended,
        (false, true) => ServerState::Silent,
        (false, false) => ServerState::Serving,
    };
    let (name, version) = (server.name.clone(), server.ping.version.clone());
    ServerLine { name, state, last_ping: server.ping.at, version }
}

fn cost_line(backups: &[BackupLine], servers: &[ServerRecord], prices: &Prices) -> CostLine {
    let sum = |part: fn(&Cost) -> Amount| backups.iter().filter_map(|backup| backup.cost.as_ref()).map(part).sum();
    let serving = servers.iter().filter(|server| !server.lease.released).count();
    CostLine {
        prices: prices.clone(),
        storage: sum(|cost| cost.storage),
        operations: sum(|cost| cost.operations),
        serving: prices.for_serving(u64::try_from(serving).unwrap_or(u64::MAX)),
        early_deletion: sum(|cost| cost.early_deletion),
        restore: sum(|cost| cost.restore.total()),
    }
}

fn longest_stops(backups: &[Arc<Backup>], since: Timestamp) -> Vec<StopLine> {
    let of_backup = |backup: &Arc<Backup>| {
        let line = |length, at| StopLine { backup: backup.name.clone(), server: backup.server.clone(), at, length };
        let recent = backup.points.iter().filter(|point| point.taken_at > since);
        recent.filter_map(|point| point.stop_window.map(|length| line(length, point.taken_at))).collect::<Vec<_>>()
    };
    let mut all: Vec<_> = backups.iter().flat_map(of_backup).collect();
    all.sort_by(|a, b| b.length.cmp(&a.length).then_with(|| a.at.cmp(&b.at)));
    all.truncate(LONGEST_STOPS);
    all
}

/// A moment within words that no zone is known for.
pub(super) fn shown(moment: Timestamp) -> String {
    moment.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

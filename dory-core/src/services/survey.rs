//! Looking at the whole fleet: all that a report is drawn up from.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::Dory;
use crate::domain::backup::Backup;
use crate::domain::id::{RunId, ServerName};
use crate::domain::inventory::StockedContainer;
use crate::domain::price::Prices;
use crate::domain::report::{PresentContainer, Situation};
use crate::domain::run::Run;
use crate::domain::server::ServerRecord;
use crate::domain::settings::FleetSettings;
use crate::error::{ErrorKind, Result};
use crate::ports::DocumentKey;

/// How far back runs are read: a week's digest and a day.
const RUNS_KEPT: SignedDuration = SignedDuration::from_hours(8 * 24);

/// How long a server may be silent until one who looks but once calls it so. Clocks may differ by some minutes.
const SILENT_AFTER: SignedDuration = SignedDuration::from_mins(15);

/// A look at the whole fleet.
#[derive(Debug)]
pub(crate) struct Survey {
    pub(crate) settings: FleetSettings,
    pub(crate) servers: Vec<ServerRecord>,
    backups: Vec<Arc<Backup>>,
    damaged: Vec<String>,
    runs: Vec<Arc<Run>>,
    present: BTreeMap<ServerName, Vec<PresentContainer>>,
    prices: Option<Prices>,
    now: Timestamp,
    schedule_zone: TimeZone,
}

/// A listing gives so many documents a request.
const PAGE: usize = 1000;

/// How many minutes a listing of runs is good for at most, however long it is.
const LISTED_FOR_AT_MOST: usize = 15;

/// Runs that were read before: a run's document never changes.
#[derive(Debug, Default)]
pub(crate) struct RunsSeen {
    /// What was read; `None` for what cannot be.
    runs: BTreeMap<DocumentKey, Option<Arc<Run>>>,
    /// When they were listed last, and for how long that is good: a minute for each request that it took, so that the
    /// price of looking does not grow with a fleet's history.
    listed: Option<(Duration, Duration)>,
}

impl Survey {
    /// What a report is drawn up from, with these servers for silent.
    pub(crate) fn situation<'a>(&'a self, silent: &'a BTreeSet<ServerName>) -> Situation<'a> {
        Situation {
            backups: &self.backups,
            damaged: &self.damaged,
            servers: &self.servers,
            silent,
            runs: &self.runs,
            present: &self.present,
            defaults: &self.settings.defaults,
            prices: self.prices.as_ref(),
            now: self.now,
            schedule_zone: &self.schedule_zone,
        }
    }

    /// Servers that are silent as far as one look tells, by clocks that may differ.
    pub(crate) fn silent_at_first_sight(&self) -> BTreeSet<ServerName> {
        let is_silent = |server: &&ServerRecord| {
            server.is_silent(self.now) && self.now.duration_since(server.ping.at) > SILENT_AFTER
        };
        self.servers.iter().filter(is_silent).map(|server| server.name.clone()).collect()
    }
}

impl Dory {
    /// Looks at the whole fleet. Documents that did not change since the last look are not read again.
    ///
    /// # Errors
    /// As for [`fleet_settings`](Self::fleet_settings); the store's.
    pub(crate) async fn survey(&self, seen: &mut RunsSeen) -> Result<Survey> {
        let settings = self.fleet_settings().await?;
        let list = self.catalog.backups().await?;
        let now = self.clock.now();
        Ok(Survey {
            servers: self.catalog.servers().await?,
            backups: list.backups,
            damaged: list.damaged.iter().map(ToString::to_string).collect(),
            runs: self.recent_runs(seen, now).await?,
            present: self.present_containers().await?,
            prices: Prices::of(self.config.store.url.scheme, &settings.price),
            now,
            schedule_zone: self.config.zone.clone(),
            settings,
        })
    }

    /// Runs of the last days, oldest first, without their logs.
    async fn recent_runs(&self, seen: &mut RunsSeen, now: Timestamp) -> Result<Vec<Arc<Run>>> {
        let monotonic = self.clock.monotonic();
        if seen.listed.is_none_or(|(at, good_for)| monotonic.saturating_sub(at) >= good_for) {
            let listed = self.list_runs(seen, now).await?;
            let minutes = listed.div_ceil(PAGE).clamp(1, LISTED_FOR_AT_MOST) - 1;
            seen.listed = Some((monotonic, Duration::from_secs(60) * u32::try_from(minutes).unwrap_or_default()));
        }
        let mut runs: Vec<_> = seen.runs.values().flatten().cloned().collect();
        runs.sort_by_key(|run| run.id);
        Ok(runs)
    }

    /// Brings `seen` up to date, and gives how many documents were listed.
    async fn list_runs(&self, seen: &mut RunsSeen, now: Timestamp) -> Result<usize> {
        let oldest = now.checked_sub(RUNS_KEPT).unwrap_or(Timestamp::MIN);
        let all = self.catalog.list_documents("runs").await?;
        let listed = all.len();
        let mut known = BTreeMap::new();
        for stat in all {
            let file = stat.key.as_str().rsplit('/').next().and_then(|file| file.strip_suffix(".json"));
            let Some(id) = file.and_then(|id| RunId::parse(id).ok()) else { continue };
            if id.made_at() < oldest {
                continue;
            }
            let run = match seen.runs.remove(&stat.key) {
                Some(run) => run,
                None => self.read_run(&stat.key).await?,
            };
            known.insert(stat.key, run);
        }
        seen.runs = known;
        Ok(listed)
    }

    async fn read_run(&self, key: &DocumentKey) -> Result<Option<Arc<Run>>> {
        match self.catalog.find_document::<Run>(key).await {
            Ok(found) => Ok(found.map(|found| Arc::new(Run { log: Vec::new(), ..found.body }))),
            Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported) => {
                tracing::warn!(%error, "a run's document cannot be read");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The containers of each server that wrote down what it has, and of this one's host.
    async fn present_containers(&self) -> Result<BTreeMap<ServerName, Vec<PresentContainer>>> {
        let stocked = |one: &StockedContainer| PresentContainer { id: one.id.clone(), name: one.name.clone() };
        let all = self.catalog.inventories().await?.into_iter();
        let mut present: BTreeMap<_, Vec<_>> =
            all.map(|stock| (stock.server.clone(), stock.containers.iter().map(stocked).collect())).collect();
        if let Ok(runtime) = self.runtime()
            && let Ok(here) = runtime.list_containers().await
        {
            let here = here.into_iter().map(|container| PresentContainer { id: container.id, name: container.name });
            present.insert(self.config.server.clone(), here.collect());
        }
        Ok(present)
    }
}

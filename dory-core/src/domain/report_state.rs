//! What people were told already: what happens is told once, and nothing that was to be told is lost.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::health::{BackupHealth, RunTrouble, Trouble};
use super::id::{BackupId, ContainerName, PointId, RunId, ServerName};
use super::report::Situation;
use super::schedule::Schedule;
use super::settings::{Digest, ReportSettings, Topic};
use crate::error::Result;

/// What people were told already, and what is on its way to them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportState {
    /// How the fleet was at the last digest.
    pub digest: Baseline,
    /// What was told about backups.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub backups: BTreeMap<BackupId, Told>,
    /// Servers that were told to be silent.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub silent: BTreeSet<ServerName>,
    /// What is to be sent yet, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outbox: Vec<Outgoing>,
}

/// How the fleet was at some moment: what the next report is compared with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    /// When.
    pub at: Timestamp,
    /// What was stored, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored_bytes: Option<u64>,
    /// The containers of the servers that were known.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub containers: BTreeMap<ServerName, BTreeSet<ContainerName>>,
}

impl Baseline {
    /// A moment of which nothing else is known.
    #[must_use]
    pub fn bare(at: Timestamp) -> Self {
        Self { at, stored_bytes: None, containers: BTreeMap::new() }
    }

    /// How the fleet is now.
    #[must_use]
    pub fn of(situation: &Situation<'_>) -> Self {
        let names = |containers: &Vec<super::report::PresentContainer>| {
            containers.iter().map(|container| container.name.clone()).collect()
        };
        Self {
            at: situation.now,
            stored_bytes: Some(situation.backups.iter().map(|backup| backup.stored_bytes()).sum()),
            containers: situation.present.iter().map(|(server, all)| (server.clone(), names(all))).collect(),
        }
    }
}

/// What was told about a backup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// That its runs go wrong, how, and which was the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<(RunTrouble, RunId)>,
    /// That a point is suspect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspect: Option<PointId>,
}

/// A notice that is to be sent to some.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outgoing {
    /// The notice, as JSON, just as every attempt sends it.
    pub notice: String,
    /// What proves that a server of the fleet wrote it: a store that others can write to must not speak in its name.
    pub seal: String,
    /// To whom it is still to go: `mail`, `webhook.<name>`.
    pub targets: BTreeSet<String>,
    /// When it was written.
    pub at: Timestamp,
    /// How often it failed.
    #[serde(default)]
    pub failures: u32,
    /// When it is tried next.
    pub next_at: Timestamp,
}

impl Outgoing {
    /// What it is sealed for.
    pub const PURPOSE: &'static str = "notice";

    /// How long it is tried: three days.
    pub const PATIENCE: SignedDuration = SignedDuration::from_hours(72);

    /// The wait after so many failures: one minute, five, a quarter of an hour, then an hour each time.
    #[must_use]
    pub fn wait(failures: u32) -> SignedDuration {
        match failures {
            0 => SignedDuration::ZERO,
            1 => SignedDuration::from_mins(1),
            2 => SignedDuration::from_mins(5),
            3 => SignedDuration::from_mins(15),
            _ => SignedDuration::from_hours(1),
        }
    }
}

/// Something that is not as it was told last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StateChange {
    /// What of.
    pub topic: Topic,
    /// Of what: `shop database on alpha`.
    pub subject: String,
    /// What, in a line.
    pub words: String,
    /// What to do about it, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// Names it, whoever notices it.
    #[serde(skip)]
    id: String,
}

impl StateChange {
    /// A name for several changes, the same whoever tells of them.
    #[must_use]
    pub fn name_of(changes: &[&Self]) -> String {
        let ids: BTreeSet<&str> = changes.iter().map(|change| change.id.as_str()).collect();
        let digest = Sha256::digest(ids.into_iter().collect::<Vec<_>>().join("\n"));
        data_encoding::HEXLOWER.encode(&digest[..10])
    }
}

impl ReportState {
    /// Where nobody was told anything yet. The digest tells of what comes from now on; troubles that are there already
    /// are told at once.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        let (backups, silent, outbox) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
        Self { digest: Baseline::bare(now), backups, silent, outbox }
    }

    /// When the digest that is due now was due; `None` if none is. Missed ones are made up for by one.
    ///
    /// # Errors
    /// `InvalidInput` for a zone that there is not.
    pub fn digest_due(&self, settings: &ReportSettings, now: Timestamp) -> Result<Option<Timestamp>> {
        let day = match settings.digest {
            Digest::Off => return Ok(None),
            Digest::Daily => "*".to_owned(),
            Digest::Weekly => Digest::DAY.to_monday_one_offset().to_string(),
        };
        let zone = settings.time_zone()?;
        let schedule: Schedule = format!("0 {} * * {day}", settings.hour).parse()?;
        Ok(schedule.last_due(self.digest.at, now, &zone))
    }

    /// Takes `situation` for told, and gives what of it was not.
    pub fn tell(&mut self, situation: &Situation<'_>) -> Vec<StateChange> {
        let mut changes = Vec::new();
        let mut told = BTreeMap::new();
        for backup in situation.backups {
            let before = self.backups.remove(&backup.id).unwrap_or_default();
            let health = BackupHealth::of(backup, situation);
            let subject = format!("{} on {}", backup.name, backup.server);
            let new =
                |topic, id: String, words, remedy| StateChange { topic, subject: subject.clone(), words, remedy, id };
            let remedy = |trouble: &Trouble| trouble.remedy(&backup.id);
            let run = match &health.run {
                _ if !health.is_known => before.run,
                None => {
                    if let Some((_, run)) = before.run {
                        let words = "it was backed up again, and all is well".to_owned();
                        changes.push(new(Topic::Recovered, format!("recovered {} {run}", backup.id), words, None));
                    }
                    None
                }
                Some(trouble @ Trouble::Down { run, .. }) => {
                    if !matches!(before.run, Some((RunTrouble::Down, _))) {
                        changes.push(new(Topic::Down, format!("down {run}"), trouble.words(), remedy(trouble)));
                    }
                    before.run.filter(|(before, _)| *before == RunTrouble::Down).or(Some((RunTrouble::Down, *run)))
                }
                Some(Trouble::Failing { .. }) if before.run.is_some() => {
                    before.run.map(|(_, run)| (RunTrouble::Failing, run))
                }
                Some(trouble @ Trouble::Failing { run, .. }) => {
                    changes.push(new(Topic::Failing, format!("failing {run}"), trouble.words(), remedy(trouble)));
                    Some((RunTrouble::Failing, *run))
                }
                Some(_) => before.run,
            };
            let suspect = match &health.suspect {
                Some(trouble @ Trouble::Suspect { point, .. }) => {
                    if before.suspect != Some(*point) {
                        changes.push(new(Topic::Suspect, format!("suspect {point}"), trouble.words(), remedy(trouble)));
                    }
                    Some(*point)
                }
                _ => None,
            };
            let now = Told { run, suspect };
            if now != Told::default() {
                told.insert(backup.id.clone(), now);
            }
        }
        self.backups = told;
        self.tell_of_servers(situation, &mut changes);
        changes
    }

    fn tell_of_servers(&mut self, situation: &Situation<'_>, changes: &mut Vec<StateChange>) {
        for server in situation.servers {
            let (is_silent, was_silent) = (situation.silent.contains(&server.name), self.silent.contains(&server.name));
            let new = |topic: Topic, words, remedy| StateChange {
                topic,
                subject: format!("server {}", server.name),
                words,
                remedy,
                id: format!("{} {} {} {}", topic.as_str(), server.name, server.lease.epoch, server.lease.beat),
            };
            if is_silent && !was_silent {
                let words = format!("nothing was heard of it since {}", super::report::shown(server.ping.at));
                let remedy = format!("look at `{}`; what has a schedule there is not backed up", server.ping.host);
                changes.push(new(Topic::Silent, words, Some(remedy)));
            } else if !is_silent && was_silent {
                let words = match server.lease.released {
                    true => "it ended in order".to_owned(),
                    false => "it is heard of again".to_owned(),
                };
                changes.push(new(Topic::Back, words, None));
            }
        }
        self.silent = situation.silent.clone();
    }
}

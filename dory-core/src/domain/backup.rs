//! The lasting record of one container's data.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::container::Container;
use super::half_restored::HalfRestored;
use super::hook::HookOverrides;
use super::id::{BackupId, ContainerId, ContainerName, ServerName};
use super::identity::Identity;
use super::keys::MasterKey;
use super::policy::{EngineKind, PolicyOverrides, label, marked_by_label};
use super::restore_point::{PointOrigin, RestorePoint};
use super::suspect::Suspicion;
use super::turns::{LabelRules, Turns, Verified};
use crate::error::{Error, ErrorKind, Result};

/// The lasting record of one container's data: who it is, how it is backed up, what it can be brought back to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// Never changes, whatever is renamed.
    pub id: BackupId,
    /// What people call it; unique on its server.
    pub name: String,
    /// The server whose host holds the container.
    pub server: ServerName,
    /// How the container is known again after it was created anew.
    pub identity: Identity,
    /// The containers it was made from, oldest first.
    pub containers: Vec<ContainerSeen>,
    /// When it was first made.
    pub created_at: Timestamp,
    /// When a run last set out to make a point, whatever came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_attempt_at: Option<Timestamp>,
    /// What it remembers of its schedule.
    #[serde(default, skip_serializing_if = "Turns::are_plain")]
    pub turns: Turns,
    /// What its container's labels said about schedule and rules when Dory last met the container.
    #[serde(default, skip_serializing_if = "LabelRules::are_open")]
    pub label_rules: LabelRules,
    /// How its data was found when it was last checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<Verified>,
    /// Chosen for `backup --all` and schedules: `None` leaves it to the container's label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marked: Option<bool>,
    /// Whether its container's label chose it when Dory last met the container.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub marked_by_label: bool,
    /// What the catalog says about how to make it.
    #[serde(default)]
    pub policy: PolicyOverrides,
    /// What the catalog says about hooks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hooks: Option<SealedHooks>,
    /// A user's words about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// A user's own keys and values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// What it can be brought back to, oldest first.
    pub points: Vec<RestorePoint>,
    /// Engines' repositories that hold data of it, so that a deletion forgets none.
    #[serde(default)]
    pub engines: Vec<EngineKind>,
    /// Set when its deletion began: nothing may be added, and its data may already be gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleting_since: Option<Timestamp>,
    /// Restores that were about to write to data of it, or into places that it was restored to, and did not end yet:
    /// oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub half_restored: Vec<HalfRestored>,
}

/// One container that a backup was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSeen {
    /// Its id.
    pub id: ContainerId,
    /// Its name then.
    pub name: ContainerName,
    /// When Dory first met it.
    pub first_seen: Timestamp,
}

impl ContainerSeen {
    fn now(container: &Container, now: Timestamp) -> Self {
        Self { id: container.id.clone(), name: container.name.clone(), first_seen: now }
    }
}

impl Backup {
    /// The record of a container that was never backed up.
    #[must_use]
    pub fn first_of(container: &Container, server: ServerName, now: Timestamp) -> Self {
        Self {
            id: BackupId::first_made_from(container),
            name: container.name.to_string(),
            server,
            identity: Identity::of(container),
            containers: vec![ContainerSeen::now(container, now)],
            created_at: now,
            last_attempt_at: None,
            turns: Turns::default(),
            label_rules: label_rules(container).unwrap_or_default(),
            verified: None,
            marked: None,
            marked_by_label: label_marks(container),
            policy: PolicyOverrides::default(),
            hooks: None,
            description: container.label(label::DESCRIPTION).map(str::to_owned),
            metadata: BTreeMap::new(),
            points: Vec::new(),
            engines: Vec::new(),
            deleting_since: None,
            half_restored: Vec::new(),
        }
    }

    /// Notes that `container` is the one it is made from by now, whatever its id was before.
    pub fn follow(&mut self, container: &Container, now: Timestamp) {
        self.identity = Identity::of(container);
        self.marked_by_label = label_marks(container);
        // Labels that make no sense say nothing about what was meant before.
        if let Some(rules) = label_rules(container) {
            self.label_rules = rules;
        }
        if self.container().is_none_or(|last| last.id != container.id) {
            self.containers.push(ContainerSeen::now(container, now));
        }
    }

    /// Up to when nothing that was due by schedule is left to make up for: it has a point of its own from then or later,
    /// or its turn failed for good; `None` where there was none yet.
    #[must_use]
    pub fn turns_over_until(&self) -> Option<Timestamp> {
        self.turns.over_until.max(self.latest().map(|point| point.taken_at))
    }

    /// Whether `backup --all` takes it, as far as can be known without asking for its container.
    #[must_use]
    pub fn is_marked(&self) -> bool {
        self.marked.unwrap_or(self.marked_by_label)
    }

    /// What the catalog says about how `engine` is to work for it. Options belong to the engine they were set for: data
    /// that another one keeps is reached without them.
    #[must_use]
    pub fn options_of(&self, engine: EngineKind) -> BTreeMap<String, String> {
        let theirs = self.policy.engine.unwrap_or_default() == engine;
        if theirs { self.policy.engine_options.clone() } else { BTreeMap::new() }
    }

    /// The container it was last made from.
    #[must_use]
    pub fn container(&self) -> Option<&ContainerSeen> {
        self.containers.last()
    }

    /// The newest point of the container's own data; one whose deletion began does not count, and neither does a safety
    /// point, which keeps what somebody chose to overwrite: that one is meant by its id alone.
    #[must_use]
    pub fn latest(&self) -> Option<&RestorePoint> {
        self.choosable().next_back()
    }

    fn choosable(&self) -> impl DoubleEndedIterator<Item = &RestorePoint> {
        self.points.iter().filter(|point| !point.deleting && point.origin != PointOrigin::Safety)
    }

    /// The newest point that is suspect, and why. While there is one, nothing of this backup may be deleted without a
    /// word, for the points before may be all that is left of its data.
    #[must_use]
    pub fn frozen_by(&self) -> Option<(&RestorePoint, &Suspicion)> {
        let suspect = self.points.iter().rev().filter(|point| !point.deleting && point.is_suspect());
        suspect.filter_map(|point| Some((point, point.suspect.as_ref()?))).next()
    }

    /// Whether nothing of it may be deleted without a word: see [`frozen_by`](Self::frozen_by).
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        self.frozen_by().is_some()
    }

    /// What the catalog says about hooks, if it was said by somebody who knows the fleet's passphrase.
    ///
    /// # Errors
    /// `PermissionDenied` if it was not, or for another backup or server.
    pub fn proven_hooks(&self, key: Option<&MasterKey>) -> Result<HookOverrides> {
        let Some(sealed) = &self.hooks else { return Ok(HookOverrides::default()) };
        let text = SealedHooks::text(&self.id, &self.server, &sealed.hooks)?;
        if key.is_some_and(|key| key.made_seal(SealedHooks::PURPOSE, &text, &sealed.seal)) {
            return Ok(sealed.hooks.clone());
        }
        let reason = "nobody who knows the fleet's passphrase set them for this backup on this server";
        Err(Error::new(ErrorKind::PermissionDenied, "trust the hooks of backup", self.id.as_str(), reason).with_hint(
            format!("set them anew after removing them: `dory edit {} --pre '' --post '' --dump ''`", self.id),
        ))
    }

    /// Bytes its points added to the store, in all.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        self.points.iter().map(|point| point.size.stored_bytes).sum()
    }

    /// Adds a point in its place by time; a point already there is left alone.
    pub fn add_point(&mut self, point: RestorePoint) {
        if self.points.iter().any(|known| known.id == point.id) {
            return;
        }
        let at = self.points.partition_point(|known| known.taken_at <= point.taken_at);
        self.points.insert(at, point);
    }

    /// The point that `choice` means.
    ///
    /// # Errors
    /// `NotFound`, with what there is; `InvalidInput` where a name or a shortened id fits several.
    pub fn find_point(&self, choice: &PointChoice) -> Result<&RestorePoint> {
        let missing = |what: &str| {
            Error::new(
                ErrorKind::NotFound,
                "find restore point",
                what,
                format!("backup `{}` has no such point", self.name),
            )
            .with_hint(format!("run `dory show {}` to see its points", self.name))
        };
        match choice {
            PointChoice::Latest => self.latest().ok_or_else(|| missing("latest")),
            PointChoice::Before(time) => self
                .choosable()
                .rfind(|point| point.taken_at <= *time)
                .ok_or_else(|| missing(&format!("from {time} or before"))),
            PointChoice::Named(text) => {
                let fits: Vec<_> = self.points.iter().filter(|point| point_answers_to(point, text)).collect();
                match fits.as_slice() {
                    [] => Err(missing(text)),
                    [point] => Ok(point),
                    several => {
                        let one = |point: &&RestorePoint| {
                            format!("`{}` of {}", point.id, point.taken_at.strftime("%Y-%m-%d %H:%M:%S UTC"))
                        };
                        let all: Vec<_> = several.iter().map(one).collect();
                        let last = several.last().map_or_else(String::new, |point| point.id.to_string());
                        Err(Error::invalid("restore point", text, format!("it fits {}", all.join(", ")))
                            .with_hint(format!("name one by its id: `--at {last}`")))
                    }
                }
            }
        }
    }

    /// As [`find_point`](Self::find_point), for who wants to read its data.
    ///
    /// # Errors
    /// As there, and `Conflict` for one whose deletion began: part of its data may be gone.
    pub fn find_whole_point(&self, choice: &PointChoice) -> Result<&RestorePoint> {
        let point = self.find_point(choice)?;
        if point.deleting || self.deleting_since.is_some() {
            let reason = "its deletion began, and part of its data may be gone";
            return Err(Error::new(ErrorKind::Conflict, "read restore point", point.id.to_string(), reason)
                .with_hint(format!("finish the deletion with `dory delete`, or see `dory show {}`", self.name)));
        }
        Ok(point)
    }
}

/// Whether a container's label marks it. One that holds nonsense does not.
fn label_marks(container: &Container) -> bool {
    marked_by_label(&container.labels).ok().flatten().unwrap_or(false)
}

/// What a container's labels say about schedule and rules; `None` where they make no sense.
fn label_rules(container: &Container) -> Option<LabelRules> {
    PolicyOverrides::from_labels(&container.labels).ok().map(|policy| LabelRules::from(&policy))
}

/// Hooks as the catalog keeps them: whoever can write to the store but does not know the passphrase must not run
/// commands in containers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedHooks {
    /// What was set.
    pub hooks: HookOverrides,
    /// What proves by whom: HMAC-SHA256 over backup, server and hooks, under a key of the fleet's, in hex.
    pub seal: String,
}

impl SealedHooks {
    const PURPOSE: &'static str = "hooks";

    /// Seals `hooks` for one backup on one server.
    ///
    /// # Errors
    /// `Internal`, if they cannot be written.
    pub fn new(key: &MasterKey, backup: &BackupId, server: &ServerName, hooks: HookOverrides) -> Result<Self> {
        let seal = key.seal(Self::PURPOSE, &Self::text(backup, server, &hooks)?);
        Ok(Self { hooks, seal })
    }

    fn text(backup: &BackupId, server: &ServerName, hooks: &HookOverrides) -> Result<String> {
        serde_json::to_string(&(backup, server, hooks)).map_err(|error| {
            Error::new(ErrorKind::Internal, "seal hooks", backup.as_str(), "they are no JSON").with_source(error)
        })
    }
}

fn point_answers_to(point: &RestorePoint, text: &str) -> bool {
    let id = point.id.to_string();
    let upper = text.to_ascii_uppercase();
    point.name.as_deref() == Some(text)
        || id == upper
        || (text.len() >= 4 && (id.ends_with(&upper) || point.snapshot.as_str().starts_with(text)))
}

/// Which restore point a user means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PointChoice {
    /// The newest that is no safety point.
    Latest,
    /// The newest that is not younger than this, and no safety point.
    Before(Timestamp),
    /// By its name, its id, the last characters of its id, or the first of its snapshot's.
    Named(String),
}

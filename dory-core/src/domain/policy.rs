//! How one backup is to be made: consistency, engine, exclusions. Set by label, command line or web, and merged.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::hook::{HookOverrides, Hooks};
use super::keep_rules::KeepRules;
use super::patience::Patience;
use super::ping::PingWish;
use super::plan::StartRules;
use super::schedule::{Schedule, ScheduleWish};
use super::suspect::SuspectBelow;
use crate::error::{Error, Result};

/// How containers are quieted while their volumes are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopMode {
    /// Stopped and started again: files are as the program left them at shutdown.
    #[default]
    Stop,
    /// Frozen and thawed: files are as after a power cut.
    Pause,
    /// Left running: files may be from different moments.
    None,
}

impl StopMode {
    /// The values a user may write.
    pub const WORDS: [&'static str; 3] = ["stop", "pause", "none"];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Pause => "pause",
            Self::None => "none",
        }
    }
}

impl fmt::Display for StopMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for StopMode {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "stop" => Ok(Self::Stop),
            "pause" => Ok(Self::Pause),
            "none" => Ok(Self::None),
            _ => Err(Error::invalid("stop mode", text, "`stop`, `pause` and `none` are allowed")),
        }
    }
}

/// Which engine keeps a backup's data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EngineKind {
    /// restic's repository format: deduplicated, encrypted, any point can go.
    #[default]
    Restic,
    /// The duplicity program: full and incremental archives in chains.
    Duplicity,
}

impl EngineKind {
    /// The values a user may write.
    pub const WORDS: [&'static str; 2] = ["restic", "duplicity"];

    /// The word for it, also its folder name in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Restic => "restic",
            Self::Duplicity => "duplicity",
        }
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for EngineKind {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "restic" => Ok(Self::Restic),
            "duplicity" => Ok(Self::Duplicity),
            _ => Err(Error::invalid("engine", text, "`restic` and `duplicity` are allowed")),
        }
    }
}

/// The policy in force for one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// How containers are quieted.
    pub stop: StopMode,
    /// Which engine keeps the data.
    pub engine: EngineKind,
    /// The engine's own options, checked against its allow-list.
    pub engine_options: BTreeMap<String, String>,
    /// Patterns of paths to leave out, relative to a mount's root (`cache/**`), in gitignore's syntax.
    pub exclude: Vec<String>,
    /// What runs in the container around its backup.
    pub hooks: Hooks,
    /// How long containers may take until they are healthy, where their own labels say nothing.
    pub healthy_timeout: Patience,
    /// When a point is suspect.
    pub suspect_below: SuspectBelow,
    /// When a server backs it up by itself; `None` for never.
    pub schedule: Option<Schedule>,
    /// What of it stays.
    pub keep: KeepRules,
    /// Who is pinged around each run; `None` leaves it to the fleet's settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ping: Option<PingWish>,
}

impl Default for Policy {
    fn default() -> Self {
        PolicyOverrides::default().into_policy()
    }
}

/// The parts of a policy that one source sets; what it leaves open, a weaker source decides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PolicyOverrides {
    /// See [`Policy::stop`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop: Option<StopMode>,
    /// See [`Policy::engine`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<EngineKind>,
    /// See [`Policy::engine_options`]; single options override single options, and an empty value takes one back.
    #[serde(alias = "engine-options", skip_serializing_if = "BTreeMap::is_empty")]
    pub engine_options: BTreeMap<String, String>,
    /// See [`Policy::exclude`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclude: Option<Vec<String>>,
    /// See [`Policy::hooks`]. No document holds them here, for whoever can write to the store must not run commands: see
    /// [`SealedHooks`](super::backup::SealedHooks).
    #[serde(skip)]
    pub hooks: HookOverrides,
    /// See [`Policy::healthy_timeout`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthy_timeout: Option<Patience>,
    /// See [`Policy::suspect_below`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspect_below: Option<SuspectBelow>,
    /// See [`Policy::schedule`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<ScheduleWish>,
    /// See [`Policy::keep`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<KeepRules>,
    /// See [`Policy::ping`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ping: Option<PingWish>,
}

/// Labels on a container that Dory reads.
pub mod label {
    /// `true` marks the container for `backup --all` and schedules; `false` unmarks it.
    pub const BACKUP: &str = "dory.backup";
    /// How this container is quieted: `stop`, `pause` or `none`.
    pub const STOP: &str = "dory.stop";
    /// Which engine keeps the data.
    pub const ENGINE: &str = "dory.engine";
    /// Patterns to leave out, separated by commas.
    pub const EXCLUDE: &str = "dory.exclude";
    /// How long this container may take until it is healthy: `2m`.
    pub const HEALTHY_TIMEOUT: &str = "dory.healthy-timeout";
    /// Below which share of the previous point's bytes or files a point is suspect: `50%`, or `off`.
    pub const SUSPECT_BELOW: &str = "dory.suspect-below";
    /// When a server backs this container up by itself: `TZ=Europe/Berlin 30 2 * * *`, or `off`.
    pub const SCHEDULE: &str = "dory.schedule";
    /// What of its backup stays: `last=3,daily=7,weekly=4`.
    pub const KEEP: &str = "dory.keep";
    /// Who is pinged around each backup: a web address, or `off`.
    pub const PING: &str = "dory.ping";
    /// What the backup is, in words.
    pub const DESCRIPTION: &str = "dory.description";
    /// A name that ties containers to one backup across servers and re-creations.
    pub const ID: &str = "dory.id";
}

impl PolicyOverrides {
    /// Reads a container's labels.
    ///
    /// # Errors
    /// `InvalidInput` naming the label and what it may hold.
    pub fn from_labels(labels: &BTreeMap<String, String>) -> Result<Self> {
        Ok(Self {
            stop: parse_label(labels, label::STOP)?,
            engine: parse_label(labels, label::ENGINE)?,
            engine_options: BTreeMap::new(),
            exclude: labels.get(label::EXCLUDE).map(|text| {
                text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
            }),
            hooks: HookOverrides::from_labels(labels)?,
            healthy_timeout: parse_label(labels, label::HEALTHY_TIMEOUT)?,
            suspect_below: parse_label(labels, label::SUSPECT_BELOW)?,
            schedule: parse_label(labels, label::SCHEDULE)?,
            keep: parse_label(labels, label::KEEP)?,
            ping: parse_label(labels, label::PING)?,
        })
    }

    /// Whether this source sets nothing.
    #[must_use]
    pub fn are_open(&self) -> bool {
        *self == Self::default()
    }

    /// This source's choices, with `weaker`'s where this one leaves them open. Options belong to the engine they were
    /// set for: `weaker`'s are dropped where this source chooses another engine.
    #[must_use]
    pub fn or(self, weaker: Self) -> Self {
        let same_engine = self.engine.is_none() || self.engine == weaker.engine;
        let mut engine_options = if same_engine { weaker.engine_options } else { BTreeMap::new() };
        engine_options.extend(self.engine_options);
        Self {
            stop: self.stop.or(weaker.stop),
            engine: self.engine.or(weaker.engine),
            engine_options,
            exclude: self.exclude.or(weaker.exclude),
            hooks: self.hooks.or(weaker.hooks),
            healthy_timeout: self.healthy_timeout.or(weaker.healthy_timeout),
            suspect_below: self.suspect_below.or(weaker.suspect_below),
            schedule: self.schedule.or(weaker.schedule),
            keep: self.keep.or(weaker.keep),
            ping: self.ping.or(weaker.ping),
        }
    }

    /// The policy in force: the defaults fill what is still open.
    #[must_use]
    pub fn into_policy(self) -> Policy {
        Policy {
            stop: self.stop.unwrap_or_default(),
            engine: self.engine.unwrap_or_default(),
            engine_options: self.engine_options.into_iter().filter(|(_, value)| !value.is_empty()).collect(),
            exclude: self.exclude.unwrap_or_default(),
            hooks: self.hooks.into_hooks(),
            healthy_timeout: self.healthy_timeout.unwrap_or(StartRules::HEALTHY_TIMEOUT),
            suspect_below: self.suspect_below.unwrap_or_default(),
            schedule: self.schedule.and_then(ScheduleWish::into_schedule),
            keep: self.keep.unwrap_or_default(),
            ping: self.ping,
        }
    }
}

/// Whether labels mark a container: `None` where they say nothing.
///
/// # Errors
/// `InvalidInput` if the label holds neither `true` nor `false`.
pub fn marked_by_label(labels: &BTreeMap<String, String>) -> Result<Option<bool>> {
    match labels.get(label::BACKUP).map(String::as_str) {
        None => Ok(None),
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        Some(other) => Err(Error::invalid("label dory.backup", other, "`true` and `false` are allowed")),
    }
}

fn parse_label<T: FromStr<Err = Error>>(labels: &BTreeMap<String, String>, name: &str) -> Result<Option<T>> {
    let Some(text) = labels.get(name) else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(|error: Error| Error::invalid(&format!("label {name}"), text, error.reason()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn a_stronger_source_wins_and_open_parts_fall_through() {
        let flags = PolicyOverrides { stop: Some(StopMode::None), ..Default::default() };
        let from_labels =
            PolicyOverrides::from_labels(&labels(&[("dory.stop", "pause"), ("dory.exclude", "cache/**, tmp")]))
                .unwrap();
        let policy = flags.or(from_labels).into_policy();
        assert_eq!(policy.stop, StopMode::None);
        assert_eq!(policy.exclude, ["cache/**", "tmp"]);
        assert_eq!(policy.engine, EngineKind::Restic);
    }

    #[test]
    fn options_go_with_the_engine_they_were_set_for() {
        let options = |pairs: &[(&str, &str)]| labels(pairs);
        let from_catalog = PolicyOverrides {
            engine: Some(EngineKind::Duplicity),
            engine_options: options(&[("volsize", "50"), ("timeout", "30")]),
            ..Default::default()
        };
        let other = PolicyOverrides { engine: Some(EngineKind::Restic), ..Default::default() };
        assert_eq!(other.or(from_catalog.clone()).into_policy().engine_options, options(&[]));
        let one_back = PolicyOverrides { engine_options: options(&[("volsize", "")]), ..Default::default() };
        assert_eq!(one_back.or(from_catalog).into_policy().engine_options, options(&[("timeout", "30")]));
    }

    #[test]
    fn a_misspelt_label_names_itself_and_what_is_allowed() {
        let error = PolicyOverrides::from_labels(&labels(&[("dory.stop", "halt")])).unwrap_err();
        assert_eq!(error.to_string(), "cannot use label dory.stop `halt`: `stop`, `pause` and `none` are allowed");
    }

    #[test]
    fn the_words_parse_and_print_alike() {
        for word in StopMode::WORDS {
            assert_eq!(word.parse::<StopMode>().unwrap().as_str(), word);
        }
        for word in EngineKind::WORDS {
            assert_eq!(word.parse::<EngineKind>().unwrap().as_str(), word);
        }
    }
}

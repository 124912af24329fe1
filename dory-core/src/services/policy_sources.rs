//! How a backup is made, value by value, and who says so.

use serde::Serialize;

use super::Dory;
use crate::domain::hook::HookOverrides;
use crate::domain::id::BackupId;
use crate::domain::policy::{Policy, PolicyOverrides};
use crate::error::Result;

/// Who says a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicySource {
    /// Nobody: Dory's own.
    Default,
    /// A label of the container.
    Label,
    /// A label of the container that is gone.
    LastLabel,
    /// The catalog.
    Catalog,
    /// The fleet's settings.
    Fleet,
    /// This host's settings.
    Settings,
}

impl PolicySource {
    /// A few words for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Label => "label",
            Self::LastLabel => "label, when last seen",
            Self::Catalog => "catalog",
            Self::Fleet => "fleet's settings",
            Self::Settings => "settings",
        }
    }
}

/// One value of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PolicyValue {
    /// What it is about, as `dory policy` takes it: `healthy-timeout`.
    pub name: &'static str,
    /// The value in force, in words.
    pub value: String,
    /// Who says so.
    pub source: PolicySource,
}

/// How a backup is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PolicyOverview {
    /// The backup.
    pub backup: BackupId,
    /// Each value.
    pub values: Vec<PolicyValue>,
}

impl Dory {
    /// How a backup is made, value by value.
    ///
    /// # Errors
    /// `NotFound`; `InvalidInput` for a label that makes no sense; as for
    /// [`Backup::proven_hooks`](crate::domain::backup::Backup::proven_hooks); the store's.
    pub async fn policy_overview(&self, reference: &str) -> Result<PolicyOverview> {
        let backup = self.find_backup(reference).await?;
        let here = match self.runtime() {
            Ok(runtime) => runtime.list_containers().await?,
            Err(_) => Vec::new(),
        };
        let (labels, by_label) = match here.iter().find(|container| self.is_made_from(&backup, container)) {
            Some(container) => (super::inventory::policy_from_labels(container)?, PolicySource::Label),
            None => {
                let rules = backup.label_rules.clone();
                let last = PolicyOverrides { schedule: rules.schedule, keep: rules.keep, ..Default::default() };
                (last, PolicySource::LastLabel)
            }
        };
        let catalog = self.policy_of(Some(&backup)).await?;
        let mut fleet = self.default_policy().await?;
        if !backup.is_marked() {
            // As in the timetable: what was not chosen is not backed up by itself.
            fleet.schedule = None;
        }
        let policy = catalog.clone().or(labels.clone()).or(fleet.clone()).into_policy();
        let values = Sources { catalog: &catalog, labels: &labels, by_label, fleet: &fleet }.of(&policy);
        let stay = self.config.minimum_stay_days.map(|days| PolicyValue {
            name: "minimum-stay",
            value: format!("{days} days"),
            source: PolicySource::Settings,
        });
        Ok(PolicyOverview { backup: backup.id.clone(), values: values.into_iter().chain(stay).collect() })
    }
}

struct Sources<'a> {
    catalog: &'a PolicyOverrides,
    labels: &'a PolicyOverrides,
    by_label: PolicySource,
    fleet: &'a PolicyOverrides,
}

impl Sources<'_> {
    fn of(&self, policy: &Policy) -> Vec<PolicyValue> {
        let Policy { stop, engine, engine_options, exclude, hooks, healthy_timeout, suspect_below, schedule, keep } =
            policy;
        let options: Vec<_> = engine_options.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let or_none = |text: String| if text.is_empty() { "none".to_owned() } else { text };
        let words = |command: Option<String>| command.unwrap_or_else(|| "none".to_owned());
        let keeps = if keep.is_empty() { "everything".to_owned() } else { keep.to_string() };
        vec![
            self.value("stop", stop.to_string(), |from| from.stop.is_some()),
            self.value("engine", engine.to_string(), |from| from.engine.is_some()),
            self.value("engine-option", or_none(options.join(" ")), |from| !from.engine_options.is_empty()),
            self.value("exclude", or_none(exclude.join(" ")), |from| from.exclude.is_some()),
            self.value("schedule", schedule.as_ref().map_or_else(|| "off".to_owned(), ToString::to_string), |from| {
                from.schedule.is_some()
            }),
            self.value("keep", keeps, |from| from.keep.is_some()),
            self.value("healthy-timeout", healthy_timeout.to_string(), |from| from.healthy_timeout.is_some()),
            self.value("suspect-below", suspect_below.to_string(), |from| from.suspect_below.is_some()),
            self.hook("pre", words(hooks.pre.as_ref().map(|hook| hook.command.to_string())), |from| {
                from.pre.command.is_some()
            }),
            self.hook("post", words(hooks.post.as_ref().map(|hook| hook.command.to_string())), |from| {
                from.post.command.is_some()
            }),
            self.hook("dump", words(hooks.dump.as_ref().map(|dump| dump.method.to_string())), |from| {
                from.dump.method.is_some()
            }),
        ]
    }

    fn value(&self, name: &'static str, value: String, says: impl Fn(&PolicyOverrides) -> bool) -> PolicyValue {
        let said =
            [(self.catalog, PolicySource::Catalog), (self.labels, self.by_label), (self.fleet, PolicySource::Fleet)];
        let source = said.into_iter().find(|(from, _)| says(from)).map_or(PolicySource::Default, |(_, source)| source);
        PolicyValue { name, value, source }
    }

    fn hook(&self, name: &'static str, value: String, says: impl Fn(&HookOverrides) -> bool) -> PolicyValue {
        self.value(name, value, |from| says(&from.hooks))
    }
}

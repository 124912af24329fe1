//! What can be typed about how a backup is made from now on: waiting, suspicion, hooks, dumps.

use std::str::FromStr;

use clap::Args;
use dory_core::domain::dump::DumpSettings;
use dory_core::domain::hook::{HookMoment, HookOverrides, HookSettings};
use dory_core::domain::keep_rules::KeepRules;
use dory_core::domain::patience::Patience;
use dory_core::domain::policy::PolicyOverrides;
use dory_core::domain::schedule::ScheduleWish;
use dory_core::domain::suspect::SuspectBelow;
use dory_core::services::BackupEdit;
use dory_core::{Error, Result};

use super::{EngineArg, StopArg};
use crate::settings;

/// See [`Command::Policy`](super::Command::Policy).
#[derive(Debug, Args)]
pub struct PolicyCommandArgs {
    /// The backup: its id, its name, or its container's name
    pub backup: String,
    /// What to set; without any of it, what is in force is shown.
    #[command(flatten)]
    pub policy: PolicyArgs,
}

/// How a backup is made from now on. The catalog keeps it, and it wins over the container's labels.
#[derive(Clone, Debug, Default, Args)]
pub struct PolicyArgs {
    /// How to quiet the containers from now on
    #[arg(long, value_name = "MODE", value_enum)]
    pub stop: Option<StopArg>,
    /// What keeps the data from now on; options of another engine are dropped
    #[arg(long, value_name = "ENGINE", value_enum)]
    pub engine: Option<EngineArg>,
    /// An option of the engine from now on, as `name=value`; `name=` removes it; may be repeated
    #[arg(long = "engine-option", value_name = "NAME=VALUE")]
    pub engine_options: Vec<String>,
    /// When its server backs it up by itself, as in cron: `TZ=Europe/Berlin 30 2 * * *`, `@daily ~15m`; `off` for never
    #[arg(long, value_name = "CRON")]
    pub schedule: Option<ScheduleWish>,
    /// What of it stays: `last=3,hourly=24,daily=7,weekly=4,monthly=12,yearly=2,within=30d`; empty for everything
    #[arg(long, value_name = "RULES")]
    pub keep: Option<KeepRules>,
    /// Limits from now on.
    #[command(flatten)]
    pub limits: LimitArgs,
    /// Hooks from now on.
    #[command(flatten)]
    pub hooks: HookArgs,
}

impl PolicyArgs {
    /// What is to change about a backup.
    ///
    /// # Errors
    /// `InvalidInput` naming the flag.
    pub fn edit(&self) -> Result<BackupEdit> {
        let policy = PolicyOverrides {
            stop: self.stop.map(Into::into),
            engine: self.engine.map(Into::into),
            engine_options: settings::pairs("--engine-option", &self.engine_options)?,
            hooks: self.hooks.overrides()?,
            healthy_timeout: self.limits.healthy_timeout,
            suspect_below: self.limits.suspect_below,
            schedule: self.schedule.clone(),
            keep: self.keep.clone(),
            ..PolicyOverrides::default()
        };
        let (remove_hooks, remove_dump) = (self.hooks.removed(), self.hooks.removes_dump());
        Ok(BackupEdit { policy, remove_hooks, remove_dump, ..BackupEdit::default() })
    }
}

/// Limits of one run, or of a backup from now on.
#[derive(Clone, Debug, Default, Args)]
pub struct LimitArgs {
    /// How long a container may take until it is healthy, before it is stopped and after it started: `2m`
    #[arg(long, value_name = "TIME")]
    pub healthy_timeout: Option<Patience>,
    /// Call a point suspect that holds less than this percentage of the previous one's bytes or files; or `off`
    #[arg(long, value_name = "PERCENT")]
    pub suspect_below: Option<SuspectBelow>,
}

/// Hooks and dumps of a backup from now on. They are kept in the catalog and win over the container's labels.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Hooks and dumps")]
pub struct HookArgs {
    /// Run this in the container before each backup: a line for `sh -c`, or a JSON array; an empty one removes it
    #[arg(long, value_name = "COMMAND")]
    pub pre: Option<String>,
    /// As which user it runs
    #[arg(long, value_name = "USER")]
    pub pre_user: Option<String>,
    /// How long it may take: `5m`
    #[arg(long, value_name = "TIME")]
    pub pre_timeout: Option<Patience>,
    /// What its failure means: `fail` (nothing is stopped) or `continue`
    #[arg(long, value_name = "WHAT")]
    pub pre_on_error: Option<String>,
    /// Run this in the container after each backup, with everything up
    #[arg(long, value_name = "COMMAND")]
    pub post: Option<String>,
    /// As which user it runs
    #[arg(long, value_name = "USER")]
    pub post_user: Option<String>,
    /// How long it may take: `5m`
    #[arg(long, value_name = "TIME")]
    pub post_timeout: Option<Patience>,
    /// What its failure means: `continue` or `fail`
    #[arg(long, value_name = "WHAT")]
    pub post_on_error: Option<String>,
    /// Make the output of this a file of each point: postgres, mysql, mariadb, mongodb, redis, or a command in the
    /// container; an empty one removes it
    #[arg(long, value_name = "COMMAND")]
    pub dump: Option<String>,
    /// What loads the dump from its standard input, where no preset says it
    #[arg(long, value_name = "COMMAND")]
    pub dump_restore: Option<String>,
    /// What the file is called: `shop.sql`
    #[arg(long, value_name = "NAME")]
    pub dump_name: Option<String>,
    /// As which user both run
    #[arg(long, value_name = "USER")]
    pub dump_user: Option<String>,
    /// How long each may take: `2h`
    #[arg(long, value_name = "TIME")]
    pub dump_timeout: Option<Patience>,
    /// What its failure means: `fail` (nothing is stopped) or `continue`
    #[arg(long, value_name = "WHAT")]
    pub dump_on_error: Option<String>,
}

impl HookArgs {
    /// What is set.
    ///
    /// # Errors
    /// `InvalidInput` naming the flag.
    pub fn overrides(&self) -> Result<HookOverrides> {
        let Self { pre, pre_user, pre_timeout, pre_on_error, .. } = self;
        let Self { post, post_user, post_timeout, post_on_error, .. } = self;
        Ok(HookOverrides {
            pre: settings("pre", pre.as_deref(), pre_user.as_ref(), *pre_timeout, pre_on_error.as_deref())?,
            post: settings("post", post.as_deref(), post_user.as_ref(), *post_timeout, post_on_error.as_deref())?,
            dump: DumpSettings {
                method: parse("dump", self.dump.as_deref().filter(|command| !command.is_empty()))?,
                restore: parse("dump-restore", self.dump_restore.as_deref())?,
                name: parse("dump-name", self.dump_name.as_deref())?,
                user: self.dump_user.clone(),
                timeout: self.dump_timeout,
                on_error: parse("dump-on-error", self.dump_on_error.as_deref())?,
            },
        })
    }

    /// Whether the dump is removed.
    #[must_use]
    pub fn removes_dump(&self) -> bool {
        self.dump.as_ref().is_some_and(String::is_empty)
    }

    /// What is removed.
    #[must_use]
    pub fn removed(&self) -> Vec<HookMoment> {
        let commands = [(HookMoment::Pre, &self.pre), (HookMoment::Post, &self.post)];
        let empty = |command: &Option<String>| command.as_ref().is_some_and(String::is_empty);
        commands.into_iter().filter(|(_, command)| empty(command)).map(|(moment, _)| moment).collect()
    }
}

fn settings(
    moment: &str,
    command: Option<&str>,
    user: Option<&String>,
    timeout: Option<Patience>,
    on_error: Option<&str>,
) -> Result<HookSettings> {
    Ok(HookSettings {
        command: parse(moment, command.filter(|command| !command.is_empty()))?,
        user: user.cloned(),
        timeout,
        on_error: parse(&format!("{moment}-on-error"), on_error)?,
    })
}

fn parse<T: FromStr<Err = Error>>(flag: &str, text: Option<&str>) -> Result<Option<T>> {
    let Some(text) = text else { return Ok(None) };
    text.parse().map(Some).map_err(|error: Error| Error::invalid(&format!("--{flag}"), text, error.reason()))
}

//! What can be typed about how a backup is made from now on: waiting, suspicion, hooks.

use clap::Args;
use dory_core::Result;
use dory_core::domain::hook::{HookMoment, HookOverrides, HookSettings};
use dory_core::domain::patience::Patience;
use dory_core::domain::suspect::SuspectBelow;

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

/// Hooks of a backup from now on. They are kept in the catalog and win over the container's labels.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Hooks")]
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
}

impl HookArgs {
    /// What is set.
    ///
    /// # Errors
    /// `InvalidInput` naming the flag.
    pub fn overrides(&self) -> Result<HookOverrides> {
        let Self { pre, pre_user, pre_timeout, pre_on_error, post, post_user, post_timeout, post_on_error } = self;
        Ok(HookOverrides {
            pre: settings("pre", pre.as_deref(), pre_user.as_ref(), *pre_timeout, pre_on_error.as_deref())?,
            post: settings("post", post.as_deref(), post_user.as_ref(), *post_timeout, post_on_error.as_deref())?,
        })
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
    let named = |flag: String, text: &str, error: dory_core::Error| {
        dory_core::Error::invalid(&format!("--{flag}"), text, error.reason())
    };
    let command = command.filter(|command| !command.is_empty());
    Ok(HookSettings {
        command: command.map(|text| text.parse().map_err(|error| named(moment.to_owned(), text, error))).transpose()?,
        user: user.cloned(),
        timeout,
        on_error: on_error
            .map(|text| text.parse().map_err(|error| named(format!("{moment}-on-error"), text, error)))
            .transpose()?,
    })
}

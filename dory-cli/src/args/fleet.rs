//! What can be typed about servers, and about what other servers are to do.

use clap::Args;
use dory_core::domain::keep_rules::KeepRules;
use dory_core::fleet::SchedulerLimits;

use super::GuardingArgs;

/// See [`Command::Serve`](super::Command::Serve).
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Run at most so many backups at once
    #[arg(long, value_name = "COUNT", default_value_t = SchedulerLimits::default().parallel, value_parser = at_least_one)]
    pub parallel: usize,
    /// Have at most so many containers down at once; a backup that needs more runs alone
    #[arg(long, value_name = "COUNT", default_value_t = SchedulerLimits::default().containers_down, value_parser = at_least_one)]
    pub max_down: usize,
    /// Who brings containers back if Dory dies.
    #[command(flatten)]
    pub guarding: GuardingArgs,
    /// Where the web pages are served.
    #[command(flatten)]
    pub web: WebArgs,
}

/// Where the web pages are served, and who comes in first.
#[derive(Debug, Args)]
pub struct WebArgs {
    /// Serve the web pages there: `127.0.0.1:8360`, `:8360` for all addresses, or a port of the loopback
    #[arg(long, value_name = "ADDRESS", conflicts_with = "no_web")]
    pub web: Option<String>,
    /// Serve no web pages
    #[arg(long)]
    pub no_web: bool,
    /// Print a link by which somebody becomes an admin, although there is one: for whoever lost the password
    #[arg(long, conflicts_with = "no_web")]
    pub admin_link: bool,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| *count > 0).ok_or_else(|| "a number from 1 on is expected".to_owned())
}

/// See [`Command::Withdraw`](super::Command::Withdraw) and [`Command::Cancel`](super::Command::Cancel).
#[derive(Debug, Args)]
pub struct CommandArgs {
    /// The command's id, as `dory commands` lists it
    pub id: String,
}

/// Who does it.
#[derive(Clone, Debug, Default, Args)]
pub struct OnArgs {
    /// Ask this server to do it, from wherever this is, and wait until it did
    #[arg(long, value_name = "SERVER")]
    pub on: Option<String>,
    /// Do not wait for the other server
    #[arg(long, requires = "on")]
    pub no_wait: bool,
}

/// See [`Command::Prune`](super::Command::Prune).
#[derive(Debug, Args)]
pub struct PruneArgs {
    /// The backup: its id, its name, or its container's name; all that belong to this server where none is named
    pub backup: Option<String>,
    /// Go by these rules instead of the backup's own
    #[arg(long, value_name = "RULES", requires = "backup")]
    pub keep: Option<KeepRules>,
    /// Show what would go and why the rest stays, and delete nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
    /// Who does it.
    #[command(flatten)]
    pub on: OnArgs,
}

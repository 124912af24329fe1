//! What can be typed about servers, and about what other servers are to do.

use clap::{Args, ValueEnum};
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

/// See [`Command::Withdraw`](super::Command::Withdraw).
#[derive(Debug, Args)]
pub struct CommandArgs {
    /// The command's id, as `dory commands` lists it
    pub id: String,
}

/// See [`Command::Cancel`](super::Command::Cancel).
#[derive(Debug, Args)]
pub struct CancelArgs {
    /// The id of the run or of the command, as `dory runs` and `dory commands` list them
    pub id: String,
}

/// See [`Command::Runs`](super::Command::Runs).
#[derive(Debug, Args)]
pub struct RunsArgs {
    /// Only of this backup: its id, its name, or its container's name
    pub backup: Option<String>,
    /// Only of this server
    #[arg(long = "of", value_name = "SERVER")]
    pub of: Option<String>,
    /// Only those that did not succeed
    #[arg(long)]
    pub failed: bool,
    /// So many at most, the newest first
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = at_least_one)]
    pub limit: usize,
}

/// See [`Command::Logs`](super::Command::Logs).
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// The run's id, or the end of it
    pub run: String,
    /// Go on until the run is over
    #[arg(long, short)]
    pub follow: bool,
}

/// See [`Command::Verify`](super::Command::Verify).
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The backup: its id, its name, or its container's name
    pub backup: String,
    /// Check this restore point alone: its name, its id (or its end), a time, or `latest`
    #[arg(long, value_name = "POINT")]
    pub at: Option<String>,
    /// Read every stored byte, and not only names and sizes
    #[arg(long)]
    pub read_data: bool,
    /// Show what would be read, and read nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Who does it.
    #[command(flatten)]
    pub on: OnArgs,
}

/// See [`Command::Schedule`](super::Command::Schedule).
#[derive(Debug, Args)]
pub struct ScheduleArgs {
    /// The backup, or a container of this host that has none yet; all that have a schedule where none is named
    pub backup: Option<String>,
    /// What to change
    #[arg(value_enum, requires = "backup")]
    pub change: Option<ScheduleWord>,
    /// For `set`: when its server backs it up by itself, as in cron: `30 2 * * *`, `@daily ~15m`
    #[arg(value_name = "CRON", required_if_eq("change", "set"))]
    pub cron: Option<String>,
    /// For `set`: the time zone whose clocks it goes by: `Europe/Berlin`
    #[arg(long, value_name = "ZONE", requires = "cron")]
    pub zone: Option<String>,
}

/// What to change about a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScheduleWord {
    /// Back it up by this schedule, whatever the container's label says
    Set,
    /// Leave it to the container's label
    Clear,
    /// Leave out every turn until `resume`
    Pause,
    /// Back it up by schedule again, and leave nothing out
    Resume,
    /// Leave out the next turn alone
    SkipNext,
}

/// See [`Command::Adopt`](super::Command::Adopt).
#[derive(Debug, Args)]
pub struct AdoptArgs {
    /// The backup whose container is gone: its id or its name
    pub backup: String,
    /// The container of this host that its history goes on with
    pub container: String,
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
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

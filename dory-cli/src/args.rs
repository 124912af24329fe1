//! What can be typed.

mod fleet;
mod policy;
mod report;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use dory_core::services::Guarding;

pub use self::fleet::{
    AdoptArgs, CancelArgs, CommandArgs, LogsArgs, OnArgs, PruneArgs, RunsArgs, ScheduleArgs, ScheduleWord, ServeArgs,
    VerifyArgs, WebArgs,
};
pub use self::policy::{HookArgs, LimitArgs, PolicyArgs, PolicyCommandArgs};
pub use self::report::{ReportArgs, SettingsArgs, SettingsCommand};
use crate::exit;

/// Back up the volumes of Docker containers, and bring them back.
///
/// Dory stops the containers that use a volume for as short as possible, reads the volume in a helper container, and
/// starts everything again. Data and catalog are kept in one store: a bucket or a folder.
#[derive(Debug, Parser)]
#[command(name = "dory", version, after_long_help = format!("{ENVIRONMENT}\n\n{}", exit::HELP), after_help = exit::HELP)]
pub struct Arguments {
    /// What holds for every command.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const ENVIRONMENT: &str = "\
Settings come from the command line, else from the environment, else from dory.toml
(~/.config/dory/dory.toml or /etc/dory/dory.toml). Each DORY_… variable can be given as DORY_…_FILE,
the path of a file that holds the value.

    DORY_STORE               gs://bucket/prefix, s3://bucket/prefix, az://container/prefix or
                             file:///folder
    DORY_PASSPHRASE          the fleet's passphrase; `dory init` makes one
    DORY_ENCRYPTION=none     go without encryption
    DORY_SERVER              this server's name (the host's name)
    DORY_STORE_ENDPOINT      another address for the store than the cloud's own
    DORY_STORE_REGION        the store's region, where it has some
    DORY_HELPER_NETWORK      how helpers reach the store: bridge, host or none
    DORY_PRIVATE_TARGETS=allow
                             let webhooks and pings reach into private networks of this host
    GS_PROJECT_ID, GS_ACCESS_KEY, GS_SECRET_ACCESS_KEY
                             Google Cloud Storage's interoperability keys; with these three,
                             DORY_STORE may be left out and is gs://<GS_PROJECT_ID>-dory
    GOOGLE_APPLICATION_CREDENTIALS
                             the path of a Google service account's key
    AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION
    AZURE_STORAGE_ACCOUNT, AZURE_STORAGE_KEY
    DOCKER_HOST, DOCKER_CERT_PATH, DOCKER_TLS_VERIFY
                             where the container engine listens, as for docker";

/// What holds for every command.
#[derive(Clone, Debug, Args)]
pub struct GlobalArgs {
    /// Where everything is kept: gs://bucket/prefix, s3://…, az://…, or file:///folder
    #[arg(long, global = true, value_name = "URL")]
    pub store: Option<String>,
    /// This server's name
    #[arg(long, global = true, value_name = "NAME")]
    pub server: Option<String>,
    /// Read settings from this file
    #[arg(long, global = true, value_name = "PATH")]
    pub config: Option<PathBuf>,
    /// Print one JSON document instead of words
    #[arg(long, global = true)]
    pub json: bool,
    /// Show no progress, only the outcome
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Log what happens to standard error; twice for more
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Set up the store: make the bucket and the passphrase, write a recovery sheet
    Init(InitArgs),
    /// List this host's containers, their data and their backups
    Containers(ContainersArgs),
    /// Back up containers
    Backup(BackupArgs),
    /// List all backups of all servers
    List(ListArgs),
    /// Show one backup and its restore points
    Show(ShowArgs),
    /// Bring data back
    Restore(RestoreArgs),
    /// List the files in a restore point
    Ls(LsArgs),
    /// Print a file of a restore point
    Cat(CatArgs),
    /// Rename or describe a backup or a restore point, or move a backup to another server
    Edit(Box<EditArgs>),
    /// Delete a backup or a restore point, with its data
    Delete(DeleteArgs),
    /// Delete the restore points that the rules do not keep
    Prune(PruneArgs),
    /// Check that what a backup keeps can be restored
    Verify(VerifyArgs),
    /// Show when backups are due, set that, pause it, or skip a turn
    Schedule(ScheduleArgs),
    /// Show how a backup is made and who says so, or set it
    Policy(Box<PolicyCommandArgs>),
    /// Let the history of a backup whose container is gone go on with another container
    Adopt(AdoptArgs),
    /// Choose containers for `backup --all`
    Mark(MarkArgs),
    /// Take containers out of `backup --all`
    Unmark(MarkArgs),
    /// Serve: back up what has a schedule, prune by the rules, show the fleet that this server lives, serve the web pages
    Serve(ServeArgs),
    /// List the servers that share the store
    Servers,
    /// List what ran and what runs, of all servers
    Runs(RunsArgs),
    /// Print the last lines of a run's log
    Logs(LogsArgs),
    /// List what servers were asked to do with `--on`, and how far that is
    Commands,
    /// Take back a command that its server has not begun
    Withdraw(CommandArgs),
    /// End a server's run, or what a command is doing, in order
    Cancel(CancelArgs),
    /// Show how the fleet is, or send it to those who get reports
    Report(ReportArgs),
    /// Show or change what all servers of the fleet go by: mail, webhooks, pings, prices, defaults
    Settings(SettingsArgs),
    /// Check the settings, the container engine, the store, the key and the helper image
    Doctor,
    /// Print what plain restic or duplicity needs to open a backup's repository
    Key(KeyArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
    /// Work as an engine inside a helper; Dory starts this itself
    #[command(hide = true)]
    Agent,
    /// Bring containers back if Dory dies; Dory starts this itself
    #[command(hide = true)]
    Guard(GuardArgs),
}

/// See [`Command::Init`].
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Write the recovery sheet to this file, which must not exist; for a store that is set up already, write a new one
    /// [default for a new store: dory-recovery.txt]
    #[arg(long, value_name = "PATH")]
    pub sheet: Option<PathBuf>,
    /// Make a lost dory.json anew, with the fleet's id from the recovery sheet and its passphrase
    #[arg(long, value_name = "FLEET")]
    pub fleet: Option<String>,
}

/// See [`Command::Containers`].
#[derive(Debug, Args)]
pub struct ContainersArgs {
    /// Only those that hold data and have no restore point; what a restore kept for its undoing is none
    #[arg(long)]
    pub uncovered: bool,
}

/// See [`Command::Backup`].
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// Containers: names or ids
    #[arg(value_name = "CONTAINER")]
    pub containers: Vec<String>,
    /// Every container marked by its label or with `dory mark`; those that fail keep no other from its backup
    #[arg(long, conflicts_with = "containers")]
    pub all: bool,
    /// Name the restore point
    #[arg(long, value_name = "TEXT")]
    pub name: Option<String>,
    /// Describe the restore point
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
    /// How to quiet the containers: stop and start them, freeze them, or leave them running
    #[arg(long, value_name = "MODE", value_enum)]
    pub stop: Option<StopArg>,
    /// What keeps the data
    #[arg(long, value_name = "ENGINE", value_enum)]
    pub engine: Option<EngineArg>,
    /// An option of the engine, as `name=value`; may be repeated
    #[arg(long = "engine-option", value_name = "NAME=VALUE")]
    pub engine_options: Vec<String>,
    /// Leave out paths, relative to each mount, in gitignore's syntax; may be repeated
    #[arg(long, value_name = "PATTERN")]
    pub exclude: Vec<String>,
    /// Limits of this run.
    #[command(flatten)]
    pub limits: LimitArgs,
    /// Run no hooks this time
    #[arg(long)]
    pub no_hooks: bool,
    /// Take no dump this time
    #[arg(long)]
    pub no_dump: bool,
    /// Begin a new backup although the container looks like that of a known one
    #[arg(long, conflicts_with_all = ["continue_backup", "all"])]
    pub new: bool,
    /// Go on with the history of this backup although only a name ties it to the container
    #[arg(long = "continue", value_name = "BACKUP-ID", conflicts_with = "all")]
    pub continue_backup: Option<String>,
    /// Who brings containers back if Dory dies.
    #[command(flatten)]
    pub guarding: GuardingArgs,
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Who does it.
    #[command(flatten)]
    pub on: OnArgs,
}

/// See [`Command::List`].
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only backups of this server
    #[arg(long = "of", value_name = "SERVER")]
    pub of: Option<String>,
}

/// See [`Command::Show`].
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The backup: its id, its name, or its container's name
    pub backup: String,
}

/// Which restore point.
#[derive(Debug, Args)]
pub struct PointArg {
    /// The restore point: its name, its id (or its end), a time (the newest point that is not younger), or `latest`
    ///
    /// Times are written `2026-11-23` (the day's end), `2026-11-23 18:07`, `2026-11-23T18:07:33`, `18:07` (its last
    /// occurrence), `2h` or `3 days ago`. Without a zone (`Z`, `UTC`, `+02:00`, `[Europe/Berlin]`) they are UTC, as all
    /// times that Dory prints.
    #[arg(long, value_name = "POINT", default_value = "latest")]
    pub at: String,
}

/// See [`Command::Restore`].
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// The backup: its id, its name, or its container's name
    pub backup: String,
    /// Which point.
    #[command(flatten)]
    pub point: PointArg,
    /// Restore into this container instead of the backup's own
    #[arg(long, value_name = "CONTAINER")]
    pub into: Option<String>,
    /// Restore a mount elsewhere: `/destination=/other/destination`, `/destination=volume`, or `/destination=none`
    #[arg(long = "map", value_name = "FROM=TO")]
    pub maps: Vec<String>,
    /// Load this dump of the point into the running container instead; without a name, the only one
    #[arg(long, value_name = "NAME", num_args = 0..=1, conflicts_with_all = ["maps", "delete_extra"])]
    pub dump: Option<Option<String>>,
    /// Do not keep what is there now in a safety point first
    #[arg(long)]
    pub no_safety: bool,
    /// Remove files that the point does not hold from bind mounts too; from volumes they are always removed
    #[arg(long)]
    pub delete_extra: bool,
    /// Who brings containers back if Dory dies.
    #[command(flatten)]
    pub guarding: GuardingArgs,
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
    /// Who does it.
    #[command(flatten)]
    pub on: OnArgs,
}

/// See [`Command::Ls`].
#[derive(Debug, Args)]
pub struct LsArgs {
    /// The backup: its id, its name, or its container's name
    pub backup: String,
    /// A folder as the container sees it; `/` lists the mounts and dumps
    #[arg(default_value = "/")]
    pub path: String,
    /// Which point.
    #[command(flatten)]
    pub point: PointArg,
    /// Go into folders
    #[arg(long, short)]
    pub recursive: bool,
}

/// See [`Command::Cat`].
#[derive(Debug, Args)]
pub struct CatArgs {
    /// The backup: its id, its name, or its container's name
    pub backup: String,
    /// A file as the container sees it, or a dump: `dumps/postgres.sql`
    pub path: String,
    /// Which point.
    #[command(flatten)]
    pub point: PointArg,
}

/// See [`Command::Edit`].
#[derive(Debug, Args)]
pub struct EditArgs {
    /// The backup: its id, its name, or its container's name
    pub backup: String,
    /// Change this restore point instead of the backup: its name, its id (or its end), a time, or `latest`
    #[arg(long, value_name = "POINT")]
    pub at: Option<String>,
    /// The new name; of a point, an empty one removes it
    #[arg(long, value_name = "TEXT")]
    pub name: Option<String>,
    /// The new description; an empty one removes it
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
    /// Move the backup to this server
    #[arg(long, value_name = "SERVER", conflicts_with = "at")]
    pub to_server: Option<String>,
    /// Set a key of your own, as `key=value`; `key=` removes it; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", conflicts_with = "at")]
    pub metadata: Vec<String>,
    /// Let no rule remove the point of `--at`
    #[arg(long, requires = "at", conflicts_with = "unprotect")]
    pub protect: bool,
    /// Let the rules decide about the point of `--at` again
    #[arg(long, requires = "at")]
    pub unprotect: bool,
    /// Say that suspect points are as they should be: the one of `--at`, or all, and half-restored data with them
    #[arg(long)]
    pub clear_suspect: bool,
    /// How it is made from now on.
    #[command(flatten)]
    pub policy: PolicyArgs,
}

/// See [`Command::Delete`].
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// The backup: its id, its name, or its container's name
    pub backup: String,
    /// Delete this restore point instead of the whole backup: its name, its id (or its end), a time, or `latest`
    #[arg(long, value_name = "POINT")]
    pub at: Option<String>,
    /// Show what would go, and delete nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
    /// Who does it.
    #[command(flatten)]
    pub on: OnArgs,
}

/// See [`Command::Mark`].
#[derive(Debug, Args)]
pub struct MarkArgs {
    /// Containers: names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    pub containers: Vec<String>,
    /// Who does it.
    #[command(flatten)]
    pub on: OnArgs,
}

/// See [`Command::Key`].
#[derive(Debug, Args)]
pub struct KeyArgs {
    /// The backup: its id, its name, or its container's name
    pub backup: String,
}

/// See [`Command::Guard`].
#[derive(Debug, Args)]
pub struct GuardArgs {
    /// The run to guard
    pub run: String,
}

/// Who brings containers back if Dory dies.
#[derive(Debug, Args)]
pub struct GuardingArgs {
    /// Run no guardian, the second helper that starts containers again if Dory dies
    #[arg(long)]
    pub no_guardian: bool,
    /// Let the guardian end the run when containers stood still for so long: `90s`, `30m`, `2h`
    #[arg(long, value_name = "TIME", value_parser = stop_limit, conflicts_with = "no_guardian", default_value = "24h")]
    pub stop_limit: Duration,
}

impl From<&GuardingArgs> for Guarding {
    fn from(args: &GuardingArgs) -> Self {
        if args.no_guardian { Self::Off } else { Self::On { stop_limit: args.stop_limit } }
    }
}

fn stop_limit(text: &str) -> Result<Duration, String> {
    let limit: jiff::SignedDuration = text.parse().map_err(|_| "write it as `90s`, `30m` or `2h`".to_owned())?;
    match Duration::try_from(limit) {
        Ok(limit) if limit >= Duration::from_secs(1) => Ok(limit),
        _ => Err("a second is the least".to_owned()),
    }
}

/// See [`Command::Completions`].
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// How containers are quieted.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum StopArg {
    /// Stop them and start them again
    Stop,
    /// Freeze them and thaw them
    Pause,
    /// Leave them running
    None,
}

/// What keeps the data.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum EngineArg {
    /// restic's repository format
    Restic,
    /// The duplicity program
    Duplicity,
}

impl From<StopArg> for dory_core::domain::policy::StopMode {
    fn from(mode: StopArg) -> Self {
        match mode {
            StopArg::Stop => Self::Stop,
            StopArg::Pause => Self::Pause,
            StopArg::None => Self::None,
        }
    }
}

impl From<EngineArg> for dory_core::domain::policy::EngineKind {
    fn from(engine: EngineArg) -> Self {
        match engine {
            EngineArg::Restic => Self::Restic,
            EngineArg::Duplicity => Self::Duplicity,
        }
    }
}

//! What every run of duplicity on one repository has in common.

use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use super::child::{Ended, run_duplicity};
use super::command::{Invocation, RunFolder};
use super::exit::{Failure, Phase};
use super::log::Record;
use super::names::SetTime;
use super::options::CustomOptions;
use super::settings::DuplicitySettings;
use super::target::Target;
use crate::domain::secret::Secret;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::RepositorySpec;

/// One repository as this machine reaches it.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) settings: DuplicitySettings,
    pub(super) target: Target,
    pub(super) options: CustomOptions,
    pub(super) password: Option<Secret>,
    /// The repository, for messages.
    pub(super) location: String,
    /// Names the cache. duplicity removes from a cache what it does not find at its target, so it must be that
    /// repository's own.
    cache_name: String,
    /// Held by whatever uses the cache: duplicity refuses to share it.
    pub(super) cache: Arc<Mutex<()>>,
    program: PathBuf,
    rclone: Option<PathBuf>,
}

/// Which metadata a run works with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cache {
    /// What was fetched before, brought up to date.
    Kept,
    /// None: all that is needed is fetched, and decrypted, which proves the key.
    Fresh,
}

/// How a run of duplicity went, short of what keeps it from running at all.
#[derive(Debug)]
pub(super) enum Outcome {
    Done,
    /// The watcher broke it off.
    Stopped,
    Failed(Failure),
}

impl Session {
    /// Names the cache of a repository.
    pub(super) fn cache_name(spec: &RepositorySpec) -> String {
        let endpoint = spec.store.endpoint.as_deref().unwrap_or_default();
        let hash = Sha256::digest(format!("{}\n{}\n{endpoint}", spec.store.url, spec.path));
        HEXLOWER.encode(&hash[..12])
    }

    /// # Errors
    /// `Unsupported` where a program is missing or the store is out of duplicity's reach; `InvalidInput` for options.
    pub(super) fn new(settings: &DuplicitySettings, spec: &RepositorySpec, cache: Arc<Mutex<()>>) -> Result<Self> {
        let program = settings.find_program()?;
        let options = CustomOptions::parse(&spec.options)?;
        let target = Target::new(&spec.store, &spec.path)?;
        if spec.password.as_ref().is_some_and(Secret::is_empty) {
            return Err(Error::invalid("key", "(nothing)", "gpg takes no empty one")
                .with_hint("set DORY_PASSPHRASE, or DORY_ENCRYPTION=none"));
        }
        let rclone = settings.find_rclone();
        let rclone = if target.through_rclone { Some(rclone?) } else { rclone.ok() };
        Ok(Self {
            settings: settings.clone(),
            target,
            options,
            password: spec.password.clone(),
            location: format!("{}/{}", spec.store.url, spec.path),
            cache_name: Self::cache_name(spec),
            cache,
            program,
            rclone,
        })
    }

    /// A folder for one run.
    pub(super) async fn run_folder(&self) -> Result<RunFolder> {
        let scratch = self.settings.scratch.clone();
        blocking(move || RunFolder::new(&scratch)).await
    }

    /// The folder of the cache that is kept.
    pub(super) fn cache_folder(&self) -> PathBuf {
        self.settings.scratch.join("archive").join(&self.cache_name)
    }

    /// A run of `verb`, without what comes last on the line: folders and the address.
    pub(super) fn invocation(&self, run: &RunFolder, verb: &str, cache: Cache, phase: Phase) -> Invocation {
        let mut invocation = Invocation::duplicity(self.program.clone(), run, verb);
        match cache {
            Cache::Kept => {
                invocation.option("--archive-dir", self.settings.scratch.join("archive"));
                invocation.option("--name", &self.cache_name);
            }
            Cache::Fresh => {
                invocation.option("--archive-dir", run.join("archive")).option("--name", "fresh");
            }
        }
        // Nobody waits minutes to hear that a store cannot be reached.
        let (retries, delay) = if phase == Phase::Opening { ("2", "1") } else { ("5", "5") };
        if !self.options.sets("num-retries") {
            invocation.option("--num-retries", retries);
        }
        if !self.options.sets("backend-retry-delay") {
            invocation.option("--backend-retry-delay", delay);
        }
        match &self.password {
            Some(password) => invocation.secrets.push(("PASSPHRASE".to_owned(), password.clone())),
            None => {
                invocation.argument("--no-encryption");
            }
        }
        invocation.arguments.extend(self.options.common_arguments());
        invocation.arguments.extend(self.target.arguments.iter().cloned());
        invocation.secrets.extend(self.target.environment.iter().cloned());
        if let Some(rclone) = &self.rclone {
            invocation.let_find(rclone);
        }
        invocation
    }

    /// A run of rclone on the repository's store.
    ///
    /// # Errors
    /// `Unsupported` without rclone.
    pub(super) fn rclone(&self, run: &RunFolder, verb: &str) -> Result<Invocation> {
        let program = match &self.rclone {
            Some(program) => program.clone(),
            None => self.settings.find_rclone()?,
        };
        let mut invocation = Invocation::new(program, run);
        invocation.argument(verb);
        invocation.secrets.extend(self.target.environment.iter().cloned());
        Ok(invocation)
    }

    /// Runs duplicity, and shows `watch` its log.
    pub(super) async fn run(
        &self,
        invocation: &Invocation,
        mut watch: impl FnMut(&Record) -> ControlFlow<()> + Send,
    ) -> Result<Outcome> {
        tracing::debug!(arguments = invocation.shown(), "running duplicity");
        let mut errors = Vec::new();
        let ended = run_duplicity(invocation, |record| {
            Failure::note(&mut errors, record);
            watch(record)
        })
        .await?;
        Ok(match ended {
            Ended::Stopped => Outcome::Stopped,
            Ended::Exited { status, .. } if status.success() => Outcome::Done,
            Ended::Exited { status, noise } => Outcome::Failed(Failure { status, errors, noise }),
        })
    }

    /// Like [`Session::run`]; a failure is an error of `operation` on the repository.
    pub(super) async fn must_run(
        &self,
        invocation: &Invocation,
        operation: &str,
        phase: Phase,
        watch: impl FnMut(&Record) -> ControlFlow<()> + Send,
    ) -> Result<()> {
        match self.run(invocation, watch).await? {
            Outcome::Done | Outcome::Stopped => Ok(()),
            Outcome::Failed(failure) => Err(failure.into_error(operation, &self.location, phase)),
        }
    }

    /// Waits until the clock is in a later second than `time`; duplicity tells times in seconds, and names sets by them.
    ///
    /// # Errors
    /// `Conflict` where that is more than a few seconds ahead: this machine's clock is behind, and a new set would not
    /// be the newest.
    pub(super) async fn wait_past(&self, time: &SetTime) -> Result<()> {
        let next = time.to_timestamp() + Duration::from_secs(1) + CLOCK_STEP;
        loop {
            let now: Timestamp = self.settings.clock.now();
            let left = next.duration_since(now);
            if left <= jiff::SignedDuration::ZERO {
                return Ok(());
            }
            if left > jiff::SignedDuration::from_secs(5) {
                let reason = format!("its newest snapshot is from {time}, which is ahead of this machine's clock");
                return Err(Error::new(ErrorKind::Conflict, "back up into", &self.location, reason)
                    .with_hint("set this machine's clock"));
            }
            self.settings.clock.sleep(left.unsigned_abs()).await;
        }
    }
}

/// File systems stamp files with a clock that lags behind by up to this much.
const CLOCK_STEP: Duration = Duration::from_millis(20);

/// Runs `work` where blocking harms nobody.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(Error::new(ErrorKind::Internal, "work on files", "", "the work broke off").with_source(error))
    })
}

/// Creates the folder that holds caches and run folders, for this user alone.
pub(super) async fn prepare_scratch(settings: &DuplicitySettings) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let scratch = settings.scratch.clone();
    blocking(move || {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(scratch.join("archive")).map_err(|error| {
            let path = scratch.display().to_string();
            Error::new(ErrorKind::PermissionDenied, "make scratch folder", path, "it cannot be made").with_source(error)
        })
    })
    .await
}

//! Running the user's commands around a backup, with everything up.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::Dory;
use super::backup::Planned;
use super::backup_request::BackupReport;
use super::cancel::Cancel;
use super::hook_command::{Ended, Pipes, Task, words};
use super::run_events::{RunEvent, RunEvents};
use super::run_record::RunStart;
use crate::domain::hook::{Hook, HookMoment, OnError};
use crate::domain::id::{ContainerId, ContainerName};
use crate::error::{Error, ErrorKind, Result};

/// How one hook went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookReport {
    /// When it ran.
    pub moment: HookMoment,
    /// In which container.
    pub container: ContainerName,
    /// What was to run, as people write it.
    pub command: String,
    /// What came of it.
    pub outcome: HookOutcome,
    /// How long it took.
    pub elapsed: SignedDuration,
    /// The last of what it said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub said: String,
}

/// What came of a hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum HookOutcome {
    /// It ended well.
    Succeeded,
    /// It ended otherwise.
    Failed {
        /// Its exit code.
        code: i64,
    },
    /// It took longer than it may.
    TimedOut {
        /// Whether its processes were ended; if not, they may still run.
        ended: bool,
    },
    /// It could not be run, or nobody knows how it ended.
    Broken {
        /// Why.
        reason: String,
    },
    /// It was not run.
    Skipped {
        /// Why.
        reason: String,
    },
}

impl HookReport {
    /// Whether it was to run, and did not run well.
    #[must_use]
    pub fn is_bad(&self) -> bool {
        !matches!(self.outcome, HookOutcome::Succeeded | HookOutcome::Skipped { .. })
    }

    /// One line about it, without what it said.
    #[must_use]
    pub fn line(&self) -> String {
        let Self { moment, container, .. } = self;
        let what = match &self.outcome {
            HookOutcome::Succeeded => "ended well".to_owned(),
            HookOutcome::Failed { code } => format!("ended with code {code}"),
            HookOutcome::TimedOut { ended: true } => "took too long and was ended".to_owned(),
            HookOutcome::TimedOut { ended: false } => {
                "took too long, and could not be ended: it may still run in the container".to_owned()
            }
            HookOutcome::Broken { reason } => format!("could not be run to its end: {reason}"),
            HookOutcome::Skipped { reason } => format!("was skipped: {reason}"),
        };
        format!("{moment}-hook in {container} {what}")
    }

    fn to_error(&self) -> Error {
        let error =
            Error::new(ErrorKind::HookFailed, format!("run {}-hook in", self.moment), self.container.as_str(), {
                let line = self.line();
                line.split_once(&format!("in {} ", self.container))
                    .map_or(line.clone(), |(_, what)| format!("it {what}"))
            })
            .with_hint(format!(
                "`docker exec {} …` tries it; `--no-hooks` goes without, `dory.{}.on-error=continue` past it",
                self.container, self.moment
            ));
        if self.said.is_empty() { error } else { error.with_source(self.said.clone()) }
    }
}

/// The hooks of one run.
pub(super) struct HookRun<'a> {
    dory: &'a Dory,
    planned: &'a Planned,
    run: &'a RunStart,
    events: &'a RunEvents,
    /// Whether the pre-hook was begun: what it did may need its counterpart.
    begun: bool,
    reports: Vec<HookReport>,
}

impl Dory {
    pub(super) fn hooks<'a>(&'a self, planned: &'a Planned, run: &'a RunStart, events: &'a RunEvents) -> HookRun<'a> {
        HookRun { dory: self, planned, run, events, begun: false, reports: Vec::new() }
    }
}

impl HookRun<'_> {
    /// Runs what comes before.
    ///
    /// # Errors
    /// `HookFailed` with the command's last words, unless it was to go on; `Cancelled`, with the command ended.
    pub(super) async fn before(&mut self, cancel: &Cancel) -> Result<()> {
        let Some(hook) = &self.planned.plan.policy.hooks.pre else { return Ok(()) };
        let report = self.run_hook(HookMoment::Pre, hook, "", cancel).await?;
        let failed = report.is_bad().then(|| report.to_error());
        self.keep(report);
        // What was begun and then ended by the user is not ended well, but it is not the hook that failed.
        cancel.or(async { Ok(()) }).await?;
        match failed {
            Some(error) if hook.on_error == OnError::Fail => Err(error),
            _ => Ok(()),
        }
    }

    /// Runs what comes after a run that gave `result`: if it went well, or if what comes before was begun. Nobody can
    /// cancel that, for it may put back what the other one changed.
    pub(super) async fn after(mut self, result: Result<BackupReport>) -> Result<BackupReport> {
        let mut failed = None;
        let hook = self.planned.plan.policy.hooks.post.as_ref().filter(|_| result.is_ok() || self.begun);
        if let Some(hook) = hook {
            let outcome = if result.is_ok() { "succeeded" } else { "failed" };
            match self.run_hook(HookMoment::Post, hook, outcome, &Cancel::new()).await {
                Ok(report) => {
                    failed = (report.is_bad() && hook.on_error == OnError::Fail).then(|| report.to_error());
                    self.keep(report);
                }
                Err(error) => failed = Some(error),
            }
        }
        result.map(|report| BackupReport { hooks: self.reports, hook_failed: failed, ..report })
    }

    fn keep(&mut self, report: HookReport) {
        self.events.send(RunEvent::HookEnded(report.clone()));
        self.reports.push(report);
    }

    async fn run_hook(
        &mut self,
        moment: HookMoment,
        hook: &Hook,
        outcome: &str,
        cancel: &Cancel,
    ) -> Result<HookReport> {
        let container = self.planned.plan.container.clone();
        let started = self.dory.clock.monotonic();
        let (outcome, said) = match self.dory.running(&self.planned.container).await {
            Err(reason) => (HookOutcome::Skipped { reason }, String::new()),
            Ok(id) => {
                self.begun |= moment == HookMoment::Pre;
                let command = hook.command.to_string();
                self.events.send(RunEvent::HookStarted { moment, container: container.clone(), command });
                self.execute(moment, hook, &id, outcome, cancel).await?
            }
        };
        let elapsed = self.dory.clock.monotonic().saturating_sub(started);
        let elapsed = SignedDuration::try_from(elapsed).unwrap_or(SignedDuration::MAX);
        Ok(HookReport { moment, container, command: hook.command.to_string(), outcome, elapsed, said })
    }

    async fn execute(
        &self,
        moment: HookMoment,
        hook: &Hook,
        container: &ContainerId,
        outcome: &str,
        cancel: &Cancel,
    ) -> Result<(HookOutcome, String)> {
        let run = self.run.id.to_string();
        let environment = [
            ("DORY_HOOK_MOMENT", moment.as_str()),
            ("DORY_BACKUP", self.planned.plan.backup.as_str()),
            ("DORY_RUN", run.as_str()),
            ("DORY_RUN_OUTCOME", outcome),
        ];
        let task = Task { command: &hook.command, user: hook.user.as_ref(), environment: &environment };
        let process = match self.dory.start_command(container, task, Pipes::default()).await {
            Ok(process) => process,
            Err(error) => return Ok((HookOutcome::Broken { reason: words(&error) }, String::new())),
        };
        let (ended, said) = process.run(hook.timeout.get(), cancel).await;
        let outcome = match ended {
            Ended::ByItself(Ok(0)) => HookOutcome::Succeeded,
            Ended::ByItself(Ok(code)) => HookOutcome::Failed { code },
            Ended::ByItself(Err(error)) => HookOutcome::Broken { reason: words(&error) },
            Ended::TooLate { ended } => HookOutcome::TimedOut { ended },
            Ended::Cancelled { ended } => {
                let left = if ended { "and it was ended" } else { "and it may still run in the container" };
                HookOutcome::Broken { reason: format!("the run was cancelled, {left}") }
            }
        };
        Ok((outcome, said))
    }
}

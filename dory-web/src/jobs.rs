//! What takes time runs here, whoever looks on or goes away.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use dory_core::domain::event::Progress;
use dory_core::domain::id::{BackupId, CommandId, PointId};
use dory_core::services::{Cancel, Dory, RestoreChoice, RunEvent, RunEvents};
use dory_core::{Error, ErrorKind, ErrorRecord, Result};
use jiff::Timestamp;
use tokio::sync::watch;

use crate::text;

/// How many that are over are remembered.
const REMEMBERED: usize = 200;

/// How many lines of a log are kept: the last ones.
const LINES: usize = 300;

/// How many may be under way.
const AT_ONCE: usize = 16;

/// What was begun here.
#[derive(Debug)]
pub(crate) struct Jobs {
    dory: Dory,
    all: Mutex<BTreeMap<CommandId, Arc<Job>>>,
}

/// One thing that was begun here.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) id: CommandId,
    /// What it does, in words: `back up db`.
    pub(crate) what: String,
    /// Who asked for it.
    pub(crate) by: String,
    /// What it works on.
    pub(crate) backup: Option<BackupId>,
    pub(crate) started_at: Timestamp,
    pub(crate) cancel: Cancel,
    pub(crate) state: watch::Sender<JobState>,
}

/// How far a job is.
#[derive(Clone, Debug, Default)]
pub(crate) struct JobState {
    /// The part of the run it is in.
    pub(crate) phase: Option<&'static str>,
    pub(crate) progress: Option<Progress>,
    pub(crate) log: Vec<(Timestamp, String)>,
    pub(crate) over: Option<JobEnd>,
}

/// How a job went.
#[derive(Clone, Debug)]
pub(crate) struct JobEnd {
    pub(crate) at: Timestamp,
    pub(crate) done: Done,
    pub(crate) error: Option<ErrorRecord>,
}

/// What a job did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Done {
    /// In a line.
    pub(crate) words: String,
    /// The backup it made a point of, or restored into.
    pub(crate) backup: Option<BackupId>,
    /// The point it made or restored.
    pub(crate) point: Option<PointId>,
    /// What brings back what was there before.
    pub(crate) undo: Option<RestoreChoice>,
    /// What went wrong although it was done.
    pub(crate) but: Option<ErrorRecord>,
}

impl Jobs {
    pub(crate) fn new(dory: Dory) -> Self {
        Self { dory, all: Mutex::default() }
    }

    /// Begins something, and gives its id at once.
    pub(crate) fn start<F, R>(&self, what: String, by: String, backup: Option<BackupId>, run: F) -> Result<CommandId>
    where
        F: FnOnce(Cancel, RunEvents) -> R,
        R: Future<Output = Result<Done>> + Send + 'static,
    {
        let started_at = self.dory.now();
        let id = CommandId::new(started_at, noise()?);
        let (cancel, state) = (Cancel::new(), watch::Sender::new(JobState::default()));
        let job = Arc::new(Job { id, what, by, backup, started_at, cancel: cancel.clone(), state });
        {
            let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
            if all.values().filter(|job| job.is_under_way()).count() >= AT_ONCE {
                let reason = format!("{AT_ONCE} others are under way");
                return Err(
                    Error::new(ErrorKind::Conflict, "begin", &job.what, reason).with_hint("wait for one to end")
                );
            }
            all.insert(id, Arc::clone(&job));
            while all.len() > REMEMBERED
                && let Some(oldest) = all.values().find(|job| !job.is_under_way()).map(|job| job.id)
            {
                all.remove(&oldest);
            }
        }
        let told = Arc::downgrade(&job);
        let dory = self.dory.clone();
        let events = RunEvents::new(move |event| {
            if let Some(job) = told.upgrade() {
                job.note(dory.now(), &event);
            }
        });
        let (work, dory) = (run(cancel, events), self.dory.clone());
        tokio::spawn(async move {
            // A defect in it must not leave the job under way for ever.
            let ended = tokio::spawn(work).await;
            let ended = ended.unwrap_or_else(|error| {
                Err(Error::new(ErrorKind::Internal, "go on", "", "a defect in Dory ended it").with_source(error))
            });
            let at = dory.now();
            let end = match ended {
                Ok(done) => JobEnd { at, error: done.but.clone(), done },
                Err(error) => JobEnd { at, done: Done::default(), error: Some(error.to_record()) },
            };
            job.state.send_modify(|state| state.over = Some(end));
        });
        Ok(id)
    }

    pub(crate) fn find(&self, id: CommandId) -> Option<Arc<Job>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// All that are remembered, the newest first.
    pub(crate) fn all(&self) -> Vec<Arc<Job>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).values().rev().cloned().collect()
    }

    /// Ends what is under way, in order, and waits for it.
    pub(crate) async fn end(&self) {
        let all = self.all();
        all.iter().for_each(|job| job.cancel.cancel());
        for job in all {
            // The sender lives in the job itself.
            let _ = job.state.subscribe().wait_for(|state| state.over.is_some()).await;
        }
    }
}

impl Job {
    pub(crate) fn is_under_way(&self) -> bool {
        self.state.borrow().over.is_none()
    }

    fn note(&self, now: Timestamp, event: &RunEvent) {
        let line = words(event);
        self.state.send_modify(|state| {
            match event {
                RunEvent::Phase { phase } => {
                    state.phase = Some(phase.as_str());
                    state.progress = None;
                }
                RunEvent::Progress(progress) => state.progress = Some(*progress),
                _ => {}
            }
            if let Some(line) = line {
                if state.log.len() >= LINES {
                    state.log.remove(0);
                }
                state.log.push((now, line));
            }
        });
    }
}

/// A line about an event; `None` for what changes too little.
fn words(event: &RunEvent) -> Option<String> {
    Some(match event {
        RunEvent::Phase { phase } => phase.as_str().to_owned(),
        RunEvent::Founded { store } => format!("set up the store {store}"),
        RunEvent::Quieting { container, mode } => format!("{container}: {mode}"),
        RunEvent::Resumed { container } => format!("{container} runs again"),
        RunEvent::NotStarted { container, error } => format!("{container} was not started: {}", error.reason),
        RunEvent::StartedAnyway { container, needed, error } => {
            format!("{container} is started although {needed} is not as it should be: {}", error.reason)
        }
        RunEvent::HookStarted { container, command, .. } => format!("{container}: running `{command}`"),
        RunEvent::HookEnded(report) => format!("{}: `{}` ended", report.container, report.command),
        RunEvent::DumpStarted { container, name, .. } => format!("{container}: dumping {name}"),
        RunEvent::DumpTaken(dump) => format!("dumped {}, {}", dump.name, text::bytes(dump.bytes)),
        RunEvent::Mount { mount, state } => format!("{} {}", mount.display(), state.as_str()),
        RunEvent::Warning(warning) => format!("{} {}: {}", warning.path, warning.kind.as_str(), warning.detail),
        RunEvent::Progress(_) => return None,
    })
}

fn noise() -> Result<u128> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        Error::new(ErrorKind::Internal, "make an id", "", "the system has no randomness").with_source(error)
    })?;
    Ok(u128::from_le_bytes(bytes))
}

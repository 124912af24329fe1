//! What a run's record tells of its course: its events, a line each.

use std::sync::{Arc, Mutex, PoisonError};

use super::run_events::{RunEvent, RunEvents};
use crate::domain::policy::StopMode;

/// How many lines a run's record keeps: the last ones.
const LINES_KEPT: usize = 200;

/// Lines about a run. Clones write into one.
#[derive(Clone, Debug, Default)]
pub(super) struct RunLog(Arc<Mutex<Vec<String>>>);

impl RunLog {
    /// Adds a line.
    pub(super) fn note(&self, line: impl Into<String>) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(line.into());
        let surplus = lines.len().saturating_sub(LINES_KEPT);
        lines.drain(..surplus);
    }

    /// Passes events on to `events` and keeps a line about each.
    pub(super) fn listening(&self, events: &RunEvents) -> RunEvents {
        let (log, events) = (self.clone(), events.clone());
        RunEvents::new(move |event| {
            lines_of(&event).into_iter().for_each(|line| log.note(line));
            events.send(event);
        })
    }

    /// What was kept.
    pub(super) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What a run's log tells of an event.
pub(crate) fn lines_of(event: &RunEvent) -> Vec<String> {
    let line = match event {
        RunEvent::Phase { phase } => phase.as_str().to_owned(),
        RunEvent::Founded { store } => format!("{store} held nothing and was set up"),
        RunEvent::Quieting { mode: StopMode::None, .. } | RunEvent::Progress(_) | RunEvent::Began { .. } => {
            return Vec::new();
        }
        RunEvent::Quieting { container, mode: StopMode::Stop } => format!("stopping {container}"),
        RunEvent::Quieting { container, mode: StopMode::Pause } => format!("pausing {container}"),
        RunEvent::Resumed { container } => format!("{container} runs again"),
        RunEvent::NotStarted { container, error } => {
            format!("{container} could not be started again: {}", error.reason)
        }
        RunEvent::StartedAnyway { container, needed, error } => {
            format!("{container} starts although {needed} is not ready: {}", error.reason)
        }
        RunEvent::HookStarted { moment, container, command } => format!("{moment}-hook in {container}: {command}"),
        RunEvent::HookEnded(report) => {
            return [report.line()].into_iter().chain(report.said.lines().map(|line| format!("    {line}"))).collect();
        }
        RunEvent::DumpStarted { container, name, how } => format!("dumping {container} to {name}: {how}"),
        RunEvent::DumpTaken(dump) => format!("{} holds {} bytes", dump.name, dump.bytes),
        RunEvent::Mount { mount, state } => format!("{} {}", mount.display(), state.as_str()),
        RunEvent::Warning(warning) => format!("{} {}: {}", warning.path, warning.kind.as_str(), warning.detail),
    };
    vec![line]
}

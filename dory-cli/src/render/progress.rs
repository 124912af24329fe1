//! What a run tells while it goes: a bar on a terminal, plain lines elsewhere.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dory_core::domain::event::Progress;
use dory_core::domain::policy::StopMode;
use dory_core::services::{RunEvent, RunEvents};
use indicatif::{ProgressBar, ProgressStyle};

use super::units;
use crate::ui::Ui;

/// How often plain lines tell progress.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// How many warnings are told while they happen; the outcome counts the rest.
const WARNINGS_TOLD: usize = 10;

/// Shows one run. The bar goes when this is dropped.
pub(crate) struct RunProgress {
    bar: ProgressBar,
    ui: Ui,
    state: Mutex<State>,
}

struct State {
    phase: &'static str,
    last_line: Instant,
    warnings: usize,
}

impl RunProgress {
    /// Shows a run about `subject`, and gives what the run sends its events to.
    pub(crate) fn start(ui: &Ui, subject: &str) -> (Arc<Self>, RunEvents) {
        let bar = if ui.draws() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix}: {msg}") {
            bar.set_style(style);
        }
        bar.set_prefix(subject.to_owned());
        bar.enable_steady_tick(Duration::from_millis(120));
        let state = State { phase: "", last_line: Instant::now(), warnings: 0 };
        let progress = Arc::new(Self { bar, ui: ui.clone(), state: Mutex::new(state) });
        let sink = Arc::clone(&progress);
        (progress, RunEvents::new(move |event| sink.show(event)))
    }

    fn show(&self, event: RunEvent) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            RunEvent::Phase { phase } => {
                state.phase = phase.as_str();
                self.bar.set_message(state.phase);
            }
            RunEvent::Quieting { container, mode: StopMode::Stop } => self.line(&format!("stopping {container}")),
            RunEvent::Quieting { container, mode: StopMode::Pause } => self.line(&format!("pausing {container}")),
            RunEvent::Quieting { .. } => {}
            RunEvent::Resumed { container } => self.line(&format!("{container} runs again")),
            RunEvent::NotStarted { container, .. } => {
                self.bar.suspend(|| self.ui.warn(&format!("{container} could not be started again")));
            }
            RunEvent::Progress(progress) => {
                let text = format!("{} {}", state.phase, describe(&progress));
                if self.bar.is_hidden() && state.last_line.elapsed() >= LINE_EVERY {
                    state.last_line = Instant::now();
                    self.ui.say(&text);
                }
                self.bar.set_message(text);
            }
            RunEvent::Warning(warning) => {
                state.warnings += 1;
                if state.warnings <= WARNINGS_TOLD {
                    let line = format!("{} {}: {}", warning.path, warning.kind.as_str(), warning.detail);
                    self.bar.suspend(|| self.ui.warn(&line));
                }
            }
        }
    }

    fn line(&self, line: &str) {
        self.bar.suspend(|| self.ui.say(line));
    }
}

impl Drop for RunProgress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn describe(progress: &Progress) -> String {
    let bytes = units::bytes(progress.bytes);
    let files = progress.files;
    match progress.bytes_total {
        Some(total) if total > 0 => {
            let percent = progress.bytes.saturating_mul(100) / total;
            format!("{percent} %, {bytes} of {}, {files} files", units::bytes(total))
        }
        _ => format!("{bytes}, {files} files"),
    }
}

//! What a run tells while it goes: a bar on a terminal, plain lines elsewhere.

use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use dory_core::domain::event::Progress;
use dory_core::domain::policy::StopMode;
use dory_core::services::{HookOutcome, HookReport, RunEvent, RunEvents};
use indicatif::{ProgressBar, ProgressStyle};

use super::units;
use crate::ui::Ui;

/// How often plain lines tell progress.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// How many warnings are told while they happen; the outcome counts the rest.
const WARNINGS_TOLD: usize = 10;

/// How many events may wait for a terminal that does not take them; what comes then is not shown.
const WAITING: usize = 1000;

/// How long the end of a run waits for a terminal to show the last events.
const PATIENCE: Duration = Duration::from_secs(1);

/// Shows one run, on a thread of its own: a terminal that stands still (Ctrl-S, a stalled connection) must not hold the
/// run, and with it containers that wait to be started. The bar goes when this is dropped.
pub(crate) struct RunProgress {
    ended: Receiver<()>,
}

struct Screen {
    bar: ProgressBar,
    ui: Ui,
    state: State,
}

struct State {
    phase: &'static str,
    last_line: Instant,
    warnings: usize,
}

impl RunProgress {
    /// Shows a run about `subject`, and gives what the run sends its events to.
    pub(crate) fn start(ui: &Ui, subject: &str) -> (Self, RunEvents) {
        let mut screen = Screen::new(ui, subject);
        let (sender, events) = mpsc::sync_channel(WAITING);
        let (end, ended) = mpsc::channel();
        thread::spawn(move || {
            events.into_iter().for_each(|event| screen.show(event));
            drop(screen);
            let _ = end.send(());
        });
        let sink = move |event| {
            // Full or gone: nobody looks.
            let _ = sender.try_send(event);
        };
        (Self { ended }, RunEvents::new(sink))
    }
}

impl Drop for RunProgress {
    fn drop(&mut self) {
        let _ = self.ended.recv_timeout(PATIENCE);
    }
}

impl Screen {
    fn new(ui: &Ui, subject: &str) -> Self {
        let bar = if ui.draws() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix}: {msg}") {
            bar.set_style(style);
        }
        bar.set_prefix(subject.to_owned());
        bar.enable_steady_tick(Duration::from_millis(120));
        let state = State { phase: "", last_line: Instant::now(), warnings: 0 };
        Self { bar, ui: ui.clone(), state }
    }

    fn show(&mut self, event: RunEvent) {
        match event {
            RunEvent::Phase { phase } => {
                self.state.phase = phase.as_str();
                self.bar.set_message(self.state.phase);
            }
            RunEvent::Founded { store } => {
                let line = format!("{store} held nothing, and is set up as a new store now");
                self.bar.suspend(|| self.ui.warn(&line));
            }
            RunEvent::Quieting { container, mode: StopMode::Stop } => self.line(&format!("stopping {container}")),
            RunEvent::Quieting { container, mode: StopMode::Pause } => self.line(&format!("pausing {container}")),
            RunEvent::Quieting { .. } | RunEvent::Began { .. } => {}
            RunEvent::Resumed { container } => self.line(&format!("{container} runs again")),
            RunEvent::NotStarted { container, .. } => {
                self.warning(&format!("{container} could not be started again"));
            }
            RunEvent::StartedAnyway { container, needed, error } => self.warning(&format!(
                "{container} is started although {needed}, which it needs, is not ready: {}",
                error.reason
            )),
            RunEvent::HookStarted { moment, container, command } => {
                self.line(&format!("{moment}-hook in {container}: {command}"));
            }
            RunEvent::HookEnded(report) => self.hook_ended(&report),
            RunEvent::DumpStarted { container, name, how } => {
                self.line(&format!("dumping {container} to {name}: {how}"));
            }
            RunEvent::DumpTaken(dump) => self.line(&format!("{} holds {}", dump.name, units::bytes(dump.bytes))),
            RunEvent::Mount { mount, state } => self.line(&format!("{} {}", mount.display(), state.as_str())),
            RunEvent::Progress(progress) => {
                let text = format!("{} {}", self.state.phase, describe(&progress));
                if self.bar.is_hidden() && self.state.last_line.elapsed() >= LINE_EVERY {
                    self.state.last_line = Instant::now();
                    self.ui.say(&text);
                }
                self.bar.set_message(text);
            }
            RunEvent::Warning(warning) => {
                self.state.warnings += 1;
                if self.state.warnings <= WARNINGS_TOLD {
                    let line = format!("{} {}: {}", warning.path, warning.kind.as_str(), warning.detail);
                    self.warning(&line);
                }
            }
        }
    }

    fn hook_ended(&self, report: &HookReport) {
        match &report.outcome {
            HookOutcome::Succeeded => self.line(&report.line()),
            HookOutcome::Skipped { .. } => self.warning(&report.line()),
            _ if report.said.is_empty() => self.warning(&report.line()),
            _ => self.warning(&format!("{}; its last words:\n{}", report.line(), report.said)),
        }
    }

    fn warning(&self, line: &str) {
        self.bar.suspend(|| self.ui.warn(line));
    }

    fn line(&self, line: &str) {
        self.bar.suspend(|| self.ui.say(line));
    }
}

impl Drop for Screen {
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

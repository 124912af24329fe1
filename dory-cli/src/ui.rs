//! The terminal: results on standard output, everything else on standard error.

use std::io::{self, IsTerminal, Write};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use anstyle::{AnsiColor, Style};
use dory_core::services::Settled;
use dory_core::{Error, ErrorKind};
use serde::Serialize;
use tokio::io::AsyncWrite;

use crate::args::GlobalArgs;
use crate::exit::Exit;
use crate::harmless::harmless;

/// How this run talks.
#[derive(Clone, Debug)]
pub struct Ui {
    json: bool,
    quiet: bool,
    colour: bool,
    interactive: bool,
}

/// Whether standard error is a terminal that shows colours.
#[must_use]
pub fn colours() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

const RED: Style = AnsiColor::Red.on_default().bold();
const YELLOW: Style = AnsiColor::Yellow.on_default().bold();
const BOLD: Style = Style::new().bold();

impl Ui {
    /// As the arguments and the terminal allow.
    #[must_use]
    pub fn new(global: &GlobalArgs) -> Self {
        let interactive = io::stdin().is_terminal() && io::stderr().is_terminal();
        Self { json: global.json, quiet: global.quiet, colour: colours(), interactive }
    }

    /// Whether results are JSON.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Whether progress bars can be drawn.
    #[must_use]
    pub fn draws(&self) -> bool {
        io::stderr().is_terminal() && !self.quiet && !self.json
    }

    /// Whether progress is told at all.
    #[must_use]
    pub fn tells(&self) -> bool {
        !self.quiet && !self.json
    }

    /// Prints a result: `value` as JSON, or what `words` makes of it.
    ///
    /// # Errors
    /// `Internal` if standard output cannot be written to.
    pub fn result<T: Serialize>(&self, value: &T, words: impl FnOnce(&T) -> String) -> Result<(), Error> {
        let text = if self.json {
            serde_json::to_string_pretty(value).map_err(|error| cannot_print(error.into()))?
        } else {
            words(value)
        };
        print(&text)
    }

    /// Tells a step or a fact to whoever watches.
    pub fn say(&self, line: &str) {
        if self.tells() {
            to_stderr(line);
        }
    }

    /// Tells what deserves a look, also when quiet.
    pub fn warn(&self, line: &str) {
        if !self.json {
            to_stderr(&format!("{}: {line}", self.paint(YELLOW, "warning")));
        }
    }

    /// Tells of a run that was broken off, also when quiet. It is no failure of this command.
    pub fn tell_settled(&self, settled: &Settled) {
        let error = settled.to_error();
        if self.json {
            let report = serde_json::json!({ "interrupted_run": settled, "error": error.to_record() });
            to_stderr(&serde_json::to_string_pretty(&report).unwrap_or_else(|_| error.to_string()));
            return;
        }
        self.warn(&error.to_string());
        if let Some(hint) = error.hint() {
            to_stderr(&format!("{}: {hint}", self.paint(BOLD, "hint")));
        }
    }

    /// Tells an error: what failed, why, and what to do; gives its exit code.
    #[must_use]
    pub fn fail(&self, error: &Error) -> Exit {
        let exit = Exit::of(error.kind());
        if self.json {
            #[derive(Serialize)]
            struct Failure {
                error: dory_core::ErrorRecord,
                exit_code: u8,
            }
            let failure = Failure { error: error.to_record(), exit_code: exit as u8 };
            to_stderr(&serde_json::to_string_pretty(&failure).unwrap_or_else(|_| error.to_string()));
            return exit;
        }
        to_stderr(&format!("{}: {error}", self.paint(RED, "error")));
        for cause in error.causes() {
            to_stderr(&format!("  caused by: {}", cause.trim_end().replace('\n', "\n             ")));
        }
        if let Some(hint) = error.hint() {
            to_stderr(&format!("{}: {hint}", self.paint(BOLD, "hint")));
        }
        exit
    }

    /// Asks a question that only `expected` answers with yes. `outcome` says what any other answer comes to: `nothing was
    /// deleted`.
    ///
    /// # Errors
    /// `InvalidInput` where nobody can be asked, and for any other answer.
    pub fn confirm(&self, question: &str, expected: &str, outcome: &str) -> Result<(), Error> {
        if !self.interactive {
            return Err(Error::invalid("confirmation", "", format!("there is no terminal to ask on: {question}"))
                .with_hint("add `--yes` to go on without asking"));
        }
        let _ = write!(io::stderr(), "{question} Type `{expected}` to go on: ");
        let mut answer = String::new();
        let _ = io::stdin().read_line(&mut answer);
        check_answer(&answer, expected, outcome)
    }

    fn paint(&self, style: Style, text: &str) -> String {
        if self.colour { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }
}

fn check_answer(answer: &str, expected: &str, outcome: &str) -> Result<(), Error> {
    if answer.trim() == expected {
        return Ok(());
    }
    let reason = format!("the answer was not `{expected}`, so {outcome}");
    Err(Error::new(ErrorKind::InvalidInput, "go on", "", reason))
}

/// Whether somebody who read standard output had enough, as with `| head`.
static OUTPUT_IS_CLOSED: AtomicBool = AtomicBool::new(false);

/// Whether standard output is read no more. It is no failure: the work was done, or nobody wants the rest of it.
#[must_use]
pub fn output_is_closed() -> bool {
    OUTPUT_IS_CLOSED.load(Ordering::Relaxed)
}

/// Standard output for raw contents; it notes when nobody reads it any more.
pub fn raw_output() -> impl AsyncWrite + Send + Unpin {
    Noting(tokio::io::stdout())
}

struct Noting<W>(W);

impl<W: AsyncWrite + Unpin> AsyncWrite for Noting<W> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes).map_err(note_closed)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx).map_err(note_closed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx).map_err(note_closed)
    }
}

fn note_closed(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::BrokenPipe {
        OUTPUT_IS_CLOSED.store(true, Ordering::Relaxed);
    }
    error
}

/// Prints a result to standard output.
///
/// # Errors
/// `Internal` if it cannot be written to. A reader that had enough is no error: see [`output_is_closed`].
pub fn print(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    let newline = if text.ends_with('\n') || text.is_empty() { "" } else { "\n" };
    match write!(out, "{}{newline}", harmless(text)).and_then(|()| out.flush()).map_err(note_closed) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(cannot_print(error)),
        _ => Ok(()),
    }
}

fn cannot_print(error: io::Error) -> Error {
    Error::new(ErrorKind::Internal, "print the result", "", "standard output cannot be written to").with_source(error)
}

fn to_stderr(line: &str) {
    let _ = writeln!(io::stderr(), "{}", harmless(line));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_other_answer_is_a_refusal_that_says_what_was_not_done() {
        check_answer("yes\n", "yes", "nothing was deleted").unwrap();
        let error = check_answer("y\n", "yes", "nothing was deleted").unwrap_err();
        assert_eq!(Exit::of(error.kind()), Exit::Usage);
        assert_eq!(error.to_string(), "cannot go on: the answer was not `yes`, so nothing was deleted");
    }
}

//! The terminal: results on standard output, everything else on standard error.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use dory_core::{Error, ErrorKind};
use serde::Serialize;

use crate::args::GlobalArgs;
use crate::exit::Exit;

/// How this run talks.
#[derive(Clone, Debug)]
pub struct Ui {
    json: bool,
    quiet: bool,
    colour: bool,
    interactive: bool,
}

const RED: Style = AnsiColor::Red.on_default().bold();
const YELLOW: Style = AnsiColor::Yellow.on_default().bold();
const BOLD: Style = Style::new().bold();

impl Ui {
    /// As the arguments and the terminal allow.
    #[must_use]
    pub fn new(global: &GlobalArgs) -> Self {
        let terminal = io::stderr().is_terminal();
        let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let interactive = io::stdin().is_terminal() && terminal;
        Self { json: global.json, quiet: global.quiet, colour, interactive }
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

    /// Asks a question that only `expected` answers with yes.
    ///
    /// # Errors
    /// `InvalidInput` where nobody can be asked; `Cancelled` for any other answer.
    pub fn confirm(&self, question: &str, expected: &str) -> Result<(), Error> {
        if !self.interactive {
            return Err(Error::invalid("confirmation", "", format!("there is no terminal to ask on: {question}"))
                .with_hint("add `--yes` to go on without asking"));
        }
        let _ = write!(io::stderr(), "{question} Type `{expected}` to go on: ");
        let mut answer = String::new();
        let read = io::stdin().read_line(&mut answer);
        if read.is_ok() && answer.trim() == expected {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Cancelled, "go on", "", "it was not confirmed, and nothing was touched"))
    }

    fn paint(&self, style: Style, text: &str) -> String {
        if self.colour { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }
}

/// Prints a result to standard output.
///
/// # Errors
/// `Internal` if it cannot be written to. A reader that had enough (`dory list | head`) is no error.
pub fn print(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    let newline = if text.ends_with('\n') || text.is_empty() { "" } else { "\n" };
    match write!(out, "{}{newline}", harmless(text)).and_then(|()| out.flush()) {
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

/// `text` without what moves a cursor, rings, hides or turns words round: names and labels come from strangers. Dory's
/// own colours stay.
fn harmless(text: &str) -> Cow<'_, str> {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let strange = |c: char| (c.is_control() && c != '\n' && c != '\t') || turns(c);
    if !text.contains(strange) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for (at, c) in text.char_indices() {
        if strange(c) && !(c == '\u{1b}' && begins_colour(&text[at..])) {
            safe.extend(c.escape_unicode());
        } else {
            safe.push(c);
        }
    }
    Cow::Owned(safe)
}

/// Whether `text` begins with a sequence that sets a colour and does nothing else.
fn begins_colour(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("\u{1b}[") else { return false };
    rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').starts_with('m')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_commands_a_terminal_is_shown_and_not_sent() {
        assert_eq!(harmless("plain\tétoile\n"), "plain\tétoile\n");
        assert_eq!(harmless("\u{1b}[31mred\u{1b}[0m"), "\u{1b}[31mred\u{1b}[0m");
        assert_eq!(harmless("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(harmless("\u{1b}]0;title\u{7}"), "\\u{1b}]0;title\\u{7}");
        assert_eq!(harmless("x\u{9b}2J \u{202e}gpj.exe\r"), "x\\u{9b}2J \\u{202e}gpj.exe\\u{d}");
    }
}

//! What was asked of the doubles, in order.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dory_core::ports::Clock;
use dory_core::{ErrorKind, Result};

use super::FakeClock;

/// The calls that doubles have answered, in the order in which they began. Clones share one list.
#[derive(Clone, Debug)]
pub struct Journal {
    calls: Arc<Mutex<Calls>>,
    complaints: Arc<Mutex<Vec<String>>>,
    clock: FakeClock,
}

#[derive(Debug, Default)]
struct Calls {
    listed: Vec<Call>,
    /// How many there were before the list was last cleared.
    before: usize,
}

/// One call of a port's method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Which double: `runtime`, `catalog`, `engine`, `notifier`, `doorbell`.
    pub port: &'static str,
    /// The port's method.
    pub method: &'static str,
    /// What it was about, as people name it: a container's name, a document's key.
    pub subject: String,
    /// What else matters, in words; often nothing.
    pub detail: String,
    /// When it began, by the clock's monotonic time.
    pub at: Duration,
    /// How it ended.
    pub outcome: CallOutcome,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallOutcome {
    /// It has not.
    Pending,
    /// As asked.
    Done,
    /// With an error.
    Failed(ErrorKind),
    /// Its future was dropped before its end.
    Abandoned,
}

impl Call {
    /// Whether the call is the `method` of the runtime, the catalog, … that `words` name: `runtime stop`.
    #[must_use]
    pub fn is(&self, words: &str) -> bool {
        words.split_once(' ') == Some((self.port, self.method))
    }
}

/// `runtime stop db (grace 10s)`, and ` -> not-found` if it failed.
impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.port, self.method)?;
        for word in [&self.subject, &self.detail] {
            if !word.is_empty() {
                write!(f, " {word}")?;
            }
        }
        match self.outcome {
            CallOutcome::Done => Ok(()),
            CallOutcome::Pending => f.write_str(" -> pending"),
            CallOutcome::Failed(kind) => write!(f, " -> {}", kebab(kind)),
            CallOutcome::Abandoned => f.write_str(" -> abandoned"),
        }
    }
}

/// A kind as documents write it: `NotFound` is `not-found`.
fn kebab(kind: ErrorKind) -> String {
    serde_json::to_value(kind).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

impl Journal {
    /// An empty journal that dates calls by `clock`.
    #[must_use]
    pub fn new(clock: &FakeClock) -> Self {
        Self { calls: Arc::default(), complaints: Arc::default(), clock: clock.clone() }
    }

    /// Every call so far.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        lock(&self.calls).listed.clone()
    }

    /// Every call so far as its line, for `assert_eq!` and snapshots.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        lock(&self.calls).listed.iter().map(ToString::to_string).collect()
    }

    /// The calls of one port so far.
    #[must_use]
    pub fn of(&self, port: &str) -> Vec<Call> {
        lock(&self.calls).listed.iter().filter(|call| call.port == port).cloned().collect()
    }

    /// The calls that succeeded and are one of `wanted` (`runtime stop`), as lines, in order.
    #[must_use]
    pub fn only(&self, wanted: &[&str]) -> Vec<String> {
        let calls = &lock(&self.calls).listed;
        let fits = |call: &&Call| call.outcome == CallOutcome::Done && wanted.iter().any(|words| call.is(words));
        calls.iter().filter(fits).map(ToString::to_string).collect()
    }

    /// What happened in the stop window: from the first stop or pause to the last start or unpause, those included.
    /// Empty if nothing was stopped.
    #[must_use]
    pub fn stop_window(&self) -> Vec<Call> {
        let calls = &lock(&self.calls).listed;
        let first = calls.iter().position(|call| call.is("runtime stop") || call.is("runtime pause"));
        let last = calls.iter().rposition(|call| call.is("runtime start") || call.is("runtime unpause"));
        match (first, last) {
            (Some(first), Some(last)) if first <= last => calls[first..=last].to_vec(),
            (Some(first), _) => calls[first..].to_vec(),
            _ => Vec::new(),
        }
    }

    /// Forgets the calls so far, so that a test can look at one step alone. Complaints stay.
    pub fn clear(&self) {
        let mut calls = lock(&self.calls);
        calls.before += calls.listed.len();
        calls.listed.clear();
    }

    /// What the code under test did that it must never do, in words: see [`Journal::assert_no_complaints`].
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        lock(&self.complaints).clone()
    }

    /// Takes the complaints, for tests that provoke them.
    #[must_use]
    pub fn take_complaints(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.complaints))
    }

    /// Fails if a double was misused. Errors can be swallowed by the code under test; a complaint cannot.
    ///
    /// # Panics
    /// If there are complaints.
    pub fn assert_no_complaints(&self) {
        let complaints = self.complaints();
        assert!(complaints.is_empty(), "the doubles complain:\n- {}", complaints.join("\n- "));
    }

    /// Notes that a double was misused.
    pub(crate) fn complain(&self, words: impl Into<String>) {
        lock(&self.complaints).push(words.into());
    }

    /// Notes that a call began.
    pub(crate) fn begin(
        &self,
        port: &'static str,
        method: &'static str,
        subject: impl Into<String>,
        detail: impl Into<String>,
    ) -> Pending {
        let mut calls = lock(&self.calls);
        calls.listed.push(Call {
            port,
            method,
            subject: subject.into(),
            detail: detail.into(),
            at: self.clock.monotonic(),
            outcome: CallOutcome::Pending,
        });
        Pending { journal: self.clone(), at: calls.before + calls.listed.len() - 1, done: false }
    }

    fn settle(&self, at: usize, outcome: CallOutcome) {
        let mut calls = lock(&self.calls);
        // The journal may have been cleared meanwhile.
        let listed = at.checked_sub(calls.before);
        if let Some(call) = listed.and_then(|at| calls.listed.get_mut(at)) {
            call.outcome = outcome;
        }
    }
}

/// A call that has begun; dropped before its end, it was abandoned.
#[derive(Debug)]
pub(crate) struct Pending {
    journal: Journal,
    at: usize,
    done: bool,
}

impl Pending {
    /// Notes how the call ended and passes its result on.
    pub(crate) fn end<T>(mut self, result: Result<T>) -> Result<T> {
        let outcome = match &result {
            Ok(_) => CallOutcome::Done,
            Err(error) => CallOutcome::Failed(error.kind()),
        };
        self.journal.settle(self.at, outcome);
        self.done = true;
        result
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.done {
            self.journal.settle(self.at, CallOutcome::Abandoned);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

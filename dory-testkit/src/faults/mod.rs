//! Ports that fail when a test says so.

mod backup_engine;
mod catalog_store;
mod container_runtime;
mod plan;
mod signals;

use std::fmt::{self, Debug};
use std::sync::Arc;
use std::time::Duration;

use dory_core::ports::Clock;
use dory_core::{Error, ErrorKind, ErrorRecord, Result};

pub use self::plan::Hold;
use self::plan::{FaultPlan, Outcome};

/// Wraps a port, and fails, delays or holds the calls that a test names, or does something beside them; the others pass through. Clones share one plan.
///
/// ```
/// use dory_core::ErrorKind;
/// use dory_core::ports::{CatalogStore, DocumentKey};
/// use dory_testkit::fakes::MemoryCatalog;
/// use dory_testkit::faults::Faulty;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let faulty = Faulty::new(MemoryCatalog::new().port());
/// faulty.fail_next("get", ErrorKind::Unavailable);
/// let key = DocumentKey::parse("dory.json").unwrap();
/// assert_eq!(faulty.port().get(&key).await.unwrap_err().kind(), ErrorKind::Unavailable);
/// assert!(faulty.port().get(&key).await.unwrap().is_none());
/// faulty.assert_all_hit();
/// # });
/// ```
pub struct Faulty<T: ?Sized> {
    inner: Arc<T>,
    plan: FaultPlan,
}

/// A port that [`Faulty`] can wrap.
pub trait FaultyPort {
    /// The names of its methods that can fail.
    const METHODS: &'static [&'static str];
}

/// How a call fails: an [`ErrorKind`] for a made-up error, or an [`Error`] of the test's own.
#[derive(Clone, Debug)]
pub struct Fault(ErrorRecord);

impl From<ErrorKind> for Fault {
    fn from(kind: ErrorKind) -> Self {
        Error::new(kind, "get past the test", "", "it injected this failure").into()
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self(error.to_record())
    }
}

impl Fault {
    fn into_error(self) -> Error {
        self.0.into()
    }
}

impl<T: ?Sized + FaultyPort> Faulty<T> {
    /// Wraps `inner`; nothing fails yet.
    #[must_use]
    pub fn new(inner: Arc<T>) -> Self {
        Self { inner, plan: FaultPlan::new(T::METHODS) }
    }

    /// Fails the next call of `method` that no earlier `fail_next` is for, without passing it on.
    ///
    /// # Panics
    /// As all methods here: if the port has no such method.
    pub fn fail_next(&self, method: &str, fault: impl Into<Fault>) {
        self.plan.queue_outcome(method, None, Outcome::Fail(fault.into()));
    }

    /// Fails the `nth` call of `method` from now (1 is the next), without passing it on.
    pub fn fail_nth(&self, method: &str, nth: usize, fault: impl Into<Fault>) {
        self.plan.queue_outcome(method, Some(nth), Outcome::Fail(fault.into()));
    }

    /// Fails every call of `method` until [`heal`](Self::heal), unless something else was queued for it.
    pub fn fail_always(&self, method: &str, fault: impl Into<Fault>) {
        self.plan.always(method, 1, Outcome::Fail(fault.into()));
    }

    /// Fails the `nth` call of `method` from now (1 is the next) and every later one, until [`heal`](Self::heal).
    pub fn fail_from(&self, method: &str, nth: usize, fault: impl Into<Fault>) {
        self.plan.always(method, nth, Outcome::Fail(fault.into()));
    }

    /// Passes the next call of `method` on, and if it succeeds says that it failed: the caller cannot know.
    pub fn lose_answer(&self, method: &str, fault: impl Into<Fault>) {
        self.plan.queue_outcome(method, None, Outcome::LoseAnswer(fault.into()));
    }

    /// As [`lose_answer`](Self::lose_answer), for the `nth` call of `method` from now (1 is the next).
    pub fn lose_nth_answer(&self, method: &str, nth: usize, fault: impl Into<Fault>) {
        self.plan.queue_outcome(method, Some(nth), Outcome::LoseAnswer(fault.into()));
    }

    /// Does `act` before the `nth` call of `method` from now (1 is the next) begins, which then goes on: the moment to end
    /// somebody at a step that has no other name.
    pub fn act_before(&self, method: &str, nth: usize, act: impl FnOnce() + Send + 'static) {
        self.plan.queue_act(method, nth, act);
    }

    /// Does `act` when the `nth` call of `method` from now (1 is the next) has taken effect, before its caller hears of
    /// it.
    pub fn act_after(&self, method: &str, nth: usize, act: impl Fn() + Send + Sync + 'static) {
        self.plan.queue_outcome(method, Some(nth), Outcome::After(Arc::new(act)));
    }

    /// Lets the next call of `method` take `duration` of `clock`'s time before it begins.
    pub fn delay_next(&self, method: &str, clock: &Arc<dyn Clock>, duration: Duration) {
        self.plan.queue_delay(method, clock, duration);
    }

    /// Holds the next call of `method` before it begins, until the returned hold is released or dropped.
    #[must_use = "the call is held for as long as this lives"]
    pub fn hold_next(&self, method: &str) -> Hold {
        self.plan.queue_hold(method)
    }

    /// Takes back everything that was queued and not hit yet, and what fails always.
    pub fn heal(&self) {
        self.plan.heal();
    }

    /// How many calls of `method` there were.
    #[must_use]
    pub fn calls(&self, method: &str) -> usize {
        self.plan.calls(method)
    }

    /// Fails unless everything that was queued was hit: a test of a fault that never happened proves nothing.
    ///
    /// # Panics
    /// If something was not.
    pub fn assert_all_hit(&self) {
        let missed = self.plan.missed();
        assert!(missed.is_empty(), "these faults were never hit: {}", missed.join(", "));
    }
}

impl<T: ?Sized> Faulty<T> {
    /// Wraps something that came out of another faulty port, under the same plan.
    fn sharing(inner: Arc<T>, plan: &FaultPlan) -> Self {
        Self { inner, plan: plan.clone() }
    }

    async fn run<R, F>(&self, method: &'static str, call: impl FnOnce() -> F) -> Result<R>
    where
        F: Future<Output = Result<R>>,
    {
        match self.plan.enter(method).await {
            None => call().await,
            Some(Outcome::Fail(fault)) => Err(fault.into_error()),
            Some(Outcome::LoseAnswer(fault)) => {
                call().await?;
                Err(fault.into_error())
            }
            Some(Outcome::After(act)) => {
                let done = call().await;
                act();
                done
            }
        }
    }
}

impl<T: ?Sized> Clone for Faulty<T> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), plan: self.plan.clone() }
    }
}

impl<T: ?Sized + Debug> Debug for Faulty<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Faulty").field(&self.inner).finish()
    }
}

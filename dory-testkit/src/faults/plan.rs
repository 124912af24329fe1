//! What fails when: numbered calls of each method, and what a test wants of each.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dory_core::ports::Clock;
use tokio::sync::oneshot;

use super::Fault;

/// The plan that a faulty port and what comes out of it share.
#[derive(Clone)]
pub(super) struct FaultPlan {
    methods: &'static [&'static str],
    wishes: Arc<Mutex<BTreeMap<&'static str, Wishes>>>,
}

/// What a test wants of one method. Calls are numbered from 1.
#[derive(Default)]
struct Wishes {
    calls: usize,
    outcomes: BTreeMap<usize, Outcome>,
    /// The last call that a `fail_next` is for.
    last_outcome: usize,
    always: Option<Always>,
    waits: BTreeMap<usize, Wait>,
    /// The last call that a `hold_next` or `delay_next` is for.
    last_wait: usize,
}

struct Always {
    outcome: Outcome,
    /// The first call that it is for.
    from: usize,
    hit: bool,
}

/// How a call ends otherwise than it would.
#[derive(Clone)]
pub(super) enum Outcome {
    Fail(Fault),
    LoseAnswer(Fault),
    /// As it would, after something else was done.
    After(Arc<dyn Fn() + Send + Sync>),
}

/// What a call waits for before it begins.
enum Wait {
    Act(Box<dyn FnOnce() + Send>),
    Delay(Arc<dyn Clock>, Duration),
    Hold { arrived: oneshot::Sender<()>, released: oneshot::Receiver<()> },
}

/// A call that is held before it begins. Dropping this releases it.
#[derive(Debug)]
pub struct Hold {
    arrived: oneshot::Receiver<()>,
    release: oneshot::Sender<()>,
}

impl Hold {
    /// Waits until the call is there.
    ///
    /// # Panics
    /// If the plan was healed, so that no call will be held.
    pub async fn reached(&mut self) {
        (&mut self.arrived).await.expect("nothing will be held any more");
    }

    /// Lets the call begin.
    pub fn release(self) {
        // A call that was dropped meanwhile needs no release.
        let _ = self.release.send(());
    }
}

impl FaultPlan {
    pub(super) fn new(methods: &'static [&'static str]) -> Self {
        Self { methods, wishes: Arc::default() }
    }

    /// Queues an outcome for the `nth` call from now, or for the next that none is queued for.
    pub(super) fn queue_outcome(&self, method: &str, nth: Option<usize>, outcome: Outcome) {
        self.change(method, |wishes| {
            let call = match nth {
                Some(nth) => wishes.calls + nth,
                None => {
                    wishes.last_outcome = wishes.last_outcome.max(wishes.calls) + 1;
                    wishes.last_outcome
                }
            };
            assert!(call > wishes.calls, "calls are counted from 1");
            let earlier = wishes.outcomes.insert(call, outcome);
            assert!(earlier.is_none(), "two faults are queued for one call of `{method}`");
        });
    }

    /// Wishes an outcome for the `nth` call from now and every later one.
    pub(super) fn always(&self, method: &str, nth: usize, outcome: Outcome) {
        assert!(nth > 0, "calls are counted from 1");
        self.change(method, |wishes| {
            wishes.always = Some(Always { outcome, from: wishes.calls + nth, hit: false });
        });
    }

    /// Has the `nth` call from now wait for `act` before it begins.
    pub(super) fn queue_act(&self, method: &str, nth: usize, act: impl FnOnce() + Send + 'static) {
        assert!(nth > 0, "calls are counted from 1");
        self.change(method, |wishes| {
            let earlier = wishes.waits.insert(wishes.calls + nth, Wait::Act(Box::new(act)));
            assert!(earlier.is_none(), "two waits are queued for one call of `{method}`");
        });
    }

    pub(super) fn queue_delay(&self, method: &str, clock: &Arc<dyn Clock>, duration: Duration) {
        let delay = Wait::Delay(Arc::clone(clock), duration);
        self.change(method, |wishes| wishes.queue_wait(delay));
    }

    pub(super) fn queue_hold(&self, method: &str) -> Hold {
        let (tell, arrived) = oneshot::channel();
        let (release, released) = oneshot::channel();
        self.change(method, |wishes| wishes.queue_wait(Wait::Hold { arrived: tell, released }));
        Hold { arrived, release }
    }

    /// Counts a call, waits as long as it should, and tells how it is to end.
    pub(super) async fn enter(&self, method: &'static str) -> Option<Outcome> {
        let (wait, outcome) = self.change(method, |wishes| {
            let outcome = wishes.count();
            (wishes.waits.remove(&wishes.calls), outcome)
        });
        match wait {
            None => {}
            Some(Wait::Act(act)) => act(),
            Some(Wait::Delay(clock, duration)) => clock.sleep(duration).await,
            Some(Wait::Hold { arrived, released }) => {
                // A test that does not look, or dropped its hold, is fine.
                let _ = arrived.send(());
                let _ = released.await;
            }
        }
        outcome
    }

    /// Counts a call that cannot wait, and tells how it is to end.
    pub(super) fn enter_now(&self, method: &'static str) -> Option<Outcome> {
        self.change(method, Wishes::count)
    }

    pub(super) fn calls(&self, method: &str) -> usize {
        self.change(method, |wishes| wishes.calls)
    }

    pub(super) fn heal(&self) {
        for wishes in self.lock().values_mut() {
            *wishes = Wishes { calls: wishes.calls, ..Wishes::default() };
        }
    }

    /// What was queued and not hit, in words.
    pub(super) fn missed(&self) -> Vec<String> {
        let all = self.lock();
        let of_method = |(method, wishes): (&&str, &Wishes)| {
            let queued = wishes.outcomes.keys().chain(wishes.waits.keys());
            let always = wishes.always.as_ref().filter(|always| !always.hit).map(|_| format!("every `{method}`"));
            queued.map(|call| format!("call {call} of `{method}`")).chain(always).collect::<Vec<_>>()
        };
        all.iter().flat_map(of_method).collect()
    }

    fn change<T>(&self, method: &str, change: impl FnOnce(&mut Wishes) -> T) -> T {
        let known = self.methods.iter().find(|known| **known == method);
        let known = known.unwrap_or_else(|| panic!("the port has no method `{method}`, but {:?}", self.methods));
        change(self.lock().entry(known).or_default())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Wishes>> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wishes {
    fn queue_wait(&mut self, wait: Wait) {
        self.last_wait = self.last_wait.max(self.calls) + 1;
        self.waits.insert(self.last_wait, wait);
    }

    fn count(&mut self) -> Option<Outcome> {
        self.calls += 1;
        self.outcomes.remove(&self.calls).or_else(|| {
            let always = self.always.as_mut().filter(|always| always.from <= self.calls)?;
            always.hit = true;
            Some(always.outcome.clone())
        })
    }
}

//! The promises of [`Doorbell`], one test each, for bells that lose no ring.

use std::any::Any;
use std::fmt::{self, Debug};
use std::sync::Arc;
use std::time::Duration;

use dory_core::domain::id::ServerName;
use dory_core::ports::Doorbell;

/// Longer than any ring takes.
const LONG: Duration = Duration::from_secs(60);

/// Long enough for a ring that must not come to be noticed if it came.
const SHORT: Duration = Duration::from_millis(100);

/// A bell that nobody rang yet, seen from two sides.
pub struct Subject {
    /// Where somebody rings.
    rings: Arc<dyn Doorbell>,
    /// Where somebody waits.
    waits: Arc<dyn Doorbell>,
    keep: Vec<Box<dyn Any + Send>>,
}

impl Subject {
    /// A bell as the one who rings and the one who waits have it.
    #[must_use]
    pub fn new(rings: Arc<dyn Doorbell>, waits: Arc<dyn Doorbell>) -> Self {
        Self { rings, waits, keep: Vec::new() }
    }

    /// Keeps something alive for as long as the test runs.
    #[must_use]
    pub fn keeping(mut self, thing: impl Any + Send) -> Self {
        self.keep.push(Box::new(thing));
        self
    }

    async fn ring(&self, server: &str) {
        self.rings.ring(&name(server)).await.unwrap();
    }

    async fn wait(&self, server: &str, timeout: Duration) -> bool {
        self.waits.wait(&name(server), timeout).await.unwrap()
    }
}

impl Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("waits", &self.waits).finish_non_exhaustive()
    }
}

fn name(server: &str) -> ServerName {
    ServerName::parse(server).unwrap()
}

/// Who waits wakes when somebody rings.
pub async fn a_ring_wakes_who_waits(subject: Subject) {
    let waits = Arc::clone(&subject.waits);
    let waiter = tokio::spawn(async move { waits.wait(&name("srv-1"), LONG).await });
    // Whether the waiter is there already or not: both count.
    tokio::task::yield_now().await;
    subject.ring("srv-1").await;
    assert!(waiter.await.unwrap().unwrap());
}

/// A ring from before the wait counts.
pub async fn an_earlier_ring_counts(subject: Subject) {
    subject.ring("srv-1").await;
    assert!(subject.wait("srv-1", LONG).await);
}

/// Rings from before the wait count once, however many there were.
pub async fn earlier_rings_count_once(subject: Subject) {
    for _ in 0..3 {
        subject.ring("srv-1").await;
    }
    assert!(subject.wait("srv-1", LONG).await);
    assert!(!subject.wait("srv-1", SHORT).await, "one of three rings was left");
}

/// Without a ring, a wait ends after its time, and says so.
pub async fn without_a_ring_the_wait_times_out(subject: Subject) {
    assert!(!subject.wait("srv-1", SHORT).await);
    assert!(!subject.wait("srv-1", Duration::ZERO).await);
}

/// A ring is for one server, and stays until that one waits.
pub async fn a_ring_is_for_one_server(subject: Subject) {
    subject.ring("srv-1").await;
    assert!(!subject.wait("srv-2", SHORT).await);
    assert!(subject.wait("srv-1", LONG).await);
}

/// A wait that is dropped takes no ring with it.
pub async fn a_dropped_wait_loses_no_ring(subject: Subject) {
    for round in 0..50 {
        let waits = Arc::clone(&subject.waits);
        let waiter = tokio::spawn(async move { waits.wait(&name("srv-1"), LONG).await });
        tokio::task::yield_now().await;
        let rings = Arc::clone(&subject.rings);
        let ringer = tokio::spawn(async move { rings.ring(&name("srv-1")).await });
        waiter.abort();
        ringer.await.unwrap().unwrap();
        let heard = waiter.await.is_ok_and(Result::unwrap);
        assert!(heard || subject.wait("srv-1", LONG).await, "round {round}: the ring is lost");
    }
}

/// Enrols a doorbell: `doorbell_contract!(name, async { Some(Subject::new(…)) })`.
#[macro_export]
macro_rules! doorbell_contract {
    ($name:ident, $subject:expr) => {
        $crate::doorbell_contract!(@tests $name, $subject,
            a_ring_wakes_who_waits, an_earlier_ring_counts, earlier_rings_count_once,
            without_a_ring_the_wait_times_out, a_ring_is_for_one_server, a_dropped_wait_loses_no_ring
        );
    };
    (@tests $name:ident, $subject:expr, $($promise:ident),+) => {
        mod $name {
            #[allow(unused_imports, reason = "an enrolment may need nothing of its surroundings")]
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $promise() {
                    let subject: Option<$crate::contracts::doorbell::Subject> = $subject.await;
                    if let Some(subject) = subject {
                        $crate::contracts::doorbell::$promise(subject).await;
                    }
                }
            )+
        }
    };
}

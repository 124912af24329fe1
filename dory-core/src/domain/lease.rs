//! Who alone may do a thing, across hosts whose clocks nobody trusts.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A lease, as it stands in a document that changes by compare-and-swap alone.
///
/// Its holder counts [`beat`](Self::beat) up well within the term. Whoever saw it stand still for the whole term, by a
/// clock of its own that never goes back, may take it over with the next [`epoch`](Self::epoch); what the old holder
/// writes then meets another version, and is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Random: names one process that holds or held it.
    pub holder: String,
    /// Goes up by one with each new holder.
    pub epoch: u64,
    /// Goes up while the holder lives.
    pub beat: u64,
    /// How long it may stand still, in seconds.
    pub term_seconds: u32,
    /// When its holder took it, by that one's clock: for people.
    pub taken_at: Timestamp,
    /// Whether its holder gave it back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub released: bool,
}

impl Lease {
    /// The first lease of its kind, or the one after `before`.
    #[must_use]
    pub fn next(before: Option<&Self>, holder: String, term_seconds: u32, now: Timestamp) -> Self {
        let epoch = before.map_or(1, |before| before.epoch + 1);
        Self { holder, epoch, beat: 0, term_seconds, taken_at: now, released: false }
    }

    /// How long it may stand still.
    #[must_use]
    pub fn term(&self) -> Duration {
        Duration::from_secs(self.term_seconds.into())
    }

    /// The same, a moment later.
    #[must_use]
    pub fn beaten(&self) -> Self {
        Self { beat: self.beat + 1, ..self.clone() }
    }
}

/// What somebody saw of another's lease, by its own clock.
#[derive(Clone, Debug, Default)]
pub struct LeaseWatch {
    /// Epoch and beat as they were seen last, and when they were first seen so.
    seen: Option<((u64, u64), Duration)>,
}

impl LeaseWatch {
    /// Notes how `lease` looks at `monotonic`; tells whether it may be taken over.
    pub fn may_take_over(&mut self, lease: &Lease, monotonic: Duration) -> bool {
        let looks = (lease.epoch, lease.beat);
        let since = match self.seen {
            Some((before, since)) if before == looks => since,
            _ => {
                self.seen = Some((looks, monotonic));
                monotonic
            }
        };
        lease.released || monotonic.saturating_sub(since) >= lease.term()
    }

    /// Whether its holder was seen to live since this watch began.
    #[must_use]
    pub fn saw_it_move(&self, first: &Lease) -> bool {
        self.seen.is_some_and(|(looks, _)| looks != (first.epoch, first.beat))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn lease() -> Lease {
        Lease::next(None, "a".into(), 60, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn only_what_stood_still_for_the_whole_term_is_taken_over() {
        let (mut watch, first) = (LeaseWatch::default(), lease());
        assert!(!watch.may_take_over(&first, 100 * SECOND));
        assert!(!watch.may_take_over(&first, 159 * SECOND));
        assert!(!watch.may_take_over(&first.beaten(), 160 * SECOND), "it lives");
        assert!(!watch.may_take_over(&first.beaten(), 219 * SECOND));
        assert!(watch.may_take_over(&first.beaten(), 220 * SECOND));
        assert!(watch.saw_it_move(&first));
    }

    #[test]
    fn what_was_given_back_needs_no_waiting_and_a_new_holder_a_new_term() {
        let mut watch = LeaseWatch::default();
        assert!(watch.may_take_over(&Lease { released: true, ..lease() }, SECOND));
        let next = Lease::next(Some(&lease()), "b".into(), 60, Timestamp::UNIX_EPOCH);
        assert_eq!(next.epoch, 2);
        assert!(!watch.may_take_over(&next, 1000 * SECOND));
    }
}

//! What a backup remembers of its schedule: what is over, what is put off, and what its container's labels said last.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::keep_rules::KeepRules;
use super::policy::PolicyOverrides;
use super::schedule::{Schedule, ScheduleWish};

/// What a backup remembers of its schedule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Turns {
    /// What was due up to then is over: it had its backup, or failed for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub over_until: Option<Timestamp>,
    /// Since when it is not backed up by schedule, until somebody says otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused_since: Option<Timestamp>,
    /// The one moment that is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip: Option<Timestamp>,
}

impl Turns {
    /// Whether there is nothing to remember.
    #[must_use]
    pub fn are_plain(&self) -> bool {
        *self == Self::default()
    }

    /// Notes that what was due up to `moment` is over.
    pub fn end(&mut self, moment: Timestamp) {
        self.over_until = self.over_until.max(Some(moment));
    }

    /// The moment whose turn is next: one up to `now` that is still to be made up for, or the first one after; `None` at
    /// the end of the calendar.
    #[must_use]
    pub fn next(&self, schedule: &Schedule, since: Timestamp, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        // One that was left out is over, and with it what was missed before: there is but one to make up for.
        let missed = schedule.last_due(since, now, zone).filter(|moment| Some(*moment) != self.skip);
        missed.or_else(|| self.upcoming(schedule, now, zone).next())
    }

    /// The moments after `now` at which it is due, without the one that is left out.
    pub fn upcoming<'a>(
        &'a self,
        schedule: &'a Schedule,
        now: Timestamp,
        zone: &'a TimeZone,
    ) -> impl Iterator<Item = Timestamp> + 'a {
        schedule.upcoming(now, zone).filter(|moment| Some(*moment) != self.skip)
    }
}

/// What the labels of a backup's container said when Dory last met it, so that it counts on when the container is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LabelRules {
    /// When it is backed up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<ScheduleWish>,
    /// What of it stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<KeepRules>,
}

impl LabelRules {
    /// Whether they said nothing.
    #[must_use]
    pub fn are_open(&self) -> bool {
        *self == Self::default()
    }
}

impl From<&PolicyOverrides> for LabelRules {
    fn from(labels: &PolicyOverrides) -> Self {
        Self { schedule: labels.schedule.clone(), keep: labels.keep.clone() }
    }
}

/// How a backup's data was found when it was last checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// When.
    pub at: Timestamp,
    /// How long it took.
    pub elapsed: SignedDuration,
    /// Whether every stored byte was read, and not only names and sizes.
    pub read_data: bool,
    /// A line a fault, the first ones; none where all is well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn the_one_that_is_left_out_is_no_turn_and_the_next_one_is_across_a_change_of_clocks() {
        let nightly: Schedule = "TZ=Europe/Berlin 30 2 * * *".parse().unwrap();
        // On 29 March 2026 clocks go from 2 to 3, so that night's moment is 3:00 there.
        let skipped = at("2026-03-29T01:00:00Z");
        let turns = Turns { skip: Some(skipped), ..Turns::default() };
        let next = |since: &str, now: &str| turns.next(&nightly, at(since), at(now), &TimeZone::UTC);
        assert_eq!(next("2026-03-28T02:00:00Z", "2026-03-28T12:00:00Z"), Some(at("2026-03-30T00:30:00Z")));
        assert_eq!(next("2026-03-28T02:00:00Z", "2026-03-29T01:00:00Z"), Some(at("2026-03-30T00:30:00Z")));
        assert_eq!(next("2026-03-28T02:00:00Z", "2026-03-30T00:30:00Z"), Some(at("2026-03-30T00:30:00Z")));
    }

    #[test]
    fn in_the_hour_that_comes_twice_the_one_turn_is_left_out() {
        let nightly: Schedule = "TZ=Europe/Berlin 30 2 * * *".parse().unwrap();
        let turns = Turns { skip: Some(at("2026-10-25T00:30:00Z")), ..Turns::default() };
        let upcoming: Vec<_> = turns.upcoming(&nightly, at("2026-10-24T12:00:00Z"), &TimeZone::UTC).take(2).collect();
        assert_eq!(upcoming, [at("2026-10-26T01:30:00Z"), at("2026-10-27T01:30:00Z")]);
    }

    #[test]
    fn what_was_missed_before_the_one_that_was_left_out_is_made_up_for_no_more() {
        let hourly: Schedule = "@hourly".parse().unwrap();
        let turns = Turns { skip: Some(at("2026-11-25T12:00:00Z")), ..Turns::default() };
        let next = turns.next(&hourly, at("2026-11-25T09:30:00Z"), at("2026-11-25T12:10:00Z"), &TimeZone::UTC);
        assert_eq!(next, Some(at("2026-11-25T13:00:00Z")));
    }
}

//! When a backup is due, as a user writes it: `0 3 * * *`, `@daily`, `TZ=Europe/Berlin 30 2 * * * ~15m`.

use std::fmt;
use std::str::FromStr;

use croner::Cron;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// When something is due, by the clock of a time zone.
///
/// The fields are cron's: minute, hour, day, month, weekday, with seconds before them if there are six; or one of
/// `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`. `TZ=` before them names a time zone, and `~` behind them the time
/// by which a run may come later, so that not all begin at once.
///
/// Where clocks move on, what was due in the hour that is skipped is due once, right after it. Where they are set back,
/// what is due in the hour that comes twice is due the first time alone.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Schedule {
    /// As it was written, with single spaces.
    text: String,
    cron: Cron,
    zone: Option<TimeZone>,
    jitter: SignedDuration,
}

impl Schedule {
    /// The longest time by which a run may come later: a day.
    const LONGEST_JITTER: SignedDuration = SignedDuration::from_hours(24);

    const ALLOWED: &'static str = "five or six fields as in cron are expected, or `@daily` and the like: \
                                   `TZ=Europe/Berlin 30 2 * * * ~15m`";

    /// The first moment after `after` at which it is due; `usual_zone` counts where it names none. `None` only at the end
    /// of the calendar.
    #[must_use]
    pub fn next_after(&self, after: Timestamp, usual_zone: &TimeZone) -> Option<Timestamp> {
        let zone = self.zone_or(usual_zone);
        let mut shown = zone.to_datetime(after);
        loop {
            shown = self.cron.find_next_occurrence(&shown, false).ok()?;
            // Set back, a clock shows again what was over before.
            let moment = moment_of(shown, zone)?;
            if moment > after {
                return Some(moment);
            }
        }
    }

    /// The moments after `after` at which it is due, in order.
    pub fn upcoming<'a>(&'a self, after: Timestamp, usual_zone: &'a TimeZone) -> impl Iterator<Item = Timestamp> + 'a {
        std::iter::successors(self.next_after(after, usual_zone), |last| self.next_after(*last, usual_zone))
    }

    /// The last moment after `since` and up to `now` at which it was due: however many were missed, there is one to make
    /// up for.
    #[must_use]
    pub fn last_due(&self, since: Timestamp, now: Timestamp, usual_zone: &TimeZone) -> Option<Timestamp> {
        let zone = self.zone_or(usual_zone);
        let mut shown = zone.to_datetime(now);
        let mut inclusive = true;
        loop {
            shown = self.cron.find_previous_occurrence(&shown, inclusive).ok()?;
            inclusive = false;
            let moment = moment_of(shown, zone)?;
            if moment <= now {
                return (moment > since).then_some(moment);
            }
        }
    }

    /// By how much the run of `subject` that is due at `moment` comes later: always the same for both, and evenly spread.
    #[must_use]
    pub fn delay(&self, subject: &str, moment: Timestamp) -> SignedDuration {
        let digest = Sha256::digest(format!("{subject} {}", moment.as_second()));
        let dice = digest.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        let milliseconds = self.jitter.as_millis().unsigned_abs().max(1);
        SignedDuration::from_millis(i64::try_from(u128::from(dice) % milliseconds).unwrap_or_default())
    }

    /// The zone it names.
    #[must_use]
    pub fn zone(&self) -> Option<&TimeZone> {
        self.zone.as_ref()
    }

    fn zone_or<'a>(&'a self, usual: &'a TimeZone) -> &'a TimeZone {
        self.zone.as_ref().unwrap_or(usual)
    }
}

/// What one source says about a schedule: one, or that there is to be none whatever weaker sources say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ScheduleWish {
    /// Never.
    Off,
    /// By this one.
    On(Box<Schedule>),
}

impl ScheduleWish {
    /// The schedule, if there is to be one.
    #[must_use]
    pub fn into_schedule(self) -> Option<Schedule> {
        match self {
            Self::Off => None,
            Self::On(schedule) => Some(*schedule),
        }
    }
}

impl FromStr for ScheduleWish {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        if text.trim() == "off" { Ok(Self::Off) } else { text.parse().map(Box::new).map(Self::On) }
    }
}

impl TryFrom<String> for ScheduleWish {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<ScheduleWish> for String {
    fn from(wish: ScheduleWish) -> Self {
        wish.into_schedule().map_or_else(|| "off".to_owned(), Into::into)
    }
}

/// The moment at which a clock of `zone` shows `shown` first, or moves past it.
fn moment_of(shown: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    let ambiguous = zone.to_ambiguous_timestamp(shown);
    match ambiguous.offset() {
        AmbiguousOffset::Gap { before, .. } => {
            let skipped = before.to_timestamp(shown).ok()?;
            zone.preceding(skipped.checked_add(SignedDuration::from_nanos(1)).ok()?)
                .next()
                .map(|moved| moved.timestamp())
        }
        AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => ambiguous.earlier().ok(),
    }
}

/// A time zone by its name.
///
/// # Errors
/// `InvalidInput` for a name that is none.
pub fn zone_named(name: &str) -> Result<TimeZone> {
    TimeZone::get(name).map_err(|_| {
        Error::invalid("time zone", name, "there is none of that name: `UTC`, `Europe/Berlin`, `America/New_York` …")
    })
}

impl FromStr for Schedule {
    type Err = Error;

    fn from_str(written: &str) -> Result<Self> {
        let wrong = |reason: &str| Error::invalid("schedule", written, format!("{reason}; {}", Self::ALLOWED));
        let mut words: Vec<&str> = written.split_whitespace().collect();
        let text = words.join(" ");
        let named = words.first().and_then(|word| word.strip_prefix("TZ=").or_else(|| word.strip_prefix("CRON_TZ=")));
        let zone = named.map(zone_named).transpose()?;
        if zone.is_some() {
            words.remove(0);
        }
        let jitter = match words.last().and_then(|word| word.strip_prefix('~')) {
            Some(span) => {
                let parsed: Option<SignedDuration> = span.parse().ok();
                words.pop();
                let allowed = |span: &SignedDuration| !span.is_negative() && *span <= Self::LONGEST_JITTER;
                parsed.filter(allowed).ok_or_else(|| wrong("behind `~` a time up to a day is expected"))?
            }
            None => SignedDuration::ZERO,
        };
        let cron: Cron = words.join(" ").parse().map_err(|error| wrong("it is no schedule").with_source(error))?;
        let some_day = jiff::civil::date(2026, 1, 1).at(0, 0, 0, 0);
        if cron.find_next_occurrence(&some_day, true).is_err() {
            return Err(wrong("it is never due"));
        }
        Ok(Self { text, cron, zone, jitter })
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Schedule {}

impl TryFrom<String> for Schedule {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Schedule> for String {
    fn from(schedule: Schedule) -> Self {
        schedule.text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn schedule(text: &str) -> Schedule {
        text.parse().unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// The next moments as a clock of the schedule's zone shows them.
    fn upcoming(text: &str, after: &str, count: usize) -> Vec<String> {
        let schedule = schedule(text);
        let zone = schedule.zone().cloned().unwrap_or(TimeZone::UTC);
        let show = |moment: Timestamp| moment.to_zoned(zone.clone()).strftime("%m-%d %H:%M%:z").to_string();
        schedule.upcoming(at(after), &TimeZone::UTC).take(count).map(show).collect()
    }

    #[test]
    fn an_hour_that_is_skipped_is_made_up_for_once_right_after_it() {
        // On 29 March 2026 clocks go from 2 to 3.
        let nightly = upcoming("TZ=Europe/Berlin 30 2 * * *", "2026-03-27T12:00:00Z", 3);
        assert_eq!(nightly, ["03-28 02:30+01:00", "03-29 03:00+02:00", "03-30 02:30+02:00"]);
        let often = upcoming("TZ=Europe/Berlin */20 * * * *", "2026-03-29T00:30:00Z", 4);
        assert_eq!(often, ["03-29 01:40+01:00", "03-29 03:00+02:00", "03-29 03:20+02:00", "03-29 03:40+02:00"]);
    }

    #[test]
    fn an_hour_that_comes_twice_counts_the_first_time() {
        // On 25 October 2026 clocks go from 3 back to 2.
        let nightly = upcoming("TZ=Europe/Berlin 30 2 * * *", "2026-10-24T12:00:00Z", 2);
        assert_eq!(nightly, ["10-25 02:30+02:00", "10-26 02:30+01:00"]);
        let hourly = upcoming("TZ=Europe/Berlin @hourly", "2026-10-24T23:30:00Z", 3);
        assert_eq!(hourly, ["10-25 02:00+02:00", "10-25 03:00+01:00", "10-25 04:00+01:00"]);
        // Asked in the second half of it, what was due in the first is over.
        assert_eq!(upcoming("TZ=Europe/Berlin 30 2 * * *", "2026-10-25T01:10:00Z", 1), ["10-26 02:30+01:00"]);
    }

    #[test]
    fn a_zone_whose_days_begin_at_one() {
        // In Lebanon clocks move on at midnight.
        let daily = upcoming("TZ=Asia/Beirut @daily", "2026-03-27T12:00:00Z", 3);
        assert_eq!(daily, ["03-28 00:00+02:00", "03-29 01:00+03:00", "03-30 00:00+03:00"]);
    }

    #[test]
    fn seconds_leap_days_and_the_end_of_the_year() {
        assert_eq!(upcoming("*/30 * * * * *", "2026-12-31T23:59:40Z", 2), ["01-01 00:00+00:00", "01-01 00:00+00:00"]);
        let leap = schedule("0 0 29 2 *");
        assert_eq!(leap.next_after(at("2026-01-01T00:00:00Z"), &TimeZone::UTC), Some(at("2028-02-29T00:00:00Z")));
    }

    #[test]
    fn however_many_were_missed_there_is_one_to_make_up_for() {
        let nightly = schedule("0 3 * * *");
        let due = |since: &str, now: &str| nightly.last_due(at(since), at(now), &TimeZone::UTC);
        assert_eq!(due("2026-11-20T03:00:00Z", "2026-11-25T12:00:00Z"), Some(at("2026-11-25T03:00:00Z")));
        assert_eq!(due("2026-11-25T03:00:00Z", "2026-11-25T12:00:00Z"), None);
        assert_eq!(due("2026-11-24T03:00:00Z", "2026-11-25T03:00:00Z"), Some(at("2026-11-25T03:00:00Z")));
    }

    #[test]
    fn delays_are_the_same_each_time_and_differ_between_backups() {
        let late = schedule("@daily ~1h");
        let moment = at("2026-11-25T00:00:00Z");
        assert_eq!(late.delay("a", moment), late.delay("a", moment));
        let delays: Vec<_> = (0..100).map(|number| late.delay(&format!("backup-{number}"), moment)).collect();
        assert!(delays.iter().all(|delay| *delay < SignedDuration::from_hours(1)));
        let early = delays.iter().filter(|delay| **delay < SignedDuration::from_mins(30)).count();
        assert!((30..70).contains(&early), "{early} of 100 in the first half");
        assert!(schedule("@daily").delay("a", moment).is_zero());
    }

    #[test]
    fn what_makes_no_sense_is_refused_and_named() {
        for text in ["", "soon", "61 * * * *", "0 0 30 2 *", "* * *", "@daily ~2d", "@daily ~x", "TZ=Mars/Base @daily"]
        {
            let error = text.parse::<Schedule>().unwrap_err();
            assert!(error.reason().contains("Europe/Berlin"), "{text}: {error}");
        }
        assert_eq!(schedule("  TZ=UTC   0 3 * * *  ").to_string(), "TZ=UTC 0 3 * * *");
    }

    proptest! {
        #[test]
        fn moments_only_ever_go_on_and_each_is_its_own_last(start in 1_700_000_000_i64..1_900_000_000, which in 0..5_usize) {
            let texts = ["*/7 * * * *", "30 2 * * *", "0 0 * * 0", "15 1-4 * * *", "@monthly"];
            let schedule = schedule(&format!("TZ=America/New_York {}", texts[which]));
            let start = Timestamp::from_second(start).unwrap();
            let mut last = start;
            for moment in schedule.upcoming(start, &TimeZone::UTC).take(50) {
                prop_assert!(moment > last);
                prop_assert_eq!(schedule.last_due(last, moment, &TimeZone::UTC), Some(moment));
                last = moment;
            }
        }
    }
}

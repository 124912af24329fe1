//! Which restore point `--at` means.

use dory_core::domain::backup::PointChoice;
use dory_core::domain::point_name::{age, reads_as_time};
use dory_core::{Error, Result};
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp, ToSpan};

/// Reads `--at`: `latest`, a time, an age, else a point's name or id.
///
/// What has no zone is UTC, as all that Dory prints is. What is given to the day, the minute or the second counts to its
/// end, so that a moment pasted from `dory show` finds its point.
///
/// # Errors
/// `InvalidInput` for what looks like a time and is none.
pub(super) fn choice(text: &str, now: Timestamp) -> Result<PointChoice> {
    let text = text.trim();
    match text {
        "latest" => Ok(PointChoice::Latest),
        "" => Err(Error::invalid("--at", text, "it is empty").with_hint(FORMS)),
        _ if reads_as_time(text) => match time(text, now) {
            Some(time) => Ok(PointChoice::Before(time)),
            None => Err(Error::invalid("--at", text, "it looks like a time, and is none").with_hint(FORMS)),
        },
        _ => Ok(PointChoice::Named(text.to_owned())),
    }
}

const FORMS: &str = "write `2026-11-23`, `2026-11-23 18:07`, `2026-11-23 18:07:33 UTC`, `18:07`, `2h`, `3 days ago`, \
                     `latest`, or a point's name or id; without a zone times are UTC";

fn time(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Some(age) = age(text) {
        return now.to_zoned(TimeZone::UTC).checked_sub(age).ok().map(|then| then.timestamp());
    }
    if text.as_bytes().get(2) == Some(&b':') {
        let (clock, zone) = split_clock(text)?;
        return last_occurrence(clock, &Zone::parse(zone)?, now);
    }
    let date: Date = text.get(..10)?.parse().ok()?;
    let rest = text.get(10..)?;
    let rest = rest.strip_prefix(['T', 't']).unwrap_or(rest).trim_start();
    if !rest.starts_with(|c: char| c.is_ascii_digit()) {
        let end = Zone::parse(rest)?.instant(date.checked_add(1.day()).ok()?.at(0, 0, 0, 0))?;
        return before(end);
    }
    let (clock, zone) = split_clock(rest)?;
    let begin = Zone::parse(zone)?.instant(date.to_datetime(clock.time))?;
    clock.end(begin)
}

/// A time of day, and how exact it is.
#[derive(Clone, Copy)]
struct Clock {
    time: Time,
    lasts: SignedDuration,
}

impl Clock {
    fn end(self, begin: Timestamp) -> Option<Timestamp> {
        if self.lasts.is_zero() { Some(begin) } else { before(begin.checked_add(self.lasts).ok()?) }
    }
}

/// The last moment before another.
fn before(end: Timestamp) -> Option<Timestamp> {
    end.checked_sub(SignedDuration::from_nanos(1)).ok()
}

/// `18:07`, `18:07:33` or `18:07:33.5`, and what follows.
fn split_clock(text: &str) -> Option<(Clock, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && !matches!(c, ':' | '.')).unwrap_or(text.len());
    let (clock, rest) = text.split_at(end);
    let lasts = match (clock.len(), clock.contains('.')) {
        (5, false) => SignedDuration::from_secs(60),
        (8, false) => SignedDuration::from_secs(1),
        (10.., true) => SignedDuration::ZERO,
        _ => return None,
    };
    Some((Clock { time: clock.parse().ok()?, lasts }, rest.trim()))
}

/// Today's or, where that is still to come, yesterday's.
fn last_occurrence(clock: Clock, zone: &Zone, now: Timestamp) -> Option<Timestamp> {
    let today = zone.date_of(now);
    let begin = zone.instant(today.to_datetime(clock.time))?;
    if begin <= now {
        return clock.end(begin);
    }
    clock.end(zone.instant(today.yesterday().ok()?.to_datetime(clock.time))?)
}

/// Where a time of day holds, and the offset that was said to be its.
struct Zone {
    zone: TimeZone,
    offset: Option<Offset>,
}

impl Zone {
    /// `UTC` where nothing is said; `Z`, `UTC`, `+02:00`, `[Europe/Berlin]`, or an offset with the zone's name after it.
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.is_empty() || ["Z", "UTC", "GMT"].iter().any(|utc| text.eq_ignore_ascii_case(utc)) {
            return Some(Self { zone: TimeZone::UTC, offset: None });
        }
        let (offset, name) = match text.split_once('[') {
            Some((offset, name)) => (offset.trim(), Some(name.strip_suffix(']')?)),
            None => (text, None),
        };
        let offset = if offset.is_empty() { None } else { Some(parse_offset(offset)?) };
        let zone = match name {
            Some(name) => TimeZone::get(name).ok()?,
            None => TimeZone::fixed(offset?),
        };
        Some(Self { zone, offset })
    }

    /// `None` where an offset was said beside the zone that is not the zone's at that time.
    fn instant(&self, at: DateTime) -> Option<Timestamp> {
        let zoned = at.to_zoned(self.zone.clone()).ok()?;
        self.offset.is_none_or(|offset| offset == zoned.offset()).then(|| zoned.timestamp())
    }

    fn date_of(&self, at: Timestamp) -> Date {
        at.to_zoned(self.zone.clone()).date()
    }
}

/// `+2`, `+02`, `+0200`, `-03:30`.
fn parse_offset(text: &str) -> Option<Offset> {
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = match (digits.split_once(':'), digits.len()) {
        (Some(parts), _) => parts,
        (None, 1 | 2) => (digits, "0"),
        (None, 4) => digits.split_at_checked(2)?,
        _ => return None,
    };
    let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
    let fits = (0..=14).contains(&hours) && (0..60).contains(&minutes);
    fits.then(|| Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok())?
}

#[cfg(test)]
mod tests {
    use dory_core::ErrorKind;

    use super::*;

    fn now() -> Timestamp {
        "2026-11-23T12:00:00Z".parse().unwrap()
    }

    fn before(text: &str) -> PointChoice {
        PointChoice::Before(text.parse().unwrap())
    }

    #[test]
    fn every_form_of_a_time_means_that_time() {
        for (text, means) in [
            ("2026-11-22", "2026-11-22T23:59:59.999999999Z"),
            ("2026-11-22 10:00", "2026-11-22T10:00:59.999999999Z"),
            ("2026-11-22T10:00", "2026-11-22T10:00:59.999999999Z"),
            ("2026-11-22 18:07:33", "2026-11-22T18:07:33.999999999Z"),
            ("2026-11-22T18:07:33", "2026-11-22T18:07:33.999999999Z"),
            ("2026-11-22 18:07:33 UTC", "2026-11-22T18:07:33.999999999Z"),
            ("2026-11-22T18:07:33Z", "2026-11-22T18:07:33.999999999Z"),
            ("2026-11-22T18:07:33.123456789Z", "2026-11-22T18:07:33.123456789Z"),
            ("2026-11-22 18:07:33+02:00", "2026-11-22T16:07:33.999999999Z"),
            ("2026-11-22 18:07 -0330", "2026-11-22T21:37:59.999999999Z"),
            ("2026-11-22T18:07:33+00:00[UTC]", "2026-11-22T18:07:33.999999999Z"),
            ("2026-11-22 [UTC]", "2026-11-22T23:59:59.999999999Z"),
        ] {
            assert_eq!(choice(text, now()).unwrap(), before(means), "{text}");
        }
    }

    #[test]
    fn a_time_of_day_is_its_last_occurrence() {
        assert_eq!(choice("11:30", now()).unwrap(), before("2026-11-23T11:30:59.999999999Z"));
        assert_eq!(choice("18:07:33", now()).unwrap(), before("2026-11-22T18:07:33.999999999Z"));
        assert_eq!(choice("18:07:33 UTC", now()).unwrap(), before("2026-11-22T18:07:33.999999999Z"));
        assert_eq!(choice("13:30 +02:00", now()).unwrap(), before("2026-11-23T11:30:59.999999999Z"));
    }

    #[test]
    fn ages_count_from_now() {
        assert_eq!(choice("2h", now()).unwrap(), before("2026-11-23T10:00:00Z"));
        assert_eq!(choice("2h ago", now()).unwrap(), before("2026-11-23T10:00:00Z"));
        assert_eq!(choice("3 days ago", now()).unwrap(), before("2026-11-20T12:00:00Z"));
        assert_eq!(choice("1h30m", now()).unwrap(), before("2026-11-23T10:30:00Z"));
    }

    #[test]
    fn names_and_ids_stay_what_they_are() {
        assert_eq!(choice("latest", now()).unwrap(), PointChoice::Latest);
        for name in ["before production reload 2016-02-10", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "v2", "012D", "2026-11-23-x"]
        {
            assert_eq!(choice(name, now()).unwrap(), PointChoice::Named(name.to_owned()), "{name}");
        }
    }

    #[test]
    fn what_looks_like_a_time_and_is_none_is_refused_with_the_forms() {
        for text in [
            "",
            "now",
            "yesterday",
            "2026-11",
            "2026-1-5",
            "2026-13-01",
            "2026-11-23 25:00",
            "2026-11-23 4pm",
            "2026-11-23 18",
            "18:7",
            "24:01",
            "18:07 Mars",
            "2026-11-23 18:07 [Mars/Crater]",
            "2026-11-23 18:07 +99:00",
            "2026-11-23 18:07 +02:00[UTC]",
            "3 dayz ago",
            "99999 years ago",
        ] {
            let error = choice(text, now()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}");
            assert!(error.hint().unwrap().contains("`3 days ago`"), "{text}");
        }
    }
}

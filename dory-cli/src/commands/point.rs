//! Which restore point `--at` means.

use dory_core::domain::backup::PointChoice;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

/// Reads `--at`: `latest`, a moment (`2026-11-23T04:50:12Z`, `2026-11-23 04:50`), a day (its end), an age (`2h`,
/// `3 days`), else a point's name or id.
pub(super) fn choice(text: &str, now: Timestamp) -> PointChoice {
    if text == "latest" {
        return PointChoice::Latest;
    }
    time(text, now).map_or_else(|| PointChoice::Named(text.to_owned()), PointChoice::Before)
}

fn time(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Some(moment);
    }
    let zone = TimeZone::system();
    if let Ok(day) = text.parse::<Date>() {
        return Some(day.tomorrow().ok()?.to_zoned(zone).ok()?.timestamp());
    }
    if let Ok(moment) = text.parse::<DateTime>() {
        return Some(moment.to_zoned(zone).ok()?.timestamp());
    }
    let age: Span = text.trim_end_matches("ago").trim().parse().ok()?;
    now.to_zoned(zone).checked_sub(age).ok().map(|then| then.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_ages_and_names_are_told_apart() {
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        let before = |text: &str| PointChoice::Before(text.parse().unwrap());
        assert_eq!(choice("latest", now), PointChoice::Latest);
        assert_eq!(choice("2026-11-22T10:00:00Z", now), before("2026-11-22T10:00:00Z"));
        assert_eq!(choice("2h ago", now), before("2026-11-23T10:00:00Z"));
        assert_eq!(choice("3 hours", now), before("2026-11-23T09:00:00Z"));
        for name in ["before production reload 2016-02-10", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "v2"] {
            assert_eq!(choice(name, now), PointChoice::Named(name.to_owned()), "{name}");
        }
    }
}

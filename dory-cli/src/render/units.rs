//! Sizes, durations and moments, as people read them.

pub(crate) use dory_core::domain::quantity::{bytes, count, duration};
use jiff::{Timestamp, Unit};

/// `2026-11-23 04:50:12 UTC`: wherever the host is, so that `--at` takes it, here and on every other.
pub(crate) fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// `3 min ago`, `2 days ago`.
pub(crate) fn ago(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(at).round(Unit::Second).map_or(0, |duration| duration.as_secs());
    let (count, unit) = match seconds {
        ..=-1 => return format!("at {}", moment(at)),
        0..=89 => return if seconds < 10 { "just now".to_owned() } else { format!("{seconds} s ago") },
        90..=5_399 => ((seconds + 30) / 60, "min"),
        5_400..=129_599 => ((seconds + 1_800) / 3_600, "h"),
        _ => ((seconds + 43_200) / 86_400, "days"),
    };
    format!("{count} {unit} ago")
}

/// How many inodes: every folder, link and mount counts, as in the engines' own reports.
pub(crate) fn inodes(number: u64) -> String {
    if number == 1 { "1 file or folder".to_owned() } else { format!("{number} files and folders") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_utc_whatever_the_hosts_zone() {
        assert_eq!(moment("2026-11-23T04:50:12.9Z".parse().unwrap()), "2026-11-23 04:50:12 UTC");
    }

    #[test]
    fn ages_use_the_unit_that_fits() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let before = |seconds: i64| Timestamp::from_second(1_000_000 - seconds).unwrap();
        assert_eq!(ago(before(3), now), "just now");
        assert_eq!(ago(before(3600), now), "60 min ago");
        assert_eq!(ago(before(86_400 * 3), now), "3 days ago");
    }
}

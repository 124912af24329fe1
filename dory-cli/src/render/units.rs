//! Sizes, durations and moments, as people read them.

use jiff::{SignedDuration, Timestamp, Unit};

/// `1.4 GiB`; exact below 1 KiB.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut size = bytes as f64 / 1024.0;
    let mut unit = UNITS[0];
    for next in &UNITS[1..] {
        if size < 1023.95 {
            break;
        }
        size /= 1024.0;
        unit = next;
    }
    if size < 99.95 { format!("{size:.1} {unit}") } else { format!("{size:.0} {unit}") }
}

/// `0.82 s`, `12.4 s`, `3 min 20 s`, `2 h 5 min`.
pub(crate) fn duration(duration: SignedDuration) -> String {
    let seconds = duration.as_secs_f64();
    let whole = duration.as_secs();
    match seconds {
        ..10.0 => format!("{seconds:.2} s"),
        ..60.0 => format!("{seconds:.1} s"),
        ..3600.0 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

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

/// `1 file`, `2 files`.
pub(crate) fn count(number: usize, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits_at_most() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (1_048_575, "1.0 MiB"),
            (5 << 30, "5.0 GiB"),
            (150 << 20, "150 MiB"),
        ];
        for (size, text) in cases {
            assert_eq!(bytes(size), text);
        }
    }

    #[test]
    fn moments_are_utc_whatever_the_hosts_zone() {
        assert_eq!(moment("2026-11-23T04:50:12.9Z".parse().unwrap()), "2026-11-23 04:50:12 UTC");
    }

    #[test]
    fn durations_and_ages_use_the_unit_that_fits() {
        assert_eq!(duration(SignedDuration::from_millis(823)), "0.82 s");
        assert_eq!(duration(SignedDuration::from_secs(200)), "3 min 20 s");
        let now = Timestamp::from_second(1_000_000).unwrap();
        let before = |seconds: i64| Timestamp::from_second(1_000_000 - seconds).unwrap();
        assert_eq!(ago(before(3), now), "just now");
        assert_eq!(ago(before(3600), now), "60 min ago");
        assert_eq!(ago(before(86_400 * 3), now), "3 days ago");
    }
}

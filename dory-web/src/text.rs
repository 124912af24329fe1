//! Sizes, durations and ages, as people read them.

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
    let (seconds, whole) = (duration.as_secs_f64(), duration.as_secs());
    match seconds {
        ..10.0 => format!("{seconds:.2} s"),
        ..60.0 => format!("{seconds:.1} s"),
        ..3600.0 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

/// `3 min ago`, `in 2 days`.
pub(crate) fn age(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(at).round(Unit::Second).map_or(0, |duration| duration.as_secs());
    let (is_past, seconds) = (seconds >= 0, seconds.abs());
    let (count, unit) = match seconds {
        0..=9 => return "just now".to_owned(),
        10..=89 => (seconds, "s"),
        90..=5_399 => ((seconds + 30) / 60, "min"),
        5_400..=129_599 => ((seconds + 1_800) / 3_600, "h"),
        _ => ((seconds + 43_200) / 86_400, "days"),
    };
    if is_past { format!("{count} {unit} ago") } else { format!("in {count} {unit}") }
}

/// `1 point`, `2 points`.
pub(crate) fn count(number: usize, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

/// A text cut to so many characters.
pub(crate) fn short(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_ages_use_the_unit_that_fits() {
        assert_eq!((bytes(1023), bytes(1536), bytes(150 << 20)), ("1023 B".into(), "1.5 KiB".into(), "150 MiB".into()));
        let now = Timestamp::from_second(1_000_000).unwrap();
        let at = |seconds: i64| Timestamp::from_second(1_000_000 + seconds).unwrap();
        assert_eq!(age(at(-3), now), "just now");
        assert_eq!(age(at(-3_600), now), "60 min ago");
        assert_eq!(age(at(86_400 * 3), now), "in 3 days");
        assert_eq!(short("größer", 4), "größ…");
    }
}

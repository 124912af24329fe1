//! What a restore point may be called: nothing that `--at` would take for a time or an id.

use jiff::Span;

use super::id::PointId;
use crate::error::{Error, Result};

/// Checks a name for a point.
///
/// # Errors
/// `InvalidInput`, saying what is allowed.
pub fn check_point_name(name: &str) -> Result<()> {
    let refuse = |reason: &str| {
        Err(Error::invalid("point name", name, reason)
            .with_hint("add a word that makes it a name: `before the move of 2026-11-23`"))
    };
    if name.trim().is_empty() || name.len() > 200 || name.chars().any(char::is_control) {
        return Err(Error::invalid("point name", name, "1 to 200 characters on one line are allowed"));
    }
    if name == "latest" {
        return refuse("`latest` means the newest point");
    }
    if PointId::parse(name).is_ok() {
        return refuse("it reads as a point's id");
    }
    if reads_as_time(name) {
        return refuse("it reads as a time");
    }
    Ok(())
}

/// Whether a person who wrote this meant a time, well written or not. A date and a word, `2026-11-23 reload`, is a name.
#[must_use]
pub fn reads_as_time(text: &str) -> bool {
    let text = text.trim();
    if matches!(text.to_ascii_lowercase().as_str(), "now" | "today" | "yesterday" | "tomorrow") {
        return true;
    }
    if let Some(rest) = after_date(text) {
        let digit_at = |at: usize| rest.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
        let clock = matches!(rest.as_bytes().first(), Some(b'T' | b't')) && digit_at(1);
        let words = rest.starts_with(' ') && rest.trim_start().starts_with(|c: char| c.is_ascii_digit());
        return rest.is_empty() || clock || words || reads_as_zone(rest);
    }
    let starts_with_digit = text.starts_with(|c: char| c.is_ascii_digit());
    starts_with_clock(text) || age(text).is_some() || (starts_with_digit && text.ends_with(" ago"))
}

/// How long ago: `2h`, `1h30m`, `3 days ago`. Units are written small, for ids have capitals.
#[must_use]
pub fn age(text: &str) -> Option<Span> {
    let text = text.trim();
    let allowed = |c: char| c.is_ascii_digit() || c.is_ascii_lowercase() || matches!(c, ' ' | '.');
    if !text.starts_with(|c: char| c.is_ascii_digit()) || !text.chars().all(allowed) {
        return None;
    }
    let span = text.strip_suffix("ago").unwrap_or(text).trim_end();
    span.parse().ok()
}

/// What follows `2026-11` or `2026-11-23`, where a text begins like that.
fn after_date(text: &str) -> Option<&str> {
    let rest = after_digits(text, 4, 4)?;
    let rest = after_digits(rest.strip_prefix('-')?, 1, 2)?;
    Some(rest.strip_prefix('-').and_then(|day| after_digits(day, 1, 2)).unwrap_or(rest))
}

fn starts_with_clock(text: &str) -> bool {
    after_digits(text, 1, 2).and_then(|rest| after_digits(rest.strip_prefix(':')?, 1, 2)).is_some()
}

/// Whether it is a zone and nothing else: ` UTC`, `Z`, ` +02:00`, `[Europe/Berlin]`.
fn reads_as_zone(text: &str) -> bool {
    let zone = text.trim();
    let spaced = text.starts_with(' ');
    let named = zone.starts_with('[') && zone.ends_with(']');
    let offset = spaced && zone.len() > 1 && zone.starts_with(['+', '-']) && zone[1..].starts_with(char::is_numeric);
    named || offset || zone.eq_ignore_ascii_case("z") || (spaced && ["UTC", "GMT"].contains(&zone))
}

/// What follows the digits at the start, where there are at least and at most so many.
fn after_digits(text: &str, least: usize, most: usize) -> Option<&str> {
    let count = text.bytes().take_while(u8::is_ascii_digit).count();
    (least..=most).contains(&count).then(|| &text[count..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_from_names_also_when_badly_written() {
        for time in [
            "now",
            "Yesterday",
            "2026-11",
            "2026-11-23",
            "2026-1-5",
            "2026-13-45",
            "2026-11-23 Z",
            "2026-11-23T18:07",
            "2026-11-23 25:00",
            "2026-11-23 18:07:33 UTC",
            "2026-11-23 4pm",
            "18:07",
            "18:7",
            "18:07:33 +02:00",
            "2h",
            "1h30m",
            "3 days ago",
            "3 dayz ago",
        ] {
            assert!(reads_as_time(time), "{time}");
        }
        for name in [
            "before production reload 2016-02-10",
            "2026-11-23 before reload",
            "2026-11-23-nightly",
            "2026-11-23-1",
            "v2",
            "17",
            "10h release",
            "012D",
            "now or never",
            "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        ] {
            assert!(!reads_as_time(name), "{name}");
        }
    }

    #[test]
    fn names_that_mean_something_else_are_refused() {
        for name in ["", "  ", "a\nb", "latest", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "2026-01-01", "2h", "18:07"] {
            assert!(check_point_name(name).is_err(), "{name}");
        }
        for name in ["before production reload 2016-02-10", "v2", "2026-11-23-nightly"] {
            assert!(check_point_name(name).is_ok(), "{name}");
        }
    }
}

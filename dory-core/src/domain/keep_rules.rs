//! What of a backup is to stay, as a user writes it: `last=3,daily=7,weekly=4,within=30d`.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{DateTime, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What of a backup is to stay. Without any rule, everything does.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeepRules {
    /// So many of the newest.
    pub last: u32,
    /// The newest of each of so many hours that have any; and so on.
    pub hourly: u32,
    /// The newest of each of so many days.
    pub daily: u32,
    /// The newest of each of so many weeks, which begin on Mondays.
    pub weekly: u32,
    /// The newest of each of so many months.
    pub monthly: u32,
    /// The newest of each of so many years.
    pub yearly: u32,
    /// Everything that is younger than this, as it was written: `30d`.
    within: Option<(String, Span)>,
}

/// What a rule keeps the newest point of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Period {
    /// An hour of the clock.
    Hourly,
    /// A day of the calendar.
    Daily,
    /// A week, from Monday.
    Weekly,
    /// A month of the calendar.
    Monthly,
    /// A year of the calendar.
    Yearly,
}

impl Period {
    /// The rule's word: `hourly`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hourly => "hourly",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::Yearly => "yearly",
        }
    }

    /// When the period that `moment` is in began, where days begin as in `zone`. An hour that a clock shows twice is one.
    #[must_use]
    pub fn begin(self, moment: Timestamp, zone: &TimeZone) -> Zoned {
        let civil = zone.to_datetime(moment);
        let date = civil.date();
        let begin: DateTime = match self {
            Self::Hourly => date.at(civil.hour(), 0, 0, 0),
            Self::Daily => date.into(),
            Self::Weekly => date
                .nth_weekday(-1, Weekday::Monday)
                .map_or(date, |before| if date.weekday() == Weekday::Monday { date } else { before })
                .into(),
            Self::Monthly => date.first_of_month().into(),
            Self::Yearly => date.first_of_year().into(),
        };
        // A day may begin at one o'clock, where clocks move on at midnight.
        zone.to_ambiguous_zoned(begin).compatible().unwrap_or_else(|_| moment.to_zoned(zone.clone()))
    }
}

impl KeepRules {
    /// The most that a rule may keep.
    const MOST: u32 = 10_000;

    const WORDS: &'static str = "`last`, `hourly`, `daily`, `weekly`, `monthly`, `yearly` with a number, and `within` with a time, are allowed: \
         `last=3,daily=7,weekly=4,within=30d`";

    /// Whether there is no rule.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.last == 0 && self.within.is_none() && self.periods().all(|(_, count)| count == 0)
    }

    /// How many of each period are kept.
    pub fn periods(&self) -> impl Iterator<Item = (Period, u32)> {
        [
            (Period::Hourly, self.hourly),
            (Period::Daily, self.daily),
            (Period::Weekly, self.weekly),
            (Period::Monthly, self.monthly),
            (Period::Yearly, self.yearly),
        ]
        .into_iter()
    }

    /// Whether something that was made at `moment` is young enough to be kept for that.
    #[must_use]
    pub fn is_within(&self, moment: Timestamp, now: Timestamp, zone: &TimeZone) -> bool {
        let Some((_, span)) = &self.within else { return false };
        // What reaches beyond the calendar reaches everything.
        now.to_zoned(zone.clone()).checked_sub(*span).map_or(true, |oldest| moment >= oldest.timestamp())
    }

    fn set(&mut self, word: &str, value: &str) -> Result<(), String> {
        let field = match word {
            "last" => &mut self.last,
            "hourly" => &mut self.hourly,
            "daily" => &mut self.daily,
            "weekly" => &mut self.weekly,
            "monthly" => &mut self.monthly,
            "yearly" => &mut self.yearly,
            "within" => {
                let span: Span = value.parse().map_err(|_| format!("`{value}` is no time such as `30d` or `6mo`"))?;
                if span.is_negative() || span.is_zero() {
                    return Err(format!("`{value}` is no time to keep anything for"));
                }
                self.within = Some((value.to_owned(), span));
                return Ok(());
            }
            _ => return Err(format!("there is no rule `{word}`")),
        };
        *field = value.parse().map_err(|_| format!("`{value}` is no number of points to keep"))?;
        if *field > Self::MOST { Err(format!("{} is the most", Self::MOST)) } else { Ok(()) }
    }
}

impl FromStr for KeepRules {
    type Err = Error;

    /// Rules with commas between them; the empty text has none.
    fn from_str(text: &str) -> Result<Self> {
        let mut rules = Self::default();
        let mut seen: Vec<&str> = Vec::new();
        for rule in text.split(',').map(str::trim).filter(|rule| !rule.is_empty()) {
            let wrong = |reason: String| Error::invalid("what to keep", text, format!("{reason}; {}", Self::WORDS));
            let (word, value) = rule.split_once('=').ok_or_else(|| wrong(format!("`{rule}` has no `=`")))?;
            let (word, value) = (word.trim(), value.trim());
            if seen.contains(&word) {
                return Err(wrong(format!("`{word}` stands twice")));
            }
            seen.push(word);
            rules.set(word, value).map_err(wrong)?;
        }
        Ok(rules)
    }
}

impl fmt::Display for KeepRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = std::iter::once(("last", self.last)).chain(self.periods().map(|(p, count)| (p.as_str(), count)));
        let mut rules: Vec<String> =
            counts.filter(|(_, count)| *count > 0).map(|(word, count)| format!("{word}={count}")).collect();
        rules.extend(self.within.iter().map(|(written, _)| format!("within={written}")));
        f.write_str(&rules.join(","))
    }
}

impl PartialEq for KeepRules {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Eq for KeepRules {}

impl TryFrom<String> for KeepRules {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<KeepRules> for String {
    fn from(rules: KeepRules) -> Self {
        rules.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_print_as_they_are_written() {
        for text in ["", "last=3", "last=3,hourly=24,daily=7,weekly=4,monthly=12,yearly=2,within=30d", "within=6mo"] {
            assert_eq!(text.parse::<KeepRules>().unwrap().to_string(), text);
        }
        assert_eq!(" daily = 7 , last=0, ".parse::<KeepRules>().unwrap().to_string(), "daily=7");
        assert!("last=0".parse::<KeepRules>().unwrap().is_empty());
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_is_allowed() {
        for text in
            ["daily", "daily=-1", "daily=many", "dayly=7", "daily=7,daily=8", "within=-3d", "within=soon", "last=99999"]
        {
            let error = text.parse::<KeepRules>().unwrap_err();
            assert!(error.reason().contains("`daily`") && error.subject() == text, "{text}: {error}");
        }
    }

    #[test]
    fn periods_begin_where_the_zone_says() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let begin = |period: Period, text: &str| period.begin(at(text), &zone).datetime().to_string();
        assert_eq!(begin(Period::Daily, "2026-11-24T23:30:00Z"), "2026-11-25T00:00:00");
        assert_eq!(begin(Period::Weekly, "2026-11-25T12:00:00Z"), "2026-11-23T00:00:00");
        assert_eq!(begin(Period::Weekly, "2026-11-22T23:30:00Z"), "2026-11-23T00:00:00");
        assert_eq!(begin(Period::Monthly, "2026-11-25T12:00:00Z"), "2026-11-01T00:00:00");
        assert_eq!(begin(Period::Yearly, "2025-12-31T23:30:00Z"), "2026-01-01T00:00:00");
        // Half past two comes twice that night, and is one hour.
        let (first, second) = (at("2026-10-25T00:30:00Z"), at("2026-10-25T01:30:00Z"));
        assert_eq!(Period::Hourly.begin(first, &zone), Period::Hourly.begin(second, &zone));
    }
}

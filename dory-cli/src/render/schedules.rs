//! When backups are due.

use dory_core::domain::schedule::Schedule;
use dory_core::services::{ScheduleOverview, ScheduleSource};
use jiff::Timestamp;

use super::table::table;
use super::units;

/// All that have a schedule, a line each.
pub(crate) fn list(all: &[ScheduleOverview]) -> String {
    if all.is_empty() {
        return "nothing has a schedule: `dory schedule <container> set \"0 3 * * *\"`\n".to_owned();
    }
    let row = |one: &ScheduleOverview| {
        let next = match (standing(one), one.next.first()) {
            (Some(standing), _) => standing,
            (None, Some(next)) => units::moment(*next),
            (None, None) => "-".to_owned(),
        };
        let schedule = one.schedule.as_ref().map_or_else(|| "off".to_owned(), ToString::to_string);
        [one.container.clone(), one.server.to_string(), schedule, source(one.source).to_owned(), next]
    };
    table(["CONTAINER", "SERVER", "SCHEDULE", "BY", "NEXT"], &all.iter().map(row).collect::<Vec<_>>())
}

/// One, with its next turns.
pub(crate) fn one(one: &ScheduleOverview) -> String {
    let mut text = String::new();
    let mut field = |name: &str, value: &str| text.push_str(&format!("{name:<11}{value}\n"));
    field("container", &format!("{} on {}", one.container, one.server));
    match &one.schedule {
        Some(schedule) => field("schedule", &format!("{schedule} (by {})", source(one.source))),
        None if one.source == ScheduleSource::Nobody => field("schedule", "none"),
        None => field("schedule", &format!("off (by {})", source(one.source))),
    }
    if let Some(standing) = standing(one) {
        field("state", &standing);
    }
    if let Some(skip) = one.skip {
        field("left out", &units::moment(skip));
    }
    for (number, next) in one.next.iter().enumerate() {
        field(if number == 0 { "next" } else { "" }, &turn(*next, one.schedule.as_ref()));
    }
    text
}

/// A turn, by UTC and by the clock that its schedule goes by.
fn turn(at: Timestamp, schedule: Option<&Schedule>) -> String {
    let there = schedule.and_then(Schedule::zone).map(|zone| {
        let name = zone.iana_name().unwrap_or("there");
        format!(" ({} in {name})", at.to_zoned(zone.clone()).strftime("%H:%M:%S"))
    });
    units::moment(at) + &there.unwrap_or_default()
}

fn standing(one: &ScheduleOverview) -> Option<String> {
    match one.paused_since {
        Some(since) => Some(format!("paused since {}", units::moment(since))),
        None if one.left_out => Some("left out: `dory mark` takes it in again".to_owned()),
        None => None,
    }
}

fn source(source: ScheduleSource) -> &'static str {
    match source {
        ScheduleSource::Catalog => "catalog",
        ScheduleSource::Label => "label",
        ScheduleSource::Fleet => "fleet's settings",
        ScheduleSource::Nobody => "nobody",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_shows_the_clock_that_it_goes_by() {
        let schedule: Schedule = "TZ=Europe/Berlin 30 2 * * *".parse().unwrap();
        let at = "2026-11-27T01:30:00Z".parse().unwrap();
        assert_eq!(turn(at, Some(&schedule)), "2026-11-27 01:30:00 UTC (02:30:00 in Europe/Berlin)");
    }
}

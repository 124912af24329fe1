//! What is told at once: each thing once, until it changes.

use dory_core::ErrorKind;
use dory_core::domain::report_state::ReportState;
use dory_core::domain::run::{Outcome, RunKind};
use dory_core::domain::settings::{Digest, ReportSettings};

use super::bench::{Fleet, at, server};

/// Tells of `fleet`, as words: `failing shop database on alpha`.
fn tell(state: &mut ReportState, fleet: &Fleet) -> Vec<String> {
    let changes = fleet.with(|situation| state.tell(situation));
    changes.iter().map(|change| format!("{} {}", change.topic.as_str(), change.subject)).collect()
}

fn fleet() -> (Fleet, ReportState) {
    let mut fleet = Fleet::new("2026-11-26T06:00:00Z");
    fleet.serve("alpha", "2026-11-26T05:59:50Z");
    fleet.back_up("db", "alpha", None);
    (fleet, ReportState::new(at("2026-11-26T05:00:00Z")))
}

const NOTHING: [&str; 0] = [];

#[test]
fn a_backup_that_begins_to_fail_is_told_of_once_and_its_recovery_too() {
    let (mut fleet, mut state) = fleet();
    fleet.made("db", "2026-11-26T01:00:00Z", 1);
    assert_eq!(tell(&mut state, &fleet), NOTHING);
    fleet.failed("db", "2026-11-26T02:00:00Z", ErrorKind::Full, "no space left");
    assert_eq!(tell(&mut state, &fleet), ["failing db database on alpha"]);
    fleet.failed("db", "2026-11-26T03:00:00Z", ErrorKind::Unavailable, "no answer");
    assert_eq!(tell(&mut state, &fleet), NOTHING, "it still fails");
    fleet.made("db", "2026-11-26T04:00:00Z", 1);
    assert_eq!(tell(&mut state, &fleet), ["recovered db database on alpha"]);
    assert_eq!(tell(&mut state, &fleet), NOTHING);
    fleet.failed("db", "2026-11-26T05:00:00Z", ErrorKind::Full, "no space left");
    assert_eq!(tell(&mut state, &fleet), ["failing db database on alpha"]);
}

#[test]
fn containers_that_stay_down_are_told_of_even_while_the_backup_fails() {
    let (mut fleet, mut state) = fleet();
    fleet.failed("db", "2026-11-26T01:00:00Z", ErrorKind::Full, "no space left");
    assert_eq!(tell(&mut state, &fleet), ["failing db database on alpha"]);
    fleet.failed("db", "2026-11-26T02:00:00Z", ErrorKind::ContainerDown, "it does not run");
    assert_eq!(tell(&mut state, &fleet), ["down db database on alpha"]);
    fleet.failed("db", "2026-11-26T03:00:00Z", ErrorKind::ContainerDown, "it does not run");
    fleet.failed("db", "2026-11-26T04:00:00Z", ErrorKind::Full, "no space left");
    assert_eq!(tell(&mut state, &fleet), NOTHING);
    fleet.failed("db", "2026-11-26T04:30:00Z", ErrorKind::ContainerDown, "it does not run");
    assert_eq!(tell(&mut state, &fleet), ["down db database on alpha"], "once more");
    fleet.made("db", "2026-11-26T05:00:00Z", 1);
    assert_eq!(tell(&mut state, &fleet), ["recovered db database on alpha"]);
}

#[test]
fn a_point_that_is_suspect_is_told_of_once_and_as_nothing_else() {
    let (mut fleet, mut state) = fleet();
    fleet.made_suspect("db", "2026-11-26T01:00:00Z");
    assert_eq!(tell(&mut state, &fleet), ["suspect db database on alpha"]);
    assert_eq!(tell(&mut state, &fleet), NOTHING);
    fleet.made_suspect("db", "2026-11-26T02:00:00Z");
    assert_eq!(tell(&mut state, &fleet), ["suspect db database on alpha"], "another point");
}

#[test]
fn what_was_told_holds_while_no_run_says_otherwise() {
    let (mut fleet, mut state) = fleet();
    fleet.failed("db", "2026-11-26T01:00:00Z", ErrorKind::Full, "no space left");
    assert_eq!(tell(&mut state, &fleet).len(), 1);
    fleet.runs.clear();
    assert_eq!(tell(&mut state, &fleet), NOTHING, "its runs are too old to be read");
    fleet.ran("db", "2026-11-26T02:00:00Z", RunKind::Prune, Outcome::Failed, None);
    assert_eq!(tell(&mut state, &fleet), NOTHING, "that was no backup");
    fleet.made("db", "2026-11-26T05:00:00Z", 1);
    assert_eq!(tell(&mut state, &fleet), ["recovered db database on alpha"]);
    fleet.backups.clear();
    assert_eq!(tell(&mut state, &fleet), NOTHING);
    assert!(state.backups.is_empty());
}

#[test]
fn a_server_that_goes_silent_is_told_of_once_and_its_return_too() {
    let (mut fleet, mut state) = fleet();
    fleet.silent.insert(server("alpha"));
    assert_eq!(tell(&mut state, &fleet), ["silent server alpha"]);
    assert_eq!(tell(&mut state, &fleet), NOTHING);
    fleet.silent.clear();
    assert_eq!(tell(&mut state, &fleet), ["back server alpha"]);
    assert_eq!(tell(&mut state, &fleet), NOTHING);
}

#[test]
fn a_digest_is_due_at_its_hour_in_its_zone_once() {
    let mut state = ReportState::new(at("2026-03-27T12:00:00Z"));
    let settings = ReportSettings { hour: 7, zone: "Europe/Berlin".into(), ..ReportSettings::default() };
    let due = |state: &ReportState, settings: &ReportSettings, now: &str| state.digest_due(settings, at(now)).unwrap();
    assert_eq!(due(&state, &settings, "2026-03-28T05:59:00Z"), None);
    assert_eq!(due(&state, &settings, "2026-03-28T06:00:00Z"), Some(at("2026-03-28T06:00:00Z")));
    state.digest.at = at("2026-03-28T06:00:20Z");
    assert_eq!(due(&state, &settings, "2026-03-28T23:00:00Z"), None);
    // Clocks moved on that night.
    assert_eq!(due(&state, &settings, "2026-03-29T05:00:00Z"), Some(at("2026-03-29T05:00:00Z")));
    // Three were missed: one is made up for.
    assert_eq!(due(&state, &settings, "2026-03-31T20:00:00Z"), Some(at("2026-03-31T05:00:00Z")));
    // By a clock that is late, it is not due a second time.
    state.digest.at = at("2026-03-31T05:00:10Z");
    assert_eq!(due(&state, &settings, "2026-03-31T04:55:00Z"), None);
    let weekly = ReportSettings { digest: Digest::Weekly, ..settings.clone() };
    assert_eq!(due(&state, &weekly, "2026-04-05T20:00:00Z"), None);
    assert_eq!(due(&state, &weekly, "2026-04-06T05:00:00Z"), Some(at("2026-04-06T05:00:00Z")), "a Monday");
    let off = ReportSettings { digest: Digest::Off, ..settings };
    assert_eq!(due(&state, &off, "2027-04-06T05:00:00Z"), None);
}

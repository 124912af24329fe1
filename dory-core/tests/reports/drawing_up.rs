//! What a report says of a fleet, word by word.

use dory_core::ErrorKind;
use dory_core::domain::health::Trouble;
use dory_core::domain::price::{PriceOverrides, Prices};
use dory_core::domain::report_state::Baseline;
use dory_core::domain::run::{Outcome, RunKind};
use dory_core::domain::store_url::StoreScheme;

use super::bench::{Fleet, at, server};

/// A fleet with one of everything that can be.
fn fleet() -> (Fleet, Baseline) {
    let mut fleet = Fleet::new("2026-11-25T06:00:00Z");
    fleet.serve("alpha", "2026-11-25T05:59:50Z");
    fleet.serve("beta", "2026-11-24T22:10:00Z");
    fleet.serve("gamma", "2026-11-20T12:00:00Z");
    for (name, on) in [("shop", "alpha"), ("mail", "alpha"), ("wiki", "alpha"), ("git", "beta"), ("old", "beta")] {
        fleet.back_up(name, on, Some("0 3 * * *"));
        fleet.made(name, "2026-11-24T03:00:10Z", 100);
    }
    fleet.back_up("never", "alpha", None);
    let before = fleet.baseline();

    fleet.now = at("2026-11-26T06:00:00Z");
    fleet.servers[0].ping.at = at("2026-11-26T05:59:50Z");
    fleet.servers[2].lease.released = true;
    fleet.silent = [server("beta")].into();
    for night in ["2026-11-25T03:00:12Z", "2026-11-26T03:00:09Z"] {
        fleet.made("shop", night, 20);
    }
    fleet.failed("mail", "2026-11-25T03:00:12Z", ErrorKind::Full, "no space left");
    fleet.failed("mail", "2026-11-26T03:00:12Z", ErrorKind::Full, "no space left <script>alert(1)</script>");
    fleet.made("wiki", "2026-11-25T03:00:14Z", 5);
    fleet.made_suspect("wiki", "2026-11-26T03:00:14Z");
    let present = fleet.present.get_mut(&server("beta")).unwrap();
    present.retain(|container| container.name.as_str() != "old");
    let mut came = present[0].clone();
    came.name = "ci".parse().unwrap();
    present.push(came);
    fleet.backup("shop").name = "shop & \"friends\" <b>".into();
    fleet.damaged.push("cannot read document `backups/x.json`: it is damaged".into());
    fleet.prices = Prices::of(StoreScheme::Gs, &PriceOverrides::default());
    (fleet, before)
}

#[test]
fn a_report_in_plain_text() {
    let (fleet, before) = fleet();
    insta::assert_snapshot!("text", fleet.report(&before).to_text());
}

#[test]
fn a_report_as_html() {
    let (fleet, before) = fleet();
    let html = fleet.report(&before).to_html();
    assert!(!html.contains("<script") && !html.contains("<b>"), "{html}");
    insta::assert_snapshot!("html", html);
}

#[test]
fn a_report_for_programs() {
    let (fleet, before) = fleet();
    let json = serde_json::to_value(fleet.report(&before)).unwrap();
    assert_eq!(json["attention"][0]["subject"], "mail database on alpha");
    assert_eq!(json["new"][0]["container"], "ci");
    assert_eq!(json["removed"][0]["container"], "old");
    assert_eq!(json["servers"][1]["state"], "silent");
    assert_eq!(json["backups"].as_array().unwrap().len(), 6);
    assert_eq!(json["backups"][0]["troubles"][0]["type"], "failing");
}

#[test]
fn a_fleet_without_troubles_says_so() {
    let mut fleet = Fleet::new("2026-11-26T06:00:00Z");
    fleet.back_up("db", "alpha", Some("0 3 * * *"));
    fleet.made("db", "2026-11-26T03:00:10Z", 1);
    let report = fleet.report(&Baseline::bare(at("2026-11-25T06:00:00Z")));
    assert_eq!(report.headline(), "Dory: all is well, 1 restore point made");
    assert_eq!(report.healthy(), 1);
    assert!(report.attention.is_empty() && report.cost.is_none());
}

fn troubles(fleet: &Fleet) -> Vec<&'static str> {
    let report = fleet.report(&Baseline::bare(at("2026-11-25T06:00:00Z")));
    report.backups[0].troubles.iter().map(Trouble::word).collect()
}

#[test]
fn a_backup_is_overdue_by_its_schedule_and_not_by_the_calendar() {
    let mut fleet = Fleet::new("2026-11-26T03:59:00Z");
    fleet.back_up("db", "alpha", Some("0 3 * * *"));
    fleet.made("db", "2026-11-25T03:00:10Z", 1);
    assert_eq!(troubles(&fleet), [""; 0], "it may be on its way");
    fleet.now = at("2026-11-26T04:01:00Z");
    assert_eq!(troubles(&fleet), ["OVERDUE"]);
    fleet.backup("db").marked = Some(false);
    assert_eq!(troubles(&fleet), [""; 0], "somebody took it out");
    fleet.backup("db").marked = Some(true);
    fleet.backup("db").policy.schedule = Some("0 3 * * 1".parse().unwrap());
    assert_eq!(troubles(&fleet), [""; 0], "on Mondays alone");
    fleet.backup("db").policy.schedule = None;
    fleet.defaults.schedule = Some("0 3 * * *".parse().unwrap());
    assert_eq!(troubles(&fleet), ["OVERDUE"], "by the fleet's settings");
}

#[test]
fn what_a_later_run_mended_is_no_trouble() {
    let mut fleet = Fleet::new("2026-11-26T06:00:00Z");
    fleet.back_up("db", "alpha", None);
    fleet.failed("db", "2026-11-26T01:00:00Z", ErrorKind::ContainerDown, "it does not run");
    assert_eq!(troubles(&fleet), ["CONTAINERS DOWN"]);
    fleet.ran("db", "2026-11-26T01:30:00Z", RunKind::Backup, Outcome::Cancelled, None);
    assert_eq!(troubles(&fleet), ["CONTAINERS DOWN"], "a run that was cancelled says nothing");
    fleet.ran("db", "2026-11-26T02:00:00Z", RunKind::Restore, Outcome::Succeeded, None);
    assert_eq!(troubles(&fleet), ["FAILING"], "a restore brought them up, and made no backup");
    fleet.made("db", "2026-11-26T03:00:00Z", 1);
    assert_eq!(troubles(&fleet), [""; 0]);
}

#[test]
fn a_container_that_was_made_anew_is_no_orphan() {
    let mut fleet = Fleet::new("2026-11-26T06:00:00Z");
    fleet.back_up("db", "alpha", None);
    fleet.present.get_mut(&server("alpha")).unwrap()[0].id = "beef".parse().unwrap();
    assert_eq!(troubles(&fleet), [""; 0]);
    fleet.present.get_mut(&server("alpha")).unwrap().clear();
    assert_eq!(troubles(&fleet), ["orphaned"]);
    fleet.present.clear();
    assert_eq!(troubles(&fleet), [""; 0], "of a server that wrote nothing down, nobody can tell");
}

#[test]
fn a_large_fleet_makes_no_endless_mail_and_its_troubles_come_first() {
    let mut fleet = Fleet::new("2026-11-26T06:00:00Z");
    for number in 0..1000 {
        fleet.back_up(&format!("db{number:04}"), "alpha", None);
    }
    fleet.failed("db0999", "2026-11-26T01:00:00Z", ErrorKind::Full, "no space left");
    let report = fleet.report(&Baseline::bare(at("2026-11-25T06:00:00Z")));
    for text in [report.to_text(), report.to_html()] {
        assert!(
            text.contains("db0999 database") && text.contains("and 700 more: `dory report --json` names all"),
            "{text}"
        );
        assert!(text.len() < 300_000, "{}", text.len());
    }
}

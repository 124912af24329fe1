//! What retention promises, as tables and as properties.

use proptest::prelude::*;

use super::*;
use crate::domain::entry_path::EntryPath;
use crate::domain::event::{Warning, WarningKind};
use crate::domain::restore_point::tests::point as bare_point;
use crate::domain::suspect::{Loss, Measure, Suspicion};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn point(number: u128, taken_at: Timestamp) -> RestorePoint {
    let point = bare_point(number, &["/data"]);
    let id = PointId::new(taken_at, number);
    RestorePoint { id, taken_at, snapshot: SnapshotId::parse(format!("s{number}")).unwrap(), ..point }
}

fn lacking(point: RestorePoint) -> RestorePoint {
    let warning = Warning { kind: WarningKind::Unreadable, path: EntryPath::new("data/x"), detail: String::new() };
    RestorePoint { warnings: vec![warning], ..point }
}

fn circumstances(now: &str, zone: &str) -> Circumstances {
    Circumstances { now: at(now), zone: TimeZone::get(zone).unwrap(), minimum_stay: None }
}

/// A line a point: when it was taken, in the zone, and why it stays.
fn table(points: &[RestorePoint], rules: &str, circumstances: &Circumstances) -> String {
    let verdicts = retention(points, &rules.parse().unwrap(), circumstances);
    let line = |(point, verdict): (&RestorePoint, &Verdict)| {
        let when = circumstances.zone.to_datetime(point.taken_at).strftime("%a %Y-%m-%d %H:%M").to_string();
        let reasons: Vec<_> = verdict.reasons.iter().map(ToString::to_string).collect();
        format!("{when}  {}\n", if reasons.is_empty() { "goes".to_owned() } else { reasons.join(", ") })
    };
    points.iter().zip(&verdicts).map(line).collect()
}

#[test]
fn a_fortnight_of_nights() {
    let nights = (11..=25).map(|day| point(day, at(&format!("2026-11-{day}T02:00:00Z"))));
    let points: Vec<_> = nights.collect();
    let told = table(&points, "last=2,daily=3,weekly=2,monthly=1", &circumstances("2026-11-25T12:00:00Z", "UTC"));
    let expected = "\
Wed 2026-11-11 02:00  goes
Thu 2026-11-12 02:00  goes
Fri 2026-11-13 02:00  goes
Sat 2026-11-14 02:00  goes
Sun 2026-11-15 02:00  goes
Mon 2026-11-16 02:00  goes
Tue 2026-11-17 02:00  goes
Wed 2026-11-18 02:00  goes
Thu 2026-11-19 02:00  goes
Fri 2026-11-20 02:00  goes
Sat 2026-11-21 02:00  goes
Sun 2026-11-22 02:00  weekly no. 2
Mon 2026-11-23 02:00  daily no. 3
Tue 2026-11-24 02:00  no. 2 of the last, daily no. 2
Wed 2026-11-25 02:00  the newest that is whole, the last, daily no. 1, weekly no. 1, monthly no. 1
";
    assert_eq!(told, expected);
}

#[test]
fn days_without_points_take_no_place_and_days_begin_where_the_zone_says() {
    let points = [
        point(1, at("2026-03-01T10:00:00Z")),
        point(2, at("2026-07-09T21:30:00Z")),
        point(3, at("2026-07-09T22:30:00Z")),
        point(4, at("2026-11-20T10:00:00Z")),
    ];
    let told = table(&points, "daily=3", &circumstances("2026-11-25T12:00:00Z", "Europe/Berlin"));
    let expected = "\
Sun 2026-03-01 11:00  goes
Thu 2026-07-09 23:30  daily no. 3
Fri 2026-07-10 00:30  daily no. 2
Fri 2026-11-20 11:00  the newest that is whole, daily no. 1
";
    assert_eq!(told, expected);
}

#[test]
fn what_people_named_or_protected_stays_and_so_does_what_undoes_a_restore_for_a_while() {
    let named = RestorePoint { name: Some("before".into()), ..point(1, at("2020-01-01T00:00:00Z")) };
    let protected = RestorePoint { protected: true, ..point(2, at("2020-01-02T00:00:00Z")) };
    let safety = |number, when| RestorePoint { origin: PointOrigin::Safety, ..point(number, at(when)) };
    let points = [
        named,
        protected,
        safety(3, "2026-11-01T00:00:00Z"),
        safety(4, "2026-11-20T00:00:00Z"),
        point(5, at("2026-11-21T00:00:00Z")),
    ];
    let told = table(&points, "last=1", &circumstances("2026-11-25T00:00:00Z", "UTC"));
    let expected = "\
Wed 2020-01-01 00:00  named
Thu 2020-01-02 00:00  protected
Sun 2026-11-01 00:00  goes
Fri 2026-11-20 00:00  undoes a restore, until 2026-12-04
Sat 2026-11-21 00:00  the newest that is whole, the last
";
    assert_eq!(told, expected);
}

#[test]
fn a_point_that_lacks_data_takes_no_place_of_one_that_is_whole() {
    let points = [
        point(1, at("2026-11-24T01:00:00Z")),
        lacking(point(2, at("2026-11-24T02:00:00Z"))),
        lacking(point(3, at("2026-11-25T02:00:00Z"))),
    ];
    let told = table(&points, "daily=2", &circumstances("2026-11-25T12:00:00Z", "UTC"));
    let expected = "\
Tue 2026-11-24 01:00  the newest that is whole, daily no. 1
Tue 2026-11-24 02:00  goes
Wed 2026-11-25 02:00  not whole, beside those that are
";
    assert_eq!(told, expected);
}

#[test]
fn three_incomplete_nights_leave_three_whole_ones() {
    let whole = (17..=22).map(|day| point(day, at(&format!("2026-11-{day}T02:00:00Z"))));
    let lacks = (23..=25).map(|day| lacking(point(day, at(&format!("2026-11-{day}T02:00:00Z")))));
    let points: Vec<_> = whole.chain(lacks).collect();
    let now = circumstances("2026-11-25T12:00:00Z", "UTC");
    let expected = "\
Tue 2026-11-17 02:00  goes
Wed 2026-11-18 02:00  goes
Thu 2026-11-19 02:00  goes
Fri 2026-11-20 02:00  no. 3 of the last
Sat 2026-11-21 02:00  no. 2 of the last
Sun 2026-11-22 02:00  the newest that is whole, the last
Mon 2026-11-23 02:00  not whole, beside those that are
Tue 2026-11-24 02:00  not whole, beside those that are
Wed 2026-11-25 02:00  not whole, beside those that are
";
    assert_eq!(table(&points, "last=3", &now), expected);
    let goes =
        |rules: &str| retention(&points, &rules.parse().unwrap(), &now).iter().map(Verdict::goes).collect::<Vec<_>>();
    assert_eq!(goes("daily=3"), goes("last=3"));
}

#[test]
fn cold_storage_is_used_as_long_as_it_is_paid_for() {
    let points = [
        point(1, at("2026-10-01T00:00:00Z")),
        point(2, at("2026-11-20T00:00:00Z")),
        point(3, at("2026-11-21T00:00:00Z")),
    ];
    let stay = SignedDuration::from_hours(30 * 24);
    let cold = Circumstances { minimum_stay: Some(stay), ..circumstances("2026-11-25T00:00:00Z", "UTC") };
    let told = table(&points, "last=1", &cold);
    let expected = "\
Thu 2026-10-01 00:00  goes
Fri 2026-11-20 00:00  paid for until 2026-12-20
Sat 2026-11-21 00:00  paid for until 2026-12-21, the newest that is whole, the last
";
    assert_eq!(told, expected);
}

#[test]
fn a_chain_stays_as_long_as_one_of_it_does() {
    let points: Vec<_> = (1..=4).map(|day| point(day, at(&format!("2026-11-2{day}T00:00:00Z")))).collect();
    // The first two are a full backup with its increment, and so are the others.
    let tied = |a: usize, b: usize| (points[a].snapshot.clone(), BTreeSet::from([points[b].snapshot.clone()]));
    let tied = BTreeMap::from([tied(0, 1), tied(2, 3), tied(1, 0), tied(3, 2)]);
    let verdicts = |rules: &str| {
        let mut verdicts = retention(&points, &rules.parse().unwrap(), &circumstances("2026-11-25T00:00:00Z", "UTC"));
        keep_chains(&mut verdicts, &points, &tied);
        verdicts.iter().map(Verdict::goes).collect::<Vec<_>>()
    };
    assert_eq!(verdicts("last=1"), [true, true, false, false]);
    assert_eq!(verdicts("last=3"), [false, false, false, false]);
}

#[test]
fn without_rules_and_while_frozen_nothing_goes_and_begun_deletions_go_on() {
    let half_gone = RestorePoint { deleting: true, ..point(2, at("2026-11-21T00:00:00Z")) };
    let points = [point(1, at("2020-01-01T00:00:00Z")), half_gone, point(3, at("2026-11-22T00:00:00Z"))];
    let goes = |points: &[RestorePoint], rules: &str| {
        let circumstances = circumstances("2026-11-25T00:00:00Z", "UTC");
        retention(points, &rules.parse().unwrap(), &circumstances).iter().map(Verdict::goes).collect::<Vec<_>>()
    };
    assert_eq!(goes(&points, ""), [false, true, false]);
    assert_eq!(goes(&points, "last=1"), [true, true, false]);
    let mut frozen = points;
    let loss = Loss { mount: None, of: Measure::Bytes, before: 9, now: 1 };
    frozen[2].suspect = Some(Suspicion { loss, compared_with: frozen[0].id, cleared: None });
    assert_eq!(goes(&frozen, "last=1"), [false, true, false]);
}

fn any_points() -> impl Strategy<Value = Vec<RestorePoint>> {
    let one = (0_i64..400 * 24 * 60, any::<bool>(), 0..12_u8);
    proptest::collection::vec(one, 0..60).prop_map(|all| {
        let make = |(number, (minutes, lacks, kind)): (usize, (i64, bool, u8))| {
            let taken_at = at("2025-10-01T00:00:00Z") + SignedDuration::from_mins(minutes);
            let plain = point(number as u128, taken_at);
            let plain = if lacks { lacking(plain) } else { plain };
            match kind {
                0 => RestorePoint { origin: PointOrigin::Safety, ..plain },
                1 => RestorePoint { name: Some("named".into()), ..plain },
                _ => plain,
            }
        };
        let mut points: Vec<_> = all.into_iter().enumerate().map(make).collect();
        points.sort_by_key(|point| point.taken_at);
        points
    })
}

proptest! {
    #[test]
    fn what_stayed_once_stays_when_asked_again(points in any_points(), daily in 0..9_u32, weekly in 0..5_u32, last in 0..4_u32) {
        let rules: KeepRules = format!("last={last},daily={daily},weekly={weekly},within=3d").parse().unwrap();
        let circumstances = circumstances("2026-11-25T00:00:00Z", "Europe/Berlin");
        let stay = |points: &[RestorePoint]| -> Vec<RestorePoint> {
            let verdicts = retention(points, &rules, &circumstances);
            points.iter().zip(verdicts).filter(|(_, verdict)| !verdict.goes()).map(|(point, _)| point.clone()).collect()
        };
        let stayed = stay(&points);
        prop_assert_eq!(stay(&stayed), stayed);
    }

    #[test]
    fn the_newest_whole_point_always_stays(points in any_points(), daily in 0..9_u32) {
        let rules: KeepRules = format!("daily={daily},yearly=1").parse().unwrap();
        let verdicts = retention(&points, &rules, &circumstances("2026-11-25T00:00:00Z", "UTC"));
        let newest = points.iter().rposition(|point| is_whole(point) && point.origin != PointOrigin::Safety);
        prop_assert!(newest.is_none_or(|at| !verdicts[at].goes()));
    }

    #[test]
    fn what_is_not_whole_costs_no_whole_point_its_place(points in any_points(), daily in 0..9_u32, last in 0..4_u32) {
        let rules: KeepRules = format!("last={last},daily={daily},monthly=2").parse().unwrap();
        let circumstances = circumstances("2026-11-25T00:00:00Z", "Europe/Berlin");
        let whole: Vec<_> = points.iter().filter(|point| is_whole(point)).cloned().collect();
        let among_all = retention(&points, &rules, &circumstances);
        let alone = retention(&whole, &rules, &circumstances);
        for verdict in alone {
            prop_assert!(among_all.contains(&verdict), "{:?}", verdict);
        }
    }

    #[test]
    fn a_rule_more_never_costs_a_point(points in any_points(), daily in 0..9_u32) {
        let circumstances = circumstances("2026-11-25T00:00:00Z", "UTC");
        let fewer: KeepRules = format!("daily={daily},last=1").parse().unwrap();
        let more: KeepRules = format!("daily={},last=2,monthly=3", daily + 1).parse().unwrap();
        let (fewer, more) = (retention(&points, &fewer, &circumstances), retention(&points, &more, &circumstances));
        prop_assert!(fewer.iter().zip(more).all(|(fewer, more)| fewer.goes() || !more.goes()));
    }
}

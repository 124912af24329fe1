//! Worked examples of what backups cost.

use jiff::SignedDuration;

use super::*;
use crate::domain::restore_point::PointSize;
use crate::domain::restore_point::tests::point;

const GIB: u64 = 1 << 30;

fn now() -> Timestamp {
    "2026-11-26T12:00:00Z".parse().unwrap()
}

/// A backup with a point of so many days ago that added so many gibibytes, each.
fn backup(points: &[(i64, u64)]) -> Backup {
    let made = |(number, (days, gibibytes)): (usize, &(i64, u64))| RestorePoint {
        taken_at: now() - SignedDuration::from_hours(24 * days),
        size: PointSize { files: 1, bytes: 50 * GIB, stored_bytes: gibibytes * GIB },
        ..point(number as u128, &["/data"])
    };
    let json = serde_json::json!({
        "id": "db-1",
        "name": "db",
        "server": "alpha",
        "identity": { "container": "db" },
        "containers": [],
        "created_at": now(),
        "points": [],
    });
    let backup: Backup = serde_json::from_value(json).unwrap();
    Backup { points: points.iter().enumerate().map(made).collect(), ..backup }
}

fn google(class: StorageClass) -> Prices {
    let overrides = PriceOverrides { class: Some(class), ..Default::default() };
    Prices::of(StoreScheme::Gs, &overrides).unwrap()
}

fn words(amount: Amount) -> String {
    amount.to_string()
}

#[test]
fn fifty_gibibytes_cost_a_dollar_a_month_as_on_the_providers_page() {
    // 50 GiB at 0.020, and its example of 10,000 writes and 50,000 reads: 1.00, 0.05 and 0.02.
    let prices = google(StorageClass::Standard);
    assert_eq!(words(Cost::of(&backup(&[(40, 50)]), &prices, now()).storage), "1");
    assert_eq!(words(prices.for_requests(10_000, 0)), "0.05");
    assert_eq!(words(prices.for_requests(0, 50_000)), "0.02");
}

#[test]
fn what_goes_too_early_is_owed_for_the_days_that_are_left() {
    // The provider's example: 1,000 GB nearline, deleted on day 15 of 30, owe 5 dollars.
    let cost = Cost::of(&backup(&[(15, 1000)]), &google(StorageClass::Nearline), now());
    assert_eq!(words(cost.early_deletion), "5");
    // 60 of 90 days at 0.004, and nothing for one that stayed its time.
    let cost = Cost::of(&backup(&[(100, 10), (30, 10)]), &google(StorageClass::Coldline), now());
    assert_eq!(words(cost.early_deletion), "0.08");
    assert_eq!(Cost::of(&backup(&[(0, 10)]), &google(StorageClass::Standard), now()).early_deletion, Amount::ZERO);
}

#[test]
fn a_restore_pays_for_reading_and_for_the_way_out() {
    // 20 GiB are stored in all, so no more can be read, whatever the point holds: 1,280 objects of 16 MiB.
    let cost = Cost::of(&backup(&[(40, 19), (1, 1)]), &google(StorageClass::Archive), now());
    assert_eq!(words(cost.restore.retrieval), "1");
    assert_eq!(words(cost.restore.network), "2.4");
    assert_eq!(words(cost.restore.operations), words(google(StorageClass::Archive).for_requests(4, 1300)));
    assert_eq!(cost.restore.total(), cost.restore.retrieval + cost.restore.network + cost.restore.operations);
}

#[test]
fn a_months_requests_are_those_of_its_points() {
    // One point of the last thirty days, of 64 objects and twelve documents: 76 writes, 20 reads.
    let cost = Cost::of(&backup(&[(31, 1), (3, 1)]), &google(StorageClass::Standard), now());
    assert_eq!(words(cost.operations), "0.000388");
}

#[test]
fn settings_come_before_the_table_and_are_all_there_is_elsewhere() {
    let half: Amount = "0.01".parse().unwrap();
    let mine = PriceOverrides { storage: Some(half), currency: Some("EUR".into()), ..Default::default() };
    let prices = Prices::of(StoreScheme::Gs, &mine).unwrap();
    assert_eq!((prices.storage, prices.currency.as_str()), (half, "EUR"));
    assert_eq!(words(prices.writes), "0.005");
    assert_eq!(Prices::of(StoreScheme::S3, &PriceOverrides::default()), None);
    let elsewhere = Prices::of(StoreScheme::S3, &mine).unwrap();
    assert_eq!((elsewhere.storage, elsewhere.writes, elsewhere.as_of), (half, Amount::ZERO, None));
}

#[test]
fn serving_costs_what_its_requests_cost() {
    // 172,800 signs of life and 43,200 lists; 518,400 looks at the doorbell, 86,400 at settings and lease.
    assert_eq!(words(google(StorageClass::Standard).for_serving(1)), "1.32192");
}

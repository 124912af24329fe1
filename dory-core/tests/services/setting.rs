//! The fleet's settings: who may change them, and what they do.

use dory_core::ErrorKind;
use dory_core::domain::keys::Encryption;
use dory_core::domain::secret::Secret;
use dory_core::domain::setting_key::SettingKey;
use dory_core::services::{BackupRequest, SettingChange};
use dory_testkit::World;
use futures_util::future::join_all;

use super::bench::Bench;

fn key(text: &str) -> SettingKey {
    text.parse().unwrap()
}

async fn set(bench: &Bench, name: &str, value: &str) {
    bench.dory.change_setting(&key(name), &SettingChange::Set(value.to_owned())).await.unwrap();
}

async fn founded() -> Bench {
    let bench = Bench::new();
    bench.database("db");
    bench.back_up("db").await.unwrap();
    bench
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_at_the_same_time_all_hold() {
    let bench = founded().await;
    let all = [("mail.to", "ada@example.org"), ("report.hour", "3"), ("price.class", "archive"), ("ping", "off")];
    join_all(all.map(|(name, value)| set(&bench, name, value))).await;
    let settings = bench.dory.fleet_settings().await.unwrap();
    for (name, value) in all {
        assert_eq!(key(name).value(&settings).as_deref(), Some(value));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_newer_dory_set_stays_and_stays_sealed() {
    let bench = founded().await;
    set(&bench, "report.hour", "3").await;
    let mut document: serde_json::Value = serde_json::from_str(&bench.catalog.peek("settings.json").unwrap()).unwrap();
    let mut newer = document["body"]["settings"].clone();
    newer["report"]["colour"] = "blue".into();
    newer["later"] = serde_json::json!({ "x": [1, 2] });
    let (_, master) = bench.dory.open_fleet().await.unwrap();
    let sealed = dory_core::domain::settings::SealedSettings::new(master.as_ref(), newer);
    document["body"] = serde_json::to_value(sealed).unwrap();
    bench.catalog.put("settings.json", document.to_string());
    set(&bench, "report.hour", "4").await;
    let document: serde_json::Value = serde_json::from_str(&bench.catalog.peek("settings.json").unwrap()).unwrap();
    let settings = &document["body"]["settings"];
    assert_eq!((&settings["report"]["colour"], &settings["later"]["x"][1]), (&"blue".into(), &2.into()));
    assert_eq!(bench.dory.fleet_settings().await.unwrap().report.hour, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_without_a_passphrase_keeps_no_secret() {
    let world = World::new();
    world.database("db");
    let dory = world.dory_with(Some(Encryption::None));
    let request = BackupRequest { container: "db".into(), ..BackupRequest::default() };
    let (cancel, events) = (dory_core::services::Cancel::new(), dory_core::services::RunEvents::ignored());
    dory.run_backup(&request, &cancel, &events).await.unwrap();
    let change = SettingChange::SetSecret(Secret::new("hunter2"));
    let error = dory.change_setting(&key("mail.password"), &change).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(world.catalog.peek("settings.json"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn defaults_hold_where_neither_catalog_nor_label_says_anything() {
    let bench = founded().await;
    set(&bench, "default.stop", "pause").await;
    set(&bench, "default.keep", "last=1").await;
    bench.runtime.container("own").volume("own-data", "/data").label("dory.stop", "none").running();
    let stop_of = async |name: &str| {
        let request = BackupRequest { container: name.to_owned(), ..BackupRequest::default() };
        bench.dory.plan_backup(&request).await.unwrap().policy.stop.as_str()
    };
    assert_eq!((stop_of("db").await, stop_of("own").await), ("pause", "none"));
    bench.back_up("db").await.unwrap();
    let plan = bench.dory.plan_prune(Some("db"), None).await.unwrap().remove(0);
    assert_eq!(plan.going(), 1, "the older of two");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_default_schedule_is_for_those_that_somebody_chose() {
    let bench = founded().await;
    set(&bench, "default.schedule", "0 3 * * *").await;
    let scheduled = async || -> Vec<String> {
        bench.dory.timetable().await.unwrap().entries.into_iter().map(|entry| entry.container.to_string()).collect()
    };
    assert_eq!(scheduled().await, [""; 0]);
    bench.runtime.container("chosen").volume("chosen-data", "/data").label("dory.backup", "true").running();
    assert_eq!(scheduled().await, ["chosen"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_cannot_be_sent_to_nobody_and_a_mail_not_without_a_server() {
    let bench = founded().await;
    let error = bench.dory.send_report().await.unwrap_err();
    assert!(error.kind() == ErrorKind::InvalidInput && error.hint().unwrap().contains("mail.to"), "{error:?}");
    set(&bench, "mail.to", "ada@example.org").await;
    let sent = bench.dory.send_report().await.unwrap().remove(0);
    assert!(sent.1.unwrap_err().hint().unwrap().contains("mail.smtp"));
    set(&bench, "mail.smtp", "smtp://localhost").await;
    set(&bench, "mail.from", "dory@example.org").await;
    assert!(bench.dory.send_report().await.unwrap().remove(0).1.is_ok());
    bench.dory.send_test(&"eve@example.org".parse().unwrap()).await.unwrap();
    let subjects: Vec<_> = bench.notifier.received().into_iter().map(|notice| notice.subject).collect();
    assert_eq!(subjects, ["Dory: all is well, 1 restore point made", "Dory: a test"]);
    let to: Vec<_> = bench.channels.accounts().last().unwrap().to.iter().map(ToString::to_string).collect();
    assert_eq!(to, ["eve@example.org"]);
}

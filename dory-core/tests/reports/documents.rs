//! The documents of settings and reports, to the byte: servers of several versions share a store.

use dory_core::domain::health::RunTrouble;
use dory_core::domain::keys::MasterKey;
use dory_core::domain::report_state::{Baseline, Outgoing, ReportState, Told};
use dory_core::domain::secret::Secret;
use dory_core::domain::setting_key::SettingKey;
use dory_core::domain::settings::{FleetSettings, LockedSecret, SealedSettings};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::bench::{at, server};

fn check<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(name: &str, body: &T) {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    let golden = std::fs::read_to_string(path).unwrap_or_default();
    #[derive(Serialize)]
    struct Envelope<'a, T> {
        format: u32,
        counter: u64,
        body: &'a T,
    }
    let written = serde_json::to_string_pretty(&Envelope { format: 1, counter: 1, body }).unwrap();
    assert_eq!(written, golden.trim_end(), "{written}");
    let read: serde_json::Value = serde_json::from_str(&golden).unwrap();
    assert_eq!(serde_json::from_value::<T>(read["body"].clone()).unwrap(), *body);
}

#[test]
fn a_settings_document() {
    let mut settings = FleetSettings::default();
    for (key, value) in [
        ("mail.smtp", "smtp://dory@mail.example.org"),
        ("mail.from", "dory@example.org"),
        ("mail.to", "ada@example.org"),
        ("report.zone", "Europe/Berlin"),
        ("webhook.ops.url", "https://hooks.example.org/dory"),
        ("webhook.ops.events", "digest,down"),
        ("ping", "https://hc.example/{backup}"),
        ("price.storage", "0.0231"),
        ("default.keep", "last=3,daily=7"),
    ] {
        key.parse::<SettingKey>().unwrap().set(&mut settings, value).unwrap();
    }
    let key = MasterKey::derive(&Secret::new("correct horse"), "01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap();
    let password: SettingKey = "mail.password".parse().unwrap();
    let locked = key.lock(&password.purpose(), [7; 16], &Secret::new("hunter2")).unwrap();
    password.set_secret(&mut settings, LockedSecret(locked)).unwrap();
    let sealed = SealedSettings::new(Some(&key), serde_json::to_value(&settings).unwrap());
    check("settings-1.json", &sealed);
    assert_eq!(sealed.open(Some(&key)).unwrap(), settings);
}

#[test]
fn what_people_were_told() {
    let told = Told {
        run: Some((RunTrouble::Failing, "01K9ZZZZZZZZZZZZZZZZZZZZZY".to_owned().try_into().unwrap())),
        suspect: Some("01K9ZZZZZZZZZZZZZZZZZZZZZZ".to_owned().try_into().unwrap()),
    };
    check(
        "reports-state-1.json",
        &ReportState {
            digest: Baseline {
                at: at("2026-11-26T06:00:00Z"),
                stored_bytes: Some(104_000_000),
                containers: [(server("alpha"), ["db".parse().unwrap()].into())].into(),
            },
            backups: [("shop-db-1-4f1c4f1c4f1c".parse().unwrap(), told)].into(),
            silent: [server("beta")].into(),
            outbox: vec![Outgoing {
                notice: "{}".into(),
                seal: "ab".repeat(32),
                targets: ["mail".to_owned(), "webhook.ops".to_owned()].into(),
                at: at("2026-11-26T06:00:20Z"),
                failures: 1,
                next_at: at("2026-11-26T06:01:20Z"),
            }],
        },
    );
}

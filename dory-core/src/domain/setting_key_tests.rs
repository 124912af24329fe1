//! Every setting can be set, shown and taken back, and says what it allows.

use super::*;

fn set(settings: &mut FleetSettings, key: &str, text: &str) -> Result<()> {
    key.parse::<SettingKey>()?.set(settings, text)
}

/// Something that each holds, as it is shown again.
const VALUES: [(&str, &str); 24] = [
    ("mail.smtp", "smtp://ada@mail.example.org"),
    ("mail.from", "dory@example.org"),
    ("mail.to", "ada@example.org,bob@example.org"),
    ("report.digest", "weekly"),
    ("report.hour", "23"),
    ("report.zone", "Europe/Berlin"),
    ("ping", "https://hc.example/{backup}"),
    ("price.class", "coldline"),
    ("price.currency", "EUR"),
    ("price.storage", "0.0041"),
    ("price.writes", "0.01"),
    ("price.reads", "0"),
    ("price.retrieval", "0.02"),
    ("price.network", "0.12"),
    ("price.minimum_stay_days", "90"),
    ("default.schedule", "@daily ~15m"),
    ("default.keep", "last=3,daily=7"),
    ("default.stop", "pause"),
    ("default.engine", "duplicity"),
    ("default.healthy_timeout", "2m"),
    ("default.suspect_below", "20%"),
    ("webhook.ops.url", "https://hooks.example.org/x"),
    ("webhook.ops.events", "digest,down"),
    ("webhook.other.url", "http://10.0.0.1:8080/"),
];

#[test]
fn what_is_set_is_shown_again_survives_the_store_and_can_be_taken_back() {
    let mut settings = FleetSettings::default();
    for (key, text) in VALUES {
        set(&mut settings, key, text).unwrap();
    }
    let json = serde_json::to_string(&settings).unwrap();
    let mut settings: FleetSettings = serde_json::from_str(&json).unwrap();
    for (key, text) in VALUES {
        assert_eq!(key.parse::<SettingKey>().unwrap().value(&settings).as_deref(), Some(text), "{key}");
    }
    let secrets = 3;
    assert_eq!(SettingKey::all_of(&settings).len(), VALUES.len() + secrets + 1, "one more webhook's events");
    for (key, _) in VALUES {
        key.parse::<SettingKey>().unwrap().unset(&mut settings);
    }
    assert_eq!(settings, FleetSettings::default());
}

#[test]
fn what_a_setting_cannot_hold_is_refused_by_its_name() {
    for (key, text) in [
        ("mail.smtp", "mail.example.org"),
        ("mail.from", "nobody"),
        ("mail.to", ""),
        ("mail.to", "ada@example.org,bob"),
        ("report.digest", "hourly"),
        ("report.hour", "24"),
        ("report.zone", "Europe/Atlantis"),
        ("ping", "hc.example"),
        ("price.class", "warm"),
        ("price.currency", "euro"),
        ("price.storage", "-1"),
        ("price.minimum_stay_days", "1000000"),
        ("default.schedule", "whenever"),
        ("default.keep", "last=-1"),
        ("default.stop", "halt"),
        ("webhook.ops.url", "ftp://x"),
        ("webhook.ops.events", "failing"),
    ] {
        let mut settings = FleetSettings::default();
        let error = set(&mut settings, key, text).unwrap_err();
        assert!(error.to_string().contains(key), "{error}");
        assert_eq!(settings, FleetSettings::default());
    }
    let mut settings = FleetSettings::default();
    set(&mut settings, "webhook.ops.url", "https://h/").unwrap();
    let error = set(&mut settings, "webhook.ops.events", "failing,boom").unwrap_err();
    assert!(error.reason().contains("`recovered`") && error.subject() == "boom", "{error}");
    for key in ["", "mail", "mail.port", "webhook.url", "webhook..url", "webhook.a b.url", "webhook.ops.method"] {
        let error = key.parse::<SettingKey>().unwrap_err();
        assert!(error.reason().contains("`mail.smtp`") && error.hint().is_some(), "{error}");
    }
}

#[test]
fn a_secret_is_never_text_and_never_shown() {
    let mut settings = FleetSettings::default();
    set(&mut settings, "webhook.ops.url", "https://h/").unwrap();
    for key in ["mail.password", "webhook.ops.secret"] {
        let known: SettingKey = key.parse().unwrap();
        assert!(known.is_secret() && known.set(&mut settings, "hunter2").is_err(), "{key}");
        known.set_secret(&mut settings, LockedSecret("locked".into())).unwrap();
        assert_eq!(known.value(&settings).as_deref(), Some("***"));
    }
    let error = set(&mut settings, "mail.password", "hunter2").unwrap_err();
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
}

#[test]
fn a_password_is_shown_to_no_other_server() {
    let mut settings = FleetSettings::default();
    let password: SettingKey = "mail.password".parse().unwrap();
    set(&mut settings, "mail.smtp", "smtp://ada@mail.example.org").unwrap();
    password.set_secret(&mut settings, LockedSecret("locked".into())).unwrap();
    set(&mut settings, "mail.smtp", "smtps://ada@mail.example.org:2465").unwrap();
    assert!(password.value(&settings).is_some(), "it is the same account");
    set(&mut settings, "mail.smtp", "smtp://ada@evil.example").unwrap();
    assert!(password.value(&settings).is_none());
}

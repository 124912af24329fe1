//! What all servers of a fleet go by: who is told what, prices, what holds where nothing else was said.

use std::collections::BTreeMap;

use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::contact::{MailAddress, SmtpUrl, WebUrl};
use super::keys::MasterKey;
use super::ping::PingWish;
use super::policy::PolicyOverrides;
use super::price::PriceOverrides;
use super::schedule::zone_named;
use crate::error::{Error, ErrorKind, Result};

/// What all servers of a fleet go by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FleetSettings {
    /// Who gets mail, and by which server.
    pub mail: MailSettings,
    /// When the digest is due.
    pub report: ReportSettings,
    /// Web servers that are told, by a name of the user's.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub webhooks: BTreeMap<String, WebhookSettings>,
    /// Who is pinged around each backup.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ping: Option<PingWish>,
    /// What the store asks for.
    pub price: PriceOverrides,
    /// What holds for backups where neither the catalog nor a label says anything.
    pub defaults: PolicyOverrides,
}

/// Who gets mail, and by which server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MailSettings {
    /// The server that takes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smtp: Option<SmtpUrl>,
    /// The password for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<LockedSecret>,
    /// Who it is from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<MailAddress>,
    /// Who gets it; nobody gets any where this is empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<MailAddress>,
}

/// A web server that is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookSettings {
    /// Where.
    pub url: WebUrl,
    /// What it can check signatures with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<LockedSecret>,
    /// Of what it is told; of everything where this is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Topic>,
}

impl WebhookSettings {
    /// Whether it is told of `topic`.
    #[must_use]
    pub fn wants(&self, topic: Topic) -> bool {
        self.events.is_empty() || self.events.contains(&topic)
    }
}

/// When the digest is due.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReportSettings {
    /// How often.
    pub digest: Digest,
    /// At which hour, 0 to 23.
    pub hour: u8,
    /// The time zone of that hour: `Europe/Berlin`.
    pub zone: String,
}

impl Default for ReportSettings {
    fn default() -> Self {
        Self { digest: Digest::Daily, hour: 7, zone: "UTC".to_owned() }
    }
}

impl ReportSettings {
    /// The zone by its name.
    ///
    /// # Errors
    /// `InvalidInput` for a name that is none.
    pub fn time_zone(&self) -> Result<TimeZone> {
        zone_named(&self.zone)
    }
}

/// How often a digest is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Digest {
    /// Every day.
    Daily,
    /// On Mondays.
    Weekly,
    /// Never.
    Off,
}

impl Digest {
    /// The words a user may write.
    pub const WORDS: [(&'static str, Self); 3] = [("daily", Self::Daily), ("weekly", Self::Weekly), ("off", Self::Off)];

    /// The day of a weekly one.
    pub const DAY: Weekday = Weekday::Monday;

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(_, digest)| *digest == self).map_or("off", |(word, _)| word)
    }
}

/// What people and programs can be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topic {
    /// How everything is, daily or weekly.
    Digest,
    /// A backup begins to fail.
    Failing,
    /// It works again.
    Recovered,
    /// A backup's newest point may lack data that was lost before it was made.
    Suspect,
    /// Containers that should run do not.
    Down,
    /// A server is not heard of any more.
    Silent,
    /// It is again.
    Back,
}

impl Topic {
    /// The words for all of them.
    pub const WORDS: [(&'static str, Self); 7] = [
        ("digest", Self::Digest),
        ("failing", Self::Failing),
        ("recovered", Self::Recovered),
        ("suspect", Self::Suspect),
        ("down", Self::Down),
        ("silent", Self::Silent),
        ("back", Self::Back),
    ];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(_, topic)| *topic == self).map_or("digest", |(word, _)| word)
    }
}

/// A secret that only the fleet's passphrase opens: see [`MasterKey::lock`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LockedSecret(pub String);

/// Settings as they stand in the store: whoever can write there but does not know the fleet's passphrase changes none.
///
/// They are kept as the JSON that was sealed, so that a seal holds for words of a newer Dory too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedSettings {
    /// What was set.
    pub settings: Value,
    /// What proves by whom: HMAC-SHA256 over it, under a key of the fleet's, in hex. Empty in a fleet without a passphrase.
    pub seal: String,
}

impl SealedSettings {
    const PURPOSE: &'static str = "settings";

    /// Seals settings.
    #[must_use]
    pub fn new(key: Option<&MasterKey>, settings: Value) -> Self {
        let seal = key.map_or_else(String::new, |key| key.seal(Self::PURPOSE, &in_order(&settings)));
        Self { settings, seal }
    }

    /// What was set, if it was set by somebody who knows the fleet's passphrase.
    ///
    /// # Errors
    /// `PermissionDenied` if it was not; `Unsupported` for words that a newer Dory wrote.
    pub fn open(&self, key: Option<&MasterKey>) -> Result<FleetSettings> {
        let sealed = |key: &MasterKey| key.made_seal(Self::PURPOSE, &in_order(&self.settings), &self.seal);
        if !key.is_none_or(sealed) {
            let reason = "nobody who knows the fleet's passphrase wrote them";
            return Err(Error::new(ErrorKind::PermissionDenied, "trust", "settings.json", reason).with_hint(
                "bring back an older version of the document, or delete it and set everything anew; find out who else \
                 can write to the store",
            ));
        }
        serde_json::from_value(self.settings.clone()).map_err(|error| {
            let reason = "they hold something that this Dory does not know";
            Error::new(ErrorKind::Unsupported, "read", "settings.json", reason)
                .with_hint("update Dory on this host")
                .with_source(error)
        })
    }
}

/// JSON with its names in order, whatever order a parser keeps.
fn in_order(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let sorted: BTreeMap<_, _> = fields.iter().collect();
            let all: Vec<_> = sorted
                .into_iter()
                .map(|(name, value)| format!("{}:{}", Value::from(name.as_str()), in_order(value)))
                .collect();
            format!("{{{}}}", all.join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(in_order).collect::<Vec<_>>().join(",")),
        plain => plain.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::secret::Secret;

    fn key(passphrase: &str) -> MasterKey {
        MasterKey::derive(&Secret::new(passphrase), "fleet").unwrap()
    }

    #[test]
    fn only_who_knows_the_passphrase_changes_settings() {
        let settings =
            FleetSettings { ping: Some("https://hc.example/{backup}".parse().unwrap()), ..Default::default() };
        let mine = key("correct horse");
        let sealed = SealedSettings::new(Some(&mine), serde_json::to_value(&settings).unwrap());
        assert_eq!(sealed.open(Some(&mine)).unwrap(), settings);
        let mut forged = sealed.clone();
        forged.settings["ping"] = "https://evil.example".into();
        for (sealed, key) in [(&forged, &mine), (&sealed, &key("another"))] {
            assert_eq!(sealed.open(Some(key)).unwrap_err().kind(), ErrorKind::PermissionDenied);
        }
        assert_eq!(
            SealedSettings::new(None, forged.settings).open(Some(&mine)).unwrap_err().kind(),
            ErrorKind::PermissionDenied
        );
    }

    #[test]
    fn a_seal_holds_for_what_a_newer_dory_wrote_whatever_its_order() {
        let mine = key("correct horse");
        let newer = r#"{"mail":{"later":[{"b":1,"a":"ü\n"}]},"beyond":true}"#;
        let sealed = SealedSettings::new(Some(&mine), serde_json::from_str(newer).unwrap());
        let turned = r#"{"beyond":true,"mail":{"later":[{"a":"ü\n","b":1}]}}"#;
        let turned = SealedSettings { settings: serde_json::from_str(turned).unwrap(), ..sealed };
        assert_eq!(turned.open(Some(&mine)).unwrap(), FleetSettings::default());
    }
}

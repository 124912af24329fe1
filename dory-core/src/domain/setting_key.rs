//! The fleet's settings one by one, under the names that people type.

use std::fmt;
use std::str::FromStr;

use super::money::Amount;
use super::policy::PolicyOverrides;
use super::price::StorageClass;
use super::settings::{Digest, FleetSettings, LockedSecret, Topic, WebhookSettings};
use crate::error::{Error, Result};

/// One setting of a fleet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SettingKey {
    /// One that there is once.
    Plain(PlainKey),
    /// One of a webhook, which has a name.
    Webhook(String, WebhookKey),
}

macro_rules! keys {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $text:literal, $words:literal;)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name {
            $(#[doc = $words] $variant,)+
        }

        impl $name {
            /// Every one, its name, and what it may hold.
            pub const ALL: &'static [(Self, &'static str, &'static str)] = &[$((Self::$variant, $text, $words)),+];

            fn text(self) -> &'static str {
                Self::ALL.iter().find(|(key, ..)| *key == self).map_or("", |(_, text, _)| text)
            }
        }
    };
}

keys! {
    /// Settings that there are once.
    PlainKey {
        MailSmtp = "mail.smtp", "the mail server: `smtp://name@host:587` or `smtps://name@host`";
        MailPassword = "mail.password", "the password for it, from standard input";
        MailFrom = "mail.from", "the address that mail is from";
        MailTo = "mail.to", "addresses that get mail, separated by commas";
        ReportDigest = "report.digest", "`daily`, `weekly` (on Mondays) or `off`";
        ReportHour = "report.hour", "the hour of the digest, 0 to 23";
        ReportZone = "report.zone", "the time zone of that hour: `Europe/Berlin`";
        Ping = "ping", "an address to ping around each backup, with `{backup}`, `{name}` or `{server}` in it";
        PriceClass = "price.class", "the bucket's class: `standard`, `nearline`, `coldline` or `archive`";
        PriceCurrency = "price.currency", "three capital letters: `USD`";
        PriceStorage = "price.storage", "a gibibyte a month";
        PriceWrites = "price.writes", "a thousand writes or lists";
        PriceReads = "price.reads", "a thousand reads";
        PriceRetrieval = "price.retrieval", "reading a gibibyte of a cold class";
        PriceNetwork = "price.network", "a gibibyte to a host outside the provider's network";
        PriceMinimumStay = "price.minimum_stay_days", "days that an object is paid for at least";
        DefaultSchedule = "default.schedule", "when marked containers are backed up, as in `dory.schedule`";
        DefaultKeep = "default.keep", "what stays, as in `dory.keep`";
        DefaultStop = "default.stop", "`stop`, `pause` or `none`";
        DefaultEngine = "default.engine", "`restic` or `duplicity`";
        DefaultHealthyTimeout = "default.healthy_timeout", "how long containers may take until they are healthy";
        DefaultSuspectBelow = "default.suspect_below", "when a point is suspect: `50%` or `off`";
    }
}

keys! {
    /// Settings of one webhook.
    WebhookKey {
        Url = "url", "where it is told: `https://hooks.example.org/dory`";
        Secret = "secret", "what it checks signatures with, from standard input";
        Events = "events", "of what: `digest`, `failing`, `recovered`, `suspect`, `down`, `silent`, `back`; all where unset";
    }
}

impl SettingKey {
    /// Whether what it holds is never shown, and not typed where others can see it.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        matches!(self, Self::Plain(PlainKey::MailPassword) | Self::Webhook(_, WebhookKey::Secret))
    }

    /// What its secret is locked for: one that is moved elsewhere opens there no more.
    #[must_use]
    pub fn purpose(&self) -> String {
        format!("settings/{self}")
    }

    /// What it may hold, in words.
    #[must_use]
    pub fn words(&self) -> &'static str {
        let of_plain = |key: &PlainKey| PlainKey::ALL.iter().find(|(known, ..)| known == key).map(|(.., words)| *words);
        let of_hook =
            |key: &WebhookKey| WebhookKey::ALL.iter().find(|(known, ..)| known == key).map(|(.., words)| *words);
        match self {
            Self::Plain(key) => of_plain(key),
            Self::Webhook(_, key) => of_hook(key),
        }
        .unwrap_or("")
    }

    /// Every setting that `settings` can hold: those that there are once, and those of its webhooks.
    #[must_use]
    pub fn all_of(settings: &FleetSettings) -> Vec<Self> {
        let plain = PlainKey::ALL.iter().map(|(key, ..)| Self::Plain(*key));
        let hooks = settings.webhooks.keys();
        let of_hook = |name: &String| {
            WebhookKey::ALL.iter().map(|(key, ..)| Self::Webhook(name.clone(), *key)).collect::<Vec<_>>()
        };
        plain.chain(hooks.flat_map(of_hook)).collect()
    }

    /// What it holds; `None` where it was not set. A secret is told to be there, and no more.
    #[must_use]
    pub fn value(&self, settings: &FleetSettings) -> Option<String> {
        fn text<T: ToString>(value: Option<&T>) -> Option<String> {
            value.map(ToString::to_string)
        }
        fn list<T: ToString>(values: &[T]) -> Option<String> {
            (!values.is_empty()).then(|| values.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
        }
        let hidden = |secret: &Option<LockedSecret>| secret.as_ref().map(|_| "***".to_owned());
        let FleetSettings { mail, report, price, defaults, .. } = settings;
        let key = match self {
            Self::Plain(key) => key,
            Self::Webhook(name, key) => {
                let hook = settings.webhooks.get(name)?;
                return match key {
                    WebhookKey::Url => Some(hook.url.to_string()),
                    WebhookKey::Secret => hidden(&hook.secret),
                    WebhookKey::Events => list(&hook.events.iter().map(|topic| topic.as_str()).collect::<Vec<_>>()),
                };
            }
        };
        match key {
            PlainKey::MailSmtp => text(mail.smtp.as_ref()),
            PlainKey::MailPassword => hidden(&mail.password),
            PlainKey::MailFrom => text(mail.from.as_ref()),
            PlainKey::MailTo => list(&mail.to),
            PlainKey::ReportDigest => Some(report.digest.as_str().to_owned()),
            PlainKey::ReportHour => Some(report.hour.to_string()),
            PlainKey::ReportZone => Some(report.zone.clone()),
            PlainKey::Ping => text(settings.ping.as_ref()),
            PlainKey::PriceClass => price.class.map(|class| class.as_str().to_owned()),
            PlainKey::PriceCurrency => price.currency.clone(),
            PlainKey::PriceStorage => text(price.storage.as_ref()),
            PlainKey::PriceWrites => text(price.writes.as_ref()),
            PlainKey::PriceReads => text(price.reads.as_ref()),
            PlainKey::PriceRetrieval => text(price.retrieval.as_ref()),
            PlainKey::PriceNetwork => text(price.network.as_ref()),
            PlainKey::PriceMinimumStay => text(price.minimum_stay_days.as_ref()),
            PlainKey::DefaultSchedule => defaults.schedule.clone().map(String::from),
            PlainKey::DefaultKeep => defaults.keep.clone().map(String::from),
            PlainKey::DefaultStop => text(defaults.stop.as_ref()),
            PlainKey::DefaultEngine => text(defaults.engine.as_ref()),
            PlainKey::DefaultHealthyTimeout => text(defaults.healthy_timeout.as_ref()),
            PlainKey::DefaultSuspectBelow => text(defaults.suspect_below.as_ref()),
        }
    }

    /// Sets it to what `text` says. A new mail account forgets the password of the one before, which is not to be shown to
    /// another server.
    ///
    /// # Errors
    /// `InvalidInput` naming the setting and what it may hold; also for secrets, which are not set as text.
    pub fn set(&self, settings: &mut FleetSettings, text: &str) -> Result<()> {
        self.try_set(settings, text).map_err(|error| {
            // What its type says of itself is about a part of it.
            let reason = error.reason().to_owned();
            let named = Error::invalid(&format!("setting {self}"), error.subject(), reason);
            match error.hint() {
                Some(hint) => named.with_hint(hint),
                None => named,
            }
        })
    }

    fn try_set(&self, settings: &mut FleetSettings, text: &str) -> Result<()> {
        let FleetSettings { mail, report, price, defaults, .. } = settings;
        let price_of = |text: &str| text.parse::<Amount>().map(Some);
        match self {
            Self::Webhook(name, WebhookKey::Url) => {
                let url = text.parse()?;
                match settings.webhooks.get_mut(name) {
                    Some(hook) => hook.url = url,
                    None => {
                        let hook = WebhookSettings { url, secret: None, events: Vec::new() };
                        settings.webhooks.insert(name.clone(), hook);
                    }
                }
            }
            Self::Webhook(name, WebhookKey::Events) => {
                let events = comma_list(text, |word| {
                    let known = Topic::WORDS.iter().find(|(known, _)| *known == word);
                    known.map(|(_, topic)| *topic).ok_or_else(|| Error::invalid("event", word, allowed(&Topic::WORDS)))
                })?;
                self.hook(settings, name)?.events = events;
            }
            Self::Plain(PlainKey::MailPassword) | Self::Webhook(_, WebhookKey::Secret) => {
                return Err(Error::invalid("secret", "***", "it is handed over on standard input"));
            }
            Self::Plain(key) => match key {
                PlainKey::MailPassword => {}
                PlainKey::MailSmtp => {
                    let smtp = text.parse()?;
                    if !mail.smtp.as_ref().is_some_and(|before| before.is_same_account(&smtp)) {
                        mail.password = None;
                    }
                    mail.smtp = Some(smtp);
                }
                PlainKey::MailFrom => mail.from = Some(text.parse()?),
                PlainKey::MailTo => mail.to = comma_list(text, str::parse)?,
                PlainKey::ReportDigest => report.digest = one_of(&Digest::WORDS, text)?,
                PlainKey::ReportHour => {
                    let hour = text.parse().ok().filter(|hour| *hour < 24);
                    report.hour =
                        hour.ok_or_else(|| Error::invalid("hour", text, "a number from 0 to 23 is allowed"))?;
                }
                PlainKey::ReportZone => {
                    super::schedule::zone_named(text)?;
                    text.clone_into(&mut report.zone);
                }
                PlainKey::Ping => settings.ping = Some(text.parse()?),
                PlainKey::PriceClass => price.class = Some(StorageClass::parse(text)?),
                PlainKey::PriceCurrency => {
                    if text.len() != 3 || !text.bytes().all(|byte| byte.is_ascii_uppercase()) {
                        return Err(Error::invalid("currency", text, "three capital letters are expected: `USD`"));
                    }
                    price.currency = Some(text.to_owned());
                }
                PlainKey::PriceStorage => price.storage = price_of(text)?,
                PlainKey::PriceWrites => price.writes = price_of(text)?,
                PlainKey::PriceReads => price.reads = price_of(text)?,
                PlainKey::PriceRetrieval => price.retrieval = price_of(text)?,
                PlainKey::PriceNetwork => price.network = price_of(text)?,
                PlainKey::PriceMinimumStay => {
                    let days = text.parse().ok().filter(|days| *days <= 3650);
                    let days =
                        days.ok_or_else(|| Error::invalid("days", text, "a number of days up to 3650 is allowed"));
                    price.minimum_stay_days = Some(days?);
                }
                PlainKey::DefaultSchedule => defaults.schedule = Some(text.parse()?),
                PlainKey::DefaultKeep => defaults.keep = Some(text.parse()?),
                PlainKey::DefaultStop => defaults.stop = Some(text.parse()?),
                PlainKey::DefaultEngine => defaults.engine = Some(text.parse()?),
                PlainKey::DefaultHealthyTimeout => defaults.healthy_timeout = Some(text.parse()?),
                PlainKey::DefaultSuspectBelow => defaults.suspect_below = Some(text.parse()?),
            },
        }
        Ok(())
    }

    /// Sets a secret, which was locked for [`purpose`](Self::purpose).
    ///
    /// # Errors
    /// `InvalidInput` for a setting that is no secret, or a webhook that has no address yet.
    pub fn set_secret(&self, settings: &mut FleetSettings, secret: LockedSecret) -> Result<()> {
        match self {
            Self::Plain(PlainKey::MailPassword) => settings.mail.password = Some(secret),
            Self::Webhook(name, WebhookKey::Secret) => self.hook(settings, name)?.secret = Some(secret),
            _ => return Err(Error::invalid("setting", self.to_string(), "it holds no secret")),
        }
        Ok(())
    }

    /// Takes it back; the address of a webhook takes the whole webhook with it.
    pub fn unset(&self, settings: &mut FleetSettings) {
        let FleetSettings { mail, report, price, defaults, webhooks, .. } = settings;
        match self {
            Self::Webhook(name, WebhookKey::Url) => drop(webhooks.remove(name)),
            Self::Webhook(name, key) => {
                if let Some(hook) = webhooks.get_mut(name) {
                    match key {
                        WebhookKey::Secret => hook.secret = None,
                        WebhookKey::Events | WebhookKey::Url => hook.events.clear(),
                    }
                }
            }
            Self::Plain(key) => {
                let fresh = FleetSettings::default();
                match key {
                    PlainKey::MailSmtp => (mail.smtp, mail.password) = (None, None),
                    PlainKey::MailPassword => mail.password = None,
                    PlainKey::MailFrom => mail.from = None,
                    PlainKey::MailTo => mail.to.clear(),
                    PlainKey::ReportDigest => report.digest = fresh.report.digest,
                    PlainKey::ReportHour => report.hour = fresh.report.hour,
                    PlainKey::ReportZone => report.zone = fresh.report.zone,
                    PlainKey::Ping => settings.ping = None,
                    PlainKey::PriceClass => price.class = None,
                    PlainKey::PriceCurrency => price.currency = None,
                    PlainKey::PriceStorage => price.storage = None,
                    PlainKey::PriceWrites => price.writes = None,
                    PlainKey::PriceReads => price.reads = None,
                    PlainKey::PriceRetrieval => price.retrieval = None,
                    PlainKey::PriceNetwork => price.network = None,
                    PlainKey::PriceMinimumStay => price.minimum_stay_days = None,
                    PlainKey::DefaultSchedule => defaults.schedule = None,
                    PlainKey::DefaultKeep => defaults.keep = None,
                    PlainKey::DefaultStop => defaults.stop = None,
                    PlainKey::DefaultEngine => *defaults = PolicyOverrides { engine: None, ..std::mem::take(defaults) },
                    PlainKey::DefaultHealthyTimeout => defaults.healthy_timeout = None,
                    PlainKey::DefaultSuspectBelow => defaults.suspect_below = None,
                }
            }
        }
    }

    fn hook<'a>(&self, settings: &'a mut FleetSettings, name: &str) -> Result<&'a mut WebhookSettings> {
        settings.webhooks.get_mut(name).ok_or_else(|| {
            Error::invalid("webhook", name, "it has no address yet")
                .with_hint(format!("run `dory settings set webhook.{name}.url https://…` first"))
        })
    }
}

fn comma_list<T>(text: &str, parse: impl Fn(&str) -> Result<T>) -> Result<Vec<T>> {
    let words: Vec<_> = text.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
    if words.is_empty() {
        return Err(Error::invalid("list", text, "at least one is expected; `dory settings unset` takes all away"));
    }
    words.into_iter().map(parse).collect()
}

fn one_of<T: Copy>(words: &[(&str, T)], text: &str) -> Result<T> {
    let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
    found.ok_or_else(|| Error::invalid("word", text, allowed(words)))
}

fn allowed<T>(words: &[(&str, T)]) -> String {
    let quoted: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last} are allowed", rest.join(", ")),
        _ => format!("{} is allowed", quoted.join("")),
    }
}

impl FromStr for SettingKey {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        if let Some((key, ..)) = PlainKey::ALL.iter().find(|(_, known, _)| *known == text) {
            return Ok(Self::Plain(*key));
        }
        let hook = text.strip_prefix("webhook.").and_then(|rest| rest.rsplit_once('.'));
        let key = hook.and_then(|(_, key)| WebhookKey::ALL.iter().find(|(_, known, _)| *known == key));
        match (hook, key) {
            (Some((name, _)), Some((key, ..))) if is_hook_name(name) => Ok(Self::Webhook(name.to_owned(), *key)),
            _ => {
                let plain: Vec<_> = PlainKey::ALL.iter().map(|(_, known, _)| format!("`{known}`")).collect();
                let reason = format!("{}, `webhook.<name>.url`, `.secret` and `.events` are known", plain.join(", "));
                Err(Error::invalid("setting", text, reason).with_hint("run `dory settings` to see what each holds"))
            }
        }
    }
}

fn is_hook_name(name: &str) -> bool {
    (1..=40).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

impl fmt::Display for SettingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(key) => f.write_str(key.text()),
            Self::Webhook(name, key) => write!(f, "webhook.{name}.{}", key.text()),
        }
    }
}

#[cfg(test)]
#[path = "setting_key_tests.rs"]
mod tests;

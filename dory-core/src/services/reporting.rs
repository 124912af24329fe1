//! Telling people how the fleet is, when they ask: a preview, a test of the mail, the report right now.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::{Dory, RunsSeen, Survey};
use crate::domain::contact::MailAddress;
use crate::domain::report::Report;
use crate::domain::report_state::{Baseline, ReportState};
use crate::domain::setting_key::{PlainKey, SettingKey, WebhookKey};
use crate::domain::settings::{Digest, FleetSettings, MailSettings, Topic};
use crate::error::{Error, Result};
use crate::ports::{DocumentKey, MailAccount, Notice, Notifier, Severity, WebhookEndpoint};

/// Somebody who is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// `mail`, `webhook.<name>`.
    pub(crate) name: String,
    /// Of what; of everything where this is empty.
    pub(crate) events: Vec<Topic>,
}

impl Target {
    const MAIL: &'static str = "mail";

    /// Everybody who is told by these settings.
    pub(crate) fn all(settings: &FleetSettings) -> Vec<Self> {
        let mail = (!settings.mail.to.is_empty()).then(|| Self { name: Self::MAIL.to_owned(), events: Vec::new() });
        let hooks = settings.webhooks.iter();
        let hooks = hooks.map(|(name, hook)| Self { name: format!("webhook.{name}"), events: hook.events.clone() });
        mail.into_iter().chain(hooks).collect()
    }

    /// Whether it is told of `topic`.
    pub(crate) fn wants(&self, topic: Topic) -> bool {
        self.events.is_empty() || self.events.contains(&topic)
    }
}

impl Dory {
    /// How the fleet is now, and what happened since the last digest. Nothing is sent, and nothing taken for told.
    ///
    /// # Errors
    /// As for [`fleet_settings`](Self::fleet_settings); the store's.
    pub async fn report(&self) -> Result<Report> {
        let survey = self.survey(&mut RunsSeen::default()).await?;
        let state = self.catalog.find_document::<ReportState>(&report_state_key()?).await?;
        let period = match survey.settings.report.digest {
            Digest::Weekly => SignedDuration::from_hours(7 * 24),
            Digest::Daily | Digest::Off => SignedDuration::from_hours(24),
        };
        let a_period_ago = || Baseline::bare(self.now().checked_sub(period).unwrap_or(Timestamp::MIN));
        let before = state.map_or_else(a_period_ago, |found| found.body.digest);
        let silent = survey.silent_at_first_sight();
        let zone = survey.settings.report.time_zone()?;
        Ok(Report::draw_up(&survey.situation(&silent), &before, &zone))
    }

    /// Sends the report to everybody who gets digests, now. The next digest comes when it is due all the same. Gives who
    /// was told, and why others were not.
    ///
    /// # Errors
    /// As for [`report`](Self::report); `InvalidInput` where nobody is to be told.
    pub async fn send_report(&self) -> Result<Vec<(String, Result<()>)>> {
        let settings = self.fleet_settings().await?;
        let targets: Vec<_> = Target::all(&settings).into_iter().filter(|target| target.wants(Topic::Digest)).collect();
        if targets.is_empty() {
            return Err(nobody_is_told());
        }
        let report = self.report().await?;
        let fleet = &self.open_fleet().await?.0.id;
        let notice = digest_notice(&report, &format!("report-{}.{fleet}", id_of(report.at)));
        let mut all = Vec::new();
        for target in targets {
            let sent = match self.notifier(&settings, &target.name).await {
                Ok(notifier) => notifier.send(&notice).await,
                Err(error) => Err(error),
            };
            all.push((target.name, sent));
        }
        Ok(all)
    }

    /// Sends a mail to `address`, to see whether it arrives.
    ///
    /// # Errors
    /// As for [`fleet_settings`](Self::fleet_settings); `InvalidInput` for settings that are missing; what the mail server
    /// says.
    pub async fn send_test(&self, address: &MailAddress) -> Result<()> {
        let settings = self.fleet_settings().await?;
        let to = vec![address.clone()];
        let account = self.account(&MailSettings { to, ..settings.mail }).await?;
        let now = self.now();
        let fleet = &self.open_fleet().await?.0.id;
        let text = format!(
            "Server {} of the Dory fleet at {} sent this at {}, since somebody asked for it.\n\nReports will come this way.\n",
            self.server(),
            self.catalog.location(),
            now.strftime("%Y-%m-%d %H:%M:%S UTC")
        );
        let notice = Notice {
            id: format!("test-{}.{fleet}", id_of(now)),
            severity: Severity::Report,
            subject: "Dory: a test".to_owned(),
            text,
            html: None,
        };
        self.channels.mail(&account)?.send(&notice).await
    }

    /// Who tells the target of that name.
    ///
    /// # Errors
    /// `InvalidInput` for settings that are missing; `WrongKey` for a secret that does not open.
    pub(crate) async fn notifier(&self, settings: &FleetSettings, target: &str) -> Result<Arc<dyn Notifier>> {
        if target == Target::MAIL {
            return self.channels.mail(&self.account(&settings.mail).await?);
        }
        let name = target.strip_prefix("webhook.").unwrap_or(target);
        let hook = settings.webhooks.get(name);
        let hook = hook.ok_or_else(|| Error::invalid("webhook", name, "it is in the fleet's settings no more"))?;
        let key = SettingKey::Webhook(name.to_owned(), WebhookKey::Secret);
        let secret = self.open_secret(&key, hook.secret.as_ref()).await?;
        self.channels.webhook(&WebhookEndpoint { url: hook.url.clone(), secret })
    }

    async fn account(&self, mail: &MailSettings) -> Result<MailAccount> {
        let missing = |key: PlainKey, example: &str| {
            let key = SettingKey::Plain(key);
            Error::invalid(&format!("setting {key}"), "", "it is not set, and mail needs it")
                .with_hint(format!("run `dory settings set {key} {example}`"))
        };
        let password = self.open_secret(&SettingKey::Plain(PlainKey::MailPassword), mail.password.as_ref()).await?;
        Ok(MailAccount {
            smtp: mail.smtp.clone().ok_or_else(|| missing(PlainKey::MailSmtp, "smtp://name@mail.example.org"))?,
            password,
            from: mail.from.clone().ok_or_else(|| missing(PlainKey::MailFrom, "dory@example.org"))?,
            to: mail.to.clone(),
        })
    }
}

/// Where it is kept what people were told.
pub(crate) fn report_state_key() -> Result<DocumentKey> {
    DocumentKey::parse("reports/state.json")
}

/// A report as a notice.
pub(crate) fn digest_notice(report: &Report, id: &str) -> Notice {
    Notice {
        id: id.to_owned(),
        severity: if report.attention.is_empty() { Severity::Report } else { Severity::Warning },
        subject: report.headline(),
        text: report.to_text(),
        html: Some(report.to_html()),
    }
}

/// A moment as a part of an id.
pub(crate) fn id_of(moment: Timestamp) -> String {
    moment.strftime("%Y%m%dT%H%M%SZ").to_string()
}

fn nobody_is_told() -> Error {
    Error::invalid("setting mail.to", "", "nobody is to be told").with_hint(
        "run `dory settings set mail.to ada@example.org`, or `dory settings set webhook.<name>.url https://…`",
    )
}

impl Survey {
    /// Everybody who is told.
    pub(crate) fn targets(&self) -> Vec<Target> {
        Target::all(&self.settings)
    }
}

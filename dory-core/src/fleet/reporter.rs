//! Telling people: of all servers of a fleet exactly one does it, and whatever dies when, nothing is lost.
//!
//! What is to be told is first written down beside what was told already, in one document that changes by
//! compare-and-swap; then it is sent, just as it was written; then it is struck out. So a notice goes out twice only
//! where its sender dies between sending and striking out, and then it has the same id and the same words.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Debug};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::lease::{Held, Leased, Reached};
use crate::domain::id::ServerName;
use crate::domain::lease::{Lease, LeaseWatch};
use crate::domain::report::Report;
use crate::domain::report_html::html_of;
use crate::domain::report_state::{Baseline, Outgoing, ReportState, StateChange};
use crate::domain::report_text::{headline_of, text_of};
use crate::domain::server::ServerRecord;
use crate::domain::settings::Topic;
use crate::domain::stillness::Stillness;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{Clock, DocumentKey, Notice, Severity};
use crate::services::{
    Cancel, Catalog, Dory, FoundDocument, RunsSeen, Survey, Target, digest_notice, id_of, report_state_key,
};

/// How often the fleet is looked at by the one that tells of it, and the lease by the others.
const LOOK: Duration = Duration::from_secs(60);

/// How long the one that tells may stand still, in seconds, before another takes over.
const TERM_SECONDS: u32 = 300;

/// For how long after a sign of life something may still be sent: well before another may take over, however long the
/// other side takes to answer.
const MAY_SEND: Duration = Duration::from_secs(120);

/// What a reporter did, for logs and people.
#[derive(Debug)]
pub enum ReporterNews {
    /// This server tells from now on.
    Tells,
    /// Somebody was told.
    Sent {
        /// Who: `mail`, `webhook.<name>`.
        target: String,
        /// Of what: the notice's subject.
        subject: String,
    },
    /// Somebody could not be told; it is tried again unless `given_up`.
    Failed {
        /// Who.
        target: String,
        /// Why.
        error: Error,
        /// Whether it was tried for long enough.
        given_up: bool,
    },
    /// The fleet could not be looked at; it is tried again.
    Blind(Error),
}

/// Where a reporter's news go.
pub(super) type News = Arc<dyn Fn(ReporterNews) + Send + Sync>;

/// Who tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Teller {
    server: ServerName,
    lease: Lease,
}

impl Leased for Teller {
    fn lease(&self) -> &Lease {
        &self.lease
    }

    fn set_lease(&mut self, lease: Lease) {
        self.lease = lease;
    }
}

/// Tells people how the fleet is, if it is this server's to do so.
pub(super) struct Reporter {
    dory: Dory,
    catalog: Arc<Catalog>,
    clock: Arc<dyn Clock>,
    holder: String,
    news: News,
    watch: LeaseWatch,
    held: Option<Held<Teller>>,
    /// When the last sign of life was written, by our own clock.
    beaten_at: Duration,
    seen: RunsSeen,
    /// How each server's sign of life moved.
    stillness: Stillness,
    /// What could not be done last, which is told once.
    told: Option<String>,
}

impl Reporter {
    pub(super) fn new(dory: Dory, holder: String, news: News) -> Self {
        let (catalog, clock) = (dory.shared_catalog(), dory.clock());
        Self {
            dory,
            catalog,
            clock,
            holder,
            news,
            watch: LeaseWatch::default(),
            held: None,
            beaten_at: Duration::ZERO,
            seen: RunsSeen::default(),
            stillness: Stillness::default(),
            told: None,
        }
    }

    /// Tells people until `cancel` says otherwise; then gives the lease back.
    pub(super) async fn run(mut self, cancel: Cancel) {
        while !cancel.is_cancelled() {
            match self.look(&cancel).await {
                Ok(()) => self.told = None,
                Err(error) if error.kind() == ErrorKind::Cancelled => break,
                Err(error) => self.cannot(error),
            }
            let pause = async {
                self.clock.sleep(LOOK).await;
                Ok(())
            };
            let _ = cancel.or(pause).await;
        }
        if let Some(held) = self.held.take()
            && let Err(error) = held.release(&self.catalog).await
        {
            tracing::warn!(%error, "the reporter's lease could not be given back");
        }
    }

    fn cannot(&mut self, error: Error) {
        let words = error.to_string();
        if self.told.as_ref() != Some(&words) {
            self.told = Some(words);
            (self.news)(ReporterNews::Blind(error));
        }
    }

    async fn look(&mut self, cancel: &Cancel) -> Result<()> {
        match cancel.or(self.prepare()).await? {
            // What is being sent is struck out before this server ends, or the next would send it again.
            Some((survey, found)) => self.send(&survey, found, cancel).await,
            None => Ok(()),
        }
    }

    /// What is to be told, written down; `None` where it is not for this server to tell.
    async fn prepare(&mut self) -> Result<Option<(Survey, FoundDocument<ReportState>)>> {
        if Target::all(&self.dory.fleet_settings().await?).is_empty() {
            // Nobody wants to be told.
            if let Some(held) = self.held.take() {
                held.release(&self.catalog).await?;
            }
            return Ok(None);
        }
        if !self.is_ours().await? {
            self.stillness.clear();
            return Ok(None);
        }
        let survey = self.dory.survey(&mut self.seen).await?;
        let found = self.write_down(&survey).await?;
        Ok(found.map(|found| (survey, found)))
    }

    /// Shows that the teller lives, or reaches for its place.
    async fn is_ours(&mut self) -> Result<bool> {
        let reached_at = self.clock.monotonic();
        if let Some(held) = &mut self.held {
            match held.beat(&self.catalog, |_| ()).await {
                Ok(()) => {
                    self.beaten_at = reached_at;
                    return Ok(true);
                }
                Err(error) if error.kind() == ErrorKind::Conflict => {
                    self.held = None;
                    self.watch = LeaseWatch::default();
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
        let (server, holder, now) = (self.dory.server().clone(), self.holder.clone(), self.clock.now());
        let ours = |before: Option<&Lease>| Teller { server, lease: Lease::next(before, holder, TERM_SECONDS, now) };
        let key = DocumentKey::parse("leases/reporter.json")?;
        match Held::reach(&self.catalog, self.clock.as_ref(), &key, &mut self.watch, ours).await? {
            Reached::Ours(held) => {
                self.held = Some(held);
                self.beaten_at = reached_at;
                (self.news)(ReporterNews::Tells);
                Ok(true)
            }
            Reached::Theirs(_) => Ok(false),
        }
    }

    /// Writes down what is to be told, and takes it for told. `None` where somebody else was faster.
    async fn write_down(&mut self, survey: &Survey) -> Result<Option<FoundDocument<ReportState>>> {
        let key = report_state_key()?;
        let now = self.clock.now();
        let found = self.catalog.find_document::<ReportState>(&key).await?;
        let before = found.as_ref().map(|found| &found.body);
        let mut state = before.cloned().unwrap_or_else(|| ReportState::new(now));
        let silent = self.silent(survey, &state.silent);
        let situation = survey.situation(&silent);
        let changes = state.tell(&situation);
        for (notice, targets) in self.of_changes(survey, &changes).await? {
            state.outbox.push(self.outgoing(&notice, targets, now).await?);
        }
        if state.digest.containers.is_empty() && before.is_none() {
            // What is there when somebody first wants to be told is not new.
            state.digest = Baseline { at: state.digest.at, ..Baseline::of(&situation) };
        }
        if let Some(due) = state.digest_due(&survey.settings.report, now)? {
            let zone = survey.settings.report.time_zone()?;
            let report = Report::draw_up(&situation, &state.digest, &zone);
            let fleet = &self.dory.open_fleet().await?.0.id;
            let notice = digest_notice(&report, &format!("digest-{}.{fleet}", id_of(due)));
            let targets = names(survey.targets().iter().filter(|target| target.wants(Topic::Digest)));
            if !targets.is_empty() {
                state.outbox.push(self.outgoing(&notice, targets, now).await?);
            }
            state.digest = Baseline::of(&situation);
        }
        if before == Some(&state) {
            return Ok(found);
        }
        let written = match &found {
            Some(found) => self.catalog.replace_document(&key, found, state).await,
            None => self.catalog.create_document(&key, state).await,
        };
        match written {
            Ok(found) => Ok(Some(found)),
            // Whoever wrote it tells of it, or the next look does.
            Err(error) if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::AlreadyExists) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// One notice for each set of people who are told of the same.
    async fn of_changes(&self, survey: &Survey, changes: &[StateChange]) -> Result<Vec<(Notice, BTreeSet<String>)>> {
        let fleet = &self.dory.open_fleet().await?.0.id;
        let mut notices: BTreeMap<String, (Notice, BTreeSet<String>)> = BTreeMap::new();
        for target in survey.targets() {
            let wanted: Vec<_> = changes.iter().filter(|change| target.wants(change.topic)).collect();
            if wanted.is_empty() {
                continue;
            }
            let id = format!("news-{}.{fleet}", StateChange::name_of(&wanted));
            let notice = || {
                let subject = headline_of(&wanted);
                let is = |topic: Topic| wanted.iter().any(|change| change.topic == topic);
                let severity = match () {
                    () if is(Topic::Down) => Severity::Alarm,
                    () if is(Topic::Failing) || is(Topic::Suspect) || is(Topic::Silent) => Severity::Warning,
                    () => Severity::Report,
                };
                let html = Some(html_of(&subject, &wanted));
                Notice { id: id.clone(), severity, subject, text: text_of(&wanted), html }
            };
            notices.entry(id.clone()).or_insert_with(|| (notice(), BTreeSet::new())).1.insert(target.name);
        }
        Ok(notices.into_values().collect())
    }

    async fn outgoing(&self, notice: &Notice, targets: BTreeSet<String>, now: Timestamp) -> Result<Outgoing> {
        let notice = serde_json::to_string(notice).map_err(|error| {
            Error::new(ErrorKind::Internal, "write notice", &notice.id, "it cannot be put into JSON").with_source(error)
        })?;
        let key = self.dory.open_fleet().await?.1.as_ref();
        let seal = key.map_or_else(String::new, |key| key.seal(Outgoing::PURPOSE, &notice));
        Ok(Outgoing { notice, seal, targets, at: now, failures: 0, next_at: now })
    }

    /// Sends what is due, and strikes out what was taken.
    async fn send(&mut self, survey: &Survey, mut found: FoundDocument<ReportState>, cancel: &Cancel) -> Result<()> {
        let now = self.clock.now();
        let key = report_state_key()?;
        // By a clock that was set back, what is due would wait for long.
        let due = |out: &Outgoing| out.next_at <= now || out.next_at.duration_since(now) > 2 * Outgoing::wait(u32::MAX);
        let waiting: Vec<_> = found.body.outbox.iter().filter(|out| due(out)).cloned().collect();
        let targets = survey.targets();
        for out in waiting {
            let given_up = now.duration_since(out.at) > Outgoing::PATIENCE;
            let notice = self.opened(&out).await;
            let (mut left, mut failed) = (BTreeSet::new(), false);
            // Who is in the settings no more is told no more.
            for target in out.targets.iter().filter(|name| targets.iter().any(|target| target.name == **name)) {
                if cancel.is_cancelled() || self.clock.monotonic().saturating_sub(self.beaten_at) > MAY_SEND {
                    // The next look shows first that this one is still the teller.
                    left.insert(target.clone());
                    continue;
                }
                let sent = match &notice {
                    Ok(notice) => self.send_to(survey, notice, target).await,
                    Err(error) => Err(error.to_record().into()),
                };
                match sent {
                    Ok(subject) => (self.news)(ReporterNews::Sent { target: target.clone(), subject }),
                    Err(error) => {
                        let given_up = given_up || notice.is_err();
                        (self.news)(ReporterNews::Failed { target: target.clone(), error, given_up });
                        failed = true;
                        if !given_up {
                            left.insert(target.clone());
                        }
                    }
                }
            }
            let mut state = found.body.clone();
            state.outbox.retain(|other| *other != out || !left.is_empty());
            if let Some(kept) = state.outbox.iter_mut().find(|other| **other == out) {
                let failures = out.failures + u32::from(failed);
                let wait = if failed { Outgoing::wait(failures) } else { Outgoing::wait(0) };
                let next_at = self.clock.now().checked_add(wait).unwrap_or(Timestamp::MAX);
                *kept = Outgoing { targets: left, failures, next_at, ..out };
            }
            found = self.catalog.replace_document(&key, &found, state).await?;
        }
        Ok(())
    }

    /// The notice, if a server of the fleet wrote it.
    async fn opened(&self, out: &Outgoing) -> Result<Notice> {
        let key = self.dory.open_fleet().await?.1.as_ref();
        if !key.is_none_or(|key| key.made_seal(Outgoing::PURPOSE, &out.notice, &out.seal)) {
            let reason = "nobody who knows the fleet's passphrase wrote it, and nobody is told";
            return Err(Error::new(ErrorKind::PermissionDenied, "trust a notice of", "reports/state.json", reason)
                .with_hint("find out who else can write to the store, and take that away"));
        }
        serde_json::from_str(&out.notice).map_err(|error| {
            Error::new(ErrorKind::Corrupt, "read a notice of", "reports/state.json", "it is none").with_source(error)
        })
    }

    async fn send_to(&self, survey: &Survey, notice: &Notice, target: &str) -> Result<String> {
        self.dory.notifier(&survey.settings, target).await?.send(notice).await?;
        Ok(notice.subject.clone())
    }

    /// Servers that stood still for too long as this one saw it. Where it did not look for long enough, what was told
    /// before holds.
    fn silent(&mut self, survey: &Survey, before: &BTreeSet<ServerName>) -> BTreeSet<ServerName> {
        let mut silent = self.stillness.look(&survey.servers, self.clock.monotonic());
        let was = |server: &&ServerRecord| {
            let stood_still = before.contains(&server.name) && !self.stillness.moved(&server.name);
            stood_still && !server.lease.released && server.name != *self.dory.server()
        };
        silent.extend(survey.servers.iter().filter(was).map(|server| server.name.clone()));
        silent
    }
}

fn names<'a>(targets: impl Iterator<Item = &'a Target>) -> BTreeSet<String> {
    targets.map(|target| target.name.clone()).collect()
}

impl Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reporter").field("held", &self.held.is_some()).finish_non_exhaustive()
    }
}

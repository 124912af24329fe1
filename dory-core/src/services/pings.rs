//! Pings around a run, for a service that raises the alarm when they stay away. They never fail a run, and never hold up
//! what stands still.

use std::time::Duration;

use tokio::task::JoinHandle;

use super::Dory;
use super::backup::{BackupReport, Planned};
use crate::domain::contact::WebUrl;
use crate::domain::ping::{PingSignal, PingWish};
use crate::error::{Error, Result};

/// How long a run that is over waits for its pings.
const PATIENCE: Duration = Duration::from_secs(30);

/// The pings of one run.
pub(super) struct Pings {
    address: Option<WebUrl>,
    started: Option<JoinHandle<()>>,
}

impl Dory {
    /// Pings that a run of `planned` began, beside it.
    pub(super) async fn ping_start(&self, planned: &Planned) -> Pings {
        let address = match self.ping_address(planned).await {
            Ok(address) => address,
            Err(error) => {
                tracing::warn!(%error, "nobody is pinged");
                None
            }
        };
        let started = address.clone().map(|address| {
            let dory = self.clone();
            tokio::spawn(async move { dory.ping(&address, PingSignal::Start, "").await })
        });
        Pings { address, started }
    }

    /// Pings how it ended, after it was pinged that it began.
    pub(super) async fn ping_end(&self, pings: Pings, result: &Result<BackupReport>) {
        let Some(address) = pings.address else { return };
        let (signal, words) = match result {
            Ok(report) if report.is_complete() => (PingSignal::Success, String::new()),
            Ok(report) => (PingSignal::Fail, shortcomings(report)),
            Err(error) => (PingSignal::Fail, error.to_string()),
        };
        let told = async {
            if let Some(started) = pings.started {
                // It says itself what went wrong with it.
                let _ = started.await;
            }
            self.ping(&address, signal, &words).await;
        };
        tokio::select! {
            () = told => {}
            () = self.clock.sleep(PATIENCE) => tracing::warn!(place = address.place(), "a ping is given up"),
        }
    }

    async fn ping(&self, address: &WebUrl, signal: PingSignal, words: &str) {
        let sent = match PingWish::with_signal(address, signal) {
            Ok(address) => self.channels.ping(&address, signal, words).await,
            Err(error) => Err(error),
        };
        if let Err(error) = sent {
            tracing::warn!(%error, "a ping did not arrive");
        }
    }

    async fn ping_address(&self, planned: &Planned) -> Result<Option<WebUrl>> {
        let plan = &planned.plan;
        let wish = match &plan.policy.ping {
            Some(wish) => wish.clone(),
            None => match self.fleet_settings().await?.ping {
                Some(wish) => wish,
                None => return Ok(None),
            },
        };
        let name = planned.known.as_ref().map_or_else(|| plan.container.to_string(), |known| known.name.clone());
        wish.address(&plan.backup, &name, &self.config.server)
    }
}

/// What a run fell short of, in a line.
fn shortcomings(report: &BackupReport) -> String {
    let point = &report.point;
    let errors = report.containers_down.iter().chain(&report.hook_failed).map(Error::to_string);
    let suspect = point.suspect.iter().map(|suspicion| format!("suspect: {}", suspicion.loss));
    let lost = point.lost_data().then(|| "data that was asked for is missing".to_owned());
    let unguarded = report.guardian_lost.iter().map(|reason| format!("nobody guarded it to its end: {reason}"));
    errors.chain(suspect).chain(lost).chain(unguarded).collect::<Vec<_>>().join("; ")
}

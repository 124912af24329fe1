//! Telling the fleet what is on this host: containers, volumes, and what of them nothing covers.

use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use tokio::sync::watch;

use super::scheduler::Outlook;
use crate::domain::pulse::Loop;
use crate::error::Result;
use crate::ports::{ContainerAction, EventStream};
use crate::services::{Cancel, Dory, SharedStock};

/// How long it waits after something happened: rarely does one container change alone.
const CALM: Duration = Duration::from_secs(5);

/// How much time lies between two looks at least, for a container that is always restarting changes all the time.
const PAUSE: Duration = Duration::from_secs(30);

/// How often it looks even if nothing happened: no event tells of a volume, or of what was marked elsewhere.
const LOOK: Duration = Duration::from_secs(60);

/// Writes down what is on this host whenever it changed, until it is cancelled.
#[derive(Debug)]
pub(super) struct Stocktaker {
    dory: Dory,
    /// A run that began or ended changes what is covered.
    outlook: watch::Receiver<Outlook>,
    shared: SharedStock,
    /// What kept it from looking was told already.
    told: Option<String>,
}

impl Stocktaker {
    pub(super) fn new(dory: Dory, outlook: watch::Receiver<Outlook>) -> Self {
        Self { dory, outlook, shared: SharedStock::default(), told: None }
    }

    /// Looks, and waits until something happened.
    pub(super) async fn run(mut self, cancel: Cancel) {
        let clock = self.dory.clock();
        let mut events = None;
        while !cancel.is_cancelled() {
            // It listens first: what happens during the look is looked at next.
            if events.is_none() {
                events = cancel.or(self.listen()).await.ok().flatten();
            }
            let looked_at = clock.monotonic();
            self.look(&cancel).await;
            let waited = cancel.or(async {
                tokio::select! {
                    () = something_happens(&mut events) => {}
                    () = runs_change(&mut self.outlook) => {}
                    () = clock.sleep(LOOK) => return Ok(()),
                }
                let passed = clock.monotonic().saturating_sub(looked_at);
                clock.sleep(PAUSE.saturating_sub(passed).max(CALM)).await;
                Ok(())
            });
            // Cancelled, it ends.
            let _ = waited.await;
            forget_what_happened(&mut events);
        }
    }

    async fn listen(&self) -> Result<Option<EventStream>> {
        let Ok(runtime) = self.dory.runtime() else { return Ok(None) };
        Ok(runtime.events().await.ok())
    }

    /// Looks once. What failed is tried again at the next look.
    async fn look(&mut self, cancel: &Cancel) {
        let looked = cancel.or(self.dory.share_stock(&mut self.shared)).await;
        self.dory.pulse().turn(Loop::Stocktaker, looked.is_ok());
        match looked {
            Ok(_) => self.told = None,
            Err(error) => {
                let words = error.to_string();
                if !cancel.is_cancelled() && self.told.as_ref() != Some(&words) {
                    tracing::warn!(%error, "what is on this host could not be told to the fleet");
                    self.told = Some(words);
                }
            }
        }
    }
}

/// Waits until something happened to a container that an inventory tells of, or nothing more is heard.
async fn something_happens(events: &mut Option<EventStream>) {
    let Some(stream) = events else { return std::future::pending().await };
    loop {
        match stream.next().await {
            Some(Ok(event)) if event.action == ContainerAction::HealthChanged => {}
            Some(Ok(_)) => return,
            Some(Err(_)) | None => {
                *events = None;
                return;
            }
        }
    }
}

/// Takes what happened until now off the stream: the next look sees it all.
fn forget_what_happened(events: &mut Option<EventStream>) {
    while let Some(heard) = events.as_mut().and_then(|stream| stream.next().now_or_never()) {
        if !matches!(heard, Some(Ok(_))) {
            *events = None;
        }
    }
}

/// Waits until other runs are under way than before.
async fn runs_change(outlook: &mut watch::Receiver<Outlook>) {
    let before = outlook.borrow_and_update().running.clone();
    if outlook.wait_for(|outlook| outlook.running != before).await.is_err() {
        std::future::pending().await
    }
}

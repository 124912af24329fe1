//! A server's name belongs to one process: claiming it, and showing that it is in use.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::lease::{Held, Leased, Reached};
use crate::domain::id::ServerName;
use crate::domain::lease::{Lease, LeaseWatch};
use crate::domain::server::{Ping, ServerRecord};
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{Clock, DocumentKey};
use crate::services::{Cancel, Catalog};

/// How often an owner shows that it lives.
pub(super) const BEAT: Duration = Duration::from_secs(15);

/// How long a beat may take at least, however late it is.
const LEAST_TRY: Duration = Duration::from_secs(5);

/// How long an owner may be silent, in seconds, before its name can be taken over.
const TERM_SECONDS: u32 = 60;

/// How often a name that somebody else holds is looked at.
const LOOK: Duration = Duration::from_secs(5);

impl Leased for ServerRecord {
    fn lease(&self) -> &Lease {
        &self.lease
    }

    fn set_lease(&mut self, lease: Lease) {
        self.lease = lease;
    }
}

/// A server's name that this process owns.
#[derive(Debug)]
pub(super) struct Ownership {
    catalog: Arc<Catalog>,
    clock: Arc<dyn Clock>,
    held: Held<ServerRecord>,
    /// When the last beat was written, by our own clock.
    beaten_at: Duration,
}

impl Ownership {
    /// Claims `name`. Where somebody else holds it, waits for as long as it takes to see whether that one lives: one
    /// that was killed a moment ago looks just like one that works.
    ///
    /// # Errors
    /// `Conflict`, saying who holds the name and since when, as soon as it is seen to live; `Cancelled`; the store's.
    pub(super) async fn claim(
        catalog: &Arc<Catalog>,
        clock: &Arc<dyn Clock>,
        name: &ServerName,
        holder: &str,
        ping: &Ping,
        cancel: &Cancel,
        waiting: impl Fn(&ServerRecord),
    ) -> Result<Self> {
        let key = key_of(name)?;
        let mut watch = LeaseWatch::default();
        let mut first: Option<ServerRecord> = None;
        loop {
            let ours = |before: Option<&Lease>| ServerRecord {
                name: name.clone(),
                lease: Lease::next(before, holder.to_owned(), TERM_SECONDS, ping.at),
                ping: ping.clone(),
            };
            match cancel.or(Held::reach(catalog, clock.as_ref(), &key, &mut watch, ours)).await? {
                Reached::Ours(held) => {
                    let (catalog, clock) = (Arc::clone(catalog), Arc::clone(clock));
                    let beaten_at = clock.monotonic();
                    return Ok(Self { catalog, clock, held, beaten_at });
                }
                Reached::Theirs(record) => {
                    let before = first.get_or_insert_with(|| {
                        waiting(&record);
                        record.clone()
                    });
                    if watch.saw_it_move(&before.lease) {
                        return Err(is_owned(&record, clock.now()));
                    }
                }
            }
            let looked = async {
                clock.sleep(LOOK).await;
                Ok(())
            };
            cancel.or(looked).await?;
        }
    }

    /// Shows that the owner lives, and tells whether the fleet can see it. It takes no longer than there is time.
    ///
    /// # Errors
    /// `Conflict` if the name was taken over: this process must not run anything any more. `Unavailable` or `TimedOut`
    /// once it could not be shown for most of the term, and somebody may take over any moment; before that, what keeps
    /// the store from being written is only logged.
    pub(super) async fn beat(&mut self, ping: Ping) -> Result<bool> {
        let (began, latest) = (self.clock.monotonic(), self.held.document().lease.term().saturating_sub(BEAT));
        // Who woke up late tries all the same: as long as nobody took over, the swap succeeds.
        let left = latest.saturating_sub(began.saturating_sub(self.beaten_at)).max(LEAST_TRY);
        let name = self.held.document().name.clone();
        let beaten = tokio::select! {
            biased;
            beaten = self.held.beat(&self.catalog, |record| record.ping = ping) => beaten,
            () = self.clock.sleep(left) => {
                let reason = "the store did not answer while there was time";
                Err(Error::new(ErrorKind::TimedOut, "go on serving as", name.as_str(), reason))
            }
        };
        match beaten {
            Ok(()) => {
                // Whoever watches may have seen it the moment it was sent.
                self.beaten_at = began;
                Ok(true)
            }
            Err(lost) if lost.kind() == ErrorKind::Conflict => Err(lost),
            Err(error) => {
                let silent = self.clock.monotonic().saturating_sub(self.beaten_at);
                if silent >= latest {
                    return Err(error);
                }
                tracing::warn!(%error, "the fleet does not hear from this server");
                Ok(false)
            }
        }
    }

    /// Gives the name back, so that the next process need not wait.
    pub(super) async fn release(self) {
        if let Err(error) = self.held.release(&self.catalog).await {
            tracing::warn!(%error, "the server's name could not be given back");
        }
    }
}

fn key_of(name: &ServerName) -> Result<DocumentKey> {
    DocumentKey::parse(format!("servers/{name}.json"))
}

fn is_owned(record: &ServerRecord, now: Timestamp) -> Error {
    let Ping { host, .. } = &record.ping;
    let until = now + Duration::from_secs(record.lease.term_seconds.into());
    let reason = format!(
        "a Dory on `{host}` has had that name since {}, and keeps it at least until {}",
        seconds(record.lease.taken_at),
        seconds(until)
    );
    Error::new(ErrorKind::Conflict, "serve as", record.name.as_str(), reason)
        .with_hint("stop the other one, or give this host another name with `--server` or DORY_SERVER")
}

fn seconds(moment: Timestamp) -> impl std::fmt::Display {
    moment.strftime("%Y-%m-%d %H:%M:%S UTC")
}

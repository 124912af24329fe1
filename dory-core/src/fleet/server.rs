//! One server: its name, its heartbeat, and the loops that run beside it.

use std::fmt::{self, Debug};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use super::gate::{Gate, SchedulerLimits};
use super::host::Host;
use super::mailbox::{self, Mailbox, MailboxNews};
use super::ownership::{BEAT, Ownership};
use super::reporter::{self, Reporter, ReporterNews};
use super::scheduler::{News, Outlook, Scheduler, SchedulerNews};
use super::stocktaker::Stocktaker;
use super::under_way::UnderWay;
use crate::domain::pulse::Loop;
use crate::domain::server::{Ping, ServerRecord};
use crate::error::{Error, Result};
use crate::services::{Cancel, Dory, Guarding, RunEvents, Settled};

/// How often it looks for runs that were broken off meanwhile: other commands on this host die, too.
const SETTLING: Duration = Duration::from_secs(3 * 60);

/// What a server is started with.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServerOptions {
    /// How much it does at once.
    pub limits: SchedulerLimits,
    /// Who brings containers back if it dies.
    pub guarding: Guarding,
}

/// What a server tells while it runs.
#[derive(Debug)]
pub enum ServerNews {
    /// Somebody else holds its name, and may be dead: it waits to find out.
    Waiting(ServerRecord),
    /// It owns its name, and runs what is due from now on.
    Serving,
    /// A run that was broken off was cleared up after.
    Settled(Settled),
    /// What the scheduler did.
    Scheduler(SchedulerNews),
    /// What came of commands.
    Mailbox(MailboxNews),
    /// What became of reports.
    Reporter(ReporterNews),
    /// It ends: its runs do so in order.
    Ending,
}

/// A long-running Dory.
pub struct Server {
    dory: Dory,
    options: ServerOptions,
    news: Told,
}

/// Who hears a server's news.
type Told = Arc<dyn Fn(ServerNews) + Send + Sync>;

impl Server {
    /// A server of `dory`'s name, which tells `news` what it does.
    pub fn new(dory: Dory, options: ServerOptions, news: impl Fn(ServerNews) + Send + Sync + 'static) -> Self {
        Self { dory, options, news: Arc::new(news) }
    }

    /// Serves until `cancel` says otherwise: owns the name, clears up after runs that were broken off, runs what is due.
    /// Then its runs end in order, containers first, and the name is given back.
    ///
    /// # Errors
    /// `Conflict` if another process owns the name, or took it over; the store's, before it serves; `Unavailable` where
    /// the store stayed away for so long that another may take over.
    pub async fn run(self, cancel: &Cancel) -> Result<()> {
        self.dory.open_or_found_fleet(&RunEvents::ignored()).await?;
        // Whoever drops this future wants no run to go on either.
        let _ends = EndsWith(cancel.clone());
        let (catalog, clock) = (self.dory.shared_catalog(), self.dory.clock());
        let started_at = clock.now();
        let (outlook, seen) = watch::channel(Outlook::default());
        let holder = self.dory.new_nonce()?;
        let waiting = |record: &ServerRecord| (self.news)(ServerNews::Waiting(record.clone()));
        let host = Host::default();
        host.look(&self.dory).await;
        let first = self.ping(started_at, &host, &Outlook::default());
        let mut ownership =
            Ownership::claim(&catalog, &clock, self.dory.server(), &holder, &first, cancel, waiting).await?;
        (self.news)(ServerNews::Serving);
        // From here on nothing may keep the heartbeat waiting.
        let (gate, under_way) = (Gate::new(self.options.limits), UnderWay::default());
        let news = Arc::clone(&self.news);
        let told: News = Arc::new(move |event| news(ServerNews::Scheduler(event)));
        let guarding = self.options.guarding;
        let scheduler = Scheduler::new(self.dory.clone(), guarding, gate.clone(), under_way.clone(), told, outlook);
        let news = Arc::clone(&self.news);
        let told: mailbox::News = Arc::new(move |event| news(ServerNews::Mailbox(event)));
        let mailbox = Mailbox::new(self.dory.clone(), self.options, gate, under_way, holder.clone(), told);
        let news = Arc::clone(&self.news);
        let told: reporter::News = Arc::new(move |event| news(ServerNews::Reporter(event)));
        let reporter = Reporter::new(self.dory.clone(), holder.clone(), told);
        let stocktaker = Stocktaker::new(self.dory.clone(), seen.clone());
        let (its, dory, news, watched) = (cancel.clone(), self.dory.clone(), Arc::clone(&self.news), host.clone());
        let mut loops = tokio::spawn(async move {
            settle_first(&dory, &its, &news).await;
            // What is cleared up after may take its time: only now is there a loop that can stand still.
            dory.pulse().begin();
            let settling = settle_again(&dory, &its, &news);
            let watching = watched.watch(dory.clone(), its.clone());
            let (runs, orders, reports, stock) = (its.clone(), its.clone(), its.clone(), its.clone());
            let working = async { tokio::join!(scheduler.run(runs), mailbox.run(orders), reporter.run(reports)) };
            tokio::join!(working, stocktaker.run(stock), watching, settling)
        });
        let mut lost = None;
        let mut ending = false;
        loop {
            tokio::select! {
                ended = &mut loops => {
                    if let Err(error) = ended {
                        lost.get_or_insert(Error::from_panic("serve", error));
                    }
                    break;
                }
                () = clock.sleep(BEAT), if lost.is_none() => {
                    let outlook = seen.borrow().clone();
                    let ping = self.ping(started_at, &host, &outlook);
                    let beaten = ownership.beat(ping).await;
                    self.dory.pulse().turn(Loop::Heartbeat, matches!(beaten, Ok(true)));
                    if let Err(error) = beaten {
                        // Whoever owns the name now must not meet a run of ours.
                        cancel.cancel();
                        lost = Some(error);
                    }
                }
                () = cancel.spoken(), if !ending => {
                    ending = true;
                    (self.news)(ServerNews::Ending);
                }
            }
        }
        self.dory.pulse().end();
        match lost {
            Some(error) => Err(error),
            None => {
                ownership.release().await;
                Ok(())
            }
        }
    }

    fn ping(&self, started_at: Timestamp, host: &Host, outlook: &Outlook) -> Ping {
        let info = host.latest();
        Ping {
            at: self.dory.now(),
            started_at,
            host: info.as_ref().map_or_else(|| self.dory.server().to_string(), |info| info.host.clone()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            runtime: info.as_ref().map(|info| info.name.clone()),
            api_version: info.as_ref().map(|info| info.api_version.clone()),
            disk: info.and_then(|info| info.disk),
            next_run: outlook.next.clone(),
            running: outlook.running.clone(),
            loop_ages: self.dory.pulse().ages(),
        }
    }
}

/// Clears up after a process that died.
async fn settle_first(dory: &Dory, cancel: &Cancel, news: &Told) {
    if let Err(error) = cancel.or(dory.clear_live_runs()).await {
        tracing::warn!(%error, "what an earlier process said of its runs is not taken away yet");
    }
    settle(dory, cancel, news).await;
}

async fn settle(dory: &Dory, cancel: &Cancel, news: &Told) {
    match cancel.or(dory.settle()).await {
        Ok(all) => all.into_iter().for_each(|settled| news(ServerNews::Settled(settled))),
        Err(error) => tracing::warn!(%error, "what was broken off is not settled yet"),
    }
}

/// Settles now and then, until `cancel`.
async fn settle_again(dory: &Dory, cancel: &Cancel, news: &Told) {
    let clock = dory.clock();
    let pause = async || {
        clock.sleep(SETTLING).await;
        Ok(())
    };
    while cancel.or(pause()).await.is_ok() {
        settle(dory, cancel, news).await;
    }
}

struct EndsWith(Cancel);

impl Drop for EndsWith {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("dory", &self.dory).finish_non_exhaustive()
    }
}

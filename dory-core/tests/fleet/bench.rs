//! Servers in a [`World`] whose time is moved on step by step.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use dory_core::Result;
use dory_core::domain::keys::Encryption;
use dory_core::fleet::{MailboxNews, ReporterNews, SchedulerLimits, SchedulerNews, Server, ServerNews, ServerOptions};
use dory_core::services::{Cancel, Dory, Guarding};
use dory_testkit::World;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// How much time passes at once, and how long the servers get to notice.
const STEP: (Duration, Duration) = (Duration::from_millis(250), Duration::from_millis(5));

/// A Dory that needs no time to derive keys.
pub(super) fn dory(world: &World) -> Dory {
    world.dory_with(Some(Encryption::None))
}

/// Lets time pass, little by little.
pub(super) async fn let_pass(world: &World, duration: Duration) {
    for _ in 0..duration.as_millis() / STEP.0.as_millis() {
        world.clock.advance(STEP.0);
        tokio::time::sleep(STEP.1).await;
    }
}

/// A server under way.
pub(super) struct Running {
    cancel: Cancel,
    news: Arc<Mutex<Vec<String>>>,
    told: Arc<Notify>,
    ended: JoinHandle<Result<()>>,
    /// Threads of its own, where it can be killed with all that it does.
    process: Option<tokio::runtime::Runtime>,
}

impl Running {
    pub(super) fn start(world: &World) -> Self {
        Self::with(world, SchedulerLimits::default())
    }

    /// One of a fleet that has a passphrase, and so can take commands.
    pub(super) fn with_passphrase(world: &World) -> Self {
        Self::of(world.dory(), SchedulerLimits::default())
    }

    /// The same, with limits.
    pub(super) fn with_passphrase_and(world: &World, limits: SchedulerLimits) -> Self {
        Self::of(world.dory(), limits)
    }

    /// The same, in threads of its own: [`kill_at_once`](Self::kill_at_once) lets nothing of it go on.
    pub(super) fn as_process(world: &World) -> Self {
        let process = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let entered = process.enter();
        let running = Self::of(world.dory(), SchedulerLimits::default());
        drop(entered);
        Self { process: Some(process), ..running }
    }

    pub(super) fn with(world: &World, limits: SchedulerLimits) -> Self {
        Self::of(dory(world), limits)
    }

    /// One of another name.
    pub(super) fn called(world: &World, name: &str) -> Self {
        Self::of(world.dory_called(name, Some(Encryption::None)), SchedulerLimits::default())
    }

    fn of(dory: Dory, limits: SchedulerLimits) -> Self {
        let (cancel, news, told) = (Cancel::new(), Arc::default(), Arc::new(Notify::new()));
        let (all, tell) = (Arc::<Mutex<Vec<String>>>::clone(&news), Arc::clone(&told));
        // Time flies here, and a guardian would take Dory for dead.
        let options = ServerOptions { limits, guarding: Guarding::Off };
        let server = Server::new(dory, options, move |event| {
            all.lock().unwrap().push(words(&event));
            tell.notify_one();
        });
        let its = cancel.clone();
        let ended = tokio::spawn(async move { server.run(&its).await });
        Self { cancel, news, told, ended, process: None }
    }

    /// What it told until now.
    pub(super) fn news(&self) -> Vec<String> {
        self.news.lock().unwrap().clone()
    }

    /// Waits, and lets time pass by the second, until it told `count` things that begin with `words`.
    pub(super) async fn tells(&self, world: &World, words: &str, count: usize) {
        for _ in 0..4_000 {
            if self.news().iter().filter(|told| told.starts_with(words)).count() >= count {
                return;
            }
            tokio::select! {
                () = self.told.notified() => {}
                () = tokio::time::sleep(STEP.1) => world.clock.advance(STEP.0),
            }
        }
        panic!("`{words}` was not told {count} times: {:#?}", self.news());
    }

    /// Ends it in order.
    pub(super) async fn end(self) -> Result<()> {
        self.cancel.cancel();
        self.ended.await.unwrap()
    }

    /// Lets it end by itself, while time passes.
    pub(super) async fn ends(mut self, world: &World) -> Result<()> {
        loop {
            tokio::select! {
                ended = &mut self.ended => return ended.unwrap(),
                () = tokio::time::sleep(STEP.1) => world.clock.advance(STEP.0),
            }
        }
    }

    /// Ends it and all that it does, wherever each is, as a kill of its process does.
    pub(super) fn kill_at_once(self) {
        self.process.unwrap().shutdown_background();
    }

    /// Ends it as a kill does: nothing is given back.
    pub(super) async fn kill(self) {
        self.ended.abort();
        let _ = self.ended.await;
    }
}

fn words(news: &ServerNews) -> String {
    match news {
        ServerNews::Waiting(record) => format!("waiting for {}", record.lease.holder),
        ServerNews::Serving => "serving".into(),
        ServerNews::Settled(settled) => format!("settled {}", settled.run),
        ServerNews::Ending => "ending".into(),
        ServerNews::Reporter(ReporterNews::Tells) => "tells".into(),
        ServerNews::Reporter(ReporterNews::Sent { target, subject }) => format!("told {target}: {subject}"),
        ServerNews::Reporter(ReporterNews::Failed { target, error, given_up }) => {
            format!("not told {target}: {:?}{}", error.kind(), if *given_up { ", given up" } else { "" })
        }
        ServerNews::Reporter(ReporterNews::Blind(error)) => format!("blind reporter: {:?}", error.kind()),
        ServerNews::Mailbox(MailboxNews::Began(command)) => format!("asked {}", command.id),
        ServerNews::Mailbox(MailboxNews::Over(id, _)) => format!("over {id}"),
        ServerNews::Mailbox(MailboxNews::Refused(what, error)) => format!("refused {what}: {:?}", error.kind()),
        ServerNews::Mailbox(MailboxNews::Blind(error)) => format!("blind mailbox: {error}"),
        ServerNews::Scheduler(SchedulerNews::Began { container }) => format!("began {container}"),
        ServerNews::Scheduler(SchedulerNews::Ended { container, result: Ok(_) }) => format!("backed up {container}"),
        ServerNews::Scheduler(SchedulerNews::Ended { container, result: Err(error) }) => {
            format!("failed {container}: {:?}", error.kind())
        }
        ServerNews::Scheduler(SchedulerNews::Pruned { container, result }) => {
            format!("pruned {container}: {}", result.as_ref().map_or(0, |report| report.plan.points.len()))
        }
        ServerNews::Scheduler(SchedulerNews::Unclear { container, error }) => format!("unclear {container}: {error}"),
        ServerNews::Scheduler(SchedulerNews::Blind { error }) => format!("blind: {:?}", error.kind()),
    }
}

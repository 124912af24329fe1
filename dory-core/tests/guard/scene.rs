//! A fake host, a guardian on it, and the test at the other end of its line.

use std::time::Duration;

use dory_core::agent::guard::hash_of;
use dory_core::agent::guard::protocol::{Order, PROTOCOL, Trigger, Word, read_line, write_line};
use dory_core::domain::container::{Container, ContainerState, Health};
use dory_core::domain::guard::{GuardEnd, GuardPlan, label};
use dory_core::domain::id::{ContainerId, ContainerName, RunId};
use dory_core::domain::identity::ComposePlace;
use dory_core::domain::plan::{Quiet, QuietReason, StartRules};
use dory_core::domain::policy::StopMode;
use dory_core::domain::run::RunKind;
use dory_core::ports::{Clock, HelperNetwork, HelperRole, HelperSpec};
use dory_testkit::fakes::{FakeClock, FakeRuntime, Ticker};
use tokio::io::{AsyncRead, AsyncWrite, BufReader};

pub(crate) const RUN: &str = "01K9ZZZZZZZZZZZZZZZZZZZZZY";
const NONCE: &str = "0123456789abcdef";

/// A fake host.
pub(crate) struct Scene {
    pub(crate) runtime: FakeRuntime,
    pub(crate) clock: FakeClock,
}

/// A guardian, and the line to it.
pub(crate) struct Guardian {
    pub(crate) id: ContainerId,
    stdin: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    words: BufReader<Box<dyn AsyncRead + Send + Unpin>>,
}

/// How `container`, as it is now, is to be quieted.
pub(crate) fn quiet(container: &Container, mode: StopMode) -> Quiet {
    Quiet {
        id: container.id.clone(),
        name: container.name.clone(),
        was: container.state,
        mode,
        why: QuietReason::Target,
        has_health_check: container.health != Health::None,
        compose: ComposePlace::of(&container.labels),
        start: StartRules::default(),
    }
}

impl Scene {
    pub(crate) fn new() -> Self {
        let runtime = FakeRuntime::new();
        runtime.run_agents_with(Vec::new());
        Self { clock: runtime.clock().clone(), runtime }
    }

    pub(crate) fn plan(&self, containers: Vec<Quiet>) -> GuardPlan {
        GuardPlan { kind: RunKind::Backup, started_at: self.clock.now(), stop_limit: 3600, containers }
    }

    /// Starts a guardian and says nothing to it.
    pub(crate) async fn launch(&self, plan: &GuardPlan) -> Guardian {
        let text = |text: &str| text.to_owned();
        let labels = [
            (text(label::SERVER), text("server-1")),
            (text(label::BACKUP), text("db-4f1c")),
            (text(label::RUN), text(RUN)),
            (text(label::KIND), text(plan.kind.as_str())),
            (text(label::PLAN), plan.to_label().unwrap()),
            (text(label::NONCE), hash_of(NONCE)),
        ];
        let spec = HelperSpec {
            name: ContainerName::parse(format!("dory-guardian-{RUN}")).unwrap(),
            role: HelperRole::Guardian,
            image: self.runtime.port().ensure_helper_image().await.unwrap(),
            arguments: vec![text("guard"), text(RUN)],
            mounts: Vec::new(),
            network: HelperNetwork::None,
            capabilities: Vec::new(),
            labels: labels.into(),
        };
        let helper = self.runtime.port().launch_helper(&spec).await.unwrap();
        Guardian { id: helper.id, stdin: Some(helper.stdin), words: BufReader::new(helper.stdout) }
    }

    /// Starts a guardian and arms it; then quiets what it guards.
    pub(crate) async fn guarded(&self, plan: &GuardPlan) -> Guardian {
        let mut guardian = self.launch(plan).await;
        guardian.say(&hello()).await;
        assert_eq!(guardian.word().await, Some(Word::Armed));
        for quiet in plan.containers.iter().rev() {
            match quiet.mode {
                StopMode::Stop => self.runtime.port().stop(&quiet.id, None).await.unwrap(),
                StopMode::Pause => self.runtime.port().pause(&quiet.id).await.unwrap(),
                StopMode::None => {}
            }
        }
        guardian
    }

    /// A helper of `run` that works on volumes, and ends when it is told to.
    pub(crate) async fn reader(&self, run: &str) -> ContainerId {
        let spec = HelperSpec {
            name: ContainerName::parse(format!("dory-{run}")).unwrap(),
            role: HelperRole::Engine,
            image: self.runtime.port().ensure_helper_image().await.unwrap(),
            arguments: vec!["agent".to_owned()],
            mounts: Vec::new(),
            network: HelperNetwork::None,
            capabilities: Vec::new(),
            labels: [(label::RUN.to_owned(), run.to_owned())].into(),
        };
        let helper = self.runtime.port().launch_helper(&spec).await.unwrap();
        // Somebody holds its line, or it would end by itself.
        tokio::spawn(async move {
            let _held = helper;
            std::future::pending::<()>().await;
        });
        self.runtime.port().list_helpers().await.unwrap().pop().unwrap().id
    }

    /// Lets time pass as fast as it can, whenever everybody waits for it.
    pub(crate) fn hurry(&self) -> tokio::task::JoinHandle<()> {
        let clock = self.clock.clone();
        tokio::spawn(async move {
            loop {
                clock.wake_next().await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
    }

    pub(crate) fn tick(&self) -> Ticker {
        self.clock.tick()
    }

    /// Waits until the guardian has ended for good, and tells how.
    pub(crate) async fn end_of(&self, guardian: &ContainerId) -> Option<GuardEnd> {
        for _ in 0..1000 {
            if let Ok(helpers) = self.runtime.port().list_helpers().await
                && let Some(code) = helpers.iter().find(|helper| helper.id == *guardian).unwrap().exit_code
            {
                return GuardEnd::of_code(code);
            }
            // Nothing tells of a helper's end.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the guardian still runs");
    }

    pub(crate) fn states(&self, names: &[&str]) -> Vec<ContainerState> {
        names.iter().map(|name| self.runtime.state_of(name)).collect()
    }
}

impl Guardian {
    pub(crate) async fn say(&mut self, order: &Order) {
        write_line(self.stdin.as_mut().unwrap(), order).await.unwrap();
    }

    /// Gives an order that is answered.
    pub(crate) async fn order(&mut self, order: Order) {
        self.say(&order).await;
        assert_eq!(self.word().await, Some(Word::Done), "{order:?}");
    }

    pub(crate) fn raw(&mut self) -> &mut (dyn AsyncWrite + Send + Unpin) {
        self.stdin.as_mut().unwrap()
    }

    pub(crate) async fn word(&mut self) -> Option<Word> {
        let word = tokio::time::timeout(Duration::from_secs(20), read_line(&mut self.words));
        word.await.expect("the guardian says nothing").unwrap()
    }

    /// Dies: nobody feeds the guardian any more.
    pub(crate) fn hang_up(&mut self) {
        self.stdin = None;
    }

    pub(crate) async fn acts_since(&mut self, trigger: Trigger) {
        assert_eq!(self.word().await, Some(Word::Acting(trigger)));
    }
}

/// The creator's first word.
pub(crate) fn hello() -> Order {
    Order::Hello { protocol: PROTOCOL, nonce: NONCE.to_owned() }
}

/// A run like the guarded one, and not it.
pub(crate) fn another_run() -> String {
    RunId::parse("01K9ZZZZZZZZZZZZZZZZZZZZZX").unwrap().to_string()
}

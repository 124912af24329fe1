//! The guardian: a container of its own that brings stopped containers back if Dory dies.
//!
//! [`serve`] is the guardian's side, [`GuardLink`] Dory's; they speak the lines of [`protocol`]. What is to be done when
//! Dory dies is in the private `rescue`, which Dory uses too where it finds that both died.
//!
//! # The kill matrix
//!
#![doc = include_str!("kill_matrix.md")]

pub mod protocol;

mod link;
mod memory;
mod rescue;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::sync::mpsc;

pub use link::GuardLink;
pub(crate) use rescue::Rescue;

use self::memory::{Memory, Stage};
use self::protocol::{BEAT, BEATS_MISSED, Order, PROTOCOL, Trigger, Word, read_line, write_line};
use self::watch::watch;
use crate::domain::guard::{GuardEnd, GuardPlan, label};
use crate::domain::id::RunId;
use crate::error::{Error, ErrorKind, Result};
use crate::ports::{Clock, ContainerRuntime, HelperInfo, HelperRole};

/// The argument that a guardian runs this program with, followed by its run: whoever embeds the crate calls
/// [`bootstrap::guard`](crate::bootstrap::guard) when the program is started so, and ends with the code of what it gives.
pub const COMMAND: &str = "guard";

/// How a guardian reaches the container engine. It is called again while the engine is away.
pub type Reach = Arc<dyn Fn() -> BoxFuture<'static, Result<Arc<dyn ContainerRuntime>>> + Send + Sync>;

/// What a guardian works with.
pub struct GuardOptions {
    /// The run it guards: it finds its own labels by it.
    pub run: RunId,
    /// The way to the engine.
    pub reach: Reach,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// A folder that lives as long as the guardian's container, across restarts.
    pub folder: PathBuf,
}

impl std::fmt::Debug for GuardOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GuardOptions").field("run", &self.run).field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// The hash of a creator's nonce, as [`label::NONCE`] holds it.
#[must_use]
pub fn hash_of(nonce: &str) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(nonce))
}

/// Guards a run until Dory disarms it, or until everything is brought back.
///
/// # Errors
/// `Unavailable` if there is something to bring back and the engine stayed away: the caller must see to it that this is
/// called again, in a process of its own. The engine does, for a helper that is kept.
pub async fn serve(
    input: impl AsyncRead + Send + Unpin + 'static,
    mut output: impl AsyncWrite + Send + Unpin,
    options: GuardOptions,
) -> Result<GuardEnd> {
    let memory = Memory::in_folder(&options.folder);
    // Who finds something to remember was started again: by whom does not matter, Dory does not do it.
    let (guarded, end) = match memory.recall() {
        None => {
            let mut orders = read_orders(input);
            let guarded = match arm(&options, &memory, &mut orders).await {
                Ok(guarded) => guarded,
                Err(error) => {
                    let _ = write_line(&mut output, &Word::Refused(error.to_record())).await;
                    return Ok(GuardEnd::NeverArmed);
                }
            };
            let trigger = match write_line(&mut output, &Word::Armed).await {
                Ok(()) => watch(&mut orders, &mut output, &memory, options.clock.as_ref(), &guarded.plan).await,
                Err(_) => Some(Trigger::Closed),
            };
            let end = match trigger {
                None => GuardEnd::Disarmed,
                Some(trigger) => {
                    // Dory may be gone, and then nobody hears it.
                    let _ = write_line(&mut output, &Word::Acting(trigger)).await;
                    guarded.act(&options, &memory).await?
                }
            };
            (guarded, end)
        }
        Some(stage) => {
            let _ = write_line(&mut output, &Word::Acting(Trigger::Restarted)).await;
            let guarded = Guarded::find(&options).await?;
            let end = match stage {
                Stage::Disarmed => GuardEnd::Disarmed,
                Stage::Armed | Stage::Writing => guarded.act(&options, &memory).await?,
            };
            (guarded, end)
        }
    };
    guarded.let_go(&options).await?;
    Ok(end)
}

/// A guardian that knows what it guards.
struct Guarded {
    runtime: Arc<dyn ContainerRuntime>,
    own: HelperInfo,
    plan: GuardPlan,
}

impl Guarded {
    /// Reaches the engine, and reads what is on the guardian's own labels.
    async fn find(options: &GuardOptions) -> Result<Self> {
        let runtime = (options.reach)().await?;
        let run = options.run.to_string();
        let is_own =
            |helper: &HelperInfo| helper.role == HelperRole::Guardian && helper.labels.get(label::RUN) == Some(&run);
        let own = runtime.list_helpers().await?.into_iter().find(is_own).ok_or_else(|| {
            let reason = "the engine knows no guardian of that run, so this is not the engine that started it";
            Error::new(ErrorKind::NotFound, "guard run", run, reason)
        })?;
        let plan = GuardPlan::from_labels(&own.labels)?;
        Ok(Self { runtime, own, plan })
    }

    async fn act(&self, options: &GuardOptions, memory: &Memory) -> Result<GuardEnd> {
        self.rescue(options).act(memory.recall() == Some(Stage::Writing)).await
    }

    /// Sees to it that the engine does not start this guardian again.
    async fn let_go(&self, options: &GuardOptions) -> Result<()> {
        let rescue = self.rescue(options);
        match rescue.patiently(|| self.runtime.keep_helper(&self.own.id, false)).await {
            // Dory removes a guardian that it disarmed, and may be quicker.
            Err(error) if error.kind() == ErrorKind::Unavailable => Err(error),
            _ => Ok(()),
        }
    }

    fn rescue<'a>(&'a self, options: &'a GuardOptions) -> Rescue<'a> {
        let Self { runtime, plan, .. } = self;
        Rescue { runtime: runtime.as_ref(), clock: options.clock.as_ref(), run: options.run, plan }
    }
}

/// What a guardian does before anything else with the containers it guards: its words for one that is not there.
pub const MEET: &str = "guard container";

/// Everything that can fail, while nothing is stopped yet.
async fn arm(options: &GuardOptions, memory: &Memory, orders: &mut mpsc::Receiver<Order>) -> Result<Guarded> {
    let nonce = hello(options.clock.as_ref(), orders).await?;
    let guarded = Guarded::find(options).await?;
    if guarded.own.labels.get(label::NONCE) != Some(&hash_of(&nonce)) {
        return Err(Error::new(ErrorKind::PermissionDenied, "guard run", options.run.to_string(), "a stranger asked"));
    }
    for quiet in &guarded.plan.containers {
        guarded.runtime.inspect_container(quiet.id.as_str()).await.map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                let reason = "it was removed, or created anew, since the run looked at it";
                Error::new(ErrorKind::Conflict, MEET, quiet.name.as_str(), reason).with_hint("run the command again")
            }
            _ => error,
        })?;
    }
    // In this order: who is started again must find something to remember.
    memory.keep(Stage::Armed)?;
    guarded.runtime.keep_helper(&guarded.own.id, true).await?;
    Ok(guarded)
}

/// Waits for the creator's first word, its nonce.
async fn hello(clock: &dyn Clock, orders: &mut mpsc::Receiver<Order>) -> Result<String> {
    let silent = |reason: &str| Err(Error::new(ErrorKind::Unavailable, "guard a run", "", reason));
    for _ in 0..BEATS_MISSED {
        tokio::select! {
            biased;
            order = orders.recv() => return match order {
                Some(Order::Hello { protocol: PROTOCOL, nonce }) => Ok(nonce),
                Some(_) => {
                    let reason = "it runs another version of Dory";
                    Err(Error::new(ErrorKind::Unsupported, "talk to the guardian", "", reason)
                        .with_hint("use the same version of Dory for the helper image"))
                }
                None => silent("nobody said what to guard"),
            },
            () = clock.sleep(BEAT) => {}
        }
    }
    silent("nobody said in time what to guard")
}

/// Reads orders in a task of its own; the channel ends with the input, and with the first line that makes no sense.
fn read_orders(input: impl AsyncRead + Send + Unpin + 'static) -> mpsc::Receiver<Order> {
    let (orders, received) = mpsc::channel(16);
    tokio::spawn(async move {
        let mut input = BufReader::new(input);
        while let Ok(Some(order)) = read_line(&mut input).await {
            if orders.send(order).await.is_err() {
                return;
            }
        }
    });
    received
}

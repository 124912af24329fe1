//! What a server knows of its host's container engine: asked for beside the heartbeat, which must not wait for it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::ports::RuntimeInfo;
use crate::services::{Cancel, Dory};

/// How often the engine is asked.
const LOOK: Duration = Duration::from_secs(30);

/// How long it may take to answer before it counts as away.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the engine said last; `None` while it does not answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Host(Arc<Mutex<Option<RuntimeInfo>>>);

impl Host {
    pub(super) fn latest(&self) -> Option<RuntimeInfo> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks once.
    pub(super) async fn look(&self, dory: &Dory) {
        let clock = dory.clock();
        let asked = async {
            match dory.runtime() {
                Ok(runtime) => runtime.info().await.ok(),
                Err(_) => None,
            }
        };
        let info = tokio::select! {
            info = asked => info,
            () = clock.sleep(PATIENCE) => None,
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = info;
    }

    /// Asks again and again until `cancel` says otherwise.
    pub(super) async fn watch(self, dory: Dory, cancel: Cancel) {
        let clock = dory.clock();
        while !cancel.is_cancelled() {
            tokio::select! {
                () = clock.sleep(LOOK) => self.look(&dory).await,
                () = cancel.spoken() => {}
            }
        }
    }
}

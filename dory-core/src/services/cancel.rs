//! Ending a run early, in order.

use std::sync::Arc;

use tokio::sync::watch;

use crate::error::{Error, ErrorKind, Result};

/// A wish to end, shared by whoever has it and whoever must heed it. Once spoken it stays.
#[derive(Clone, Debug)]
pub struct Cancel(Arc<watch::Sender<bool>>);

impl Cancel {
    /// Nobody wishes to end yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    /// Wishes to end.
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }

    /// Whether somebody wished to end.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        *self.0.borrow()
    }

    /// Does `work`, but abandons it as soon as somebody wishes to end.
    ///
    /// # Errors
    /// `Cancelled`; what `work` gives.
    pub async fn or<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut wish = self.0.subscribe();
        tokio::select! {
            biased;
            _ = wish.wait_for(|wish| *wish) => {
                Err(Error::new(ErrorKind::Cancelled, "go on", "", "the run was cancelled"))
            }
            result = work => result,
        }
    }
}

impl Default for Cancel {
    fn default() -> Self {
        Self::new()
    }
}

/// Wishes to end when dropped, unless it is told that all is over.
#[derive(Debug)]
pub(super) struct CancelOnDrop(Option<Cancel>);

impl CancelOnDrop {
    pub(super) fn new(cancel: Cancel) -> Self {
        Self(Some(cancel))
    }

    pub(super) fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(cancel) = &self.0 {
            cancel.cancel();
        }
    }
}

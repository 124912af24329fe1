//! Ending a run early, in order.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::watch;

use crate::error::{Error, ErrorKind, Result};

/// A wish to end, shared by whoever has it and whoever must heed it. Once spoken it stays.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<Wish>);

#[derive(Debug)]
struct Wish {
    spoken: watch::Sender<bool>,
    of_parts: Mutex<Vec<Weak<Self>>>,
}

impl Default for Wish {
    fn default() -> Self {
        Self { spoken: watch::Sender::new(false), of_parts: Mutex::default() }
    }
}

impl Wish {
    fn speak(&self) {
        self.spoken.send_replace(true);
        let parts = self.of_parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.iter().filter_map(Weak::upgrade).for_each(|part| part.speak());
    }
}

impl Cancel {
    /// Nobody wishes to end yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A wish about a part alone: who wishes the whole to end wishes that of the part, and not the other way round.
    #[must_use]
    pub fn of_part(&self) -> Self {
        let part = Self::new();
        let mut parts = self.0.of_parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.retain(|part| part.strong_count() > 0);
        parts.push(Arc::downgrade(&part.0));
        drop(parts);
        if self.is_cancelled() {
            part.cancel();
        }
        part
    }

    /// Wishes to end.
    pub fn cancel(&self) {
        self.0.speak();
    }

    /// Whether somebody wished to end.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        *self.0.spoken.borrow()
    }

    /// Waits until somebody wishes to end.
    pub async fn spoken(&self) {
        let mut wish = self.0.spoken.subscribe();
        // The sender lives as long as this.
        let _ = wish.wait_for(|wish| *wish).await;
    }

    /// Does `work`, but abandons it as soon as somebody wishes to end.
    ///
    /// # Errors
    /// `Cancelled`; what `work` gives.
    pub async fn or<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            () = self.spoken() => Err(Error::new(ErrorKind::Cancelled, "go on", "", "the run was cancelled")),
            result = work => result,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_ends_its_parts_and_no_part_the_whole() {
        let whole = Cancel::new();
        let (one, other) = (whole.of_part(), whole.of_part());
        one.cancel();
        assert!(one.is_cancelled() && !other.is_cancelled() && !whole.is_cancelled());
        let inner = other.of_part();
        whole.cancel();
        assert!(other.is_cancelled() && inner.is_cancelled() && whole.of_part().is_cancelled());
    }
}

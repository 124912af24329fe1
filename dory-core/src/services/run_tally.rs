//! How many runs of this process ended, and how.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::run::{Outcome, RunKind};

/// Counts runs that ended since this process began. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct RunTally(Arc<Mutex<BTreeMap<(RunKind, Outcome), u64>>>);

impl RunTally {
    pub(super) fn count(&self, kind: RunKind, outcome: Outcome) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry((kind, outcome)).or_default() += 1;
    }

    /// How many there were, by what they did and how that went; those that never were are left out.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<(RunKind, Outcome), u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

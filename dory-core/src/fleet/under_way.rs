//! What a server has under way, so that somebody can end one thing of it.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};

use crate::services::Cancel;

/// What can be ended, by its id: commands and runs.
#[derive(Clone, Debug, Default)]
pub(super) struct UnderWay(Arc<Mutex<BTreeMap<String, Cancel>>>);

/// It is under way until this is dropped.
#[derive(Debug)]
pub(super) struct Entry {
    id: String,
    all: UnderWay,
}

impl UnderWay {
    pub(super) fn enter(&self, id: impl Display, cancel: &Cancel) -> Entry {
        let id = id.to_string();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), cancel.clone());
        Entry { id, all: self.clone() }
    }

    /// Wishes it to end; tells whether it is under way at all.
    pub(super) fn cancel(&self, id: impl Display) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = all.get(&id.to_string()).cloned();
        drop(all);
        found.inspect(Cancel::cancel).is_some()
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.all.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

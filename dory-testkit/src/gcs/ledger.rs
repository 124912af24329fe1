//! Counts requests, as the service would charge for them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::call::{Call, Class};

/// How many requests came in, refused ones included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Writes and lists: what costs most.
    pub class_a: u64,
    /// Reads.
    pub class_b: u64,
    /// Deletes.
    pub free: u64,
    /// By operation: `put object`, `get object`, `list objects`, …
    pub by_operation: BTreeMap<String, u64>,
}

impl Counts {
    pub(super) fn note(&mut self, call: &Call) {
        let (operation, class) = call.operation();
        match class {
            Class::A => self.class_a += 1,
            Class::B => self.class_b += 1,
            Class::Free => self.free += 1,
        }
        *self.by_operation.entry(operation.to_owned()).or_default() += 1;
    }

    /// How often `operation` was asked for.
    #[must_use]
    pub fn of(&self, operation: &str) -> u64 {
        self.by_operation.get(operation).copied().unwrap_or_default()
    }
}

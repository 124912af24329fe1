//! What a guardian is told, as it stands on its labels, and what its end tells.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::plan::Quiet;
use super::run::RunKind;
use crate::error::{Error, ErrorKind, Result};

/// The labels of helpers, guardians and the volumes they use for a while.
pub mod label {
    /// The server whose run it belongs to.
    pub const SERVER: &str = "dory.helper.server";
    /// The backup that the run is about.
    pub const BACKUP: &str = "dory.helper.backup";
    /// The run.
    pub const RUN: &str = "dory.helper.run";
    /// What the run does, where the catalog keeps a record of it.
    pub const KIND: &str = "dory.helper.kind";
    /// A guardian's [`GuardPlan`](super::GuardPlan), as JSON.
    pub const PLAN: &str = "dory.guard.plan";
    /// What a guardian's creator proves itself by: the SHA-256 of its nonce, in hex.
    pub const NONCE: &str = "dory.guard.nonce";
}

/// What a guardian must know to bring back what a run stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardPlan {
    /// What the run does.
    pub kind: RunKind,
    /// When it began.
    pub started_at: Timestamp,
    /// How long containers may stand still, in seconds.
    pub stop_limit: u64,
    /// Who is quieted, in the order they start again.
    pub containers: Vec<Quiet>,
}

impl GuardPlan {
    /// The plan as [`label::PLAN`] holds it.
    ///
    /// # Errors
    /// `Internal`, if it cannot be written.
    pub fn to_label(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| {
            Error::new(ErrorKind::Internal, "write the guardian's plan", "", "it is no JSON").with_source(error)
        })
    }

    /// Reads a guardian's labels.
    ///
    /// # Errors
    /// `Corrupt`, if they do not hold a plan that this Dory understands.
    pub fn from_labels(labels: &BTreeMap<String, String>) -> Result<Self> {
        let broken = |reason| Error::new(ErrorKind::Corrupt, "read label", label::PLAN, reason);
        let text = labels.get(label::PLAN).ok_or_else(|| broken("the guardian has no such label"))?;
        serde_json::from_str(text).map_err(|error| broken("it holds no plan of this version").with_source(error))
    }

    /// How long containers may stand still.
    #[must_use]
    pub fn stop_limit(&self) -> Duration {
        Duration::from_secs(self.stop_limit)
    }
}

/// How a guardian ended. Its exit code tells, since the ended container is all the report there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GuardEnd {
    /// Dory told it that all is well.
    Disarmed,
    /// It was never armed, so nothing had been stopped.
    NeverArmed,
    /// It brought back all that was stopped.
    BroughtBack,
    /// It brought back what it could; something stayed down.
    SomeDown,
    /// It kept down what was stopped, for the data was half restored.
    KeptDown,
}

impl GuardEnd {
    /// Every end, in declaration order.
    pub const ALL: [Self; 5] = [Self::Disarmed, Self::NeverArmed, Self::BroughtBack, Self::SomeDown, Self::KeptDown];

    /// The exit code of a guardian that still has work to do, and must be started again for it.
    pub const UNFINISHED: u8 = 75;

    /// The exit code that tells it.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Disarmed => 0,
            Self::NeverArmed => 20,
            Self::BroughtBack => 21,
            Self::SomeDown => 22,
            Self::KeptDown => 23,
        }
    }

    /// The end that an exit code tells; `None` for a guardian that was ended from outside.
    #[must_use]
    pub fn of_code(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|end| i64::from(end.code()) == code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_has_a_code_of_its_own() {
        for end in GuardEnd::ALL {
            assert_eq!(GuardEnd::of_code(end.code().into()), Some(end));
            assert_ne!(end.code(), GuardEnd::UNFINISHED);
        }
        // Killed, ended by a signal, out of memory: nobody knows what it did.
        for code in [1, 137, 143, GuardEnd::UNFINISHED.into()] {
            assert_eq!(GuardEnd::of_code(code), None);
        }
    }

    #[test]
    fn labels_that_hold_no_plan_are_named() {
        for labels in [BTreeMap::new(), BTreeMap::from([(label::PLAN.to_owned(), "{".to_owned())])] {
            let error = GuardPlan::from_labels(&labels).unwrap_err();
            assert_eq!((error.kind(), error.subject()), (ErrorKind::Corrupt, label::PLAN));
        }
    }
}

//! Misbehaviour on request.

use serde::{Deserialize, Serialize};

use super::call::Call;

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// Answers with this status instead of doing anything: 429, 503, 403, …
    Status(u16),
    /// Waits so many milliseconds, then does what was asked.
    Slow(u64),
    /// Does what was asked, and breaks the connection off in the middle of the body.
    CutBody,
    /// Breaks the connection off without doing anything.
    DropRequest,
    /// Does what was asked, and breaks the connection off without an answer.
    LoseAnswer,
    /// Does what was asked, and answers with this status as if it had not.
    FailAfterwards(u16),
}

/// Which requests meet a [`Fault`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    /// The HTTP method; any where there is none.
    #[serde(default)]
    pub method: Option<String>,
    /// A part of the path, bucket and key; any where there is none.
    #[serde(default)]
    pub path: Option<String>,
    /// For how many requests it lasts; for good where there is none.
    #[serde(default)]
    pub times: Option<u64>,
    /// How many in a hundred fitting requests meet it.
    #[serde(default = "always")]
    pub percent: u8,
    /// Where the dice start, so that a run can be repeated.
    #[serde(default)]
    pub seed: u64,
    /// What goes wrong.
    pub fault: Fault,
}

fn always() -> u8 {
    100
}

impl FaultRule {
    /// A fault for the next `times` requests with `method`.
    #[must_use]
    pub fn next(times: u64, method: &str, fault: Fault) -> Self {
        Self { method: Some(method.to_owned()), path: None, times: Some(times), percent: 100, seed: 0, fault }
    }

    /// A fault for `percent` in a hundred requests of any kind, by dice that start at `seed`.
    #[must_use]
    pub fn sometimes(percent: u8, seed: u64, fault: Fault) -> Self {
        Self { method: None, path: None, times: None, percent, seed, fault }
    }

    /// Narrows it to requests whose path holds `part`.
    #[must_use]
    pub fn on(mut self, part: &str) -> Self {
        self.path = Some(part.to_owned());
        self
    }

    fn fits(&self, call: &Call) -> bool {
        self.method.as_deref().is_none_or(|method| method == call.method.as_str())
            && self.path.as_deref().is_none_or(|part| call.uri.path().replace("%2F", "/").contains(part))
    }

    fn falls(&mut self) -> bool {
        // SplitMix64: small, even, and the same everywhere.
        self.seed = self.seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % 100 < u64::from(self.percent)
    }
}

/// The fault that `call` meets, from the first rule that fits; rules that have run out go.
pub(super) fn pick(rules: &mut Vec<FaultRule>, call: &Call) -> Option<Fault> {
    let index = rules.iter_mut().position(|rule| rule.fits(call) && rule.falls())?;
    let rule = &mut rules[index];
    let fault = rule.fault.clone();
    if let Some(times) = &mut rule.times {
        *times = times.saturating_sub(1);
        if *times == 0 {
            rules.remove(index);
        }
    }
    Some(fault)
}

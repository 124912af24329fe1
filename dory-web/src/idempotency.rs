//! A request that is sent twice with the same `Idempotency-Key` is done once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use dory_core::domain::id::CommandId;

use crate::error::Refusal;

/// For how long a key is remembered: a day, and no longer than this process lives.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// How many keys are remembered.
const MOST: usize = 10_000;

/// The longest key, in bytes.
const LONGEST: usize = 255;

/// What was begun under which key.
#[derive(Debug, Default)]
pub(crate) struct Idempotency(Mutex<HashMap<(String, String), Entry>>);

#[derive(Clone, Debug)]
struct Entry {
    at: Duration,
    /// What was asked for.
    request: String,
    /// What was begun; `None` while it is being begun.
    run: Option<CommandId>,
}

/// What a key stands for.
#[derive(Debug)]
pub(crate) enum Known {
    /// Nothing yet: this request begins it.
    New,
    /// This run, which was begun before.
    Begun(CommandId),
}

impl Idempotency {
    /// Takes a key for a request of `who`.
    pub(crate) fn take(&self, who: &str, key: &str, request: &str, now: Duration) -> Result<Known, Refusal> {
        if key.len() > LONGEST {
            let reason = format!("an Idempotency-Key has at most {LONGEST} characters");
            return Err(Refusal::new(StatusCode::BAD_REQUEST, reason));
        }
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, entry| now.saturating_sub(entry.at) < KEPT);
        match all.get(&(who.to_owned(), key.to_owned())) {
            Some(entry) if entry.request != request => {
                let reason = "this Idempotency-Key was used for another request";
                Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, reason))
            }
            Some(Entry { run: Some(run), .. }) => Ok(Known::Begun(*run)),
            Some(_) => Err(Refusal::new(StatusCode::CONFLICT, "the same request is being begun at this moment")),
            None if all.len() >= MOST => {
                Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too many Idempotency-Keys are remembered already"))
            }
            None => {
                let entry = Entry { at: now, request: request.to_owned(), run: None };
                all.insert((who.to_owned(), key.to_owned()), entry);
                Ok(Known::New)
            }
        }
    }

    /// Keeps what came of a key that was taken: a request that failed may be sent again.
    pub(crate) fn keep(&self, who: &str, key: &str, run: Option<CommandId>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let id = (who.to_owned(), key.to_owned());
        match run {
            Some(run) => {
                if let Some(entry) = all.get_mut(&id) {
                    entry.run = Some(run);
                }
            }
            None => drop(all.remove(&id)),
        }
    }
}

//! What programs use: the same services as the pages, as JSON. Its shapes are its own, and are described by itself.

pub(crate) mod backups;
pub(crate) mod fleet;
pub(crate) mod openapi;
pub(crate) mod points;
pub(crate) mod runs;
pub(crate) mod shapes;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use dory_core::domain::id::CommandId;
use dory_core::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::shapes::Begun;
use crate::ask::Ask;
use crate::error::{Failure, Reply};
use crate::idempotency::Known;

/// How many of a list are given at once at most.
pub(crate) const MOST: usize = 500;

/// An answer as JSON.
fn json<T: Serialize>(body: &T) -> Reply {
    Ok(axum::Json(serde_json::to_value(body).map_err(unwritable)?).into_response())
}

fn unwritable(error: serde_json::Error) -> Error {
    Error::new(dory_core::ErrorKind::Internal, "answer", "", "the answer is no JSON").with_source(error)
}

/// What a request says. One without a body says nothing.
fn parse<T: DeserializeOwned + Default>(ask: &Ask) -> Result<T> {
    if ask.json.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(&ask.json).map_err(|error| Error::invalid("body", "", format!("it does not fit: {error}")))
}

/// Begins something, once for each `Idempotency-Key`.
async fn begin(ask: &Ask, start: impl Future<Output = Result<Option<CommandId>>>) -> Reply {
    let key = ask.headers.get("idempotency-key").and_then(|key| key.to_str().ok()).map(str::to_owned);
    let Some(key) = key else { return begun(start.await?) };
    let (who, now) = (ask.who.name(), ask.dory().clock().monotonic());
    let request = format!("{} {} {}", ask.route.method, ask.uri, String::from_utf8_lossy(&ask.json));
    if let Known::Begun(run) = ask.app.idempotency.take(&who, &key, &request, now)? {
        return begun(Some(run));
    }
    // A request that was given up in the middle, or that failed, may be sent again.
    let mut taken = Taken { ask, who: &who, key: &key, run: None };
    taken.run = start.await?;
    begun(taken.run)
}

/// A key that was taken; what came of it is kept when this goes.
struct Taken<'a> {
    ask: &'a Ask,
    who: &'a str,
    key: &'a str,
    run: Option<CommandId>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.ask.app.idempotency.keep(self.who, self.key, self.run);
    }
}

fn begun(run: Option<CommandId>) -> Reply {
    let Some(run) = run else { return Ok(StatusCode::NO_CONTENT.into_response()) };
    let place = format!("/api/v1/runs/{run}");
    let mut response: Response = json(&Begun { run: run.to_string(), url: place.clone() })?;
    *response.status_mut() = StatusCode::ACCEPTED;
    if let Ok(place) = place.parse() {
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok(response)
}

/// What is cut out of a list, by `offset` and `limit`.
fn window<'a, T>(ask: &Ask, list: &'a [T]) -> Result<&'a [T], Failure> {
    let number = |name: &str, usual: usize| match ask.query.get(name) {
        None => Ok(usual),
        Some(text) => text.parse::<usize>().map_err(|_| Error::invalid(name, text, "a number is expected")),
    };
    let from = number("offset", 0)?.min(list.len());
    let limit = number("limit", 100)?;
    if limit == 0 || limit > MOST {
        return Err(Error::invalid("limit", limit.to_string(), format!("a number from 1 to {MOST} is expected")).into());
    }
    Ok(&list[from..(from.saturating_add(limit)).min(list.len())])
}

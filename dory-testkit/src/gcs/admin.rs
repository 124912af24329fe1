//! The paths by which another process tells the stand-in what to do; no bucket's name begins with an underscore.
//!
//! `POST /_gcs/faults` adds a rule, `DELETE` removes all; `GET /_gcs/counts`, `DELETE` starts over;
//! `PUT /_gcs/read-only` with `true` or `false`.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{Method, StatusCode};

use super::answer::empty;
use super::state::State;

const PREFIX: &str = "/_gcs/";

/// The answer to an order; `None` for paths of the storage itself.
pub(super) fn order(state: &mut State, method: &Method, path: &str, body: &Bytes) -> Option<Response> {
    let word = path.strip_prefix(PREFIX)?;
    let done = |outcome: serde_json::Result<()>| match outcome {
        Ok(()) => empty(StatusCode::NO_CONTENT),
        Err(error) => Response::builder().status(400).body(Body::from(error.to_string())).unwrap(),
    };
    Some(match (method.as_str(), word) {
        ("POST", "faults") => done(serde_json::from_slice(body).map(|rule| state.faults.push(rule))),
        ("DELETE", "faults") => {
            state.faults.clear();
            empty(StatusCode::NO_CONTENT)
        }
        ("GET", "counts") => Response::new(Body::from(serde_json::to_vec(&state.counts).unwrap())),
        ("DELETE", "counts") => {
            state.counts = Default::default();
            empty(StatusCode::NO_CONTENT)
        }
        ("PUT", "read-only") => done(serde_json::from_slice(body).map(|on| state.read_only = on)),
        _ => empty(StatusCode::NOT_FOUND),
    })
}

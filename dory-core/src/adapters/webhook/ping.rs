//! Pings for a service that raises the alarm when they stay away.

use std::time::Duration;

use super::client::{Request, WebClient};
use super::retrying;
use crate::domain::contact::WebUrl;
use crate::error::Result;
use crate::ports::Clock;

/// How long such a service may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest words that are sent along, in bytes: such services keep no more.
const LONGEST: usize = 10_000;

/// Pings `address`; with `words`, they are posted.
///
/// # Errors
/// As for [`Channels::ping`](crate::ports::Channels::ping).
pub async fn ping(client: &WebClient, clock: &dyn Clock, address: &WebUrl, words: &str) -> Result<()> {
    let end = words.floor_char_boundary(LONGEST);
    let body = (!words.is_empty()).then(|| words.as_bytes()[..end].to_vec());
    let headers = match body {
        Some(_) => vec![("content-type", "text/plain; charset=utf-8".to_owned())],
        None => Vec::new(),
    };
    let request = Request { headers, body, patience: PATIENCE };
    retrying(clock, || client.send(address, request.clone())).await
}
